//! Owns the upgrade report: which throttled requests the limits of the next usage tier might have spared.

use super::{Kind, Report, Rows, column};
use crate::quota::Measured;
use crate::types::day::Day;

const NO_LIMIT: &str = "the limits book has none: taken as no limit";

pub const REPORT: Report = Report {
    name: "upgrade",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "as in quota"),
        column("quota_model", Kind::Text, "as in quota").or_null("the method needs none"),
        column("usage_tier", Kind::Text, "free, tier1, tier2: those that have a next one"),
        column("next_usage_tier", Kind::Text, "the one after it"),
        column("next_rpm_limit", Kind::Whole, "requests per minute; 0: not offered").or_null(NO_LIMIT),
        column("next_tpm_limit", Kind::Whole, "input tokens per minute; 0: not offered").or_null(NO_LIMIT),
        column("next_rpd_limit", Kind::Whole, "requests per day; 0: not offered").or_null(NO_LIMIT),
        column("requests_throttled", Kind::Whole, "answered 429"),
        column(
            "requests_spared_at_most",
            Kind::Whole,
            "of those, within the next limits if none had been throttled; not each 429 is a matter of quota",
        ),
    ],
    key: &["date", "project_id", "quota_model", "usage_tier"],
    has_csv: true,
};

/// The rows of one day: those of quota that have a next usage tier.
pub fn rows(day: Day, measured: &Measured<'_>) -> Rows {
    let mut rows = Rows::new(&REPORT, measured.upgrades.len());
    for (key, upgrade) in &measured.upgrades {
        rows.push([
            day.into(),
            key.project_id.into(),
            key.quota_model.into(),
            key.usage_tier.name().into(),
            upgrade.next.name().into(),
            upgrade.rpm.into(),
            upgrade.tpm.into(),
            upgrade.rpd.into(),
            upgrade.requests_throttled.into(),
            upgrade.requests_spared_at_most.into(),
        ]);
    }
    rows
}
