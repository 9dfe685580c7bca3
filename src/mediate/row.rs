//! Owns the row: a request as few bytes, as it lies in the shard that its identity decides. What the names were is in the
//! groups.
//!
//! ```text
//! identity 10 │ flags and length of the body 3 │ body: at, group, total?, thoughts?, (slot, quantity)… │ detail?
//! ```
//! The time has 5 bytes or 8, the group 2 or 4, and what nearly all requests have is left out: a total that is the sum
//! of its parts, thoughts of 0, the nanoseconds of a time in whole milliseconds. A figure is a byte, of which 6 bits are
//! its slot and 2 say how long it is, and 1, 2, 3 or 7 bytes. Of text alone, as most requests use, input,
//! output and thoughts are 3, 2 and 2 bytes without slots. So a row is about 30 bytes. Of a request that used a cache
//! (act, tokens, end, name) stands in place of its usage, numbers as varints.
//!
//! **Invariant**: two rows with equal group, flags and figures are equal in every fact that figures depend on, time aside.

use super::shard::Shard;
use crate::arena::Arena;
use crate::types::cache::{CacheAct, CacheUse, cache_name};
use crate::types::day::Instant;
use crate::types::detail::Place;
use crate::types::meter::Slot;
use crate::types::tally::GroupId;
use crate::types::usage::{GREATEST_COUNT, Usage};
use crate::types::varint::{push_varint, take_varint};

const HEAD: usize = IDENTITY + 3;
/// Bytes of an identity.
const IDENTITY: usize = 10;

/// The request has no id: it is never a duplicate.
pub const NO_ID: u16 = 1;
/// Inference that went well without usage; its figure is its place among those of its thread.
pub const USAGE_MISSING: u16 = 2;
/// The record had a total: the sum of its parts, unless it is too small.
const HAS_TOTAL: u16 = 4;
/// The total is below the sum of its parts.
const TOTAL_MISMATCH: u16 = 8;
const HAS_THOUGHTS: u16 = 16;
/// The time is in nanoseconds, not in whole milliseconds of the years that logs are of.
const IN_NANOS: u16 = 32;
/// The request's detail follows its body.
pub const HAS_DETAIL: u16 = 64;
/// The log doesn't say when it was: `at` is what the run was told.
pub const UNDATED: u16 = 128;
/// It is of a shape that never says its tokens.
pub const TOKENS_UNKNOWN: u16 = 256;
/// The figures say what the request did to a cache.
pub const CACHE: u16 = 512;
/// Its thoughts are what prompt and output leave of the total.
pub const THOUGHTS_ASSUMED: u16 = 1024;
/// The group has 4 bytes, not 2.
const WIDE_GROUP: u16 = 2048;
/// It used text alone, whose figures are small enough for places of their own. How they are written is no fact.
const TEXT: u16 = 4096;
const FLAG_BITS: u32 = 13;
/// A body is shorter: a cache's name, the longest thing in one, is at most 256 bytes, each shown as 6 at most.
const LONGEST_BODY: usize = 1 << (24 - FLAG_BITS);
/// What two records of one request must share to be equal in all that figures depend on.
const FACTS: u16 = !(IN_NANOS | HAS_DETAIL | WIDE_GROUP | TEXT);

const NANOS_PER_MILLI: i64 = 1_000_000;
/// Bytes of a time in whole milliseconds since 2020-01-01T00:00:00Z: they reach to 2054.
const MILLIS: usize = 5;
const FIRST_MILLI: i64 = 1_577_836_800_000;
/// Bytes of a group: few logs have more than they tell apart.
const GROUP: usize = 2;
/// Of the byte before a figure; above them is the place of its length in `FIGURE_BYTES`.
const SLOT_BITS: u32 = 6;
const FIGURE_BYTES: [usize; 4] = [1, 2, 3, 7];
/// Of the input, and of output and thoughts each, of a request that used text alone.
const INPUT_BITS: u32 = 24;
const OUTPUT_BITS: u32 = 16;
/// A figure is below: the sum of a few counts.
const MOST: u64 = 1 << (8 * FIGURE_BYTES[3]);
const _: () = assert!(MOST / GREATEST_COUNT >= 1 << 16);
/// Of a figure that isn't of a slot.
const NO_SLOT: Slot = Slot(0);
const _: () = assert!(Slot::COUNT <= 1 << SLOT_BITS);

