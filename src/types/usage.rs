//! Owns token counts (design §4): what usageMetadata says, and the quantities per meter and modality that follow.
//! Says nothing of how a line spells them and nothing of prices.

use super::meter::{ByModality, MODALITIES, Meter, Modality, QUANTITIES, Slot};

/// The greatest count a request can have; so sums of millions stay in 64 bits.
pub const GREATEST_COUNT: u64 = 1 << 40;

/// The order in which cached tokens without details come off the prompt's modalities (design §4).
const CACHED_ORDER: [usize; MODALITIES] = [
    Modality::Text as usize,
    Modality::Image as usize,
    Modality::Video as usize,
    Modality::Document as usize,
    Modality::Audio as usize,
];

/// The counts of one usageMetadata, missing ones 0, and of one `quantities`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub whole: Whole,
    pub prompt_details: ByModality,
    pub cached_details: ByModality,
    pub candidates_details: ByModality,
    pub tool_details: ByModality,
    pub quantities: [u64; QUANTITIES.len()],
}

/// The counts of one usageMetadata but for their details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    pub prompt: u64,
    pub cached: u64,
    pub candidates: u64,
    pub tool: u64,
    pub thoughts: u64,
    pub total: Option<u64>,
    /// Live API: thoughts are never inside the candidates.
    pub thoughts_outside: bool,
}

impl Counts {
    /// Whether all that was used is text, neither cached nor of tools, and no part exceeds its whole. So it is as a rule.
    #[inline(always)]
    fn are_of_text(&self) -> bool {
        let Counts { prompt_details: [prompt, prompt_rest @ ..], .. } = self;
        let Counts { candidates_details: [candidates, candidates_rest @ ..], .. } = self;
        let beyond = any_of(prompt_rest) | any_of(candidates_rest) | self.whole.cached | self.whole.tool;
        let beyond =
            beyond | any_of(&self.cached_details) | any_of(&self.tool_details) | any_of(&self.quantities);
        beyond == 0 && *prompt <= self.whole.prompt && *candidates <= self.whole.candidates
    }
}

/// What a request used, checked: every quantity above 0 by slot, and the counts that reports show beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whole, cached tokens included: decides the context band.
    pub prompt: u64,
    pub cached: u64,
    pub tool: u64,
    /// Thoughts included.
    pub output: u64,
    pub thoughts: u64,
    /// As logged.
    pub total: Option<u64>,
    /// The total is below the sum of the parts.
    pub total_mismatch: bool,
    quantities: Quantities,
}

/// Quantities above 0, ascending by slot. They lie in place: to fill them anew is all that a request costs.
#[derive(Clone)]
struct Quantities {
    list: [(Slot, u64); Slot::COUNT],
    count: usize,
}

impl Usage {
    /// Of a method that has no tokens.
    pub const NONE: Usage = Usage {
        prompt: 0,
        cached: 0,
        tool: 0,
        output: 0,
        thoughts: 0,
        total: None,
        total_mismatch: false,
        quantities: Quantities { list: [(Slot(0), 0); Slot::COUNT], count: 0 },
    };

    /// Quantities above 0, ascending by slot.
    #[inline(always)]
    pub fn quantities(&self) -> &[(Slot, u64)] {
        self.quantities.as_slice()
    }

    /// Input and output, of a request that used both and nothing else, as text. So it is as a rule.
    #[inline(always)]
    pub fn text(&self) -> Option<[u64; 2]> {
        match *self.quantities() {
            [(INPUT, input), (slot, output)] if slot == first_output(self.thoughts) => Some([input, output]),
            _ => None,
        }
    }

    /// Quantities of a request that used so much text and thought so much.
    pub fn quantities_of_text([input, output]: [u64; 2], thoughts: u64) -> [(Slot, u64); 2] {
        [(INPUT, input), (first_output(thoughts), output)]
    }

