//! Owns the row: a request as few bytes, in the shard that its identity decides. The shard's rows are what is
//! deduplicated, and what a thread hands over. What the names were is in the groups.
//!
//! ```text
//! identity 16 │ at 8 │ group 4 │ flags 1 │ body length 2 │ body: total, thoughts, (slot, quantity)… │ detail
//! ```
//! Numbers of the body are varints; that of a request that used a cache is (act, tokens, end, name) instead. Two rows
//! with equal group, flags and body are equal in every fact that figures depend on.

use crate::types::cache::{CacheAct, CacheUse, cache_name};
use crate::types::day::Instant;
use crate::types::detail::{Detail, Place};
use crate::types::meter::{Meter, Slot};
use crate::types::tally::GroupId;
use crate::types::usage::Usage;

const HEAD: usize = 16 + 8 + 4 + 1 + 2;

/// The request's detail follows its body.
const HAS_DETAIL: u8 = 16;
/// The log doesn't say when it was: `at` is what the run was told.
pub const UNDATED: u8 = 32;
/// It is of a shape that never says its tokens.
pub const TOKENS_UNKNOWN: u8 = 64;
/// The request has no id: it is never a duplicate.
pub const NO_ID: u8 = 1;
/// Inference that went well without usage; the body is its place among those of its thread.
pub const USAGE_MISSING: u8 = 2;
/// The record had a total.
const HAS_TOTAL: u8 = 4;
pub const TOTAL_MISMATCH: u8 = 8;
/// The body says what the request did to a cache.
const CACHE: u8 = 128;

/// A row as it lies in its shard.
#[derive(Clone, Copy, Debug)]
pub struct Row<'s> {
    pub identity: u128,
    pub at: Instant,
    pub group: GroupId,
    flags: u8,
    body: &'s [u8],
    detail: &'s [u8],
}

/// Appends a request to its shard.
pub fn append(
    shard: &mut Vec<u8>,
    identity: u128,
    at: Instant,
    group: GroupId,
    mut flags: u8,
    usage: Option<&Usage>,
) {
    let start = head(shard, identity, at, group);
    if let Some(usage) = usage {
        flags |= if usage.total.is_some() { HAS_TOTAL } else { 0 };
        flags |= if usage.total_mismatch { TOTAL_MISMATCH } else { 0 };
        push_varint(shard, usage.total.unwrap_or(0));
        push_varint(shard, usage.thoughts);
        for &(slot, quantity) in usage.quantities() {
            shard.push(slot.0);
            push_varint(shard, quantity);
        }
    }
    finish(shard, start, flags);
}

/// Appends a request that used a cache.
pub fn append_cache(
    shard: &mut Vec<u8>,
    identity: u128,
    at: Instant,
    group: GroupId,
    flags: u8,
    cache: &CacheUse<'_>,
) {
    let start = head(shard, identity, at, group);
    shard.push(cache.act as u8);
    push_varint(shard, cache.tokens);
    push_varint(shard, cache.expires.map_or(0, |expires| expires.0 as u64 + 1));
    shard.extend_from_slice(cache_name(&cache.name).as_bytes());
    finish(shard, start, CACHE | flags);
}

/// Appends a request whose usage is missing; `place` says which of its thread's it is.
pub fn append_missing(
    shard: &mut Vec<u8>,
    identity: u128,
    at: Instant,
    group: GroupId,
    flags: u8,
    place: u64,
) {
    let start = head(shard, identity, at, group);
    push_varint(shard, place);
    finish(shard, start, USAGE_MISSING | flags);
}

