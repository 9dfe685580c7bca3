//! Owns free allowances (C8): units that a pool has each period are taken off before the price. Which pools there are
//! is in the allowances book.

use std::collections::BTreeMap;

use foldhash::HashMap;

use super::{Rated, sum, too_much};
use crate::books::Books;
use crate::books::accounts::AllowanceScope;
use crate::books::allowances::Period;
use crate::error::Result;
use crate::types::carry::{AllowanceUse, Carry};
use crate::types::charge::{Assumption, ChargeKey, Resting};
use crate::types::day::Day;
use crate::types::money::Pico;

/// Units taken in a month, by pool and project: whatever the scope, so that a changed accounts file counts them anew.
#[derive(Debug, Default)]
pub struct Allowances<'r> {
    taken: BTreeMap<(&'r str, &'r str), u64>,
    month: Option<(i64, i64)>,
}

/// Whose a pool's units are: a project's, or all projects' of a billing account.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Holder<'r> {
    Project(&'r str),
    BillingAccount(&'r str),
}

impl<'r> Holder<'r> {
    fn of(project_id: &'r str, books: &'r Books) -> Holder<'r> {
        match (books.accounts.allowance_scope, books.accounts.billing_account(project_id)) {
            (Some(AllowanceScope::BillingAccount), Some(account)) => Holder::BillingAccount(account),
            _ => Holder::Project(project_id),
        }
    }
}

impl<'r> Allowances<'r> {
    pub fn from_carry(carry: &'r Carry<String>) -> Allowances<'r> {
        let taken = carry.allowances.iter().map(|own| ((&*own.pool, &*own.project_id), own.units));
        Allowances { taken: taken.collect(), month: Some(carry.date.month()) }
    }

    /// C8. Takes free units off a day's charges, in the order of their rows: "1,500 RPD (free)", "5,000 prompts per month
    /// (free, shared across Gemini 3)" (pricing page). Whether a pool is the project's or the billing account's isn't
    /// said: the project's, an assumption.
    pub fn c8_take_off(&mut self, day: Day, rated: &mut Rated<'r>, books: &'r Books) -> Result<()> {
        if self.month.replace(day.month()) != Some(day.month()) {
            self.taken.clear();
        }
        let mut taken: HashMap<(&str, Period, Holder<'r>), u64> = HashMap::default();
        for (&(pool, project_id), units) in &self.taken {
            let used = taken.entry((pool, Period::Month, Holder::of(project_id, books))).or_default();
            *used = used.saturating_add(*units);
        }
        let mut resting = Resting::NOTHING;
        let mut rows: Vec<_> = rated
            .charges
            .iter_mut()
            .filter(|(key, _)| key.exempt.is_none())
            .filter_map(|(key, charge)| {
                Some((key, charge, books.allowances.find(key.base_model, key.meter, day)?))
            })
            .collect();
        rows.sort_by(|(one, ..), (other, ..)| as_rows_sort(one).cmp(&as_rows_sort(other)));
        for (key, charge, line) in rows {
            let holder = Holder::of(key.project_id, books);
            let used = taken.entry((&line.pool, line.period, holder)).or_default();
            let units = charge.quantity.min(line.quantity.saturating_sub(*used));
            *used += units;
            if line.period == Period::Month && units > 0 {
                *self.taken.entry((&line.pool, key.project_id)).or_default() += units;
            }
            charge.allowance = Some(units);
            if let Some(price) = charge.price {
                charge.rated_cost = price.cost(charge.quantity - units).ok_or_else(too_much)?;
            }
            let list_cost = charge.list_cost.unwrap_or_default();
            resting.rated_cost = sum(resting.rated_cost, charge.rated_cost)?;
            resting.high = Some(sum(resting.high.unwrap_or(Pico::ZERO), list_cost)?);
        }
        resting.low = resting.rated_cost;
        if books.accounts.allowance_scope.is_some() {
            // The accounts file says it, so nothing is assumed.
            rated.assumptions.remove(&Assumption::AllowanceScope);
            return Ok(());
        }
        if resting != Resting::NOTHING { rated.rest_on(Assumption::AllowanceScope, resting) } else { Ok(()) }
    }

    /// What the next day takes over.
    pub fn to_carry(&self) -> Vec<AllowanceUse<&'r str>> {
        let taken = self.taken.iter();
        taken.map(|(&(pool, project_id), &units)| AllowanceUse { pool, project_id, units }).collect()
    }
}

/// The key of a row as the charges report sorts it: words by their letters.
fn as_rows_sort<'r>(key: &ChargeKey<'r>) -> impl Ord + use<'r> {
    (
        (key.project_id, key.model, key.base_model),
        key.usage_tier.name(),
        key.usage_tier.pricing_tier().name(),
        key.service_tier.name(),
        key.channel.name(),
        key.price_above_prompt_tokens,
        key.meter.name(),
        key.modality.name(),
    )
}
