//! Owns the hot loop beside reading: every request is guided (day, usage tier, context band) and added to its cell and
//! its series as soon as it is read; what turns out not to count is taken back. Knows no price.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rayon::prelude::*;

use crate::arena::{self, Arena};
use crate::arrivals::Log;
use crate::books::Books;
use crate::books::accounts::{StudioTerms, Timeline};
use crate::caches::prefetch;
use crate::cells;
use crate::error::Result;
use crate::memory::Memory;
use crate::traffic;
use crate::types::day::{Day, Instant};
use crate::types::meter::Slot;
use crate::types::piece::Piece;
use crate::types::request::{GroupFacts, MethodKind};
use crate::types::tally::{
    Arrival, Beside, Cell, CellKey, Cells, DayTraffic, GroupId, Overflow, Part, Place, SeriesKey,
    SpilledCells, Tally, Traffic,
};
use crate::types::tier::{Channel, ContextBand, Terms, UsageTier};
use crate::types::usage::Usage;

/// What each request of a group asks for: one line of the processor's cache, since groups are many, and requests jump
/// among them.
#[repr(align(64))]
struct Guide<'b> {
    timeline: Timeline<'b>,
    recent: Recent,
    channel: Channel,
}

/// Where requests of a group went lately, so the next one too, as a rule: the cells' keys but for the group, and the cells.
/// Two of them, part by part.
#[derive(Clone, Copy)]
struct Recent {
    days: [Day; 2],
    context_bands: [ContextBand; 2],
    usage_tiers: [UsageTier; 2],
    terms: [Terms; 2],
    places: [Place; 2],
}

/// Where no cell is: so many are more than any memory holds.
const NOWHERE: Place = u32::MAX;

/// The two sums of one thread. What is taken back stands in them below 0: their arithmetic wraps around, and comes out
/// right when all threads' are summed up, since each request that is taken back was added by one of them.
pub struct Tallier<'b> {
    books: &'b Books,
    studio_terms: &'b StudioTerms,
    usage_tier_flag: Option<UsageTier>,
    /// By group, as the facts, which those have that were met.
    guides: Vec<Guide<'b>>,
    facts: Vec<Option<Arc<GroupFacts>>>,
    /// Where a cell is: cells are large, and a table of small things is moved for less when it grows.
    places: HashMap<CellKey, Place, FixedState>,
    keys: Vec<CellKey>,
    open: Vec<Open>,
    days: Vec<OpenDay>,
    /// Of their arrivals.
    arena: Arena,
    /// Arrivals that are in the temporary file.
    spilled: Vec<(Day, Part, Piece)>,
    /// Cells that are.
    spilled_cells: Vec<(Day, SpilledCells)>,
    /// See [`Tally::everything`].
    everything: i128,
}

/// A cell that is being added to. Cells are many and requests jump among them, so one is three lines of the
/// processor's cache, of which the last is seldom needed.
#[repr(C, align(64))]
struct Open {
    /// Prompts above it are evidence against the books; in tokens.
    context_window: u64,
    /// A bit for each slot that an allowance fits (C8).
    allowance_slots: u64,
    /// Place in the tallier's days.
    day: u32,
    cell: Cell,
}

/// What a day has besides cells.
struct OpenDay {
    day: Day,
    /// The second with which it begins.
    start: i64,
    arrivals: Log,
}

/// A request as it goes to its cell.
#[derive(Clone, Copy, Debug)]
pub struct Tallied<'r> {
    pub at: Instant,
    pub day: Day,
    pub group: GroupId,
    pub no_id: bool,
    pub tokens_unknown: bool,
    pub thoughts_assumed: bool,
    pub undated: bool,
    pub usage: &'r Usage,
}

impl<'b> Tallier<'b> {
    /// Cells for which there is room at first: to move them often as they become more would take longer than to add them.
    const ROOM: usize = 1 << 15;

