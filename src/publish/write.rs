//! Owns how a table becomes files: Parquet (zstd), by polars, and CSV for people.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use foldhash::HashMap;
use polars::prelude::{PolarsError, PolarsResult};
use polars_arrow::array::{Array, BooleanArray, DictionaryArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, IntegerType, TimeUnit};
use polars_arrow::types::NativeType;
use polars_parquet::parquet::error::ParquetError;
use polars_parquet::write::{
    CompressionOptions, Compressor, DynIter, DynStreamingIterator, FallibleStreamingIterator, FileWriter,
    KeyValue, StatisticsOptions, Version, WriteOptions, array_to_columns, get_dtype_encoding,
    schema_to_metadata_key, to_parquet_type,
};

use super::steps::step;
use crate::error::{Error, Result};
use crate::report::{Cells, Column, Dictionary, Kind, Report, Rows, Value};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;

/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// So many rows of a Parquet file stand together.
const ROW_GROUP: usize = 1 << 18;

const PARQUET: WriteOptions = WriteOptions {
    statistics: StatisticsOptions {
        min_value: true,
        max_value: true,
        distinct_count: false,
        null_count: true,
        binary_statistics_truncate_length: None,
    },
    version: Version::V1,
    compression: CompressionOptions::Zstd(None),
    data_page_size: None,
};

