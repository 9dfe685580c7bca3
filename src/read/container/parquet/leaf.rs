//! Owns one leaf of a row group: its pages, and what they hold of some rows, as levels and values. What columns they
//! make is for `row_groups`.

use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array as _, ArrayRef, DictionaryArray, PrimitiveArray, StringArray, StringViewArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use parquet::basic::{Encoding, Type as Stored};
use parquet::column::page::{Page, PageReader as _};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::hybrid::Hybrid;

/// So many items of lists are in no rows that are read together, if the file is sound.
const MOST_SLOTS: usize = 1 << 22;

/// What a leaf is, wherever it is stored.
#[derive(Clone)]
pub struct Kind {
    data_type: DataType,
    stored: Stored,
    /// The level of a value that is there, and whether it is in a list.
    level: u8,
    repeats: bool,
}

impl Kind {
    /// None of a leaf that isn't read here.
    pub fn new(data_type: &DataType, column: &ColumnChunkMetaData) -> Option<Kind> {
        let stored = column.column_type();
        let is_read = match data_type {
            DataType::Utf8 => stored == Stored::BYTE_ARRAY,
            DataType::Int64 | DataType::UInt64 => stored == Stored::INT64,
            DataType::Timestamp(unit, _) => stored == Stored::INT64 && *unit != TimeUnit::Second,
            DataType::Int32 | DataType::UInt32 => stored == Stored::INT32,
            DataType::Float64 => stored == Stored::DOUBLE,
            DataType::Float32 => stored == Stored::FLOAT,
            _ => false,
        };
        let descriptor = column.column_descr();
        let kind = Kind {
            data_type: data_type.clone(),
            stored,
            level: u8::try_from(descriptor.max_def_level()).ok().filter(|level| *level < 128)?,
            repeats: descriptor.max_rep_level() == 1,
        };
        (is_read && descriptor.max_rep_level() <= 1).then_some(kind)
    }

    /// Whether all pages of a row group are of encodings that are read here.
    pub fn is_read(column: &ColumnChunkMetaData) -> bool {
        column.encodings().all(|encoding| {
            matches!(
                encoding,
                Encoding::PLAIN | Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY | Encoding::RLE
            )
        })
    }
}

/// One leaf of a row group while it is read.
pub struct Leaf<R: ChunkReader> {
    kind: Kind,
    pages: SerializedPageReader<R>,
    page: Option<Open>,
    dictionary: Dictionary,
    /// Of the rows taken last, for each slot: how far what holds the value, or itself, is there.
    levels: Vec<u8>,
    /// For each slot whether its list goes on: 0 where a row begins.
    repeats: Vec<u8>,
    /// The values that are there.
    values: Values,
    codes: Vec<u32>,
}

/// A page, and how far it is read.
struct Open {
    repeats: Option<Hybrid>,
    levels: Option<Hybrid>,
    values: Encoded,
    slots: usize,
}

enum Encoded {
    Coded(Hybrid),
    Plain {
        bytes: Buffer,
        /// Where the next value begins.
        at: usize,
        is_ascii: bool,
    },
}

enum Dictionary {
    None,
    Eight(Vec<u64>),
    Four(Vec<u32>),
    Texts(Arc<StringArray>),
}

enum Values {
    Eight(Vec<u64>),
    Four(Vec<u32>),
    Codes(Vec<i32>),
    Views(Views),
}

/// Texts, and the pages that they lie in.
struct Views {
    texts: Vec<u128>,
    pages: Vec<Buffer>,
    /// Of all pages: that they are texts is known without a look at each.
    are_ascii: bool,
}

fn broken(what: &str) -> ParquetError {
    ParquetError::General(what.to_string())
}

impl<R: ChunkReader> Leaf<R> {
    pub fn open(kind: &Kind, source: Arc<R>, column: &ColumnChunkMetaData, rows: usize) -> Result<Leaf<R>> {
        Ok(Leaf {
            kind: kind.clone(),
            pages: SerializedPageReader::new(source, column, rows, None)?,
            page: None,
            dictionary: Dictionary::None,
            levels: Vec::new(),
            repeats: Vec::new(),
            values: Values::new(kind.stored),
            codes: Vec::new(),
        })
    }

