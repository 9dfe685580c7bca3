//! Owns what one thread does with the lines of a block: each is decoded, dealt and added to the sums, or refused.
//!
//! A canonical line or row is read by the reader of plain ones or, if it isn't plain, by the strict decoder; what comes of
//! it is the same. What other shapes make of their items is for the strict decoder too.

use std::borrow::Cow;

use arrow_array::RecordBatch;

use super::Options;
use crate::balance::Records;
use crate::books::Books;
use crate::error::Result;
use crate::mediate::dedupe::{Dealer, Dealt, Hand, ProjectHash};
use crate::mediate::groups::AllGroups;
use crate::mediate::row::{Identity, Shard};
use crate::memory::Memory;
use crate::read::container::rows::Columns;
use crate::read::container::{Container, END_OF_STREAM, LONG_ROW, RAGGED_ROW};
use crate::read::lines::Block;
use crate::read::parts::{Before, Part, Parts};
use crate::read::settings::{Settings, SettingsId};
use crate::read::shape::canonical::{self, Decoded, Decoder};
use crate::read::shape::columns::{ColumnReader, LONGEST_PLAIN};
use crate::read::shape::plain::{Plain, PlainReader};
use crate::read::shape::record::Record;
use crate::read::shape::spelling::{SharedSpellings, Spelled, Spellings};
use crate::read::shape::value::Value;
use crate::read::shape::{self, Item, Items, NotRequest, Shape};
use crate::read::stream::Stream;
use crate::read::{Inputs, Reading};
use crate::suspense::{Refusal, Suspended};
use crate::tally::{self, Tallied, Tallier};
use crate::types::day::{Day, Days, Instant};
use crate::types::detail::{Detail, Place};
use crate::types::key::shown;
use crate::types::origin::InputId;
use crate::types::reason::Reason;
use crate::types::request::{Facts, Request, Status};
use crate::types::tally::GroupId;
use crate::types::usage::{Counts, Usage};

/// What one thread has read.
#[derive(Default)]
pub(super) struct Thread<'b> {
    /// What was dealt and, as far as is known, counts.
    pub(super) shards: Vec<Shard>,
    pub(super) tallier: Option<Tallier<'b>>,
    pub(super) refused: Vec<Noted>,
    /// Requests without usage, which another record of their identity may have.
    pub(super) missing: Vec<Noted>,
    /// Input, block and its lines.
    pub(super) blocks: Vec<(InputId, u32, u64)>,
    pub(super) records: Records,
    pub(super) last_read: Option<Instant>,
}

/// A line to be suspended, whose number is known within its block until all blocks are counted.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) block: u32,
    pub(super) suspended: Suspended,
}

/// What all threads read with.
#[derive(Clone, Copy)]
pub(super) struct Shared<'r> {
    pub(super) inputs: &'r Inputs,
    /// By settings.
    pub(super) decoders: &'r [Decoder<'r>],
    pub(super) groups: &'r AllGroups,
    pub(super) spellings: &'r SharedSpellings<Known>,
}

/// One thread while it reads.
pub(super) struct Reader<'r, 'b> {
    thread: Thread<'b>,
    shared: Shared<'r>,
    /// By which the input is read whose block it is.
    settings_id: SettingsId,
    settings: &'r Settings,
    decoder: &'r Decoder<'r>,
    plain: PlainReader,
    spellings: Spellings<Known>,
    columns: ColumnReader,
    /// As the spellings of lines, the keys of rows.
    keys: Spellings<Known>,
    /// And of keys without their project, with that of whichever row was the first.
    rests: Spellings<Known>,
    /// What was learnt of the item read last, where that holds for more than itself.
    learnt: Option<Known>,
    dealer: Dealer,
    tallier: Tallier<'b>,
    days: Days,
    /// What is known of the day that came last.
    day: Option<KnownDay>,
    books: &'b Books,
    options: &'r Options,
    /// Requests of the input that is read in order, whose chunks may still come.
    parts: Parts,
    /// What is used again for each line.
    items: Items,
    text: String,
    line: Vec<u8>,
}