/// Writes the rows of a report into `folder`.
pub fn report(folder: &Path, rows: &Rows) -> Result<()> {
    let name = rows.report().name;
    let order = rows.order();
    let parquet = parquet(rows, &order)
        .map_err(|error| Error::new(format!("{name}: the report can't be built: {error}")))?;
    file(&folder.join(format!("{name}.parquet")), &parquet)?;
    if rows.report().has_csv {
        file(&folder.join(format!("{name}.csv")), csv(rows, &order).as_bytes())?;
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

/// The rows as a Parquet file, in the order of `order`.
fn parquet(rows: &Rows, order: &[u32]) -> PolarsResult<Vec<u8>> {
    let schema = schema(rows.report(), ArrowDataType::Utf8View);
    let mut writer = FileWriter::try_new(Vec::new(), schema.clone(), PARQUET)?;
    for places in order.chunks(ROW_GROUP) {
        let columns = rows.columns().zip(schema.iter_values()).map(|((_, cells), field)| {
            let array = array(cells, field.dtype(), places);
            let encodings = get_dtype_encoding(field.dtype());
            let pages =
                array_to_columns(array, to_parquet_type(field)?, PARQUET, &encodings)?.into_iter().flatten();
            let pages =
                pages.map(|page| page.map_err(|error| ParquetError::FeatureNotSupported(error.to_string())));
            let pages = Compressor::new(pages, PARQUET.compression, Vec::new()).map_err(PolarsError::from);
            Ok(DynStreamingIterator::new(pages))
        });
        writer.write(places.len() as u64, DynIter::new(columns))?;
    }
    writer.end(Some(metadata(rows.report())))?;
    Ok(writer.into_inner())
}

/// The cells of some rows. A text stands once, unless nearly all differ.
fn array(cells: &Cells, type_: &ArrowDataType, rows: &[u32]) -> Box<dyn Array> {
    fn numbers<T: NativeType>(cells: &[Option<T>], type_: &ArrowDataType, rows: &[u32]) -> Box<dyn Array> {
        let cells = || rows.iter().map(|row| cells[*row as usize]);
        let validity =
            cells().any(|cell| cell.is_none()).then(|| cells().map(|cell| cell.is_some()).collect());
        let cells: Vec<T> = cells().map(Option::unwrap_or_default).collect();
        PrimitiveArray::new(type_.clone(), cells.into(), validity).boxed()
    }
    match cells {
        Cells::Date(cells) => numbers(cells, type_, rows),
        Cells::Instant(cells) | Cells::Whole(cells) => numbers(cells, type_, rows),
        Cells::Dollars(cells) => numbers(cells, type_, rows),
        Cells::YesNo(cells) => rows.iter().map(|row| cells[*row as usize]).collect::<BooleanArray>().boxed(),
        Cells::Text(texts) => {
            let (texts, places) = texts.dictionary(rows);
            if rows.len() > 128 && texts.len() > rows.len() / 4 * 3 {
                let texts = places.iter().map(|place| place.map(|place| texts[place as usize]));
                return Utf8ViewArray::from_slice(texts.collect::<Vec<_>>()).boxed();
            }
            let type_ = ArrowDataType::Dictionary(IntegerType::UInt32, Box::new(type_.clone()), false);
            let texts = Utf8ViewArray::from_slice_values(texts).boxed();
            let places: PrimitiveArray<u32> = places.into_iter().collect();
            DictionaryArray::try_new(type_, places, texts).expect("places are those of texts").boxed()
        }
    }
}

/// The columns' Arrow types, `text` that of texts.
fn schema(report: &Report, text: ArrowDataType) -> ArrowSchema {
    let type_ = |kind| match kind {
        Kind::Date => ArrowDataType::Date32,
        Kind::Instant => ArrowDataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Text => text.clone(),
        Kind::Whole => ArrowDataType::Int64,
        Kind::Dollars => ArrowDataType::Decimal(38, Pico::SCALE),
        Kind::YesNo => ArrowDataType::Boolean,
    };
    report.columns.iter().map(|column| Field::new(column.name.into(), type_(column.kind), true)).collect()
}

/// What a Parquet file says of itself: what each column means, so that whoever has only the file can look it up, and the
/// columns' Arrow types. Polars would name its own newest type for text there, which pyarrow reads but can neither
/// group, sort nor filter by; the oldest is known to every reader.
fn metadata(report: &Report) -> Vec<KeyValue> {
    let meaning = |column: &Column| {
        let null = column.null_means.map(|null| format!("; null: {null}")).unwrap_or_default();
        KeyValue::new(format!("column:{}", column.name), format!("{}{null}", column.meaning))
    };
    let mut metadata = vec![schema_to_metadata_key(&schema(report, ArrowDataType::LargeUtf8))];
    metadata.extend(report.columns.iter().map(meaning));
    metadata
}

/// The rows as a CSV, in the order of `order`: dollars as plain decimals, and no text that a spreadsheet would run.
fn csv(rows: &Rows, order: &[u32]) -> String {
    // Texts and days are few: each is made a cell once.
    let texts = |cells: &Cells| match cells {
        Cells::Text(texts) => {
            let (texts, places) = texts.dictionary(order);
            (texts.into_iter().map(|text| quoted(&guarded(text)).into_owned()).collect(), places)
        }
        _ => (Vec::new(), Vec::new()),
    };
    let columns: Vec<(&Cells, Dictionary<String>)> =
        rows.columns().map(|(_, cells)| (cells, texts(cells))).collect();
    let mut days: HashMap<Day, String> = HashMap::default();
    let names: Vec<&str> = rows.report().columns.iter().map(|column| column.name).collect();
    let mut csv = names.join(",");
    for (at, row) in order.iter().enumerate() {
        let mut comma = "\n";
        for (cells, (texts, places)) in &columns {
            csv.push_str(std::mem::replace(&mut comma, ","));
            if let Some(place) = places.get(at) {
                csv.push_str(place.map_or("", |place| &texts[place as usize]));
                continue;
            }
            let written = match cells.value(*row) {
                Value::Date(day) => {
                    csv.push_str(days.entry(day).or_insert_with(|| day.to_string()));
                    Ok(())
                }
                Value::Instant(at) => write!(csv, "{}", Instant::from_seconds(at.seconds())),
                Value::Whole(whole) => write!(csv, "{whole}"),
                Value::Dollars(pico) => write!(csv, "{pico}"),
                Value::YesNo(yes) => write!(csv, "{yes}"),
                Value::Text(_) | Value::Null | Value::Same => Ok(()),
            };
            written.expect("memory takes it");
        }
    }
    csv.push('\n');
    csv
}

/// A text as a cell of a CSV, so that no spreadsheet runs it.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// A cell of a CSV, in quotes where it has to be.
fn quoted(cell: &str) -> Cow<'_, str> {
    match cell.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))),
        false => Cow::Borrowed(cell),
    }
}
