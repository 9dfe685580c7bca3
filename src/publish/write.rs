//! Owns how a table becomes files: Parquet (zstd) and, for people, CSV. By polars.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use polars::prelude::*;
use polars_parquet::write::schema_to_metadata_key;

use super::steps::step;
use crate::error::{Error, Result};
use crate::report::{Kind, Report, Rows};
use crate::types::money::Pico;

/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes the rows of a report into `folder`.
pub fn report(folder: &Path, rows: Rows) -> Result<()> {
    let report = rows.report();
    let failed =
        |error: PolarsError| Error::new(format!("{}: the report can't be built: {error}", report.name));
    let mut frame = rows.into_frame()?;
    let mut parquet = Vec::new();
    ParquetWriter::new(&mut parquet)
        .with_compression(ParquetCompression::Zstd(None))
        .with_key_value_metadata(Some(metadata(report, &frame)))
        .finish(&mut frame)
        .map_err(failed)?;
    file(&folder.join(format!("{}.parquet", report.name)), &parquet)?;
    if report.has_csv {
        let mut frame = for_spreadsheets(report, &frame).map_err(failed)?;
        let mut csv = Vec::new();
        CsvWriter::new(&mut csv)
            .with_datetime_format(Some("%Y-%m-%dT%H:%M:%SZ".into()))
            .finish(&mut frame)
            .map_err(failed)?;
        file(&folder.join(format!("{}.csv", report.name)), &csv)?;
    }
    Ok(())
}

/// Writes a new file and sees to it that it is on the disk.
pub fn file(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        step();
        let mut file = File::create_new(path)?;
        step();
        file.write_all(bytes)?;
        step();
        file.sync_all()
    };
    write().map_err(|error| Error::io("write", path, &error))
}

/// What a Parquet file says of itself: what each column means, so that whoever has only the file can look it up, and the
/// columns' Arrow types. Polars would name its own newest type for text there, which pyarrow reads but can neither
/// group, sort nor filter by; the oldest is known to every reader.
fn metadata(report: &Report, frame: &DataFrame) -> KeyValueMetadata {
    let types = schema_to_metadata_key(&frame.schema().to_arrow(CompatLevel::oldest()));
    let mut metadata = vec![(types.key, types.value.unwrap_or_default())];
    metadata.extend(report.columns.iter().map(|column| {
        let null = column.null_means.map(|null| format!("; null: {null}")).unwrap_or_default();
        (format!("column:{}", column.name), format!("{}{null}", column.meaning))
    }));
    KeyValueMetadata::from_static(metadata)
}

/// Dollars as plain decimals, and no text that a spreadsheet would run.
fn for_spreadsheets(report: &Report, frame: &DataFrame) -> PolarsResult<DataFrame> {
    let mut frame = frame.clone();
    for column in report.columns {
        let cells = frame.column(column.name)?.as_materialized_series();
        let text: StringChunked = match column.kind {
            Kind::Dollars => {
                let pico = cells.to_physical_repr();
                pico.i128()?.iter().map(|cell| cell.map(|pico| Pico(pico).to_string())).collect()
            }
            Kind::Text => cells.str()?.iter().map(|cell| cell.map(guarded)).collect(),
            Kind::Date | Kind::Instant | Kind::Whole | Kind::YesNo => continue,
        };
        frame.with_column(text.with_name(column.name.into()).into_column())?;
    }
    Ok(frame)
}

/// A text as a cell of a CSV, so that no spreadsheet runs it.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}