/// Which request it is: 88 bits of a hash, of which some say its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// None of its bits decide the shard.
    pub hash: u64,
    /// The uppermost bits decide the shard, and are in none of its rows; the lowest 16 are.
    pub rest: u32,
}

impl Identity {
    pub const SHARD_BITS: u32 = 8;

    pub fn shard(&self) -> usize {
        (self.rest >> (u32::BITS - Identity::SHARD_BITS)) as usize
    }
}

/// A row as it lies in its shard.
#[derive(Clone, Copy, Debug)]
pub struct Row<'s> {
    pub identity: Identity,
    pub at: Instant,
    pub group: GroupId,
    flags: u16,
    figures: &'s [u8],
    detail: &'s [u8],
}

/// What a row is made of, its usage aside.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub identity: Identity,
    pub at: Instant,
    pub group: GroupId,
    /// Of [`NO_ID`], [`UNDATED`], [`TOKENS_UNKNOWN`] and [`THOUGHTS_ASSUMED`] those that hold.
    pub flags: u16,
}

/// Bytes of the longest row of a request that used nothing, and some to spare: a head, a time, a group and two counts. Each
/// quantity comes with its slot.
const LONGEST: usize = HEAD + 8 + 4 + 2 * LONGEST_FIGURE + 16;
const LONGEST_FIGURE: usize = 8;
const LONGEST_VARINT: usize = 10;

impl Shard {
    /// Appends the row of a request that used this.
    #[inline(always)]
    pub fn append_usage(&mut self, arena: &mut Arena, head: &Head, usage: &Usage, detail: &[u8]) {
        let longest = LONGEST + usage.quantities().len() * LONGEST_FIGURE + detail.len();
        self.append(arena, longest, |room| {
            let mut row = Draft::begin(room, head);
            if let Some(total) = usage.total {
                row.flags |= HAS_TOTAL;
                if usage.total_mismatch {
                    row.flags |= TOTAL_MISMATCH;
                    row.push_figure(NO_SLOT, total);
                }
            }
            let thoughts = usage.thoughts;
            row.flags |= if thoughts > 0 { HAS_THOUGHTS } else { 0 };
            match usage.text() {
                Some([input, output])
                    if input >> INPUT_BITS | output >> OUTPUT_BITS | thoughts >> OUTPUT_BITS == 0 =>
                {
                    row.flags |= TEXT;
                    let packed = input | output << INPUT_BITS | thoughts << (INPUT_BITS + OUTPUT_BITS);
                    row.push(packed.to_le_bytes(), if thoughts > 0 { 7 } else { 5 });
                }
                _ => {
                    if thoughts > 0 {
                        row.push_figure(NO_SLOT, thoughts);
                    }
                    for &(slot, quantity) in usage.quantities() {
                        row.push_figure(slot, quantity);
                    }
                }
            }
            row.finish(detail)
        });
    }

    /// Appends the row of a request that used a cache.
    pub fn append_cache(&mut self, arena: &mut Arena, head: &Head, cache: &CacheUse<'_>, detail: &[u8]) {
        let name = cache_name(&cache.name);
        self.append(arena, LONGEST + name.len() + detail.len(), |room| {
            let mut row = Draft::begin(room, head);
            row.flags |= CACHE;
            row.push([cache.act as u8], 1);
            row.push_varint(cache.tokens);
            row.push_varint(cache.expires.map_or(0, |expires| expires.0 as u64 + 1));
            row.extend(name.as_bytes());
            row.finish(detail)
        });
    }

    /// Appends the row of a request whose usage is missing; `place` says which of its thread's it is.
    pub fn append_missing(&mut self, arena: &mut Arena, head: &Head, place: u64, detail: &[u8]) {
        self.append(arena, LONGEST + detail.len(), |room| {
            let mut row = Draft::begin(room, head);
            row.flags |= USAGE_MISSING;
            row.push_varint(place);
            row.finish(detail)
        });
    }
}

