//! Owns what is counted: meters, modalities, and the slots of a cell. Knows no price.

use super::tier::{without_prefix, words};

words! {
    /// What is counted. `unexplained` is what a total leaves over: never priced.
    Meter {
        Input = "input",
        InputCached = "input_cached",
        InputTool = "input_tool",
        Output = "output",
        OutputThinking = "output_thinking",
        Unexplained = "unexplained",
        CacheStorage = "cache_storage",
        Image = "image",
        VideoSecond = "video_second",
        VideoSecond1080p = "video_second_1080p",
        VideoSecond4k = "video_second_4k",
        Song = "song",
        GroundingSearchPrompt = "grounding_search_prompt",
        GroundingSearchQuery = "grounding_search_query",
        GroundingMapsPrompt = "grounding_maps_prompt",
        GroundingMapsQuery = "grounding_maps_query",
    }
}

words! {
    /// Of a token meter; `any` for meters that have none, and in a price for all.
    Modality { Text = "text", Image = "image", Video = "video", Document = "document", Audio = "audio", Any = "any" }
}

/// How many modalities a token has.
pub const MODALITIES: usize = 5;

/// Tokens by modality, in the order of [`Modality`].
pub type ByModality = [u64; MODALITIES];

/// The meters that a record's `quantities` may have, in the order of their slots.
pub const QUANTITIES: [Meter; 9] = [
    Meter::Image,
    Meter::VideoSecond,
    Meter::VideoSecond1080p,
    Meter::VideoSecond4k,
    Meter::Song,
    Meter::GroundingSearchPrompt,
    Meter::GroundingSearchQuery,
    Meter::GroundingMapsPrompt,
    Meter::GroundingMapsQuery,
];

const TOKEN_METERS: [Meter; 5] =
    [Meter::Input, Meter::InputCached, Meter::InputTool, Meter::Output, Meter::OutputThinking];
const UNEXPLAINED: usize = TOKEN_METERS.len() * MODALITIES;

impl Modality {
    /// Reads a log's spelling: any case, with or without `MODALITY_`; unspecified is text.
    pub fn from_log(text: &str) -> Option<Modality> {
        let word = without_prefix(text, "MODALITY_");
        if word.eq_ignore_ascii_case("unspecified") {
            return Some(Modality::Text);
        }
        Modality::ALL[..MODALITIES]
            .iter()
            .copied()
            .find(|modality| word.eq_ignore_ascii_case(modality.name()))
    }

    /// Reads the number that the proto gives a modality.
    pub fn from_proto(number: u64) -> Option<Modality> {
        match number {
            1 => Some(Modality::Text),
            2 => Some(Modality::Image),
            3 => Some(Modality::Video),
            4 => Some(Modality::Audio),
            5 => Some(Modality::Document),
            _ => None,
        }
    }
}

impl Meter {
    /// The meter whose price is taken where this one has no line in force (C1).
    pub fn priced_as(self) -> Option<Meter> {
        match self {
            Meter::InputTool | Meter::InputCached => Some(Meter::Input),
            Meter::OutputThinking => Some(Meter::Output),
            _ => None,
        }
    }

    /// Whether it counts tokens.
    pub fn has_tokens(self) -> bool {
        TOKEN_METERS.contains(&self) || self == Meter::Unexplained
    }
}

/// One meter of one modality: its place in a cell's dense array of quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u8);

impl Slot {
    pub const COUNT: usize = UNEXPLAINED + 1 + QUANTITIES.len();
    pub const UNEXPLAINED: Slot = Slot(UNEXPLAINED as u8);

    /// Of a token meter, whose modality is given by its index in [`ByModality`].
    pub const fn of_tokens(meter: Meter, modality: usize) -> Slot {
        // The token meters are the first ones.
        assert!((meter as usize) < TOKEN_METERS.len(), "a token meter");
        Slot((meter as usize * MODALITIES + modality) as u8)
    }

    /// Of the `index`-th meter of [`QUANTITIES`].
    pub fn of_quantity(index: usize) -> Slot {
        Slot((UNEXPLAINED + 1 + index) as u8)
    }

    /// Of a meter that has no tokens.
    pub fn without_tokens(meter: Meter) -> Slot {
        Slot::of_quantity(QUANTITIES.iter().position(|&own| own == meter).expect("a meter without tokens"))
    }

    pub fn all() -> impl Iterator<Item = Slot> {
        (0..Slot::COUNT as u8).map(Slot)
    }

    pub fn meter(self) -> Meter {
        match usize::from(self.0) {
            place if place < UNEXPLAINED => TOKEN_METERS[place / MODALITIES],
            UNEXPLAINED => Meter::Unexplained,
            place => QUANTITIES[place - UNEXPLAINED - 1],
        }
    }

    pub fn modality(self) -> Modality {
        match usize::from(self.0) {
            place if place < UNEXPLAINED => Modality::ALL[place % MODALITIES],
            _ => Modality::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_one_meter_of_one_modality() {
        let mut seen = std::collections::BTreeSet::new();
        for slot in Slot::all() {
            assert!(seen.insert((slot.meter(), slot.modality())));
            if TOKEN_METERS.contains(&slot.meter()) {
                assert_eq!(Slot::of_tokens(slot.meter(), slot.modality() as usize), slot);
            }
        }
        assert_eq!(seen.len(), Slot::COUNT);
        assert_eq!(Slot::of_quantity(8).meter(), Meter::GroundingMapsQuery);
    }
}