    /// Adds a quantity of a meter that has no tokens.
    pub fn add(&mut self, slot: Slot, quantity: u64) {
        let Quantities { list, count } = &mut self.quantities;
        match list[..*count].binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(place) => list[place].1 += quantity,
            Err(place) => {
                list.copy_within(place..*count, place + 1);
                list[place] = (slot, quantity);
                *count += 1;
            }
        }
    }

    /// Works out the quantities. The error says which part exceeds its whole (`inconsistent_counts`).
    ///
    /// Cached tokens are part of the prompt: 1,000 with 400 cached are 600 of `input` and 400 of `input_cached`.
    pub fn from_counts(counts: &Counts) -> Result<Usage, String> {
        let mut usage = Usage::default();
        usage.fill(counts)?;
        Ok(usage)
    }

    /// As [`Usage::from_counts`], into one that may be used again and again.
    #[inline]
    pub fn fill(&mut self, counts: &Counts) -> Result<(), String> {
        if counts.are_of_text() {
            self.fill_of_text(&counts.whole);
            return Ok(());
        }
        self.fill_of_any(counts)
    }

    /// As [`Usage::fill`], where it is likely that not all is text.
    pub fn fill_of_any(&mut self, counts: &Counts) -> Result<(), String> {
        let (first_output, thoughts_added, unexplained) = self.begin(&counts.whole);
        let mut found = Filling { list: &mut self.quantities.list, count: 0 };
        found.add_all(counts, first_output, thoughts_added)?;
        found.put(Slot::UNEXPLAINED, unexplained);
        if any_of(&counts.quantities) != 0 {
            for (index, &quantity) in counts.quantities.iter().enumerate() {
                found.put(Slot::of_quantity(index), quantity);
            }
        }
        self.quantities.count = found.count;
        Ok(())
    }

    /// Of a request that used nothing but text, neither cached nor of tools, as [`Usage::fill`] does.
    #[inline(always)]
    pub fn fill_of_text(&mut self, whole: &Whole) {
        let (first_output, _, unexplained) = self.begin(whole);
        let mut found = Filling { list: &mut self.quantities.list, count: 0 };
        found.put(INPUT, self.prompt);
        found.put(first_output, self.output);
        found.put(Slot::UNEXPLAINED, unexplained);
        self.quantities.count = found.count;
    }

    /// Takes over the counts of wholes; gives the first slot of its output, the thoughts to be added to it, and what the total
    /// leaves over.
    #[inline(always)]
    fn begin(&mut self, whole: &Whole) -> (Slot, u64, u64) {
        let thoughts_added = if thoughts_inside(whole) { 0 } else { whole.thoughts };
        self.prompt = whole.prompt;
        self.cached = whole.cached;
        self.tool = whole.tool;
        self.output = whole.candidates + thoughts_added;
        self.thoughts = whole.thoughts;
        self.total = whole.total;
        let parts = self.prompt + self.tool + self.output;
        self.total_mismatch = whole.total.is_some_and(|total| total < parts);
        (
            first_output(whole.thoughts),
            thoughts_added,
            whole.total.map_or(0, |total| total.saturating_sub(parts)),
        )
    }

    /// Puts together again what was taken apart: `quantities` above 0, ascending by slot.
    pub fn from_quantities(
        quantities: &[(Slot, u64)],
        thoughts: u64,
        total: Option<u64>,
        total_mismatch: bool,
    ) -> Usage {
        let of = |wanted: &[Meter]| {
            let slots = quantities.iter().filter(|(slot, _)| wanted.contains(&slot.meter()));
            slots.map(|(_, quantity)| quantity).sum()
        };
        let mut own = Usage::NONE.quantities;
        own.list[..quantities.len()].copy_from_slice(quantities);
        own.count = quantities.len();
        Usage {
            prompt: of(&[Meter::Input, Meter::InputCached]),
            cached: of(&[Meter::InputCached]),
            tool: of(&[Meter::InputTool]),
            output: of(&[Meter::Output, Meter::OutputThinking]),
            thoughts,
            total,
            total_mismatch,
            quantities: own,
        }
    }
}

impl Default for Usage {
    fn default() -> Usage {
        Usage::NONE
    }
}

impl Quantities {
    #[inline(always)]
    fn as_slice(&self) -> &[(Slot, u64)] {
        &self.list[..self.count]
    }
}

impl PartialEq for Quantities {
    fn eq(&self, other: &Quantities) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Quantities {}

impl std::fmt::Debug for Quantities {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().fmt(formatter)
    }
}

const INPUT: Slot = Slot::of_tokens(Meter::Input, 0);

/// The first slot of the output of a request that thought so much.
#[inline(always)]
fn first_output(thoughts: u64) -> Slot {
    const OUTPUT: Slot = Slot::of_tokens(Meter::Output, 0);
    const OUTPUT_THINKING: Slot = Slot::of_tokens(Meter::OutputThinking, 0);
    if thoughts == 0 { OUTPUT } else { OUTPUT_THINKING }
}

/// Quantities while they are filled.
struct Filling<'q> {
    list: &'q mut [(Slot, u64); Slot::COUNT],
    count: usize,
}