    pub fn new(
        books: &'b Books,
        studio_terms: &'b StudioTerms,
        usage_tier_flag: Option<UsageTier>,
    ) -> Tallier<'b> {
        Tallier {
            books,
            studio_terms,
            usage_tier_flag,
            guides: Vec::new(),
            facts: Vec::new(),
            places: HashMap::default(),
            keys: Vec::new(),
            open: Vec::with_capacity(Tallier::ROOM),
            days: Vec::new(),
            arena: Arena::default(),
            spilled: Vec::new(),
            spilled_cells: Vec::new(),
            everything: 0,
        }
    }

    /// Takes note of a group, before any of its requests is added.
    pub fn meet(&mut self, group: GroupId, facts: &Arc<GroupFacts>) {
        let group = group.0 as usize;
        if self.guides.len() <= group {
            self.guides.resize_with(group + 1, Guide::default);
            self.facts.resize(group + 1, None);
        }
        if self.facts[group].is_none() {
            self.guides[group] = Guide::new(facts, self.books, self.usage_tier_flag);
            self.facts[group] = Some(facts.clone());
        }
    }

    /// Asks for what a group's requests need.
    #[inline(always)]
    pub fn prefetch(&self, group: GroupId) {
        prefetch(&raw const self.guides[group.0 as usize]);
    }

    /// Adds a request that counts, as far as is known, to its cell.
    #[inline(always)]
    pub fn add(&mut self, request: &Tallied<'_>, place: Place) {
        let add = |sum: &mut u64, addend| *sum = sum.wrapping_add(addend);
        self.everything += i128::from(self.put(request, place, add, |arrival| arrival));
    }

    /// Takes back a request that was added, by this thread or another one.
    pub fn take_back(&mut self, request: &Tallied<'_>) {
        let place = self.place(request);
        let take = |sum: &mut u64, addend| *sum = sum.wrapping_sub(addend);
        self.everything -= i128::from(self.put(request, place, take, Arrival::back));
    }

    /// What arrivals and cells take of memory.
    pub fn bytes(&self) -> usize {
        self.days.iter().map(|open| open.arrivals.bytes()).sum::<usize>() + self.bytes_of_cells()
    }

    fn bytes_of_cells(&self) -> usize {
        let (keys, open) = (self.keys.len(), self.open.len());
        keys * size_of::<CellKey>() + open * size_of::<Open>() + self.places.allocation_size()
    }

    /// Moves all arrivals to the temporary file, and the cells when they are what memory is full of: the next requests
    /// are likely of the same ones.
    pub fn spill(&mut self, memory: &Memory) -> Result<()> {
        self.arena = Arena::default();
        for open in 0..self.days.len() {
            let day = self.days[open].day;
            let series = self.day_traffic(&self.days[open]);
            self.days[open].arrivals = Log::default();
            let part_of = |group: GroupId| Part::of(&met(&self.facts, group).project_id);
            let pieces = traffic::spill(&series, part_of, memory)?;
            self.spilled.extend(pieces.into_iter().map(|(part, piece)| (day, part, piece)));
        }
        if memory.is_full(self.bytes_of_cells().saturating_mul(2)) {
            let mut places: Vec<usize> = (0..self.open.len()).collect();
            places.sort_unstable_by_key(|place| self.keys[*place].day);
            let cells = places.into_iter().map(|place| (&self.keys[place], &self.open[place].cell));
            self.spilled_cells.extend(cells::spill(cells, memory)?);
            (self.keys, self.days) = (Vec::new(), Vec::new());
            self.open = Vec::with_capacity(Tallier::ROOM);
            self.places = HashMap::default();
            self.guides.iter_mut().for_each(|guide| guide.recent = Recent::default());
        }
        Ok(())
    }

    /// The cell a request goes to.
    pub fn cell(&mut self, request: &Tallied<'_>) -> CellKey {
        let place = self.place(request);
        self.keys[place as usize]
    }

    /// Gives all that was put to any sum.
    #[inline(always)]
    fn put(
        &mut self,
        request: &Tallied<'_>,
        place: Place,
        put: impl Fn(&mut u64, u64),
        mark: impl Fn(Arrival) -> Arrival,
    ) -> u64 {
        let open = &mut self.open[place as usize];
        let everything = open.put(request, put);
        let day = &mut self.days[open.day as usize];
        let second = (request.at.seconds() - day.start) as u32;
        let arrival = Arrival::new(second, request.usage.prompt + request.usage.tool);
        day.arrivals.push(&mut self.arena, place, request.undated, mark(arrival));
        everything
    }

    /// Where the cell of a request is, which is asked for.
    #[inline(always)]
    pub fn place(&mut self, request: &Tallied<'_>) -> Place {
        let guide = &self.guides[request.group.0 as usize];
        let usage_tier = guide.timeline.at(request.at);
        let key = CellKey {
            day: request.day,
            group: request.group,
            usage_tier,
            context_band: self.books.prices.context_band(request.usage.prompt),
            terms: match guide.channel {
                Channel::Api => usage_tier.terms(),
                Channel::AiStudio => self.studio_terms.at(request.at, usage_tier),
            },
        };
        let place = guide.recent.find(&key).unwrap_or_else(|| self.find(key));
        let open = &raw const self.open[place as usize];
        prefetch(open);
        prefetch(open.cast::<u8>().wrapping_add(64));
        place
    }

    #[inline(never)]
    fn find(&mut self, key: CellKey) -> Place {
        let facts = met(&self.facts, key.group);
        let place = *self.places.entry(key).or_insert_with(|| {
            let day = self.days.iter().position(|open| open.day == key.day).unwrap_or_else(|| {
                let start = key.day.start().seconds();
                self.days.push(OpenDay { day: key.day, start, arrivals: Log::default() });
                self.days.len() - 1
            });
            self.open.push(Open::new(self.books, facts, key, day as u32));
            self.keys.push(key);
            // A log's place has a bit beside it; so many cells are more than any memory holds.
            Place::try_from(self.open.len() - 1).ok().filter(|place| *place < 1 << 31).expect("fewer cells")
        });
        self.guides[key.group.0 as usize].recent.put(key, place);
        place
    }
}

