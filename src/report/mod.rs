//! Owns what a report is: a name, columns (type, unit, meaning) and an order of rows. What stands in a report's rows is
//! for its own file, rows and their order are for `rows`; writing is for `publish`.

pub mod accounts;
pub mod charges;
pub mod credits;
pub mod data_use;
pub mod evidence;
pub mod quota;
pub mod requests;
mod rows;
pub mod suspense;
pub mod tally;
pub mod traffic;
pub mod upgrade;
pub mod usage;

pub use self::rows::{Cells, Plain, Rows};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;

/// All tables of a published day, the last one with `--detail` only.
pub const ALL: [&Report; 12] = [
    &usage::REPORT,
    &charges::REPORT,
    &credits::REPORT,
    &accounts::REPORT,
    &quota::REPORT,
    &upgrade::REPORT,
    &evidence::REPORT,
    &data_use::REPORT,
    &suspense::REPORT,
    &traffic::REPORT,
    &tally::REPORT,
    &requests::REPORT,
];

/// A table of a published day.
pub struct Report {
    /// Of its files.
    pub name: &'static str,
    pub columns: &'static [Column],
    /// Rows are sorted by these, nulls first; no two rows agree in all of them.
    pub key: &'static [&'static str],
    /// Whether people open it: then there is a CSV beside the Parquet.
    pub has_csv: bool,
}

/// One column of a report, as its reference page tells it.
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub meaning: &'static str,
    /// What an empty cell means; None where there is none.
    pub null_means: Option<&'static str>,
}

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pacific day.
    Date,
    /// UTC.
    Instant,
    Text,
    Whole,
    /// `Decimal(38,12)`.
    Dollars,
    /// true or false.
    YesNo,
}

/// One cell of a row.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    Null,
    Date(Day),
    Instant(Instant),
    Text(&'v str),
    Whole(u64),
    Dollars(Pico),
    YesNo(bool),
}

pub(crate) const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, meaning, null_means: None }
}

impl Column {
    pub(crate) const fn or_null(self, means: &'static str) -> Column {
        Column { null_means: Some(means), ..self }
    }
}

impl Kind {
    /// As the reference page says it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Date => "date",
            Kind::Instant => "timestamp, UTC",
            Kind::Text => "text",
            Kind::Whole => "integer",
            Kind::Dollars => "decimal(38,12), US dollars",
            Kind::YesNo => "true or false",
        }
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Value<'v> {
        Value::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(whole: u64) -> Self {
        Value::Whole(whole)
    }
}

impl From<Day> for Value<'_> {
    fn from(day: Day) -> Self {
        Value::Date(day)
    }
}

impl From<Instant> for Value<'_> {
    fn from(at: Instant) -> Self {
        Value::Instant(at)
    }
}

impl From<Pico> for Value<'_> {
    fn from(pico: Pico) -> Self {
        Value::Dollars(pico)
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Value<'v> {
        value.map_or(Value::Null, Into::into)
    }
}
