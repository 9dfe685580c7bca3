//! Owns plain lines: canonical records with nothing unusual in them, as nearly every line of a log is. Reads one at the
//! speed of its bytes or gives it up; what a line means, and what is wrong with one, is for `canonical` alone.
//!
//! The lines of a log are written by one program: keys come in one order, with the same space or none between them,
//! and few spellings of project, model, status and the like come again and again. So the reader
//!
//! - foretells each key from the key before it and compares it whole, colon included, before it looks for one;
//! - looks at 32 bytes of a string in one step, for its end and for all that is unusual in it;
//! - reads times and counts, and copies every value that decides a fact into the line's *spelling*, unread.
//!
//! ```text
//! {"request_id":"r1","timestamp":"…","project_id":"p","model":"models/m","status":200,"usageMetadata":{…}}
//!                │                │                │            │               │                     │
//!            request_id        instant       spelling ◀── p ◀── models/m ◀── 200 ◀── serviceTier    counts
//! ```
//! The first line of a spelling is decoded strictly, and what comes of it is kept in [`Spellings`] for all that follow.
//!
//! **Invariants**
//! - A line that is read is valid JSON in valid UTF-8, without a doubled key among those that are looked at, and the
//!   strict decoder makes of it what this reader does: with equal spellings two plain lines have equal facts, and
//!   neither is refused unless both are.
//! - Whatever isn't plain (an escape in a name, a count that is no plain number, a value of another type, a line that is
//!   cut off) is given up by `None`, never judged.
//! - Reading never goes beyond the bytes it is given; bytes after the line are looked at, but decide nothing.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::canonical::{self, Field};
use super::usage_metadata::{GREATEST_SUM, Member};
use crate::prefetch::prefetch;
use crate::types::day::{Clock, Instant};
use crate::types::detail::Detail;
use crate::types::meter::{ByModality, Modality, QUANTITIES};
use crate::types::usage::{Counts, GREATEST_COUNT};

/// What is read of a plain line.
#[derive(Debug, Default)]
pub struct Plain<'line> {
    /// Without the newline, or the CR before it.
    pub line: &'line [u8],
    pub at: Instant,
    /// Empty when it isn't logged, as the names below.
    pub request_id: &'line [u8],
    pub project_id: &'line [u8],
    pub counts: Counts,
    pub api_key_id: &'line [u8],
    pub region: &'line [u8],
    pub latency_ms: &'line [u8],
    /// A JSON object of texts.
    pub labels: &'line [u8],
}

/// Reads plain lines, and learns from each how the next one goes.
pub struct PlainReader {
    fields: Keys<Field>,
    members: Keys<Member>,
    details: Keys<Entry>,
    quantities: Keys<Quantity>,
    clock: Clock,
    spelling: Spelling,
    has_avx2: bool,
}

/// Of an entry of token details.
#[derive(Clone, Copy)]
enum Entry {
    Modality,
    TokenCount,
}

/// A meter of `quantities`, by its place.
#[derive(Clone, Copy)]
struct Quantity(u8);

impl Default for PlainReader {
    fn default() -> PlainReader {
        let detail = |name: &str| match name {
            "modality" => Some(Entry::Modality),
            "tokenCount" => Some(Entry::TokenCount),
            _ => None,
        };
        fn quantity(name: &str) -> Option<Quantity> {
            QUANTITIES.iter().position(|meter| meter.name() == name).map(|place| Quantity(place as u8))
        }
        PlainReader {
            fields: Keys::new(Field::from_name),
            members: Keys::new(Member::from_name),
            details: Keys::new(detail),
            quantities: Keys::new(quantity),
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

impl Plain<'_> {
    /// What `--detail` shows.
    pub fn detail(&self) -> Detail<'_> {
        Detail {
            api_key_id: String::from_utf8_lossy(self.api_key_id),
            region: String::from_utf8_lossy(self.region),
            latency_ms: String::from_utf8_lossy(self.latency_ms),
            labels: canonical::labels_as_shown(&String::from_utf8_lossy(self.labels)),
        }
    }
}

impl PlainReader {
    /// As on a processor without AVX2.
    pub fn without_avx2() -> PlainReader {
        PlainReader { has_avx2: false, ..PlainReader::default() }
    }

