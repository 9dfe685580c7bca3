//! Owns how a table becomes files: Parquet (zstd) and, for people, CSV. By polars.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use polars::prelude::*;

use crate::error::{Error, Result};
use crate::report::{Kind, Report, Rows};
use crate::types::money::Pico;

/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes a report into `folder`.
pub fn report(folder: &Path, report: &Report, rows: Rows) -> Result<()> {
    let mut frame = rows.into_frame()?;
    write(&folder.join(format!("{}.parquet", report.name)), |file| {
        ParquetWriter::new(file)
            .with_compression(ParquetCompression::Zstd(None))
            .with_key_value_metadata(Some(meanings(report)))
            .finish(&mut frame)
            .map(|_| ())
    })?;
    if report.has_csv {
        let mut frame = for_spreadsheets(report, &frame)?;
        write(&folder.join(format!("{}.csv", report.name)), |file| {
            CsvWriter::new(file)
                .with_datetime_format(Some("%Y-%m-%dT%H:%M:%SZ".into()))
                .finish(&mut frame)
        })?;
    }
    Ok(())
}

/// Writes a file and sees to it that it is on the disk.
fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> PolarsResult<()>) -> Result<()> {
    let failed = |error: &std::io::Error| Error::io("write", path, error);
    let mut file = BufWriter::new(File::create_new(path).map_err(|error| failed(&error))?);
    fill(&mut file).map_err(|error| match error {
        PolarsError::IO { error, .. } => failed(&error),
        other => Error::new(format!("{}: can't write: {other}", path.display())),
    })?;
    let file = file.into_inner().map_err(|error| failed(error.error()))?;
    file.sync_all().map_err(|error| failed(&error))
}

/// What each column means goes into the Parquet file too, so that whoever has only the file can look it up.
fn meanings(report: &Report) -> KeyValueMetadata {
    let meaning = |column: &crate::report::Column| {
        let null = column
            .null_means
            .map(|null| format!("; null: {null}"))
            .unwrap_or_default();
        (
            format!("column:{}", column.name),
            format!("{}{null}", column.meaning),
        )
    };
    KeyValueMetadata::from_static(report.columns.iter().map(meaning).collect())
}

/// Dollars as plain decimals, and no text that a spreadsheet would run.
fn for_spreadsheets(report: &Report, frame: &DataFrame) -> Result<DataFrame> {
    let mut frame = frame.clone();
    let convert = |frame: &mut DataFrame| -> PolarsResult<()> {
        for column in report.columns {
            let cells = frame.column(column.name)?.as_materialized_series();
            let text: StringChunked = match column.kind {
                Kind::Dollars => {
                    let pico = cells.to_physical_repr();
                    pico.i128()?
                        .iter()
                        .map(|cell| cell.map(|pico| Pico(pico).to_string()))
                        .collect()
                }
                Kind::Text => cells.str()?.iter().map(|cell| cell.map(guarded)).collect(),
                _ => continue,
            };
            frame.with_column(text.with_name(column.name.into()).into_column())?;
        }
        Ok(())
    };
    convert(&mut frame)
        .map_err(|error| Error::new(format!("{}: the CSV can't be built: {error}", report.name)))?;
    Ok(frame)
}

/// A text as a cell of a CSV, so that no spreadsheet runs it.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
