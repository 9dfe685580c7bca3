//! Owns the two sums that requests leave behind, and their addition: `Tally`, cells by day and facts with what was done
//! to caches, and `Traffic`, requests and input tokens by second. Both are monoids: slices merge in any order to the
//! same sums. Knows no price and no limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::cache::CacheEvent;
use super::day::{Day, Instant};
use super::meter::{Meter, Slot};
use super::piece::Piece;
use super::request::GroupFacts;
use super::tier::{ContextBand, Terms, UsageTier, words};

/// All requests of a run that share their facts, by place in [`Groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// Which of the cells of one thread.
pub type Place = u32;

/// The facts of each group. A group's id depends on threads; nothing that is published may.
pub type Groups = Vec<Arc<GroupFacts>>;

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

words! {
    /// What a cell sums beside requests and quantities: counts of requests, and counts of tokens that are no quantity.
    Beside {
        WithoutId = "requests_without_id",
        TotalMismatch = "requests_total_mismatch",
        TokensUnknown = "requests_tokens_unknown",
        /// With thoughts that no field says.
        WithThoughtsAssumed = "requests_thoughts_assumed",
        AboveContextWindow = "requests_above_context_window",
        WithToolTokens = "requests_with_tool_tokens",
        WithCachedTokens = "requests_with_cached_tokens",
        /// With a quantity that an allowance fits.
        WithAllowance = "requests_with_allowance",
        /// Inside or beside the candidates.
        Thoughts = "thoughts",
        /// Those of them that no field says.
        ThoughtsAssumed = "thoughts_assumed",
        /// `totalTokenCount` as logged.
        TotalTokens = "total_tokens",
    }
}

/// One of the sums of a cell: of a slot's quantities, or beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Figure(u8);

/// What a figure is the sum of.
#[derive(Clone, Copy, Debug)]
pub enum FigureOf {
    Slot(Slot),
    Beside(Beside),
}

const _: () = assert!(Slot::COUNT + Beside::ALL.len() <= Figure::MOST);

impl Figure {
    /// There are no more.
    const MOST: usize = 64;

    pub fn of(self) -> FigureOf {
        match usize::from(self.0).checked_sub(Slot::COUNT) {
            None => FigureOf::Slot(Slot(self.0)),
            Some(beside) => FigureOf::Beside(Beside::ALL[beside]),
        }
    }

    /// A number that stands for it, and the figure of one.
    pub fn code(self) -> u8 {
        self.0
    }

    pub fn from_code(code: u8) -> Figure {
        Figure(code)
    }
}

impl From<Slot> for Figure {
    #[inline(always)]
    fn from(slot: Slot) -> Figure {
        Figure(slot.0)
    }
}

impl From<Beside> for Figure {
    #[inline(always)]
    fn from(beside: Beside) -> Figure {
        Figure(Slot::COUNT as u8 + beside as u8)
    }
}

/// Sums over the requests of a cell. They fit because [`Tally::everything`] does.
///
/// A cell has few of the figures that there are, so it says which: cells are many, and what isn't there costs nothing, the
/// usual figures aside.
/// Arithmetic wraps around: a part may be below 0, of requests that are taken back; the whole never is.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Cell {
    pub requests: u64,
    /// One more than the figure of each of `sums`, the usual ones first; 0 of those that are free.
    figures: [u8; Cell::INLINE],
    /// Figures of which there was no room.
    #[expect(clippy::box_collection, reason = "nearly no cell has one, and all would have its three words")]
    more: Option<Box<Vec<(Figure, u64)>>>,
    sums: [u64; Cell::INLINE],
}

/// What most requests have: these figures have the same place in each cell, where nobody need look for it.
const USUAL: [Figure; 5] = [
    Figure(Slot::of_tokens(Meter::Input, 0).0),
    Figure(Slot::of_tokens(Meter::Output, 0).0),
    Figure(Slot::of_tokens(Meter::OutputThinking, 0).0),
    Figure(Slot::COUNT as u8 + Beside::Thoughts as u8),
    Figure(Slot::COUNT as u8 + Beside::TotalTokens as u8),
];

/// By figure its place, if it is a usual one.
const USUAL_PLACES: [Option<u8>; Figure::MOST] = {
    let mut places = [None; Figure::MOST];
    let mut place = 0;
    while place < USUAL.len() {
        places[USUAL[place].0 as usize] = Some(place as u8);
        place += 1;
    }
    places
};

impl Default for Cell {
    fn default() -> Cell {
        let mut figures = [0; Cell::INLINE];
        figures.iter_mut().zip(USUAL).for_each(|(own, usual)| *own = usual.0 + 1);
        Cell { requests: 0, figures, more: None, sums: [0; Cell::INLINE] }
    }
}

impl Cell {
    const INLINE: usize = 16;

    /// The sum of a figure, made if there is none yet.
    #[inline(always)]
    pub fn sum_mut(&mut self, figure: Figure) -> &mut u64 {
        if let Some(place) = USUAL_PLACES[usize::from(figure.0) % Figure::MOST] {
            return &mut self.sums[usize::from(place) % Cell::INLINE];
        }
        match self.place(figure.0 + 1) {
            Some(place) => &mut self.sums[place],
            None => self.new_sum(figure),
        }
    }

