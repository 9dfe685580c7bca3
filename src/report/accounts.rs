//! Owns the accounts report: what each billing account came to on a day, and where it stands among the usage tiers.

use std::collections::BTreeMap;

use super::{Kind, Report, Rows, Value, column};
use crate::types::charge::{AccountDay, Standing};
use crate::types::day::Day;

const NO_ACCOUNT: &str = "the projects have no billing account";
const NO_NEXT: &str = "there is no next usage tier, or no line of the tiers book is in force";

pub const REPORT: Report = Report {
    name: "accounts",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("billing_account", Kind::Text, "from the accounts file")
            .or_null("of projects that have none: costs only"),
        column("usage_tier", Kind::Text, "the highest among its projects on the day").or_null(NO_ACCOUNT),
        column("rated_cost_usd", Kind::Dollars, "Σ rated_cost_usd of its projects' charges"),
        column("credit_usd", Kind::Dollars, "what credits paid of it"),
        column("net_cost_usd", Kind::Dollars, "rated cost − credits"),
        column("month_cost_usd", Kind::Dollars, "rated cost of the Pacific month to date"),
        column("monthly_cap_usd", Kind::Dollars, "its own, else that of its usage tier")
            .or_null("no cap is known"),
        column("over_cap", Kind::YesNo, "month_cost_usd is above the cap").or_null("no cap is known"),
        column("spend_usd", Kind::Dollars, "spent_before and all net cost to the end of the day")
            .or_null(NO_ACCOUNT),
        column("days_since_first_payment", Kind::Whole, "from the accounts file's first_payment")
            .or_null("before it, or not known"),
        column("next_usage_tier", Kind::Text, "that it may qualify for")
            .or_null("tier3 is the last; unknown has none"),
        column("next_min_spend_usd", Kind::Dollars, "spend that the next usage tier asks for")
            .or_null(NO_NEXT),
        column("next_min_days", Kind::Whole, "days since the first payment that it asks for")
            .or_null(NO_NEXT),
        column("eligible_since", Kind::Date, "since when its criteria have been met").or_null("they aren't"),
    ],
    key: &["date", "billing_account"],
    has_csv: true,
};

/// The rows of one day.
pub fn rows(day: Day, accounts: &[AccountDay<'_>], standings: &BTreeMap<&str, Standing>) -> Rows {
    let mut rows = Rows::new(&REPORT, accounts.len());
    for account in accounts {
        let standing = account.billing_account.and_then(|id| standings.get(id));
        let cap = standing.and_then(|standing| standing.monthly_cap);
        rows.push([
            day.into(),
            account.billing_account.into(),
            standing.map(|standing| standing.usage_tier.name()).into(),
            account.rated_cost.into(),
            account.credit.into(),
            account.net_cost.into(),
            account.month_cost.into(),
            cap.into(),
            cap.map(|cap| Value::YesNo(account.month_cost > cap)).into(),
            standing.map(|standing| standing.spend).into(),
            standing.and_then(|standing| standing.days_since_first_payment).into(),
            standing.and_then(|standing| standing.next).map(|next| next.name()).into(),
            standing.and_then(|standing| standing.next_min_spend).into(),
            standing.and_then(|standing| standing.next_min_days).into(),
            standing.and_then(|standing| standing.eligible_since).into(),
        ]);
    }
    rows
}
