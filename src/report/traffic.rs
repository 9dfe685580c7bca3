//! Owns the traffic report: requests and input tokens by minute, for plots.

use std::iter;

use super::{Kind, Report, Rows, Value, column};
use crate::quota::{Measured, window};
use crate::types::day::{Day, Instant};

pub const REPORT: Report = Report {
    name: "traffic",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "Google Cloud project, as logged"),
        column("quota_model", Kind::Text, "the model under which requests count")
            .or_null("the method needs none"),
        column("usage_tier", Kind::Text, "free, tier1, tier2, tier3, unknown"),
        column("minute", Kind::Instant, "with which the minute begins"),
        column("requests", Kind::Whole, "throttled included"),
        column("requests_counted", Kind::Whole, "that count against quota"),
        column("requests_throttled", Kind::Whole, "answered 429"),
        column("input_tokens", Kind::Whole, "of counted requests, cached and tool tokens included"),
    ],
    key: &["date", "project_id", "quota_model", "usage_tier", "minute"],
    has_csv: false,
};

/// The rows of one day.
pub fn rows(day: Day, measured: &Measured<'_>) -> Rows {
    let mut rows = Rows::new(&REPORT);
    for (key, minutes) in &measured.minutes {
        let key = [day.into(), key.project_id.into(), key.quota_model.into(), key.usage_tier.name().into()];
        let keys = iter::once(key).chain(iter::repeat([Value::Same; 4]));
        for ([date, project_id, quota_model, usage_tier], (minute, sums)) in keys.zip(window::unpack(minutes))
        {
            rows.push([
                date,
                project_id,
                quota_model,
                usage_tier,
                Instant::from_seconds(day.start().seconds() + i64::from(minute) * 60).into(),
                sums.requests.into(),
                sums.requests_counted.into(),
                sums.requests_throttled.into(),
                sums.input_tokens.into(),
            ]);
        }
    }
    rows
}
