//! Owns what one thread does with the lines of a block: each is decoded, dealt and added to the sums, or refused.
//!
//! A canonical line or row is read by the reader of plain ones (`batch`) or, if it isn't plain, by the strict decoder; what
//! comes of it is the same. What other shapes make of their items (`items`) is for the strict decoder too.

mod batch;
mod items;

use std::borrow::Cow;

use arrow_array::RecordBatch;

use self::batch::{BATCH, Waiting};
use self::items::told_apart;
use super::Options;
use crate::balance::Records;
use crate::books::Books;
use crate::caches::prefetch_pages;
use crate::error::Result;
use crate::mediate::dedupe::{Dealer, Dealt, Hand, ProjectHash};
use crate::mediate::groups::AllGroups;
use crate::mediate::row::Identity;
use crate::mediate::shard::Shard;
use crate::memory::Memory;
use crate::read::container::rows::Columns;
use crate::read::container::{Container, END_OF_STREAM};
use crate::read::lines::Block;
use crate::read::parts::Parts;
use crate::read::settings::{Settings, SettingsId};
use crate::read::shape::canonical::{Decoded, Decoder};
use crate::read::shape::columns::{ColumnReader, LONGEST_PLAIN};
use crate::read::shape::plain::PlainReader;
use crate::read::shape::record::Record;
use crate::read::shape::spelling::{SharedSpellings, Spellings};
use crate::read::shape::{self, Items};
use crate::read::{Inputs, Reading};
use crate::suspense::{Refusal, Suspended};
use crate::tally::{Tallied, Tallier};
use crate::types::day::{Day, Days, Instant};
use crate::types::detail::{Detail, Place};
use crate::types::key::shown;
use crate::types::origin::InputId;
use crate::types::reason::Reason;
use crate::types::request::{Facts, Request, Status};
use crate::types::tally::{self, GroupId};
use crate::types::usage::Usage;

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

/// Where a request is summed.
type Spot = (Day, tally::Place);

/// What holds for all requests of a day.
#[derive(Clone, Copy)]
struct KnownDay {
    day: Day,
    /// In the window.
    inside: bool,
    is_summed: bool,
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
                prefetch_pages(bytes.as_ptr().wrapping_add(at));
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
        let before = self.settings_id;
        self.settings_id = self.shared.inputs.list[input.0 as usize].settings;
        if self.settings_id != before {
            // What rows leave out is filled in by the settings, which no key says.
            (self.keys, self.rests) = (Spellings::default(), Spellings::default());
        }
        (self.settings, self.decoder) =
            (self.shared.inputs.settings_of(input), &self.shared.decoders[self.settings_id]);
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
                    None => Dealt::Usage(request.usage.as_ref().unwrap_or(&Usage::NONE)),
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
                self.thread.last_read = self.thread.last_read.max(Some(request.at));
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
    Tallied {
        at: hand.at,
        day,
        group: hand.group,
        no_id: hand.request_id.is_empty(),
        tokens_unknown: hand.tokens_unknown,
        thoughts_assumed: hand.thoughts_assumed,
        undated: hand.undated,
        usage: match hand.usage {
            Dealt::Usage(usage) => usage,
            _ => &Usage::NONE,
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
