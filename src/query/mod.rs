//! Owns reading published days back: which days a folder has, a table of several days as one DataFrame, its rows in
//! groups, and sums over a group. What is asked of them is in a file of its own.
//!
//! Polars reads and groups; it adds nothing here. Its sums of integers and decimals wrap around in silence when they
//! leave their type, so tokens and money are added by [`sum_whole`] and [`sum_dollars`], which fail instead.
//!
//! Must not: write, change a figure, or take a folder for a day that has no `manifest.json`.

pub mod status;
pub mod summary;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use polars::prelude::*;
use rayon::prelude::*;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::publish::manifest::State;
use crate::report::{Kind, Report};
use crate::types::day::Day;
use crate::types::money::Pico;
use crate::types::tally::add;

/// A published day.
#[derive(Debug)]
pub struct Published {
    pub day: Day,
    pub state: State,
    folder: PathBuf,
}

/// What of a `manifest.json` is needed here; another version of rerate may have written more or less beside it.
#[derive(Deserialize)]
struct Manifest {
    date: String,
    state: State,
}

/// The published days in a folder, in order. What isn't named like a day or has no manifest is not one.
pub fn days(root: &Path) -> Result<Vec<Published>> {
    let failed = |error: std::io::Error| Error::io("read the folder", root, &error);
    let mut days = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let day = entry.file_name().to_str().and_then(Day::parse);
        if let Some(day) = day
            && let Some(published) = published(day, entry.path())?
        {
            days.push(published);
        }
    }
    days.sort_by_key(|published| published.day);
    Ok(days)
}

fn published(day: Day, folder: PathBuf) -> Result<Option<Published>> {
    let path = folder.join("manifest.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("read", &path, &error)),
    };
    let foreign = |found: String| {
        Error::new(format!("{}: {found}", path.display()))
            .hint("move the folder elsewhere, or publish the day anew with rerate replay --replace")
    };
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| foreign(format!("it isn't what rerate wrote: {error}")))?;
    if manifest.date != day.to_string() {
        return Err(foreign(format!("it is of {}; expected {day}, the folder's name", manifest.date)));
    }
    let state = manifest.state;
    Ok(Some(Published { day, state, folder }))
}

/// Columns of a report over several days, in the order of the days.
pub fn table(days: &[Published], report: &Report, columns: &[&str]) -> Result<DataFrame> {
    let frames: Vec<DataFrame> = days
        .par_iter()
        .map(|published| {
            let path = published.folder.join(format!("{}.parquet", report.name));
            read(&path, report, columns)
        })
        .collect::<Result<_>>()?;
    let mut whole: Option<DataFrame> = None;
    for frame in frames {
        match &mut whole {
            Some(whole) => drop(whole.vstack_mut(&frame).map_err(|error| broken(&error))?),
            None => whole = Some(frame),
        }
    }
    let mut whole = whole.unwrap_or_default();
    // Cells are looked up one by one afterwards, which is slow over a chunk per day.
    whole.rechunk_mut();
    Ok(whole)
}

/// A day's table, with the types that the report says.
fn read(path: &Path, report: &Report, columns: &[&str]) -> Result<DataFrame> {
    let foreign = |found: &dyn std::fmt::Display| {
        Error::new(format!(
            "{}: it isn't the table {} that rerate wrote: {found}",
            path.display(),
            report.name
        ))
        .hint("publish the day anew with rerate replay --replace")
    };
    let file = File::open(path).map_err(|error| {
        Error::io("open", path, &error).or_hint("publish the day anew with rerate replay --replace")
    })?;
    let frame = ParquetReader::new(file)
        .with_columns(Some(columns.iter().map(ToString::to_string).collect()))
        .finish()
        .and_then(|frame| frame.select(columns.iter().copied()))
        .map_err(|error| foreign(&error))?;
    for column in report.columns {
        let Ok(found) = frame.column(column.name) else {
            continue;
        };
        if *found.dtype() != data_type(column.kind) {
            return Err(foreign(&format_args!(
                "{} is {}; expected {}",
                column.name,
                found.dtype(),
                column.kind.name()
            )));
        }
    }
    Ok(frame)
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Date => DataType::Date,
        Kind::Instant => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        Kind::Text => DataType::String,
        Kind::Whole => DataType::Int64,
        Kind::Dollars => DataType::Decimal(38, Pico::SCALE),
        Kind::YesNo => DataType::Boolean,
    }
}

/// What tells groups apart, a cell for each column; None sorts first, as in reports.
pub type Key = Vec<Option<Fact>>;

/// A cell that isn't empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    Text(String),
    Whole(u64),
}

/// Rows that agree in the columns of a key.
pub struct Group {
    pub key: Key,
    pub rows: Vec<usize>,
}

