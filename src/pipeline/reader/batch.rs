//! Owns plain lines and rows, which are taken so many together that memory has answered before each step needs it. What
//! isn't plain, or isn't known yet, is read by the strict decoder in its turn; what comes of it is the same.

use std::borrow::Cow;

use super::{At, Known, Reader, Spot};
use crate::mediate::dedupe::{Dealt, Hand};
use crate::mediate::row::Identity;
use crate::read::container::rows::Columns;
use crate::read::lines::Block;
use crate::read::shape::columns::ColumnReader;
use crate::read::shape::plain::Plain;
use crate::read::shape::spelling::Spelled;
use crate::types::request::Facts;
use crate::types::usage::{Counts, Usage, Whole};

/// So many that memory has answered in the meantime, so few that they stay near.
pub(super) const BATCH: usize = 16;

/// A plain line or row of a batch.
#[derive(Default)]
pub(super) struct Waiting<'line> {
    plain: Plain<'line>,
    spelling: Spelled,
    /// None of those that the strict decoder reads.
    known: Option<Known>,
    usage: Usage,
    /// Of a row, whose counts aren't kept: they made a usage.
    is_consistent: bool,
    identity: Identity,
    /// If its day is summed.
    spot: Option<Spot>,
}

impl Waiting<'_> {
    /// Works out its usage; what contradicts itself isn't plain.
    #[inline(always)]
    fn work_out(&mut self) {
        let Some(known) = self.known else { return };
        self.plain.counts.whole.thoughts_outside |= known.is_live;
        if !known.has_tokens {
            self.usage.fill_of_text(&Whole::default());
        } else if self.usage.fill(&self.plain.counts).is_err() {
            self.known = None;
        }
    }

    /// Takes a row, whose usage is worked out, as what is known of its key; what contradicts itself isn't plain.
    #[inline(always)]
    fn know(&mut self, known: Option<Known>, columns: &ColumnReader, row: usize) {
        self.known = known;
        let Some(known) = known else { return };
        if known.is_live {
            self.is_consistent = columns.usage_of(row, true, &mut Counts::default(), &mut self.usage);
        }
        if !known.has_tokens {
            self.usage.fill_of_text(&Whole::default());
        } else if !self.is_consistent {
            self.known = None;
        }
    }

    #[inline(always)]
    fn hand(&self, known: Known) -> Hand<'_> {
        Hand {
            at: self.plain.at,
            request_id: self.plain.request_id,
            project: known.project,
            status: known.status,
            group: known.group,
            usage: Dealt::Usage(&self.usage),
            tokens_unknown: false,
            thoughts_assumed: false,
            undated: false,
        }
    }
}

