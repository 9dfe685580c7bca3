//! Owns the order of the stages and their threads: the page that explains the tool. Each stage is a function from nouns
//! to nouns; this file alone sees them all, and does none of their work.
//!
//! ```text
//! logs ─read─▶ requests ─┬─deal──▶ shards ║ ─settle─▶ doubled ─take back─▶ Tally, Traffic ─charge, measure─▶ days
//!                │       └─guide, tally─────────▶ sums ───────────────────────┘                  │
//!                └──── suspense ──────────╨───────────────────────────────── suspense ───────────┘
//! ```
//! The double line is the one barrier: which record of an identity counts can only be known when all were read. Nearly
//! all do, so each is added to the sums at once, and the few that don't count are taken back.
//!
//! A canonical line is read by the reader of plain lines or, if it isn't plain, by the strict decoder; what comes of it
//! is the same. What other shapes make of their items is for the strict decoder too.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::balance::{self, Records};
use crate::books::Books;
use crate::books::accounts::StudioTerms;
use crate::charge::{self, Rated};
use crate::error::{Error, Exit, Result};
use crate::evidence::{self, Warning};
use crate::mediate::dedupe::{self, Dealer, Dealt, Hand, IdentityKey, SHARDS, Settled};
use crate::mediate::groups::{AllGroups, SharedGroups};
use crate::mediate::row::{CACHE, NO_ID, Row, Shard, TOKENS_UNKNOWN, UNDATED, USAGE_MISSING};
use crate::quota::{self, Measured};
use crate::read::container::{Container, END_OF_STREAM, LONG_ROW, RAGGED_ROW};
use crate::read::lines::Block;
use crate::read::parts::{Before, Part, Parts};
use crate::read::shape::canonical::{self, Decoded, Decoder};
use crate::read::shape::plain::{Plain, PlainReader, Spellings};
use crate::read::shape::record::Record;
use crate::read::shape::value::Value;
use crate::read::shape::{self, Item, Items, NotRequest, Shape};
use crate::read::stream::Stream;
use crate::read::{Inputs, Progress, Reading, Settings};
use crate::suspense::{Refusal, Suspended};
use crate::tally::{Tallied, Tallier, sum_up};
use crate::types::cache::{CacheEvent, CacheUse};
use crate::types::carry::Carry;
use crate::types::charge::{Assumption, Resting};
use crate::types::day::{Day, Days, Instant, Window};
use crate::types::detail::{Detail, Kept, Place};
use crate::types::key::shown;
use crate::types::origin::{InputId, InputSummary};
use crate::types::reason::Reason;
use crate::types::request::{Facts, Status};
use crate::types::tally::{
    Arrival, Cell, CellKey, GroupId, Groups, Overflow, SeriesKey, Span, Tally, Traffic,
};
use crate::types::tier::UsageTier;
use crate::types::usage::Usage;
use crate::walk::{Plan, Walk, WalkedDay};

/// What a run is told besides its logs and books.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How inputs are read, and what they lack.
    pub settings: Settings,
    /// For projects without a timeline in the accounts file.
    pub usage_tier: Option<UsageTier>,
    /// The days to publish.
    pub window: Window,
    /// What days up to this one hand on is known, so of days before the window only later ones matter.
    pub known: Option<Day>,
    /// Keep each request, for a report of requests.
    pub detail: bool,
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
    /// Each request that counts, by day, when they are kept.
    pub kept: BTreeMap<Day, Vec<Kept>>,
    /// The last instant of a request, of all that were read.
    pub last_read: Option<Instant>,
}

impl Replay {
    /// Suspended lines that decide the exit code: with a window, those without a time are told and decide nothing.
    pub fn deciding_lines(&self, window: Window) -> u64 {
        self.suspended.iter().filter(|line| line.day.is_some() || window.is_open()).count() as u64
    }
}

/// One day, rated and measured.
#[derive(Debug)]
pub struct DayReport<'r> {
    pub day: Day,
    pub cells: Vec<(&'r CellKey, &'r Cell)>,
    pub series: Vec<(&'r SeriesKey, &'r Vec<Arrival>)>,
    pub rated: Rated<'r>,
    pub measured: Measured<'r>,
    /// What it took over and hands on.
    pub walked: WalkedDay<'r>,
    /// Hash of the carry that the day began with; None where it began empty.
    pub carry_before: Option<String>,
    /// Requests by what is warned of.
    pub warnings: BTreeMap<Warning, u64>,
}

