//! Owns how a table becomes files: Parquet (zstd), by polars, and CSV for people.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

use foldhash::HashMap;
use polars::prelude::{PolarsError, PolarsResult};
use polars_arrow::array::{Array, BooleanArray, DictionaryArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, IntegerType, TimeUnit};
use polars_arrow::types::NativeType;
use polars_parquet::parquet::compression::Compression;
use polars_parquet::parquet::page::{CompressedDictPage, DictPage};
use polars_parquet::parquet::{CowBuffer, fallible_streaming_iterator};
use polars_parquet::write::{
    CompressedDataPage, CompressedPage, CompressionOptions, DynIter, DynStreamingIterator, Encoding,
    FileWriter, KeyValue, Nested, Page, ParquetType, StatisticsOptions, Version, WriteOptions,
    array_to_pages, schema_to_metadata_key, to_parquet_type,
};
use zstd::bulk::Compressor as Zstd;

use super::steps::step;
use crate::error::{Error, Result};
use crate::report::{Cells, Column, Kind, Plain, Report, Rows, Value};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;

/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// So many rows of a Parquet file stand together.
const ROW_GROUP: usize = 1 << 18;

/// Higher ones take longer, and come to no fewer bytes.
const ZSTD_LEVEL: i32 = 1;

/// Writes the rows of a report into `folder`, in its order.
pub fn report(folder: &Path, mut rows: Rows) -> Result<()> {
    let name = rows.report().name;
    rows.sort();
    let parquet =
        parquet(&rows).map_err(|error| Error::new(format!("{name}: the report can't be built: {error}")))?;
    file(&folder.join(format!("{name}.parquet")), &parquet)?;
    if rows.report().has_csv {
        file(&folder.join(format!("{name}.csv")), csv(&rows).as_bytes())?;
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

/// The rows as a Parquet file.
fn parquet(rows: &Rows) -> PolarsResult<Vec<u8>> {
    let schema = schema(rows.report(), ArrowDataType::Utf8View);
    let options = options();
    let mut writer = FileWriter::try_new(Vec::new(), schema.clone(), options)?;
    let mut zstd = Zstd::new(ZSTD_LEVEL)?;
    for begin in (0..rows.height()).step_by(ROW_GROUP) {
        let group = begin..rows.height().min(begin + ROW_GROUP);
        let columns = rows.columns().zip(schema.iter_values());
        let columns: Vec<Vec<CompressedPage>> = columns
            .map(|((_, cells), field)| pages(cells, field, group.clone(), options, &mut zstd))
            .collect::<PolarsResult<_>>()?;
        let columns = columns.iter().map(|pages| {
            let pages = pages.iter().map(Ok::<_, PolarsError>);
            Ok(DynStreamingIterator::new(fallible_streaming_iterator::convert(pages)))
        });
        writer.write(group.len() as u64, DynIter::new(columns))?;
    }
    writer.end(Some(metadata(rows.report())))?;
    Ok(writer.into_inner())
}

/// Some rows of a column. Not by `array_to_columns`, which for the first column without a value clears 8 MB of memory: most
/// of what publishing a small day took.
fn pages(
    cells: &Cells,
    field: &Field,
    rows: Range<usize>,
    options: WriteOptions,
    zstd: &mut Zstd<'_>,
) -> PolarsResult<Vec<CompressedPage>> {
    let ParquetType::PrimitiveType(type_) = to_parquet_type(field)? else {
        unreachable!("no column is made of others");
    };
    let encoding = encoding(cells, rows.clone());
    let array = array(cells, field.dtype(), rows);
    let nested = [Nested::primitive(array.validity().cloned(), field.is_nullable, array.len())];
    let pages = array_to_pages(&*array, type_, &nested, options, encoding)?;
    pages.map(|page| compressed(page?, zstd)).collect()
}

/// Not by polars, which makes a context of zstd for each page: on a virtual machine that takes longer than to compress a
/// small one.
fn compressed(page: Page, zstd: &mut Zstd<'_>) -> PolarsResult<CompressedPage> {
    let mut compress = |bytes: &[u8]| Ok::<_, PolarsError>(CowBuffer::Owned(zstd.compress(bytes)?));
    Ok(match page {
        Page::Data(page) => {
            let (buffer, length) = (compress(page.buffer())?, page.buffer().len());
            let rows = page.num_rows().expect("a page that is written has rows");
            let header = page.header().clone();
            let page =
                CompressedDataPage::new(header, buffer, Compression::Zstd, length, page.descriptor, rows);
            CompressedPage::Data(page)
        }
        Page::Dict(DictPage { buffer, num_values, is_sorted }) => {
            let page = compress(&buffer)?;
            let page = CompressedDictPage::new(page, Compression::Zstd, buffer.len(), num_values, is_sorted);
            CompressedPage::Dict(page)
        }
    })
}

fn options() -> WriteOptions {
    let statistics = StatisticsOptions {
        min_value: true,
        max_value: true,
        distinct_count: false,
        null_count: true,
        binary_statistics_truncate_length: None,
    };
    // The level is for `compressed`.
    let compression = CompressionOptions::Zstd(None);
    WriteOptions { statistics, version: Version::V1, compression, data_page_size: None }
}

/// The cells of some rows. A text stands once, unless nearly all differ.
fn array(cells: &Cells, type_: &ArrowDataType, rows: Range<usize>) -> Box<dyn Array> {
    fn plain<T: NativeType>(cells: &Plain<T>, type_: &ArrowDataType, rows: Range<usize>) -> Box<dyn Array> {
        let validity = cells.validity(rows.clone()).map(Bitmap::from_iter);
        PrimitiveArray::new(type_.clone(), cells.values[rows].to_vec().into(), validity).boxed()
    }
    match cells {
        Cells::Date(cells) => plain(cells, type_, rows),
        Cells::Instant(cells) | Cells::Whole(cells) => plain(cells, type_, rows),
        Cells::Dollars(cells) => plain(cells, type_, rows),
        Cells::YesNo(cells) => {
            let validity = cells.validity(rows.clone()).map(Bitmap::from_iter);
            BooleanArray::new(type_.clone(), cells.values[rows].iter().copied().collect(), validity).boxed()
        }
        Cells::Text(texts) => {
            let validity = texts.validity(rows.clone()).map(Bitmap::from_iter);
            let (texts, places) = texts.dictionary(rows);
            if places.len() > 128 && texts.len() > places.len() / 4 * 3 {
                let texts = places.iter().map(|place| texts[*place as usize]);
                return Utf8ViewArray::from_slice_values(texts.collect::<Vec<_>>())
                    .with_validity(validity)
                    .boxed();
            }
            let type_ = ArrowDataType::Dictionary(IntegerType::UInt32, Box::new(type_.clone()), false);
            let texts = Utf8ViewArray::from_slice_values(texts).boxed();
            let places = PrimitiveArray::new(ArrowDataType::UInt32, places.into(), validity);
            DictionaryArray::try_new(type_, places, texts).expect("places are those of texts").boxed()
        }
    }
}

/// A dictionary is for texts, and for what lies near to each other: polars finds the numbers of one in a table. Of others
/// it would have to hash each, only to be larger as a rule than they are by themselves.
fn encoding(cells: &Cells, rows: Range<usize>) -> Encoding {
    fn of<T: Copy + Ord + Into<i64>>(values: &[T]) -> Encoding {
        const FAR: u64 = u16::MAX as u64;
        let least_and_greatest = values.iter().min().zip(values.iter().max());
        let span = least_and_greatest.map(|(least, greatest)| (*greatest).into().abs_diff((*least).into()));
        if span.is_some_and(|span| span > FAR) { Encoding::Plain } else { Encoding::RleDictionary }
    }
    match cells {
        Cells::Date(cells) => of(&cells.values[rows]),
        Cells::Instant(cells) | Cells::Whole(cells) => of(&cells.values[rows]),
        Cells::Text(_) => Encoding::RleDictionary,
        Cells::Dollars(_) | Cells::YesNo(_) => Encoding::Plain,
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

/// The rows as a CSV: dollars as plain decimals, and no text that a spreadsheet would run.
fn csv(rows: &Rows) -> String {
    // Texts and days are few: each is made a cell once.
    let texts = |(_, cells): (_, &Cells)| match cells {
        Cells::Text(texts) => texts.texts().map(|text| quoted(&guarded(text)).into_owned()).collect(),
        _ => Vec::new(),
    };
    let texts: Vec<Vec<String>> = rows.columns().map(texts).collect();
    let mut days: HashMap<Day, String> = HashMap::default();
    // As a rule more than it takes, which costs nothing.
    let mut csv = String::with_capacity(((1 + rows.height()) * texts.len() * 16).min(1 << 28));
    for (column, _) in rows.columns() {
        csv.extend([column.name, ","]);
    }
    end_line(&mut csv);
    for row in 0..rows.height() {
        for ((_, cells), texts) in rows.columns().zip(&texts) {
            if let Cells::Text(cells) = cells {
                csv.push_str(&texts[cells.places[row] as usize]);
            } else {
                match cells.value(row) {
                    Value::Date(day) => csv.push_str(days.entry(day).or_insert_with(|| day.to_string())),
                    Value::Instant(at) => push(&mut csv, Instant::from_seconds(at.seconds())),
                    Value::Whole(whole) => csv.push_str(itoa::Buffer::new().format(whole)),
                    Value::Dollars(pico) => push(&mut csv, pico),
                    Value::YesNo(yes) => push(&mut csv, yes),
                    Value::Text(_) | Value::Null => {}
                }
            }
            csv.push(',');
        }
        end_line(&mut csv);
    }
    csv
}

fn push(csv: &mut String, cell: impl Display) {
    write!(csv, "{cell}").expect("memory takes it");
}

/// Instead of the comma after the last cell.
fn end_line(csv: &mut String) {
    csv.pop();
    csv.push('\n');
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