    /// Reads the line with which `bytes` begins into `plain`, if it is plain. More lines may follow it, and what isn't the log's any
    /// more from `end` on; a line within [`MARGIN`] of the end of `bytes` is never plain.
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
        &self.spelling.bytes[..self.spelling.length]
    }

    #[inline(always)]
    fn read_with<'line, S: Scan>(
        &mut self,
        bytes: &'line [u8],
        end: usize,
        plain: &mut Plain<'line>,
    ) -> Option<()> {
        *plain = Plain::default();
        let mut cursor = Cursor::<S>::new(bytes);
        let spelling = &mut self.spelling;
        spelling.length = 0;
        let (mut has_time, mut has_usage) = (false, false);
        let mut seen = 0u32;
        let mut key = 0;
        cursor.expect(b'{')?;
        loop {
            key = cursor.key(&mut self.fields, key)?;
            let Some(field) = self.fields.list[usize::from(key)].field else {
                cursor.skip(0)?;
                if cursor.comma(b'}')? {
                    continue;
                }
                break;
            };
            let bit = 1 << field as u32;
            if seen & bit != 0 {
                return None;
            }
            seen |= bit;
            match field {
                Field::Timestamp => {
                    cursor.expect(b'"')?;
                    let text = cursor.string(Escapes::Unusual)?;
                    plain.at = self.clock.parse(text)?;
                    has_time = true;
                }
                // One place for all of them: as many as there are fields would not fit where code is fast.
                Field::RequestId
                | Field::ApiKeyId
                | Field::Region
                | Field::ProjectId
                | Field::Model
                | Field::Method
                | Field::ServiceTier
                | Field::UsageTier
                | Field::Channel
                | Field::Service
                | Field::BaseModel
                | Field::ModelVersion => {
                    let text = cursor.text()?;
                    match field {
                        Field::RequestId => plain.request_id = text,
                        Field::ApiKeyId => plain.api_key_id = text,
                        Field::Region => plain.region = text,
                        _ => {
                            if let Field::ProjectId = field {
                                plain.project_id = text;
                            }
                            spelling.push(field as u8, bytes, cursor.at - 1, text.len())?;
                        }
                    }
                }
                Field::Status => {
                    if cursor.peek()? == b'"' {
                        let text = cursor.text()?;
                        spelling.push(Spelling::STATUS_TEXT, bytes, cursor.at - 1, text.len())?;
                    } else {
                        let digits = cursor.digits()?;
                        spelling.push(field as u8, bytes, cursor.at, digits.len())?;
                    }
                }
                Field::Tools => {
                    if !cursor.null()? {
                        let start = cursor.at;
                        cursor.tools()?;
                        spelling.push(field as u8, bytes, cursor.at, cursor.at - start)?;
                    }
                }
                Field::LatencyMs => {
                    if !cursor.null()? {
                        plain.latency_ms = cursor.number()?;
                    }
                }
                Field::Labels => {
                    if !cursor.null()? {
                        let start = cursor.at;
                        cursor.labels()?;
                        plain.labels = &bytes[start..cursor.at];
                    }
                }
                Field::UsageMetadata => {
                    if !cursor.null()? {
                        has_usage = true;
                        cursor.usage(&mut self.members, &mut self.details, &mut plain.counts, spelling)?;
                    }
                }
                Field::Quantities => {
                    if !cursor.null()? {
                        has_usage |= cursor.quantities(&mut self.quantities, &mut plain.counts)?;
                    }
                }
                // Rare, and much about it can be wrong.
                Field::CachedContent => return None,
            }
            if !cursor.comma(b'}')? {
                break;
            }
        }
        if !has_time {
            return None;
        }
        spelling.push(if has_usage { Spelling::WITH_USAGE } else { Spelling::WITHOUT_USAGE }, bytes, 0, 0)?;
        let length = cursor.at;
        let ends = matches!(bytes.get(length..end)?, [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..]);
        plain.line = &bytes[..length];
        if !ends || !cursor.is_ascii && std::str::from_utf8(plain.line).is_err() {
            return None;
        }
        Some(())
    }
}