    /// The first of `figures` that is this: all are looked at in one step, with what each of these processors has.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn place(&self, own: u8) -> Option<usize> {
        use std::arch::x86_64::*;
        // SAFETY: there are as many bytes as are loaded.
        let same = unsafe {
            let figures = _mm_loadu_si128(self.figures.as_ptr().cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(figures, _mm_set1_epi8(own as i8)))
        };
        (same != 0).then(|| same.trailing_zeros() as usize % Cell::INLINE)
    }

    /// The first of `figures` that is this.
    #[cfg(not(target_arch = "x86_64"))]
    fn place(&self, own: u8) -> Option<usize> {
        self.figures.iter().position(|figure| *figure == own)
    }

    #[cold]
    fn new_sum(&mut self, figure: Figure) -> &mut u64 {
        if let Some(free) = self.place(0) {
            self.figures[free] = figure.0 + 1;
            return &mut self.sums[free];
        }
        let more = self.more.get_or_insert_default();
        let place = more.iter().position(|(own, _)| *own == figure).unwrap_or_else(|| {
            more.push((figure, 0));
            more.len() - 1
        });
        &mut more[place].1
    }

    /// Its figures that aren't 0, in no order.
    pub fn figures(&self) -> impl Iterator<Item = (Figure, u64)> {
        let inline = self.figures.iter().zip(self.sums).take_while(|(own, _)| **own > 0);
        let inline = inline.map(|(own, sum)| (Figure(own - 1), sum));
        inline.chain(self.more()).filter(|(_, sum)| *sum != 0)
    }

    fn more(&self) -> impl Iterator<Item = (Figure, u64)> {
        self.more.iter().flat_map(|more| more.iter().copied())
    }

    /// What isn't there is 0.
    pub fn sum(&self, figure: impl Into<Figure>) -> u64 {
        let figure = figure.into();
        match self.place(figure.0 + 1) {
            Some(place) => self.sums[place],
            None => self.more().find(|(own, _)| *own == figure).map_or(0, |(_, sum)| sum),
        }
    }

    /// Quantities above 0, in no order.
    pub fn quantities(&self) -> impl Iterator<Item = (Slot, u64)> {
        self.figures().filter_map(|(figure, quantity)| match figure.of() {
            FigureOf::Slot(slot) => Some((slot, quantity)),
            FigureOf::Beside(_) => None,
        })
    }

    /// One with so many requests and these figures.
    pub fn new(requests: u64, figures: impl IntoIterator<Item = (Figure, u64)>) -> Cell {
        let mut cell = Cell { requests, ..Cell::default() };
        for (figure, sum) in figures {
            *cell.sum_mut(figure) = sum;
        }
        cell
    }

    pub fn merge(&mut self, other: &Cell) {
        self.requests = self.requests.wrapping_add(other.requests);
        for (figure, addend) in other.figures() {
            let sum = self.sum_mut(figure);
            *sum = sum.wrapping_add(addend);
        }
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Cell) -> bool {
        let sorted = |cell: &Cell| {
            let mut figures: Vec<_> = cell.figures().collect();
            figures.sort_unstable();
            figures
        };
        self.requests == other.requests && sorted(self) == sorted(other)
    }
}

impl Eq for Cell {}