/// The groups of a frame by columns; by none all rows are one group, if there are any.
pub fn groups(frame: &DataFrame, columns: &[&str]) -> Result<Vec<Group>> {
    if columns.is_empty() {
        let rows: Vec<usize> = (0..frame.height()).collect();
        let key = Key::new();
        return Ok(if rows.is_empty() { Vec::new() } else { vec![Group { key, rows }] });
    }
    let grouped = frame.group_by_stable(columns.iter().copied()).map_err(|error| broken(&error))?;
    grouped
        .get_groups()
        .iter()
        .map(|group| {
            let rows: Vec<usize> = match group {
                GroupsIndicator::Idx((_, rows)) => rows.iter().map(|row| *row as usize).collect(),
                GroupsIndicator::Slice([first, length]) => {
                    (first..first + length).map(|row| row as usize).collect()
                }
            };
            let key = columns.iter().map(|column| fact(frame, column, rows[0])).collect::<Result<_>>()?;
            Ok(Group { key, rows })
        })
        .collect()
}

fn fact(frame: &DataFrame, column: &str, row: usize) -> Result<Option<Fact>> {
    let cell = frame.column(column).and_then(|cells| cells.get(row));
    Ok(match cell.map_err(|error| broken(&error))? {
        AnyValue::Null => None,
        AnyValue::Date(day) => Some(Fact::Text(Day(day).to_string())),
        AnyValue::Int64(whole) => Some(Fact::Whole(not_negative(column, whole)?)),
        // Polars owns the text itself where a column has one value for all rows.
        cell => Some(Fact::Text(
            cell.get_str()
                .unwrap_or_else(|| unreachable!("{column}: {cell:?} is no key of a report"))
                .to_string(),
        )),
    })
}

/// Adds the cells of some rows to `sum`.
pub fn sum_whole(
    frame: &DataFrame,
    column: &str,
    rows: impl IntoIterator<Item = usize>,
    sum: &mut u64,
) -> Result<()> {
    let cells = wholes(frame, column)?;
    for whole in rows.into_iter().filter_map(|row| cells.get(row)) {
        add(sum, not_negative(column, whole)?)
            .map_err(|_| Error::new(format!("the sum of {column} exceeds 2^63")))?;
    }
    Ok(())
}

/// The sum of the cells of some rows, and how many of the rows are empty.
pub fn sum_dollars(frame: &DataFrame, column: &str, rows: &[usize]) -> Result<(Pico, u64)> {
    let cells = frame.column(column).and_then(|cells| cells.decimal());
    let cells = cells.map_err(|error| broken(&error))?.physical();
    let (mut sum, mut empty) = (Pico::ZERO, 0);
    for row in rows {
        match cells.get(*row) {
            Some(pico) => {
                let added = sum.checked_add(Pico(pico));
                sum =
                    added.ok_or_else(|| Error::new(format!("the sum of {column} exceeds 10^26 dollars")))?;
            }
            None => empty += 1,
        }
    }
    Ok((sum, empty))
}

pub(crate) fn wholes<'f>(frame: &'f DataFrame, column: &str) -> Result<&'f Int64Chunked> {
    let cells = frame.column(column).and_then(|cells| cells.i64());
    cells.map_err(|error| broken(&error))
}

pub(crate) fn texts<'f>(frame: &'f DataFrame, column: &str) -> Result<&'f StringChunked> {
    let cells = frame.column(column).and_then(|cells| cells.str());
    cells.map_err(|error| broken(&error))
}

pub(crate) fn dates<'f>(frame: &'f DataFrame, column: &str) -> Result<&'f Int32Chunked> {
    let cells = frame.column(column).and_then(|cells| cells.date());
    Ok(cells.map_err(|error| broken(&error))?.physical())
}

pub(crate) fn not_negative(column: &str, whole: i64) -> Result<u64> {
    u64::try_from(whole).map_err(|_| {
        Error::new(format!("{column} is {whole} in a published table; expected no negative number"))
            .hint("publish the days anew with rerate replay --replace")
    })
}

/// Names and types were checked when the table was read, so this is no one's fault but ours.
pub(crate) fn broken(error: &PolarsError) -> Error {
    Error::new(format!("a published table can't be worked on: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_leaves_its_type_fails_and_does_not_wrap() {
        let wholes = Int64Chunked::from_iter_values("quantity".into(), [i64::MAX, 1].into_iter());
        let dollars =
            Int128Chunked::from_iter_values("rated_cost_usd".into(), [10i128.pow(38) - 1, 1].into_iter())
                .into_decimal_unchecked(38, Pico::SCALE);
        let frame = DataFrame::new(2, vec![wholes.into_column(), dollars.into_column()]).unwrap();
        let mut sum = 0;
        assert!(sum_whole(&frame, "quantity", [0], &mut sum).is_ok());
        assert!(sum_whole(&frame, "quantity", [1], &mut sum).is_err());
        assert!(sum_dollars(&frame, "rated_cost_usd", &[0]).is_ok());
        assert!(sum_dollars(&frame, "rated_cost_usd", &[0, 1]).is_err());
    }
}