/// Reads logs into sums. Both the lines and, later, the quantities are accounted for, or there is no result.
pub fn replay(inputs: &Inputs, books: &Books, options: &Options, progress: &Arc<Progress>) -> Result<Replay> {
    let all_groups = AllGroups::default();
    let studio_terms = books.accounts.studio_terms(options.usage_tier);
    let mut read = read(inputs, books, &studio_terms, options, progress, &all_groups)?;
    let groups = all_groups.into_groups();

    let settled: Vec<Settling<'_>> = (0..SHARDS)
        .into_par_iter()
        .try_fold(
            || Settling::new(books, &studio_terms, options),
            |mut settling, shard| {
                if progress.stop.load(Ordering::Relaxed) {
                    return Err(interrupted());
                }
                let shards: Vec<&Shard> = read.threads.iter().map(|thread| &thread.shards[shard]).collect();
                settling.settle(&shards, &groups, &read);
                Ok(settling)
            },
        )
        .collect::<Result<_>>()?;

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
        for (day, span) in settling.spans {
            spans.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
        }
    }
    for thread in &mut read.threads {
        thread.shards = Vec::new();
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
        groups: groups.into_iter().map(Arc::unwrap_or_clone).collect(),
        tally,
        traffic,
        kept,
        last_read,
    })
}

/// The days that have requests or suspended lines, ascending; days before the window as far as they are summed.
pub fn days_seen(replay: &Replay) -> Vec<Day> {
    let mut days: BTreeSet<Day> = replay.tally.cells.keys().map(|key| key.day).collect();
    days.extend(replay.suspended.iter().filter_map(|line| line.day));
    days.into_iter().collect()
}

/// Applies the books to the sums, day by day: a report for each day that `plan` publishes. `carries` are those of the
/// published days that it takes over; `usage_tier` is that of projects without a timeline.
pub fn rate<'r>(
    replay: &'r Replay,
    books: &'r Books,
    plan: &Plan,
    carries: &'r BTreeMap<Day, Carry<String>>,
    usage_tier: Option<UsageTier>,
) -> Result<Vec<DayReport<'r>>> {
    let mut cells: BTreeMap<Day, Vec<(&CellKey, &Cell)>> = BTreeMap::new();
    for (key, cell) in &replay.tally.cells {
        cells.entry(key.day).or_default().push((key, cell));
    }
    let mut series: BTreeMap<Day, Vec<(&SeriesKey, &Vec<Arrival>)>> = BTreeMap::new();
    for (key, arrivals) in &replay.traffic.series {
        series.entry(key.day).or_default().push((key, arrivals));
    }
    let mut events: BTreeMap<Day, Vec<&CacheEvent>> = BTreeMap::new();
    for event in &replay.tally.cache_events {
        events.entry(event.at.day()).or_default().push(event);
    }
    // What a day's requests cost and took of quota depends on no other day.
    let mut of_days: BTreeMap<Day, (Rated<'r>, Measured<'r>)> = cells
        .par_iter()
        .filter(|(day, _)| **day >= plan.begin)
        .map(|(day, cells)| {
            let rated = charge::rate(*day, cells, &replay.groups, books)?;
            let series = series.get(day).map_or(&[][..], Vec::as_slice);
            Ok((*day, (rated, quota::measure(*day, series, &replay.groups, books))))
        })
        .collect::<Result<_>>()?;
    let mut walk = Walk::new(&replay.groups, books, usage_tier);
    let mut carry_before = None;
    let mut reports = Vec::new();
    for day in plan.days() {
        let (mut rated, measured) = of_days.remove(&day).unwrap_or_default();
        let cells = cells.remove(&day).unwrap_or_default();
        if let Some(carry) = carries.get(&day.previous()) {
            walk.take_over(carry);
            carry_before = Some(carry.hash());
        }
        let events = events.remove(&day).unwrap_or_default();
        if !plan.publishes(day) {
            walk.pass(day, events, &mut rated)?;
            carry_before = plan.publishes(day.next()).then(|| walk.carry(day).hash());
            continue;
        }
        let walked = walk.day(day, &cells, events, &mut rated)?;
        // Q6. That throttled requests don't count against quota is assumed; no money rests on it.
        let throttled = measured.quota.values().map(|row| row.requests_throttled).sum();
        if throttled > 0 {
            let resting = Resting { requests: throttled, ..Resting::NOTHING };
            rated.rest_on(Assumption::ThrottledInRpd, resting)?;
        }
        let mut warnings = evidence::warnings(day, &cells, &replay.groups, books);
        let requests: u64 = cells.iter().map(|(_, cell)| cell.requests).sum();
        if day == plan.first && plan.carry_missing && requests > 0 {
            warnings.insert(Warning::CarryMissing, requests);
        }
        let next = walked.carry.hash();
        let series = series.remove(&day).unwrap_or_default();
        let report = DayReport { day, cells, series, rated, measured, walked, carry_before, warnings };
        carry_before = Some(next);
        reports.push(report);
    }
    Ok(reports)
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

