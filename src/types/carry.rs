//! Owns the carry: what a day hands on to the next, as `carry.json` has it. It holds uses, not balances, so that a
//! changed accounts file takes effect at once. How a day makes it is for `walk`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::day::{Day, Instant};
use super::money::Pico;
use super::tier::{Channel, UsageTier};

/// What is handed on. Lists are sorted by their names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Carry<Name> {
    /// The day at whose end this holds.
    pub date: Day,
    /// That live on.
    pub caches: Vec<LivingCache<Name>>,
    /// Names of caches that ended, for as many days as a late patch or delete of one is nothing to wonder at.
    pub caches_ended: Vec<EndedCache<Name>>,
    /// Free units taken in the month of the day.
    pub allowances: Vec<AllowanceUse<Name>>,
    pub credits: Vec<CreditUse<Name>>,
    pub accounts: Vec<AccountUse<Name>>,
}

impl<Name: Serialize> Carry<Name> {
    /// As `carry.json` has it.
    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("maps have words as keys");
        format!("{text}\n")
    }

    /// XXH3 (128 bits) of the text, in hexadecimal.
    pub fn hash(&self) -> String {
        format!("{:032x}", XxHash3_128::oneshot(self.text().as_bytes()))
    }
}

/// A cache as on its creation, but for its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivingCache<Name> {
    pub project_id: Name,
    pub name: Name,
    pub model: Name,
    pub base_model: Name,
    pub usage_tier: UsageTier,
    pub channel: Channel,
    pub tokens: u64,
    pub started_at: Instant,
    pub ends_at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedCache<Name> {
    pub project_id: Name,
    pub name: Name,
    pub ended_at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceUse<Name> {
    pub pool: Name,
    pub project_id: Name,
    pub units: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditUse<Name> {
    pub billing_account: Name,
    pub credit: Name,
    pub used_usd: Pico,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountUse<Name> {
    /// None: of projects that have no billing account.
    pub billing_account: Option<Name>,
    /// Rated cost of the month to date.
    pub month_cost_usd: Pico,
    /// Net cost of all days so far.
    pub net_cost_usd: Pico,
    /// The day since when the criteria of a usage tier have been met.
    pub criteria_met: BTreeMap<UsageTier, Day>,
}