/// Bytes that are looked at in one step, and that must follow wherever one begins.
const STEP: usize = 32;
/// A line that ends closer than this to the end of its buffer is never plain.
pub const MARGIN: usize = 2 * STEP;

/// How a string is looked at. Two ways that give the same.
trait Scan {
    /// How many bytes come before the first that is a quote, a backslash, a control character or no ASCII.
    fn plain_run(chunk: &[u8; STEP]) -> usize;

    /// Whether a chunk begins with a text.
    fn begins(chunk: &[u8; STEP], text: &Text) -> bool;
}

/// A text of at most [`STEP`] bytes, as it is compared in one step.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; STEP],
    /// A bit for each of its bytes.
    bits: u32,
    length: u8,
}

impl Text {
    /// Which nothing begins with: no line has a NUL, and of a broken one that has not a byte is gone over.
    const NONE: Text = Text { bytes: [0; STEP], bits: u32::MAX, length: 0 };

    const fn new(text: &[u8]) -> Text {
        let mut bytes = [0; STEP];
        let mut place = 0;
        while place < text.len() {
            bytes[place] = text[place];
            place += 1;
        }
        Text { bytes, bits: (u32::MAX as u64 >> (STEP - text.len())) as u32, length: text.len() as u8 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

struct Portable;

impl Scan for Portable {
    #[inline(always)]
    fn plain_run(chunk: &[u8; STEP]) -> usize {
        for (place, word) in chunk.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            let special = special_bytes(word);
            if special != 0 {
                return place * 8 + special.trailing_zeros() as usize / 8;
            }
        }
        STEP
    }

    #[inline(always)]
    fn begins(chunk: &[u8; STEP], text: &Text) -> bool {
        text.length > 0 && chunk.starts_with(text.as_bytes())
    }
}

/// Of eight bytes: the high bit of each that is a quote, a backslash, a control character or no ASCII. A byte after such
/// a one may be marked too; only the first mark is used.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero_in(word ^ (ONES * u64::from(b'"')));
    let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control | word) & HIGH
}

#[cfg(target_arch = "x86_64")]
struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Scan for Avx2 {
    #[inline(always)]
    fn plain_run(chunk: &[u8; STEP]) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: only `read_with_avx2` reads with this, and a chunk has as many bytes as are loaded.
        unsafe {
            let bytes = _mm256_loadu_si256(chunk.as_ptr().cast());
            let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
            let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
            // As signed bytes those that are no ASCII are below 0, so below the first plain one too.
            let below = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
            let special = _mm256_or_si256(_mm256_or_si256(quote, backslash), below);
            (_mm256_movemask_epi8(special) as u32).trailing_zeros() as usize
        }
    }

    #[inline(always)]
    fn begins(chunk: &[u8; STEP], text: &Text) -> bool {
        use std::arch::x86_64::*;
        // SAFETY: as above.
        unsafe {
            let bytes = _mm256_loadu_si256(chunk.as_ptr().cast());
            let wanted = _mm256_loadu_si256(text.bytes.as_ptr().cast());
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, wanted)) as u32 & text.bits == text.bits
        }
    }
}

/// Whether a string may have escapes: where it is only skipped.
#[derive(Clone, Copy, PartialEq)]
enum Escapes {
    Skipped,
    Unusual,
}

/// A place in a line. Every step gives None where the line isn't plain.
struct Cursor<'line, S> {
    bytes: &'line [u8],
    at: usize,
    /// So far; if not, the whole line's UTF-8 is checked at the end.
    is_ascii: bool,
    scan: std::marker::PhantomData<S>,
}