/// What reading leaves, before the barrier.
struct Read<'b> {
    threads: Vec<Thread<'b>>,
    inputs: Vec<InputSummary>,
    /// Lines before each block, by input: its index and their number, ascending.
    lines_before: Vec<Vec<(u32, u64)>>,
    records: Records,
}

/// What one thread has read.
#[derive(Default)]
struct Thread<'b> {
    /// What was dealt and, as far as is known, counts.
    shards: Vec<Shard>,
    tallier: Option<Tallier<'b>>,
    refused: Vec<Noted>,
    /// Requests without usage, which another record of their identity may have.
    missing: Vec<Noted>,
    /// Input, block and its lines.
    blocks: Vec<(InputId, u32, u64)>,
    records: Records,
    last_read: Option<Instant>,
}

/// A line to be suspended, whose number is known within its block until all blocks are counted.
#[derive(Clone)]
struct Noted {
    block: u32,
    suspended: Suspended,
}

impl Read<'_> {
    fn kept(&self, row: &Row<'_>, cell: CellKey) -> Kept {
        let (request_id, detail, place) = Detail::decode(row.detail());
        let name = |name: &str| (!name.is_empty()).then(|| shown(name).into());
        let usage = row.usage();
        let before = self.lines_before(place.input, place.block);
        Kept {
            at: row.at,
            cell,
            input: place.input,
            line: before + u64::from(place.line),
            request_id: name(&request_id),
            api_key_id: name(&detail.api_key_id),
            region: name(&detail.region),
            latency_ms: detail.latency_ms.split('.').next().and_then(|whole| whole.parse().ok()),
            labels: name(&detail.labels),
            total_tokens: usage.total.unwrap_or(0),
            thoughts: usage.thoughts,
            quantities: usage.quantities().into(),
        }
    }

    fn with_line(&self, noted: Noted) -> Suspended {
        let before = self.lines_before(noted.suspended.input, noted.block);
        Suspended { line: before + noted.suspended.line, ..noted.suspended }
    }

    fn lines_before(&self, input: InputId, block: u32) -> u64 {
        let blocks = &self.lines_before[input.0 as usize];
        let place = blocks.partition_point(|(index, _)| *index < block);
        blocks.get(place).map_or(0, |(_, before)| *before)
    }
}

/// Inputs that wait, and those being read: a thread takes the next block of a stream that no other thread is reading,
/// else opens the next input, else waits. So threads share one large file and spread over many packed ones. An input
/// whose items must be read in their order is one thread's alone.
struct Sources<'s> {
    waiting: Mutex<std::vec::IntoIter<InputId>>,
    open: Mutex<Vec<Arc<Mutex<Option<Stream>>>>>,
    ended: Mutex<Vec<(InputId, Stream)>>,
    inputs: &'s Inputs,
    settings: &'s Settings,
    progress: &'s Arc<Progress>,
    /// An input can't be read: nobody need go on.
    failed: AtomicBool,
}

/// What a thread is given to do.
enum Next {
    Block,
    InOrder(Box<Stream>),
    Nothing,
}