/// A sum that left 64 bits: no real log gets there, a forged one may.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// `sum += addend`, or [`Overflow`] above what a report's 64-bit column holds.
pub fn add(sum: &mut u64, addend: u64) -> Result<(), Overflow> {
    *sum = sum.checked_add(addend).filter(|&sum| i64::try_from(sum).is_ok()).ok_or(Overflow)?;
    Ok(())
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

/// The cells of a day, ascending by key: those of a group stand together, and are looked at one after the other.
pub type Cells = Vec<(CellKey, Cell)>;

#[derive(Debug, Default)]
pub struct Tally {
    /// Those that are in memory.
    pub cells: BTreeMap<Day, Cells>,
    /// The others, in the temporary file.
    pub spilled: BTreeMap<Day, Vec<SpilledCells>>,
    pub spans: BTreeMap<Day, Span>,
    /// In no order.
    pub cache_events: Vec<CacheEvent>,
    /// All that was added to any cell. While this fits a report's 64-bit column, every sum of a part of it does, so
    /// that forged counts can't make a later sum wrap around.
    pub everything: u64,
}

/// Cells of a day that are in the temporary file; the same one may be in several pieces.
#[derive(Clone, Copy, Debug)]
pub struct SpilledCells {
    pub piece: Piece,
    /// Of all of them. It wraps around, as in a cell.
    pub requests: u64,
}

impl Tally {
    /// The days that have requests, ascending.
    pub fn days(&self) -> impl Iterator<Item = Day> {
        let in_memory =
            self.cells.iter().flat_map(|(day, cells)| cells.iter().map(|(_, cell)| (*day, cell.requests)));
        let spilled =
            self.spilled.iter().flat_map(|(day, spilled)| spilled.iter().map(|own| (*day, own.requests)));
        let mut days: BTreeMap<Day, u64> = BTreeMap::new();
        for (day, requests) in in_memory.chain(spilled) {
            let sum = days.entry(day).or_default();
            *sum = sum.wrapping_add(requests);
        }
        days.into_iter().filter(|(_, requests)| *requests > 0).map(|(day, _)| day)
    }
}

/// A request of a series, packed into 64 bits: a mark of one that is taken back, the second of its day, its input tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

impl Arrival {
    /// Prompt and tool tokens are up to 2⁴⁰ each.
    pub const TOKEN_BITS: u32 = 42;
    /// A day has less than 2¹⁷ seconds.
    const SECOND_BITS: u32 = 17;
    const TAKEN_BACK: u64 = 1 << (Self::TOKEN_BITS + Self::SECOND_BITS);
    /// Bits that no arrival needs.
    pub const SPARE_BITS: u32 = 64 - Self::TOKEN_BITS - Self::SECOND_BITS - 1;

    pub fn new(second_of_day: u32, input_tokens: u64) -> Arrival {
        Arrival(u64::from(second_of_day) << Self::TOKEN_BITS | input_tokens)
    }

    /// One that takes back an arrival that is equal otherwise.
    pub fn back(self) -> Arrival {
        Arrival(self.0 | Self::TAKEN_BACK)
    }

    pub fn bits(self) -> u64 {
        self.0
    }

    pub fn from_bits(bits: u64) -> Arrival {
        Arrival(bits)
    }

    /// Seconds since the day's midnight.
    pub fn second_of_day(self) -> u32 {
        (self.0 >> Self::TOKEN_BITS) as u32 & ((1 << Self::SECOND_BITS) - 1)
    }

    pub fn hour_of_day(self) -> usize {
        self.second_of_day() as usize / 3600
    }

    pub fn input_tokens(self) -> u64 {
        self.0 & ((1 << Self::TOKEN_BITS) - 1)
    }

    /// How many of some are left when those that are taken back are.
    pub fn count(arrivals: &[Arrival]) -> u64 {
        let mut count = 0;
        arrivals.iter().for_each(|arrival| arrival.put(&mut count, 1));
        count
    }

    /// Adds a part of the arrival to a sum, or takes it away. It wraps around, and comes out right in the end.
    #[inline(always)]
    pub fn put(self, sum: &mut u64, part: u64) {
        *sum = match self.0 & Self::TAKEN_BACK {
            0 => sum.wrapping_add(part),
            _ => sum.wrapping_sub(part),
        };
    }
}

/// What limits look at: a group (project, model, method, status …) and a usage tier of one day. Requests of which the
/// log doesn't say when they were are a series by themselves, and in no minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    pub group: GroupId,
    pub usage_tier: UsageTier,
    pub undated: bool,
}

/// Requests and input tokens by second, day by day.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Those that are in memory.
    pub days: BTreeMap<Day, DayTraffic>,
    /// Where the others are in the temporary file.
    pub spilled: BTreeMap<(Day, Part), Vec<Piece>>,
}

/// Which of the parts that a day's traffic is spilled in. A project is in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part(u8);

impl Part {
    const COUNT: u8 = 64;

    pub fn all() -> impl Iterator<Item = Part> {
        (0..Part::COUNT).map(Part)
    }

    pub fn of(project_id: &str) -> Part {
        Part((XxHash3_64::oneshot(project_id.as_bytes()) % u64::from(Part::COUNT)) as u8)
    }
}

/// Series one after the other. None is without arrivals.
#[derive(Debug, Default)]
pub struct DayTraffic {
    /// Each with the place where its arrivals begin.
    keys: Vec<(SeriesKey, usize)>,
    arrivals: Vec<Arrival>,
    /// Of another thread.
    more: Option<Box<DayTraffic>>,
}

impl DayTraffic {
    /// Of series with the number of arrivals of each, which follow one another in `arrivals`.
    pub fn new(series: impl IntoIterator<Item = (SeriesKey, usize)>, arrivals: Vec<Arrival>) -> DayTraffic {
        let mut next = 0;
        let begin = |(key, length)| {
            next += length;
            (key, next - length)
        };
        DayTraffic { keys: series.into_iter().map(begin).collect(), arrivals, more: None }
    }

    /// Adds what another thread has of the day.
    pub fn add(&mut self, other: DayTraffic) {
        let own = std::mem::replace(self, other);
        let mut last = &mut self.more;
        while let Some(more) = last {
            last = &mut more.more;
        }
        *last = Some(Box::new(own));
    }

    /// Each series with its arrivals, in no order; one may be there several times. Those of one in which all are taken
    /// back add up to nothing.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesKey, &[Arrival])> {
        let runs = std::iter::successors(Some(self), |run| run.more.as_deref());
        runs.flat_map(|run| {
            let ends = run.keys.iter().skip(1).map(|(_, begin)| *begin).chain([run.arrivals.len()]);
            run.keys.iter().zip(ends).map(|((key, begin), end)| (key, &run.arrivals[*begin..end]))
        })
    }
}
