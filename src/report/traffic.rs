//! Owns the traffic report: requests and input tokens by minute, for plots.

use super::{Kind, Report, Rows, column};
use crate::quota::{Measured, window};
use crate::types::day::{Day, Instant};
use crate::types::quota_use::Minute;

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
    // A packed minute is five numbers, each a byte at least.
    let packed: usize = measured.minutes.values().map(Vec::len).sum();
    let mut rows = Rows::new(&REPORT, packed / 5);
    let start = day.start().seconds();
    let minute_at = |minute: u32| Instant::from_seconds(start + i64::from(minute) * 60);
    for (key, minutes) in &measured.minutes {
        let minutes: Vec<(u32, Minute)> = window::unpack(minutes).collect();
        let mut of_key = rows.append(minutes.len());
        of_key.all(day);
        of_key.all(key.project_id);
        of_key.all(key.quota_model);
        of_key.all(key.usage_tier.name());
        of_key.each(minutes.iter().map(|(minute, _)| minute_at(*minute)));
        of_key.each(minutes.iter().map(|(_, sums)| sums.requests));
        of_key.each(minutes.iter().map(|(_, sums)| sums.requests_counted));
        of_key.each(minutes.iter().map(|(_, sums)| sums.requests_throttled));
        of_key.each(minutes.iter().map(|(_, sums)| sums.input_tokens));
    }
    rows
}