impl Sources<'_> {
    /// Fills `block` with lines that nobody has yet, or gives an input that one thread reads.
    fn next(&self, block: &mut Block) -> Result<Next> {
        let next = self.find_next(block);
        if next.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        next
    }

    fn find_next(&self, block: &mut Block) -> Result<Next> {
        while !self.failed.load(Ordering::Relaxed) {
            let open: Vec<_> = self.open.lock().expect("no thread panicked").clone();
            for source in &open {
                if let Ok(mut stream) = source.try_lock()
                    && self.advance(source, &mut stream, block)?
                {
                    return Ok(Next::Block);
                }
            }
            let waiting = self.waiting.lock().expect("no thread panicked").next();
            if let Some(id) = waiting {
                let input = &self.inputs.list[id.0 as usize];
                let (threads, progress) = (rayon::current_num_threads(), self.progress.clone());
                let mut streams = Stream::open(id, input, self.settings, threads, progress)?;
                if let Some(stream) = streams.pop_if(|stream| stream.is_in_order()) {
                    return Ok(Next::InOrder(Box::new(stream)));
                }
                let streams = streams.into_iter().map(|stream| Arc::new(Mutex::new(Some(stream))));
                self.open.lock().expect("no thread panicked").extend(streams);
                continue;
            }
            let Some(source) = open.first() else {
                if self.open.lock().expect("no thread panicked").is_empty() {
                    return Ok(Next::Nothing);
                }
                continue;
            };
            let mut stream = source.lock().expect("no thread panicked");
            if self.advance(source, &mut stream, block)? {
                return Ok(Next::Block);
            }
        }
        Ok(Next::Nothing)
    }

    /// Takes the next block of a stream, or closes it at its end.
    fn advance(
        &self,
        source: &Arc<Mutex<Option<Stream>>>,
        stream: &mut Option<Stream>,
        block: &mut Block,
    ) -> Result<bool> {
        let Some(open) = stream else { return Ok(false) };
        if open.next(block)? {
            return Ok(true);
        }
        if let Some(ended) = stream.take() {
            self.close(ended);
        }
        self.open.lock().expect("no thread panicked").retain(|other| !Arc::ptr_eq(other, source));
        Ok(false)
    }

    fn close(&self, ended: Stream) {
        self.ended.lock().expect("no thread panicked").push((ended.input(), ended));
    }
}

fn read<'b>(
    inputs: &Inputs,
    books: &'b Books,
    studio_terms: &'b StudioTerms,
    options: &Options,
    progress: &Arc<Progress>,
    groups: &AllGroups,
) -> Result<Read<'b>> {
    let unique =
        (0..inputs.list.len() as u32).map(InputId).filter(|id| inputs.list[id.0 as usize].same_as.is_none());
    let sources = Sources {
        waiting: Mutex::new(unique.collect::<Vec<_>>().into_iter()),
        open: Mutex::default(),
        ended: Mutex::default(),
        inputs,
        settings: &options.settings,
        progress,
        failed: AtomicBool::new(false),
    };
    let decoder = Decoder::new(&books.methods, &options.settings.defaults);
    let key = IdentityKey::new();
    let threads = rayon::broadcast(|_| {
        let tallier = Tallier::new(books, studio_terms, options.usage_tier);
        let mut reader = Reader::new(&decoder, books, options, groups, Dealer::new(key), tallier);
        let mut block = Block::default();
        let read = |reader: &mut Reader<'_, 'b>, block: &Block| {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(interrupted());
            }
            let lines = reader.read_block(block);
            progress.lines.fetch_add(lines, Ordering::Relaxed);
            Ok(())
        };
        loop {
            match sources.next(&mut block)? {
                Next::Block => read(&mut reader, &block)?,
                Next::InOrder(mut stream) => {
                    while stream.next(&mut block)? {
                        read(&mut reader, &block)?;
                    }
                    reader.end_parts(&stream);
                    sources.close(*stream);
                }
                Next::Nothing => break,
            }
        }
        Ok(reader.finish())
    });
    let threads = threads.into_iter().collect::<Result<Vec<Thread<'_>>>>()?;

    let mut records = Records::default();
    let mut lines_before: Vec<Vec<(u32, u64)>> = vec![Vec::new(); inputs.list.len()];
    let mut blocks: Vec<_> = threads.iter().flat_map(|thread| &thread.blocks).collect();
    blocks.sort_unstable();
    let mut lines = vec![0; inputs.list.len()];
    for (input, index, count) in blocks {
        lines_before[input.0 as usize].push((*index, lines[input.0 as usize]));
        lines[input.0 as usize] += count;
    }
    for thread in &threads {
        records.add(&thread.records);
    }
    let mut summaries: Vec<Option<InputSummary>> = vec![None; inputs.list.len()];
    for (id, stream) in sources.ended.into_inner().expect("no thread panicked") {
        if let Some(summary) = stream.finish(lines[id.0 as usize])? {
            summaries[id.0 as usize] = Some(summary);
        }
    }
    let mut inputs_read: Vec<InputSummary> = Vec::new();
    for (input, summary) in inputs.list.iter().zip(summaries) {
        let summary = match (summary, &input.same_as) {
            (Some(summary), _) => summary,
            (None, same_as) => {
                let first = inputs_read.iter().find(|read| Some(&read.name) == same_as.as_ref());
                let mut copy =
                    first.cloned().ok_or_else(|| Error::new(format!("{}: it was not read", input.name)))?;
                (copy.name, copy.lines, copy.same_as) = (input.name.clone(), 0, same_as.clone());
                copy
            }
        };
        inputs_read.push(summary);
    }
    Ok(Read { threads, inputs: inputs_read, lines_before, records })
}

