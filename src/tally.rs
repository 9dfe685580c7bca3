//! Owns the hot loop after deduplication: every request that counts is guided (day, usage tier, context band) and added
//! to its cell and its series. Knows no price.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::books::Books;
use crate::books::accounts::{StudioTerms, Timeline};
use crate::mediate::row::{NO_ID, Row, TOKENS_UNKNOWN, TOTAL_MISMATCH, UNDATED};
use crate::types::cache::{CacheEvent, CacheUse};
use crate::types::day::Day;
use crate::types::meter::{Meter, Slot};
use crate::types::request::{Facts, MethodKind};
use crate::types::tally::{Arrival, Cell, CellKey, Groups, Overflow, SeriesKey, Span, Tally, Traffic, add};
use crate::types::tier::{Channel, UsageTier};

/// What holds for all requests of a group.
pub struct Guide<'b> {
    timeline: Timeline<'b>,
    channel: Channel,
    /// Evidence against the books is looked for in inference that went well.
    is_evidence: bool,
}

/// The guides of a run's groups, in their order.
pub fn guides<'b>(groups: &Groups, books: &'b Books, usage_tier_flag: Option<UsageTier>) -> Vec<Guide<'b>> {
    let guide = |facts: &Facts<Box<str>>| Guide {
        timeline: match facts.usage_tier {
            Some(usage_tier) => Timeline::Always(usage_tier),
            None => books.accounts.timeline(&facts.project_id, usage_tier_flag),
        },
        channel: facts.channel,
        is_evidence: facts.status.went_well()
            && books.methods.find(facts.method).kind == MethodKind::Inference,
    };
    groups.iter().map(guide).collect()
}

/// The two sums of one thread.
pub struct Tallier<'b> {
    books: &'b Books,
    groups: &'b Groups,
    guides: &'b [Guide<'b>],
    studio_terms: &'b StudioTerms,
    cache_events: Vec<CacheEvent>,
    /// Where in `open` a cell is: cells are large, and a table of small things is moved for less when it grows.
    places: HashMap<CellKey, u32, FixedState>,
    open: Vec<Open>,
    /// See [`Tally::everything`].
    everything: u64,
}

/// A cell that is being added to.
struct Open {
    key: CellKey,
    cell: Cell,
    /// Prompts above it are evidence against the books; in tokens.
    context_window: u64,
    /// A bit for each slot that an allowance fits (C8).
    allowance_slots: u64,
    arrivals: Vec<Arrival>,
    /// Of requests of which the log doesn't say when they were.
    undated: Vec<Arrival>,
    day_start: i64,
    span: Span,
}

impl<'b> Tallier<'b> {
    pub fn new(
        books: &'b Books,
        groups: &'b Groups,
        guides: &'b [Guide<'b>],
        studio_terms: &'b StudioTerms,
    ) -> Tallier<'b> {
        Tallier {
            books,
            groups,
            guides,
            studio_terms,
            cache_events: Vec::new(),
            places: HashMap::default(),
            open: Vec::new(),
            everything: 0,
        }
    }

    /// Adds a request that counts, of `day`; gives the cell it went to.
    pub fn add(&mut self, row: &Row<'_>, day: Day) -> Result<CellKey, Overflow> {
        let (total, thoughts, quantities) = row.usage();
        let (mut input, mut cached, mut tool, mut slots) = (0, 0, 0, 0u64);
        let mut everything = 1 + total + thoughts;
        // The sums by meter are needed before the cell is known, and few quantities are cheap to read twice.
        for (slot, quantity) in row.usage().2 {
            everything += quantity;
            match slot.meter() {
                Meter::Input => input += quantity,
                Meter::InputCached => cached += quantity,
                Meter::InputTool => tool += quantity,
                _ => slots |= 1 << slot.0,
            }
        }
        add(&mut self.everything, everything)?;
        let prompt = input + cached;
        let guide = &self.guides[row.group.0 as usize];
        let usage_tier = guide.timeline.at(row.at);
        let key = CellKey {
            day,
            group: row.group,
            usage_tier,
            context_band: self.books.prices.context_band(prompt),
            terms: match guide.channel {
                Channel::Api => usage_tier.terms(),
                Channel::AiStudio => self.studio_terms.at(row.at, usage_tier),
            },
        };
        if let Some(CacheUse { act, name, expires, tokens }) = row.cache() {
            let name = name.as_ref().into();
            let (at, group) = (row.at, row.group);
            self.cache_events.push(CacheEvent { at, act, name, expires, tokens, group, usage_tier });
        }
        let (books, groups) = (self.books, self.groups);
        let place = *self.places.entry(key).or_insert_with(|| {
            self.open.push(Open::new(books, groups, guide, key, Span::of(row.at)));
            self.open.len() as u32 - 1
        });
        let open = &mut self.open[place as usize];
        let cell = &mut open.cell;
        cell.requests += 1;
        cell.requests_without_id += u64::from(row.has(NO_ID));
        cell.requests_total_mismatch += u64::from(row.has(TOTAL_MISMATCH));
        cell.requests_tokens_unknown += u64::from(row.has(TOKENS_UNKNOWN));
        cell.requests_above_context_window += u64::from(prompt > open.context_window);
        cell.requests_with_tool_tokens += u64::from(tool > 0);
        cell.requests_with_cached_tokens += u64::from(cached > 0);
        cell.requests_with_allowance += u64::from(slots & open.allowance_slots != 0);
        cell.thoughts += thoughts;
        cell.total_tokens += total;
        for (slot, quantity) in quantities {
            cell.quantities[usize::from(slot.0)] += quantity;
        }
        let arrivals = if row.has(UNDATED) { &mut open.undated } else { &mut open.arrivals };
        arrivals.push(Arrival::new((row.at.seconds() - open.day_start) as u32, prompt + tool));
        open.span.merge(Span::of(row.at));
        Ok(key)
    }

    pub fn into_sums(self) -> (Tally, Traffic) {
        let mut tally =
            Tally { everything: self.everything, cache_events: self.cache_events, ..Tally::default() };
        let mut traffic = Traffic::default();
        for mut open in self.open {
            let key = open.key;
            let CellKey { day, group, usage_tier, .. } = key;
            tally.cells.insert(key, open.cell);
            for (undated, arrivals) in [(false, &mut open.arrivals), (true, &mut open.undated)] {
                if !arrivals.is_empty() {
                    let key = SeriesKey { day, group, usage_tier, undated };
                    traffic.series.entry(key).or_default().append(arrivals);
                }
            }
            tally.spans.entry(day).and_modify(|span| span.merge(open.span)).or_insert(open.span);
        }
        (tally, traffic)
    }
}

impl Open {
    fn new(books: &Books, groups: &Groups, guide: &Guide<'_>, key: CellKey, span: Span) -> Open {
        let facts = &groups[key.group.0 as usize];
        let base_model = books.base_model(facts, key.day);
        let known = books.models.find(base_model).filter(|_| guide.is_evidence);
        let fits = |slot: &Slot| books.allowances.find(base_model, slot.meter(), key.day).is_some();
        Open {
            key,
            cell: Cell::default(),
            context_window: known.and_then(|model| model.context_window).unwrap_or(u64::MAX),
            allowance_slots: Slot::all().filter(fits).fold(0, |slots, slot| slots | 1 << slot.0),
            arrivals: Vec::new(),
            undated: Vec::new(),
            day_start: key.day.start().seconds(),
            span,
        }
    }
}
