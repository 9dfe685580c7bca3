//! Owns the order of the stages and their threads: the page that explains the tool. Each stage is a function from nouns
//! to nouns; this file alone sees them all, and does none of their work.
//!
//! ```text
//! logs ─read─▶ requests ─deal─▶ shards ║ ─settle─▶ unique ─guide, tally─▶ Tally, Traffic ─charge, measure─▶ days
//!                 └──── suspense ──────╨─────────────┘                        └──────── suspense ──────────────┘
//! ```
//! The double line is the one barrier: which record of an identity counts can only be known when all were read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::balance::{self, Records};
use crate::books::Books;
use crate::charge::{self, Rated};
use crate::error::{Error, Exit, Result};
use crate::evidence::{self, Warning};
use crate::mediate::dedupe::{self, Dealer, IdentityKey, SHARDS, Settled};
use crate::mediate::groups::AllGroups;
use crate::mediate::row::Row;
use crate::quota::{self, Measured};
use crate::read::container::{Container, END_OF_STREAM, LONG_ROW, RAGGED_ROW};
use crate::read::lines::Block;
use crate::read::parts::{Before, Part, Parts};
use crate::read::shape::canonical::{self, Decoded, Decoder};
use crate::read::shape::record::Record;
use crate::read::shape::value::Value;
use crate::read::shape::{self, Item, Items, NotRequest, Shape};
use crate::read::stream::Stream;
use crate::read::{Inputs, Progress, Reading, Settings};
use crate::suspense::{Refusal, Suspended};
use crate::tally::{Tallier, guides};
use crate::types::cache::CacheEvent;
use crate::types::carry::Carry;
use crate::types::charge::{Assumption, Resting};
use crate::types::day::{Day, Instant, Window};
use crate::types::detail::{Detail, Kept, Place};
use crate::types::key::shown;
use crate::types::origin::{InputId, InputSummary};
use crate::types::reason::Reason;
use crate::types::tally::{Arrival, Cell, CellKey, Groups, Overflow, SeriesKey, Tally, Traffic};
use crate::types::tier::UsageTier;
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
    let mut read = read(inputs, books, options, progress, &all_groups)?;
    let groups = all_groups.into_groups();
    let guides = guides(&groups, books, options.usage_tier);
    let studio_terms = books.accounts.studio_terms(options.usage_tier);

    let settled = (0..SHARDS)
        .into_par_iter()
        .try_fold(
            || SettledShards::new(Tallier::new(books, &groups, &guides, &studio_terms)),
            |mut sums, shard| {
                if progress.stop.load(Ordering::Relaxed) {
                    return Err(interrupted());
                }
                let rows: Vec<&[u8]> =
                    read.threads.iter().map(|thread| thread.shards[shard].as_slice()).collect();
                sums.settle(&rows, &groups, &read, options)?;
                Ok(sums)
            },
        )
        .map(|sums| sums.map(SettledShards::into_sums))
        .try_reduce(Sums::default, Sums::merge)?;

    let mut records = read.records.clone();
    records.add(&settled.records);
    let mut suspended = settled.suspended;
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
        tally: settled.tally,
        traffic: settled.traffic,
        kept: settled.kept,
        last_read,
    })
}

/// The days that have requests or suspended lines, ascending; days before the window as far as they are summed.
pub fn days_seen(replay: &Replay) -> Vec<Day> {
    let mut days: BTreeSet<Day> = replay.tally.cells.keys().map(|key| key.day).collect();
    days.extend(replay.suspended.iter().filter_map(|line| line.day));
    days.into_iter().collect()
}