/// One thread while it reads.
struct Reader<'r, 'b> {
    thread: Thread<'b>,
    decoder: &'r Decoder<'r>,
    plain: PlainReader,
    spellings: Spellings<Known>,
    groups: &'r AllGroups,
    dealer: Dealer,
    tallier: Tallier<'b>,
    days: Days,
    books: &'b Books,
    options: &'r Options,
    /// Requests of the input that is read in order, whose chunks may still come.
    parts: Parts,
    /// What is used again for each line.
    usage: Usage,
    items: Items,
    text: String,
}

/// What is known of plain lines of one spelling.
#[derive(Clone, Copy)]
struct Known {
    group: GroupId,
    status: Status,
    /// Requests of other methods have none.
    has_tokens: bool,
    is_live: bool,
}

impl<'r, 'b> Reader<'r, 'b> {
    fn new(
        decoder: &'r Decoder<'r>,
        books: &'b Books,
        options: &'r Options,
        groups: &'r AllGroups,
        dealer: Dealer,
        tallier: Tallier<'b>,
    ) -> Reader<'r, 'b> {
        Reader {
            thread: Thread::default(),
            decoder,
            plain: PlainReader::default(),
            spellings: Spellings::default(),
            groups,
            dealer,
            tallier,
            days: Days::default(),
            books,
            options,
            parts: Parts::default(),
            usage: Usage::default(),
            items: Items::default(),
            text: String::new(),
        }
    }

