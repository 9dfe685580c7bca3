//! Owns the quota report: use of quota against the limits in force.

use super::{Kind, Report, Rows, column};
use crate::quota::Measured;
use crate::types::day::Day;

const NO_LIMIT: &str = "no book has a limit";
const NO_PEAK: &str = "the peak is 0, or unknown";
const NO_TIME: &str = "the log doesn't say when some of the requests were";
const NO_SECONDS: &str = "no book has a limit, or the peak is unknown";

pub const REPORT: Report = Report {
    name: "quota",
    columns: &[
        column("date", Kind::Date, "Pacific day: when quotas reset"),
        column("project_id", Kind::Text, "limits are per project, not per key"),
        column("quota_model", Kind::Text, "the model under which requests count")
            .or_null("the method needs none"),
        column("usage_tier", Kind::Text, "free, tier1, tier2, tier3, unknown: decides the limits"),
        column(
            "requests",
            Kind::Whole,
            "of methods that count against quota, batch aside; throttled included",
        ),
        column(
            "requests_counted",
            Kind::Whole,
            "that count against quota: failed ones do, throttled ones don't",
        ),
        column("requests_throttled", Kind::Whole, "answered 429"),
        column("rpd_limit", Kind::Whole, "requests per day; 0: not offered").or_null(NO_LIMIT),
        column(
            "rpd_used",
            Kind::Whole,
            "counted requests of the day up to the row's last request, over usage tiers",
        ),
        column("rpm_limit", Kind::Whole, "requests per minute; 0: not offered").or_null(NO_LIMIT),
        column("rpm_peak", Kind::Whole, "most counted requests in any 60 consecutive seconds")
            .or_null(NO_TIME),
        column("rpm_peak_at", Kind::Instant, "the second with which the earliest such 60 begin")
            .or_null(NO_PEAK),
        column("rpm_peak_minute", Kind::Whole, "most counted requests in a calendar minute").or_null(NO_TIME),
        column(
            "rpm_over_seconds",
            Kind::Whole,
            "seconds with a request whose last 60 seconds exceed the limit",
        )
        .or_null(NO_SECONDS),
        column("tpm_limit", Kind::Whole, "input tokens per minute; 0: not offered").or_null(NO_LIMIT),
        column(
            "tpm_peak",
            Kind::Whole,
            "most input tokens (cached and tool tokens too) in any 60 consecutive seconds",
        )
        .or_null(NO_TIME),
        column("tpm_peak_at", Kind::Instant, "the second with which the earliest such 60 begin")
            .or_null(NO_PEAK),
        column("tpm_peak_minute", Kind::Whole, "most input tokens in a calendar minute").or_null(NO_TIME),
        column(
            "tpm_over_seconds",
            Kind::Whole,
            "seconds with a request whose last 60 seconds exceed the limit",
        )
        .or_null(NO_SECONDS),
        column("tpd_limit", Kind::Whole, "input tokens per day; 0: not offered").or_null(NO_LIMIT),
        column(
            "tpd_used",
            Kind::Whole,
            "input tokens of the day up to the row's last request, over usage tiers",
        ),
    ],
    key: &["date", "project_id", "quota_model", "usage_tier"],
    has_csv: true,
};

/// The rows of one day.
pub fn rows(day: Day, measured: &Measured<'_>) -> Rows {
    let mut rows = Rows::new(&REPORT, measured.quota.len());
    for (key, quota) in &measured.quota {
        rows.push([
            day.into(),
            key.project_id.into(),
            key.quota_model.into(),
            key.usage_tier.name().into(),
            quota.requests.into(),
            quota.requests_counted.into(),
            quota.requests_throttled.into(),
            quota.rpd.limit.into(),
            quota.rpd.used.into(),
            quota.rpm.limit.into(),
            quota.rpm.peak.into(),
            quota.rpm.peak_at.into(),
            quota.rpm.peak_minute.into(),
            quota.rpm.over_seconds.into(),
            quota.tpm.limit.into(),
            quota.tpm.peak.into(),
            quota.tpm.peak_at.into(),
            quota.tpm.peak_minute.into(),
            quota.tpm.over_seconds.into(),
            quota.tpd.limit.into(),
            quota.tpd.used.into(),
        ]);
    }
    rows
}
