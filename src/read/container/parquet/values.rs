//! Owns the values of a leaf, from what stands in its pages to an array: numbers, times, and texts as codes or as they
//! lie in a page. Which slots have one is for `leaf`.

use std::mem::MaybeUninit;
use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array as _, ArrayRef, DictionaryArray, PrimitiveArray, StringArray, StringViewArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use parquet::basic::Type as Stored;
use parquet::errors::Result;

use super::hybrid::Hybrid;
use super::leaf::broken;

/// Bytes of the pages that the texts of a batch may lie in, if the file is sound.
const MOST_KEPT: usize = 1 << 28;
/// Longer texts stand in a page alone.
const LONGEST_IN_VIEW: usize = 12;

/// What a page holds.
pub enum Encoded {
    Coded(Hybrid),
    Plain {
        bytes: Buffer,
        /// Where the next value begins.
        at: usize,
        is_ascii: bool,
    },
}

/// The words of a row group, which have codes.
pub enum Dictionary {
    None,
    Eight(Vec<u64>),
    /// Words of eight bytes that fit into four, as nearly all do: so more of them stay near.
    EightAsFour(Vec<u32>),
    Four(Vec<u32>),
    Texts(Arc<StringArray>),
}

/// The values of some slots that have one.
pub enum Values {
    Eight(Vec<u64>),
    Four(Vec<u32>),
    Codes(Vec<i32>),
    Views(Views),
}

/// Texts, and the pages that they lie in.
pub struct Views {
    texts: Vec<u128>,
    pages: Vec<Buffer>,
    /// Of all pages: that they are texts is known without a look at each.
    are_ascii: bool,
}

impl Encoded {
    pub fn plain(stored: Stored, bytes: Buffer) -> Encoded {
        let is_ascii = stored == Stored::BYTE_ARRAY && bytes.is_ascii();
        Encoded::Plain { bytes, at: 0, is_ascii }
    }
}

impl Dictionary {
    pub fn new(stored: Stored, bytes: &[u8], count: usize) -> Result<Dictionary> {
        let early = || broken("the dictionary ends too early");
        Ok(match stored {
            Stored::BYTE_ARRAY => {
                let (mut texts, mut ends, mut at) = (Vec::with_capacity(bytes.len()), vec![0], 0);
                for _ in 0..count {
                    texts.extend_from_slice(&bytes[text_at(bytes, &mut at).ok_or_else(early)?]);
                    ends.push(i32::try_from(texts.len())?);
                }
                let ends = OffsetBuffer::new(ends.into());
                Dictionary::Texts(Arc::new(StringArray::try_new(ends, Buffer::from_vec(texts), None)?))
            }
            Stored::INT64 | Stored::DOUBLE => {
                let bytes = count.checked_mul(8).and_then(|length| bytes.get(..length)).ok_or_else(early)?;
                let words = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
                match words.clone().fold(0, |all, word| all | word) >> u32::BITS {
                    0 => Dictionary::EightAsFour(words.map(|word| word as u32).collect()),
                    _ => Dictionary::Eight(words.collect()),
                }
            }
            _ => {
                let bytes = count.checked_mul(4).and_then(|length| bytes.get(..length)).ok_or_else(early)?;
                Dictionary::Four(bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
            }
        })
    }
}

/// Where the text is that begins with its length at `at`, which goes on to the next one's.
#[inline(always)]
fn text_at(bytes: &[u8], at: &mut usize) -> Option<std::ops::Range<usize>> {
    let start = *at + 4;
    let length = u32::from_le_bytes(*bytes.get(*at..start)?.first_chunk()?) as usize;
    (length <= bytes.len() - start).then(|| {
        *at = start + length;
        start..*at
    })
}

impl Values {
    pub fn new(stored: Stored) -> Values {
        match stored {
            Stored::BYTE_ARRAY => Values::Codes(Vec::new()),
            Stored::INT64 | Stored::DOUBLE => Values::Eight(Vec::new()),
            _ => Values::Four(Vec::new()),
        }
    }

    pub fn clear(&mut self) {
        match self {
            Values::Eight(values) => values.clear(),
            Values::Four(values) => values.clear(),
            Values::Codes(codes) => codes.clear(),
            Values::Views(views) => {
                views.texts.clear();
                views.pages.clear();
                views.are_ascii = true;
            }
        }
    }

    /// Appends the next values of a page.
    pub fn take(&mut self, page: &mut Encoded, count: usize, dictionary: &Dictionary) -> Result<()> {
        let early = || broken("values end too early, or one has no word");
        match page {
            Encoded::Coded(codes) => self.look_up(codes, count, dictionary).ok_or_else(early),
            Encoded::Plain { bytes, at, is_ascii } => {
                self.read(bytes, at, count, dictionary).ok_or_else(early)?;
                if let Values::Views(views) = self {
                    views.are_ascii &= *is_ascii;
                }
                Ok(())
            }
        }
    }

