//! Owns plain lines: canonical records with nothing unusual in them, as nearly every line of a log is. Reads one at the
//! speed of its bytes or gives it up; what a line means, and what is wrong with one, is for `canonical` alone.
//!
//! The lines of a log are written by one program: keys come in one order, with the same space or none between them,
//! and few spellings of project, model, status and the like come again and again. So the reader
//!
//! - goes from value to value by joints: all that stands between two of them is compared in one step;
//! - looks at 32 bytes of a string in one step, for its end and for all that is unusual in it;
//! - reads times and counts, and copies every value that decides a fact into the line's *spelling*, unread.
//!
//! ```text
//! {"request_id":"r1","timestamp":"…","project_id":"p","model":"models/m","status":200,"usageMetadata":{…}}
//!                │                │                │            │               │                     │
//!            request_id        instant       spelling ◀── p ◀── models/m ◀── 200 ◀── serviceTier    counts
//! ```
//! The first line of a spelling is decoded strictly, and what comes of it is kept in [`Spellings`](super::spelling::Spellings) for all that follow.
//!
//! **Invariants**
//! - A line that is read is valid JSON in valid UTF-8, without a doubled key among those that are looked at, and the
//!   strict decoder makes of it what this reader does: with equal spellings two plain lines have equal facts, and
//!   neither is refused unless both are.
//! - Whatever isn't plain (an escape in a name, a count that is no plain number, a value of another type, a line that is
//!   cut off) is given up by `None`, never judged.
//! - Reading never goes beyond the bytes it is given; bytes after the line are looked at, but decide nothing.

use super::canonical::{self, Field};
#[cfg(target_arch = "x86_64")]
use super::cursor::Avx2;
use super::cursor::{Cursor, Escapes, Portable, STEP, Scan, short_number};
use super::joint::{Joints, Kept, Keys, Kind, Target, Value};
use super::spelling::Spelling;
use crate::types::day::{Clock, Instant};
use crate::types::detail::Detail;
use crate::types::meter::{ByModality, MODALITIES};
use crate::types::usage::Counts;

/// What is read of a plain line.
#[derive(Debug, Default)]
pub struct Plain<'line> {
    /// Without the newline, or the CR before it.
    pub line: &'line [u8],
    pub at: Instant,
    /// Empty when it isn't logged.
    pub request_id: &'line [u8],
    pub counts: Counts,
    kept: Ranges,
}

/// From where to where in the line what is kept goes, by its place.
type Ranges = [[u32; 2]; Kept::PLACES];

/// Reads plain lines, and learns from each how the next one goes.
pub struct PlainReader {
    joints: Joints,
    clock: Clock,
    spelling: Spelling,
    has_avx2: bool,
}

