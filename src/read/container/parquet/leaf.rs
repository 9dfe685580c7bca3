//! Owns one leaf of a row group: its pages, and what they hold of some rows, as levels and values. What columns they
//! make is for `row_groups`.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use parquet::basic::{Encoding, Type as Stored};
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use super::buffers::Buffers;
use super::hybrid::Hybrid;
use super::pages::Pages;
use super::values::{Dictionary, Encoded, Values};

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
    pages: Pages<R>,
    page: Option<Open>,
    dictionary: Dictionary,
    /// Of the rows taken last, for each slot: how far what holds the value, or itself, is there.
    levels: Vec<u8>,
    /// For each slot whether its list goes on: 0 where a row begins.
    repeats: Vec<u8>,
    /// The values that are there, and how many.
    values: Values,
    there: usize,
}

/// A page, and how far it is read.
struct Open {
    repeats: Option<Hybrid>,
    levels: Option<Hybrid>,
    values: Encoded,
    slots: usize,
}

pub fn broken(what: &str) -> ParquetError {
    ParquetError::General(what.to_string())
}

impl<R: ChunkReader> Leaf<R> {
    pub fn open(
        kind: &Kind,
        source: Arc<R>,
        column: &ColumnChunkMetaData,
        rows: usize,
        buffers: Buffers,
    ) -> Result<Leaf<R>> {
        Ok(Leaf {
            kind: kind.clone(),
            pages: Pages::open(source, column, rows, buffers)?,
            page: None,
            dictionary: Dictionary::None,
            levels: Vec::new(),
            repeats: Vec::new(),
            values: Values::new(kind.stored),
            there: 0,
        })
    }

    /// After the last row of the group there is nothing more; gives the hash of all pages.
    pub fn end(mut self) -> Result<u128> {
        if self.page()?.is_some() { Err(broken("more values than rows")) } else { Ok(self.pages.hash()) }
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
        let mut items = 0;
        let mut end = |level: &u8| {
            items += i32::from(*level >= item_level);
            items
        };
        let (mut ends, mut lists) = (Vec::with_capacity(rows + 1), Vec::with_capacity(rows + 1));
        if self.levels.len() == rows {
            // No list has a second item.
            ends.push(0);
            ends.extend(self.levels.iter().map(end));
            lists.extend_from_slice(&self.levels);
        } else {
            (ends, lists) = (vec![0; rows + 1], vec![0; rows + 1]);
            let mut row = 0;
            for (level, repeats) in self.levels.iter().zip(&self.repeats) {
                row += usize::from(*repeats == 0);
                ends[row] = end(level);
                lists[row] = *level;
            }
            lists.remove(0);
        }
        self.keep_items(item_level);
        (ends, lists)
    }

    /// Leaves only slots with items of the leaf, of which another's were taken by [`Leaf::lists`].
    pub fn keep_items(&mut self, item_level: u8) {
        match count(&self.levels, |level| level >= item_level) {
            all if all == self.levels.len() => {}
            all if all == self.there => {
                self.levels.clear();
                self.levels.resize(all, self.kind.level);
            }
            _ => self.levels.retain(|level| *level >= item_level),
        }
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
            page.fill_levels(&mut repeats[before..]).ok_or_else(early)?;
            if repeats.first().is_some_and(|level| *level > 0) {
                return Err(broken("a list that begins in no row"));
            }
            begun += count(&repeats[before..], |level| level == 0);
            while begun == rows
                && now < *slots
                && repeats.len() <= MOST_SLOTS
                && page.peek().is_some_and(|level| level > 0)
            {
                repeats.push(0);
                page.fill_levels(&mut repeats[before + now..]).ok_or_else(early)?;
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
        self.values.clear();
        self.there = 0;
    }

    /// The page that the next slot is in; None at the end.
    fn page(&mut self) -> Result<Option<&mut Open>> {
        while self.page.as_ref().is_none_or(|page| page.slots == 0) {
            match self.pages.next()? {
                None => return Ok(None),
                Some(Page::DictionaryPage { buf, num_values, .. }) => {
                    if !matches!(self.dictionary, Dictionary::None) {
                        return Err(broken("two dictionaries"));
                    }
                    self.dictionary = Dictionary::new(self.kind.stored, &buf, num_values as usize)?;
                }
                Some(page) => self.page = Some(self.kind.open(page)?),
            }
        }
        Ok(self.page.as_mut())
    }

    fn take_of_page(&mut self, slots: usize) -> Result<()> {
        let Leaf { kind, page, dictionary, levels, values, .. } = self;
        let page = page.as_mut().expect("it was opened");
        let before = levels.len();
        let there = match &mut page.levels {
            None => {
                levels.resize(before + slots, kind.level);
                slots
            }
            Some(hybrid) => {
                levels.resize(before + slots, 0);
                // As narrow as they are, they fit in a byte.
                hybrid.fill_levels(&mut levels[before..]).ok_or_else(|| broken("levels end too early"))?;
                let is_widest = (kind.level + 1).is_power_of_two();
                if !is_widest && count(&levels[before..], |level| level > kind.level) > 0 {
                    return Err(broken("no such level"));
                }
                count(&levels[before..], |level| level == kind.level)
            }
        };
        page.slots -= slots;
        self.there += there;
        values.take(&mut page.values, there, dictionary)
    }

    /// What was taken.
    pub fn array(&mut self) -> std::result::Result<ArrayRef, ArrowError> {
        let Leaf { kind: Kind { data_type, level, .. }, levels, values, there, dictionary, .. } = self;
        let nulls = if *there == levels.len() { None } else { at_least(levels, *level) };
        values.array(dictionary, data_type, nulls)
    }
}

/// How many levels are so.
fn count(levels: &[u8], is: impl Fn(u8) -> bool) -> usize {
    // So few at a time that a byte counts them.
    let of = |levels: &[u8]| usize::from(levels.iter().map(|level| u8::from(is(*level))).sum::<u8>());
    let (chunks, rest) = levels.as_chunks::<128>();
    chunks.iter().map(|levels| of(levels)).sum::<usize>() + of(rest)
}

/// Where a level is as high; None if it is everywhere.
pub fn at_least(levels: &[u8], floor: u8) -> Option<NullBuffer> {
    if levels.iter().fold(u8::MAX, |lowest, level| lowest.min(*level)) >= floor {
        return None;
    }
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
    Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, levels.len())))
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
            Encoding::PLAIN => Encoded::plain(self.stored, part(&bytes, start, bytes.len())?),
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY => {
                match bytes.get(start) {
                    Some(width) => {
                        let codes = part(&bytes, start + 1, bytes.len())?;
                        Encoded::Coded(Hybrid::new(codes, usize::from(*width)).ok_or_else(early)?)
                    }
                    // A page without values may not even have their width.
                    None => Encoded::plain(self.stored, part(&bytes, bytes.len(), bytes.len())?),
                }
            }
            _ => return Err(broken("another encoding than was said")),
        };
        Ok(Open { repeats, levels, values, slots: slots as usize })
    }
}
