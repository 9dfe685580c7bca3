//! Owns columns of counts, and lists of token details: numbers of any type, and whether each is a plain count.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;

use super::words::{FEW, Text};
use super::{each_null, is_spelled_so, items, names_differ};
use crate::types::meter::{MODALITIES, Modality};
use crate::types::usage::GREATEST_COUNT;

/// A count that isn't there, where that is told from 0, and one that isn't plain.
pub(super) const MISSING: u64 = u64::MAX;
pub(super) const NO_COUNT: u64 = u64::MAX - 1;
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
        let mut are_plain = true;
        for (member, array) in members.iter().zip(entries.columns()) {
            let is_missing = array.null_count() == array.len();
            match member.name().as_str() {
                "modality" if !is_missing => self.read_modalities(array)?,
                "tokenCount" if !is_missing => are_plain &= read_counts(array, None, 0, &mut self.tokens)?,
                name if is_row && !is_spelled_so(name) => return None,
                _ => {}
            }
        }
        self.modalities.resize(entries.len(), Modality::Text as u8);
        self.tokens.resize(entries.len(), 0);
        each_null(entries.nulls(), |entries| self.modalities[entries].fill(Details::NO_MODALITY));
        // What stands in a list that isn't there doesn't count, nor do writers put anything in it.
        let nulls = NullBuffer::union(above, list.nulls());
        each_null(nulls.as_ref(), |rows| {
            if list.offsets()[rows.start] < list.offsets()[rows.end] {
                rows.for_each(|row| plain[row] &= list.value_length(row) == 0);
            }
        });
        are_plain &=
            self.modalities.iter().fold(0, |all, modality| all.max(*modality)) < Details::NO_MODALITY;
        are_plain &= has_short_lists(list.offsets());
        // As a rule all are, and that is known without a look at each row.
        if !are_plain {
            for (row, plain) in plain.iter_mut().enumerate() {
                let entries = items(list.offsets(), row);
                *plain &= entries.len() <= MOST_DETAILS
                    && self.modalities[entries.clone()]
                        .iter()
                        .all(|modality| *modality < Details::NO_MODALITY)
                    && !self.tokens[entries].contains(&NO_COUNT);
            }
        }
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
            let known = (0..dictionary.len()).map(|code| modality(dictionary.value(code).as_bytes()));
            let codes = coded.keys().values().iter();
            if dictionary.len() <= FEW {
                let mut few = [Details::NO_MODALITY; FEW];
                few.iter_mut().zip(known).for_each(|(own, known)| *own = known);
                self.modalities.extend(codes.map(|code| few[usize::from(*code as u8)]));
            } else {
                let known: Vec<u8> = known.collect();
                let of = |code: &i32| known.get(*code as usize).copied().unwrap_or(Details::NO_MODALITY);
                self.modalities.extend(codes.map(of));
            }
        } else {
            self.modalities.extend((0..array.len()).map(|entry| modality(text.bytes(entry))));
        }
        each_null(array.nulls(), |entries| self.modalities[entries].fill(Modality::Text as u8));
        Some(())
    }

    /// Rules out rows that have more than one entry, one of anything but text, or one that exceeds the row's count of
    /// `wholes`.
    pub(super) fn rule_out_other(&self, wholes: &[u64], of_text: &mut [bool]) {
        let Some(offsets) = self.offsets.as_ref().filter(|_| !wholes.is_empty()) else {
            return self.rule_out_any(of_text);
        };
        let entries = &self.modalities[..self.tokens.len()];
        let Some(last) = entries.len().checked_sub(1) else { return self.rule_out_any(of_text) };
        // Whether a row has an entry can't be foretold, so there is no branch at it: where there is none, another one is
        // looked at, and doesn't matter.
        for ((of_text, ends), whole) in of_text.iter_mut().zip(offsets.windows(2)).zip(wholes) {
            let (length, entry) = (ends[1].wrapping_sub(ends[0]), last.min(ends[0] as usize));
            let is_text = (entries[entry] == Modality::Text as u8) & (self.tokens[entry] <= *whole);
            *of_text &= (length == 0) | (length == 1) & is_text;
        }
    }

    /// Rules out rows that have an entry.
    pub(super) fn rule_out_any(&self, of_text: &mut [bool]) {
        let Some(offsets) = &self.offsets else { return };
        for (of_text, ends) in of_text.iter_mut().zip(offsets.windows(2)) {
            *of_text &= ends[0] == ends[1];
        }
    }

    /// Adds up the entries of a row that is plain.
    #[inline(always)]
    pub(super) fn add_up(&self, row: usize, sums: &mut [u64; MODALITIES]) {
        let Some(offsets) = &self.offsets else { return };
        let entries = items(offsets, row);
        // In most lists of cached tokens and of tools there is nothing.
        if entries.is_empty() {
            return;
        }
        for (modality, tokens) in self.modalities[entries.clone()].iter().zip(&self.tokens[entries]) {
            if let Some(sum) = sums.get_mut(usize::from(*modality)) {
                *sum += tokens;
            }
        }
    }
}

