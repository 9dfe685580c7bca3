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

    /// The accounts at the end of a day, and what their credits paid. `usage_tiers` are the highest of the day's requests,
    /// by project; `flag` is that of projects without a timeline.
    pub fn end_day(
        &mut self,
        day: Day,
        rated: &Rated<'r>,
        usage_tiers: &BTreeMap<&'r str, UsageTier>,
        flag: Option<UsageTier>,
        credits: &mut Credits<'r>,
        books: &'r Books,
    ) -> Result<(Vec<AccountDay<'r>>, Vec<Payment<'r>>)> {
        if self.month.replace(day.month()) != Some(day.month()) {
            self.accounts.values_mut().for_each(|account| account.month_cost = Pico::ZERO);
        }
        let account_of = |project_id: &str| books.accounts.billing_account(project_id).map(|id| &**id);
        let mut rated_costs: BTreeMap<Id<'r>, Pico> = BTreeMap::new();
        for (key, charge) in &rated.charges {
            let cost = rated_costs.entry(account_of(key.project_id)).or_default();
            *cost = sum(*cost, charge.rated_cost)?;
        }
        let mut highest: BTreeMap<&str, UsageTier> = BTreeMap::new();
        let midnight = Instant(day.next().start().0 - 1);
        let in_force = books
            .accounts
            .projects()
            .map(|project| (&**project, books.accounts.timeline(project, flag).at(midnight)));
        for (project, usage_tier) in
            in_force.chain(usage_tiers.iter().map(|(project, tier)| (*project, *tier)))
        {
            if let Some(id) = account_of(project) {
                let own = highest.entry(id).or_insert(UsageTier::Unknown);
                *own = own.higher(usage_tier);
            }
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
            let mut account_day = self.cost(Some(id), rated_cost, credit)?;
            let usage_tier = highest.get(id).copied().unwrap_or(UsageTier::Unknown);
            account_day.standing = Some(self.standing(id, account, usage_tier, day, books)?);
            days.push(account_day);
        }
        Ok((days, payments))
    }

    fn cost(&mut self, id: Id<'r>, rated_cost: Pico, credit: Pico) -> Result<AccountDay<'r>> {
        let so_far = self.accounts.entry(id).or_default();
        let net_cost = rated_cost.checked_sub(credit).ok_or_else(too_much)?;
        so_far.month_cost = sum(so_far.month_cost, rated_cost)?;
        so_far.net_cost = sum(so_far.net_cost, net_cost)?;
        let month_cost = so_far.month_cost;
        Ok(AccountDay { billing_account: id, rated_cost, credit, net_cost, month_cost, standing: None })
    }

    fn standing(
        &mut self,
        id: &'r str,
        account: &BillingAccount,
        usage_tier: UsageTier,
        day: Day,
        books: &Books,
    ) -> Result<Standing> {
        let so_far = self.accounts.entry(Some(id)).or_default();
        let spend = sum(account.spent_before, so_far.net_cost)?;
        let days_since_first_payment =
            account.first_payment.and_then(|first| u64::try_from(day.0 - first.0).ok());
        for &candidate in &[UsageTier::Tier1, UsageTier::Tier2, UsageTier::Tier3] {
            let met = books.tiers.find(candidate, day).is_some_and(|line| {
                let days =
                    line.min_days == 0 || days_since_first_payment.is_some_and(|days| days >= line.min_days);
                spend >= line.min_spend && days
            });
            if met {
                so_far.criteria_met.entry(candidate).or_insert(day);
            } else {
                so_far.criteria_met.remove(&candidate);
            }
        }
        let next = usage_tier.next();
        let line = next.and_then(|next| books.tiers.find(next, day));
        let own_tier = books.tiers.find(usage_tier, day);
        Ok(Standing {
            usage_tier,
            monthly_cap: account.monthly_cap.or(own_tier.and_then(|line| line.monthly_cap)),
            spend,
            days_since_first_payment,
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