    pub fn levels(&self) -> &[u8] {
        &self.levels
    }

    /// Takes the slots of the next rows, unless they came with the list that they are in.
    pub fn take_alone(&mut self, rows: usize) -> Result<()> {
        if self.kind.repeats { Ok(()) } else { self.take_slots(rows) }
    }

    /// After the slots of lists were taken: where each row's items end, 0 before the first, and the level of each list.
    /// Only slots with items are left of the leaf.
    pub fn lists(&mut self, rows: usize, item_level: u8) -> (Vec<i32>, Vec<u8>) {
        let (mut ends, mut lists) = (vec![0; rows + 1], vec![0; rows + 1]);
        let (mut row, mut items) = (0, 0);
        for slot in 0..self.levels.len() {
            let level = self.levels[slot];
            row += usize::from(self.repeats[slot] == 0);
            self.levels[items] = level;
            items += usize::from(level >= item_level);
            ends[row] = items as i32;
            lists[row] = level;
        }
        self.levels.truncate(items);
        lists.remove(0);
        (ends, lists)
    }

    /// Leaves only slots with items of the leaf, of which another's were taken by [`Leaf::lists`].
    pub fn keep_items(&mut self, item_level: u8) {
        let mut items = 0;
        for slot in 0..self.levels.len() {
            let level = self.levels[slot];
            self.levels[items] = level;
            items += usize::from(level >= item_level);
        }
        self.levels.truncate(items);
    }

    /// Takes the next slots, as many as there are rows.
    pub fn take_slots(&mut self, slots: usize) -> Result<()> {
        self.clear();
        while self.levels.len() < slots {
            let left = slots - self.levels.len();
            let page = self.page()?.ok_or_else(|| broken("fewer values than rows"))?;
            let now = left.min(page.slots);
            self.take_of_page(now)?;
        }
        Ok(())
    }

    /// Takes the slots of the next rows, of a leaf in a list.
    pub fn take_rows(&mut self, rows: usize) -> Result<()> {
        self.clear();
        self.repeats.clear();
        let mut begun = 0;
        while self.page()?.is_some() {
            let Leaf { page: Some(Open { repeats: Some(page), slots, .. }), repeats, .. } = self else {
                return Err(broken("a list without levels"));
            };
            let early = || broken("levels end too early");
            // A row has a slot at least; those after its first go on with it.
            let (mut now, before) = ((rows - begun).min(*slots), repeats.len());
            repeats.resize(before + now, 0);
            page.fill(&mut repeats[before..], |level| level as u8).ok_or_else(early)?;
            begun += repeats[before..].iter().filter(|level| **level == 0).count();
            while begun == rows
                && now < *slots
                && repeats.len() <= MOST_SLOTS
                && page.peek().is_some_and(|level| level > 0)
            {
                repeats.push(0);
                page.fill(&mut repeats[before + now..], |level| level as u8).ok_or_else(early)?;
                now += 1;
            }
            if repeats.len() > MOST_SLOTS {
                return Err(broken("too many items"));
            }
            if now == 0 {
                break;
            }
            self.take_of_page(now)?;
        }
        if begun == rows { Ok(()) } else { Err(broken("fewer values than rows")) }
    }

    fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
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

    /// The page that the next slot is in; None at the end.
    fn page(&mut self) -> Result<Option<&mut Open>> {
        while self.page.as_ref().is_none_or(|page| page.slots == 0) {
            match self.pages.get_next_page()? {
                None => return Ok(None),
                Some(Page::DictionaryPage { buf, num_values, .. }) => {
                    if !matches!(self.dictionary, Dictionary::None) {
                        return Err(broken("two dictionaries"));
                    }
                    self.dictionary = self.kind.dictionary(Buffer::from(buf), num_values as usize)?;
                }
                Some(page) => self.page = Some(self.kind.open(page)?),
            }
        }
        Ok(self.page.as_mut())
    }

