//! Owns identity (design §3): which record of a request counts. Requests are dealt into shards by a hash of their
//! identity; once all are read each shard is settled by itself, so no thread waits for another.
//!
//! Nearly every record counts, so all are summed when they are dealt, and what settling finds not to count is taken
//! back: the rows are looked at once more, but hardly ever read.
//!
//! ```text
//! shard 0  a b c a' d …   ──▶  table of places by hash: a b c d …   ──▶  again: a a'  ──▶  a' counts, a is taken back
//! ```
//! An identity is 88 bits of XXH3 under a key that is new for each run: among 10⁹ requests two share one with a
//! probability of about 2·10⁻⁹, and nobody who forges ids can aim at one.

use std::borrow::Cow;
use std::hash::BuildHasher;

use twox_hash::{XxHash3_64, XxHash3_128};

use super::row::{self, Head, Identity, Row, Unread};
use super::shard::Shard;
use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::types::cache::CacheUse;
use crate::types::day::Instant;
use crate::types::detail::{Detail, Place};
use crate::types::request::{GroupFacts, Status};
use crate::types::tally::{GroupId, Groups};
use crate::types::usage::Usage;

/// So many that the table of one stays in the cache, so few that their ends do while rows are dealt.
pub const SHARDS: usize = 1 << Identity::SHARD_BITS;

/// The key of a run's identities.
#[derive(Clone, Copy, Debug)]
pub struct IdentityKey(u64);

impl IdentityKey {
    pub fn new() -> IdentityKey {
        IdentityKey(std::hash::RandomState::new().hash_one(()))
    }
}

impl Default for IdentityKey {
    fn default() -> IdentityKey {
        IdentityKey::new()
    }
}

/// What identities of a project's requests are hashed with.
#[derive(Clone, Copy, Debug)]
pub struct ProjectHash(u64);

/// A request to be dealt.
#[derive(Debug)]
pub struct Hand<'r> {
    pub at: Instant,
    /// Empty without one.
    pub request_id: &'r [u8],
    pub project: ProjectHash,
    pub status: Status,
    pub group: GroupId,
    pub usage: Dealt<'r>,
    /// See [`Request`](crate::types::request::Request).
    pub tokens_unknown: bool,
    pub thoughts_assumed: bool,
    pub undated: bool,
}

/// What is dealt of a request's usage.
#[derive(Debug)]
pub enum Dealt<'r> {
    /// Nothing, where the method has no tokens.
    Usage(&'r Usage),
    Cache(&'r CacheUse<'r>),
    /// It is missing; where the line is noted.
    Missing(MissingPlace),
}

/// Where the line of a request without usage is noted.
pub type MissingPlace = u64;

/// One thread's rows, by shard.
pub struct Dealer {
    key: IdentityKey,
    /// Buffers, used again and again.
    detail: Vec<u8>,
    spilling: Vec<u8>,
    without_id: usize,
    /// Of the rows.
    arena: Arena,
    shards: Vec<Shard>,
}

impl Dealer {
    pub fn new(key: IdentityKey) -> Dealer {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Dealer {
            key,
            detail: Vec::new(),
            spilling: Vec::new(),
            without_id: 0,
            arena: Arena::default(),
            shards,
        }
    }

    pub fn project(&self, project_id: &str) -> ProjectHash {
        ProjectHash(XxHash3_64::oneshot_with_seed(self.key.0, project_id.as_bytes()))
    }

    /// Which request it is. Its shard's end is asked for.
    #[inline(always)]
    pub fn identify(&mut self, hand: &Hand<'_>) -> Identity {
        let identity = if hand.request_id.is_empty() { self.no_identity() } else { Dealer::identity(hand) };
        self.shards[identity.shard()].prefetch();
        identity
    }

