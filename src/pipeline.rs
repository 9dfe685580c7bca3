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
//! A line is read by the reader of plain lines or, if it isn't plain, by the strict decoder; what comes of it is the same.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::balance::{self, Records};
use crate::books::Books;
use crate::charge::{self, Rated};
use crate::error::{Error, Exit, Result};
use crate::evidence::{self, Warning};
use crate::mediate::dedupe::{self, Dealer, Dealt, Hand, IdentityKey, SHARDS, Settled};
use crate::mediate::groups::{AllGroups, SharedGroups};
use crate::mediate::row::{NO_ID, Row, Shard, USAGE_MISSING};
use crate::quota::{self, Measured};
use crate::read::lines::{Block, Stream};
use crate::read::shape::canonical::{Decoded, Decoder};
use crate::read::shape::plain::{Plain, PlainReader, Spellings};
use crate::read::{Inputs, Progress};
use crate::suspense::{Refusal, Suspended};
use crate::tally::{Tallied, Tallier, sum_up};
use crate::types::day::{Day, Days, Instant};
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

/// What a run is told besides its logs and books.
#[derive(Debug, Clone)]
pub struct Options {
    /// For lines without a project.
    pub project: Option<String>,
    /// For projects without a timeline in the accounts file.
    pub usage_tier: Option<UsageTier>,
    /// For times without an offset.
    pub time_zone: Option<jiff::tz::TimeZone>,
    pub window: Window,
    /// The longest line that is read, in bytes.
    pub max_line: usize,
    /// Keep each request, for a report of requests.
    pub detail: bool,
}

/// The longest line that is read, if nobody says otherwise.
pub const LONGEST_LINE: usize = 64 << 20;

impl Default for Options {
    fn default() -> Options {
        Options {
            project: None,
            usage_tier: None,
            time_zone: None,
            window: Window::default(),
            max_line: LONGEST_LINE,
            detail: false,
        }
    }
}

/// The days that are asked for, both inclusive; an end left out is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub from: Option<Day>,
    pub to: Option<Day>,
}

