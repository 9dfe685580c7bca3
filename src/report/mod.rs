//! Owns what a report is: a name, columns (type, unit, meaning) and an order of rows, and how rows become a DataFrame.
//! What stands in a report's rows is for its own file; writing is for `publish`.

pub mod accounts;
pub mod charges;
pub mod credits;
pub mod data_use;
pub mod evidence;
pub mod quota;
pub mod requests;
pub mod suspense;
pub mod tally;
pub mod traffic;
pub mod upgrade;
pub mod usage;

use polars::prelude::*;

use crate::error::{Error, Result};
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

/// Rows of a report, column by column.
pub struct Rows {
    report: &'static Report,
    columns: Vec<Cells>,
}

enum Cells {
    Date(Vec<Option<i32>>),
    Instant(Vec<Option<i64>>),
    Text(StringChunkedBuilder),
    Whole(Vec<Option<i64>>),
    Dollars(Vec<Option<i128>>),
    YesNo(Vec<Option<bool>>),
}

impl Rows {
    pub fn new(report: &'static Report) -> Rows {
        let cells = |column: &Column| match column.kind {
            Kind::Date => Cells::Date(Vec::new()),
            Kind::Instant => Cells::Instant(Vec::new()),
            Kind::Text => Cells::Text(StringChunkedBuilder::new(column.name.into(), 0)),
            Kind::Whole => Cells::Whole(Vec::new()),
            Kind::Dollars => Cells::Dollars(Vec::new()),
            Kind::YesNo => Cells::YesNo(Vec::new()),
        };
        Rows { report, columns: report.columns.iter().map(cells).collect() }
    }

    /// Appends a row: a value for each column, of its kind. An empty text is null.
    pub fn push<const N: usize>(&mut self, values: [Value<'_>; N]) {
        assert_eq!(N, self.columns.len(), "{}: a value for each column", self.report.name);
        for (cells, value) in self.columns.iter_mut().zip(values) {
            match (cells, value) {
                (Cells::Date(cells), Value::Date(day)) => cells.push(Some(day.0)),
                (Cells::Date(cells), Value::Null) => cells.push(None),
                // Polars and every reader know microseconds; what is shown are whole seconds.
                (Cells::Instant(cells), Value::Instant(at)) => cells.push(Some(at.0.div_euclid(1_000))),
                (Cells::Instant(cells), Value::Null) => cells.push(None),
                (Cells::Text(cells), Value::Text("") | Value::Null) => cells.append_null(),
                (Cells::Text(cells), Value::Text(text)) => cells.append_value(text),
                (Cells::Whole(cells), Value::Whole(whole)) => {
                    cells.push(Some(i64::try_from(whole).expect("sums are checked against 2^63")));
                }
                (Cells::Whole(cells), Value::Null) => cells.push(None),
                (Cells::Dollars(cells), Value::Dollars(pico)) => cells.push(Some(pico.0)),
                (Cells::Dollars(cells), Value::Null) => cells.push(None),
                (Cells::YesNo(cells), Value::YesNo(yes)) => cells.push(Some(yes)),
                (Cells::YesNo(cells), Value::Null) => cells.push(None),
                (_, value) => unreachable!("{}: {value:?} in a column of another kind", self.report.name),
            }
        }
    }

    /// The rows as a DataFrame, in the report's order.
    pub fn into_frame(self) -> Result<DataFrame> {
        let report = self.report;
        let series = self.columns.into_iter().zip(report.columns).map(|(cells, column)| {
            let name = PlSmallStr::from_static(column.name);
            Ok(match cells {
                Cells::Date(cells) => {
                    Int32Chunked::from_iter_options(name, cells.into_iter()).into_date().into_column()
                }
                Cells::Instant(cells) => Int64Chunked::from_iter_options(name, cells.into_iter())
                    .into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
                    .into_column(),
                Cells::Text(cells) => cells.finish().into_column(),
                Cells::Whole(cells) => Int64Chunked::from_iter_options(name, cells.into_iter()).into_column(),
                Cells::Dollars(cells) => Int128Chunked::from_iter_options(name, cells.into_iter())
                    .into_decimal(38, Pico::SCALE)?
                    .into_column(),
                Cells::YesNo(cells) => {
                    BooleanChunked::from_iter_options(name, cells.into_iter()).into_column()
                }
            })
        });
        let frame = series.collect::<PolarsResult<Vec<_>>>().and_then(|columns| {
            let height = columns.first().map_or(0, polars::prelude::Column::len);
            DataFrame::new(height, columns)?
                .sort(report.key, SortMultipleOptions::default().with_maintain_order(true))
        });
        frame.map_err(|error| Error::new(format!("{}: the report can't be built: {error}", report.name)))
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
