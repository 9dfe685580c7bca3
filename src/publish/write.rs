//! Owns how a table becomes files: Parquet (zstd), by polars, and CSV for people.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io;
use std::ops::Range;
use std::path::Path;

use foldhash::HashMap;
use polars::prelude::{PolarsError, PolarsResult};
use polars_arrow::array::{Array, BooleanArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, TimeUnit};
use polars_arrow::types::NativeType;
use polars_parquet::parquet::compression::Compression;
use polars_parquet::parquet::encoding::hybrid_rle;
use polars_parquet::parquet::page::{
    CompressedDictPage, DataPage, DataPageHeader, DataPageHeaderV1, DictPage,
};
use polars_parquet::parquet::schema::Repetition;
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::parquet::statistics::ParquetStatistics as Statistics;
use polars_parquet::parquet::{CowBuffer, fallible_streaming_iterator};
use polars_parquet::write::{
    CompressedDataPage, CompressedPage, CompressionOptions, Descriptor, DynIter, DynStreamingIterator,
    Encoding, FileWriter, KeyValue, Nested, Page, ParquetType, StatisticsOptions, Version, WriteOptions,
    array_to_page, array_to_pages, schema_to_metadata_key, to_parquet_type, write_def_levels,
};
use zstd::bulk::Compressor as Zstd;

use super::disk::Disk;
use crate::error::{Error, Result};
use crate::report::{Cells, Column, Kind, Plain, Report, Rows, Value};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;

/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// So many rows of a Parquet file stand together.
const ROW_GROUP: usize = 1 << 18;

/// So many places of a dictionary stand in a page: what polars takes for 1 MiB.
const PAGE: usize = (1 << 20) / 5;

/// So much of a CSV is made before it is written, as stays near.
const PIECE: usize = 1 << 17;

/// Higher ones take longer, and come to no fewer bytes.
const ZSTD_LEVEL: i32 = 1;