/// What is known of plain lines of one spelling, or of plain rows of one key.
#[derive(Clone, Copy)]
pub(super) struct Known {
    group: GroupId,
    project: ProjectHash,
    status: Status,
    /// Requests of other methods have none.
    has_tokens: bool,
    is_live: bool,
}

/// What holds for all requests of a day.
#[derive(Clone, Copy)]
struct KnownDay {
    day: Day,
    /// In the window.
    inside: bool,
    is_summed: bool,
}

/// Plain lines or rows that are taken together: so many that memory has answered in the meantime, so few that they stay near.
const BATCH: usize = 16;

/// A plain line or row of a batch.
#[derive(Default)]
struct Waiting<'line> {
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

/// Where a request is summed.
type Spot = (Day, tally::Place);

impl Waiting<'_> {
    /// Works out its usage; what contradicts itself isn't plain.
    #[inline(always)]
    fn work_out(&mut self) {
        if let Some(known) = self.known
            && known.has_tokens
        {
            self.plain.counts.thoughts_outside |= known.is_live;
            if self.usage.fill(&self.plain.counts).is_err() {
                self.known = None;
            }
        }
    }

    /// Takes a row, whose usage is worked out, as what is known of its key; what contradicts itself isn't plain.
    #[inline(always)]
    fn know(&mut self, known: Option<Known>, columns: &ColumnReader, row: usize) {
        self.known = known;
        if let Some(known) = known
            && known.has_tokens
        {
            if known.is_live {
                let mut counts = Counts::default();
                columns.counts(row, &mut counts);
                counts.thoughts_outside = true;
                self.is_consistent = self.usage.fill(&counts).is_ok();
            }
            if !self.is_consistent {
                self.known = None;
            }
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
            usage: Dealt::Usage(known.has_tokens.then_some(&self.usage)),
            tokens_unknown: false,
            thoughts_assumed: false,
            undated: false,
        }
    }
}

