//! Owns plain rows: canonical records in typed columns with nothing unusual in them, as nearly every row of a Parquet
//! file is. Reads a batch of them column by column, or gives a row up; what a row means, and what is wrong with one, is
//! for `canonical` alone, which gets it as a line.
//!
//! Columns that decide a fact hold few words, again and again, and mostly lie in a dictionary. So each word has a number,
//! the numbers of a row make its key, and what the strict decoder makes of the first row of a key holds for all others:
//!
//! ```text
//! project_id  model       status   …          key
//! "p" ─▶ 1    "m" ─▶ 2    200      …  ──▶  1│2│201│…   ──▶ what is known of rows with this key
//! ```
//!
//! **Invariants**
//! - Of a row that is read the strict decoder makes what this reader does: with equal keys two rows have equal facts,
//!   and neither is refused unless both are, their counts aside.
//! - The same holds of two keys that differ in nothing but the project, each row with its own, so that the strict decoder
//!   isn't asked once more for each project.
//! - Whatever isn't plain (a column of another type than usual, a count that is none, a time out of range, a member
//!   that is rare) is given up, never judged.
//! - What is kept from batch to batch is bounded: beyond so many words of a column its rows aren't plain.

mod counts;
mod keys;
mod words;

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Fields, TimeUnit};
use foldhash::fast::RandomState;
use hashbrown::HashSet;

use self::counts::{Details, MISSING, NO_COUNT, read_counts};
pub use self::keys::Key;
use self::keys::{FACTS, HAS_USAGE, KeyPart, fact};
use self::words::{NO_NUMBER, Text, Texts, Words};
use super::canonical::{Field, SHAPE};
use super::plain::Plain;
use super::usage_metadata::Member;
use crate::types::day::{Clock, Instant};
use crate::types::meter::QUANTITIES;
use crate::types::usage::{Counts, Usage, Whole};

/// A plain row written as a line is never longer, what nobody reads of it aside.
pub const LONGEST_PLAIN: usize = 64 << 10;

/// A status that is a number has that number as its word's, plus 1; words come after.
const STATUS_NUMBERS: u32 = 1000;

const LONGEST_ID: usize = 4 << 10;
const MOST_LABELS: usize = 16;

/// The counts of usageMetadata, and the lists of details: their places.
mod count {
    pub const PROMPT: usize = 0;
    pub const CANDIDATES: usize = 1;
    pub const TOTAL: usize = 2;
    pub const THOUGHTS: usize = 3;
    pub const CACHED: usize = 4;
    pub const TOOL: usize = 5;
}

mod details {
    pub const PROMPT: usize = 0;
    pub const CANDIDATES: usize = 1;
    pub const CACHED: usize = 2;
    pub const TOOL: usize = 3;
}

/// Reads batches of rows, and learns the words of their columns.
pub struct ColumnReader {
    words: [Words; FACTS.len()],
    clock: Clock,
    /// Of the batch that is read, by row.
    plain: Vec<bool>,
    /// The halves of keys.
    keys: [Vec<u64>; 2],
    at: Vec<Instant>,
    request_ids: Texts,
    /// Each empty where there is no such column; a missing one is 0, a total aside.
    counts: [Vec<u64>; 6],
    details: [Details; 4],
    quantities: Vec<(usize, Vec<u64>)>,
    quantities_read: usize,
    /// Rows that used nothing but text, neither cached nor of tools, and none whose parts exceed their whole.
    of_text: Vec<bool>,
}

impl Default for ColumnReader {
    fn default() -> ColumnReader {
        let words = |place: usize| {
            let numbers_before = if place == fact::STATUS { STATUS_NUMBERS } else { 0 };
            Words::new(numbers_before, (1 << FACTS[place].bits) - 1)
        };
        ColumnReader {
            words: std::array::from_fn(words),
            clock: Clock::default(),
            plain: Vec::new(),
            keys: Default::default(),
            at: Vec::new(),
            request_ids: Texts::None,
            counts: Default::default(),
            details: Default::default(),
            quantities: Vec::new(),
            quantities_read: 0,
            of_text: Vec::new(),
        }
    }
}

impl ColumnReader {
    /// Reads the columns of a batch; whether its rows can be plain. `is_row` says that a dotted column is a member of an
    /// object, and a cell may be JSON.
    pub fn read(&mut self, batch: &RecordBatch, is_row: bool) -> bool {
        let rows = batch.num_rows();
        self.plain.clear();
        self.plain.resize(rows, true);
        for half in &mut self.keys {
            half.clear();
            half.resize(rows, 0);
        }
        self.at.clear();
        self.let_go();
        self.counts.iter_mut().for_each(Vec::clear);
        self.details.iter_mut().for_each(Details::clear);
        self.quantities_read = 0;
        let columns = batch.schema_ref().fields();
        let read = names_differ(columns)
            && columns
                .iter()
                .zip(batch.columns())
                .all(|(column, array)| self.column(column.name(), array, is_row, columns).is_some())
            && self.at.len() == rows;
        if read {
            self.find_text(rows);
        }
        read
    }

