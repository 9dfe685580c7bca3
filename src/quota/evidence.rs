//! Owns what 429 bodies say against the books (Q9): a body that names its quota is evidence of the limit and of the usage
//! tier in force. What the names of quotas mean is here alone; that a body is evidence changes no figure.

use std::collections::BTreeMap;

use super::{q1_quota_model, q9_limit};
use crate::books::Books;
use crate::books::limits::Metric;
use crate::types::day::Day;
use crate::types::quota_use::QuotaKey;
use crate::types::tally::{Cells, Groups};
use crate::types::tier::UsageTier;
use crate::types::violation::Violation;

/// What the 429 bodies of a day say.
#[derive(Debug, Default)]
pub struct Evidence<'r> {
    pub rows: BTreeMap<EvidenceKey<'r>, Seen>,
    /// Requests with a quota whose limit isn't that of the books.
    pub requests_with_other_limit: u64,
    /// Requests with a quota of another usage tier than the one taken for theirs.
    pub requests_with_other_usage_tier: u64,
}

/// What makes a row of the evidence report: one per key and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvidenceKey<'r> {
    /// Under which its requests were measured.
    pub quota: QuotaKey<'r>,
    pub violation: &'r Violation,
}

/// A quota that requests named.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// None where the limits book has none like it, or nothing says whether it holds for a minute or a day.
    pub metric: Option<Metric>,
    /// None where its names don't tell it.
    pub usage_tier: Option<UsageTier>,
    /// Of the metric, under the usage tier taken for the requests'.
    pub limit_book: Option<u64>,
    pub requests: u64,
}

/// Q9. What 429 bodies say of limits and usage tiers, beside what was taken for them.
pub fn q9_evidence<'r>(day: Day, cells: &Cells, groups: &'r Groups, books: &'r Books) -> Evidence<'r> {
    let mut evidence = Evidence::default();
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        if facts.violations.all().is_empty() {
            continue;
        }
        let (requests, usage_tier) = (cell.requests, key.usage_tier);
        let base_model = books.base_model(facts, day);
        let quota_model = q1_quota_model(facts, base_model, usage_tier, day, books);
        let quota = QuotaKey { project_id: &facts.project_id, quota_model, usage_tier };
        let (mut other_limit, mut other_usage_tier) = (false, false);
        for violation in facts.violations.all() {
            let row = evidence.rows.entry(EvidenceKey { quota, violation }).or_insert_with(|| {
                let metric = violation.quota_id.as_deref().and_then(metric);
                let limit_book = metric.and_then(|metric| q9_limit(&quota, metric, day, books));
                Seen { metric, usage_tier: seen_usage_tier(violation), limit_book, requests: 0 }
            });
            row.requests += requests;
            if row.contradicts_usage_tier(usage_tier) {
                other_usage_tier = true;
            } else {
                // Of another usage tier another limit says nothing more.
                other_limit |= row.limit_book.zip(violation.limit).is_some_and(|(book, seen)| book != seen);
            }
        }
        evidence.requests_with_other_limit += if other_limit { requests } else { 0 };
        evidence.requests_with_other_usage_tier += if other_usage_tier { requests } else { 0 };
    }
    evidence
}

impl Seen {
    /// Where nothing said the usage tier there is nothing to contradict.
    fn contradicts_usage_tier(&self, taken: UsageTier) -> bool {
        taken != UsageTier::Unknown && self.usage_tier.is_some_and(|seen| seen != taken)
    }
}

/// What a quota caps, as the limits book calls it. Of the project and a model: a quota per user is another one, and so is
/// that of searches.
fn metric(quota_id: &str) -> Option<Metric> {
    const REQUESTS: [&str; 2] = ["GenerateRequests", "EmbedContentRequests"];
    const INPUT_TOKENS: [&str; 3] =
        ["GenerateContentInputTokens", "GenerateContentPaidTierInputTokens", "EmbedContentInputTokens"];
    let caps = |what: &[&str]| what.iter().find_map(|what| quota_id.strip_prefix(what));
    let (requests, window) = match (caps(&REQUESTS), caps(&INPUT_TOKENS)) {
        (Some(window), _) => (true, window),
        (None, window) => (false, window?),
    };
    let says = |word| window.contains(word);
    if !says("PerModel") || says("PerUser") {
        return None;
    }
    match (requests, says("PerMinute"), says("PerDay")) {
        (true, true, false) => Some(Metric::Rpm),
        (true, false, true) => Some(Metric::Rpd),
        (false, true, false) => Some(Metric::Tpm),
        (false, false, true) => Some(Metric::Tpd),
        _ => None,
    }
}

/// The usage tier in a quota's names. The first paid one has no number; names without a word of a tier are those of paid
/// tiers too, but of which isn't told: a project of tier2 was refused by `generate_requests_per_model`.
fn seen_usage_tier(violation: &Violation) -> Option<UsageTier> {
    const WORDS: [(&str, &str, UsageTier); 4] = [
        ("FreeTier", "_free_tier_", UsageTier::Free),
        ("PaidTier2", "_paid_tier_2_", UsageTier::Tier2),
        ("PaidTier3", "_paid_tier_3_", UsageTier::Tier3),
        ("PaidTier", "_paid_tier_", UsageTier::Tier1),
    ];
    let id = violation.quota_id.as_deref().unwrap_or_default();
    let metric = violation.quota_metric.as_deref().unwrap_or_default();
    let of_id = WORDS.iter().find(|(word, ..)| id.contains(word));
    of_id.or_else(|| WORDS.iter().find(|(_, word, _)| metric.contains(word))).map(|(.., tier)| *tier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_quotas_say_metric_and_usage_tier() {
        use Metric::{Rpd, Rpm, Tpd, Tpm};
        use UsageTier::{Free, Tier1, Tier2, Tier3};
        for (quota_metric, quota_id, expected) in [
            ("", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", (Some(Rpm), Some(Free))),
            ("", "GenerateRequestsPerDayPerProjectPerModel-PaidTier2", (Some(Rpd), Some(Tier2))),
            (
                "generate_content_paid_tier_3_input_token_count",
                "GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier3",
                (Some(Tpm), Some(Tier3)),
            ),
            ("", "GenerateContentPaidTierInputTokensPerModelPerMinute", (Some(Tpm), Some(Tier1))),
            ("", "GenerateContentInputTokensPerModelPerDay-FreeTier", (Some(Tpd), Some(Free))),
            ("", "EmbedContentRequestsPerMinutePerProjectPerModel-FreeTier", (Some(Rpm), Some(Free))),
            ("generate_content_paid_tier_2_input_token_count", "", (None, Some(Tier2))),
            ("generate_requests_per_model", "GenerateRequestsPerMinutePerProjectPerModel", (Some(Rpm), None)),
            // Of a user, of all models, of searches, and one that nobody knows.
            ("", "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier", (None, Some(Free))),
            ("", "GenerateRequestsPerDayPerProject", (None, None)),
            ("", "GenerateContentSearchRequestsPerDayPerProjectPerModel", (None, None)),
            ("generate_content_free_tier_requests", "Other", (None, Some(Free))),
        ] {
            let violation = Violation::new(Some(quota_metric), Some(quota_id), None).expect("a name");
            let id = violation.quota_id.as_deref().and_then(metric);
            assert_eq!((id, seen_usage_tier(&violation)), expected, "{quota_metric} {quota_id}");
        }
    }
}
