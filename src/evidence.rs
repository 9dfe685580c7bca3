//! Owns the warnings: what in the requests speaks against the books or the logs, and what a day lacks of earlier ones,
//! counted per day (design §5). Decides no charge.

use std::collections::BTreeMap;

use crate::books::Books;
use crate::quota::evidence::Evidence;
use crate::types::day::Day;
use crate::types::meter::Meter;
use crate::types::request::MethodKind;
use crate::types::tally::{Beside, Cells, Groups};
use crate::types::tier::{Channel, UsageTier, words};

words! {
    /// What is warned of, with the number of requests.
    Warning {
        /// A line without an id is its own request: if it is there twice, it counts twice.
        NoRequestId = "no_request_id",
        /// The total is below the sum of the parts; the parts stand.
        TotalMismatch = "total_mismatch",
        /// Of a shape that never says them: the request counts with 0 tokens.
        TokensUnknown = "tokens_unknown",
        /// Usage tier free, and the free tier doesn't have the model.
        UsageTierContradicted = "usage_tier_contradicted",
        /// Before the model's release or after its end.
        ModelNotOffered = "model_not_offered",
        /// A prompt above the model's context window went well.
        ContextWindowExceeded = "context_window_exceeded",
        /// A 429 body names another limit than the limits book or the accounts file.
        QuotaLimitContradicted = "quota_limit_contradicted",
        /// A 429 body names a quota of another usage tier.
        QuotaUsageTierContradicted = "quota_usage_tier_contradicted",
        /// Two shapes have as many calls with as many tokens, and no ids in common.
        MaybeCountedTwice = "maybe_counted_twice",
        /// The day began without what earlier days hand on.
        CarryMissing = "carry_missing",
    }
}

impl Warning {
    /// What a person can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Warning::NoRequestId => "log request_id, or the same request given twice counts twice",
            Warning::TotalMismatch => {
                "totals are below their parts, which are what is charged: check who wrote them"
            }
            Warning::TokensUnknown => {
                "this log has no tokens: its requests count in usage and quota, and cost nothing here"
            }
            Warning::UsageTierContradicted => {
                "the free usage tier doesn't have the model: check the project's usage tier"
            }
            Warning::ModelNotOffered => {
                "the models book says the model wasn't there that day: check the clock or the book"
            }
            Warning::QuotaLimitContradicted => {
                "429 bodies name another limit than the books (evidence.csv): --limits or [[projects.limits]] says yours"
            }
            Warning::QuotaUsageTierContradicted => {
                "429 bodies name another usage tier (evidence.csv): check the project's usage tier"
            }
            Warning::MaybeCountedTwice => {
                "these may be the same calls, logged twice under other ids: if so, give one of the logs only"
            }
            Warning::CarryMissing => {
                "caches, free units and credits used on earlier days aren't known: replay them"
            }
            Warning::ContextWindowExceeded => {
                "a prompt is longer than the model takes: check the counts or the models book"
            }
        }
    }
}

/// The warnings of a day's cells, 429 bodies and calls in two shapes, none that counts nothing.
pub fn warnings(
    day: Day,
    cells: &Cells,
    groups: &Groups,
    books: &Books,
    bodies: &Evidence<'_>,
    twice: &Twice,
) -> BTreeMap<Warning, u64> {
    let mut warnings = BTreeMap::new();
    let mut warn = |warning, requests| {
        if requests > 0 {
            *warnings.entry(warning).or_default() += requests;
        }
    };
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let inference = books.methods.find(facts.method).kind == MethodKind::Inference;
        let evidence = if inference && facts.status.went_well() { cell.requests } else { 0 };
        let free = facts.channel == Channel::Api && key.usage_tier == UsageTier::Free;
        let base = || books.models.find(books.base_model(facts, day));
        let contradicted = free && base().is_some_and(|model| model.free_tier == Some(false));
        let not_offered = books.models.find(&facts.model).is_some_and(|model| !model.was_there(day));
        for (warning, requests) in [
            (Warning::NoRequestId, cell.sum(Beside::WithoutId)),
            (Warning::TotalMismatch, cell.sum(Beside::TotalMismatch)),
            (Warning::TokensUnknown, cell.sum(Beside::TokensUnknown)),
            (Warning::UsageTierContradicted, if contradicted { evidence } else { 0 }),
            (Warning::ModelNotOffered, if not_offered { evidence } else { 0 }),
            (Warning::ContextWindowExceeded, cell.sum(Beside::AboveContextWindow)),
        ] {
            warn(warning, requests);
        }
    }
    warn(Warning::QuotaLimitContradicted, bodies.requests_with_other_limit);
    warn(Warning::QuotaUsageTierContradicted, bodies.requests_with_other_usage_tier);
    warn(Warning::MaybeCountedTwice, twice.values().sum());
    warnings
}

/// Calls that may stand in the sums twice, by the shapes in which they were logged.
pub type Twice = BTreeMap<(&'static str, &'static str), u64>;

/// Looks for the same calls in two shapes. Where both know a call's id it is one request, and stands under one of them
/// alone. Where they don't, two logs of the same calls come to the same sums: as many requests of a model on the day that
/// went well, with as many input and as many output tokens. Other calls do that hardly ever, unless they are very few.
pub fn twice(day: Day, cells: &Cells, groups: &Groups, books: &Books) -> Twice {
    let mut sums: BTreeMap<(&str, &'static str), [u64; 3]> = BTreeMap::new();
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let inference = books.methods.find(facts.method).kind == MethodKind::Inference;
        if inference && facts.status.went_well() && cell.sum(Beside::TokensUnknown) == 0 {
            let [mut input, mut output] = [0; 2];
            for (slot, tokens) in cell.quantities() {
                match slot.meter() {
                    Meter::Input | Meter::InputCached | Meter::InputTool => input += tokens,
                    Meter::Output | Meter::OutputThinking => output += tokens,
                    _ => {}
                }
            }
            let of_cell = [cell.requests, input, output];
            let sums = sums.entry((books.base_model(facts, day), facts.shape)).or_default();
            // They fit, as all sums of parts of a tally do.
            sums.iter_mut().zip(of_cell).for_each(|(sum, addend)| *sum += addend);
        }
    }
    let mut shapes: BTreeMap<(&str, [u64; 3]), Vec<&'static str>> = BTreeMap::new();
    for ((model, shape), sums @ [_, input, output]) in sums {
        if input + output > 0 {
            shapes.entry((model, sums)).or_default().push(shape);
        }
    }
    let mut twice = Twice::new();
    for ((_, [requests, ..]), shapes) in &shapes {
        for pair in shapes.windows(2) {
            *twice.entry((pair[0], pair[1])).or_default() += requests;
        }
    }
    twice
}