impl<'r, 'b> Reader<'r, 'b> {
    pub(super) fn new(
        shared: Shared<'r>,
        books: &'b Books,
        options: &'r Options,
        dealer: Dealer,
        tallier: Tallier<'b>,
    ) -> Reader<'r, 'b> {
        Reader {
            thread: Thread::default(),
            shared,
            settings_id: 0,
            settings: &shared.inputs.settings[0],
            decoder: &shared.decoders[0],
            plain: PlainReader::default(),
            spellings: shared.spellings.own(),
            columns: ColumnReader::default(),
            keys: Spellings::default(),
            rests: Spellings::default(),
            learnt: None,
            dealer,
            tallier,
            days: Days::default(),
            day: None,
            books,
            options,
            parts: Parts::default(),
            items: Items::default(),
            text: String::new(),
            line: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Thread<'b> {
        Thread { shards: self.dealer.into_shards(), tallier: Some(self.tallier), ..self.thread }
    }

    /// Moves what was dealt and added up to the temporary file when there is no more memory for it.
    pub(super) fn spill_if_full(&mut self, memory: &Memory) -> Result<()> {
        if memory.is_full(self.dealer.bytes() + self.tallier.bytes()) {
            self.dealer.spill(memory)?;
            self.tallier.spill(memory)?;
        }
        Ok(())
    }

    /// Decodes, deals and adds up the lines or rows of a block; gives their number.
    pub(super) fn read_block(&mut self, block: &Block) -> u64 {
        self.turn_to(block.input);
        let mut number = match (&block.rows, block.reading) {
            (Some(rows), Some(reading)) => self.read_rows(rows, block, reading),
            _ => self.read_lines(block),
        };
        if let Some((reason, why)) = &block.ended_by {
            number += 1;
            self.refuse(block.into(), number, Refusal::of_line(*reason, why.as_str()));
        }
        self.thread.records.lines += number;
        self.thread.blocks.push((block.input, block.index, number));
        number
    }

    fn read_lines(&mut self, block: &Block) -> u64 {
        let max_line = self.settings.max_line;
        let is_canonical = block.reading.is_some_and(is_canonical);
        let (bytes, end) = (block.bytes_and_margin(), block.bytes().len());
        let (mut number, mut at) = (0, 0);
        let mut too_long = block.first_too_long;
        let mut batch: [Waiting<'_>; BATCH] = Default::default();
        while at < end || too_long {
            if is_canonical && !too_long {
                let lines = self.fill(&mut batch, bytes, &mut at, end);
                self.take_plain(&mut batch[..lines], block, number + 1);
                number += lines as u64;
                if lines == BATCH || at >= end {
                    continue;
                }
            }
            number += 1;
            let rest = &bytes[at..end];
            let newline = memchr::memchr(b'\n', rest);
            let line = &rest[..newline.unwrap_or(rest.len())];
            // A line is as long with CRLF as without.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at += newline.map_or(rest.len(), |newline| newline + 1);
            if too_long || line.len() > max_line {
                too_long = false;
                self.refuse_long(block, number);
            } else {
                number = self.read_line(line, block, number);
            }
        }
        number
    }

    /// Reads rows of typed columns: plain ones as they are, others as lines.
    fn read_rows(&mut self, rows: &RecordBatch, block: &Block, reading: Reading) -> u64 {
        let settings = self.settings;
        let mut columns = std::mem::take(&mut self.columns);
        let may_be_plain = matches!(reading.shape.read, shape::Read::AsItIs(_))
            && !settings.detail
            && settings.max_line >= LONGEST_PLAIN
            && columns.read(rows, reading.is_row);
        let cells = Columns::new(rows);
        let mut number = 0;
        if may_be_plain {
            number = self.read_plain_rows(&columns, &cells, rows.num_rows(), block);
        } else {
            for place in 0..rows.num_rows() {
                number = self.read_row(&cells, place, block, number + 1);
            }
        }
        columns.let_go();
        self.columns = columns;
        number
    }

    fn read_plain_rows(
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
                    waiting.spelling = self.keys.hash(&key.bytes(), self.settings_id);
                    self.keys.prefetch(waiting.spelling);
                    // While memory answers. A batch of counts would take the nearest of it for itself.
                    columns.counts(row, &mut counts);
                    waiting.is_consistent = waiting.usage.fill(&counts).is_ok();
                }
            }
            for (row, (waiting, key)) in (first..).zip(batch.iter_mut().zip(keys)) {
                waiting.know(key.and_then(|_| self.keys.find(waiting.spelling)), columns, row);
            }
            for (row, (waiting, key)) in (first..).zip(batch.iter_mut().zip(keys)) {
                if waiting.known.is_some() {
                    continue;
                }
                let rest = key.and_then(|key| columns.without_project(key));
                let rest =
                    rest.map(|(rest, project)| (self.rests.hash(&rest.bytes(), self.settings_id), project));
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

    /// What is known of rows with such a key but for the project, and of rows of a project, together.
    fn learn_of_rest(&mut self, rest: Spelled, project: &str) -> Option<Known> {
        let other = self.rests.find(rest)?;
        let facts = self.shared.groups.facts(other.group);
        let facts = Facts { project_id: project.into(), ..facts.map_names(Cow::Borrowed) };
        Some(Known { group: self.meet(&facts), project: self.dealer.project(project), ..other })
    }

    /// Reads a row as a line; gives the number of its last item.
    fn read_row(&mut self, cells: &Columns<'_>, place: usize, block: &Block, number: u64) -> u64 {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        cells.write_row(place, &mut line);
        let last = if line.len() > self.settings.max_line {
            self.refuse_long(block, number);
            number
        } else {
            self.read_line(&line, block, number)
        };
        self.line = line;
        last
    }

    /// From here on lines are of this input.
    fn turn_to(&mut self, input: InputId) {
        self.settings_id = self.shared.inputs.list[input.0 as usize].settings;
        (self.settings, self.decoder) =
            (self.shared.inputs.settings_of(input), &self.shared.decoders[self.settings_id]);
    }

    /// Reads plain lines from `at` on, as many as a batch holds or until one isn't; gives their number.
    fn fill<'line>(
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
    fn take_plain(&mut self, batch: &mut [Waiting<'_>], block: &Block, number: u64) {
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

    /// Deals and adds up the plain ones of a batch.
    #[inline(always)]
    fn deal_batch(&mut self, batch: &mut [Waiting<'_>], block: &Block, number: u64) {
        for waiting in &mut *batch {
            if let Some(known) = waiting.known {
                waiting.identity = self.begin(&waiting.hand(known));
            }
        }
        for (line, waiting) in batch.iter_mut().enumerate() {
            if let Some(known) = waiting.known {
                let place = At::from(block).place(number + line as u64);
                let detail = self.settings.detail.then(|| (waiting.plain.detail(), place));
                waiting.spot = self.deal(&waiting.hand(known), waiting.identity, detail);
            }
        }
        for waiting in batch.iter() {
            if let Some(known) = waiting.known {
                self.add(&waiting.hand(known), waiting.spot);
            }
        }
    }

    /// What holds for all requests with these facts.
    fn known_of(&mut self, request: &Request<'_>) -> Known {
        Known {
            group: self.meet(&request.facts),
            project: self.dealer.project(&request.facts.project_id),
            status: request.facts.status,
            has_tokens: request.usage.is_some(),
            is_live: self.books.methods.find(request.facts.method).is_live(),
        }
    }

    fn meet(&mut self, facts: &Facts<Cow<'_, str>>) -> GroupId {
        let (group, facts) = self.shared.groups.meet(facts);
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
            Some(reading)
                if is_canonical(reading)
                    && !(reading.container == Container::Sse && line == END_OF_STREAM) =>
            {
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
            false => Value::read_opening(line, &shape.fields, shape.cells),
        };
        let value = match value {
            Ok(value) => value,
            Err(refusal) => {
                self.refuse(block.into(), number, refusal);
                return number;
            }
        };
        if !shape.is_own(&value) {
            let refusal = Refusal::of_line(Reason::OtherShape, of_other_shape(line, is_row));
            self.refuse(block.into(), number, refusal);
            return number;
        }
        let mut items = std::mem::take(&mut self.items);
        shape.read_item(&value, &mut items);
        if items.list.is_empty() {
            items.not_request(NotRequest::Event);
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
                Item::Refused(reason, detail, known) => {
                    self.refuse_knowing(block.into(), last, Refusal::of_line(reason, detail), &known);
                }
            }
        }
        self.items = items;
        last
    }

    /// Judges the requests of an input that came in parts, now that it has ended.
    pub(super) fn end_parts(&mut self, stream: &Stream, memory: &Memory) -> Result<()> {
        self.turn_to(stream.input());
        for Part { record, block, line } in self.parts.take() {
            let at = At { input: stream.input(), block };
            self.judge(&record, at, line, stream.shape());
            self.spill_if_full(memory)?;
        }
        Ok(())
    }

    fn judge(&mut self, record: &Record, at: At, number: u64, shape: Option<&Shape>) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        record.write(&mut text);
        let mut decoded = self.decoder.decode(text.as_bytes());
        match (&mut decoded, shape) {
            (Decoded::Request(request), Some(shape)) => request.facts.shape = shape.name,
            (Decoded::Refused(refusal), Some(shape)) => {
                refusal.detail = shape.in_own_words(std::mem::take(&mut refusal.detail), refusal.reason);
            }
            _ => {}
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
                let known = self.known_of(&request);
                let is_plain = request.cache.is_none() && !request.usage_missing;
                self.learnt = is_plain.then_some(known);
                let hand = Hand {
                    at: request.at,
                    request_id: request.request_id.as_deref().unwrap_or_default().as_bytes(),
                    project: known.project,
                    status: known.status,
                    group: known.group,
                    usage,
                    tokens_unknown: request.tokens_unknown,
                    thoughts_assumed: request.thoughts_assumed,
                    undated: request.undated,
                };
                let detail = self.settings.detail.then_some((request.detail, at.place(number)));
                let identity = self.begin(&hand);
                let spot = self.deal(&hand, identity, detail);
                self.add(&hand, spot);
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

    #[inline(always)]
    fn begin(&mut self, hand: &Hand<'_>) -> Identity {
        self.tallier.prefetch(hand.group);
        self.dealer.identify(hand)
    }

    /// Deals a request into its shard and, if its day is summed, finds its cell.
    #[inline(always)]
    fn deal(
        &mut self,
        hand: &Hand<'_>,
        identity: Identity,
        detail: Option<(Detail<'_>, Place)>,
    ) -> Option<Spot> {
        self.thread.last_read = self.thread.last_read.max(Some(hand.at));
        self.dealer.deal(hand, identity, detail);
        if matches!(hand.usage, Dealt::Missing(_)) {
            return None;
        }
        let day = self.days.of(hand.at);
        if self.day.is_none_or(|known| known.day != day) {
            let inside = self.options.window.contains(day);
            self.day = Some(KnownDay { day, inside, is_summed: self.options.sums(day) });
        }
        let KnownDay { inside, is_summed, .. } = self.day?;
        let records = &mut self.thread.records;
        *if inside { &mut records.requests } else { &mut records.outside_window } += 1;
        is_summed.then(|| (day, self.tallier.place(&tallied(hand, day))))
    }

    #[inline(always)]
    fn add(&mut self, hand: &Hand<'_>, spot: Option<Spot>) {
        if let Some((day, place)) = spot {
            self.tallier.add(&tallied(hand, day), place);
        }
    }

    /// Refuses an item with what is `known` of it, as the decoder reads that.
    fn refuse_knowing(&mut self, at: At, number: u64, refusal: Refusal<'_>, known: &Record) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        known.write(&mut text);
        let Refusal { reason, detail, .. } = refusal;
        let refusal = match self.decoder.decode(text.as_bytes()) {
            Decoded::Refused(read) => Refusal { reason, detail, ..*read },
            Decoded::Request(Request { at, request_id, facts, .. }) => {
                let (project_id, model) = (Some(facts.project_id), Some(facts.model));
                Refusal { reason, detail, at: Some(at), request_id, project_id, model }
            }
            Decoded::NotRequest(_) => Refusal::of_line(reason, detail),
        };
        self.refuse(at, number, refusal);
        self.text = text;
    }

    fn refuse_long(&mut self, block: &Block, number: u64) {
        let detail = format!("the line has more than {} bytes", self.settings.max_line);
        self.refuse(block.into(), number, Refusal::of_line(Reason::LineTooLong, detail));
    }

    fn refuse(&mut self, at: At, number: u64, refusal: Refusal<'_>) {
        self.thread.refused.push(note(at, number, refusal));
    }
}

#[inline(always)]
fn tallied<'h>(hand: &Hand<'h>, day: Day) -> Tallied<'h> {
    static NONE: Usage = Usage::NONE;
    Tallied {
        at: hand.at,
        day,
        group: hand.group,
        no_id: hand.request_id.is_empty(),
        tokens_unknown: hand.tokens_unknown,
        thoughts_assumed: hand.thoughts_assumed,
        undated: hand.undated,
        usage: match hand.usage {
            Dealt::Usage(Some(usage)) => usage,
            _ => &NONE,
        },
    }
}

/// Lines are canonical records as they are.
pub(super) fn is_canonical(reading: Reading) -> bool {
    !reading.is_row && matches!(reading.shape.read, shape::Read::AsItIs(_))
}

/// The block that a line stands in.
#[derive(Clone, Copy)]
pub(super) struct At {
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
pub(super) fn told_apart<'line>(decoded: Decoded<'line>, line: &[u8]) -> Decoded<'line> {
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
pub(super) fn of_other_shape(line: &[u8], is_row: bool) -> String {
    let Ok(sketch) = Value::sketch(line, is_row) else {
        return "the item is of another shape".to_string();
    };
    match Shape::tell(&sketch) {
        Some(shape) => format!("the item is one of {}", shape.title),
        None => format!("the item is {}; no shape has that", sketch.described()),
    }
}

pub(super) fn note(at: At, line: u64, refusal: Refusal<'_>) -> Noted {
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
