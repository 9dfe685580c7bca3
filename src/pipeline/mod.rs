//! Owns the order of the stages and their threads: the page that explains the tool. Each stage is a function from nouns
//! to nouns; this folder alone sees them all, and does none of their work.
//!
//! ```text
//! logs ─read─▶ requests ─┬─deal──▶ shards ║ ─settle─▶ doubled ─take back─▶ Tally, Traffic ─charge, measure─▶ days
//!                │       └─guide, tally─────────▶ sums ───────────────────────┘                  │
//!                └──── suspense ──────────╨───────────────────────────────── suspense ───────────┘
//! ```
//! The double line is the one barrier: which record of an identity counts can only be known when all were read. Nearly
//! all do, so each is added to the sums at once, and the few that don't count are taken back. Rows, cells and traffic for which
//! there is no memory wait in a temporary file, and are read back a shard, and a part of a day, at a time.

mod rating;
mod reader;
mod reading;
mod settling;
mod sources;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

pub use self::rating::{DayReport, Rating};
use self::reading::read;
use self::settling::Settling;
use crate::arena::Arena;
use crate::balance::{self, Records};
use crate::books::Books;
use crate::cells;
use crate::error::{Error, Exit, Result};
use crate::mediate::groups::AllGroups;
use crate::memory::{Bound, Memory};
use crate::read::{Inputs, Progress};
use crate::suspense::Suspended;
use crate::tally::{Tallier, sum_up};
use crate::types::day::{Day, Instant, Window};
use crate::types::detail::Kept;
use crate::types::origin::InputSummary;
use crate::types::tally::{Cells, Groups, Overflow, Span, Tally, Traffic};
use crate::types::tier::UsageTier;

/// What a run is told besides its logs and books.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// For projects without a timeline in the accounts file.
    pub usage_tier: Option<UsageTier>,
    /// The days to publish.
    pub window: Window,
    /// What days up to this one hand on is known, so of days before the window only later ones matter.
    pub known: Option<Day>,
    /// None: all is kept in memory.
    pub memory: Option<Bound>,
}

impl Options {
    /// Whether requests of `day` are summed: those of the window, and those of earlier days for what they hand on.
    fn sums(&self, day: Day) -> bool {
        self.window.contains(day)
            || self.window.from.is_some_and(|from| day < from) && self.known.is_none_or(|known| known < day)
    }
}

/// All that the logs say, summed.
#[derive(Debug)]
pub struct Replay {
    pub records: Records,
    /// In the order given.
    pub inputs: Vec<InputSummary>,
    pub left: BTreeMap<String, u64>,
    pub suspended: Vec<Suspended>,
    pub groups: Groups,
    pub tally: Tally,
    pub traffic: Traffic,
    /// Where what isn't in memory is read back from.
    pub memory: Memory,
    /// Each request that counts, by day, when they are kept.
    pub kept: BTreeMap<Day, Vec<Kept>>,
    /// The last instant of a request, of all that were read.
    pub last_read: Option<Instant>,
}

impl Replay {
    /// The cells of a day, none of them without requests.
    pub fn cells(&self, day: Day) -> Result<Cow<'_, Cells>> {
        let in_memory = self.tally.cells.get(&day);
        let Some(spilled) = self.tally.spilled.get(&day) else {
            return Ok(in_memory.map_or_else(Cow::default, Cow::Borrowed));
        };
        let mut cells = in_memory.cloned().unwrap_or_default();
        cells::add(&mut cells, day, spilled, &self.memory)?;
        cells.retain(|(_, cell)| cell.requests > 0);
        Ok(Cow::Owned(cells))
    }

    /// Suspended lines that decide the exit code: with a window, those without a time are told and decide nothing.
    pub fn deciding_lines(&self, window: Window) -> u64 {
        self.suspended.iter().filter(|line| line.day.is_some() || window.is_open()).count() as u64
    }
}

/// Reads logs into sums. Both the lines and, later, the quantities are accounted for, or there is no result.
pub fn replay(inputs: &Inputs, books: &Books, options: &Options, progress: &Arc<Progress>) -> Result<Replay> {
    let all_groups = AllGroups::default();
    let studio_terms = books.accounts.studio_terms(options.usage_tier);
    let memory = Memory::new(options.memory.as_ref(), rayon::current_num_threads());
    let mut read = read(inputs, books, &studio_terms, options, progress, &all_groups, &memory)?;
    let groups = all_groups.into_groups();

    let shards = Mutex::new(read.take_shards().into_iter());
    let settle = || {
        let mut settling = Settling::new(books, &studio_terms, options);
        while let Some(mut shard) = { shards.lock().expect("no thread panicked").next() } {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(interrupted());
            }
            // What was spilled goes back to the system with its shard.
            let mut arena = Arena::default();
            shard.iter_mut().try_for_each(|rows| rows.bring_back(&memory, &mut arena))?;
            settling.settle(&shard, &groups, &read)?;
            settling.spill_if_full(&memory)?;
        }
        Ok(settling)
    };
    let settled = rayon::broadcast(|_| settle()).into_iter().collect::<Result<Vec<Settling<'_>>>>()?;

    let mut records = read.records.clone();
    let mut suspended = Vec::new();
    let mut kept: BTreeMap<Day, Vec<Kept>> = BTreeMap::new();
    let mut spans: BTreeMap<Day, Span> = BTreeMap::new();
    let mut cache_events = Vec::new();
    let mut talliers: Vec<Tallier<'_>> =
        read.threads.iter_mut().filter_map(|thread| thread.tallier.take()).collect();
    for settling in settled {
        talliers.push(settling.tallier);
        records.add(&settling.records);
        records.requests -= settling.requests_taken_back;
        records.outside_window -= settling.outside_taken_back;
        suspended.extend(settling.suspended);
        cache_events.extend(settling.cache_events);
        for (day, mut of_day) in settling.kept {
            kept.entry(day).or_default().append(&mut of_day);
        }
        for (day, span) in settling.spans.into_days() {
            spans.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
        }
    }
    let (mut tally, traffic) = sum_up(talliers).map_err(overflow)?;
    (tally.spans, tally.cache_events) = (spans, cache_events);
    for refused in
        read.threads.iter_mut().flat_map(|thread| std::mem::take(&mut thread.refused)).collect::<Vec<_>>()
    {
        suspended.push(read.with_line(refused));
    }
    suspended.retain(|line| {
        let outside = line.day.is_some_and(|day| !options.window.contains(day));
        if outside {
            records.outside_window += 1
        } else {
            records.suspended += 1
        }
        !outside
    });
    suspended.sort_by_key(|line| (line.day, line.input, line.line));
    balance::records(&records)?;
    let last_read = read.threads.iter().filter_map(|thread| thread.last_read).max();
    Ok(Replay {
        records,
        inputs: read.inputs,
        left: inputs.left.clone(),
        suspended,
        groups,
        tally,
        traffic,
        memory,
        kept,
        last_read,
    })
}

/// The days that have requests or suspended lines, ascending; days before the window as far as they are summed.
pub fn days_seen(replay: &Replay) -> Vec<Day> {
    let mut days: BTreeSet<Day> = replay.tally.days().collect();
    days.extend(replay.suspended.iter().filter_map(|line| line.day));
    days.into_iter().collect()
}

fn interrupted() -> Error {
    Error::new("interrupted while reading")
        .hint("nothing was published; run the same command again")
        .exit(Exit::Interrupted)
}

fn overflow(_: Overflow) -> Error {
    Error::new("a sum of tokens exceeds 2^63: no real log gets there")
        .hint("rerate check LOGS shows what is in each file")
}
