//! Owns columns of counts, and lists of token details: numbers of any type, and whether each is a plain count.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;

use super::words::Text;
use super::{each_null, is_spelled_so, items, names_differ};
use crate::types::meter::{MODALITIES, Modality};
use crate::types::usage::GREATEST_COUNT;

/// A count that isn't there, and one that isn't plain.
pub(super) const MISSING: u64 = u64::MAX;
const NO_COUNT: u64 = u64::MAX - 1;
const MOST_DETAILS: usize = 64;

/// Token details of one kind, entries of all rows one after the other.
#[derive(Default)]
pub(super) struct Details {
    /// Where each row's entries are; none without the column.
    offsets: Option<OffsetBuffer<i32>>,
    modalities: Vec<u8>,
    tokens: Vec<u64>,
}

impl Details {
    /// In the place of a modality that isn't plain.
    const NO_MODALITY: u8 = MODALITIES as u8;

    pub(super) fn clear(&mut self) {
        self.offsets = None;
        self.modalities.clear();
        self.tokens.clear();
    }

    pub(super) fn read(
        &mut self,
        list: &ListArray,
        above: Option<&NullBuffer>,
        is_row: bool,
        plain: &mut [bool],
    ) -> Option<()> {
        let entries = list.values().as_struct_opt()?;
        let DataType::Struct(members) = entries.data_type() else { return None };
        if !names_differ(members) {
            return None;
        }
        for (member, array) in members.iter().zip(entries.columns()) {
            let is_missing = array.null_count() == array.len();
            match member.name().as_str() {
                "modality" if !is_missing => self.read_modalities(array)?,
                "tokenCount" if !is_missing => read_counts(array, None, &mut self.tokens)?,
                name if is_row && !is_spelled_so(name) => return None,
                _ => {}
            }
        }
        self.modalities.resize(entries.len(), Modality::Text as u8);
        self.tokens.resize(entries.len(), MISSING);
        each_null(entries.nulls(), |entries| self.modalities[entries].fill(Details::NO_MODALITY));
        // What stands in a list that isn't there doesn't count, nor do writers put anything in it.
        let nulls = NullBuffer::union(above, list.nulls());
        each_null(nulls.as_ref(), |rows| {
            if list.offsets()[rows.start] < list.offsets()[rows.end] {
                rows.for_each(|row| plain[row] &= list.value_length(row) == 0);
            }
        });
        self.offsets = Some(list.offsets().clone());
        Some(())
    }

    pub(super) fn read_modalities(&mut self, array: &ArrayRef) -> Option<()> {
        let modality = |word: &[u8]| match std::str::from_utf8(word) {
            Ok("") => Modality::Text as u8,
            Ok(word) => Modality::from_log(word).map_or(Details::NO_MODALITY, |modality| modality as u8),
            Err(_) => Details::NO_MODALITY,
        };
        let text = Text::of(array)?;
        if let Text::Coded(coded, dictionary) = &text {
            let known: Vec<u8> =
                (0..dictionary.len()).map(|code| modality(dictionary.value(code).as_bytes())).collect();
            let codes = coded.keys().values().iter();
            self.modalities
                .extend(codes.map(|code| known.get(*code as usize).copied().unwrap_or(Details::NO_MODALITY)));
        } else {
            self.modalities.extend((0..array.len()).map(|entry| modality(text.bytes(entry))));
        }
        each_null(array.nulls(), |entries| self.modalities[entries].fill(Modality::Text as u8));
        Some(())
    }

    /// Sums up a row's entries; None where one isn't plain.
    #[inline(always)]
    pub(super) fn add_up(&self, row: usize, sums: &mut [u64; MODALITIES]) -> Option<()> {
        let Some(offsets) = &self.offsets else { return Some(()) };
        let entries = items(offsets, row);
        if entries.len() > MOST_DETAILS {
            return None;
        }
        for entry in entries {
            *sums.get_mut(usize::from(self.modalities[entry]))? +=
                plain_count(self.tokens[entry])?.unwrap_or(0);
        }
        Some(())
    }
}

#[inline(always)]
pub(super) fn plain_count(count: u64) -> Option<Option<u64>> {
    match count {
        MISSING => Some(None),
        NO_COUNT => None,
        count => Some(Some(count)),
    }
}

/// Reads numbers as counts; None of a column that has none. As dataframes write a count that isn't there, a float that
/// is none is missing.
pub(super) fn read_counts(array: &ArrayRef, above: Option<&NullBuffer>, counts: &mut Vec<u64>) -> Option<()> {
    fn read<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        counts: &mut Vec<u64>,
        count: impl Fn(T::Native) -> u64,
    ) {
        counts.extend(array.as_primitive::<T>().values().iter().map(|number| count(*number)));
    }
    let of_float = |number: f64| match number {
        number if !number.is_finite() => MISSING,
        number if number >= 0.0 && number <= GREATEST_COUNT as f64 && number.fract() == 0.0 => number as u64,
        _ => NO_COUNT,
    };
    let first = counts.len();
    match array.data_type() {
        // A number below 0 is far above as one without a sign.
        DataType::Int8 => read::<Int8Type>(array, counts, |number| i64::from(number) as u64),
        DataType::Int16 => read::<Int16Type>(array, counts, |number| i64::from(number) as u64),
        DataType::Int32 => read::<Int32Type>(array, counts, |number| i64::from(number) as u64),
        DataType::Int64 => read::<Int64Type>(array, counts, |number| number as u64),
        DataType::UInt8 => read::<UInt8Type>(array, counts, u64::from),
        DataType::UInt16 => read::<UInt16Type>(array, counts, u64::from),
        DataType::UInt32 => read::<UInt32Type>(array, counts, u64::from),
        DataType::UInt64 => read::<UInt64Type>(array, counts, |number| number),
        DataType::Float32 => read::<Float32Type>(array, counts, |number| of_float(number.into())),
        DataType::Float64 => read::<Float64Type>(array, counts, of_float),
        _ => return None,
    }
    let counts = &mut counts[first..];
    // As a rule none is, and that is known without a look at each.
    if array.data_type().is_integer() && counts.iter().fold(0, |all, count| all | count) > GREATEST_COUNT {
        counts.iter_mut().filter(|count| **count > GREATEST_COUNT).for_each(|count| *count = NO_COUNT);
    }
    each_null(NullBuffer::union(above, array.nulls()).as_ref(), |rows| counts[rows].fill(MISSING));
    Some(())
}
