//! Owns the suspense report: every line that couldn't be read and every quantity that couldn't be rated, with its reason.

use super::{Kind, Report, Rows, Value, column};
use crate::suspense::Suspended;
use crate::types::charge::{Unrated, UnratedKey};
use crate::types::day::Day;
use crate::types::key::shown;
use crate::types::origin::InputSummary;

const OF_CHARGE: &str = "stage charge: a row is a sum over requests";

pub const REPORT: Report = Report {
    name: "suspense",
    columns: &[
        column("date", Kind::Date, "Pacific day").or_null("no time could be read"),
        column("stage", Kind::Text, "read: a line is held back; charge: a quantity is"),
        column("origin", Kind::Text, "the input, as given").or_null(OF_CHARGE),
        column("line", Kind::Whole, "in the input, from 1").or_null(OF_CHARGE),
        column("request_id", Kind::Text, "as far as it could be read").or_null("none, or stage charge"),
        column("project_id", Kind::Text, "as far as it could be read").or_null("it couldn't be read"),
        column("model", Kind::Text, "as far as it could be read").or_null("it couldn't be read"),
        column("reason", Kind::Text, "the first that holds, of a closed list"),
        column("detail", Kind::Text, "what was found and what was expected; never text of the line"),
        column("meter", Kind::Text, "what is counted").or_null("stage read, or unknown_cache"),
        column("quantity", Kind::Whole, "what couldn't be rated").or_null("stage read, or unknown_cache"),
        column("list_cost_usd", Kind::Dollars, "at list price").or_null("stage read, or no price is known"),
        column(
            "records",
            Kind::Whole,
            "lines; stage charge: requests, each in a row per meter; caches of cache_storage",
        ),
    ],
    key: &[
        "date",
        "stage",
        "origin",
        "line",
        "request_id",
        "project_id",
        "model",
        "reason",
        "detail",
        "meter",
    ],
    has_csv: true,
};

/// Rows of lines, of one day or of an input's undated ones.
pub fn of_lines<'s>(lines: impl IntoIterator<Item = &'s Suspended>, inputs: &[InputSummary]) -> Rows {
    let mut rows = Rows::new(&REPORT, 0);
    for line in lines {
        rows.push([
            line.day.into(),
            line.reason.stage().name().into(),
            shown(&inputs[line.input.0 as usize].name).as_ref().into(),
            line.line.into(),
            line.request_id.as_deref().into(),
            line.project_id.as_deref().into(),
            line.model.as_deref().into(),
            line.reason.name().into(),
            line.detail.as_str().into(),
            Value::Null,
            Value::Null,
            Value::Null,
            1.into(),
        ]);
    }
    rows
}

/// Adds the rows of a day's quantities.
pub fn add_quantities<'u>(
    rows: &mut Rows,
    day: Day,
    unrated: impl IntoIterator<Item = (&'u UnratedKey<'u>, &'u Unrated)>,
) {
    for (key, unrated) in unrated {
        rows.push([
            day.into(),
            key.why.reason().stage().name().into(),
            Value::Null,
            Value::Null,
            Value::Null,
            key.project_id.into(),
            key.model.into(),
            key.why.reason().name().into(),
            key.why.to_string().as_str().into(),
            key.meter.map(|meter| meter.name()).into(),
            key.meter.map(|_| unrated.quantity).into(),
            unrated.list_cost.into(),
            unrated.requests.into(),
        ]);
    }
}