/// Applies the books to the sums, day by day: a report for each day that `plan` publishes. `carry` is what the day before
/// the first handed on; `usage_tier` is that of projects without a timeline.
pub fn rate<'r>(
    replay: &'r Replay,
    books: &'r Books,
    plan: &Plan,
    carry: Option<&'r Carry<String>>,
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
    let of_days: BTreeMap<Day, (Rated<'r>, Measured<'r>)> = cells
        .par_iter()
        .filter(|(day, _)| **day >= plan.begin)
        .map(|(day, cells)| {
            let rated = charge::rate(*day, cells, &replay.groups, books)?;
            let series = series.get(day).map_or(&[][..], Vec::as_slice);
            Ok((*day, (rated, quota::measure(*day, series, &replay.groups, books))))
        })
        .collect::<Result<_>>()?;
    let mut of_days = of_days;
    let mut walk = Walk::begin(carry, &replay.groups, books, usage_tier);
    let mut carry_before = carry.map(Carry::hash);
    let mut reports = Vec::new();
    for day in plan.days() {
        let (mut rated, measured) = of_days.remove(&day).unwrap_or_default();
        let cells = cells.remove(&day).unwrap_or_default();
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
        if carry_before.is_none() && requests > 0 {
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
struct Read {
    threads: Vec<Thread>,
    inputs: Vec<InputSummary>,
    /// Lines before each block, by input: its index and their number, ascending.
    lines_before: Vec<Vec<(u32, u64)>>,
    records: Records,
}

/// What one thread has read.
#[derive(Default)]
struct Thread {
    shards: Vec<Vec<u8>>,
    refused: Vec<Noted>,
    /// Requests without usage, which another record of their identity may have.
    missing: Vec<Noted>,
    /// Input, block and its lines.
    blocks: Vec<(InputId, u32, u64)>,
    records: Records,
    last_read: Option<Instant>,
    /// Requests of the input that is read in order, whose chunks may still come.
    parts: Parts,
    /// What is used again for each line.
    items: Items,
    text: String,
}

/// A line to be suspended, whose number is known within its block until all blocks are counted.
#[derive(Clone)]
struct Noted {
    block: u32,
    suspended: Suspended,
}

impl Read {
    fn kept(&self, row: &Row<'_>, cell: CellKey) -> Kept {
        let (request_id, detail, place) = Detail::decode(row.detail());
        let name = |name: &str| (!name.is_empty()).then(|| shown(name).into());
        let (total_tokens, thoughts, quantities) = row.usage();
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
            total_tokens,
            thoughts,
            quantities: quantities.collect(),
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

fn read(
    inputs: &Inputs,
    books: &Books,
    options: &Options,
    progress: &Arc<Progress>,
    groups: &AllGroups,
) -> Result<Read> {
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
        let mut thread = Thread::default();
        let mut dealer = Dealer::new(groups, key);
        let mut block = Block::default();
        let desk = Desk { decoder: &decoder, books, options };
        let read = |thread: &mut Thread, block: &Block, dealer: &mut Dealer<'_>| {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(interrupted());
            }
            let lines = thread.read_block(block, &desk, dealer);
            progress.lines.fetch_add(lines, Ordering::Relaxed);
            Ok(())
        };
        loop {
            match sources.next(&mut block)? {
                Next::Block => read(&mut thread, &block, &mut dealer)?,
                Next::InOrder(mut stream) => {
                    while stream.next(&mut block)? {
                        read(&mut thread, &block, &mut dealer)?;
                    }
                    thread.end_parts(&stream, &desk, &mut dealer);
                    sources.close(*stream);
                }
                Next::Nothing => break,
            }
        }
        thread.shards = dealer.into_shards();
        Ok(thread)
    });
    let threads = threads.into_iter().collect::<Result<Vec<Thread>>>()?;

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

/// What lines are judged with.
struct Desk<'d> {
    decoder: &'d Decoder<'d>,
    books: &'d Books,
    options: &'d Options,
}

impl Thread {
    /// Decodes and deals the lines of a block; gives their number.
    fn read_block(&mut self, block: &Block, desk: &Desk<'_>, dealer: &mut Dealer<'_>) -> u64 {
        let max_line = desk.options.settings.max_line;
        let mut number = 0;
        let mut rest = block.bytes();
        let mut too_long = block.first_too_long;
        while !rest.is_empty() || too_long {
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            // A line is as long with CRLF as without.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
            number += 1;
            if too_long || line.len() > max_line {
                too_long = false;
                let detail = format!("the line has more than {max_line} bytes");
                self.refuse(block.into(), number, Refusal::of_line(Reason::LineTooLong, detail));
            } else {
                number = self.read_line(line, block, number, desk, dealer);
            }
        }
        if let Some((reason, why)) = &block.ended_by {
            number += 1;
            self.refuse(block.into(), number, Refusal::of_line(*reason, why.as_str()));
        }
        self.records.lines += number;
        self.blocks.push((block.input, block.index, number));
        number
    }