    /// Finds the rows that used nothing but text, once all columns are read, which come in any order.
    fn find_text(&mut self, rows: usize) {
        let of_text = &mut self.of_text;
        of_text.clear();
        of_text.resize(rows, self.quantities_read == 0);
        for place in [count::CACHED, count::TOOL] {
            of_text.iter_mut().zip(&self.counts[place]).for_each(|(of_text, count)| *of_text &= *count == 0);
        }
        self.details[details::CACHED].rule_out_any(of_text);
        self.details[details::TOOL].rule_out_any(of_text);
        self.details[details::PROMPT].rule_out_other(&self.counts[count::PROMPT], of_text);
        self.details[details::CANDIDATES].rule_out_other(&self.counts[count::CANDIDATES], of_text);
    }

    /// Lets the pages go that the batch was in.
    pub fn let_go(&mut self) {
        self.request_ids = Texts::None;
    }

    /// Fills in the time and the id of a row of the batch that is read, if it is plain; gives its key.
    #[inline(always)]
    pub fn row<'r>(&'r self, row: usize, plain: &mut Plain<'r>) -> Option<Key> {
        let request_id = self.request_ids.bytes(row);
        if !self.plain[row] || request_id.len() > LONGEST_ID {
            return None;
        }
        (plain.at, plain.request_id) = (self.at[row], request_id);
        Some(Key::of_row(&self.keys, row))
    }

    /// Works out the usage of a row that is plain, by way of `counts`; whether they don't contradict themselves.
    #[inline(always)]
    pub fn usage_of(
        &self,
        row: usize,
        thoughts_outside: bool,
        counts: &mut Counts,
        usage: &mut Usage,
    ) -> bool {
        let count = |place: usize| self.counts[place].get(row).copied();
        let whole = Whole {
            prompt: count(count::PROMPT).unwrap_or(0),
            candidates: count(count::CANDIDATES).unwrap_or(0),
            total: count(count::TOTAL).filter(|total| *total != MISSING),
            thoughts: count(count::THOUGHTS).unwrap_or(0),
            thoughts_outside,
            ..Whole::default()
        };
        if self.of_text[row] {
            usage.fill_of_text(&whole);
            return true;
        }
        let (cached, tool) = (count(count::CACHED).unwrap_or(0), count(count::TOOL).unwrap_or(0));
        *counts = Counts { whole: Whole { cached, tool, ..whole }, ..Counts::default() };
        self.details[details::PROMPT].add_up(row, &mut counts.prompt_details);
        self.details[details::CANDIDATES].add_up(row, &mut counts.candidates_details);
        self.details[details::CACHED].add_up(row, &mut counts.cached_details);
        self.details[details::TOOL].add_up(row, &mut counts.tool_details);
        for (place, quantities) in &self.quantities[..self.quantities_read] {
            counts.quantities[*place] = quantities[row];
        }
        usage.fill_of_any(counts).is_ok()
    }

    /// A row's key without its project, and the project, if it has one. A project decides nothing but whose request it is:
    /// two rows that differ in nothing else have the same facts but for it, and neither is refused unless both are.
    pub fn without_project(&self, key: Key) -> Option<(Key, &str)> {
        let (rest, number) = key.without(fact::PROJECT);
        let project = self.words[fact::PROJECT].text(number)?;
        Some((rest, std::str::from_utf8(project).ok()?))
    }

    /// Reads a column; None where rows that have it can't be plain.
    fn column(&mut self, name: &str, array: &ArrayRef, is_row: bool, columns: &Fields) -> Option<()> {
        if !is_row {
            return Field::from_name(name).map_or(Some(()), |field| self.field(field, array, false));
        }
        let mut path = name.split('.');
        let (head, member, more) = (path.next()?, path.next(), path.next());
        // Rows may spell keys otherwise too.
        let is_named = |name: &str| SHAPE.fields.keep(&[name]);
        if !is_named(head) || member.is_some_and(|member| !SHAPE.fields.keep(&[head, member])) {
            return Some(());
        }
        let Some(field) = Field::from_name(head) else {
            return is_spelled_so(head).then_some(());
        };
        let Some(member) = member else {
            let is_dotted_too = columns.iter().any(|column| is_member_of(column.name(), head));
            return (!is_dotted_too).then(|| self.field(field, array, true))?;
        };
        if array.null_count() == array.len() {
            return Some(());
        }
        match field {
            _ if more.is_some() => None,
            Field::UsageMetadata => {
                let member = Member::from_name(member)?;
                self.usage_member(member, array, None, MISSING, true)?;
                let place = count_of(member);
                let counts = place.map_or(&mut [][..], |place| &mut self.counts[place]);
                for (row, key) in self.keys[0].iter_mut().enumerate() {
                    let is_there = counts.get(row).map_or(array.is_valid(row), |count| *count != MISSING);
                    *key |= if is_there { HAS_USAGE } else { 0 };
                }
                if place != Some(count::TOTAL) {
                    counts.iter_mut().filter(|count| **count == MISSING).for_each(|count| *count = 0);
                }
                Some(())
            }
            Field::Quantities => self.quantity(member, array, None),
            Field::Labels => {
                let texts = Text::of(array)?;
                texts.all_are(|text| !text.starts_with(['{', '['])).then_some(())
            }
            _ => self.nobody_has(array, None),
        }
    }

    fn field(&mut self, field: Field, array: &ArrayRef, is_row: bool) -> Option<()> {
        // Of any type it says nothing.
        if array.null_count() == array.len() {
            return Some(());
        }
        match field {
            Field::RequestId => {
                self.request_ids = Texts::of(array)?;
                Some(())
            }
            Field::Timestamp => self.times(array),
            Field::ProjectId => self.facts(fact::PROJECT, array, None),
            Field::Model => self.facts(fact::MODEL, array, None),
            Field::ModelVersion => self.facts(fact::MODEL_VERSION, array, None),
            Field::BaseModel => self.facts(fact::BASE_MODEL, array, None),
            Field::Method => self.facts(fact::METHOD, array, None),
            Field::Service => self.facts(fact::SERVICE, array, None),
            Field::ServiceTier => self.facts(fact::SERVICE_TIER, array, None),
            Field::UsageTier => self.facts(fact::USAGE_TIER, array, None),
            Field::Channel => self.facts(fact::CHANNEL, array, None),
            Field::Status => match Text::of(array) {
                Some(_) => self.facts(fact::STATUS, array, None),
                None => self.statuses(array),
            },
            // What is there is shown, and decides nothing.
            Field::ApiKeyId | Field::Region => Text::of(array).map(|_| ()),
            Field::LatencyMs => array.data_type().is_numeric().then_some(()),
            Field::Labels => self.labels(array),
            Field::UsageMetadata => self.usage(array.as_struct_opt()?, is_row),
            Field::Quantities => self.quantities(array.as_struct_opt()?),
            Field::Tools => match array.as_list_opt() {
                Some(tools) => self.tools(tools),
                None => self.nobody_has(array, None),
            },
            // Rare, and much about it can be wrong.
            Field::CachedContent => self.nobody_has(array, None),
        }
    }

    fn times(&mut self, array: &ArrayRef) -> Option<()> {
        let ColumnReader { at, plain, clock, .. } = self;
        let put = |(time, plain): (Option<Instant>, &mut bool)| {
            *plain &= time.is_some();
            time.unwrap_or_default()
        };
        let mut units = |times: &[i64], unit: i64| {
            let times = times.iter().map(|time| Instant::of_units(*time, unit));
            at.extend(times.zip(&mut *plain).map(put));
        };
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                units(array.as_primitive::<TimestampSecondType>().values(), 1_000_000_000)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                units(array.as_primitive::<TimestampMillisecondType>().values(), 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                units(array.as_primitive::<TimestampMicrosecondType>().values(), 1_000)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                units(array.as_primitive::<TimestampNanosecondType>().values(), 1)
            }
            _ => {
                let texts = Text::of(array)?;
                let times = (0..array.len()).map(|row| clock.parse(texts.bytes(row)));
                at.extend(times.zip(&mut *plain).map(put));
            }
        }
        each_null(array.nulls(), |rows| self.plain[rows].fill(false));
        Some(())
    }

    /// Reads a column of words. `above` says where what holds it is null.
    fn facts(&mut self, place: usize, array: &ArrayRef, above: Option<&NullBuffer>) -> Option<()> {
        let (words, nulls) = (&mut self.words[place], NullBuffer::union(above, array.nulls()));
        let mut put = KeyPart::new(place, &mut self.keys, &mut self.plain);
        match Text::of(array)? {
            Text::Coded(coded, dictionary) => {
                let numbers = words.learn(dictionary);
                put.coded(coded.keys().values(), nulls.as_ref(), numbers);
            }
            texts => {
                // The word of the row before, as a rule.
                let (mut last, mut last_number): (&[u8], u32) = (&[], 0);
                let numbers = (0..array.len()).map(|row| {
                    let is_there = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                    let text = texts.bytes(row);
                    if is_there && text != last {
                        (last, last_number) = (text, words.number(text));
                    }
                    last_number
                });
                put.all(&numbers.collect::<Vec<_>>(), nulls.as_ref(), |number| number);
            }
        }
        Some(())
    }

    fn statuses(&mut self, array: &ArrayRef) -> Option<()> {
        let mut statuses = Vec::new();
        read_counts(array, None, MISSING, &mut statuses)?;
        let mut put = KeyPart::new(fact::STATUS, &mut self.keys, &mut self.plain);
        // A missing one has 0.
        put.all(&statuses, None, |status| match status.wrapping_add(1) {
            number if number <= u64::from(STATUS_NUMBERS) => number as u32,
            _ => NO_NUMBER,
        });
        Some(())
    }

    fn tools(&mut self, tools: &ListArray) -> Option<()> {
        let texts = Text::of(tools.values())?;
        let words = &mut self.words[fact::TOOLS];
        let mut put = KeyPart::new(fact::TOOLS, &mut self.keys, &mut self.plain);
        let mut word = Vec::new();
        let numbers = (0..tools.len()).map(|row| {
            if tools.is_null(row) {
                return 0;
            }
            word.clear();
            // An empty list is another word than none.
            word.push(b'[');
            for tool in items(tools.offsets(), row) {
                let text = if tools.values().is_null(tool) { &[] } else { texts.bytes(tool) };
                word.extend_from_slice(&(text.len() as u64).to_le_bytes());
                word.extend_from_slice(text);
            }
            words.number(&word)
        });
        put.all(&numbers.collect::<Vec<_>>(), None, |number| number);
        Some(())
    }

    fn labels(&mut self, array: &ArrayRef) -> Option<()> {
        match array.data_type() {
            DataType::Struct(members) => {
                let is_text =
                    |column: &ArrayRef| Text::of(column).is_some() || column.null_count() == column.len();
                let are_texts = array.as_struct().columns().iter().all(is_text);
                (are_texts && names_differ(members)).then_some(())
            }
            DataType::Map(..) => {
                let map: &MapArray = array.as_map();
                let (names, _) = (Text::of(map.keys())?, Text::of(map.values())?);
                for row in 0..map.len() {
                    let labels = items(map.offsets(), row);
                    if labels.len() > 1 {
                        let differ = |label: usize| {
                            labels
                                .clone()
                                .take_while(|other| *other < label)
                                .all(|other| names.bytes(other) != names.bytes(label))
                        };
                        self.plain[row] &= labels.len() <= MOST_LABELS && labels.clone().all(differ);
                    }
                }
                Some(())
            }
            _ => None,
        }
    }

    fn usage(&mut self, usage: &StructArray, is_row: bool) -> Option<()> {
        let DataType::Struct(members) = usage.data_type() else { return None };
        if !names_differ(members) {
            return None;
        }
        each_valid(usage.nulls(), usage.len(), |rows| {
            self.keys[0][rows].iter_mut().for_each(|key| *key |= HAS_USAGE);
        });
        for (member, array) in members.iter().zip(usage.columns()) {
            match Member::from_name(member.name()) {
                None if is_row && !is_spelled_so(member.name()) => return None,
                None => {}
                Some(_) if array.null_count() == array.len() => {}
                Some(member) => self.usage_member(member, array, usage.nulls(), 0, is_row)?,
            }
        }
        Some(())
    }

    fn usage_member(
        &mut self,
        member: Member,
        array: &ArrayRef,
        above: Option<&NullBuffer>,
        missing: u64,
        is_row: bool,
    ) -> Option<()> {
        match (count_of(member), details_of(member), array.as_list_opt()) {
            (Some(place), ..) if is_number(array.data_type()) => {
                let missing = if place == count::TOTAL { MISSING } else { missing };
                let counts = &mut self.counts[place];
                if !read_counts(array, above, missing, counts)? {
                    self.plain.iter_mut().zip(counts).for_each(|(plain, count)| *plain &= *count != NO_COUNT);
                }
                Some(())
            }
            (_, Some(place), Some(list)) => self.details[place].read(list, above, is_row, &mut self.plain),
            _ if member == Member::ServiceTier => self.facts(fact::SERVED, array, above),
            // Rare, or of a type that is.
            _ => self.nobody_has(array, above),
        }
    }

    fn quantities(&mut self, quantities: &StructArray) -> Option<()> {
        let DataType::Struct(members) = quantities.data_type() else { return None };
        if !names_differ(members) {
            return None;
        }
        for (member, array) in members.iter().zip(quantities.columns()) {
            if array.null_count() < array.len() {
                self.quantity(member.name(), array, quantities.nulls())?;
            }
        }
        Some(())
    }

    fn quantity(&mut self, name: &str, array: &ArrayRef, above: Option<&NullBuffer>) -> Option<()> {
        let meter = QUANTITIES.iter().position(|meter| meter.name() == name);
        let Some(place) = meter.filter(|_| is_number(array.data_type())) else {
            return self.nobody_has(array, above);
        };
        if self.quantities.len() == self.quantities_read {
            self.quantities.push(Default::default());
        }
        let (own, counts) = &mut self.quantities[self.quantities_read];
        *own = place;
        counts.clear();
        read_counts(array, above, MISSING, counts)?;
        for ((key, plain), count) in self.keys[0].iter_mut().zip(&mut self.plain).zip(counts) {
            *plain &= *count != NO_COUNT;
            match *count {
                MISSING => *count = 0,
                _ => *key |= HAS_USAGE,
            }
        }
        self.quantities_read += 1;
        Some(())
    }

    /// Rows that have something in this column aren't plain.
    fn nobody_has(&mut self, array: &ArrayRef, above: Option<&NullBuffer>) -> Option<()> {
        let nulls = NullBuffer::union(above, array.nulls());
        for (row, plain) in self.plain.iter_mut().enumerate() {
            *plain &= nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        }
        Some(())
    }
}