    fn finish(self) -> Thread<'b> {
        Thread { shards: self.dealer.into_shards(), tallier: Some(self.tallier), ..self.thread }
    }

    /// Decodes, deals and adds up the lines of a block; gives their number.
    fn read_block(&mut self, block: &Block) -> u64 {
        let max_line = self.options.settings.max_line;
        let is_canonical = block.reading.is_some_and(is_canonical);
        let (bytes, end) = (block.bytes_and_margin(), block.bytes().len());
        let (mut number, mut at) = (0, 0);
        let mut too_long = block.first_too_long;
        while at < end || too_long {
            number += 1;
            if is_canonical
                && !too_long
                && let Some(length) = self.read_plain(&bytes[at..], end - at, At::from(block).place(number))
            {
                at += length;
                continue;
            }
            let rest = &bytes[at..end];
            let newline = memchr::memchr(b'\n', rest);
            let line = &rest[..newline.unwrap_or(rest.len())];
            // A line is as long with CRLF as without.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at += newline.map_or(rest.len(), |newline| newline + 1);
            if too_long || line.len() > max_line {
                too_long = false;
                let detail = format!("the line has more than {max_line} bytes");
                self.refuse(block.into(), number, Refusal::of_line(Reason::LineTooLong, detail));
            } else {
                number = self.read_line(line, block, number);
            }
        }
        if let Some((reason, why)) = &block.ended_by {
            number += 1;
            self.refuse(block.into(), number, Refusal::of_line(*reason, why.as_str()));
        }
        self.thread.records.lines += number;
        self.thread.blocks.push((block.input, block.index, number));
        number
    }

    /// Reads the line with which `bytes` begins if it is plain and its spelling is known; gives its length with the
    /// newline.
    fn read_plain(&mut self, bytes: &[u8], end: usize, place: Place) -> Option<usize> {
        let mut plain = self.plain.read(bytes, end)?;
        if plain.line.len() > self.options.settings.max_line {
            return None;
        }
        let known = match self.spellings.find(self.plain.spelling()) {
            Some(known) => known,
            None => self.learn(&plain)?,
        };
        let mut usage = std::mem::take(&mut self.usage);
        let dealt = if known.has_tokens {
            plain.counts.thoughts_outside |= known.is_live;
            usage.fill(&plain.counts).ok()?;
            Dealt::Usage(Some(&usage))
        } else {
            Dealt::Usage(None)
        };
        let project_id = match (plain.project_id, &self.options.settings.defaults.project) {
            ([], Some(project)) => project.as_bytes(),
            (project_id, _) => project_id,
        };
        self.deal(&Hand {
            at: plain.at,
            request_id: plain.request_id,
            project_id,
            status: known.status,
            group: known.group,
            usage: dealt,
            tokens_unknown: false,
            undated: false,
            detail: self.options.detail.then(|| (plain.detail(), place)),
        });
        self.usage = usage;
        let line_end = &bytes[plain.line.len()..end];
        let newline = match line_end {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        Some(plain.line.len() + newline)
    }

    /// Learns from a plain line what all of its spelling are. None of those that need the strict decoder each.
    fn learn(&mut self, plain: &Plain<'_>) -> Option<Known> {
        let Decoded::Request(request) = self.decoder.decode(plain.line) else { return None };
        if request.usage_missing {
            return None;
        }
        let known = Known {
            group: self.meet(&request.facts),
            status: request.facts.status,
            has_tokens: request.usage.is_some(),
            is_live: self.books.methods.find(request.facts.method).is_live(),
        };
        self.spellings.learn(self.plain.spelling(), known);
        Some(known)
    }

    fn meet(&mut self, facts: &Facts<Cow<'_, str>>) -> GroupId {
        let (group, facts) = self.groups.meet(facts);
        self.tallier.meet(group, &facts);
        group
    }

    /// Reads a line, of which `number` is its first item's; gives the number of its last.
    fn read_line(&mut self, line: &[u8], block: &Block, number: u64) -> u64 {
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            self.thread.records.blank += 1;
            return number;
        }
        match block.reading {
            Some(reading) if is_canonical(reading) => {
                let decoded = told_apart(self.decoder.decode(line), line);
                self.take(decoded, block.into(), number, None);
                number
            }
            Some(reading) => self.read_items(line, block, reading, number),
            None => unreachable!("an input that isn't told has no lines"),
        }
    }

    /// Reads a line of a shape that isn't the canonical one as it is.
    fn read_items(&mut self, line: &[u8], block: &Block, reading: Reading, number: u64) -> u64 {
        let Reading { container, shape, is_row } = reading;
        let row_refused = match line {
            END_OF_STREAM => {
                self.parts.end_stream();
                self.thread.records.blank += 1;
                return number;
            }
            RAGGED_ROW => Some((Reason::MalformedJson, "the row has more or fewer cells than the header")),
            LONG_ROW => Some((Reason::LineTooLong, "the row is longer than --max-line")),
            _ => None,
        };
        if let Some((reason, detail)) = row_refused {
            self.refuse(block.into(), number, Refusal::of_line(reason, detail));
            return number;
        }
        let value = match is_row {
            true => Value::read_row(line, &shape.fields, shape.cells),
            false => Value::read(line, &shape.fields),
        };
        let value = match value {
            Ok(value) => value,
            Err(refusal) => {
                self.refuse(block.into(), number, refusal);
                return number;
            }
        };
        let mut items = std::mem::take(&mut self.items);
        if shape.is_own(&value) {
            shape.read_item(&value, &mut items);
            if items.list.is_empty() {
                items.not_request(NotRequest::Event);
            }
        } else {
            items.refuse(Reason::OtherShape, of_other_shape(line, is_row));
        }
        let mut last = number - 1;
        for item in items.list.drain(..) {
            last += 1;
            match item {
                Item::Request(record) => self.judge(&record, block.into(), last, Some(shape)),
                Item::Part(None, record) if container != Container::Sse => {
                    self.judge(&record, block.into(), last, Some(shape));
                }
                Item::Part(id, record) => {
                    match self.parts.add(id, Part { record, block: block.index, line: last }) {
                        Before::None => {}
                        Before::Same => self.thread.records.duplicates += 1,
                        Before::Superseded => self.thread.records.superseded += 1,
                    }
                }
                Item::NotRequest(kind) => {
                    *self.thread.records.not_requests.entry(kind.name()).or_default() += 1;
                }
                Item::Refused(reason, detail) => {
                    self.refuse(block.into(), last, Refusal::of_line(reason, detail));
                }
            }
        }
        self.items = items;
        last
    }

    /// Judges the requests of an input that came in parts, now that it has ended.
    fn end_parts(&mut self, stream: &Stream) {
        for Part { record, block, line } in self.parts.take() {
            let at = At { input: stream.input(), block };
            self.judge(&record, at, line, stream.shape());
        }
    }

    fn judge(&mut self, record: &Record, at: At, number: u64, shape: Option<&Shape>) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        record.write(&mut text);
        let mut decoded = self.decoder.decode(text.as_bytes());
        if let (Decoded::Refused(refusal), Some(shape)) = (&mut decoded, shape) {
            refusal.detail = shape.in_own_words(std::mem::take(&mut refusal.detail), refusal.reason);
        }
        self.take(decoded, at, number, Some(record));
        self.text = text;
    }

    /// Counts what a record was found to be; `made` is what a shape knows beside it.
    fn take(&mut self, decoded: Decoded<'_>, at: At, number: u64, made: Option<&Record>) {
        match decoded {
            Decoded::Request(mut request) => {
                if let Some(made) = made {
                    made.complete(&mut request, self.books);
                }
                let usage = match &request.cache {
                    _ if request.usage_missing => Dealt::Missing(self.thread.missing.len() as u64),
                    Some(cache) => Dealt::Cache(cache),
                    None => Dealt::Usage(request.usage.as_ref()),
                };
                let group = self.meet(&request.facts);
                self.deal(&Hand {
                    at: request.at,
                    request_id: request.request_id.as_deref().unwrap_or_default().as_bytes(),
                    project_id: request.facts.project_id.as_bytes(),
                    status: request.facts.status,
                    group,
                    usage,
                    tokens_unknown: request.tokens_unknown,
                    undated: request.undated,
                    detail: self.options.detail.then_some((request.detail, at.place(number))),
                });
                if request.usage_missing {
                    let refusal = Refusal {
                        reason: Reason::MissingUsage,
                        detail: "there is neither usageMetadata nor quantities".to_string(),
                        at: Some(request.at),
                        request_id: request.request_id,
                        project_id: Some(request.facts.project_id),
                        model: Some(request.facts.model),
                    };
                    self.thread.missing.push(note(at, number, refusal));
                }
            }
            Decoded::NotRequest(kind) => {
                *self.thread.records.not_requests.entry(kind.name()).or_default() += 1;
            }
            Decoded::Refused(refusal) => self.refuse(at, number, *refusal),
        }
    }

    /// Deals a request into its shard and, if its day is summed, adds it to its cell.
    fn deal(&mut self, hand: &Hand<'_>) {
        self.thread.last_read = self.thread.last_read.max(Some(hand.at));
        self.dealer.deal(hand);
        let usage = match hand.usage {
            Dealt::Usage(Some(usage)) => usage,
            Dealt::Usage(None) | Dealt::Cache(_) => &Usage::NONE,
            Dealt::Missing(_) => return,
        };
        let day = self.days.of(hand.at);
        let records = &mut self.thread.records;
        let inside = self.options.window.contains(day);
        *if inside { &mut records.requests } else { &mut records.outside_window } += 1;
        if self.options.sums(day) {
            self.tallier.add(&Tallied {
                at: hand.at,
                day,
                group: hand.group,
                no_id: hand.request_id.is_empty(),
                tokens_unknown: hand.tokens_unknown,
                undated: hand.undated,
                usage,
            });
        }
    }

    fn refuse(&mut self, at: At, number: u64, refusal: Refusal<'_>) {
        self.thread.refused.push(note(at, number, refusal));
    }
}