impl Window {
    pub fn contains(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    pub fn is_open(&self) -> bool {
        *self == Window::default()
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
    pub rated: Rated<'r>,
    pub measured: Measured<'r>,
    /// Requests by what is warned of.
    pub warnings: BTreeMap<Warning, u64>,
}

/// Reads logs into sums. Both the lines and, later, the quantities are accounted for, or there is no result.
pub fn replay(inputs: &Inputs, books: &Books, options: &Options, progress: &Arc<Progress>) -> Result<Replay> {
    let all_groups = AllGroups::default();
    let mut read = read(inputs, books, options, progress, &all_groups)?;
    let groups = all_groups.into_groups();

    let settled: Vec<Settling<'_>> = (0..SHARDS)
        .into_par_iter()
        .try_fold(
            || Settling::new(books, options),
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
    let mut talliers: Vec<Tallier<'_>> =
        read.threads.iter_mut().filter_map(|thread| thread.tallier.take()).collect();
    for settling in settled {
        talliers.push(settling.tallier);
        records.add(&settling.records);
        records.requests -= settling.requests_taken_back;
        records.outside_window -= settling.outside_taken_back;
        suspended.extend(settling.suspended);
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
    tally.spans = spans;
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

/// Applies the books to the sums: a report for each day with requests or suspended lines, and for each of `empty` too.
pub fn rate<'r>(replay: &'r Replay, books: &'r Books, empty: &[Day]) -> Result<Vec<DayReport<'r>>> {
    let mut days: BTreeSet<Day> = replay.tally.cells.keys().map(|key| key.day).collect();
    days.extend(replay.suspended.iter().filter_map(|line| line.day));
    days.extend(empty);
    let mut cells: BTreeMap<Day, Vec<(&CellKey, &Cell)>> = BTreeMap::new();
    for cell in &replay.tally.cells {
        cells.entry(cell.0.day).or_default().push(cell);
    }
    let mut series: BTreeMap<Day, Vec<(&SeriesKey, &Vec<Arrival>)>> = BTreeMap::new();
    for of_series in &replay.traffic.series {
        series.entry(of_series.0.day).or_default().push(of_series);
    }
    let of_days: Vec<_> = days
        .into_iter()
        .map(|day| (day, cells.remove(&day).unwrap_or_default(), series.remove(&day).unwrap_or_default()))
        .collect();
    of_days
        .into_par_iter()
        .map(|(day, cells, series)| {
            let rated = charge::rate(day, &cells, &replay.groups, books)?;
            balance::quantities(&rated.meters)?;
            let measured = quota::measure(day, &series, &replay.groups, books);
            let warnings = evidence::warnings(day, &cells, &replay.groups, books);
            Ok(DayReport { day, rated, measured, warnings })
        })
        .collect()
}

/// The cells of a day.
pub fn cells_of(day: Day, tally: &Tally) -> Vec<(&CellKey, &Cell)> {
    tally.cells.iter().filter(|(key, _)| key.day == day).collect()
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
    /// Lines before each block, by input and block.
    lines_before: Vec<Vec<u64>>,
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
        let before = self.lines_before[place.input.0 as usize][place.block as usize];
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
        let before = self.lines_before[noted.suspended.input.0 as usize][noted.block as usize];
        Suspended { line: before + noted.suspended.line, ..noted.suspended }
    }
}

/// Inputs that wait, and those being read: a thread takes the next block of a stream that no other thread is reading,
/// else opens the next input, else waits. So threads share one large file and spread over many packed ones.
struct Sources<'s> {
    waiting: Mutex<std::vec::IntoIter<InputId>>,
    open: Mutex<Vec<Arc<Mutex<Option<Stream>>>>>,
    ended: Mutex<Vec<(InputId, Stream)>>,
    inputs: &'s Inputs,
    max_line: usize,
    progress: &'s Arc<Progress>,
    /// An input can't be read: nobody need go on.
    failed: AtomicBool,
}

impl Sources<'_> {
    /// Fills `block` with lines that nobody has yet; false when there are no more.
    fn next(&self, block: &mut Block) -> Result<bool> {
        let next = self.find_next(block);
        if next.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        next
    }

    fn find_next(&self, block: &mut Block) -> Result<bool> {
        while !self.failed.load(Ordering::Relaxed) {
            let open: Vec<_> = self.open.lock().expect("no thread panicked").clone();
            for source in &open {
                if let Ok(mut stream) = source.try_lock()
                    && self.advance(source, &mut stream, block)?
                {
                    return Ok(true);
                }
            }
            let waiting = self.waiting.lock().expect("no thread panicked").next();
            if let Some(id) = waiting {
                let input = &self.inputs.list[id.0 as usize];
                let stream =
                    Stream::new(id, input.name.clone(), input.open()?, self.max_line, self.progress.clone())?;
                self.open.lock().expect("no thread panicked").push(Arc::new(Mutex::new(Some(stream))));
                continue;
            }
            let Some(source) = open.first() else {
                if self.open.lock().expect("no thread panicked").is_empty() {
                    return Ok(false);
                }
                continue;
            };
            let mut stream = source.lock().expect("no thread panicked");
            if self.advance(source, &mut stream, block)? {
                return Ok(true);
            }
        }
        Ok(false)
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
            self.ended.lock().expect("no thread panicked").push((ended.input(), ended));
        }
        self.open.lock().expect("no thread panicked").retain(|other| !Arc::ptr_eq(other, source));
        Ok(false)
    }
}

fn read<'b>(
    inputs: &Inputs,
    books: &'b Books,
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
        max_line: options.max_line,
        progress,
        failed: AtomicBool::new(false),
    };
    let decoder = Decoder::new(&books.methods, options.project.as_deref(), options.time_zone.as_ref());
    let key = IdentityKey::new();
    let threads = rayon::broadcast(|_| {
        let mut reading = Reading::new(&decoder, books, options, groups, key);
        let mut block = Block::default();
        while sources.next(&mut block)? {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(interrupted());
            }
            let lines = reading.read_block(&block);
            progress.lines.fetch_add(lines, Ordering::Relaxed);
        }
        Ok(reading.finish())
    });
    let threads = threads.into_iter().collect::<Result<Vec<Thread<'_>>>>()?;

    let mut records = Records::default();
    let mut lines_before: Vec<Vec<u64>> = vec![Vec::new(); inputs.list.len()];
    let mut blocks: Vec<_> = threads.iter().flat_map(|thread| &thread.blocks).collect();
    blocks.sort_unstable();
    let mut lines = vec![0; inputs.list.len()];
    for (input, _, count) in blocks {
        lines_before[input.0 as usize].push(lines[input.0 as usize]);
        lines[input.0 as usize] += count;
    }
    for thread in &threads {
        records.add(&thread.records);
    }
    let mut summaries: Vec<Option<InputSummary>> = vec![None; inputs.list.len()];
    for (id, stream) in sources.ended.into_inner().expect("no thread panicked") {
        summaries[id.0 as usize] = Some(stream.finish(lines[id.0 as usize])?);
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
struct Reading<'r, 'b> {
    thread: Thread<'b>,
    decoder: &'r Decoder<'r>,
    plain: PlainReader,
    spellings: Spellings<Known>,
    groups: &'r AllGroups,
    dealer: Dealer,
    tallier: Tallier<'b>,
    days: Days,
    /// Used again and again.
    usage: Usage,
    books: &'b Books,
    options: &'r Options,
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

impl<'r, 'b> Reading<'r, 'b> {
    fn new(
        decoder: &'r Decoder<'r>,
        books: &'b Books,
        options: &'r Options,
        groups: &'r AllGroups,
        key: IdentityKey,
    ) -> Reading<'r, 'b> {
        Reading {
            thread: Thread::default(),
            decoder,
            plain: PlainReader::default(),
            spellings: Spellings::default(),
            groups,
            dealer: Dealer::new(key),
            tallier: Tallier::new(books, options.usage_tier),
            days: Days::default(),
            usage: Usage::default(),
            books,
            options,
        }
    }

    fn finish(self) -> Thread<'b> {
        Thread { shards: self.dealer.into_shards(), tallier: Some(self.tallier), ..self.thread }
    }

    /// Decodes, deals and adds up the lines of a block; gives their number.
    fn read_block(&mut self, block: &Block) -> u64 {
        let max_line = self.options.max_line;
        let (bytes, end) = (block.bytes_and_margin(), block.bytes().len());
        let (mut number, mut at) = (0, 0);
        let mut too_long = block.first_too_long;
        while at < end || too_long {
            number += 1;
            let place = Place { input: block.input, block: block.index, line: number as u32 };
            if !too_long && let Some(length) = self.read_plain(&bytes[at..], end - at, place) {
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
                self.refuse(place, Refusal::of_line(Reason::LineTooLong, detail));
            } else {
                self.read_line(line, place);
            }
        }
        if let Some(why) = &block.truncated {
            number += 1;
            let place = Place { input: block.input, block: block.index, line: number as u32 };
            let detail = format!("the packed file is broken: {why}");
            self.refuse(place, Refusal::of_line(Reason::TruncatedInput, detail));
        }
        self.thread.records.lines += number;
        self.thread.blocks.push((block.input, block.index, number));
        number
    }

    /// Reads the line with which `bytes` begins if it is plain and its spelling is known; gives its length with the
    /// newline.
    fn read_plain(&mut self, bytes: &[u8], end: usize, place: Place) -> Option<usize> {
        let mut plain = self.plain.read(bytes, end)?;
        if plain.line.len() > self.options.max_line {
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
        let project_id = match (plain.project_id, &self.options.project) {
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

    fn read_line(&mut self, line: &[u8], place: Place) {
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            self.thread.records.blank += 1;
            return;
        }
        match self.decoder.decode(line) {
            Decoded::Request(request) => {
                let usage = if request.usage_missing {
                    Dealt::Missing(self.thread.missing.len() as u64)
                } else {
                    Dealt::Usage(request.usage.as_ref())
                };
                let group = self.meet(&request.facts);
                self.deal(&Hand {
                    at: request.at,
                    request_id: request.request_id.as_deref().unwrap_or_default().as_bytes(),
                    project_id: request.facts.project_id.as_bytes(),
                    status: request.facts.status,
                    group,
                    usage,
                    detail: self.options.detail.then_some((request.detail, place)),
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
                    self.thread.missing.push(note(place, refusal));
                }
            }
            Decoded::NotRequest(kind) => {
                *self.thread.records.not_requests.entry(kind.name()).or_default() += 1;
            }
            Decoded::Refused(refusal) => self.refuse(place, *refusal),
        }
    }

    /// Deals a request into its shard and, in the window, adds it to its cell.
    fn deal(&mut self, hand: &Hand<'_>) {
        self.thread.last_read = self.thread.last_read.max(Some(hand.at));
        self.dealer.deal(hand);
        let usage = match hand.usage {
            Dealt::Usage(usage) => usage,
            Dealt::Missing(_) => return,
        };
        let day = self.days.of(hand.at);
        if !self.options.window.contains(day) {
            self.thread.records.outside_window += 1;
            return;
        }
        self.thread.records.requests += 1;
        self.tallier.add(&Tallied {
            at: hand.at,
            day,
            group: hand.group,
            no_id: hand.request_id.is_empty(),
            usage: usage.unwrap_or(&Usage::NONE),
        });
    }

    fn refuse(&mut self, place: Place, refusal: Refusal<'_>) {
        self.thread.refused.push(note(place, refusal));
    }
}

fn note(place: Place, refusal: Refusal<'_>) -> Noted {
    let name = |name: Option<std::borrow::Cow<'_, str>>| name.map(|name| shown(&name).into_owned());
    let suspended = Suspended {
        day: refusal.at.map(Instant::day),
        input: place.input,
        line: u64::from(place.line),
        reason: refusal.reason,
        detail: refusal.detail,
        request_id: name(refusal.request_id),
        project_id: name(refusal.project_id),
        model: name(refusal.model).filter(|model| !model.is_empty()),
    };
    Noted { block: place.block, suspended }
}

/// What a thread makes of the shards that it settles.
struct Settling<'b> {
    /// Only takes back.
    tallier: Tallier<'b>,
    window: Window,
    days: Days,
    records: Records,
    requests_taken_back: u64,
    outside_taken_back: u64,
    spans: BTreeMap<Day, Span>,
    kept: BTreeMap<Day, Vec<Kept>>,
    suspended: Vec<Suspended>,
}

impl<'b> Settling<'b> {
    fn new(books: &'b Books, options: &Options) -> Settling<'b> {
        Settling {
            tallier: Tallier::new(books, options.usage_tier),
            window: options.window,
            days: Days::default(),
            records: Records::default(),
            requests_taken_back: 0,
            outside_taken_back: 0,
            spans: BTreeMap::new(),
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

    /// Notes when a request was that counts, and all of it when requests are kept.
    fn count(&mut self, row: &Row<'_>, groups: &SharedGroups, read: &Read<'_>) {
        let day = self.days.of(row.at);
        if !self.window.contains(day) {
            return;
        }
        let span = Span::of(row.at);
        self.spans.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
        if !row.detail().is_empty() {
            let usage = row.usage();
            let cell = self.tallier(row, groups).cell(&tallied(row, day, &usage));
            self.kept.entry(day).or_default().push(read.kept(row, cell));
        }
    }

    fn take_back(&mut self, row: &Row<'_>, groups: &SharedGroups) {
        if row.has(USAGE_MISSING) {
            return;
        }
        let day = self.days.of(row.at);
        if !self.window.contains(day) {
            self.outside_taken_back += 1;
            return;
        }
        self.requests_taken_back += 1;
        let usage = row.usage();
        self.tallier(row, groups).take_back(&tallied(row, day, &usage));
    }

    fn tallier(&mut self, row: &Row<'_>, groups: &SharedGroups) -> &mut Tallier<'b> {
        self.tallier.meet(row.group, &groups[row.group.0 as usize]);
        &mut self.tallier
    }
}

fn tallied<'u>(row: &Row<'_>, day: Day, usage: &'u Usage) -> Tallied<'u> {
    Tallied { at: row.at, day, group: row.group, no_id: row.has(NO_ID), usage }
}
