//! Owns the three kinds of tier, what follows from them (terms), the context band and the channel; never a bare "tier".
//! Knows no price or limit.

use std::fmt;

/// A closed set of words: its names as logs, books and reports write them, in the order in which reports sort.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The word exactly as written here.
            pub fn from_name(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<$name, D::Error> {
                let word = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                $name::from_name(&word)
                    .ok_or_else(|| serde::de::Error::custom(format!("there is no {} {word:?}", stringify!($name))))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Decides the limits of a project.
    UsageTier { Free = "free", Tier1 = "tier1", Tier2 = "tier2", Tier3 = "tier3", Unknown = "unknown" }
}

words! {
    /// What the billing page calls the free and the paid tier: derived from the usage tier, never stored before reports.
    PricingTier { Free = "free", Paid = "paid", Unknown = "unknown" }
}

words! {
    /// Decides the price column. The served one counts.
    ServiceTier { Standard = "standard", Batch = "batch", Flex = "flex", Priority = "priority" }
}

words! {
    /// Whether prompts may be used to improve products (terms page): not under the paid ones.
    Terms { Paid = "paid", Unpaid = "unpaid", Unknown = "unknown" }
}

words! {
    /// Where a request came in.
    Channel { Api = "api", AiStudio = "ai_studio" }
}

impl UsageTier {
    pub fn pricing_tier(self) -> PricingTier {
        match self {
            UsageTier::Free => PricingTier::Free,
            UsageTier::Unknown => PricingTier::Unknown,
            UsageTier::Tier1 | UsageTier::Tier2 | UsageTier::Tier3 => PricingTier::Paid,
        }
    }

    /// Under whose terms a request of the API is.
    pub fn terms(self) -> Terms {
        match self.pricing_tier() {
            PricingTier::Free => Terms::Unpaid,
            PricingTier::Paid => Terms::Paid,
            PricingTier::Unknown => Terms::Unknown,
        }
    }

    /// The one that a billing account may qualify for next; None after the last, and where none is known.
    pub fn next(self) -> Option<UsageTier> {
        match self {
            UsageTier::Free => Some(UsageTier::Tier1),
            UsageTier::Tier1 => Some(UsageTier::Tier2),
            UsageTier::Tier2 => Some(UsageTier::Tier3),
            UsageTier::Tier3 | UsageTier::Unknown => None,
        }
    }

    /// The higher of two; anything is higher than unknown.
    pub fn higher(self, other: UsageTier) -> UsageTier {
        match (self, other) {
            (UsageTier::Unknown, known) | (known, UsageTier::Unknown) => known,
            (one, other) => one.max(other),
        }
    }
}

impl ServiceTier {
    /// Reads a log's spelling: any case, `SERVICE_TIER_` comes off, unspecified is standard.
    pub fn from_log(text: &str) -> Option<ServiceTier> {
        let word = without_prefix(text, "SERVICE_TIER_");
        if word.eq_ignore_ascii_case("unspecified") {
            return Some(ServiceTier::Standard);
        }
        ServiceTier::ALL.iter().copied().find(|service_tier| word.eq_ignore_ascii_case(service_tier.name()))
    }
}

/// A word of a log without a prefix that the proto gives its kind, in any case.
pub(crate) fn without_prefix<'t>(text: &'t str, prefix: &str) -> &'t str {
    match text.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
        _ => text,
    }
}

/// Prompt size class: the highest `above_prompt_tokens` of the whole price book that a prompt exceeds, or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextBand(pub u64);

impl fmt::Display for ContextBand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