/// A row being made.
struct Draft<'c> {
    room: &'c mut [u8],
    end: usize,
    flags: u16,
}

impl<'c> Draft<'c> {
    #[inline(always)]
    fn begin(room: &'c mut [u8], head: &Head) -> Draft<'c> {
        let mut row = Draft { room, end: 0, flags: head.flags };
        let Identity { hash, rest } = head.identity;
        row.push((u128::from(hash) | u128::from(rest) << 64).to_le_bytes(), HEAD);
        let at = head.at.0;
        let whole = at / NANOS_PER_MILLI;
        let millis = whole.wrapping_sub(FIRST_MILLI);
        if whole * NANOS_PER_MILLI == at && (millis as u64) < 1 << (8 * MILLIS) {
            row.push(millis.to_le_bytes(), MILLIS);
        } else {
            row.push(at.to_le_bytes(), 8);
            row.flags |= IN_NANOS;
        }
        let is_wide = head.group.0 >> 16 != 0;
        row.push(head.group.0.to_le_bytes(), GROUP << usize::from(is_wide));
        row.flags |= if is_wide { WIDE_GROUP } else { 0 };
        row
    }

    /// Puts down how long the body is, and the detail after it; gives the length of all.
    #[inline(always)]
    fn finish(mut self, detail: &[u8]) -> usize {
        let length = self.end - HEAD;
        debug_assert!(length < LONGEST_BODY);
        if !detail.is_empty() {
            self.flags |= HAS_DETAIL;
            self.extend(&(detail.len() as u32).to_le_bytes());
            self.extend(detail);
        }
        let head = (length as u32) << FLAG_BITS | u32::from(self.flags);
        self.room[IDENTITY..HEAD].copy_from_slice(&head.to_le_bytes()[..HEAD - IDENTITY]);
        self.end
    }

    /// Puts some bytes at the end, of which the first `used` are the row's.
    #[inline(always)]
    fn push<const N: usize>(&mut self, bytes: [u8; N], used: usize) {
        self.room[self.end..self.end + N].copy_from_slice(&bytes);
        self.end += used;
    }

    #[inline(always)]
    fn push_figure(&mut self, slot: Slot, figure: u64) {
        let code = (figure >> 8 != 0) as usize + (figure >> 16 != 0) as usize + (figure >> 24 != 0) as usize;
        let byte = slot.0 | (code as u8) << SLOT_BITS;
        debug_assert!(figure < MOST, "the sum of a few counts");
        self.push((figure << 8 | u64::from(byte)).to_le_bytes(), 1 + FIGURE_BYTES[code]);
    }

    fn push_varint(&mut self, number: u64) {
        let mut bytes = Vec::with_capacity(LONGEST_VARINT);
        push_varint(&mut bytes, number);
        self.extend(&bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.room[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

/// Takes a figure off the front of some, with its slot.
fn take_figure(figures: &mut &[u8]) -> Option<(Slot, u64)> {
    let (&byte, rest) = figures.split_first()?;
    let (figure, rest) = rest.split_at(FIGURE_BYTES[usize::from(byte >> SLOT_BITS)]);
    *figures = rest;
    Some((Slot(byte & ((1 << SLOT_BITS) - 1)), little_endian(figure)))
}

/// The number that up to eight bytes are, the lowest first.
fn little_endian(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

impl<'s> Row<'s> {
    /// Reads the row at `offset` of a chunk.
    pub fn read(chunk: &'s [u8], offset: usize) -> Row<'s> {
        let Unread { identity, flags, end, .. } = Unread::read(chunk, offset);
        let detail = match flags & HAS_DETAIL {
            0 => &[][..],
            _ => &chunk[end + 4..end + 4 + detail_length(chunk, end)],
        };
        let (at, body) = at_of(&chunk[offset + HEAD..end], flags);
        let (group, figures) = body.split_at(GROUP << usize::from(flags & WIDE_GROUP != 0));
        let group = GroupId(little_endian(group) as u32);
        Row { identity, at, group, flags, figures, detail }
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Of a row whose usage is missing: which of its thread's it is.
    pub fn missing_place(&self) -> u64 {
        take_varint(&mut { self.figures })
    }

    /// What the request used; nothing where its usage is missing, or it used a cache.
    pub fn usage(&self) -> Usage {
        if self.has(USAGE_MISSING | CACHE) {
            return Usage::default();
        }
        let mut figures = self.figures;
        let mut take = || take_figure(&mut figures);
        let mismatch = if self.has(TOTAL_MISMATCH) { take().map(|(_, total)| total) } else { None };
        let (thoughts, quantities) = if self.has(TEXT) {
            let packed = little_endian(figures);
            let bits = |from: u32, bits: u32| packed >> from & ((1 << bits) - 1);
            let text = [bits(0, INPUT_BITS), bits(INPUT_BITS, OUTPUT_BITS)];
            let thoughts = bits(INPUT_BITS + OUTPUT_BITS, OUTPUT_BITS);
            (thoughts, Usage::quantities_of_text(text, thoughts).to_vec())
        } else {
            let thoughts = if self.has(HAS_THOUGHTS) { take() } else { None };
            (thoughts.map_or(0, |(_, thoughts)| thoughts), std::iter::from_fn(take).collect())
        };
        let tokens = quantities.iter().filter(|(slot, _)| slot.meter().has_tokens());
        let sum = tokens.map(|(_, tokens)| tokens).sum();
        let total = self.has(HAS_TOTAL).then_some(mismatch.unwrap_or(sum));
        Usage::from_quantities(&quantities, thoughts, total, mismatch.is_some())
    }

    /// What the request did to a cache.
    pub fn cache(&self) -> Option<CacheUse<'s>> {
        let (&act, mut figures) = self.figures.split_first().filter(|_| self.has(CACHE))?;
        let tokens = take_varint(&mut figures);
        let expires = take_varint(&mut figures).checked_sub(1).map(|nanos| Instant(nanos as i64));
        let act = CacheAct::ALL[usize::from(act)];
        Some(CacheUse { act, tokens, expires, name: String::from_utf8_lossy(figures) })
    }

    /// What is known of the request besides its group, time and figures.
    pub fn facts(&self) -> u16 {
        self.flags & FACTS
    }

    /// Equal in every figure, and in what else is known of the request besides its group, time aside.
    pub fn same_figures(&self, other: &Row<'_>) -> bool {
        // The same bytes are other figures where only one is written as text.
        const SAME: u16 = FACTS | TEXT;
        self.flags & SAME == other.flags & SAME && self.figures == other.figures
    }

    /// What decides which record of an identity counts, in the order in which it is looked at: usage at all, a time of
    /// its own, the last timestamp, the greatest total (tokens of a cache's creation), cached, output. What is left is
    /// compared by a cache's end, names and figures.
    pub fn rank(&self) -> (u8, bool, Instant, u64, u64, u64) {
        let class = match self.flags & (USAGE_MISSING | TOKENS_UNKNOWN) {
            0 => 2,
            TOKENS_UNKNOWN => 1,
            _ => 0,
        };
        let usage = self.usage();
        let total = self.cache().map_or(usage.total.unwrap_or(0), |cache| cache.tokens);
        (class, !self.has(UNDATED), self.at, total, usage.cached, usage.output)
    }

    /// The last word between rows of equal rank and equal names: the figures, then what only the detail shows, but not
    /// the line, so that which record counts doesn't depend on where it was read.
    pub fn bytes(&self) -> (&'s [u8], &'s [u8]) {
        let names = self.detail.len().saturating_sub(Place::BYTES);
        (self.figures, &self.detail[..names])
    }

    /// The line, when details are kept.
    pub fn place(&self) -> Option<Place> {
        self.detail.last_chunk::<{ Place::BYTES }>().map(|bytes| Place::decode(bytes))
    }

    /// What `--detail` shows; empty without it.
    pub fn detail(&self) -> &'s [u8] {
        self.detail
    }
}

/// A row of which no more than its head was looked at.
#[derive(Clone, Copy)]
pub struct Unread<'s> {
    chunk: &'s [u8],
    offset: usize,
    pub identity: Identity,
    flags: u16,
    /// Where its body ends.
    end: usize,
}

impl<'s> Unread<'s> {
    /// The row at `offset` of a chunk.
    #[inline(always)]
    pub fn read(chunk: &'s [u8], offset: usize) -> Unread<'s> {
        // A time and a group follow, so there are more bytes than a head has.
        let bytes = chunk[offset..].first_chunk().expect("a row is longer");
        let head = u128::from_le_bytes(*bytes);
        let identity = Identity { hash: head as u64, rest: (head >> 64) as u16 as u32 };
        let head = (head >> (8 * IDENTITY)) as u32 & ((1 << (8 * (HEAD - IDENTITY))) - 1);
        let (flags, length) = (head as u16 & ((1 << FLAG_BITS) - 1), head >> FLAG_BITS);
        Unread { chunk, offset, identity, flags, end: offset + HEAD + length as usize }
    }

    /// Where the next row begins.
    #[inline(always)]
    pub fn next(&self) -> usize {
        if self.has(HAS_DETAIL) { self.end + 4 + detail_length(self.chunk, self.end) } else { self.end }
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub fn at(&self) -> Instant {
        at_of(&self.chunk[self.offset + HEAD..], self.flags).0
    }
}

/// The time with which a body begins, and the rest of it.
#[inline(always)]
fn at_of(body: &[u8], flags: u16) -> (Instant, &[u8]) {
    let mut bytes = [0; 8];
    if flags & IN_NANOS == 0 {
        bytes[..MILLIS].copy_from_slice(&body[..MILLIS]);
        (Instant((FIRST_MILLI + i64::from_le_bytes(bytes)) * NANOS_PER_MILLI), &body[MILLIS..])
    } else {
        bytes.copy_from_slice(&body[..8]);
        (Instant(i64::from_le_bytes(bytes)), &body[8..])
    }
}

fn detail_length(chunk: &[u8], at: usize) -> usize {
    u32::from_le_bytes(chunk[at..at + 4].try_into().expect("4 bytes")) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::usage::{Counts, Whole};

    fn head(byte: u8, at: i64, group: u32, flags: u16) -> Head {
        Head { identity: identity(byte), at: Instant(at), group: GroupId(group), flags }
    }

    fn identity(byte: u8) -> Identity {
        Identity { hash: u64::from_le_bytes([byte; 8]), rest: u32::from_le_bytes([byte; 4]) }
    }

    #[test]
    fn a_row_gives_back_what_was_put_in() {
        let counts = |total| Counts {
            whole: Whole {
                prompt: 1 << 40,
                cached: 300,
                candidates: 7,
                thoughts: 3,
                total,
                ..Whole::default()
            },
            ..Counts::default()
        };
        let (mut shard, mut arena) = (Shard::default(), Arena::default());
        let totals = [Some(1), None, Some((1 << 40) + 10), Some((1 << 40) + 12)];
        for total in totals {
            let usage = Usage::from_counts(&counts(total)).unwrap();
            shard.append_usage(&mut arena, &head(7, 1_000_000_001, 9, 0), &usage, &[]);
        }
        let whole = FIRST_MILLI * NANOS_PER_MILLI + 6_000_000;
        shard.append_missing(&mut arena, &head(0xff, whole, 300, NO_ID), 1 << 33, &[]);
        let cache = CacheUse {
            act: CacheAct::Patch,
            name: "\u{80}é".repeat(64).into(),
            expires: Some(Instant(i64::MAX - 1)),
            tokens: 1 << 40,
        };
        shard.append_cache(&mut arena, &head(9, 7, u32::MAX, UNDATED | TOKENS_UNKNOWN), &cache, &[]);

        let chunk = shard.chunks().next().unwrap();
        let mut offset = 0;
        for logged in totals {
            let usage = Usage::from_counts(&counts(logged)).unwrap();
            let row = Row::read(chunk, offset);
            let own = Identity { rest: 0x0707, ..identity(7) };
            assert_eq!((row.identity, row.at, row.group), (own, Instant(1_000_000_001), GroupId(9)));
            assert_eq!(row.usage(), usage);
            assert_eq!(row.has(TOTAL_MISMATCH), logged == Some(1));
            assert!(!row.has(NO_ID));
            offset = Unread::read(chunk, offset).next();
        }
        let missing = Row::read(chunk, offset);
        assert_eq!((missing.missing_place(), missing.at), (1 << 33, Instant(whole)));
        assert!(missing.cache().is_none());
        let head = Unread::read(chunk, offset);
        let (flags, offset) = (head.flags, head.next());
        assert_eq!(flags, NO_ID | USAGE_MISSING);
        let row = Row::read(chunk, offset);
        assert_eq!(row.cache(), Some(CacheUse { name: cache_name(&cache.name), ..cache.clone() }));
        assert_eq!((row.usage(), row.group), (Usage::default(), GroupId(u32::MAX)));
        assert!(row.has(UNDATED) && row.has(TOKENS_UNKNOWN) && !row.has(NO_ID));
        assert_eq!(Unread::read(chunk, offset).next(), chunk.len());
    }

    #[test]
    fn text_alone_is_not_the_same_as_other_figures_of_the_same_bytes() {
        // 5 image and 300 text tokens, each with its slot; their bytes as an input of three and an output of two.
        let other = Counts {
            whole: Whole { prompt: 5, candidates: 300, ..Whole::default() },
            prompt_details: [0, 5, 0, 0, 0],
            ..Counts::default()
        };
        let (mut shard, mut arena) = (Shard::default(), Arena::default());
        shard.append_usage(&mut arena, &head(7, 0, 1, 0), &Usage::from_counts(&other).unwrap(), &[]);
        let chunk = shard.chunks().next().unwrap();
        let [low, middle, high, figures @ ..] = Row::read(chunk, 0).figures else {
            panic!("too few figures")
        };
        let prompt = u64::from_le_bytes([*low, *middle, *high, 0, 0, 0, 0, 0]);
        let text = Counts {
            whole: Whole { prompt, candidates: little_endian(figures), ..Whole::default() },
            ..Counts::default()
        };
        let offset = chunk.len();
        shard.append_usage(&mut arena, &head(7, 0, 1, 0), &Usage::from_counts(&text).unwrap(), &[]);
        let chunk = shard.chunks().next().unwrap();
        let (one, other) = (Row::read(chunk, 0), Row::read(chunk, offset));
        assert_eq!((one.figures, one.facts()), (other.figures, other.facts()));
        assert!(!one.same_figures(&other) && one.usage() != other.usage());
    }

    #[test]
    fn times_groups_and_figures_of_any_size_come_back() {
        let first = FIRST_MILLI * NANOS_PER_MILLI;
        let last = first + ((1 << (8 * MILLIS)) - 1) * NANOS_PER_MILLI;
        let times =
            [0, first - NANOS_PER_MILLI, first, first + 1, last, last + 1, last + NANOS_PER_MILLI, i64::MAX];
        let groups = [0, 255, (1 << 16) - 1, 1 << 16, u32::MAX];
        let figures = [1, 255, 256, (1 << 16) - 1, 1 << 16, (1 << 24) - 1, 1 << 24, 1 << 40];
        let (mut shard, mut arena) = (Shard::default(), Arena::default());
        let mut put = Vec::new();
        for (place, at) in times.into_iter().enumerate() {
            for group in groups {
                let (prompt, candidates) = (figures[place], figures[(place + 3) % figures.len()]);
                let counts = Counts {
                    whole: Whole { prompt, candidates, thoughts: 1 << place, ..Whole::default() },
                    ..Counts::default()
                };
                let usage = Usage::from_counts(&counts).unwrap();
                shard.append_usage(&mut arena, &head(7, at, group, 0), &usage, &[]);
                put.push((Instant(at), GroupId(group), usage));
            }
        }
        let chunk = shard.chunks().next().unwrap();
        let mut offset = 0;
        for expected in put {
            let row = Row::read(chunk, offset);
            assert_eq!((row.at, row.group, row.usage()), expected);
            offset = Unread::read(chunk, offset).next();
        }
        assert_eq!(offset, chunk.len());
    }
}