    /// Deals what [`Dealer::identify`] knows, with what `--detail` shows when it is asked for.
    #[inline(always)]
    pub fn deal(&mut self, hand: &Hand<'_>, identity: Identity, detail: Option<(Detail<'_>, Place)>) {
        let no_id = hand.request_id.is_empty();
        let flag = |flag, holds| if holds { flag } else { 0 };
        let flags = flag(row::NO_ID, no_id)
            | flag(row::UNDATED, hand.undated)
            | flag(row::TOKENS_UNKNOWN, hand.tokens_unknown)
            | flag(row::THOUGHTS_ASSUMED, hand.thoughts_assumed);
        let head = Head { identity, at: hand.at, group: hand.group, flags };
        self.detail.clear();
        if let Some((detail, place)) = detail {
            detail.encode(&String::from_utf8_lossy(hand.request_id), place, &mut self.detail);
        }
        let (shard, arena, detail) = (&mut self.shards[identity.shard()], &mut self.arena, &self.detail[..]);
        match hand.usage {
            Dealt::Usage(usage) => shard.append_usage(arena, &head, usage, detail),
            Dealt::Cache(cache) => shard.append_cache(arena, &head, cache, detail),
            Dealt::Missing(place) => shard.append_missing(arena, &head, place, detail),
        }
    }

    /// What the rows take of memory.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// Moves all rows to the temporary file.
    pub fn spill(&mut self, memory: &Memory) -> Result<()> {
        self.arena = Arena::default();
        self.shards.iter_mut().try_for_each(|shard| shard.spill(memory, &mut self.spilling))
    }

    pub fn into_shards(self) -> Vec<Shard> {
        self.shards
    }

    /// Of a request that went well its project and id; a failed one is the same only with the same status and
    /// timestamp, since a retry under one id is a request of its own.
    #[inline(always)]
    fn identity(hand: &Hand<'_>) -> Identity {
        // What precedes the id decides the seed with which it is hashed.
        let ProjectHash(mut seed) = hand.project;
        if !hand.status.went_well() {
            let mut failed = [0; 10];
            failed[..2].copy_from_slice(&hand.status.http().unwrap_or(0).to_le_bytes());
            failed[2..].copy_from_slice(&hand.at.0.to_le_bytes());
            seed = XxHash3_64::oneshot_with_seed(seed, &failed);
        }
        let hash = XxHash3_128::oneshot_with_seed(seed, hand.request_id);
        Identity { hash: hash as u64, rest: (hash >> 64) as u32 }
    }

    /// For a request without an id, which is never looked for: only the shard, each in turn.
    fn no_identity(&mut self) -> Identity {
        self.without_id += 1;
        Identity { hash: 0, rest: (self.without_id as u32) << (u32::BITS - Identity::SHARD_BITS) }
    }
}