    /// What was taken, each value in its slot: in those that aren't null.
    pub fn array(
        &mut self,
        dictionary: &Dictionary,
        data_type: &DataType,
        nulls: Option<NullBuffer>,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        Ok(match self {
            Values::Eight(values) => {
                let values = Buffer::from_vec(spread(values, nulls.as_ref()));
                match data_type {
                    DataType::Int64 => primitive::<Int64Type>(values, nulls),
                    DataType::UInt64 => primitive::<UInt64Type>(values, nulls),
                    DataType::Float64 => primitive::<Float64Type>(values, nulls),
                    DataType::Timestamp(TimeUnit::Millisecond, zone) => Arc::new(
                        PrimitiveArray::<TimestampMillisecondType>::new(values.into(), nulls)
                            .with_timezone_opt(zone.clone()),
                    ),
                    DataType::Timestamp(TimeUnit::Microsecond, zone) => Arc::new(
                        PrimitiveArray::<TimestampMicrosecondType>::new(values.into(), nulls)
                            .with_timezone_opt(zone.clone()),
                    ),
                    DataType::Timestamp(_, zone) => Arc::new(
                        PrimitiveArray::<TimestampNanosecondType>::new(values.into(), nulls)
                            .with_timezone_opt(zone.clone()),
                    ),
                    other => unreachable!("{other} has no eight bytes"),
                }
            }
            Values::Four(values) => {
                let values = Buffer::from_vec(spread(values, nulls.as_ref()));
                match data_type {
                    DataType::Int32 => primitive::<Int32Type>(values, nulls),
                    DataType::UInt32 => primitive::<UInt32Type>(values, nulls),
                    DataType::Float32 => primitive::<Float32Type>(values, nulls),
                    other => unreachable!("{other} has no four bytes"),
                }
            }
            Values::Codes(codes) => {
                let codes = ScalarBuffer::from(spread(codes, nulls.as_ref()));
                let words = match dictionary {
                    Dictionary::Texts(words) => words.clone(),
                    _ => Arc::new(StringArray::new_null(0)),
                };
                let codes = PrimitiveArray::new(codes, nulls);
                // SAFETY: each code was found to have a word when it was taken; where none is, nothing is there.
                Arc::new(unsafe { DictionaryArray::<Int32Type>::new_unchecked(codes, words) })
            }
            Values::Views(Views { texts, pages, are_ascii }) => {
                let texts = spread(texts, nulls.as_ref()).into();
                let pages = std::mem::take(pages);
                Arc::new(match are_ascii {
                    // SAFETY: each text was made of bytes of its page, which are ASCII, or it is empty.
                    true => unsafe { StringViewArray::new_unchecked(texts, pages.into(), nulls) },
                    false => StringViewArray::try_new(texts, pages, nulls)?,
                })
            }
        })
    }

    /// Appends the values that have the next codes; None where one has none.
    fn look_up(&mut self, codes: &mut Hybrid, count: usize, dictionary: &Dictionary) -> Option<()> {
        match (&mut *self, dictionary) {
            (Values::Eight(values), Dictionary::Eight(words)) => {
                append(values, count, codes, |code| words.get(code as usize).copied())
            }
            (Values::Eight(values), Dictionary::EightAsFour(words)) => {
                append(values, count, codes, |code| words.get(code as usize).map(|word| u64::from(*word)))
            }
            (Values::Four(values), Dictionary::Four(words)) => {
                append(values, count, codes, |code| words.get(code as usize).copied())
            }
            (Values::Codes(own), Dictionary::Texts(words)) => append_known(own, count, codes, words.len()),
            // After texts that stand in a page.
            (Values::Views(views), Dictionary::Texts(words)) if !views.texts.is_empty() => {
                let mut own = Vec::new();
                append_known(&mut own, count, codes, words.len())?;
                views.push_words(&own, words);
                Some(())
            }
            (Values::Views(_), Dictionary::Texts(words)) => {
                let mut own = Vec::new();
                append_known(&mut own, count, codes, words.len())?;
                *self = Values::Codes(own);
                Some(())
            }
            _ => (count == 0).then_some(()),
        }
    }

    /// Appends values that stand in a page themselves, from `at` on; None where there are fewer.
    fn read(&mut self, bytes: &Buffer, at: &mut usize, count: usize, dictionary: &Dictionary) -> Option<()> {
        match self {
            Values::Eight(values) => {
                let end = at.checked_add(count.checked_mul(8)?)?;
                let (found, _) = bytes.get(*at..end)?.as_chunks();
                values.extend(found.iter().map(|value| u64::from_le_bytes(*value)));
                *at = end;
            }
            Values::Four(values) => {
                let end = at.checked_add(count.checked_mul(4)?)?;
                let (found, _) = bytes.get(*at..end)?.as_chunks();
                values.extend(found.iter().map(|value| u32::from_le_bytes(*value)));
                *at = end;
            }
            Values::Codes(_) | Values::Views(_) => {
                let Views { texts, pages, .. } = self.views(dictionary);
                if count == 0 {
                    return Some(());
                }
                let page = pages.len() as u32;
                pages.push(bytes.clone());
                // Pages are kept as long as their texts: pages of next to no text would be all that there is memory for.
                if pages.iter().map(Buffer::len).sum::<usize>() > MOST_KEPT {
                    return None;
                }
                let before = texts.len();
                texts.resize(before + count, 0);
                let bytes = bytes.as_slice();
                for own in &mut texts[before..] {
                    let text = text_at(bytes, at)?;
                    *own = view(&bytes[text.clone()], page, text.start as u32);
                }
            }
        }
        Some(())
    }

