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
use super::cursor::{Cursor, Escapes, Keys, Portable, Scan, Text};
use super::spelling::Spelling;
use super::usage_metadata::{GREATEST_SUM, Member};
use crate::types::day::{Clock, Instant};
use crate::types::detail::Detail;
use crate::types::meter::{ByModality, Modality, QUANTITIES};
use crate::types::usage::Counts;

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

impl<'line> Plain<'line> {
    /// What `--detail` shows.
    pub fn detail(&self) -> Detail<'line> {
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
        *plain = Plain::default();
        let mut cursor = Cursor::<S>::new(bytes);
        let spelling = &mut self.spelling;
        spelling.clear();
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

/// What only the record has.
impl<'line, S: Scan> Cursor<'line, S> {
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
}