impl<'line, S: Scan> Cursor<'line, S> {
    fn new(bytes: &'line [u8]) -> Cursor<'line, S> {
        Cursor { bytes, at: 0, is_ascii: true, scan: std::marker::PhantomData }
    }

    #[inline(always)]
    fn chunk(&self) -> Option<&'line [u8; STEP]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// After a member or an item: whether another one comes.
    #[inline(always)]
    fn comma(&mut self, bracket: u8) -> Option<bool> {
        let [mut byte, mut next] = *self.bytes.get(self.at..)?.first_chunk()?;
        if byte == b' ' {
            self.space();
            [byte, next] = *self.bytes.get(self.at..)?.first_chunk()?;
        }
        self.at += 1;
        if byte == b',' {
            if next == b' ' {
                self.space();
            }
            return Some(true);
        }
        (byte == bracket).then_some(false)
    }

    /// Reads a key and its colon; gives its place. `before` is the place of the key before it.
    #[inline(always)]
    fn key<F: Copy>(&mut self, keys: &mut Keys<F>, before: u8) -> Option<u8> {
        let chunk = self.chunk()?;
        let foretold = keys.list[usize::from(before)].next;
        let key = &keys.list[usize::from(foretold)];
        let mut found = foretold;
        if S::begins(chunk, &key.text) {
            self.at += usize::from(key.text.length);
        } else {
            found = keys.list[usize::from(before)].second;
            let key = &keys.list[usize::from(found)];
            if S::begins(chunk, &key.text) {
                self.at += usize::from(key.text.length);
            } else {
                found = self.other_key(keys)?;
            }
            let before = &mut keys.list[usize::from(before)];
            (before.next, before.second) = (found, foretold);
        }
        if self.peek()? == b' ' {
            self.space();
        }
        Some(found)
    }

    /// Reads a key that wasn't foretold.
    #[inline(never)]
    fn other_key<F: Copy>(&mut self, keys: &mut Keys<F>) -> Option<u8> {
        let start = self.at;
        self.expect(b'"')?;
        let name = std::str::from_utf8(self.string(Escapes::Unusual)?).ok()?;
        self.space();
        self.expect(b':')?;
        Some(keys.find(name, &self.bytes[start..self.at]))
    }

    /// Reads the rest of a string, whose quote was read; gives what is in it.
    #[inline(always)]
    fn string(&mut self, escapes: Escapes) -> Option<&'line [u8]> {
        let start = self.at;
        loop {
            let run = S::plain_run(self.chunk()?);
            self.at += run;
            if run < STEP {
                if self.bytes[self.at] == b'"' {
                    self.at += 1;
                    return Some(&self.bytes[start..self.at - 1]);
                }
                self.unusual_byte(escapes)?;
            }
        }
    }

    /// Goes over what isn't ASCII, or an escape.
    #[inline(never)]
    fn unusual_byte(&mut self, escapes: Escapes) -> Option<()> {
        match self.peek()? {
            0x80.. => {
                self.is_ascii = false;
                while self.peek()? >= 0x80 {
                    self.at += 1;
                }
                Some(())
            }
            b'\\' if escapes == Escapes::Skipped => self.escape(),
            _ => None,
        }
    }

