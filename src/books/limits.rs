//! Owns the limit book: a metric's limit by model, usage tier and day. Measuring against it is for `quota`.

use std::sync::Arc;

use foldhash::HashMap;

use super::dated::{self, Entry, Fields, Line, Timed};
use crate::names;
use crate::types::day::Day;
use crate::types::tier::{UsageTier, words};

pub const EMBEDDED: &str = include_str!("limits.csv");

words! {
    /// What a limit caps, per project.
    Metric {
        Rpm = "rpm",
        /// Input tokens a minute.
        Tpm = "tpm",
        Rpd = "rpd",
        Tpd = "tpd",
        /// Images a minute.
        Ipm = "ipm",
        BatchEnqueuedTokens = "batch_enqueued_tokens",
        ConcurrentSessions = "concurrent_sessions",
    }
}

#[derive(Clone, Debug)]
pub struct LimitLine {
    model: Arc<str>,
    usage_tier: UsageTier,
    metric: Metric,
    value: u64,
    from: Day,
}

type Key = (UsageTier, Metric);

#[derive(Debug)]
pub struct Limits(HashMap<Arc<str>, ModelLimits>);

/// The limits of one model.
#[derive(Debug, Default)]
pub struct ModelLimits(HashMap<Key, Timed<u64>>);

impl Limits {
    pub fn new(entries: &[Entry<LimitLine>]) -> Limits {
        let lines = entries.iter().map(|Entry { line, .. }| {
            ((line.model.clone(), line.usage_tier, line.metric), line.from, line.value)
        });
        let mut models: HashMap<Arc<str>, ModelLimits> = HashMap::default();
        for ((model, usage_tier, metric), values) in dated::by_key(lines) {
            models.entry(model).or_default().0.insert((usage_tier, metric), values);
        }
        Limits(models)
    }

    /// None of a model that never had a limit.
    pub fn of_model(&self, model: &str) -> Option<&ModelLimits> {
        self.0.get(model)
    }

    /// The limit in force on `day`: None when the book has none, 0 when the usage tier doesn't offer the model.
    pub fn find(&self, model: &str, usage_tier: UsageTier, metric: Metric, day: Day) -> Option<u64> {
        self.of_model(model)?.find(usage_tier, metric, day)
    }
}

impl ModelLimits {
    /// As [`Limits::find`].
    pub fn find(&self, usage_tier: UsageTier, metric: Metric, day: Day) -> Option<u64> {
        dated::newest(self.0.get(&(usage_tier, metric))?, day).copied()
    }
}

impl Line for LimitLine {
    const COLUMNS: &'static [&'static str] =
        &["model", "usage_tier", "metric", "value", "from", "confidence", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<LimitLine> {
        let model = fields.text("model");
        let usage_tier = fields.word("usage_tier", names!(UsageTier), UsageTier::from_name);
        let metric = fields.word("metric", names!(Metric), Metric::from_name);
        let (value, from) = (fields.whole("value"), fields.day("from"));
        fields.confidence()?;
        Some(LimitLine {
            model: model?,
            usage_tier: usage_tier?,
            metric: metric?,
            value: value?,
            from: from?,
        })
    }

    fn key(&self) -> String {
        [&self.model, self.usage_tier.name(), self.metric.name()].join(" ")
    }

    fn from(&self) -> Option<Day> {
        Some(self.from)
    }

    fn answers(&self, word: &str) -> bool {
        *self.model == *word
    }
}