/// Whether all are so short that it is known without a look at each.
fn has_short_lists(offsets: &[i32]) -> bool {
    let lengths = offsets.iter().zip(&offsets[1..]).map(|(begin, end)| end.wrapping_sub(*begin));
    lengths.fold(0, |all, length| all | length as u32) < MOST_DETAILS as u32
}

/// Reads numbers as counts, and puts `missing` where none is; whether all are plain, None of a column that has none. As
/// dataframes write a count that isn't there, a float that is none is missing.
pub(super) fn read_counts(
    array: &ArrayRef,
    above: Option<&NullBuffer>,
    missing: u64,
    counts: &mut Vec<u64>,
) -> Option<bool> {
    fn read<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        counts: &mut Vec<u64>,
        count: impl Fn(T::Native) -> u64,
    ) -> u64 {
        let mut all = 0;
        counts.extend(array.as_primitive::<T>().values().iter().map(|number| {
            let count = count(*number);
            all |= count;
            count
        }));
        all
    }
    let of_float = |number: f64| match number {
        number if !number.is_finite() => missing,
        number if number >= 0.0 && number <= GREATEST_COUNT as f64 && number.fract() == 0.0 => number as u64,
        _ => NO_COUNT,
    };
    let first = counts.len();
    // The bits of all counts.
    let all = match array.data_type() {
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
    };
    let counts = &mut counts[first..];
    // As a rule all are plain, and that is known without a look at each.
    let is_whole = array.data_type().is_integer();
    let is_doubtful = !is_whole || all > GREATEST_COUNT;
    if is_whole && is_doubtful {
        counts.iter_mut().filter(|count| **count > GREATEST_COUNT).for_each(|count| *count = NO_COUNT);
    }
    each_null(NullBuffer::union(above, array.nulls()).as_ref(), |rows| counts[rows].fill(missing));
    Some(!is_doubtful || !counts.contains(&NO_COUNT))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray, StructArray};
    use arrow_schema::Field;

    use super::*;

    fn lists(lengths: &[usize], modalities: Vec<&str>, tokens: Vec<Option<i64>>) -> ListArray {
        let modalities: ArrayRef = Arc::new(StringArray::from(modalities));
        let tokens: ArrayRef = Arc::new(Int64Array::from(tokens));
        let member = |name, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let members = vec![
            (member("modality", &modalities), modalities.clone()),
            (member("tokenCount", &tokens), tokens.clone()),
        ];
        let entries: ArrayRef = Arc::new(StructArray::from(members));
        let item = Field::new("item", entries.data_type().clone(), true);
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        ListArray::new(Arc::new(item), offsets, entries, None)
    }

    fn read(list: &ListArray) -> (Vec<bool>, Vec<[u64; MODALITIES]>) {
        let (mut details, mut plain) = (Details::default(), vec![true; list.len()]);
        details.read(list, None, false, &mut plain).expect("lists of details");
        let sums = plain.iter().enumerate().map(|(row, plain)| {
            let mut sums = [0; MODALITIES];
            if *plain {
                details.add_up(row, &mut sums);
            }
            sums
        });
        let sums = sums.collect();
        (plain, sums)
    }

    #[test]
    fn a_list_of_which_an_entry_is_not_plain_takes_its_row_alone_with_it() {
        let modalities = vec!["TEXT", "image", "TEXT", "smell", "AUDIO", "AUDIO"];
        let tokens = vec![Some(3), None, Some(1 << 40), Some(1), Some(-1), Some(2)];
        let (plain, sums) = read(&lists(&[2, 0, 1, 1, 1, 1], modalities, tokens));
        assert_eq!(plain, [true, true, true, false, false, true]);
        let text = |tokens| [tokens, 0, 0, 0, 0];
        assert_eq!(sums, [text(3), text(0), text(1 << 40), text(0), text(0), [0, 0, 0, 0, 2]]);
    }

    #[test]
    fn a_list_of_too_many_entries_is_not_plain() {
        let entries = 1 + MOST_DETAILS + 1 + MOST_DETAILS;
        let list =
            lists(&[1, MOST_DETAILS + 1, MOST_DETAILS], vec!["TEXT"; entries], vec![Some(1 << 40); entries]);
        let (plain, sums) = read(&list);
        assert_eq!(plain, [true, false, true]);
        assert_eq!(sums[2][0], (MOST_DETAILS as u64) << 40);
    }
}
