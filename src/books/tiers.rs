//! Owns what a billing account needs for a usage tier, and its monthly cap, as `rerate book tiers` shows it.

use super::dated::{Fields, Line};
use crate::names;
use crate::types::day::Day;
use crate::types::tier::UsageTier;

pub const EMBEDDED: &str = include_str!("tiers.csv");

#[derive(Clone, Debug)]
pub struct TierLine {
    usage_tier: UsageTier,
    from: Day,
}

impl Line for TierLine {
    const COLUMNS: &'static [&'static str] = &[
        "usage_tier",
        "from",
        "requires_billing",
        "min_spend_usd",
        "min_days",
        "monthly_cap_usd",
        "citation",
    ];

    fn read(fields: &mut Fields<'_>) -> Option<TierLine> {
        let usage_tier = fields.word("usage_tier", names!(UsageTier), UsageTier::from_name);
        let from = fields.day("from");
        fields.yes_or_no("requires_billing")?;
        fields.dollars("min_spend_usd")?;
        fields.whole("min_days")?;
        if !fields.cell("monthly_cap_usd").is_empty() {
            fields.dollars("monthly_cap_usd")?;
        }
        Some(TierLine { usage_tier: usage_tier?, from: from? })
    }

    fn key(&self) -> String {
        self.usage_tier.to_string()
    }

    fn from(&self) -> Option<Day> {
        Some(self.from)
    }

    fn answers(&self, word: &str) -> bool {
        self.usage_tier.name() == word
    }
}
