//! Owns the hot loop beside reading: every request is guided (day, usage tier, context band) and added to its cell and
//! its series as soon as it is read; what turns out not to count is taken back. Knows no price.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::books::Books;
use crate::books::accounts::{StudioTerms, Timeline};
use crate::error::Result;
use crate::memory::Memory;
use crate::types::day::{Day, Instant};
use crate::types::meter::Slot;
use crate::types::request::{Facts, MethodKind};
use crate::types::piece::{Held, Piece};
use crate::types::tally::{Arrival, Cell, CellKey, GroupId, Lot, Overflow, SeriesKey, Tally, Traffic};
use crate::types::tier::{Channel, UsageTier};
use crate::types::usage::Usage;

/// What holds for all requests of a group.
struct Guide<'b> {
    facts: Arc<Facts<Box<str>>>,
    timeline: Timeline<'b>,
    /// Evidence against the books is looked for in inference that went well.
    is_evidence: bool,
    /// Where the group's last request went: so does the next one, as a rule.
    last: Option<(CellKey, u32)>,
}

/// The two sums of one thread. What is taken back stands in them below 0: their arithmetic wraps around, and comes out
/// right when all threads' are summed up, since each request that is taken back was added by one of them.
pub struct Tallier<'b> {
    books: &'b Books,
    studio_terms: &'b StudioTerms,
    usage_tier_flag: Option<UsageTier>,
    /// By group; None of those not met yet.
    guides: Vec<Option<Guide<'b>>>,
    /// Where in `open` a cell is: cells are large, and a table of small things is moved for less when it grows.
    places: HashMap<CellKey, u32, FixedState>,
    open: Vec<Open>,
    taken_back: HashMap<SeriesKey, Vec<Arrival>, FixedState>,
    /// What lists of arrivals take of memory, short ones that were left there aside.
    bytes: usize,
    /// Arrivals that are in the temporary file; whether they were taken back.
    spilled: Vec<(SeriesKey, bool, Piece)>,
    /// See [`Tally::everything`].
    everything: i128,
}

/// A cell that is being added to.
struct Open {
    key: CellKey,
    cell: Cell,
    /// Prompts above it are evidence against the books; in tokens.
    context_window: u64,
    /// A bit for each slot that an allowance fits (C8).
    allowance_slots: u64,
    /// The second with which the day begins.
    day_start: i64,
    arrivals: Vec<Arrival>,
    /// Of requests of which the log doesn't say when they were.
    undated: Vec<Arrival>,
}

/// A request as it goes to its cell.
#[derive(Clone, Copy, Debug)]
pub struct Tallied<'r> {
    pub at: Instant,
    pub day: Day,
    pub group: GroupId,
    pub no_id: bool,
    pub tokens_unknown: bool,
    pub undated: bool,
    pub usage: &'r Usage,
}