impl Filling<'_> {
    /// Which of them are 0 nobody foresees, so each is put down, and the next one over it where it is.
    #[inline(always)]
    fn put(&mut self, slot: Slot, quantity: u64) {
        self.list[self.count] = (slot, quantity);
        self.count += usize::from(quantity > 0);
    }

    #[inline(always)]
    fn add(&mut self, first: Slot, tokens: &ByModality) {
        for (modality, &tokens) in tokens.iter().enumerate() {
            self.put(Slot(first.0 + modality as u8), tokens);
        }
    }

    /// Adds tokens of any modality, cached and of tools, unless a part exceeds its whole.
    #[inline(never)]
    fn add_all(&mut self, counts: &Counts, first_output: Slot, thoughts_added: u64) -> Result<(), String> {
        let whole = &counts.whole;
        if whole.cached > whole.prompt {
            return Err(exceeds("cachedContentTokenCount", whole.cached, "promptTokenCount", whole.prompt));
        }
        let prompt = with_rest_as_text(
            "promptTokensDetails",
            &counts.prompt_details,
            "promptTokenCount",
            whole.prompt,
        )?;
        // Most requests have neither cached tokens nor those of tools.
        if whole.cached > 0 || is_any(&counts.cached_details) {
            let cached = with_rest_off_prompt(counts, &prompt)?;
            self.add(INPUT, &std::array::from_fn(|modality| prompt[modality] - cached[modality]));
            self.add(Slot::of_tokens(Meter::InputCached, 0), &cached);
        } else {
            self.add(INPUT, &prompt);
        }
        if whole.tool > 0 || is_any(&counts.tool_details) {
            let tool = with_rest_as_text(
                "toolUsePromptTokensDetails",
                &counts.tool_details,
                "toolUsePromptTokenCount",
                whole.tool,
            )?;
            self.add(Slot::of_tokens(Meter::InputTool, 0), &tool);
        }
        let mut output = with_rest_as_text(
            "candidatesTokensDetails",
            &counts.candidates_details,
            "candidatesTokenCount",
            whole.candidates,
        )?;
        output[0] += thoughts_added;
        // Most output is text alone.
        if is_any(&output[1..]) {
            self.add(first_output, &output);
        } else {
            self.put(first_output, output[0]);
        }
        Ok(())
    }
}

/// A number above 0 if any of them is.
#[inline(always)]
fn any_of(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |all, count| all | count)
}

fn is_any(counts: &[u64]) -> bool {
    any_of(counts) != 0
}

/// Gateways disagree on whether candidates contain thoughts; the sum decides: 100 prompt + 50 candidates = 150
/// total with 20 thoughts means that the 20 are among the 50.
fn thoughts_inside(whole: &Whole) -> bool {
    !whole.thoughts_outside
        && whole.thoughts <= whole.candidates
        && whole.total == Some(whole.prompt + whole.candidates + whole.tool)
}

/// What details leave over of their whole is text.
#[inline(always)]
fn with_rest_as_text(
    parts: &str,
    details: &ByModality,
    whole: &str,
    count: u64,
) -> Result<ByModality, String> {
    let sum = details.iter().sum();
    let rest = count.checked_sub(sum).ok_or_else(|| exceeds(parts, sum, whole, count))?;
    let mut details = *details;
    details[0] += rest;
    Ok(details)
}

/// Cached tokens by modality: as detailed, and what details leave over comes off what is left of the prompt in a
/// fixed order. None exceeds the prompt's own.
fn with_rest_off_prompt(counts: &Counts, prompt: &ByModality) -> Result<ByModality, String> {
    let mut cached = counts.cached_details;
    let detailed = cached.iter().sum();
    let Some(mut rest) = counts.whole.cached.checked_sub(detailed) else {
        return Err(exceeds("cacheTokensDetails", detailed, "cachedContentTokenCount", counts.whole.cached));
    };
    for modality in CACHED_ORDER {
        let Some(left) = prompt[modality].checked_sub(cached[modality]) else {
            return Err("cached tokens of a modality exceed the prompt's".to_string());
        };
        let taken = rest.min(left);
        cached[modality] += taken;
        rest -= taken;
    }
    Ok(cached)
}