impl Default for PlainReader {
    fn default() -> PlainReader {
        PlainReader {
            joints: Joints::default(),
            clock: Clock::default(),
            spelling: Spelling::default(),
            has_avx2: has_avx2(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi1")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

impl<'line> Plain<'line> {
    /// What `--detail` shows.
    pub fn detail(&self) -> Detail<'line> {
        let text = |place| String::from_utf8_lossy(kept(self.line, &self.kept, place).unwrap_or_default());
        Detail {
            api_key_id: text(Kept::ApiKeyId),
            region: text(Kept::Region),
            latency_ms: text(Kept::LatencyMs),
            labels: canonical::labels_as_shown(&text(Kept::Labels)),
        }
    }
}

impl PlainReader {
    /// As on a processor without AVX2.
    pub fn without_avx2() -> PlainReader {
        PlainReader { has_avx2: false, ..PlainReader::default() }
    }

    /// Reads the line with which `bytes` begins into `plain`, if it is plain. More lines may follow it, and what isn't the log's any
    /// more from `end` on; a line within [`MARGIN`](super::cursor::MARGIN) of the end of `bytes` is never plain.
    #[inline]
    pub fn read<'line>(&mut self, bytes: &'line [u8], end: usize, plain: &mut Plain<'line>) -> Option<()> {
        #[cfg(target_arch = "x86_64")]
        if self.has_avx2 {
            // SAFETY: the processor has been asked for both.
            return unsafe { self.read_with_avx2(bytes, end, plain) };
        }
        self.read_with::<Portable>(bytes, end, plain)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1")]
    unsafe fn read_with_avx2<'line>(
        &mut self,
        bytes: &'line [u8],
        end: usize,
        plain: &mut Plain<'line>,
    ) -> Option<()> {
        self.read_with::<Avx2>(bytes, end, plain)
    }

    /// The values of the line read last that decide its facts.
    pub fn spelling(&self) -> &[u8] {
        self.spelling.as_bytes()
    }

    #[inline(always)]
    fn read_with<'line, S: Scan>(
        &mut self,
        bytes: &'line [u8],
        end: usize,
        plain: &mut Plain<'line>,
    ) -> Option<()> {
        let mut cursor = Cursor::<S>::new(bytes);
        let PlainReader { joints, spelling, .. } = self;
        let mut values = Values::new(spelling);
        joints.begin_line();
        let (mut keys, mut place, mut at) = (0, 0, 0);
        loop {
            let window = bytes.get(at..)?.first_chunk()?;
            let before = place;
            place = joints.list[usize::from(before)].next[0];
            if !S::begins(window, &joints.list[usize::from(place)].text) {
                place = joints.other::<S>(before, window, bytes, at)?;
            }
            let joint = &joints.list[usize::from(place)];
            if keys & joint.keys != 0 {
                return None;
            }
            keys |= joint.keys;
            at += joint.text.length();
            let value = joint.value;
            let chunk = window[joint.text.length()..].first_chunk()?;
            if value.kind <= Kind::SkippedText {
                let run = S::plain_run(chunk);
                if run < STEP && chunk[run] == b'"' {
                    values.keep(value.place, at, at + run);
                    at += run + 1;
                    if value.tag != 0 {
                        values.spelling.push_short(value.tag, chunk, run)?;
                    }
                    continue;
                }
            } else if value.kind <= Kind::Number {
                if let Some((number, length)) = short_number(chunk) {
                    if value.kind == Kind::Count {
                        values.add(value.place, number);
                    } else {
                        values.keep(value.place, at, at + length);
                        if value.tag != 0 {
                            values.spelling.push_short(value.tag, chunk, length)?;
                        }
                    }
                    at += length;
                    continue;
                }
            } else if value.kind == Kind::End {
                break;
            }
            cursor.at = at;
            values.read(value, &mut cursor)?;
            at = cursor.at;
        }
        let line = &bytes[..at];
        let ends = matches!(bytes.get(at..end)?, [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..]);
        if !ends || line.len() > LONGEST || !cursor.is_ascii && std::str::from_utf8(line).is_err() {
            return None;
        }
        let (keys, nulls) = (Keys(keys), values.nulls);
        let tag = if keys.has_usage(nulls) { Spelling::WITH_USAGE } else { Spelling::WITHOUT_USAGE };
        values.spelling.end(tag)?;
        plain.at = self.clock.parse(kept(line, &values.kept, Kept::Timestamp)?)?;
        plain.request_id = kept(line, &values.kept, Kept::RequestId)?;
        values.kept[Kept::Nowhere as usize] = [0; 2];
        (plain.line, plain.kept) = (line, values.kept);
        set_counts(&mut plain.counts, &values.counts);
        plain.counts.whole.total =
            keys.has_total(nulls).then_some(values.counts[usize::from(Target::TOTAL.0)]);
        plain.counts.whole.thoughts_outside = keys.is_live(nulls);
        Some(())
    }
}

/// The values of a line that is being read.
struct Values<'r> {
    kept: Ranges,
    counts: [u64; Target::COUNT],
    /// A bit for each target whose count is null.
    nulls: u64,
    spelling: &'r mut Spelling,
}