/// What became of a row.
pub enum Settled<'s> {
    /// It counts.
    Unique(Row<'s>),
    /// Equal to the one that counts in every fact that figures depend on.
    Duplicate(Row<'s>),
    /// Another record of its identity counts.
    Superseded(Row<'s>),
    /// No record of its identity has usage. The thread whose row it is, and which of those it noted.
    UsageMissing(usize, MissingPlace),
}

/// Settles one shard: its rows by thread. Which record counts depends on the records alone, not on their order. Of those
/// that are alone with their identity, as nearly all are, the ones that `is_plain` says nothing need be known of aren't told.
/// An error if it has too many rows, as only one identity on very many lines makes them.
pub fn settle<'s>(
    threads: &'s [Shard],
    groups: &Groups,
    is_plain: impl Fn(Unread<'s>) -> bool,
    mut tell: impl FnMut(Settled<'s>),
) -> Result<()> {
    let rows = Rows::new(threads);
    if rows.chunks.len() > Spot::CHUNKS {
        return Err(Error::new("more than 4 GiB of requests can't be told apart by their ids")
            .hint("do very many lines have one request_id? leave it out where it names no request"));
    }
    let (mut again, to_tell) = rows.look_through(is_plain);
    again.sort_unstable();
    let mut told_below: Vec<Spot> = again.iter().flat_map(|&(first, next)| [first, next]).collect();
    told_below.sort_unstable();
    for spot in to_tell.into_iter().filter(|spot| told_below.binary_search(spot).is_err()) {
        tell(rows.alone(spot));
    }

    for same in again.chunk_by(|(first, _), (other, _)| first == other) {
        let spots = || std::iter::once(same[0].0).chain(same.iter().map(|(_, next)| *next));
        let best = spots()
            .max_by(|one, other| compare(&rows.read(*one), &rows.read(*other), groups))
            .expect("there is a first one");
        let best_row = rows.read(best);
        if best_row.has(row::USAGE_MISSING) {
            spots().for_each(|spot| tell(rows.alone(spot)));
            continue;
        }
        tell(rows.alone(best));
        for row in spots().filter(|spot| *spot != best).map(|spot| rows.read(spot)) {
            let is_same = row.same_figures(&best_row)
                && (row.group == best_row.group
                    || names(&row, groups).same_figures(names(&best_row, groups)));
            tell(if is_same { Settled::Duplicate(row) } else { Settled::Superseded(row) });
        }
    }
    Ok(())
}

/// The rows of one shard, of all threads.
struct Rows<'s> {
    /// Each with its thread.
    chunks: Vec<(&'s [u8], usize)>,
    rows: usize,
}

/// Where a row is: its chunk above, its offset below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot(u32);

impl Spot {
    /// So many chunks it tells apart.
    const CHUNKS: usize = 1 << (32 - Shard::CHUNK_BITS);

    fn new(chunk: usize, offset: usize) -> Spot {
        debug_assert!(chunk < Spot::CHUNKS && offset < 1 << Shard::CHUNK_BITS);
        Spot((chunk as u32) << Shard::CHUNK_BITS | offset as u32)
    }

    fn chunk(self) -> usize {
        (self.0 >> Shard::CHUNK_BITS) as usize
    }

    fn offset(self) -> usize {
        self.0 as usize & ((1 << Shard::CHUNK_BITS) - 1)
    }
}

impl<'s> Rows<'s> {
    fn new(threads: &'s [Shard]) -> Rows<'s> {
        let chunks = threads
            .iter()
            .enumerate()
            .flat_map(|(thread, shard)| shard.chunks().map(move |chunk| (chunk, thread)));
        Rows { chunks: chunks.collect(), rows: threads.iter().map(Shard::rows).sum() }
    }

    fn read(&self, spot: Spot) -> Row<'s> {
        Row::read(self.chunks[spot.chunk()].0, spot.offset())
    }

    fn identity(&self, spot: Spot) -> Identity {
        Unread::read(self.chunks[spot.chunk()].0, spot.offset()).identity
    }

    /// A row without another one of its identity that would count.
    fn alone(&self, spot: Spot) -> Settled<'s> {
        let row = self.read(spot);
        if row.has(row::USAGE_MISSING) {
            Settled::UsageMissing(self.chunks[spot.chunk()].1, row.missing_place())
        } else {
            Settled::Unique(row)
        }
    }

    /// The rows whose identity another row before them has, each after the first of its identity; and the rows that aren't
    /// plain, ascending.
    fn look_through(&self, is_plain: impl Fn(Unread<'s>) -> bool) -> (Vec<(Spot, Spot)>, Vec<Spot>) {
        /// Half of a hash above, a spot below. No row is at the last spot, which is the end of a chunk.
        const FREE: u64 = u64::MAX;
        let (mut again, mut not_plain) = (Vec::new(), Vec::new());
        // At most half full, so that a free place is near.
        let mut table = vec![FREE; (self.rows * 2).next_power_of_two()];
        let last = table.len() - 1;
        let mut look_at = |spot: Spot, row: Unread<'s>| {
            if !is_plain(row) {
                not_plain.push(spot);
            }
            if row.has(row::NO_ID) {
                return;
            }
            let identity = row.identity;
            let hash = identity.hash;
            let half = hash >> 32;
            let mut place = hash as usize & last;
            while table[place] != FREE {
                let other = Spot(table[place] as u32);
                if table[place] >> 32 == half && self.identity(other) == identity {
                    again.push((other, spot));
                    return;
                }
                place = (place + 1) & last;
            }
            table[place] = half << 32 | u64::from(spot.0);
        };
        for (place, (chunk, _)) in self.chunks.iter().enumerate() {
            let mut offset = 0;
            while offset < chunk.len() {
                let row = Unread::read(chunk, offset);
                look_at(Spot::new(place, offset), row);
                offset = row.next();
            }
        }
        (again, not_plain)
    }
}

fn cache_end<'s>(row: &Row<'s>) -> Option<(Option<Instant>, Cow<'s, str>)> {
    row.cache().map(|cache| (cache.expires, cache.name))
}

fn names<'g>(row: &Row<'_>, groups: &'g Groups) -> &'g GroupFacts {
    &groups[row.group.0 as usize]
}

fn compare(one: &Row<'_>, other: &Row<'_>, groups: &Groups) -> std::cmp::Ordering {
    // Of records that are equal in all that is shown the first one is shown, whichever thread read it.
    let by_place = || other.place().cmp(&one.place());
    // Most are the same record once more.
    if one.same_figures(other) && (one.group, one.at, one.bytes()) == (other.group, other.at, other.bytes()) {
        return by_place();
    }
    one.rank()
        .cmp(&other.rank())
        .then_with(|| cache_end(one).cmp(&cache_end(other)))
        .then_with(|| names(one, groups).cmp(names(other, groups)))
        .then_with(|| one.facts().cmp(&other.facts()))
        .then_with(|| one.usage().quantities().cmp(other.usage().quantities()))
        .then_with(|| one.bytes().cmp(&other.bytes()))
        .then_with(by_place)
}
