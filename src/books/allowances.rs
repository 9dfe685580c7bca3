//! Owns the free units that a pool of models has each period, as `rerate book allowances` shows them.

use std::sync::Arc;

use super::dated::{Fields, Line};
use crate::names;
use crate::types::day::Day;
use crate::types::meter::Meter;

pub const EMBEDDED: &str = include_str!("allowances.csv");

#[derive(Clone, Debug)]
pub struct AllowanceLine {
    pool: Arc<str>,
    /// Space-separated.
    models: Arc<str>,
    meter: Meter,
    from: Day,
}

impl Line for AllowanceLine {
    const COLUMNS: &'static [&'static str] =
        &["pool", "models", "meter", "quantity", "period", "from", "confidence", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<AllowanceLine> {
        let (pool, models) = (fields.text("pool"), fields.text("models"));
        let meter = fields.word("meter", names!(Meter), Meter::from_name);
        fields.whole("quantity")?;
        let periods = ["day", "month"];
        fields.word("period", &periods, |word| periods.contains(&word).then_some(()))?;
        let from = fields.day("from");
        fields.confidence()?;
        Some(AllowanceLine { pool: pool?, models: models?, meter: meter?, from: from? })
    }

    fn key(&self) -> String {
        format!("{} {} ({})", self.pool, self.meter, self.models)
    }

    fn from(&self) -> Option<Day> {
        Some(self.from)
    }

    fn answers(&self, word: &str) -> bool {
        *self.pool == *word || self.models.split(' ').any(|model| model == word)
    }
}