/// Calls for the places where something is, all in a row at once.
#[inline(always)]
fn each_valid(nulls: Option<&NullBuffer>, length: usize, mut then: impl FnMut(Range<usize>)) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nulls.valid_slices().for_each(|(start, end)| then(start..end)),
        None => then(0..length),
    }
}

/// Calls for the places where nothing is, all in a row at once.
fn each_null(nulls: Option<&NullBuffer>, mut then: impl FnMut(Range<usize>)) {
    if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
        let mut at = 0;
        for (start, end) in nulls.valid_slices().chain([(nulls.len(), nulls.len())]) {
            if at < start {
                then(at..start);
            }
            at = end;
        }
    }
}

/// The place of a member that is a count.
fn count_of(member: Member) -> Option<usize> {
    match member {
        Member::PromptTokenCount => Some(count::PROMPT),
        Member::CandidatesTokenCount => Some(count::CANDIDATES),
        Member::TotalTokenCount => Some(count::TOTAL),
        Member::ThoughtsTokenCount => Some(count::THOUGHTS),
        Member::CachedContentTokenCount => Some(count::CACHED),
        Member::ToolUsePromptTokenCount => Some(count::TOOL),
        _ => None,
    }
}

/// The place of a member that is a list of details.
fn details_of(member: Member) -> Option<usize> {
    match member {
        Member::PromptTokensDetails => Some(details::PROMPT),
        Member::CandidatesTokensDetails => Some(details::CANDIDATES),
        Member::CacheTokensDetails => Some(details::CACHED),
        Member::ToolUsePromptTokensDetails => Some(details::TOOL),
        _ => None,
    }
}

