//! Owns credits (C9): money that pays for a billing account's charges. Which credits there are is in the accounts file;
//! what an account comes to is for `account`.

use std::collections::BTreeMap;

use super::{sum, too_much};
use crate::books::accounts::BillingAccount;
use crate::error::Result;
use crate::types::carry::{Carry, CreditUse};
use crate::types::charge::Payment;
use crate::types::day::Day;
use crate::types::money::Pico;

/// Dollars used so far, by billing account and credit.
#[derive(Debug, Default)]
pub struct Credits<'r> {
    used: BTreeMap<(&'r str, &'r str), Pico>,
}

impl<'r> Credits<'r> {
    pub fn from_carry(carry: &'r Carry<String>) -> Credits<'r> {
        let used = carry.credits.iter().map(|own| ((&*own.billing_account, &*own.credit), own.used_usd));
        Credits { used: used.collect() }
    }

    /// C9. What the credits of an account pay of its rated cost of the day, oldest first: "credits … can be used towards
    /// Gemini API usage" (billing page). Each row is a credit that holds on the day.
    pub fn c9_pay(
        &mut self,
        day: Day,
        id: &'r str,
        account: &'r BillingAccount,
        rated_cost: Pico,
    ) -> Result<Vec<Payment<'r>>> {
        let mut rest = rated_cost;
        let mut payments = Vec::new();
        for credit in account.credits.iter().filter(|credit| credit.holds(day)) {
            let used = self.used.entry((id, &credit.name)).or_default();
            let balance_before = credit.usd.checked_sub(*used).ok_or_else(too_much)?.max(Pico::ZERO);
            let applied = balance_before.min(rest);
            *used = sum(*used, applied)?;
            rest = rest.checked_sub(applied).ok_or_else(too_much)?;
            let balance_after = balance_before.checked_sub(applied).ok_or_else(too_much)?;
            let (billing_account, credit) = (id, &*credit.name);
            payments.push(Payment { billing_account, credit, balance_before, applied, balance_after });
        }
        Ok(payments)
    }

    /// What the next day takes over.
    pub fn to_carry(&self) -> Vec<CreditUse<&'r str>> {
        let used = self.used.iter().filter(|(_, used)| **used > Pico::ZERO);
        used.map(|(&(billing_account, credit), &used_usd)| CreditUse { billing_account, credit, used_usd })
            .collect()
    }
}
