//! Owns the warnings: what in the requests speaks against the books or the logs, and what a day lacks of earlier ones,
//! counted per day (design §5). Decides no charge.

use std::collections::BTreeMap;

use crate::books::Books;
use crate::types::day::Day;
use crate::types::request::MethodKind;
use crate::types::tally::{Beside, Cell, CellKey, Groups};
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
            Warning::CarryMissing => {
                "caches, free units and credits used on earlier days aren't known: replay them"
            }
            Warning::ContextWindowExceeded => {
                "a prompt is longer than the model takes: check the counts or the models book"
            }
        }
    }
}

/// The warnings of a day's cells, none that counts nothing.
pub fn warnings(
    day: Day,
    cells: &[(&CellKey, &Cell)],
    groups: &Groups,
    books: &Books,
) -> BTreeMap<Warning, u64> {
    let mut warnings = BTreeMap::new();
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let inference = books.methods.find(facts.method).kind == MethodKind::Inference;
        let evidence = if inference && facts.status.went_well() { cell.requests } else { 0 };
        let base = books.models.find(books.base_model(facts, day));
        let no_free_tier = base.is_some_and(|model| model.free_tier == Some(false));
        let free = facts.channel == Channel::Api && key.usage_tier == UsageTier::Free;
        let not_offered = books.models.find(&facts.model).is_some_and(|model| !model.was_there(day));
        for (warning, requests) in [
            (Warning::NoRequestId, cell.sum(Beside::WithoutId)),
            (Warning::TotalMismatch, cell.sum(Beside::TotalMismatch)),
            (Warning::TokensUnknown, cell.sum(Beside::TokensUnknown)),
            (Warning::UsageTierContradicted, if free && no_free_tier { evidence } else { 0 }),
            (Warning::ModelNotOffered, if not_offered { evidence } else { 0 }),
            (Warning::ContextWindowExceeded, cell.sum(Beside::AboveContextWindow)),
        ] {
            if requests > 0 {
                *warnings.entry(warning).or_default() += requests;
            }
        }
    }
    warnings
}