impl Default for Guide<'_> {
    fn default() -> Self {
        let timeline = Timeline::Always(UsageTier::Unknown);
        Guide { timeline, recent: Recent::default(), channel: Channel::Api }
    }
}

impl<'b> Guide<'b> {
    fn new(facts: &GroupFacts, books: &'b Books, usage_tier_flag: Option<UsageTier>) -> Guide<'b> {
        let timeline = match facts.usage_tier {
            Some(usage_tier) => Timeline::Always(usage_tier),
            None => books.accounts.timeline(&facts.project_id, usage_tier_flag),
        };
        Guide { timeline, recent: Recent::default(), channel: facts.channel }
    }
}

impl Default for Recent {
    fn default() -> Recent {
        Recent {
            days: [Day(0); 2],
            context_bands: [ContextBand(0); 2],
            usage_tiers: [UsageTier::Unknown; 2],
            terms: [UsageTier::Unknown.terms(); 2],
            places: [NOWHERE; 2],
        }
    }
}

impl Recent {
    #[inline(always)]
    fn find(&self, key: &CellKey) -> Option<Place> {
        let is_it = |recent: usize| {
            self.days[recent] == key.day
                && self.context_bands[recent] == key.context_band
                && self.usage_tiers[recent] == key.usage_tier
                && self.terms[recent] == key.terms
        };
        let place = self.places[(0..2).find(|recent| is_it(*recent))?];
        (place != NOWHERE).then_some(place)
    }

