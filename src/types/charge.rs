//! Owns what rating makes of a cell: charges, quantities in suspense, and what rests on assumptions.

use std::sync::Arc;

use super::day::Day;
use super::meter::{Meter, Modality};
use super::money::Pico;
use super::reason::Reason;
use super::tier::{Channel, ServiceTier, UsageTier, words};

words! {
    /// The rule that makes a quantity free of charge, in the order in which rules are asked.
    Exempt { Failed = "C3", AiStudio = "C4", FreeTier = "C2", SearchContext = "C11" }
}

words! {
    /// What Google's pages leave open and this program decides.
    Assumption {
        UndocumentedStatus = "undocumented_status",
        UndocumentedMethod = "undocumented_method",
        ToolsNotLogged = "tools_not_logged",
        CachedWithoutPrice = "cached_without_price",
        AiStudioSince202604 = "ai_studio_since_2026_04",
        TunedModelSince202604 = "tuned_model_since_2026_04",
    }
}

/// What makes a row of the charges report: one per key and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChargeKey<'r> {
    pub project_id: &'r str,
    pub model: &'r str,
    pub base_model: &'r str,
    pub usage_tier: UsageTier,
    pub service_tier: ServiceTier,
    pub channel: Channel,
    /// Of the price line; None without a price.
    pub price_above_prompt_tokens: Option<u64>,
    pub meter: Meter,
    pub modality: Modality,
    pub exempt: Option<Exempt>,
}

/// A price line as far as charges show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPrice {
    pub above_prompt_tokens: u64,
    pub from: Day,
    /// Dollars for `per` units.
    pub usd: Pico,
    pub per: u64,
    pub citation: Arc<str>,
}

impl UnitPrice {
    /// Quantity × unit price. Exact: the loader refuses a price that is no whole number of pico-dollars a unit.
    pub fn cost(&self, quantity: u64) -> Option<Pico> {
        Pico(self.usd.0 / i128::from(self.per)).checked_mul(quantity)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Charge<'r> {
    pub quantity: u64,
    pub price: Option<&'r UnitPrice>,
    /// None where there is no price.
    pub list_cost: Option<Pico>,
    pub rated_cost: Pico,
}

/// What makes a row of the suspense report, stage charge: one per key and day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnratedKey<'r> {
    pub project_id: &'r str,
    pub model: &'r str,
    pub reason: Reason,
    pub detail: String,
    pub meter: Meter,
}

/// A quantity that can't be rated: in suspense, never zero.
#[derive(Clone, Debug, Default)]
pub struct Unrated {
    pub quantity: u64,
    /// Where a price is known.
    pub list_cost: Option<Pico>,
    /// Requests of the cells: one with several meters is in several rows.
    pub requests: u64,
}

/// What rests on an assumption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resting {
    pub requests: u64,
    pub rated_cost: Pico,
}