    /// Texts as they stand in pages, those that were codes until now among them.
    fn views(&mut self, dictionary: &Dictionary) -> &mut Views {
        if !matches!(self, Values::Views(_)) {
            let mut views = Views { texts: Vec::new(), pages: Vec::new(), are_ascii: true };
            if let (Values::Codes(codes), Dictionary::Texts(words)) = (&*self, dictionary)
                && !codes.is_empty()
            {
                views.push_words(codes, words);
            }
            *self = Values::Views(views);
        }
        let Values::Views(views) = self else { unreachable!("it was just made") };
        views
    }
}

impl Views {
    /// Appends words of a dictionary, which are known, as texts that stand in it.
    fn push_words(&mut self, codes: &[i32], words: &StringArray) {
        let page = self.pages.len() as u32;
        self.pages.push(words.values().clone());
        self.are_ascii &= words.values().is_ascii();
        for code in codes {
            let code = *code as usize;
            let text = words.value(code).as_bytes();
            self.texts.push(view(text, page, words.value_offsets()[code] as u32));
        }
    }
}

/// A text as arrow has it: long ones by their length, first bytes, page and place.
#[inline(always)]
fn view(text: &[u8], page: u32, start: u32) -> u128 {
    match text.first_chunk::<4>() {
        Some(first) if text.len() > LONGEST_IN_VIEW => {
            let low = text.len() as u64 | u64::from(u32::from_le_bytes(*first)) << 32;
            u128::from(low) | u128::from(u64::from(page) | u64::from(start) << 32) << 64
        }
        _ => make_view(text, page, start),
    }
}

/// Appends what the next codes stand for; None where one stands for nothing.
#[inline(always)]
fn append<T: Copy>(
    values: &mut Vec<T>,
    count: usize,
    codes: &mut Hybrid,
    of: impl Fn(u32) -> Option<T> + Copy,
) -> Option<()> {
    values.reserve(count);
    let room = &mut values.spare_capacity_mut()[..count];
    codes.fill(room, |code| of(code).map(MaybeUninit::new))?;
    // SAFETY: all of them were filled in.
    unsafe { values.set_len(values.len() + count) };
    Some(())
}

/// Appends the next codes, if each is of so many words.
fn append_known(own: &mut Vec<i32>, count: usize, codes: &mut Hybrid, words: usize) -> Option<()> {
    let before = own.len();
    append(own, count, codes, |code| Some(code as i32))?;
    let are_known = are_known(&own[before..], words);
    if !are_known {
        own.truncate(before);
    }
    are_known.then_some(())
}

fn are_known(codes: &[i32], words: usize) -> bool {
    let Some(last) = words.checked_sub(1).map(|last| last.min(i32::MAX as usize) as i32) else {
        return codes.is_empty();
    };
    // Of a code that is greater the highest bit is set, or that of the difference.
    codes.iter().fold(0, |all, code| all | code | last.wrapping_sub(*code)) >= 0
}

fn primitive<T: ArrowPrimitiveType>(values: Buffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// Puts values to their slots, of which as many aren't null.
fn spread<T: Copy + Default>(values: &mut Vec<T>, nulls: Option<&NullBuffer>) -> Vec<T> {
    let Some(nulls) = nulls else { return std::mem::take(values) };
    let mut spread = vec![T::default(); nulls.len()];
    let mut left = values.as_slice();
    // Those that are there, and those that aren't, come several in a row.
    for (start, end) in nulls.valid_slices() {
        let (own, after) = left.split_at(end - start);
        spread[start..end].copy_from_slice(own);
        left = after;
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_beyond_the_words_is_not_known() {
        assert!(are_known(&[], 0) && are_known(&[0, 2, 1], 3));
        assert!(!are_known(&[0], 0));
        for code in [3, 4, i32::MAX, i32::MIN, -2, -1] {
            assert!(!are_known(&[0, code, 1], 3), "{code}");
        }
    }

    #[test]
    fn pages_of_next_to_no_text_are_not_kept_without_end() {
        // It begins with an empty text.
        let page = Buffer::from_vec(vec![0u8; 1 << 20]);
        let mut values = Values::new(Stored::BYTE_ARRAY);
        let mut take = || {
            let mut page = Encoded::Plain { bytes: page.clone(), at: 0, is_ascii: true };
            values.take(&mut page, 1, &Dictionary::None)
        };
        for _ in 0..MOST_KEPT >> 20 {
            take().expect("as many are kept");
        }
        assert!(take().is_err());
    }
}