impl<'b> Tallier<'b> {
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
            places: HashMap::default(),
            open: Vec::new(),
            taken_back: HashMap::default(),
            bytes: 0,
            spilled: Vec::new(),
            everything: 0,
        }
    }

    /// Takes note of a group, before any of its requests is added.
    pub fn meet(&mut self, group: GroupId, facts: &Arc<Facts<Box<str>>>) {
        let group = group.0 as usize;
        if self.guides.len() <= group {
            self.guides.resize_with(group + 1, || None);
        }
        let (books, flag) = (self.books, self.usage_tier_flag);
        self.guides[group].get_or_insert_with(|| Guide::new(facts.clone(), books, flag));
    }

    /// Adds a request that counts, as far as is known.
    pub fn add(&mut self, request: &Tallied<'_>) {
        let open = self.open(request);
        let arrival = open.put(request, |sum, addend| *sum = sum.wrapping_add(addend));
        let arrivals = if request.undated { &mut open.undated } else { &mut open.arrivals };
        let grown = push(arrivals, arrival);
        self.bytes += grown;
        self.everything += everything(request.usage);
    }

    /// Takes back a request that was added, by this thread or another one.
    pub fn take_back(&mut self, request: &Tallied<'_>) {
        let open = self.open(request);
        let arrival = open.put(request, |sum, addend| *sum = sum.wrapping_sub(addend));
        let series = series_of(&open.key, request.undated);
        self.bytes += push(self.taken_back.entry(series).or_default(), arrival);
        self.everything -= everything(request.usage);
    }

    /// What arrivals take of memory that [`spill`](Tallier::spill) would free.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves all lists of arrivals that are worth it to the temporary file.
    pub fn spill(&mut self, memory: &Memory) -> Result<()> {
        let mut spilling = Spilling { memory, bytes: Vec::new(), written: self.spilled.len() };
        for Open { key, arrivals, undated, .. } in &mut self.open {
            spilling.spill(arrivals, series_of(key, false), false, &mut self.spilled)?;
            spilling.spill(undated, series_of(key, true), false, &mut self.spilled)?;
        }
        for (key, arrivals) in &mut self.taken_back {
            spilling.spill(arrivals, *key, true, &mut self.spilled)?;
        }
        self.bytes = 0;
        spilling.write(&mut self.spilled)
    }

    /// The cell a request goes to.
    pub fn cell(&mut self, request: &Tallied<'_>) -> CellKey {
        self.open(request).key
    }

    #[inline]
    fn open(&mut self, request: &Tallied<'_>) -> &mut Open {
        let guide = self.guides[request.group.0 as usize].as_mut().expect("groups are met first");
        let usage_tier = guide.timeline.at(request.at);
        let key = CellKey {
            day: request.day,
            group: request.group,
            usage_tier,
            context_band: self.books.prices.context_band(request.usage.prompt),
            terms: match guide.facts.channel {
                Channel::Api => usage_tier.terms(),
                Channel::AiStudio => self.studio_terms.at(request.at, usage_tier),
            },
        };
        let place = match guide.last {
            Some((last, place)) if last == key => place,
            _ => *self.places.entry(key).or_insert_with(|| {
                self.open.push(Open::new(self.books, guide, key));
                self.open.len() as u32 - 1
            }),
        };
        guide.last = Some((key, place));
        &mut self.open[place as usize]
    }
}

/// Appends an arrival; gives by how many bytes the list grew.
fn push(arrivals: &mut Vec<Arrival>, arrival: Arrival) -> usize {
    let before = arrivals.capacity();
    if arrivals.len() == before {
        // Half as much again: there are many lists, and what they reserve in vain is memory.
        arrivals.reserve_exact(arrivals.len() / 2 + 4);
    }
    arrivals.push(arrival);
    (arrivals.capacity() - before) * size_of::<Arrival>()
}

/// Lists of arrivals on their way to the temporary file, many in one write.
struct Spilling<'m> {
    memory: &'m Memory,
    bytes: Vec<u8>,
    /// Pieces whose place in the file is known; of those after them it is the place in `bytes`.
    written: usize,
}

impl Spilling<'_> {
    /// Of a shorter list the note where it is would take as much memory.
    const FEW: usize = 16;
    /// What is written, and later read, at once.
    const BYTES: usize = 1 << 20;

    fn spill(
        &mut self,
        arrivals: &mut Vec<Arrival>,
        key: SeriesKey,
        taken_back: bool,
        spilled: &mut Vec<(SeriesKey, bool, Piece)>,
    ) -> Result<()> {
        if arrivals.len() < Spilling::FEW {
            return Ok(());
        }
        for arrivals in std::mem::take(arrivals).chunks(Spilling::BYTES / Arrival::BYTES) {
            let piece = Piece {
                at: self.bytes.len() as u64,
                length: (arrivals.len() * Arrival::BYTES) as u32,
            };
            spilled.push((key, taken_back, piece));
            self.bytes.extend(arrivals.iter().flat_map(|arrival| arrival.bits().to_le_bytes()));
            if self.bytes.len() >= Spilling::BYTES {
                self.write(spilled)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, spilled: &mut [(SeriesKey, bool, Piece)]) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let at = self.memory.spill(&self.bytes)?;
        spilled[self.written..].iter_mut().for_each(|(_, _, piece)| piece.at += at);
        self.written = spilled.len();
        self.bytes.clear();
        Ok(())
    }
}

fn series_of(key: &CellKey, undated: bool) -> SeriesKey {
    SeriesKey { day: key.day, group: key.group, usage_tier: key.usage_tier, undated }
}

/// All that a request adds to any sum.
fn everything(usage: &Usage) -> i128 {
    let quantities: u64 = usage.quantities().iter().map(|(_, quantity)| quantity).sum();
    i128::from(1 + usage.total.unwrap_or(0) + usage.thoughts + quantities)
}

