//! Owns the row: a request as few bytes, in the shard that its identity decides. The shard's rows are what is
//! deduplicated, and what a thread hands over. What the names were is in the groups.
//!
//! ```text
//! identity 12 │ flags and length of the body 3 │ body: at, group, total?, thoughts?, (slot, quantity)… │ detail?
//! ```
//! The time has 6 bytes or 8, other numbers of the body are varints, and what nearly all requests have is left out: a
//! total that is the sum of its parts, thoughts of 0, the nanoseconds of a time in whole milliseconds. So a row is about
//! 30 bytes. Of a request that used a cache (act, tokens, end, name) stands in place of its usage.
//!
//! **Invariants**
//! - Two rows with equal group, flags and figures are equal in every fact that figures depend on, time aside.
//! - A row lies in one chunk, and while its shard is settled its place doesn't change, so that 32 bits say which it is.

use crate::error::Result;
use crate::memory::Memory;
use crate::types::cache::{CacheAct, CacheUse, cache_name};
use crate::types::day::Instant;
use crate::types::detail::{Detail, Place};
use crate::types::meter::Slot;
use crate::types::piece::Piece;
use crate::types::tally::GroupId;
use crate::types::usage::Usage;
use crate::types::varint::{push_varint, take_varint};

const HEAD: usize = IDENTITY + 3;
/// Bytes of an identity.
const IDENTITY: usize = 12;

/// The request has no id: it is never a duplicate.
pub const NO_ID: u16 = 1;
/// Inference that went well without usage; its figure is its place among those of its thread.
pub const USAGE_MISSING: u16 = 2;
/// The record had a total: the sum of its parts, unless it is too small.
const HAS_TOTAL: u16 = 4;
/// The total is below the sum of its parts.
const TOTAL_MISMATCH: u16 = 8;
const HAS_THOUGHTS: u16 = 16;
/// The time is in nanoseconds, not in whole milliseconds.
const IN_NANOS: u16 = 32;
/// The request's detail follows its body.
const HAS_DETAIL: u16 = 64;
/// The log doesn't say when it was: `at` is what the run was told.
pub const UNDATED: u16 = 128;
/// It is of a shape that never says its tokens.
pub const TOKENS_UNKNOWN: u16 = 256;
/// The figures say what the request did to a cache.
pub const CACHE: u16 = 512;
const FLAG_BITS: u32 = 10;
/// A body is shorter: a cache's name, the longest thing in one, is at most 256 bytes, each shown as 6 at most.
const LONGEST_BODY: usize = 1 << (24 - FLAG_BITS);
/// What two records of one request must share to be equal in all that figures depend on.
const FACTS: u16 = !(IN_NANOS | HAS_DETAIL);

const NANOS_PER_MILLI: i64 = 1_000_000;
/// Bytes of a time in whole milliseconds: no log's is below 0, or has more.
const MILLIS: usize = 6;

/// Which request it is: 96 bits of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub [u8; IDENTITY]);

impl Identity {
    /// 64 bits of it, none of them those that decide the shard.
    pub fn hash(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("8 bytes"))
    }

    /// The bits that decide the shard.
    pub fn shard(&self) -> usize {
        usize::from(self.0[IDENTITY - 1])
    }
}

/// Rows in chunks that never move, until they are spilled.
#[derive(Debug, Default)]
pub struct Shard {
    chunks: Vec<Vec<u8>>,
    /// What the chunks take of memory.
    bytes: usize,
    /// Chunks that are in the temporary file.
    spilled: Vec<Piece>,
    rows: usize,
}

impl Shard {
    /// Large enough that few rows begin a new one, small enough that what is left empty is little.
    const CHUNK: usize = 1 << Shard::CHUNK_BITS;
    pub const CHUNK_BITS: u32 = 14;

    pub fn append(&mut self, row: &[u8]) {
        self.chunk_for(row.len()).extend_from_slice(row);
        self.rows += 1;
    }

    /// A chunk with room for so many bytes.
    fn chunk_for(&mut self, bytes: usize) -> &mut Vec<u8> {
        let has_room = self.chunks.last().is_some_and(|chunk| chunk.len() + bytes <= Shard::CHUNK);
        if !has_room {
            // A row with a long detail has a chunk of its own.
            let capacity = bytes.max(Shard::CHUNK);
            self.bytes += capacity;
            self.chunks.push(Vec::with_capacity(capacity));
        }
        self.chunks.last_mut().expect("there is room")
    }

