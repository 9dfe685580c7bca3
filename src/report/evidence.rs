//! Owns the evidence report: what 429 bodies say of limits and usage tiers, beside what the books say.

use super::{Kind, Report, Rows, column};
use crate::quota::evidence::{Evidence, EvidenceKey};
use crate::types::day::Day;

pub const REPORT: Report = Report {
    name: "evidence",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "as in quota"),
        column("quota_model", Kind::Text, "as in quota").or_null("the method needs none"),
        column("metric", Kind::Text, "of the limits book: rpm, rpd, tpm, tpd, as the quota's id says")
            .or_null("the book has none like it, or the body names no id"),
        column("quota_id", Kind::Text, "Google's name of the quota")
            .or_null("the body's message alone is there"),
        column("quota_metric", Kind::Text, "Google's name of what it caps").or_null("not logged"),
        column("limit_seen", Kind::Whole, "its value, as the body says").or_null("the body doesn't say"),
        column("usage_tier_seen", Kind::Text, "free, tier1, tier2, tier3, as its names say")
            .or_null("they don't say"),
        column(
            "limit_book",
            Kind::Whole,
            "of the accounts file, else of the limits book, for usage_tier_book and the day",
        )
        .or_null("there is none, or no metric"),
        column("usage_tier_book", Kind::Text, "free, tier1, tier2, tier3, unknown: as in quota"),
        column(
            "requests",
            Kind::Whole,
            "answered 429 with a body that names the quota; one may name several",
        ),
    ],
    key: &["date", "project_id", "quota_model", "usage_tier_book", "quota_metric", "quota_id", "limit_seen"],
    has_csv: true,
};

/// The rows of one day.
pub fn rows(day: Day, evidence: &Evidence<'_>) -> Rows {
    let mut rows = Rows::new(&REPORT, evidence.rows.len());
    for (EvidenceKey { quota, violation }, seen) in &evidence.rows {
        rows.push([
            day.into(),
            quota.project_id.into(),
            quota.quota_model.into(),
            seen.metric.map(|metric| metric.name()).into(),
            violation.quota_id.as_deref().into(),
            violation.quota_metric.as_deref().into(),
            violation.limit.into(),
            seen.usage_tier.map(|usage_tier| usage_tier.name()).into(),
            seen.limit_book.into(),
            quota.usage_tier.name().into(),
            seen.requests.into(),
        ]);
    }
    rows
}