    /// Goes over an escape. A surrogate has its other half right behind it.
    fn escape(&mut self) -> Option<()> {
        let unit = |bytes: &[u8]| {
            let digits = bytes.get(..4)?;
            digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
        };
        let rest = self.bytes.get(self.at..)?;
        self.at += match rest {
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'\\', b'u', high @ ..] => match unit(high)? {
                0xd800..=0xdbff => {
                    let low = high[4..].strip_prefix(b"\\u")?;
                    (0xdc00..=0xdfff).contains(&unit(low)?).then_some(12)?
                }
                0xdc00..=0xdfff => return None,
                _ => 6,
            },
            _ => return None,
        };
        Some(())
    }

    /// Reads a text; empty when it is null.
    #[inline(always)]
    fn text(&mut self) -> Option<&'line [u8]> {
        if self.peek()? == b'"' {
            self.at += 1;
            return self.string(Escapes::Unusual);
        }
        self.null()?.then_some(&[])
    }

    /// Reads null, if it is there.
    #[inline(always)]
    fn null(&mut self) -> Option<bool> {
        let is_null = self.peek()? == b'n';
        if is_null {
            self.word(b"null")?;
        }
        Some(is_null)
    }

    #[inline(never)]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Reads a whole number without a sign; gives its digits.
    #[inline(always)]
    fn digits(&mut self) -> Option<&'line [u8]> {
        let start = self.at;
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        let digits = &self.bytes[start..self.at];
        let is_plain = match digits {
            [] | [b'0', _, ..] => false,
            _ => !matches!(self.peek()?, b'.' | b'e' | b'E'),
        };
        is_plain.then_some(digits)
    }

    /// Reads any number.
    fn number(&mut self) -> Option<&'line [u8]> {
        let start = self.at;
        let digits = |cursor: &mut Self| {
            let start = cursor.at;
            while cursor.peek()?.is_ascii_digit() {
                cursor.at += 1;
            }
            (cursor.at > start).then_some(start)
        };
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let whole = digits(self)?;
        if self.bytes[whole] == b'0' && self.at > whole + 1 {
            return None;
        }
        if self.peek()? == b'.' {
            self.at += 1;
            digits(self)?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            digits(self)?;
        }
        Some(&self.bytes[start..self.at])
    }

    /// Reads a count; None inside when it is null.
    #[inline(always)]
    fn count(&mut self) -> Option<Option<u64>> {
        let word: &[u8; 8] = self.bytes.get(self.at..)?.first_chunk()?;
        let digits = u64::from_le_bytes(*word) ^ 0x3030_3030_3030_3030;
        // The high half of a byte that is no digit isn't 0, or isn't after 6 is added. What is carried over comes after
        // the first such byte, and only the first counts.
        let others = (digits | digits.wrapping_add(0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0;
        let length = others.trailing_zeros() / 8;
        if length == 0 || length == 8 {
            return self.unusual_count();
        }
        // Whoever looks what comes next finds a point or an exponent there.
        if length > 1 && word[0] == b'0' {
            return None;
        }
        self.at += length as usize;
        Some(Some(eight_digits(digits << (64 - 8 * length))))
    }

    #[inline(never)]
    fn unusual_count(&mut self) -> Option<Option<u64>> {
        if self.null()? {
            return Some(None);
        }
        let digits = self.digits().filter(|digits| digits.len() <= 15)?;
        let count = digits.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
        (count <= GREATEST_COUNT).then_some(Some(count))
    }

    /// Reads usageMetadata.
    #[inline(always)]
    fn usage(
        &mut self,
        members: &mut Keys<Member>,
        entries: &mut Keys<Entry>,
        counts: &mut Counts,
        spelling: &mut Spelling,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        // Of two members that say the same the first of these counts, wherever it stands.
        let (mut has_candidates, mut has_prompt_details, mut has_candidates_details) = (false, false, false);
        let mut seen = 0u32;
        let mut key = 0;
        loop {
            key = self.key(members, key)?;
            if let Some(member) = members.list[usize::from(key)].field {
                let bit = 1 << member as u32;
                if seen & bit != 0 {
                    return None;
                }
                seen |= bit;
                match member {
                    Member::PromptTokenCount
                    | Member::CandidatesTokenCount
                    | Member::ResponseTokenCount
                    | Member::TotalTokenCount
                    | Member::ThoughtsTokenCount
                    | Member::CachedContentTokenCount
                    | Member::ToolUsePromptTokenCount => {
                        let count = self.count()?;
                        match (member, count) {
                            (Member::PromptTokenCount, _) => counts.prompt = count.unwrap_or(0),
                            (Member::CandidatesTokenCount, Some(count)) => {
                                (counts.candidates, has_candidates) = (count, true);
                            }
                            (Member::ResponseTokenCount, Some(count)) => {
                                counts.thoughts_outside = true;
                                counts.candidates = if has_candidates { counts.candidates } else { count };
                            }
                            (Member::TotalTokenCount, _) => counts.total = count,
                            (Member::ThoughtsTokenCount, _) => counts.thoughts = count.unwrap_or(0),
                            (Member::CachedContentTokenCount, _) => counts.cached = count.unwrap_or(0),
                            (Member::ToolUsePromptTokenCount, _) => counts.tool = count.unwrap_or(0),
                            _ => {}
                        }
                    }
                    Member::PromptTokensDetails
                    | Member::PromptTokenDetails
                    | Member::CandidatesTokensDetails
                    | Member::ResponseTokensDetails
                    | Member::CacheTokensDetails
                    | Member::ToolUsePromptTokensDetails => {
                        let mut details = ByModality::default();
                        let is_there = self.details(entries, &mut details)?;
                        match member {
                            Member::PromptTokensDetails if is_there => {
                                (counts.prompt_details, has_prompt_details) = (details, true);
                            }
                            Member::PromptTokenDetails if is_there && !has_prompt_details => {
                                counts.prompt_details = details;
                            }
                            Member::CandidatesTokensDetails if is_there => {
                                (counts.candidates_details, has_candidates_details) = (details, true);
                            }
                            Member::ResponseTokensDetails if is_there => {
                                counts.thoughts_outside = true;
                                if !has_candidates_details {
                                    counts.candidates_details = details;
                                }
                            }
                            Member::CacheTokensDetails => counts.cached_details = details,
                            Member::ToolUsePromptTokensDetails => counts.tool_details = details,
                            _ => {}
                        }
                    }
                    Member::ServiceTier => {
                        let text = self.text()?;
                        spelling.push(Spelling::SERVED, self.bytes, self.at - 1, text.len())?;
                    }
                    // Another bill's.
                    Member::TrafficType => return None,
                }
            } else {
                self.skip(1)?;
            }
            if !self.comma(b'}')? {
                return Some(());
            }
        }
    }

    /// Adds up a list of `{modality, tokenCount}` by modality; gives whether it is one, and not null.
    #[inline(always)]
    fn details(&mut self, entries: &mut Keys<Entry>, sums: &mut ByModality) -> Option<bool> {
        if self.null()? {
            return Some(false);
        }
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(true);
        }
        loop {
            if let Some(modality) = self.usual_entry() {
                let sum = &mut sums[modality as usize];
                *sum = (*sum + self.count()?.unwrap_or(0)).min(GREATEST_SUM);
                self.expect(b'}')?;
                if !self.comma(b']')? {
                    return Some(true);
                }
                continue;
            }
            self.expect(b'{')?;
            let (mut modality, mut tokens) = (None, None);
            let mut key = 0;
            loop {
                key = self.key(entries, key)?;
                match entries.list[usize::from(key)].field {
                    Some(Entry::Modality) if modality.is_none() => {
                        self.expect(b'"')?;
                        let word = std::str::from_utf8(self.string(Escapes::Unusual)?).ok()?;
                        modality = Some(Modality::from_log(word).filter(|_| !word.is_empty())?);
                    }
                    Some(Entry::TokenCount) if tokens.is_none() => tokens = Some(self.count()?.unwrap_or(0)),
                    Some(_) => return None,
                    None => self.skip(3)?,
                }
                if !self.comma(b'}')? {
                    break;
                }
            }
            let sum = &mut sums[modality.unwrap_or(Modality::Text) as usize];
            *sum = (*sum + tokens.unwrap_or(0)).min(GREATEST_SUM);
            if !self.comma(b']')? {
                return Some(true);
            }
        }
    }

    /// Reads an entry of details up to its count, if it is written as nearly all are.
    #[inline(always)]
    fn usual_entry(&mut self) -> Option<Modality> {
        /// How one begins, and what comes between its modality and its count: with spaces and without.
        const STYLES: [(Text, Text); 2] = [
            (Text::new(br#"{"modality":""#), Text::new(br#"","tokenCount":"#)),
            (Text::new(br#"{"modality": ""#), Text::new(br#"", "tokenCount": "#)),
        ];
        const fn word(word: &[u8; 8]) -> u64 {
            u64::from_le_bytes(*word)
        }
        let chunk = self.chunk()?;
        for (head, middle) in &STYLES {
            if !S::begins(chunk, head) {
                continue;
            }
            let start = usize::from(head.length);
            let name = u64::from_le_bytes(*chunk[start..].first_chunk()?);
            const FIVE: u64 = u64::MAX >> 24;
            const SIX: u64 = u64::MAX >> 16;
            let (modality, length) = match name & FIVE {
                five if five == word(b"TEXT\"\0\0\0") => (Modality::Text, 4),
                _ => match name & SIX {
                    six if six == word(b"IMAGE\"\0\0") => (Modality::Image, 5),
                    six if six == word(b"AUDIO\"\0\0") => (Modality::Audio, 5),
                    six if six == word(b"VIDEO\"\0\0") => (Modality::Video, 5),
                    _ if name == word(b"DOCUMENT") => (Modality::Document, 8),
                    _ => return None,
                },
            };
            let end = self.at + start + length;
            if !S::begins(self.bytes.get(end..)?.first_chunk()?, middle) {
                return None;
            }
            self.at = end + usize::from(middle.length);
            return Some(modality);
        }
        None
    }

    /// Reads `quantities`; whether there is one.
    #[inline(never)]
    fn quantities(&mut self, keys: &mut Keys<Quantity>, counts: &mut Counts) -> Option<bool> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(false);
        }
        let (mut key, mut seen, mut is_any) = (0, 0u32, false);
        loop {
            key = self.key(keys, key)?;
            let Quantity(place) = keys.list[usize::from(key)].field?;
            if seen & 1 << place != 0 {
                return None;
            }
            seen |= 1 << place;
            if let Some(count) = self.count()? {
                is_any = true;
                counts.quantities[usize::from(place)] = count;
            }
            if !self.comma(b'}')? {
                return Some(is_any);
            }
        }
    }

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

    /// Goes over any value, proving it valid. `depth` is how deep it lies.
    #[inline(always)]
    fn skip(&mut self, depth: usize) -> Option<()> {
        if self.peek()? == b'"' {
            self.at += 1;
            self.string(Escapes::Skipped)?;
            return Some(());
        }
        self.skip_other(depth)
    }

    #[inline(never)]
    fn skip_other(&mut self, depth: usize) -> Option<()> {
        /// As deep as a plain line goes.
        const DEEPEST: usize = 32;
        match self.peek()? {
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            open @ (b'{' | b'[') if depth < DEEPEST => {
                let close = if open == b'{' { b'}' } else { b']' };
                self.at += 1;
                self.space();
                if self.peek()? == close {
                    self.at += 1;
                    return Some(());
                }
                loop {
                    if open == b'{' {
                        self.expect(b'"')?;
                        self.string(Escapes::Skipped)?;
                        self.space();
                        self.expect(b':')?;
                        self.space();
                    }
                    self.skip(depth + 1)?;
                    if !self.comma(close)? {
                        return Some(());
                    }
                }
            }
            _ => None,
        }
    }
}

/// The number that eight digits are, each a byte of 0 to 9, the first one lowest.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

/// The keys of one kind of object: those that are read, and others that were met. The first in the list is none: it
/// stands before the first key of an object.
struct Keys<F> {
    list: Box<[Key<F>; 256]>,
    length: u8,
    field_of: fn(&str) -> Option<F>,
}

/// A key as it stands in lines, from its quote to its colon. One line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Key<F> {
    text: Text,
    /// What it says; None of a key that isn't read.
    field: Option<F>,
    /// The key that came after it last, and another one that came before that.
    next: u8,
    second: u8,
}

impl<F: Copy> Keys<F> {
    /// Stands for keys that are too long to be foretold, and for those that are too many.
    const NAMELESS: u8 = 1;

    fn new(field_of: fn(&str) -> Option<F>) -> Keys<F> {
        let none = Key { text: Text::NONE, field: None, next: 0, second: 0 };
        Keys { list: Box::new([none; 256]), length: 2, field_of }
    }

    /// The place of a key, which is learnt if it is new. `text` is how it stands in the line.
    fn find(&mut self, name: &str, text: &[u8]) -> u8 {
        let known = &self.list[..usize::from(self.length)];
        let same = |key: &Key<F>| key.text.as_bytes() == text;
        if let Some(place) = known.iter().skip(2).position(same) {
            return place as u8 + 2;
        }
        let field = (self.field_of)(name);
        let place = self.length;
        // The last place is for a key that is read but can't be kept: it is made anew each time.
        let is_kept = text.len() <= STEP && place < u8::MAX;
        if !is_kept && field.is_none() {
            return Self::NAMELESS;
        }
        let key = &mut self.list[usize::from(if is_kept { place } else { u8::MAX })];
        key.field = field;
        if is_kept {
            key.text = Text::new(text);
            self.length += 1;
            return place;
        }
        u8::MAX
    }
}

/// The values of a line that decide its facts, as they are written, each after a tag that says which it is. No value has
/// a byte as low as a tag.
struct Spelling {
    bytes: [u8; Spelling::LONGEST + STEP],
    length: usize,
}

impl Default for Spelling {
    fn default() -> Spelling {
        Spelling { bytes: [0; Spelling::LONGEST + STEP], length: 0 }
    }
}

impl Spelling {
    /// A longer one is unusual.
    const LONGEST: usize = 480;
    /// Tags beside those of the fields.
    const SERVED: u8 = 0x1c;
    const STATUS_TEXT: u8 = 0x1d;
    const WITH_USAGE: u8 = 0x1e;
    const WITHOUT_USAGE: u8 = 0x1f;

    /// Appends the `length` bytes that end at `end`.
    #[inline(always)]
    fn push(&mut self, tag: u8, bytes: &[u8], end: usize, length: usize) -> Option<()> {
        let (from, to) = (end - length, self.length + 1);
        if to + length > Spelling::LONGEST {
            return None;
        }
        self.bytes[to - 1] = tag;
        self.length = to + length;
        // A whole step, whose length the compiler knows; what is beyond the length is overwritten.
        if length <= STEP {
            self.bytes[to..to + STEP].copy_from_slice(bytes.get(from..from + STEP)?);
        } else {
            self.bytes[to..to + length].copy_from_slice(&bytes[from..end]);
        }
        Some(())
    }
}

/// What the strict decoder made of the first line of each spelling. A spelling is known by 128 bits of XXH3 under a key
/// that is new for each run, so that it is neither kept nor compared: among 10⁹ spellings two share them with a
/// probability of about 10⁻²¹, and nobody who forges a log can aim at them.
pub struct Spellings<Known> {
    key: u64,
    /// At most half full. A hash is looked for from its lowest bits on.
    table: Vec<Option<(Spelled, Known)>>,
    length: usize,
}

/// Hash of a spelling.
pub type Spelled = u128;

impl<Known: Copy> Default for Spellings<Known> {
    fn default() -> Spellings<Known> {
        Spellings { key: RandomState::default().hash_one(()), table: vec![None; 1 << 6], length: 0 }
    }
}

impl<Known: Copy> Spellings<Known> {
    #[inline(always)]
    pub fn hash(&self, spelling: &[u8]) -> Spelled {
        xxh3_128_with_seed(spelling, self.key)
    }

    /// Asks for what [`Spellings::find`] looks at.
    #[inline(always)]
    pub fn prefetch(&self, spelled: Spelled) {
        prefetch(&raw const self.table[self.first_place(spelled)]);
    }

    #[inline(always)]
    pub fn find(&self, spelled: Spelled) -> Option<Known> {
        self.table[self.place(spelled)].map(|(_, known)| known)
    }

    pub fn learn(&mut self, spelled: Spelled, known: Known) {
        self.length += 1;
        if 2 * self.length > self.table.len() {
            let larger = vec![None; 2 * self.table.len()];
            for (spelled, known) in std::mem::replace(&mut self.table, larger).into_iter().flatten() {
                let place = self.place(spelled);
                self.table[place] = Some((spelled, known));
            }
        }
        let place = self.place(spelled);
        self.table[place] = Some((spelled, known));
    }

    #[inline(always)]
    fn first_place(&self, spelled: Spelled) -> usize {
        spelled as usize & (self.table.len() - 1)
    }

    /// Where a hash is, or would be.
    #[inline(always)]
    fn place(&self, spelled: Spelled) -> usize {
        let mut place = self.first_place(spelled);
        while self.table[place].is_some_and(|(own, _)| own != spelled) {
            place = (place + 1) & (self.table.len() - 1);
        }
        place
    }
}
