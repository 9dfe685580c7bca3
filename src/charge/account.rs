//! Owns what a billing account comes to at the end of a day: costs, the month's cap, and where it stands among the usage
//! tiers (billing page, "tier eligibility"). Criteria are in the tiers book; credits are for `credit`.

use std::collections::BTreeMap;

use super::credit::Credits;
use super::{Rated, sum, too_much};
use crate::books::Books;
use crate::books::accounts::BillingAccount;
use crate::error::Result;
use crate::types::carry::{AccountUse, Carry};
use crate::types::charge::{AccountDay, Payment, Standing};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;
use crate::types::tally::{Cells, Groups};
use crate::types::tier::UsageTier;

/// A billing account; None: the projects that have none.
type Id<'r> = Option<&'r str>;

/// What accounts have come to so far.
#[derive(Debug, Default)]
pub struct AccountsSoFar<'r> {
    accounts: BTreeMap<Id<'r>, SoFar>,
    month: Option<(i64, i64)>,
}

#[derive(Debug, Default)]
struct SoFar {
    month_cost: Pico,
    net_cost: Pico,
    criteria_met: BTreeMap<UsageTier, Day>,
}

impl<'r> AccountsSoFar<'r> {
    pub fn from_carry(carry: &'r Carry<String>) -> AccountsSoFar<'r> {
        let accounts = carry.accounts.iter().map(|own| {
            let so_far = SoFar {
                month_cost: own.month_cost_usd,
                net_cost: own.net_cost_usd,
                criteria_met: own.criteria_met.clone(),
            };
            (own.billing_account.as_deref(), so_far)
        });
        AccountsSoFar { accounts: accounts.collect(), month: Some(carry.date.month()) }
    }

    /// The accounts at the end of a day, and what their credits paid.
    pub fn end_day(
        &mut self,
        day: Day,
        rated: &Rated<'r>,
        credits: &mut Credits<'r>,
        books: &'r Books,
    ) -> Result<(Vec<AccountDay<'r>>, Vec<Payment<'r>>)> {
        if self.month.replace(day.month()) != Some(day.month()) {
            self.accounts.values_mut().for_each(|account| account.month_cost = Pico::ZERO);
        }
        let mut rated_costs: BTreeMap<Id<'r>, Pico> = BTreeMap::new();
        for (key, charge) in &rated.charges {
            let account = books.accounts.billing_account(key.project_id).map(|id| &**id);
            let cost = rated_costs.entry(account).or_default();
            *cost = sum(*cost, charge.rated_cost)?;
        }
        let mut days = Vec::new();
        let mut payments = Vec::new();
        if let Some(cost) = rated_costs.get(&None) {
            days.push(self.cost(None, *cost, Pico::ZERO)?);
        }
        for (id, account) in books.accounts.billing_accounts() {
            let id = &**id;
            let rated_cost = rated_costs.get(&Some(id)).copied().unwrap_or_default();
            let paid = credits.c9_pay(day, id, account, rated_cost)?;
            let credit = paid.iter().try_fold(Pico::ZERO, |total, payment| sum(total, payment.applied))?;
            payments.extend(paid);
            days.push(self.cost(Some(id), rated_cost, credit)?);
            self.note_criteria(day, id, account, books)?;
        }
        Ok((days, payments))
    }

    fn cost(&mut self, id: Id<'r>, rated_cost: Pico, credit: Pico) -> Result<AccountDay<'r>> {
        let so_far = self.accounts.entry(id).or_default();
        let net_cost = rated_cost.checked_sub(credit).ok_or_else(too_much)?;
        so_far.month_cost = sum(so_far.month_cost, rated_cost)?;
        so_far.net_cost = sum(so_far.net_cost, net_cost)?;
        let month_cost = so_far.month_cost;
        Ok(AccountDay { billing_account: id, rated_cost, credit, net_cost, month_cost })
    }

    /// Since when the account has met the criteria of each usage tier: spend, and days since the first payment.
    fn note_criteria(
        &mut self,
        day: Day,
        id: &'r str,
        account: &BillingAccount,
        books: &Books,
    ) -> Result<()> {
        let so_far = self.accounts.entry(Some(id)).or_default();
        let spend = sum(account.spent_before, so_far.net_cost)?;
        let days = account.days_since_first_payment(day);
        for &usage_tier in &[UsageTier::Tier1, UsageTier::Tier2, UsageTier::Tier3] {
            let met = books.tiers.find(usage_tier, day).is_some_and(|line| {
                let old_enough = line.min_days == 0 || days.is_some_and(|days| days >= line.min_days);
                spend >= line.min_spend && old_enough
            });
            if met {
                so_far.criteria_met.entry(usage_tier).or_insert(day);
            } else {
                so_far.criteria_met.remove(&usage_tier);
            }
        }
        Ok(())
    }

    /// Where an account of the accounts file stands at the end of a day on which its projects' highest usage tier is
    /// `usage_tier`.
    pub fn standing(&self, day: Day, id: &str, usage_tier: UsageTier, books: &Books) -> Option<Standing> {
        let account = books.accounts.billing_accounts().get(id)?;
        let so_far = self.accounts.get(&Some(id))?;
        let next = usage_tier.next();
        let line = next.and_then(|next| books.tiers.find(next, day));
        let own_tier = books.tiers.find(usage_tier, day);
        Some(Standing {
            usage_tier,
            monthly_cap: account.monthly_cap.or(own_tier.and_then(|line| line.monthly_cap)),
            // It was summed when the criteria were looked at.
            spend: account.spent_before.checked_add(so_far.net_cost)?,
            days_since_first_payment: account.days_since_first_payment(day),
            next,
            next_min_spend: line.map(|line| line.min_spend),
            next_min_days: line.map(|line| line.min_days),
            eligible_since: next.and_then(|next| so_far.criteria_met.get(&next).copied()),
        })
    }

    /// What the next day takes over.
    pub fn to_carry(&self) -> Vec<AccountUse<&'r str>> {
        let accounts = self.accounts.iter().map(|(id, so_far)| AccountUse {
            billing_account: *id,
            month_cost_usd: so_far.month_cost,
            net_cost_usd: so_far.net_cost,
            criteria_met: so_far.criteria_met.clone(),
        });
        accounts.collect()
    }
}

/// The highest usage tier of each billing account's projects: in force at the end of the day, or on a request of it.
/// `flag` is that of projects without a timeline.
pub fn usage_tiers<'r>(
    day: Day,
    cells: &Cells,
    groups: &Groups,
    flag: Option<UsageTier>,
    books: &'r Books,
) -> BTreeMap<&'r str, UsageTier> {
    let last = Instant(day.next().start().0 - 1);
    let timeline = |project: &str| books.accounts.timeline(project, flag).at(last);
    let in_force = books.accounts.projects().map(|project| (&**project, timeline(project)));
    let requested = cells.iter().map(|(key, _)| (&*groups[key.group.0 as usize].project_id, key.usage_tier));
    let mut highest: BTreeMap<&str, UsageTier> = BTreeMap::new();
    for (project, usage_tier) in in_force.chain(requested) {
        if let Some(id) = books.accounts.billing_account(project) {
            let own = highest.entry(id).or_insert(UsageTier::Unknown);
            *own = own.higher(usage_tier);
        }
    }
    highest
}