/// Lines are canonical records as they are.
fn is_canonical(reading: Reading) -> bool {
    !reading.is_row && matches!(reading.shape.read, shape::Read::AsItIs(_))
}

/// The block that a line stands in.
#[derive(Clone, Copy)]
struct At {
    input: InputId,
    block: u32,
}

impl From<&Block> for At {
    fn from(block: &Block) -> At {
        At { input: block.input, block: block.index }
    }
}

impl At {
    fn place(self, number: u64) -> Place {
        Place { input: self.input, block: self.block, line: number as u32 }
    }
}

/// A line that the canonical record refuses may be of another shape; that it lacks a field says nothing then.
fn told_apart<'line>(decoded: Decoded<'line>, line: &[u8]) -> Decoded<'line> {
    match decoded {
        Decoded::Refused(refusal) if refusal.reason >= Reason::MissingField => {
            match Value::sketch(line, false).ok().and_then(|sketch| Shape::tell(&sketch)) {
                Some(shape) if shape.name != canonical::SHAPE.name => {
                    let refusal = Refusal::of_line(Reason::OtherShape, of_other_shape(line, false));
                    Decoded::Refused(Box::new(refusal))
                }
                _ => Decoded::Refused(refusal),
            }
        }
        decoded => decoded,
    }
}