/// Appends the detail of the row that was appended last, at `start`.
pub fn append_detail(shard: &mut Vec<u8>, start: usize, request_id: &str, detail: &Detail<'_>, place: Place) {
    shard[start + 28] |= HAS_DETAIL;
    let length_at = shard.len();
    shard.extend_from_slice(&[0; 4]);
    detail.encode(request_id, place, shard);
    let length = (shard.len() - length_at - 4) as u32;
    shard[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn head(shard: &mut Vec<u8>, identity: u128, at: Instant, group: GroupId) -> usize {
    let start = shard.len();
    shard.extend_from_slice(&identity.to_le_bytes());
    shard.extend_from_slice(&at.0.to_le_bytes());
    shard.extend_from_slice(&group.0.to_le_bytes());
    shard.extend_from_slice(&[0; 3]);
    start
}

fn finish(shard: &mut [u8], start: usize, flags: u8) {
    let length = (shard.len() - start - HEAD) as u16;
    shard[start + 28] = flags;
    shard[start + 29..start + HEAD].copy_from_slice(&length.to_le_bytes());
}

impl<'s> Row<'s> {
    /// Reads the row at `offset`; gives where the next one begins too.
    pub fn read(shard: &'s [u8], offset: usize) -> (Row<'s>, usize) {
        let head = &shard[offset..offset + HEAD];
        let length = usize::from(u16::from_le_bytes([head[29], head[30]]));
        let end = offset + HEAD + length;
        let (detail, next) = if head[28] & HAS_DETAIL == 0 {
            (&shard[end..end], end)
        } else {
            let length = u32::from_le_bytes(shard[end..end + 4].try_into().expect("4 bytes")) as usize;
            (&shard[end + 4..end + 4 + length], end + 4 + length)
        };
        let row = Row {
            identity: u128::from_le_bytes(head[..16].try_into().expect("16 bytes")),
            at: Instant(i64::from_le_bytes(head[16..24].try_into().expect("8 bytes"))),
            group: GroupId(u32::from_le_bytes(head[24..28].try_into().expect("4 bytes"))),
            flags: head[28],
            body: &shard[offset + HEAD..end],
            detail,
        };
        (row, next)
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Of a row whose usage is missing: which of its thread's it is.
    pub fn missing_place(&self) -> u64 {
        take_varint(&mut { self.body })
    }

    /// The total as logged and the thoughts, then the quantities above 0, ascending by slot.
    pub fn usage(&self) -> (u64, u64, impl Iterator<Item = (Slot, u64)> + use<'s>) {
        let mut body = if self.has(CACHE) { &[][..] } else { self.body };
        let (total, thoughts) =
            if body.is_empty() { (0, 0) } else { (take_varint(&mut body), take_varint(&mut body)) };
        let quantities = std::iter::from_fn(move || {
            let (&slot, rest) = body.split_first()?;
            body = rest;
            Some((Slot(slot), take_varint(&mut body)))
        });
        (total, thoughts, quantities)
    }

    /// What the request did to a cache.
    pub fn cache(&self) -> Option<CacheUse<'s>> {
        let (&act, mut body) = self.body.split_first().filter(|_| self.has(CACHE))?;
        let tokens = take_varint(&mut body);
        let expires = take_varint(&mut body).checked_sub(1).map(|nanos| Instant(nanos as i64));
        let act = CacheAct::ALL[usize::from(act)];
        Some(CacheUse { act, tokens, expires, name: String::from_utf8_lossy(body) })
    }

    /// Equal in every fact that figures depend on, time aside.
    pub fn same_facts(&self, other: &Row<'_>) -> bool {
        self.group == other.group && self.flags == other.flags && self.body == other.body
    }

    /// What decides which record of an identity counts, in the order in which it is looked at: usage at all, a time of
    /// its own, the last timestamp, the greatest total (tokens of a cache's creation), cached, output. What is left is
    /// compared by a cache's end, names and body.
    pub fn rank(&self) -> (u8, bool, Instant, u64, u64, u64) {
        let dated = !self.has(UNDATED);
        if self.has(USAGE_MISSING) {
            return (0, dated, self.at, 0, 0, 0);
        }
        if let Some(cache) = self.cache() {
            return (2, dated, self.at, cache.tokens, 0, 0);
        }
        let (total, _, quantities) = self.usage();
        let (mut cached, mut output) = (0, 0);
        for (slot, quantity) in quantities {
            match slot.meter() {
                Meter::InputCached => cached += quantity,
                Meter::Output | Meter::OutputThinking => output += quantity,
                _ => {}
            }
        }
        (if self.has(TOKENS_UNKNOWN) { 1 } else { 2 }, dated, self.at, total, cached, output)
    }

    /// The last word between rows of equal rank and equal names: the body, then what only the detail shows, but not
    /// the line, so that which record counts doesn't depend on where it was read.
    pub fn bytes(&self) -> (u8, &'s [u8], &'s [u8]) {
        let names = self.detail.len().saturating_sub(Place::BYTES);
        (self.flags, self.body, &self.detail[..names])
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

fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::usage::Counts;

    #[test]
    fn a_row_gives_back_what_was_put_in() {
        let counts = Counts {
            prompt: 1 << 40,
            cached: 300,
            candidates: 7,
            thoughts: 3,
            total: Some(1),
            ..Counts::default()
        };
        let usage = Usage::from_counts(&counts).unwrap();
        let mut shard = Vec::new();
        append(&mut shard, 7, Instant(-5), GroupId(9), 0, Some(&usage));
        append_missing(&mut shard, u128::MAX, Instant(6), GroupId(1), NO_ID, 1 << 33);
        let (row, next) = Row::read(&shard, 0);
        let (total, thoughts, quantities) = row.usage();
        assert_eq!((row.identity, row.at, row.group, total, thoughts), (7, Instant(-5), GroupId(9), 1, 3));
        assert_eq!(quantities.collect::<Vec<_>>(), usage.quantities());
        assert!(row.has(TOTAL_MISMATCH) && !row.has(NO_ID));
        let (missing, end) = Row::read(&shard, next);
        assert_eq!((missing.missing_place(), end), (1 << 33, shard.len()));
        assert!(missing.has(NO_ID) && missing.has(USAGE_MISSING) && missing.cache().is_none());
        let cache = CacheUse {
            act: CacheAct::Patch,
            name: "cachedContents/é".into(),
            expires: Some(Instant(i64::MAX - 1)),
            tokens: 1 << 40,
        };
        append_cache(&mut shard, 9, Instant(7), GroupId(1), 0, &cache);
        let (row, _) = Row::read(&shard, end);
        assert_eq!((row.cache(), row.usage().0, row.usage().2.count()), (Some(cache), 0, 0));
    }
}