impl<'b> Guide<'b> {
    fn new(facts: Arc<Facts<Box<str>>>, books: &'b Books, usage_tier_flag: Option<UsageTier>) -> Guide<'b> {
        Guide {
            timeline: match facts.usage_tier {
                Some(usage_tier) => Timeline::Always(usage_tier),
                None => books.accounts.timeline(&facts.project_id, usage_tier_flag),
            },
            is_evidence: facts.status.went_well()
                && books.methods.find(facts.method).kind == MethodKind::Inference,
            last: None,
            facts,
        }
    }
}

impl Open {
    fn new(books: &Books, guide: &Guide<'_>, key: CellKey) -> Open {
        let base_model = books.base_model(&guide.facts, key.day);
        let known = books.models.find(base_model).filter(|_| guide.is_evidence);
        let fits = |slot: &Slot| books.allowances.find(base_model, slot.meter(), key.day).is_some();
        Open {
            key,
            cell: Cell::default(),
            context_window: known.and_then(|model| model.context_window).unwrap_or(u64::MAX),
            allowance_slots: Slot::all().filter(fits).fold(0, |slots, slot| slots | 1 << slot.0),
            day_start: key.day.start().seconds(),
            arrivals: Vec::new(),
            undated: Vec::new(),
        }
    }

    /// Puts a request's figures to the sums of the cell; gives its arrival.
    #[inline(always)]
    fn put(&mut self, request: &Tallied<'_>, put: impl Fn(&mut u64, u64)) -> Arrival {
        let (cell, usage) = (&mut self.cell, request.usage);
        let slots = usage.quantities().iter().fold(0, |slots, (slot, _)| slots | 1 << slot.0);
        put(&mut cell.requests, 1);
        put(&mut cell.requests_without_id, u64::from(request.no_id));
        put(&mut cell.requests_total_mismatch, u64::from(usage.total_mismatch));
        put(&mut cell.requests_tokens_unknown, u64::from(request.tokens_unknown));
        put(&mut cell.requests_above_context_window, u64::from(usage.prompt > self.context_window));
        put(&mut cell.requests_with_tool_tokens, u64::from(usage.tool > 0));
        put(&mut cell.requests_with_cached_tokens, u64::from(usage.cached > 0));
        put(&mut cell.requests_with_allowance, u64::from(self.allowance_slots & slots != 0));
        put(&mut cell.thoughts, usage.thoughts);
        put(&mut cell.total_tokens, usage.total.unwrap_or(0));
        for &(slot, quantity) in usage.quantities() {
            put(&mut cell.quantities[usize::from(slot.0)], quantity);
        }
        Arrival::new((request.at.seconds() - self.day_start) as u32, usage.prompt + usage.tool)
    }
}

/// The sums of all threads. No cell and no series is left of requests that were all taken back.
pub fn sum_up(talliers: Vec<Tallier<'_>>) -> std::result::Result<(Tally, Traffic), Overflow> {
    let everything: i128 = talliers.iter().map(|tallier| tallier.everything).sum();
    let everything = i64::try_from(everything).map_err(|_| Overflow)?;
    let mut tally = Tally { everything: everything as u64, ..Tally::default() };
    let mut traffic = Traffic::default();
    for tallier in talliers {
        for Open { key, cell, arrivals, undated, .. } in tallier.open {
            tally.cells.entry(key).or_default().merge(&cell);
            for (is_undated, arrivals) in [(false, arrivals), (true, undated)] {
                if !arrivals.is_empty() {
                    let lot = Lot { arrivals: Held::InMemory(arrivals), taken_back: false };
                    traffic.put(series_of(&key, is_undated), lot);
                }
            }
        }
        for (key, arrivals) in tallier.taken_back.into_iter().filter(|(_, arrivals)| !arrivals.is_empty()) {
            traffic.put(key, Lot { arrivals: Held::InMemory(arrivals), taken_back: true });
        }
        for (key, taken_back, piece) in tallier.spilled {
            traffic.put(key, Lot { arrivals: Held::Spilled(piece), taken_back });
        }
    }
    tally.cells.retain(|_, cell| cell.requests > 0);
    traffic.series.retain(|_, arrivals| {
        let (added, taken_back) = arrivals.count();
        added > taken_back
    });
    Ok((tally, traffic))
}