    /// Reads a line, of which `number` is its first item's; gives the number of its last.
    fn read_line(
        &mut self,
        line: &[u8],
        block: &Block,
        number: u64,
        desk: &Desk<'_>,
        dealer: &mut Dealer<'_>,
    ) -> u64 {
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            self.records.blank += 1;
            return number;
        }
        match block.reading {
            Some(Reading { is_row: false, shape: Shape { read: shape::Read::AsItIs(_), .. }, .. }) => {
                let decoded = told_apart(desk.decoder.decode(line), line);
                self.take(decoded, block.into(), number, None, desk, dealer);
                number
            }
            Some(reading) => self.read_items(line, block, reading, number, desk, dealer),
            None => unreachable!("an input that isn't told has no lines"),
        }
    }

    /// Reads a line of a shape that isn't the canonical one as it is.
    fn read_items(
        &mut self,
        line: &[u8],
        block: &Block,
        reading: Reading,
        number: u64,
        desk: &Desk<'_>,
        dealer: &mut Dealer<'_>,
    ) -> u64 {
        let Reading { container, shape, is_row } = reading;
        let row_refused = match line {
            END_OF_STREAM => {
                self.parts.end_stream();
                self.records.blank += 1;
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
                Item::Request(record) => self.judge(&record, block.into(), last, Some(shape), desk, dealer),
                Item::Part(None, record) if container != Container::Sse => {
                    self.judge(&record, block.into(), last, Some(shape), desk, dealer);
                }
                Item::Part(id, record) => {
                    match self.parts.add(id, Part { record, block: block.index, line: last }) {
                        Before::None => {}
                        Before::Same => self.records.duplicates += 1,
                        Before::Superseded => self.records.superseded += 1,
                    }
                }
                Item::NotRequest(kind) => {
                    *self.records.not_requests.entry(kind.name()).or_default() += 1;
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
    fn end_parts(&mut self, stream: &Stream, desk: &Desk<'_>, dealer: &mut Dealer<'_>) {
        for Part { record, block, line } in self.parts.take() {
            let at = At { input: stream.input(), block };
            self.judge(&record, at, line, stream.shape(), desk, dealer);
        }
    }

    fn judge(
        &mut self,
        record: &Record,
        at: At,
        number: u64,
        shape: Option<&Shape>,
        desk: &Desk<'_>,
        dealer: &mut Dealer<'_>,
    ) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        record.write(&mut text);
        let mut decoded = desk.decoder.decode(text.as_bytes());
        if let (Decoded::Refused(refusal), Some(shape)) = (&mut decoded, shape) {
            refusal.detail = shape.in_own_words(std::mem::take(&mut refusal.detail), refusal.reason);
        }
        self.take(decoded, at, number, Some(record), desk, dealer);
        self.text = text;
    }

    /// Counts what a record was found to be; `made` is what a shape knows beside it.
    fn take(
        &mut self,
        decoded: Decoded<'_>,
        at: At,
        number: u64,
        made: Option<&Record>,
        desk: &Desk<'_>,
        dealer: &mut Dealer<'_>,
    ) {
        match decoded {
            Decoded::Request(mut request) => {
                if let Some(made) = made {
                    made.complete(&mut request, desk.books);
                }
                self.last_read = self.last_read.max(Some(request.at));
                let missing = self.missing.len() as u64;
                let place = Place { input: at.input, block: at.block, line: number as u32 };
                dealer.deal(&request, missing, desk.options.detail.then_some(place));
                if request.usage_missing {
                    let refusal = Refusal {
                        reason: Reason::MissingUsage,
                        detail: "there is neither usageMetadata nor quantities".to_string(),
                        at: Some(request.at),
                        request_id: request.request_id,
                        project_id: Some(request.facts.project_id),
                        model: Some(request.facts.model),
                    };
                    self.missing.push(note(at, number, refusal));
                }
            }
            Decoded::NotRequest(kind) => *self.records.not_requests.entry(kind.name()).or_default() += 1,
            Decoded::Refused(refusal) => self.refuse(at, number, *refusal),
        }
    }

    fn refuse(&mut self, at: At, number: u64, refusal: Refusal<'_>) {
        self.refused.push(note(at, number, refusal));
    }
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
struct SettledShards<'b> {
    tallier: Tallier<'b>,
    sums: Sums,
}

#[derive(Default)]
struct Sums {
    tally: Tally,
    traffic: Traffic,
    kept: BTreeMap<Day, Vec<Kept>>,
    records: Records,
    suspended: Vec<Suspended>,
}

impl<'b> SettledShards<'b> {
    fn new(tallier: Tallier<'b>) -> SettledShards<'b> {
        SettledShards { tallier, sums: Sums::default() }
    }

    fn settle(&mut self, rows: &[&[u8]], groups: &Groups, read: &Read, options: &Options) -> Result<()> {
        let (tallier, sums) = (&mut self.tallier, &mut self.sums);
        dedupe::settle(rows, groups, |settled| {
            match settled {
                Settled::Unique(row) => {
                    let day = row.at.day();
                    let inside = options.window.contains(day);
                    let records = &mut sums.records;
                    *if inside { &mut records.requests } else { &mut records.outside_window } += 1;
                    if options.sums(day) {
                        let cell = tallier.add(&row, day)?;
                        if inside && !row.detail().is_empty() {
                            sums.kept.entry(day).or_default().push(read.kept(&row, cell));
                        }
                    }
                }
                Settled::Duplicate => sums.records.duplicates += 1,
                Settled::Superseded => sums.records.superseded += 1,
                Settled::UsageMissing(thread, place) => {
                    let noted = read.threads[thread].missing[place as usize].clone();
                    sums.suspended.push(read.with_line(noted));
                }
            }
            Ok(())
        })
        .map_err(overflow)
    }

    fn into_sums(self) -> Sums {
        let (tally, traffic) = self.tallier.into_sums();
        Sums { tally, traffic, ..self.sums }
    }
}

impl Sums {
    fn merge(mut self, other: Sums) -> Result<Sums> {
        self.tally.merge(other.tally).map_err(overflow)?;
        self.traffic.merge(other.traffic);
        for (day, mut kept) in other.kept {
            self.kept.entry(day).or_default().append(&mut kept);
        }
        self.records.add(&other.records);
        self.suspended.extend(other.suspended);
        Ok(self)
    }
}