#[cold]
fn exceeds(parts: &str, sum: u64, whole: &str, count: u64) -> String {
    format!("{parts} {sum} exceeds {whole} {count}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantities(counts: Counts) -> Vec<(&'static str, &'static str, u64)> {
        let usage = Usage::from_counts(&counts).unwrap();
        usage
            .quantities()
            .iter()
            .map(|&(slot, tokens)| (slot.meter().name(), slot.modality().name(), tokens))
            .collect()
    }

    #[test]
    fn cached_tokens_without_details_come_off_text_first_and_audio_last() {
        // Prompt 100 = 30 text + 50 image + 20 audio; 95 cached leave 5 of the audio.
        let counts = Counts {
            whole: Whole { prompt: 100, cached: 95, ..Whole::default() },
            prompt_details: [0, 50, 0, 0, 20],
            ..Counts::default()
        };
        assert_eq!(
            quantities(counts),
            [
                ("input", "audio", 5),
                ("input_cached", "text", 30),
                ("input_cached", "image", 50),
                ("input_cached", "audio", 15)
            ]
        );
    }

    #[test]
    fn thoughts_are_inside_the_candidates_only_when_the_sum_says_so() {
        let counts = |total, thoughts_outside| Counts {
            whole: Whole {
                prompt: 100,
                candidates: 50,
                thoughts: 20,
                total,
                thoughts_outside,
                ..Whole::default()
            },
            ..Counts::default()
        };
        let output = |counts| Usage::from_counts(&counts).unwrap().output;
        assert_eq!(output(counts(Some(150), false)), 50);
        assert_eq!(output(counts(Some(170), false)), 70);
        assert_eq!(output(counts(None, false)), 70);
        assert_eq!(output(counts(Some(150), true)), 70, "Live API: never inside");
    }

    #[test]
    fn a_total_is_explained_or_its_rest_is_kept() {
        let counts = |total| Counts {
            whole: Whole { prompt: 100, candidates: 50, total: Some(total), ..Whole::default() },
            ..Counts::default()
        };
        assert_eq!(quantities(counts(160)).last(), Some(&("unexplained", "any", 10)));
        let below = Usage::from_counts(&counts(140)).unwrap();
        assert!(below.total_mismatch && below.output == 50);
    }

    #[test]
    fn text_alone_is_filled_as_anything_is() {
        let of = |bits: u64, bit: u64, count: u64| if bits >> bit & 1 == 0 { 0 } else { count };
        let mut of_text = 0;
        for bits in 0..1 << 9 {
            let counts = Counts {
                whole: Whole {
                    prompt: of(bits, 0, 100),
                    candidates: of(bits, 1, 50),
                    thoughts: of(bits, 2, 20),
                    total: [None, Some(100), Some(150), Some(170)][bits as usize >> 3 & 3],
                    thoughts_outside: of(bits, 8, 1) > 0,
                    ..Whole::default()
                },
                prompt_details: [of(bits, 5, 100), of(bits, 6, 1), 0, 0, 0],
                candidates_details: [of(bits, 7, 50), 0, 0, 0, 0],
                ..Counts::default()
            };
            let (mut one, mut other) = (Usage::default(), Usage::default());
            let (filled, expected) = (one.fill(&counts), other.fill_of_any(&counts));
            assert_eq!(filled, expected, "{counts:?}");
            assert!(filled.is_err() || one == other, "{counts:?}");
            of_text += u32::from(counts.are_of_text());
        }
        assert!(of_text > 100, "{of_text}");
    }

    #[test]
    fn what_is_put_together_again_is_the_same() {
        let counts = Counts {
            whole: Whole {
                prompt: 100,
                cached: 40,
                tool: 7,
                candidates: 50,
                thoughts: 20,
                total: Some(200),
                ..Whole::default()
            },
            prompt_details: [0, 50, 0, 0, 20],
            ..Counts::default()
        };
        let usage = Usage::from_counts(&counts).unwrap();
        assert_eq!(Usage::from_quantities(usage.quantities(), 20, usage.total, false), usage);
    }

    #[test]
    fn parts_above_their_whole_are_refused() {
        let text = |tokens| [tokens, 0, 0, 0, 0];
        for counts in [
            Counts { whole: Whole { prompt: 5, cached: 6, ..Whole::default() }, ..Counts::default() },
            Counts {
                whole: Whole { prompt: 5, ..Whole::default() },
                prompt_details: text(6),
                ..Counts::default()
            },
            Counts {
                whole: Whole { candidates: 5, ..Whole::default() },
                candidates_details: text(6),
                ..Counts::default()
            },
            Counts {
                whole: Whole { tool: 5, ..Whole::default() },
                tool_details: text(6),
                ..Counts::default()
            },
            Counts {
                whole: Whole { prompt: 9, cached: 5, ..Whole::default() },
                cached_details: text(6),
                ..Counts::default()
            },
            // Image tokens cached that the prompt doesn't have.
            Counts {
                whole: Whole { prompt: 9, cached: 5, ..Whole::default() },
                cached_details: [0, 5, 0, 0, 0],
                ..Counts::default()
            },
        ] {
            assert!(Usage::from_counts(&counts).is_err(), "{counts:?}");
        }
    }
}