    /// What its rows take of memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves all rows to the temporary file, by way of `buffer`.
    pub fn spill(&mut self, memory: &Memory, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        self.chunks.iter().for_each(|chunk| buffer.extend_from_slice(chunk));
        if buffer.is_empty() {
            return Ok(());
        }
        let mut at = memory.spill(buffer)?;
        for chunk in self.chunks.drain(..) {
            let length = chunk.len() as u32;
            self.spilled.push(Piece { at, length });
            at += u64::from(length);
        }
        self.bytes = 0;
        Ok(())
    }

    /// Reads back what was spilled.
    pub fn bring_back(&mut self, memory: &Memory) -> Result<()> {
        for piece in std::mem::take(&mut self.spilled) {
            memory.read(piece, self.chunk_for(piece.length as usize))?;
        }
        Ok(())
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Each chunk, for [`read`](Row::read).
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Vec::as_slice)
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
    /// Of [`NO_ID`], [`UNDATED`] and [`TOKENS_UNKNOWN`] those that hold.
    pub flags: u16,
}

/// Makes the row of a request in `row`, which is cleared.
pub fn write(row: &mut Vec<u8>, head: &Head, usage: Option<&Usage>) {
    let mut flags = begin(row, head);
    if let Some(usage) = usage {
        if let Some(total) = usage.total {
            flags |= HAS_TOTAL;
            if usage.total_mismatch {
                flags |= TOTAL_MISMATCH;
                push_varint(row, total);
            }
        }
        if usage.thoughts > 0 {
            flags |= HAS_THOUGHTS;
            push_varint(row, usage.thoughts);
        }
        for &(slot, quantity) in usage.quantities() {
            row.push(slot.0);
            push_varint(row, quantity);
        }
    }
    finish(row, flags);
}

/// Makes the row of a request that used a cache.
pub fn write_cache(row: &mut Vec<u8>, head: &Head, cache: &CacheUse<'_>) {
    let flags = begin(row, head);
    row.push(cache.act as u8);
    push_varint(row, cache.tokens);
    push_varint(row, cache.expires.map_or(0, |expires| expires.0 as u64 + 1));
    row.extend_from_slice(cache_name(&cache.name).as_bytes());
    finish(row, flags | CACHE);
}

/// Makes the row of a request whose usage is missing; `place` says which of its thread's it is.
pub fn write_missing(row: &mut Vec<u8>, head: &Head, place: u64) {
    let flags = begin(row, head);
    push_varint(row, place);
    finish(row, flags | USAGE_MISSING);
}