impl<'r> Values<'r> {
    #[inline(always)]
    fn new(spelling: &'r mut Spelling) -> Values<'r> {
        spelling.clear();
        Values { kept: Ranges::default(), counts: [0; Target::COUNT], nulls: 0, spelling }
    }

    #[inline(always)]
    fn keep(&mut self, place: u8, start: usize, end: usize) {
        self.kept[usize::from(place) % Kept::PLACES] = [start as u32, end as u32];
    }

    /// Adds a count to its target. Only of a line that is too long to be plain it may wrap around.
    #[inline(always)]
    fn add(&mut self, target: u8, count: u64) {
        let sum = &mut self.counts[usize::from(target)];
        *sum = sum.wrapping_add(count);
    }

    /// Reads any value.
    #[inline(never)]
    fn read<S: Scan>(&mut self, value: Value, cursor: &mut Cursor<'_, S>) -> Option<()> {
        let Value { kind, place, tag } = value;
        if kind > Kind::SkippedText {
            cursor.space();
        }
        let start = cursor.at;
        match kind {
            Kind::Nothing => {}
            Kind::Text | Kind::SkippedText => {
                let escapes = if kind == Kind::Text { Escapes::Unusual } else { Escapes::Skipped };
                let text = cursor.string(escapes)?;
                self.keep(place, start, start + text.len());
                if tag != 0 {
                    self.spelling.push(tag, text)?;
                }
            }
            Kind::Skipped => cursor.skip(0)?,
            Kind::Count if cursor.null()? => self.nulls |= 1 << place,
            Kind::Count => self.add(place, cursor.count()?),
            // A status.
            Kind::Number if tag != 0 => {
                cursor.text_or_digits()?;
                self.spelling.push(tag, &cursor.bytes[start..cursor.at])?;
            }
            _ if cursor.null()? => {}
            Kind::Number => {
                cursor.number()?;
                self.keep(place, start, cursor.at);
            }
            Kind::Labels => {
                cursor.labels()?;
                self.keep(Kept::Labels as u8, start, cursor.at);
            }
            Kind::Tools => {
                cursor.tools()?;
                self.spelling.push(Field::Tools as u8, &cursor.bytes[start..cursor.at])?;
            }
            Kind::End | Kind::Unknown => return None,
        }
        Some(())
    }
}

/// What a line keeps at a place; empty when it isn't logged.
#[inline(always)]
fn kept<'line>(line: &'line [u8], ranges: &Ranges, place: Kept) -> Option<&'line [u8]> {
    let [start, end] = ranges[place as usize];
    line.get(start as usize..end as usize)
}

/// A longer line isn't plain, so that sums of forged details stay in 64 bits, and places in a line in 32.
const LONGEST: usize = 1 << 24;

#[inline(always)]
fn set_counts(counts: &mut Counts, values: &[u64; Target::COUNT]) {
    let count = |target: Target| values[usize::from(target.0)];
    let details = |first: Target, details: &mut ByModality| {
        details.copy_from_slice(&values[usize::from(first.0)..usize::from(first.0) + MODALITIES]);
    };
    counts.whole.prompt = count(Target::PROMPT);
    counts.whole.cached = count(Target::CACHED);
    counts.whole.candidates = count(Target::CANDIDATES);
    counts.whole.tool = count(Target::TOOL);
    counts.whole.thoughts = count(Target::THOUGHTS);
    details(Target::PROMPT_DETAILS, &mut counts.prompt_details);
    details(Target::CACHED_DETAILS, &mut counts.cached_details);
    details(Target::CANDIDATES_DETAILS, &mut counts.candidates_details);
    details(Target::TOOL_DETAILS, &mut counts.tool_details);
    counts.quantities.copy_from_slice(&values[usize::from(Target::QUANTITIES.0)..]);
}

/// What only the record has.
impl<'line, S: Scan> Cursor<'line, S> {
    /// Reads a list of texts.
    #[inline(never)]
    fn tools(&mut self) -> Option<()> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.text()?;
            if !self.comma(b']')? {
                return Some(());
            }
        }
    }

    /// Reads an object of a few texts, no two of one name.
    #[inline(never)]
    fn labels(&mut self) -> Option<()> {
        let mut names: [&[u8]; 16] = [&[]; 16];
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        for count in 0..names.len() {
            self.expect(b'"')?;
            let name = self.string(Escapes::Unusual)?;
            if names[..count].contains(&name) {
                return None;
            }
            names[count] = name;
            self.space();
            self.expect(b':')?;
            self.space();
            self.text()?;
            if !self.comma(b'}')? {
                return Some(());
            }
        }
        None
    }
}