/// What a message says of an item that isn't of its input's shape.
fn of_other_shape(line: &[u8], is_row: bool) -> String {
    let Ok(sketch) = Value::sketch(line, is_row) else {
        return "the item is of another shape".to_string();
    };
    match Shape::tell(&sketch) {
        Some(shape) => format!("the item is one of {}", shape.title),
        None => format!("the item is {}; no shape has that", sketch.described()),
    }
}

fn note(at: At, line: u64, refusal: Refusal<'_>) -> Noted {
    let name = |name: Option<std::borrow::Cow<'_, str>>| name.map(|name| shown(&name).into_owned());
    let suspended = Suspended {
        day: refusal.at.map(Instant::day),
        input: at.input,
        line,
        reason: refusal.reason,
        detail: refusal.detail,
        request_id: name(refusal.request_id),
        project_id: name(refusal.project_id),
        model: name(refusal.model).filter(|model| !model.is_empty()),
    };
    Noted { block: at.block, suspended }
}

/// What a thread makes of the shards that it settles.
struct Settling<'b> {
    /// Only takes back.
    tallier: Tallier<'b>,
    options: &'b Options,
    days: Days,
    records: Records,
    requests_taken_back: u64,
    outside_taken_back: u64,
    spans: BTreeMap<Day, Span>,
    cache_events: Vec<CacheEvent>,
    kept: BTreeMap<Day, Vec<Kept>>,
    suspended: Vec<Suspended>,
}

impl<'b> Settling<'b> {
    fn new(books: &'b Books, studio_terms: &'b StudioTerms, options: &'b Options) -> Settling<'b> {
        Settling {
            tallier: Tallier::new(books, studio_terms, options.usage_tier),
            options,
            days: Days::default(),
            records: Records::default(),
            requests_taken_back: 0,
            outside_taken_back: 0,
            spans: BTreeMap::new(),
            cache_events: Vec::new(),
            kept: BTreeMap::new(),
            suspended: Vec::new(),
        }
    }

    fn settle(&mut self, shards: &[&Shard], groups: &SharedGroups, read: &Read<'_>) {
        dedupe::settle(shards, groups, |settled| match settled {
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
        });
    }

    /// Of a request that counts: notes when it was, what it did to a cache, and all of it when requests are kept.
    fn count(&mut self, row: &Row<'_>, groups: &SharedGroups, read: &Read<'_>) {
        let day = self.days.of(row.at);
        if !self.options.sums(day) {
            return;
        }
        let span = Span::of(row.at);
        self.spans.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
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
    fn take_back(&mut self, row: &Row<'_>, groups: &SharedGroups) {
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

    fn tallier(&mut self, row: &Row<'_>, groups: &SharedGroups) -> &mut Tallier<'b> {
        self.tallier.meet(row.group, &groups[row.group.0 as usize]);
        &mut self.tallier
    }
}

fn tallied<'u>(row: &Row<'_>, day: Day, usage: &'u Usage) -> Tallied<'u> {
    Tallied {
        at: row.at,
        day,
        group: row.group,
        no_id: row.has(NO_ID),
        tokens_unknown: row.has(TOKENS_UNKNOWN),
        undated: row.has(UNDATED),
        usage,
    }
}