    /// The other one is forgotten that came before.
    fn put(&mut self, key: CellKey, place: Place) {
        self.days = [key.day, self.days[0]];
        self.context_bands = [key.context_band, self.context_bands[0]];
        self.usage_tiers = [key.usage_tier, self.usage_tiers[0]];
        self.terms = [key.terms, self.terms[0]];
        self.places = [place, self.places[0]];
    }
}

/// The facts of a group that was met.
fn met(facts: &[Option<Arc<GroupFacts>>], group: GroupId) -> &GroupFacts {
    facts[group.0 as usize].as_ref().expect("groups are met first")
}

const _: () = assert!(size_of::<Guide<'_>>() == 64);

impl Open {
    fn new(books: &Books, facts: &GroupFacts, key: CellKey, day: u32) -> Open {
        let base_model = books.base_model(facts, key.day);
        // Evidence against the books is looked for in inference that went well.
        let is_evidence =
            facts.status.went_well() && books.methods.find(facts.method).kind == MethodKind::Inference;
        let known = books.models.find(base_model).filter(|_| is_evidence);
        let fit = books.allowances.meters(base_model, key.day);
        let fit = fit.flat_map(|meter| Slot::all().filter(move |slot| slot.meter() == meter));
        Open {
            cell: Cell::default(),
            context_window: known.and_then(|model| model.context_window).unwrap_or(u64::MAX),
            allowance_slots: fit.fold(0, |slots, slot| slots | 1 << slot.0),
            day,
        }
    }

    /// Puts a request's figures to the sums of the cell; gives all of them but the counts of requests beside the first.
    #[inline(always)]
    fn put(&mut self, request: &Tallied<'_>, put: impl Fn(&mut u64, u64)) -> u64 {
        let (cell, usage) = (&mut self.cell, request.usage);
        put(&mut cell.requests, 1);
        let mut everything = 1 + usage.total.unwrap_or(0) + usage.thoughts;
        for &(slot, quantity) in usage.quantities() {
            everything += quantity;
            put(cell.sum_mut(slot.into()), quantity);
        }
        if usage.thoughts > 0 {
            put(cell.sum_mut(Beside::Thoughts.into()), usage.thoughts);
            if request.thoughts_assumed {
                put(cell.sum_mut(Beside::ThoughtsAssumed.into()), usage.thoughts);
            }
        }
        if let Some(total) = usage.total {
            put(cell.sum_mut(Beside::TotalTokens.into()), total);
        }
        let counted = [
            (Beside::WithCachedTokens, usage.cached > 0),
            (Beside::WithToolTokens, usage.tool > 0),
            (Beside::WithAllowance, fits_any(self.allowance_slots, usage)),
            (Beside::AboveContextWindow, usage.prompt > self.context_window),
            (Beside::TotalMismatch, usage.total_mismatch),
            (Beside::TokensUnknown, request.tokens_unknown),
            (Beside::WithThoughtsAssumed, request.thoughts_assumed),
            (Beside::WithoutId, request.no_id),
        ];
        // Of most requests none holds.
        if counted.iter().fold(false, |any, (_, holds)| any | holds) {
            for (beside, _) in counted.into_iter().filter(|(_, holds)| *holds) {
                put(cell.sum_mut(beside.into()), 1);
            }
        }
        everything
    }
}

/// Whether any of its quantities is of these slots. Slots that have allowances are the last ones, as a rule.
#[inline(always)]
fn fits_any(slots: u64, usage: &Usage) -> bool {
    let quantities = usage.quantities();
    let may_fit = quantities.last().is_some_and(|(last, _)| slots.trailing_zeros() <= u32::from(last.0));
    may_fit && quantities.iter().any(|(slot, _)| slots >> slot.0 & 1 != 0)
}

/// The sums of all threads.
pub fn sum_up(mut talliers: Vec<Tallier<'_>>) -> std::result::Result<(Tally, Traffic), Overflow> {
    let everything: i128 = talliers.iter().map(|tallier| tallier.everything).sum();
    let everything = i64::try_from(everything).map_err(|_| Overflow)?;
    // No more arrivals come, so their arenas needn't stay.
    let days = talliers.iter_mut().map(|tallier| {
        tallier.arena = Arena::default();
        std::mem::take(&mut tallier.days)
    });
    let days = days.collect();
    let (mut tally, mut traffic) =
        (Tally { everything: everything as u64, ..Tally::default() }, Traffic::default());
    for tallier in &mut talliers {
        for (day, spilled) in tallier.spilled_cells.drain(..) {
            tally.spilled.entry(day).or_default().push(spilled);
        }
        for (day, part, piece) in tallier.spilled.drain(..) {
            traffic.spilled.entry((day, part)).or_default().push(piece);
        }
    }
    (tally.cells, traffic.days) =
        rayon::join(|| merge_cells(&talliers, &tally.spilled), || merge_traffic(&talliers, days));
    // They are in so many pieces that to free them takes one core some milliseconds.
    talliers.into_par_iter().for_each(drop);
    Ok((tally, traffic))
}

fn merge_cells(talliers: &[Tallier<'_>], spilled: &BTreeMap<Day, Vec<SpilledCells>>) -> BTreeMap<Day, Cells> {
    let mut of_days: BTreeMap<Day, Vec<(CellKey, &Cell)>> = BTreeMap::new();
    for tallier in talliers {
        for (key, open) in tallier.keys.iter().zip(&tallier.open) {
            of_days.entry(key.day).or_default().push((*key, &open.cell));
        }
    }
    let merge = |(day, of_day)| {
        let mut cells = cells::merge(of_day);
        // No cell is left of requests that were all taken back. Of a day that is in the file too, nobody knows yet.
        if !spilled.contains_key(&day) {
            cells.retain(|(_, cell)| cell.requests > 0);
        }
        (day, cells)
    };
    of_days.into_par_iter().map(merge).collect()
}

fn merge_traffic(talliers: &[Tallier<'_>], days: Vec<Vec<OpenDay>>) -> BTreeMap<Day, DayTraffic> {
    let logs = talliers.iter().zip(days);
    let logs: Vec<_> =
        logs.flat_map(|(tallier, days)| days.into_iter().map(move |open| (tallier, open))).collect();
    // What a tallier's logs took goes back to the system with the last of them.
    let sort = |(tallier, open): (&Tallier<'_>, OpenDay)| (open.day, tallier.day_traffic(&open));
    let sorted: Vec<_> = logs.into_par_iter().map(sort).collect();
    let mut days: BTreeMap<Day, DayTraffic> = BTreeMap::new();
    for (day, traffic) in sorted {
        days.entry(day).or_default().add(traffic);
    }
    days
}

impl Tallier<'_> {
    /// Sorts the arrivals of a day by series.
    fn day_traffic(&self, open: &OpenDay) -> DayTraffic {
        // By cell, dated and not: how many arrivals it has, and then where the next one goes.
        let mut nexts = vec![0; 2 * self.open.len()];
        open.arrivals.iter().for_each(|logged| nexts[logged.cell as usize] += 1);
        let mut series: Vec<(SeriesKey, usize)> = Vec::new();
        let mut places: HashMap<SeriesKey, usize, FixedState> = HashMap::default();
        let mut cells = Vec::new();
        for cell in (0..nexts.len()).filter(|cell| nexts[*cell] > 0) {
            let CellKey { group, usage_tier, .. } = self.keys[cell >> 1];
            let key = SeriesKey { group, usage_tier, undated: cell & 1 != 0 };
            let place = *places.entry(key).or_insert_with(|| {
                series.push((key, 0));
                series.len() - 1
            });
            // Within its series so far.
            let length = &mut series[place].1;
            cells.push((cell, place, *length));
            *length += nexts[cell];
        }
        let begins: Vec<usize> = series
            .iter()
            .scan(0, |begin, (_, length)| Some(std::mem::replace(begin, *begin + length)))
            .collect();
        cells.into_iter().for_each(|(cell, place, within)| nexts[cell] = begins[place] + within);
        let length = series.iter().map(|(_, length)| length).sum();
        let mut arrivals = Vec::with_capacity(length);
        arena::ask_for_large_pages(&mut arrivals);
        arrivals.resize(length, Arrival::default());
        open.arrivals.iter().for_each(|logged| {
            let next = &mut nexts[logged.cell as usize];
            arrivals[*next] = logged.arrival;
            *next += 1;
        });
        DayTraffic::new(series, arrivals)
    }
}