/// Appends its detail to a row.
pub fn write_detail(row: &mut Vec<u8>, request_id: &str, detail: &Detail<'_>, place: Place) {
    row[IDENTITY] |= HAS_DETAIL as u8;
    let length_at = row.len();
    row.extend_from_slice(&[0; 4]);
    detail.encode(request_id, place, row);
    let length = (row.len() - length_at - 4) as u32;
    row[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn begin(row: &mut Vec<u8>, head: &Head) -> u16 {
    row.clear();
    row.extend_from_slice(&head.identity.0);
    row.extend_from_slice(&[0; HEAD - IDENTITY]);
    let at = head.at.0;
    let time = if at % NANOS_PER_MILLI == 0 {
        row.extend_from_slice(&(at / NANOS_PER_MILLI).to_le_bytes()[..MILLIS]);
        0
    } else {
        row.extend_from_slice(&at.to_le_bytes());
        IN_NANOS
    };
    push_varint(row, u64::from(head.group.0));
    head.flags | time
}

fn finish(row: &mut [u8], flags: u16) {
    let length = row.len() - HEAD;
    debug_assert!(length < LONGEST_BODY);
    let head = (length as u32) << FLAG_BITS | u32::from(flags);
    row[IDENTITY..HEAD].copy_from_slice(&head.to_le_bytes()[..HEAD - IDENTITY]);
}

/// The flags of the row at `offset` of a chunk, and where its body ends.
fn flags_and_end(chunk: &[u8], offset: usize) -> (u16, usize) {
    let [low, middle, high] = chunk[offset + IDENTITY..offset + HEAD] else { unreachable!("three bytes") };
    let head = u32::from_le_bytes([low, middle, high, 0]);
    (head as u16 & ((1 << FLAG_BITS) - 1), offset + HEAD + (head >> FLAG_BITS) as usize)
}

impl<'s> Row<'s> {
    /// The identity of the row at `offset` of a chunk.
    pub fn identity_at(chunk: &[u8], offset: usize) -> Identity {
        Identity(chunk[offset..offset + IDENTITY].try_into().expect("12 bytes"))
    }

    /// The flags of the row at `offset` of a chunk, and where the next one begins.
    pub fn flags_at(chunk: &[u8], offset: usize) -> (u16, usize) {
        let (flags, end) = flags_and_end(chunk, offset);
        let next = if flags & HAS_DETAIL == 0 { end } else { end + 4 + detail_length(chunk, end) };
        (flags, next)
    }

    /// Reads the row at `offset` of a chunk.
    pub fn read(chunk: &'s [u8], offset: usize) -> Row<'s> {
        let (flags, end) = flags_and_end(chunk, offset);
        let detail = match flags & HAS_DETAIL {
            0 => &[][..],
            _ => &chunk[end + 4..end + 4 + detail_length(chunk, end)],
        };
        let mut body = &chunk[offset + HEAD..end];
        let (at, rest) = body.split_at(if flags & IN_NANOS == 0 { MILLIS } else { 8 });
        body = rest;
        let mut bytes = [0; 8];
        bytes[..at.len()].copy_from_slice(at);
        let number = i64::from_le_bytes(bytes);
        let at = Instant(if flags & IN_NANOS == 0 { number * NANOS_PER_MILLI } else { number });
        let group = GroupId(take_varint(&mut body) as u32);
        Row { identity: Row::identity_at(chunk, offset), at, group, flags, figures: body, detail }
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
        let mismatch = self.has(TOTAL_MISMATCH).then(|| take_varint(&mut figures));
        let thoughts = if self.has(HAS_THOUGHTS) { take_varint(&mut figures) } else { 0 };
        let mut quantities = Vec::new();
        while let Some((&slot, rest)) = figures.split_first() {
            figures = rest;
            quantities.push((Slot(slot), take_varint(&mut figures)));
        }
        let tokens = quantities.iter().filter(|(slot, _)| slot.meter().has_tokens());
        let sum = tokens.map(|(_, tokens)| tokens).sum();
        let total = self.has(HAS_TOTAL).then_some(mismatch.unwrap_or(sum));
        Usage::from_quantities(quantities, thoughts, total, mismatch.is_some())
    }

    /// What the request did to a cache.
    pub fn cache(&self) -> Option<CacheUse<'s>> {
        let (&act, mut figures) = self.figures.split_first().filter(|_| self.has(CACHE))?;
        let tokens = take_varint(&mut figures);
        let expires = take_varint(&mut figures).checked_sub(1).map(|nanos| Instant(nanos as i64));
        let act = CacheAct::ALL[usize::from(act)];
        Some(CacheUse { act, tokens, expires, name: String::from_utf8_lossy(figures) })
    }

    /// Equal in every fact that figures depend on, time aside.
    pub fn same_facts(&self, other: &Row<'_>) -> bool {
        self.group == other.group
            && self.flags & FACTS == other.flags & FACTS
            && self.figures == other.figures
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
    pub fn bytes(&self) -> (u16, &'s [u8], &'s [u8]) {
        let names = self.detail.len().saturating_sub(Place::BYTES);
        (self.flags & FACTS, self.figures, &self.detail[..names])
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

fn detail_length(chunk: &[u8], at: usize) -> usize {
    u32::from_le_bytes(chunk[at..at + 4].try_into().expect("4 bytes")) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::usage::Counts;

    fn head(byte: u8, at: i64, group: u32, flags: u16) -> Head {
        Head { identity: Identity([byte; IDENTITY]), at: Instant(at), group: GroupId(group), flags }
    }

    #[test]
    fn a_row_gives_back_what_was_put_in() {
        let counts = |total| Counts {
            prompt: 1 << 40,
            cached: 300,
            candidates: 7,
            thoughts: 3,
            total,
            ..Counts::default()
        };
        let mut shard = Shard::default();
        let mut row = Vec::new();
        let totals = [Some(1), None, Some((1 << 40) + 10), Some((1 << 40) + 12)];
        for total in totals {
            let usage = Usage::from_counts(&counts(total)).unwrap();
            write(&mut row, &head(7, 1_000_000_001, 9, 0), Some(&usage));
            shard.append(&row);
        }
        write_missing(&mut row, &head(0xff, 6_000_000, 300, NO_ID), 1 << 33);
        shard.append(&row);
        let cache = CacheUse {
            act: CacheAct::Patch,
            name: "\u{80}é".repeat(64).into(),
            expires: Some(Instant(i64::MAX - 1)),
            tokens: 1 << 40,
        };
        write_cache(&mut row, &head(9, 7, u32::MAX, UNDATED | TOKENS_UNKNOWN), &cache);
        shard.append(&row);

        let chunk = shard.chunks().next().unwrap();
        let mut offset = 0;
        for logged in totals {
            let usage = Usage::from_counts(&counts(logged)).unwrap();
            let row = Row::read(chunk, offset);
            assert_eq!(
                (row.identity, row.at, row.group),
                (Identity([7; 12]), Instant(1_000_000_001), GroupId(9))
            );
            assert_eq!(row.usage(), usage);
            assert_eq!(row.has(TOTAL_MISMATCH), logged == Some(1));
            assert!(!row.has(NO_ID));
            offset = Row::flags_at(chunk, offset).1;
        }
        let missing = Row::read(chunk, offset);
        assert_eq!((missing.missing_place(), missing.at), (1 << 33, Instant(6_000_000)));
        assert!(missing.cache().is_none());
        let (flags, offset) = Row::flags_at(chunk, offset);
        assert_eq!(flags, NO_ID | USAGE_MISSING);
        let row = Row::read(chunk, offset);
        assert_eq!(row.cache(), Some(CacheUse { name: cache_name(&cache.name), ..cache.clone() }));
        assert_eq!((row.usage(), row.group), (Usage::default(), GroupId(u32::MAX)));
        assert!(row.has(UNDATED) && row.has(TOKENS_UNKNOWN) && !row.has(NO_ID));
        assert_eq!(Row::flags_at(chunk, offset).1, chunk.len());
    }

    #[test]
    fn rows_that_were_spilled_bit_by_bit_come_back_in_full_chunks() {
        let (mut shard, mut buffer, memory) = (Shard::default(), Vec::new(), Memory::new(None, 1));
        let lengths = [7, Shard::CHUNK - 7, 3, 2 * Shard::CHUNK, 9, 11];
        for (place, length) in lengths.into_iter().enumerate() {
            shard.append(&vec![place as u8; length]);
            if place != 1 && place != 4 {
                shard.spill(&memory, &mut buffer).expect("a temporary file");
                assert_eq!((shard.bytes(), shard.chunks().count()), (0, 0));
            }
        }
        shard.append(b"last");
        shard.bring_back(&memory).expect("a temporary file");
        assert_eq!(shard.rows(), lengths.len() + 1);
        let mut whole: Vec<u8> = shard.chunks().flatten().copied().collect();
        whole.sort_unstable();
        let mut expected: Vec<u8> =
            lengths.iter().zip(0..).flat_map(|(length, place)| vec![place; *length]).collect();
        expected.extend(b"last");
        expected.sort_unstable();
        assert!(whole == expected);
        assert!(shard.chunks().count() < lengths.len());
    }

    #[test]
    fn a_row_that_is_larger_than_a_chunk_has_one_of_its_own() {
        let mut shard = Shard::default();
        for length in [10, Shard::CHUNK - 10, 1, 3 * Shard::CHUNK, 5] {
            shard.append(&vec![0; length]);
        }
        let chunks: Vec<usize> = shard.chunks().map(<[u8]>::len).collect();
        assert_eq!(chunks, [Shard::CHUNK, 1, 3 * Shard::CHUNK, 5]);
        assert_eq!(shard.rows(), 5);
    }
}