/// Writes the rows of a report into `folder`, in its order.
pub fn report(disk: &Disk, folder: &Path, mut rows: Rows) -> Result<()> {
    let name = rows.report().name;
    rows.sort();
    let parquet =
        parquet(&rows).map_err(|error| Error::new(format!("{name}: the report can't be built: {error}")))?;
    disk.bytes(&folder.join(format!("{name}.parquet")), &parquet)?;
    if rows.report().has_csv {
        disk.file(&folder.join(format!("{name}.csv")), |file| csv(&rows, file))?;
    }
    Ok(())
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
    if let Some(dictionary) = dictionary(cells, field.dtype(), rows.clone()) {
        let pages = dictionary.pages(type_, options)?;
        return pages.into_iter().map(|page| compressed(page, zstd)).collect();
    }
    let array = array(cells, field.dtype(), rows);
    let nested = [Nested::primitive(array.validity().cloned(), field.is_nullable, array.len())];
    let pages = array_to_pages(&*array, type_, &nested, options, Encoding::Plain)?;
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

/// The cells of some rows.
fn array(cells: &Cells, type_: &ArrowDataType, rows: Range<usize>) -> Box<dyn Array> {
    fn plain<T: NativeType>(cells: &Plain<T>, type_: &ArrowDataType, rows: Range<usize>) -> Box<dyn Array> {
        let values = cells.values[rows.clone()].to_vec();
        PrimitiveArray::new(type_.clone(), values.into(), validity(cells.validity(rows))).boxed()
    }
    match cells {
        Cells::Date(cells) => plain(cells, type_, rows),
        Cells::Instant(cells) | Cells::Whole(cells) => plain(cells, type_, rows),
        Cells::Dollars(cells) => plain(cells, type_, rows),
        Cells::YesNo(cells) => {
            let values = cells.values[rows.clone()].iter().copied().collect();
            BooleanArray::new(type_.clone(), values, validity(cells.validity(rows))).boxed()
        }
        Cells::Text(texts) => {
            let validity = validity(texts.validity(rows.clone()));
            let texts = texts.places[rows].iter().map(|place| texts.text(*place));
            Utf8ViewArray::from_slice_values(texts.collect::<Vec<_>>()).with_validity(validity).boxed()
        }
    }
}

fn validity(validity: Option<impl Iterator<Item = bool>>) -> Option<Bitmap> {
    validity.map(Bitmap::from_iter)
}

/// What stands in some rows, each value once.
struct Dictionary {
    values: Box<dyn Array>,
    /// For each row its value's place; any where there is none.
    places: Vec<u32>,
    validity: Option<Bitmap>,
}

/// A dictionary is for texts, and for numbers that lie near to each other: they are found in a table. Others would have to
/// be hashed each, only to be larger as a rule than they are by themselves. None also where nearly all cells differ.
fn dictionary(cells: &Cells, type_: &ArrowDataType, rows: Range<usize>) -> Option<Dictionary> {
    match cells {
        Cells::Date(cells) => of_numbers(cells, type_, rows, 512),
        Cells::Instant(cells) | Cells::Whole(cells) => of_numbers(cells, type_, rows, 2048),
        Cells::Text(texts) => {
            let validity = validity(texts.validity(rows.clone()));
            let (texts, places) = texts.dictionary(rows);
            let differ = places.len() > 128 && texts.len() > places.len() / 4 * 3;
            let values = || Utf8ViewArray::from_slice_values(texts).boxed();
            (!differ).then(|| Dictionary { values: values(), places, validity })
        }
        Cells::Dollars(_) | Cells::YesNo(_) => None,
    }
}

/// So `few` values are always worth a dictionary.
fn of_numbers<T: NativeType + Ord + Into<i64>>(
    cells: &Plain<T>,
    type_: &ArrowDataType,
    rows: Range<usize>,
    few: usize,
) -> Option<Dictionary> {
    const FAR: u64 = u16::MAX as u64;
    const NOWHERE: u32 = u32::MAX;
    let numbers = &cells.values[rows.clone()];
    let first: i64 = (*numbers.first()?).into();
    let (mut least, mut greatest) = (first, first);
    // As a rule it is soon seen that numbers are far from each other.
    for numbers in numbers.chunks(1 << 10) {
        for number in numbers.iter().map(|number| (*number).into()) {
            (least, greatest) = (least.min(number), greatest.max(number));
        }
        if greatest.abs_diff(least) > FAR {
            return None;
        }
    }
    let span = greatest.abs_diff(least);
    let validity = validity(cells.validity(rows));
    let offset = |number: T| number.into().abs_diff(least) as usize;
    // By offset from the least: first the row of one, then its place.
    let mut places = vec![NOWHERE; span as usize + 1];
    for (row, number) in numbers.iter().enumerate() {
        if validity.as_ref().is_none_or(|validity| validity.get_bit(row)) {
            places[offset(*number)] = row as u32;
        }
    }
    let mut values = Vec::new();
    for place in places.iter_mut().filter(|row| **row != NOWHERE) {
        let row = std::mem::replace(place, values.len() as u32);
        values.push(numbers[row as usize]);
    }
    if values.len() > few && values.len() * 4 >= numbers.len() * 3 {
        return None;
    }
    let places = numbers.iter().map(|number| places[offset(*number)]).collect();
    let values = PrimitiveArray::new(type_.clone(), values.into(), None).boxed();
    Some(Dictionary { values, places, validity })
}

impl Dictionary {
    /// The same that polars makes of a `DictionaryArray`, whose places take it many more steps: it isn't compiled for speed.
    fn pages(&self, type_: PrimitiveType, options: WriteOptions) -> PolarsResult<Vec<Page>> {
        // A dictionary's page is as one of a column with its values, none of them null.
        let mut required = type_.clone();
        required.field_info.repetition = Repetition::Required;
        let nested = [Nested::primitive(None, false, self.values.len())];
        let Page::Data(values) = array_to_page(&*self.values, required, &nested, options, Encoding::Plain)?
        else {
            unreachable!("it has no dictionary of its own");
        };
        let DataPageHeader::V1(header) = values.header() else { unreachable!("it is what options say") };
        let nulls = self.validity.as_ref().map_or(0, Bitmap::unset_bits);
        let statistics = header.statistics.clone();
        let statistics = statistics.map(|own| Statistics { null_count: Some(nulls as i64), ..own });
        let buffer = CowBuffer::Owned(values.buffer().to_vec());
        let mut pages = vec![Page::Dict(DictPage::new(buffer, self.values.len(), false))];
        for begin in (0..self.places.len()).step_by(PAGE) {
            let places = &self.places[begin..self.places.len().min(begin + PAGE)];
            let rows = places.len();
            let validity = self.validity.clone().map(|validity| validity.sliced(begin, rows));
            let validity = validity.filter(|validity| validity.unset_bits() > 0);
            let mut buffer = Vec::new();
            write_def_levels(&mut buffer, true, validity.as_ref(), rows, options.version)?;
            match validity {
                None => push_places(&mut buffer, places)?,
                Some(validity) => {
                    let valid = places.iter().zip(&validity).filter(|(_, is_valid)| *is_valid);
                    push_places(&mut buffer, &valid.map(|(place, _)| *place).collect::<Vec<_>>())?;
                }
            }
            let header = DataPageHeader::V1(DataPageHeaderV1 {
                num_values: rows as i32,
                encoding: Encoding::RleDictionary.into(),
                definition_level_encoding: Encoding::Rle.into(),
                repetition_level_encoding: Encoding::Rle.into(),
                statistics: statistics.clone(),
            });
            let descriptor = Descriptor { primitive_type: type_.clone(), max_def_level: 0, max_rep_level: 0 };
            pages.push(Page::Data(DataPage::new(header, CowBuffer::Owned(buffer), descriptor, rows)));
        }
        Ok(pages)
    }
}

/// Places as a page of a dictionary's column has them: how many bits each has, and the places.
fn push_places(buffer: &mut Vec<u8>, places: &[u32]) -> PolarsResult<()> {
    let bits = u32::BITS - places.iter().fold(0, |bits, place| bits | place).leading_zeros();
    buffer.push(bits as u8);
    Ok(hybrid_rle::encode(buffer, places.iter().copied(), bits)?)
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

/// Writes the rows as a CSV: dollars as plain decimals, and no text that a spreadsheet would run.
fn csv(rows: &Rows, file: &mut impl io::Write) -> io::Result<()> {
    // Texts and days are few: each is made a cell once.
    let texts = |(_, cells): (_, &Cells)| match cells {
        Cells::Text(texts) => texts.texts().map(|text| quoted(&guarded(text)).into_owned()).collect(),
        _ => Vec::new(),
    };
    let texts: Vec<Vec<String>> = rows.columns().map(texts).collect();
    let mut days: HashMap<Day, String> = HashMap::default();
    let mut csv = String::new();
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
                    Value::Dollars(pico) => pico.push_to(&mut csv),
                    Value::YesNo(yes) => push(&mut csv, yes),
                    Value::Text(_) | Value::Null => {}
                }
            }
            csv.push(',');
        }
        end_line(&mut csv);
        if csv.len() >= PIECE {
            file.write_all(csv.as_bytes())?;
            csv.clear();
        }
    }
    file.write_all(csv.as_bytes())
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

