//! Owns what rating makes of a cell: charges, quantities in suspense, and what rests on assumptions.

use std::fmt;
use std::sync::Arc;

use super::cache::CacheAct;
use super::day::Day;
use super::meter::{Meter, Modality};
use super::money::Pico;
use super::reason::Reason;
use super::tier::{Channel, ServiceTier, UsageTier, words};

words! {
    /// The rule that makes a quantity free of charge, in the order in which rules are asked.
    Exempt { Failed = "C3", AiStudio = "C4", FreeTier = "C2", SearchContext = "C11" }
}

words! {
    /// What Google's pages leave open and this program decides.
    Assumption {
        UndocumentedStatus = "undocumented_status",
        UndocumentedMethod = "undocumented_method",
        ToolsNotLogged = "tools_not_logged",
        CachedWithoutPrice = "cached_without_price",
        AiStudioSince202604 = "ai_studio_since_2026_04",
        TunedModelSince202604 = "tuned_model_since_2026_04",
        ThoughtsFromTotal = "thoughts_from_total",
        ThrottledInRpd = "throttled_in_rpd",
        AllowanceScope = "allowance_scope",
    }
}

/// What makes a row of the charges report: one per key and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargeKey<'r> {
    pub project_id: &'r str,
    pub model: &'r str,
    pub base_model: &'r str,
    pub usage_tier: UsageTier,
    pub service_tier: ServiceTier,
    pub channel: Channel,
    /// Of the price line; None without a price.
    pub price_above_prompt_tokens: Option<u64>,
    pub meter: Meter,
    pub modality: Modality,
    pub exempt: Option<Exempt>,
}

/// A price line as far as charges show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPrice {
    pub above_prompt_tokens: u64,
    pub from: Day,
    /// Dollars for `per` units.
    pub usd: Pico,
    pub per: u64,
    pub citation: Arc<str>,
}

impl UnitPrice {
    /// Quantity × unit price. Exact but for cache storage, which is priced by the hour and counted by the second: the
    /// loader refuses other prices that are no whole number of pico-dollars a unit.
    pub fn cost(&self, quantity: u64) -> Option<Pico> {
        self.usd.checked_share(quantity, self.per)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Charge<'r> {
    pub quantity: u64,
    pub price: Option<&'r UnitPrice>,
    /// Units that an allowance covers (C8); None where none fits.
    pub allowance: Option<u64>,
    /// None where there is no price.
    pub list_cost: Option<Pico>,
    pub rated_cost: Pico,
}

/// What makes a row of the suspense report, stage charge: one per key and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnratedKey<'r> {
    pub project_id: &'r str,
    pub model: &'r str,
    pub why: Why<'r>,
    /// None of a request that has no quantity.
    pub meter: Option<Meter>,
}

/// Why something can't be rated: the detail of its row, put into words only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why<'r> {
    TotalExceedsParts,
    NoUsageTier,
    /// Of a tuned model.
    NoBaseModel(&'r str),
    NotInPriceBook(&'r str),
    NoPrice {
        base_model: &'r str,
        service_tier: ServiceTier,
        meter: Meter,
        modality: Modality,
        day: Day,
    },
    NeverCreated {
        act: CacheAct,
        cache: &'r str,
    },
}

impl Why<'_> {
    pub fn reason(self) -> Reason {
        match self {
            Why::TotalExceedsParts => Reason::UnexplainedTokens,
            Why::NoUsageTier => Reason::UnknownUsageTier,
            Why::NoBaseModel(_) => Reason::UnknownBaseModel,
            Why::NotInPriceBook(_) => Reason::UnknownModel,
            Why::NoPrice { .. } => Reason::UnknownPrice,
            Why::NeverCreated { .. } => Reason::UnknownCache,
        }
    }
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Why::TotalExceedsParts => f.write_str("totalTokenCount exceeds the sum of its parts"),
            Why::NoUsageTier => f.write_str("neither the log nor an accounts file says"),
            Why::NoBaseModel(base_model) => write!(f, "nothing says what {base_model} was tuned from"),
            Why::NotInPriceBook(base_model) => write!(f, "{base_model} has no line in the price book"),
            Why::NoPrice { base_model, service_tier, meter, modality, day } => {
                write!(f, "{base_model} has no price for {service_tier} {meter} {modality} on {day}")
            }
            Why::NeverCreated { act, cache } => write!(f, "{act} of {cache}, which nobody saw created"),
        }
    }
}

/// A quantity that can't be rated: in suspense, never zero.
#[derive(Clone, Debug, Default)]
pub struct Unrated {
    pub quantity: u64,
    /// Where a price is known.
    pub list_cost: Option<Pico>,
    /// Requests of the cells: one with several meters is in several rows. Of cache storage the caches.
    pub requests: u64,
}

/// What rests on an assumption. The bounds are of its rated cost, if the pages were read otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    pub requests: u64,
    pub rated_cost: Pico,
    pub low: Pico,
    /// None: nothing says what it would cost.
    pub high: Option<Pico>,
}

impl Resting {
    /// Of nothing yet.
    pub const NOTHING: Resting =
        Resting { requests: 0, rated_cost: Pico::ZERO, low: Pico::ZERO, high: Some(Pico::ZERO) };

    /// The sum of both; None when money leaves what a report can hold.
    pub fn checked_add(self, other: Resting) -> Option<Resting> {
        Some(Resting {
            requests: self.requests + other.requests,
            rated_cost: self.rated_cost.checked_add(other.rated_cost)?,
            low: self.low.checked_add(other.low)?,
            high: match self.high.zip(other.high) {
                Some((one, other)) => Some(one.checked_add(other)?),
                None => None,
            },
        })
    }
}

/// What a credit paid on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment<'r> {
    pub billing_account: &'r str,
    pub credit: &'r str,
    pub balance_before: Pico,
    pub applied: Pico,
    pub balance_after: Pico,
}

/// What a billing account comes to at the end of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDay<'r> {
    /// None: the projects that have no billing account.
    pub billing_account: Option<&'r str>,
    pub rated_cost: Pico,
    pub credit: Pico,
    pub net_cost: Pico,
    /// Rated, the month to date.
    pub month_cost: Pico,
}

/// Where a billing account stands among the usage tiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The highest among its projects.
    pub usage_tier: UsageTier,
    pub monthly_cap: Option<Pico>,
    pub spend: Pico,
    /// None before it.
    pub days_since_first_payment: Option<u64>,
    pub next: Option<UsageTier>,
    /// Criteria of the next usage tier; None where no line is in force.
    pub next_min_spend: Option<Pico>,
    pub next_min_days: Option<u64>,
    pub eligible_since: Option<Day>,
}
