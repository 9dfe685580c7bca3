//! Owns what a billing account needs for a usage tier, and its monthly cap. Who qualifies since when is for
//! `charge::account`.

use foldhash::HashMap;

use super::dated::{self, Entry, Fields, Line, Timed};
use crate::names;
use crate::types::day::Day;
use crate::types::money::Pico;
use crate::types::tier::UsageTier;

pub const EMBEDDED: &str = include_str!("tiers.csv");

#[derive(Clone, Debug)]
pub struct TierLine {
    usage_tier: UsageTier,
    from: Day,
    pub min_spend: Pico,
    /// Since the first payment.
    pub min_days: u64,
    /// None: no cap.
    pub monthly_cap: Option<Pico>,
}

#[derive(Debug)]
pub struct Tiers {
    usage_tiers: HashMap<UsageTier, Timed<TierLine>>,
}

impl Tiers {
    pub fn new(entries: &[Entry<TierLine>]) -> Tiers {
        let lines = entries.iter().map(|Entry { line, .. }| (line.usage_tier, line.from, line.clone()));
        Tiers { usage_tiers: dated::by_key(lines) }
    }

    /// The line in force on `day`.
    pub fn find(&self, usage_tier: UsageTier, day: Day) -> Option<&TierLine> {
        dated::newest(self.usage_tiers.get(&usage_tier)?, day)
    }
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
        let (min_spend, min_days) = (fields.dollars("min_spend_usd"), fields.whole("min_days"));
        let monthly_cap = match fields.cell("monthly_cap_usd") {
            "" => None,
            _ => Some(fields.dollars("monthly_cap_usd")?),
        };
        let (usage_tier, from) = (usage_tier?, from?);
        Some(TierLine { usage_tier, from, min_spend: min_spend?, min_days: min_days?, monthly_cap })
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