    fn take_of_page(&mut self, slots: usize) -> Result<()> {
        let Leaf { kind, page, dictionary, levels, values, codes, .. } = self;
        let page = page.as_mut().expect("it was opened");
        let before = levels.len();
        let there = match &mut page.levels {
            None => {
                levels.resize(before + slots, kind.level);
                slots
            }
            Some(hybrid) => {
                levels.resize(before + slots, 0);
                hybrid
                    .fill(&mut levels[before..], |level| kind.level.min(level as u8))
                    .ok_or_else(|| broken("levels end too early"))?;
                count(&levels[before..], kind.level)
            }
        };
        page.slots -= slots;
        let early = || broken("values end too early");
        match &mut page.values {
            Encoded::Coded(hybrid) => {
                codes.resize(there, 0);
                hybrid.fill(codes, |code| code).ok_or_else(early)?;
                values.look_up(codes, dictionary).ok_or_else(|| broken("no such word"))
            }
            Encoded::Plain { bytes, at, is_ascii } => {
                let read = values.read(bytes, at, there, dictionary).ok_or_else(early);
                if let Values::Views(views) = values {
                    views.are_ascii &= *is_ascii;
                }
                read
            }
        }
    }

    /// What was taken.
    pub fn array(&mut self) -> std::result::Result<ArrayRef, ArrowError> {
        let levels = &self.levels[..];
        let nulls = at_least(levels, self.kind.level);
        let there = |level: u8| level == self.kind.level;
        Ok(match &mut self.values {
            Values::Eight(values) => {
                let values = spread(values, levels, nulls.is_some(), there);
                let (values, nulls) = (Buffer::from_vec(values), nulls);
                match &self.kind.data_type {
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
                let values = Buffer::from_vec(spread(values, levels, nulls.is_some(), there));
                match &self.kind.data_type {
                    DataType::Int32 => primitive::<Int32Type>(values, nulls),
                    DataType::UInt32 => primitive::<UInt32Type>(values, nulls),
                    DataType::Float32 => primitive::<Float32Type>(values, nulls),
                    other => unreachable!("{other} has no four bytes"),
                }
            }
            Values::Codes(codes) => {
                let codes = ScalarBuffer::from(spread(codes, levels, nulls.is_some(), there));
                let words = match &self.dictionary {
                    Dictionary::Texts(words) => words.clone(),
                    _ => Arc::new(StringArray::new_null(0)),
                };
                let codes = PrimitiveArray::new(codes, nulls);
                // SAFETY: each code was found to have a word when it was taken; where none is, nothing is there.
                Arc::new(unsafe { DictionaryArray::<Int32Type>::new_unchecked(codes, words) })
            }
            Values::Views(Views { texts, pages, are_ascii }) => {
                let texts = spread(texts, levels, nulls.is_some(), there).into();
                let pages = std::mem::take(pages);
                Arc::new(match are_ascii {
                    // SAFETY: each text was made of bytes of its page, which are ASCII, or it is empty.
                    true => unsafe { StringViewArray::new_unchecked(texts, pages.into(), nulls) },
                    false => StringViewArray::try_new(texts, pages, nulls)?,
                })
            }
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Buffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// Puts values to their slots; in those where none is stands anything.
fn spread<T: Copy + Default>(
    values: &mut Vec<T>,
    levels: &[u8],
    has_nulls: bool,
    is_there: impl Fn(u8) -> bool,
) -> Vec<T> {
    if !has_nulls {
        return std::mem::take(values);
    }
    let mut next = 0;
    let mut spread = Vec::with_capacity(levels.len());
    // One more, so that there is always a next one.
    values.push(T::default());
    spread.extend(levels.iter().map(|level| {
        let value = values[next];
        next += usize::from(is_there(*level));
        value
    }));
    spread
}

/// How many levels are this one.
fn count(levels: &[u8], wanted: u8) -> usize {
    // So few at a time that a byte counts them.
    let of = |levels: &[u8]| levels.iter().map(|level| u8::from(*level == wanted)).sum::<u8>();
    levels.chunks(255).map(|levels| usize::from(of(levels))).sum()
}

/// Where a level is as high; None if it is everywhere.
pub fn at_least(levels: &[u8], floor: u8) -> Option<NullBuffer> {
    // Of eight levels at once, each below 128: which of them are as high, in the highest bit of each.
    let (above, highest) = (u64::from(128 - floor) * 0x0101_0101_0101_0101, 0x8080_8080_8080_8080);
    let mut bits = Vec::with_capacity(levels.len().div_ceil(8));
    let (words, rest) = levels.as_chunks::<8>();
    bits.extend(words.iter().map(|word| {
        let found = (u64::from_le_bytes(*word).wrapping_add(above) & highest) >> 7;
        (found.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
    }));
    if !rest.is_empty() {
        let bit = |(place, level): (usize, &u8)| u8::from(*level >= floor) << place;
        bits.push(rest.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit));
    }
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, levels.len()));
    Some(nulls).filter(|nulls| nulls.null_count() > 0)
}

impl Kind {
    fn open(&self, page: Page) -> Result<Open> {
        let early = || broken("the page ends too early");
        let levels_of = |bytes: Buffer, greatest: u8| {
            Hybrid::new(bytes, (8 - greatest.leading_zeros()) as usize).ok_or_else(early)
        };
        let part = |bytes: &Buffer, from: usize, to: usize| match from <= to && to <= bytes.len() {
            true => Ok(bytes.slice_with_length(from, to - from)),
            false => Err(early()),
        };
        let (bytes, slots, encoding, repeats, levels, start) = match page {
            Page::DataPage { buf, num_values, encoding, .. } => {
                let bytes = Buffer::from(buf);
                let mut at = 0;
                // Before each kind of levels stands their length.
                let mut next = |greatest: u8| {
                    let start = at + 4;
                    let length = bytes.get(at..start).and_then(|length| length.first_chunk::<4>());
                    let length = u32::from_le_bytes(*length.ok_or_else(early)?) as usize;
                    at = start + length;
                    levels_of(part(&bytes, start, at)?, greatest)
                };
                let repeats = if self.repeats { Some(next(1)?) } else { None };
                let levels = if self.level > 0 { Some(next(self.level)?) } else { None };
                (bytes, num_values, encoding, repeats, levels, at)
            }
            Page::DataPageV2 {
                buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, ..
            } => {
                let bytes = Buffer::from(buf);
                let middle = rep_levels_byte_len as usize;
                let end = middle.saturating_add(def_levels_byte_len as usize);
                let repeats = if self.repeats { Some(levels_of(part(&bytes, 0, middle)?, 1)?) } else { None };
                let levels = match self.level {
                    0 => None,
                    level => Some(levels_of(part(&bytes, middle, end)?, level)?),
                };
                (bytes, num_values, encoding, repeats, levels, end)
            }
            Page::DictionaryPage { .. } => return Err(broken("two dictionaries")),
        };
        let values = match encoding {
            Encoding::PLAIN => {
                let bytes = part(&bytes, start, bytes.len())?;
                let is_ascii = self.stored == Stored::BYTE_ARRAY && bytes.is_ascii();
                Encoded::Plain { bytes, at: 0, is_ascii }
            }
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY => {
                // A page without values may not even have their width.
                let width = bytes.get(start).copied().unwrap_or(0);
                let codes = part(&bytes, (start + 1).min(bytes.len()), bytes.len())?;
                Encoded::Coded(Hybrid::new(codes, usize::from(width)).ok_or_else(early)?)
            }
            _ => return Err(broken("another encoding than was said")),
        };
        Ok(Open { repeats, levels, values, slots: slots as usize })
    }

    fn dictionary(&self, bytes: Buffer, count: usize) -> Result<Dictionary> {
        let early = || broken("the dictionary ends too early");
        Ok(match self.stored {
            Stored::BYTE_ARRAY => {
                let (mut texts, mut ends, mut at) = (Vec::with_capacity(bytes.len()), vec![0], 0);
                for _ in 0..count {
                    texts.extend_from_slice(&bytes[text_at(&bytes, &mut at).ok_or_else(early)?]);
                    ends.push(texts.len() as i32);
                }
                let ends = OffsetBuffer::new(ends.into());
                Dictionary::Texts(Arc::new(StringArray::try_new(ends, Buffer::from_vec(texts), None)?))
            }
            Stored::INT64 | Stored::DOUBLE => {
                let bytes = count.checked_mul(8).and_then(|length| bytes.get(..length)).ok_or_else(early)?;
                Dictionary::Eight(
                    bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
                )
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
    fn new(stored: Stored) -> Values {
        match stored {
            Stored::BYTE_ARRAY => Values::Codes(Vec::new()),
            Stored::INT64 | Stored::DOUBLE => Values::Eight(Vec::new()),
            _ => Values::Four(Vec::new()),
        }
    }

    /// Appends the values that have these codes; None where one has none.
    fn look_up(&mut self, codes: &[u32], dictionary: &Dictionary) -> Option<()> {
        match (&mut *self, dictionary) {
            (_, Dictionary::None) => codes.is_empty().then_some(()),
            (Values::Eight(values), Dictionary::Eight(known)) => look_up(codes, known, values),
            (Values::Four(values), Dictionary::Four(known)) => look_up(codes, known, values),
            (Values::Codes(own), Dictionary::Texts(words)) => {
                are_known(codes, words.len()).then(|| own.extend(codes.iter().map(|code| *code as i32)))
            }
            // After texts that stand in a page.
            (Values::Views(views), Dictionary::Texts(words)) if !views.texts.is_empty() => {
                views.push_words(codes.iter().copied(), words)
            }
            (_, Dictionary::Texts(words)) => are_known(codes, words.len())
                .then(|| *self = Values::Codes(codes.iter().map(|code| *code as i32).collect())),
            _ => None,
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
                let Views { texts, pages, .. } = self.views(dictionary)?;
                let page = pages.len() as u32;
                pages.push(bytes.clone());
                texts.reserve(count);
                let bytes = bytes.as_slice();
                for _ in 0..count {
                    let text = text_at(bytes, at)?;
                    texts.push(make_view(&bytes[text.clone()], page, text.start as u32));
                }
            }
        }
        Some(())
    }

    /// Texts as they stand in pages, those that were codes until now among them.
    fn views(&mut self, dictionary: &Dictionary) -> Option<&mut Views> {
        if !matches!(self, Values::Views(_)) {
            let mut views = Views { texts: Vec::new(), pages: Vec::new(), are_ascii: true };
            if let (Values::Codes(codes), Dictionary::Texts(words)) = (&*self, dictionary)
                && !codes.is_empty()
            {
                views.push_words(codes.iter().map(|code| *code as u32), words)?;
            }
            *self = Values::Views(views);
        }
        let Values::Views(views) = self else { unreachable!("it was just made") };
        Some(views)
    }
}

impl Views {
    /// Appends words of a dictionary as texts that stand in it.
    fn push_words(&mut self, codes: impl Iterator<Item = u32>, words: &StringArray) -> Option<()> {
        let page = self.pages.len() as u32;
        self.pages.push(words.values().clone());
        self.are_ascii &= words.values().is_ascii();
        for code in codes {
            let code = Some(code as usize).filter(|code| *code < words.len())?;
            let text = words.value(code).as_bytes();
            self.texts.push(make_view(text, page, words.value_offsets()[code] as u32));
        }
        Some(())
    }
}

fn look_up<T: Copy>(codes: &[u32], known: &[T], values: &mut Vec<T>) -> Option<()> {
    are_known(codes, known.len()).then(|| values.extend(codes.iter().map(|code| known[*code as usize])))
}

fn are_known(codes: &[u32], words: usize) -> bool {
    codes.iter().copied().max().is_none_or(|greatest| (greatest as usize) < words)
}