/// Whether a column is there for a report of requests alone: of a type that can't be at fault.
pub fn is_only_shown(column: &arrow_schema::Field) -> bool {
    let is_text = |data_type: &DataType| {
        matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..))
    };
    match (Field::from_name(column.name()), column.data_type()) {
        (Some(Field::ApiKeyId | Field::Region), data_type) => is_text(data_type),
        (Some(Field::LatencyMs), data_type) => data_type.is_numeric(),
        (Some(Field::Labels), DataType::Struct(members)) => {
            members.iter().all(|member| is_text(member.data_type())) && names_differ(members)
        }
        _ => false,
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Where the items of a row's list are.
#[inline(always)]
fn items(offsets: &OffsetBuffer<i32>, row: usize) -> Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn names_differ(fields: &Fields) -> bool {
    let mut names = HashSet::with_capacity_and_hasher(fields.len(), RandomState::default());
    fields.iter().all(|field| names.insert(field.name().as_str()))
}

/// A key that isn't read, or is spelled as the record's own.
fn is_spelled_so(key: &str) -> bool {
    !SHAPE.fields.keep(&[key]) || SHAPE.fields.named.contains(&key) || SHAPE.fields.whole.contains(&key)
}

fn is_member_of(column: &str, object: &str) -> bool {
    column.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'))
}
