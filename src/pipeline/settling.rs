//! Owns what becomes of dealt rows once all are read: those that count are noted, those that don't are taken back.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::Options;
use super::reading::Read;
use crate::balance::Records;
use crate::books::Books;
use crate::books::accounts::StudioTerms;
use crate::error::Result;
use crate::mediate::dedupe::{self, Settled};
use crate::mediate::row::{
    CACHE, HAS_DETAIL, NO_ID, Row, THOUGHTS_ASSUMED, TOKENS_UNKNOWN, UNDATED, USAGE_MISSING, Unread,
};
use crate::mediate::shard::Shard;
use crate::memory::Memory;
use crate::suspense::Suspended;
use crate::tally::{Tallied, Tallier};
use crate::types::cache::{CacheEvent, CacheUse};
use crate::types::day::{Day, Days, Instant};
use crate::types::detail::Kept;
use crate::types::tally::{Groups, Span};
use crate::types::usage::Usage;

/// What a thread makes of the shards that it settles.
pub(super) struct Settling<'b> {
    /// Only takes back.
    pub(super) tallier: Tallier<'b>,
    pub(super) options: &'b Options,
    pub(super) days: Days,
    pub(super) records: Records,
    pub(super) requests_taken_back: u64,
    pub(super) outside_taken_back: u64,
    pub(super) spans: Spans,
    pub(super) cache_events: Vec<CacheEvent>,
    pub(super) kept: BTreeMap<Day, Vec<Kept>>,
    pub(super) suspended: Vec<Suspended>,
}

impl<'b> Settling<'b> {
    pub(super) fn new(books: &'b Books, studio_terms: &'b StudioTerms, options: &'b Options) -> Settling<'b> {
        Settling {
            tallier: Tallier::new(books, studio_terms, options.usage_tier),
            options,
            days: Days::default(),
            records: Records::default(),
            requests_taken_back: 0,
            outside_taken_back: 0,
            spans: Spans::default(),
            cache_events: Vec::new(),
            kept: BTreeMap::new(),
            suspended: Vec::new(),
        }
    }

    pub(super) fn settle(&mut self, shards: &[Shard], groups: &Groups, read: &Read<'_>) -> Result<()> {
        // Nearly all lie between others of their day.
        let lies_between = self.spans.covers();
        let is_plain =
            |row: Unread<'_>| !row.has(USAGE_MISSING | CACHE | HAS_DETAIL) && lies_between(row.at());
        dedupe::settle(shards, groups, is_plain, |settled| match settled {
            Settled::Unique(row) => self.count(&row, groups, read),
            Settled::Duplicate(row) => {
                self.records.duplicates += 1;
                self.take_back(&row, groups);
            }
            Settled::Superseded(row) => {
                self.records.superseded += 1;
                self.take_back(&row, groups);
            }
            Settled::UsageMissing(thread, place) => {
                let noted = read.threads[thread].missing[place as usize].clone();
                self.suspended.push(read.with_line(noted));
            }
        })
    }

    pub(super) fn spill_if_full(&mut self, memory: &Memory) -> Result<()> {
        if memory.is_full(self.tallier.bytes()) { self.tallier.spill(memory) } else { Ok(()) }
    }

    /// Of a request that counts: notes when it was, what it did to a cache, and all of it when requests are kept.
    fn count(&mut self, row: &Row<'_>, groups: &Groups, read: &Read<'_>) {
        let day = self.days.of(row.at);
        if !self.options.sums(day) {
            return;
        }
        self.spans.add(day, Span::of(row.at));
        let is_kept = !row.detail().is_empty() && self.options.window.contains(day);
        if !is_kept && !row.has(CACHE) {
            return;
        }
        let usage = row.usage();
        let cell = self.tallier(row, groups).cell(&tallied(row, day, &usage));
        if is_kept {
            self.kept.entry(day).or_default().push(read.kept(row, cell));
        }
        if let Some(CacheUse { act, name, expires, tokens }) = row.cache() {
            let (at, name, group, usage_tier) = (row.at, name.as_ref().into(), row.group, cell.usage_tier);
            self.cache_events.push(CacheEvent { at, act, name, expires, tokens, group, usage_tier });
        }
    }

    /// Of a request that was added when it was read.
    fn take_back(&mut self, row: &Row<'_>, groups: &Groups) {
        if row.has(USAGE_MISSING) {
            return;
        }
        let day = self.days.of(row.at);
        let inside = self.options.window.contains(day);
        *if inside { &mut self.requests_taken_back } else { &mut self.outside_taken_back } += 1;
        if self.options.sums(day) {
            let usage = row.usage();
            self.tallier(row, groups).take_back(&tallied(row, day, &usage));
        }
    }

    fn tallier(&mut self, row: &Row<'_>, groups: &Groups) -> &mut Tallier<'b> {
        self.tallier.meet(row.group, &groups[row.group.0 as usize]);
        &mut self.tallier
    }
}

pub(super) fn tallied<'u>(row: &Row<'_>, day: Day, usage: &'u Usage) -> Tallied<'u> {
    Tallied {
        at: row.at,
        day,
        group: row.group,
        no_id: row.has(NO_ID),
        tokens_unknown: row.has(TOKENS_UNKNOWN),
        thoughts_assumed: row.has(THOUGHTS_ASSUMED),
        undated: row.has(UNDATED),
        usage,
    }
}

/// The first and the last request by day. Requests of one day come in runs, so that one is looked at first.
#[derive(Default)]
pub(super) struct Spans {
    days: BTreeMap<Day, Span>,
    last: Option<(Day, Span)>,
}

impl Spans {
    #[inline(always)]
    pub(super) fn add(&mut self, day: Day, span: Span) {
        match &mut self.last {
            Some((last, own)) if *last == day => own.merge(span),
            _ => self.put_away(Some((day, span))),
        }
    }

    /// Whether an instant lies between others of its day, as far as is known by now.
    fn covers(&self) -> impl Fn(Instant) -> bool + use<> {
        let mut all: Vec<Span> = self.days.values().copied().collect();
        all.extend(self.last.map(|(_, span)| span));
        all.sort_unstable_by_key(|span| span.first_at);
        // The day of the instant before, as a rule.
        let near = Cell::new(None::<Span>);
        let lies_in = |at, span: Span| span.first_at <= at && at <= span.last_at;
        move |at| {
            near.get().is_some_and(|near| lies_in(at, near)) || {
                let begun = all.partition_point(|span| span.first_at <= at);
                near.set(all[..begun].last().copied());
                near.get().is_some_and(|near| lies_in(at, near))
            }
        }
    }

    #[inline(never)]
    fn put_away(&mut self, mut next: Option<(Day, Span)>) {
        if let Some((day, span)) = &mut next
            && let Some(known) = self.days.remove(day)
        {
            span.merge(known);
        }
        if let Some((day, span)) = std::mem::replace(&mut self.last, next) {
            self.days.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
        }
    }

    pub(super) fn into_days(mut self) -> BTreeMap<Day, Span> {
        self.put_away(None);
        self.days
    }
}
