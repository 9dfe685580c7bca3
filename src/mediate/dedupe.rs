//! Owns identity (design §3): which record of a request counts. Requests are dealt into shards by a hash of their
//! identity; once all are read each shard is settled by itself, so no thread waits for another.
//!
//! An identity is 128 bits of XXH3 under a key that is new for each run: among 10⁹ requests two share one with a
//! probability of about 10⁻²¹, and nobody who forges ids can aim at one.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::groups::{AllGroups, SeenGroups};
use super::row::{self, Row};
use crate::types::day::Instant;
use crate::types::detail::Place;
use crate::types::request::Request;
use crate::types::tally::Groups;

/// Enough for every thread to have several, few enough for their ends to stay in the cache while rows are dealt.
pub const SHARDS: usize = 64;

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

/// One thread's rows, by shard.
pub struct Dealer<'g> {
    groups: SeenGroups<'g>,
    key: IdentityKey,
    identity: Vec<u8>,
    without_id: usize,
    shards: Vec<Vec<u8>>,
}

/// Where the line of a request without usage is noted.
pub type MissingPlace = u64;

impl<'g> Dealer<'g> {
    pub fn new(groups: &'g AllGroups, key: IdentityKey) -> Dealer<'g> {
        Dealer {
            groups: SeenGroups::new(groups),
            key,
            identity: Vec::new(),
            without_id: 0,
            shards: vec![Vec::new(); SHARDS],
        }
    }

    /// Deals a request. One whose usage is missing is at `missing` of those that the thread noted; with `place` its
    /// detail is kept too.
    pub fn deal(&mut self, request: &Request<'_>, missing: MissingPlace, place: Option<Place>) {
        let group = self.groups.id(&request.facts);
        let identity = self.identity(request);
        let shard = match request.request_id {
            Some(_) => identity as usize % SHARDS,
            None => {
                self.without_id += 1;
                self.without_id % SHARDS
            }
        };
        let shard = &mut self.shards[shard];
        let start = shard.len();
        let flag = |flag, holds| if holds { flag } else { 0 };
        let flags = flag(row::NO_ID, request.request_id.is_none())
            | flag(row::UNDATED, request.undated)
            | flag(row::TOKENS_UNKNOWN, request.tokens_unknown);
        if request.usage_missing {
            row::append_missing(shard, identity, request.at, group, flags, missing);
        } else if let Some(cache) = &request.cache {
            row::append_cache(shard, identity, request.at, group, flags, cache);
        } else {
            row::append(shard, identity, request.at, group, flags, request.usage.as_ref());
        }
        if let Some(place) = place {
            let request_id = request.request_id.as_deref().unwrap_or_default();
            row::append_detail(shard, start, request_id, &request.detail, place);
        }
    }

    pub fn into_shards(self) -> Vec<Vec<u8>> {
        self.shards
    }

    /// Of a request that went well its project and id; a failed one is the same only with the same status and
    /// timestamp, since a retry under one id is a request of its own.
    fn identity(&mut self, request: &Request<'_>) -> u128 {
        let Some(request_id) = &request.request_id else {
            return 0;
        };
        let project = request.facts.project_id.as_bytes();
        self.identity.clear();
        self.identity.extend_from_slice(&(project.len() as u64).to_le_bytes());
        self.identity.extend_from_slice(project);
        if !request.facts.status.went_well() {
            self.identity.extend_from_slice(&request.facts.status.http().unwrap_or(0).to_le_bytes());
            self.identity.extend_from_slice(&request.at.0.to_le_bytes());
            // Never the beginning of an id: no UTF-8 has it.
            self.identity.push(0xff);
        }
        self.identity.extend_from_slice(request_id.as_bytes());
        xxh3_128_with_seed(&self.identity, self.key.0)
    }
}

/// What became of a row.
pub enum Settled<'s> {
    /// It counts.
    Unique(Row<'s>),
    /// Equal to the one that counts in every fact that figures depend on.
    Duplicate,
    /// Another record of its identity counts.
    Superseded,
    /// No record of its identity has usage. The thread whose row it is, and which of those it noted.
    UsageMissing(usize, MissingPlace),
}

/// Settles one shard: its rows by thread. Which record counts depends on the records alone, not on their order.
pub fn settle<'s, E>(
    threads: &[&'s [u8]],
    groups: &Groups,
    mut tell: impl FnMut(Settled<'s>) -> Result<(), E>,
) -> Result<(), E> {
    /// A row of an identity, and the one before it.
    struct Link<'s> {
        row: Row<'s>,
        thread: usize,
        previous: Option<usize>,
    }
    let mut links: Vec<Link<'s>> = Vec::new();
    let mut last_of: HashTable<usize> = HashTable::new();
    for (thread, rows) in threads.iter().enumerate() {
        let mut offset = 0;
        while offset < rows.len() {
            let (row, next) = Row::read(rows, offset);
            offset = next;
            if row.has(row::NO_ID) {
                tell(alone(row, thread))?;
                continue;
            }
            let hash = |row: &Row<'_>| (row.identity >> 64) as u64;
            let entry = last_of.entry(
                hash(&row),
                |&last| links[last].row.identity == row.identity,
                |&last| hash(&links[last].row),
            );
            let place = links.len();
            let previous = match entry {
                hashbrown::hash_table::Entry::Occupied(mut last) => {
                    Some(std::mem::replace(last.get_mut(), place))
                }
                hashbrown::hash_table::Entry::Vacant(free) => {
                    free.insert(place);
                    None
                }
            };
            links.push(Link { row, thread, previous });
        }
    }
    for &last in &last_of {
        let chain =
            std::iter::successors(Some(&links[last]), |link| link.previous.map(|previous| &links[previous]));
        if links[last].previous.is_none() {
            tell(alone(links[last].row, links[last].thread))?;
            continue;
        }
        let best = chain
            .clone()
            .max_by(|one, other| compare(&one.row, &other.row, groups))
            .expect("a chain has a link");
        if best.row.has(row::USAGE_MISSING) {
            for link in chain {
                tell(alone(link.row, link.thread))?;
            }
            continue;
        }
        tell(Settled::Unique(best.row))?;
        for link in chain.filter(|link| !std::ptr::eq(*link, best)) {
            let same = link.row.same_facts(&best.row);
            tell(if same { Settled::Duplicate } else { Settled::Superseded })?;
        }
    }
    Ok(())
}

fn alone(row: Row<'_>, thread: usize) -> Settled<'_> {
    if row.has(row::USAGE_MISSING) {
        Settled::UsageMissing(thread, row.missing_place())
    } else {
        Settled::Unique(row)
    }
}

fn cache_end<'s>(row: &Row<'s>) -> Option<(Option<Instant>, Cow<'s, str>)> {
    row.cache().map(|cache| (cache.expires, cache.name))
}

fn compare(one: &Row<'_>, other: &Row<'_>, groups: &Groups) -> std::cmp::Ordering {
    let names = |row: &Row<'_>| &groups[row.group.0 as usize];
    one.rank()
        .cmp(&other.rank())
        .then_with(|| cache_end(one).cmp(&cache_end(other)))
        .then_with(|| names(one).cmp(names(other)))
        .then_with(|| one.bytes().cmp(&other.bytes()))
        // Of records that are equal in all that is shown the first one is shown, whichever thread read it.
        .then_with(|| other.place().cmp(&one.place()))
}