#[cfg(test)]
mod tests {
    use polars_arrow::array::DictionaryArray;
    use polars_arrow::datatypes::IntegerType;

    use super::*;
    use crate::report::column;

    #[test]
    fn pages_of_a_dictionary_are_those_that_polars_makes() {
        static REPORT: Report = Report {
            name: "test",
            columns: &[
                column("whole", Kind::Whole, "").or_null(""),
                column("text", Kind::Text, "").or_null(""),
            ],
            key: &[],
            has_csv: false,
        };
        let (schema, options) = (schema(&REPORT, ArrowDataType::Utf8View), options());
        // How many rows there are, in runs of how many, of how many values, and which of them are null; the last ones have
        // two pages, the second without a null.
        for (height, run, values, nulls) in [
            (1, 1, 1, 0),
            (1, 1, 1, 1),
            (77, 3, 9, 0),
            (8_000, 1, 300, 100),
            (9_000, 9, 5, 9_000),
            (PAGE + 9, 1, 2_000, 0),
            (PAGE + 1_000, 20, 200, PAGE),
        ] {
            let mut rows = Rows::new(&REPORT, height);
            for row in 0..height {
                let value = (row / run * 7919 % values) as u64;
                let text = format!("text {value}");
                rows.push(match row < nulls && row % 3 != 1 {
                    true => [Value::Null, Value::Null],
                    false => [value.into(), text.as_str().into()],
                });
            }
            for ((column, cells), field) in rows.columns().zip(schema.iter_values()) {
                let ParquetType::PrimitiveType(type_) = to_parquet_type(field).unwrap() else { panic!() };
                let dictionary = dictionary(cells, field.dtype(), 0..height).unwrap();
                let own = dictionary.pages(type_.clone(), options).unwrap();
                let array = match cells {
                    Cells::Text(_) => {
                        let key = ArrowDataType::UInt32;
                        let places = PrimitiveArray::new(key, dictionary.places.into(), dictionary.validity);
                        let type_ = Box::new(field.dtype().clone());
                        let type_ = ArrowDataType::Dictionary(IntegerType::UInt32, type_, false);
                        DictionaryArray::try_new(type_, places, dictionary.values).unwrap().boxed()
                    }
                    _ => array(cells, field.dtype(), 0..height),
                };
                let nested = [Nested::primitive(array.validity().cloned(), true, height)];
                let pages = array_to_pages(&*array, type_, &nested, options, Encoding::RleDictionary);
                let pages: Vec<Page> = pages.unwrap().collect::<PolarsResult<_>>().unwrap();
                assert_eq!(format!("{own:?}"), format!("{pages:?}"), "{}: {height} rows", column.name);
            }
        }
    }
}
