//! Owns the two sums that requests leave behind, and their addition: `Tally`, cells by day and facts with what was done
//! to caches, and `Traffic`, requests and input tokens by second. Both are monoids: slices merge in any order to the
//! same sums. Knows no price and no limit.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::cache::CacheEvent;
use super::day::{Day, Instant};
use super::meter::{Meter, Slot};
use super::piece::Held;
use super::request::Facts;
use super::tier::{ContextBand, Terms, UsageTier};

/// All requests of a run that share their facts, by place in [`Groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// The facts of each group. A group's id depends on threads; nothing that is published may.
pub type Groups = Vec<Facts<Box<str>>>;

/// What a cell is the sum of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    pub day: Day,
    pub group: GroupId,
    /// In force for the project at the request's instant.
    pub usage_tier: UsageTier,
    pub context_band: ContextBand,
    /// Of AI Studio's requests they depend on all projects of the accounts file, not on the usage tier alone.
    pub terms: Terms,
}

/// Sums over the requests of a cell. They fit because [`Tally::everything`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub requests: u64,
    pub requests_without_id: u64,
    pub requests_total_mismatch: u64,
    pub requests_tokens_unknown: u64,
    pub requests_above_context_window: u64,
    pub requests_with_tool_tokens: u64,
    pub requests_with_cached_tokens: u64,
    /// With a quantity that an allowance fits.
    pub requests_with_allowance: u64,
    /// Inside or beside the candidates.
    pub thoughts: u64,
    /// `totalTokenCount` as logged.
    pub total_tokens: u64,
    pub quantities: [u64; Slot::COUNT],
}

impl Default for Cell {
    fn default() -> Cell {
        Cell {
            requests: 0,
            requests_without_id: 0,
            requests_total_mismatch: 0,
            requests_tokens_unknown: 0,
            requests_above_context_window: 0,
            requests_with_tool_tokens: 0,
            requests_with_cached_tokens: 0,
            requests_with_allowance: 0,
            thoughts: 0,
            total_tokens: 0,
            quantities: [0; Slot::COUNT],
        }
    }
}

/// A sum that left 64 bits: no real log gets there, a forged one may.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// `sum += addend`, or [`Overflow`] above what a report's 64-bit column holds.
pub fn add(sum: &mut u64, addend: u64) -> Result<(), Overflow> {
    *sum = sum.checked_add(addend).filter(|&sum| i64::try_from(sum).is_ok()).ok_or(Overflow)?;
    Ok(())
}

impl Cell {
    /// Wraps around: a part may be below 0, of requests that are taken back; the whole never is.
    pub fn merge(&mut self, other: &Cell) {
        let add = |sum: &mut u64, addend: u64| *sum = sum.wrapping_add(addend);
        add(&mut self.requests, other.requests);
        add(&mut self.requests_without_id, other.requests_without_id);
        add(&mut self.requests_total_mismatch, other.requests_total_mismatch);
        add(&mut self.requests_tokens_unknown, other.requests_tokens_unknown);
        add(&mut self.requests_above_context_window, other.requests_above_context_window);
        add(&mut self.requests_with_tool_tokens, other.requests_with_tool_tokens);
        add(&mut self.requests_with_cached_tokens, other.requests_with_cached_tokens);
        add(&mut self.requests_with_allowance, other.requests_with_allowance);
        add(&mut self.thoughts, other.thoughts);
        add(&mut self.total_tokens, other.total_tokens);
        for (sum, addend) in self.quantities.iter_mut().zip(other.quantities) {
            add(sum, addend);
        }
    }

    /// Sum over the slots of a meter, whatever the modality.
    pub fn tokens(&self, meter: Meter) -> u64 {
        let slots = Slot::all().filter(|slot| slot.meter() == meter);
        slots.map(|slot| self.quantities[usize::from(slot.0)]).sum()
    }
}

/// The first and the last request of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first_at: Instant,
    pub last_at: Instant,
}

impl Span {
    pub fn of(at: Instant) -> Span {
        Span { first_at: at, last_at: at }
    }

    pub fn merge(&mut self, other: Span) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    pub cells: HashMap<CellKey, Cell, FixedState>,
    pub spans: BTreeMap<Day, Span>,
    /// In no order.
    pub cache_events: Vec<CacheEvent>,
    /// All that was added to any cell. While this fits a report's 64-bit column, every sum of a part of it does, so
    /// that forged counts can't make a later sum wrap around.
    pub everything: u64,
}

impl Tally {
    pub fn merge(&mut self, other: Tally) -> Result<(), Overflow> {
        add(&mut self.everything, other.everything)?;
        for (key, cell) in other.cells {
            match self.cells.entry(key) {
                Entry::Occupied(mut own) => own.get_mut().merge(&cell),
                Entry::Vacant(free) => {
                    free.insert(cell);
                }
            }
        }
        self.cache_events.extend(other.cache_events);
        for (day, span) in other.spans {
            self.spans.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
        }
        Ok(())
    }
}

/// The requests of one series, each packed into 64 bits: the second of its day above, its input tokens below.
/// Sorted as plain integers they are in order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

impl Arrival {
    /// Prompt and tool tokens are up to 2⁴⁰ each.
    const TOKEN_BITS: u32 = 42;

    pub fn new(second_of_day: u32, input_tokens: u64) -> Arrival {
        Arrival(u64::from(second_of_day) << Self::TOKEN_BITS | input_tokens)
    }

    /// Bits that no arrival needs: a day has less than 2¹⁷ seconds.
    pub const SPARE_BITS: u32 = 64 - Self::TOKEN_BITS - 17;

    /// Of one in the temporary file.
    pub const BYTES: usize = 8;

    pub fn bits(self) -> u64 {
        self.0
    }

    pub fn from_bits(bits: u64) -> Arrival {
        Arrival(bits)
    }

    /// Seconds since the day's midnight.
    pub fn second_of_day(self) -> u32 {
        (self.0 >> Self::TOKEN_BITS) as u32
    }

    pub fn input_tokens(self) -> u64 {
        self.0 & ((1 << Self::TOKEN_BITS) - 1)
    }
}

/// What limits look at: a day, a group (project, model, method, status …) and a usage tier. Requests of which the log
/// doesn't say when they were are a series by themselves, and in no minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    pub day: Day,
    pub group: GroupId,
    pub usage_tier: UsageTier,
    pub undated: bool,
}

#[derive(Debug, Default)]
pub struct Traffic {
    pub series: HashMap<SeriesKey, Arrivals, FixedState>,
}

/// The requests of one series, in no order: those that were added less those that were taken back.
#[derive(Debug, Default)]
pub struct Arrivals {
    pub lots: Vec<Lot>,
}

/// Some arrivals of a series.
#[derive(Debug)]
pub struct Lot {
    pub arrivals: Held<Vec<Arrival>>,
    /// They were added too, and don't count.
    pub taken_back: bool,
}

impl Traffic {
    pub fn put(&mut self, key: SeriesKey, lot: Lot) {
        self.series.entry(key).or_default().lots.push(lot);
    }
}

impl Arrivals {
    /// How many were added, and taken back.
    pub fn count(&self) -> (usize, usize) {
        let count = |taken_back| {
            let lots = self.lots.iter().filter(|lot| lot.taken_back == taken_back);
            let lengths = lots.map(|lot| match &lot.arrivals {
                Held::InMemory(arrivals) => arrivals.len(),
                Held::Spilled(piece) => piece.length as usize / Arrival::BYTES,
            });
            lengths.sum()
        };
        (count(false), count(true))
    }
}