impl Reader<'_, '_> {
    pub(super) fn read_plain_rows(
        &mut self,
        columns: &ColumnReader,
        cells: &Columns<'_>,
        rows: usize,
        block: &Block,
    ) -> u64 {
        let mut batch: [Waiting<'_>; BATCH] = Default::default();
        let (mut keys, mut counts) = ([None; BATCH], Counts::default());
        for first in (0..rows).step_by(BATCH) {
            let batch = &mut batch[..BATCH.min(rows - first)];
            for (row, (waiting, key)) in (first..).zip(batch.iter_mut().zip(&mut keys)) {
                *key = columns.row(row, &mut waiting.plain);
                if let Some(key) = key {
                    waiting.spelling = self.keys.mix(key.halves());
                    self.keys.prefetch(waiting.spelling);
                    // While memory answers. A batch of counts would take the nearest of it for itself.
                    waiting.is_consistent = columns.usage_of(row, false, &mut counts, &mut waiting.usage);
                }
            }
            for (row, (waiting, key)) in (first..).zip(batch.iter_mut().zip(&keys)) {
                waiting.know(key.and_then(|_| self.keys.find(waiting.spelling)), columns, row);
            }
            for (row, (waiting, key)) in (first..).zip(batch.iter_mut().zip(&keys)) {
                if waiting.known.is_some() {
                    continue;
                }
                let rest = key.and_then(|key| columns.without_project(key));
                let rest = rest.map(|(rest, project)| (self.rests.mix(rest.halves()), project));
                let known = rest.and_then(|(rest, project)| self.learn_of_rest(rest, project));
                waiting.know(known, columns, row);
                if waiting.known.is_some() {
                    self.keys.learn(waiting.spelling, known);
                    continue;
                }
                self.learnt = None;
                self.read_row(cells, row, block, row as u64 + 1);
                let learnt = self.learnt.filter(|_| key.is_some());
                self.keys.learn(waiting.spelling, learnt);
                if let Some((rest, _)) = rest {
                    self.rests.learn(rest, learnt);
                }
            }
            self.deal_batch(batch, block, first as u64 + 1);
        }
        rows as u64
    }

    /// What is known of rows that differ in their project alone, as it holds for this project.
    fn learn_of_rest(&mut self, rest: Spelled, project: &str) -> Option<Known> {
        let other = self.rests.find(rest)?;
        let facts = self.shared.groups.facts(other.group);
        let facts = Facts { project_id: project.into(), ..facts.map_names(Cow::Borrowed) };
        Some(Known { group: self.meet(&facts), project: self.dealer.project(project), ..other })
    }

    /// Reads plain lines from `at` on, as many as a batch holds or until one isn't; gives their number.
    pub(super) fn fill<'line>(
        &mut self,
        batch: &mut [Waiting<'line>; BATCH],
        bytes: &'line [u8],
        at: &mut usize,
        end: usize,
    ) -> usize {
        let mut lines = 0;
        while lines < BATCH && *at < end {
            let Waiting { plain, spelling, .. } = &mut batch[lines];
            let is_plain = self.plain.read(&bytes[*at..], end - *at, plain).is_some();
            if !is_plain || plain.line.len() > self.settings.max_line {
                break;
            }
            *spelling = self.spellings.hash(self.plain.spelling(), self.settings_id);
            self.spellings.prefetch(*spelling);
            *at += plain.line.len();
            *at += match &bytes[*at..end] {
                [b'\r', b'\n', ..] => 2,
                [] => 0,
                _ => 1,
            };
            lines += 1;
        }
        lines
    }

    /// Takes plain lines, of which `number` is the first one's. Each step asks for the memory that the next one needs:
    /// spellings, groups, shards and cells are many, and lines jump among them.
    pub(super) fn take_plain(&mut self, batch: &mut [Waiting<'_>], block: &Block, number: u64) {
        for waiting in &mut *batch {
            waiting.known = self.spellings.find(waiting.spelling);
            waiting.work_out();
        }
        for (line, waiting) in batch.iter_mut().enumerate() {
            if waiting.known.is_none() && !self.learn_of_others(waiting) {
                self.learnt = None;
                self.read_line(waiting.plain.line, block, number + line as u64);
                self.spellings.learn(waiting.spelling, self.learnt);
                if let Some(known) = self.learnt {
                    self.shared.spellings.share(waiting.spelling, known);
                }
            }
        }
        self.deal_batch(batch, block, number);
    }

    /// Takes over what another thread knows of a line's spelling; gives whether the line is known now.
    fn learn_of_others(&mut self, waiting: &mut Waiting<'_>) -> bool {
        let Some(known) = self.shared.spellings.find(waiting.spelling) else { return false };
        self.tallier.meet(known.group, &self.shared.groups.facts(known.group));
        self.spellings.learn(waiting.spelling, Some(known));
        waiting.known = Some(known);
        waiting.work_out();
        waiting.known.is_some()
    }

    /// Deals and adds up the plain ones of a batch. Each step is a function of its own, so that what it goes on with stays in
    /// the processor's registers.
    fn deal_batch(&mut self, batch: &mut [Waiting<'_>], block: &Block, number: u64) {
        let known = batch.iter().filter(|waiting| waiting.known.is_some());
        self.thread.last_read = self.thread.last_read.max(known.map(|waiting| waiting.plain.at).max());
        self.begin_all(batch);
        self.deal_all(batch, block, number);
        self.add_all(batch);
    }

    #[inline(never)]
    fn begin_all(&mut self, batch: &mut [Waiting<'_>]) {
        for waiting in batch {
            if let Some(known) = waiting.known {
                waiting.identity = self.begin(&waiting.hand(known));
            }
        }
    }

    #[inline(never)]
    fn deal_all(&mut self, batch: &mut [Waiting<'_>], block: &Block, number: u64) {
        for (line, waiting) in batch.iter_mut().enumerate() {
            if let Some(known) = waiting.known {
                let place = At::from(block).place(number + line as u64);
                let detail = self.settings.detail.then(|| (waiting.plain.detail(), place));
                waiting.spot = self.deal(&waiting.hand(known), waiting.identity, detail);
            }
        }
    }

    #[inline(never)]
    fn add_all(&mut self, batch: &[Waiting<'_>]) {
        for waiting in batch {
            if let Some(known) = waiting.known {
                self.add(&waiting.hand(known), waiting.spot);
            }
        }
    }
}
