//! Owns the credits report: what each credit paid on a day.

use super::{Kind, Report, Rows, column};
use crate::types::charge::Payment;
use crate::types::day::Day;

pub const REPORT: Report = Report {
    name: "credits",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("billing_account", Kind::Text, "from the accounts file"),
        column("credit", Kind::Text, "its name there"),
        column("balance_before_usd", Kind::Dollars, "left at the beginning of the day"),
        column("applied_usd", Kind::Dollars, "paid of the account's rated cost of the day"),
        column("balance_after_usd", Kind::Dollars, "left at the end of the day"),
    ],
    key: &["date", "billing_account", "credit"],
    has_csv: true,
};

/// The rows of one day: every credit that holds on it, be its balance 0.
pub fn rows(day: Day, payments: &[Payment<'_>]) -> Rows {
    let mut rows = Rows::new(&REPORT, payments.len());
    for payment in payments {
        rows.push([
            day.into(),
            payment.billing_account.into(),
            payment.credit.into(),
            payment.balance_before.into(),
            payment.applied.into(),
            payment.balance_after.into(),
        ]);
    }
    rows
}
