//! Owns how a row of typed columns becomes a line: numbers as numbers, times as RFC 3339, structs and maps as objects,
//! lists as lists. Null members are left out. Times without a zone are UTC.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use super::write_text;
use crate::types::day::{Day, Instant};

/// The columns of a batch, each ready to write its cells.
pub struct Columns<'b>(Vec<(&'b str, Cells<'b>)>);

/// A column, by what its cells are.
enum Cells<'b> {
    Bool(&'b arrow_array::BooleanArray),
    Text(&'b arrow_array::StringArray),
    View(&'b arrow_array::StringViewArray),
    /// A code each, of a dictionary's texts.
    Coded(&'b arrow_array::DictionaryArray<Int32Type>, &'b arrow_array::StringArray),
    Bytes(&'b arrow_array::BinaryArray),
    Whole(&'b dyn Array, fn(&dyn Array, usize) -> i128),
    Float(&'b dyn Array, fn(&dyn Array, usize) -> f64),
    /// Nanoseconds since 1970, as many a unit.
    Time(&'b dyn Array, fn(&dyn Array, usize) -> i128, i128),
    Date(&'b dyn Array, fn(&dyn Array, usize) -> i128),
    /// Digits after the point.
    Decimal(&'b dyn Array, fn(&dyn Array, usize) -> i128, usize),
    Struct(&'b dyn Array, Columns<'b>),
    List(&'b arrow_array::ListArray, Box<Cells<'b>>),
    Map(&'b arrow_array::MapArray, Box<Cells<'b>>, Box<Cells<'b>>),
    /// Of a type that no log has use for: as if it were null.
    Other,
}

impl<'b> Columns<'b> {
    pub fn new(batch: &'b RecordBatch) -> Columns<'b> {
        let schema = batch.schema_ref();
        let cells = batch.columns().iter().map(|column| Cells::new(column.as_ref()));
        Columns(schema.fields().iter().map(|field| field.name().as_str()).zip(cells).collect())
    }

    /// Appends a row as an object.
    pub fn write_row(&self, row: usize, line: &mut Vec<u8>) {
        let start = line.len();
        for (name, cells) in &self.0 {
            if cells.is_null(row) {
                continue;
            }
            line.push(if line.len() == start { b'{' } else { b',' });
            write_text(name.as_bytes(), line);
            line.push(b':');
            cells.write(row, line);
        }
        line.extend_from_slice(if line.len() == start { b"{}" } else { b"}" });
    }
}

fn whole<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> i128
where
    T::Native: Into<i128>,
{
    array.as_primitive::<T>().value(row).into()
}

fn float<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> f64
where
    T::Native: Into<f64>,
{
    array.as_primitive::<T>().value(row).into()
}

impl<'b> Cells<'b> {
    fn new(array: &'b dyn Array) -> Cells<'b> {
        match array.data_type() {
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::Utf8View => Cells::View(array.as_string_view()),
            DataType::Dictionary(..) => {
                let coded = array.as_dictionary_opt::<Int32Type>();
                let texts = coded.and_then(|coded| coded.values().as_string_opt());
                coded.zip(texts).map_or(Cells::Other, |(coded, texts)| Cells::Coded(coded, texts))
            }
            DataType::Binary => Cells::Bytes(array.as_binary()),
            DataType::Int8 => Cells::Whole(array, whole::<Int8Type>),
            DataType::Int16 => Cells::Whole(array, whole::<Int16Type>),
            DataType::Int32 => Cells::Whole(array, whole::<Int32Type>),
            DataType::Int64 => Cells::Whole(array, whole::<Int64Type>),
            DataType::UInt8 => Cells::Whole(array, whole::<UInt8Type>),
            DataType::UInt16 => Cells::Whole(array, whole::<UInt16Type>),
            DataType::UInt32 => Cells::Whole(array, whole::<UInt32Type>),
            DataType::UInt64 => Cells::Whole(array, whole::<UInt64Type>),
            DataType::Float16 => Cells::Float(array, float::<Float16Type>),
            DataType::Float32 => Cells::Float(array, float::<Float32Type>),
            DataType::Float64 => Cells::Float(array, float::<Float64Type>),
            DataType::Timestamp(TimeUnit::Second, _) => {
                Cells::Time(array, whole::<TimestampSecondType>, 1_000_000_000)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Cells::Time(array, whole::<TimestampMillisecondType>, 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Cells::Time(array, whole::<TimestampMicrosecondType>, 1_000)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Cells::Time(array, whole::<TimestampNanosecondType>, 1)
            }
            DataType::Date32 => Cells::Date(array, whole::<Date32Type>),
            DataType::Decimal32(_, scale) => {
                Cells::Decimal(array, whole::<Decimal32Type>, usize::try_from(*scale).unwrap_or(0))
            }
            DataType::Decimal64(_, scale) => {
                Cells::Decimal(array, whole::<Decimal64Type>, usize::try_from(*scale).unwrap_or(0))
            }
            DataType::Decimal128(_, scale) => {
                Cells::Decimal(array, whole::<Decimal128Type>, usize::try_from(*scale).unwrap_or(0))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter().map(|column| Cells::new(column.as_ref()));
                let names = fields.iter().map(|field| field.name().as_str());
                Cells::Struct(array, Columns(names.zip(columns).collect()))
            }
            DataType::List(_) => {
                let list = array.as_list();
                Cells::List(list, Box::new(Cells::new(list.values().as_ref())))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (keys, values) = (Cells::new(map.keys().as_ref()), Cells::new(map.values().as_ref()));
                Cells::Map(map, Box::new(keys), Box::new(values))
            }
            _ => Cells::Other,
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Bool(array) => array.is_null(row),
            Cells::Text(array) => array.is_null(row),
            Cells::View(array) => array.is_null(row),
            Cells::Coded(coded, texts) => coded.key(row).is_none_or(|code| texts.is_null(code)),
            Cells::Bytes(array) => array.is_null(row),
            // As dataframes write a count that isn't there.
            Cells::Float(array, float) => array.is_null(row) || !float(*array, row).is_finite(),
            Cells::Whole(array, _)
            | Cells::Time(array, ..)
            | Cells::Date(array, _)
            | Cells::Decimal(array, ..)
            | Cells::Struct(array, _) => array.is_null(row),
            Cells::List(array, _) => array.is_null(row),
            Cells::Map(array, ..) => array.is_null(row),
            Cells::Other => true,
        }
    }

    /// Appends a cell that isn't null. Writing to memory can't fail.
    fn write(&self, row: usize, line: &mut Vec<u8>) {
        let _ = match self {
            Cells::Bool(array) => write!(line, "{}", array.value(row)),
            Cells::Text(array) => return write_text(array.value(row).as_bytes(), line),
            Cells::View(array) => return write_text(array.value(row).as_bytes(), line),
            Cells::Coded(coded, texts) => {
                let text = coded.key(row).map_or("", |code| texts.value(code));
                return write_text(text.as_bytes(), line);
            }
            Cells::Bytes(array) => return write_text(array.value(row), line),
            Cells::Whole(array, whole) => write!(line, "{}", whole(*array, row)),
            Cells::Float(array, float) => write!(line, "{}", float(*array, row)),
            Cells::Time(array, whole, unit) => match i64::try_from(whole(*array, row) * unit) {
                Ok(nanos) => write!(line, "\"{}\"", Instant(nanos)),
                Err(_) => write!(line, "\"a time beyond 2262\""),
            },
            Cells::Date(array, whole) => write!(line, "\"{}\"", Day(whole(*array, row) as i32)),
            Cells::Decimal(array, whole, scale) => {
                let number = whole(*array, row);
                let unit = 10i128.checked_pow(*scale as u32).unwrap_or(i128::MAX);
                let sign = if number < 0 { "-" } else { "" };
                let (number, unit) = (number.unsigned_abs(), unit.unsigned_abs());
                match scale {
                    0 => write!(line, "{sign}{number}"),
                    scale => write!(line, "{sign}{}.{:0scale$}", number / unit, number % unit),
                }
            }
            Cells::Struct(_, columns) => return columns.write_row(row, line),
            Cells::List(array, cells) => {
                let offsets = array.value_offsets();
                line.push(b'[');
                for item in offsets[row] as usize..offsets[row + 1] as usize {
                    if item > offsets[row] as usize {
                        line.push(b',');
                    }
                    cells.write_or_null(item, line);
                }
                line.push(b']');
                return;
            }
            Cells::Map(array, keys, values) => {
                let offsets = array.value_offsets();
                line.push(b'{');
                for item in offsets[row] as usize..offsets[row + 1] as usize {
                    if item > offsets[row] as usize {
                        line.push(b',');
                    }
                    match keys {
                        cells
                            if matches!(
                                **cells,
                                Cells::Text(_) | Cells::View(_) | Cells::Coded(..) | Cells::Bytes(_)
                            ) =>
                        {
                            cells.write(item, line)
                        }
                        _ => line.extend_from_slice(b"\"\""),
                    }
                    line.push(b':');
                    values.write_or_null(item, line);
                }
                line.push(b'}');
                return;
            }
            Cells::Other => return,
        };
    }

    fn write_or_null(&self, row: usize, line: &mut Vec<u8>) {
        if self.is_null(row) {
            line.extend_from_slice(b"null");
        } else {
            self.write(row, line);
        }
    }
}
