//! Owns joints: what stands in a plain line between one value and the next, as it is written, and what it says. Learns
//! them, and foretells which comes after which; what the values are is for `plain`.
//!
//! ```text
//! {"request_id":"r1","timestamp":"…","model":"models/m","status":200,"usageMetadata":{"promptTokenCount":12}}
//! └─────────────┘  └─────────────┘ └─────────┘        └──────────┘   └─────────────────────────────────┘  └┘
//!                                                                    of this one: usage is there, a count comes
//! ```
//! The lines of a log are written by one program, so few joints come again and again, and in few orders. All that has
//! structure is in them: keys, brackets, commas, space, nulls, the modality of an entry. A joint is taken apart once;
//! from then on it is compared whole.
//!
//! **Invariants**
//! - What a joint says follows from its text and from where it stands ([`Context`]), from nothing after it. So one whose
//!   text another one's begins with says the same as that one, as far as it goes.
//! - A joint's text is valid UTF-8, and what it goes over is valid JSON there.

use super::canonical::Field;
use super::cursor::{Cursor, Escapes, JOINT, MARGIN, Portable, Scan, Text};
use super::spelling::Spelling;
use super::usage_metadata::Member;
use crate::types::meter::{MODALITIES, Modality, QUANTITIES};

/// Joints by their place. The first is none: it stands before the first joint of a line.
pub(super) struct Joints {
    pub(super) list: Box<[Joint; 256]>,
    length: usize,
    /// How many may be looked for yet: see [`Joints::begin_line`].
    credit: u32,
}

#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Joint {
    pub(super) text: Text,
    /// A bit for each key that a line has once, and for what is there: see [`Keys`].
    pub(super) keys: u64,
    pub(super) value: Value,
    before: Context,
    after: Context,
    /// Joints that came after it, frequent ones first; 0 is none.
    pub(super) next: [u8; FORETOLD],
}

/// What follows a joint.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// Of a text where it is [`Kept`], of a count its [`Target`].
    pub(super) place: u8,
    /// Of a text the tag with which it is spelled, or 0.
    pub(super) tag: u8,
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
#[repr(u8)]
pub(super) enum Kind {
    /// The rest of a string.
    Text,
    /// The rest of one that isn't read.
    SkippedText,
    /// A count, or null.
    Count,
    /// A number that is kept, or spelled, as it is; or a text, or null.
    Number,
    /// The next joint: both would be too long for one.
    Nothing,
    /// The line's end.
    End,
    Labels,
    Tools,
    Skipped,
    /// It is no joint.
    Unknown,
}

impl Value {
    const NOTHING: Value = Value::of(Kind::Nothing);

    const fn of(kind: Kind) -> Value {
        Value { kind, place: Kept::Nowhere as u8, tag: 0 }
    }

    fn text(kept: Kept, tag: u8) -> Value {
        Value { kind: Kind::Text, place: kept as u8, tag }
    }

    fn number(kept: Kept, tag: u8) -> Value {
        Value { kind: Kind::Number, place: kept as u8, tag }
    }

    fn count(target: Target) -> Value {
        Value { kind: Kind::Count, place: target.0, tag: 0 }
    }
}

/// Keys that a line has once, as bits: of the record, of usageMetadata, of `quantities`; and what is there.
#[derive(Clone, Copy)]
pub(super) struct Keys(pub(super) u64);

impl Keys {
    const FIRST_MEMBER: u32 = Field::ALL.len() as u32;
    const FIRST_QUANTITY: u32 = Keys::FIRST_MEMBER + Member::ALL.len() as u32;
    /// usageMetadata is there.
    const USAGE: u32 = Keys::FIRST_QUANTITY + QUANTITIES.len() as u32;
    /// Members that only the Live API has are there: a count, which may be null, and details.
    const LIVE_COUNT: u32 = Keys::USAGE + 1;
    const LIVE_DETAILS: u32 = Keys::LIVE_COUNT + 1;

    fn has(self, key: u32) -> bool {
        self.0 >> key & 1 != 0
    }

    /// Of a line of which these targets' counts are null.
    pub(super) fn has_total(self, nulls: u64) -> bool {
        self.has(Keys::FIRST_MEMBER + Member::TotalTokenCount as u32) && nulls >> Target::TOTAL.0 & 1 == 0
    }

    /// As [`Keys::has_total`].
    pub(super) fn is_live(self, nulls: u64) -> bool {
        self.has(Keys::LIVE_DETAILS) || self.has(Keys::LIVE_COUNT) && nulls >> Target::CANDIDATES.0 & 1 == 0
    }

    /// As [`Keys::has_total`].
    pub(super) fn has_usage(self, nulls: u64) -> bool {
        const ALL: u64 = (1 << QUANTITIES.len()) - 1;
        let quantities = self.0 >> Keys::FIRST_QUANTITY & !(nulls >> Target::QUANTITIES.0) & ALL;
        self.has(Keys::USAGE) || quantities != 0
    }
}

const _: () = assert!(Keys::LIVE_DETAILS < u64::BITS && Target::COUNT <= u64::BITS as usize);

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub(super) enum Kept {
    Nowhere,
    RequestId,
    Timestamp,
    ApiKeyId,
    Region,
    LatencyMs,
    Labels,
}

impl Kept {
    /// As many places as there are, or more: a power of two, so that each byte is quickly made one.
    pub(super) const PLACES: usize = (Kept::Labels as usize + 1).next_power_of_two();
}

/// One of the counts of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target(pub(super) u8);

impl Target {
    pub(super) const PROMPT: Target = Target(0);
    pub(super) const CACHED: Target = Target(1);
    pub(super) const CANDIDATES: Target = Target(2);
    pub(super) const TOOL: Target = Target(3);
    pub(super) const THOUGHTS: Target = Target(4);
    pub(super) const TOTAL: Target = Target(5);
    /// The first modality of each.
    pub(super) const PROMPT_DETAILS: Target = Target(6);
    pub(super) const CACHED_DETAILS: Target = Target::PROMPT_DETAILS.plus(MODALITIES);
    pub(super) const CANDIDATES_DETAILS: Target = Target::CACHED_DETAILS.plus(MODALITIES);
    pub(super) const TOOL_DETAILS: Target = Target::CANDIDATES_DETAILS.plus(MODALITIES);
    pub(super) const QUANTITIES: Target = Target::TOOL_DETAILS.plus(MODALITIES);
    pub(super) const COUNT: usize = Target::QUANTITIES.plus(QUANTITIES.len()).0 as usize;

    const fn plus(self, places: usize) -> Target {
        Target(self.0 + places as u8)
    }
}

/// Where a joint stands: what it comes after.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Start,
    /// A value of the record, of usageMetadata, of `quantities`.
    Record,
    Usage,
    Quantities,
    /// The bracket that opens a list of details, of which this is the target of text.
    List(Target),
    /// The count of an entry of one.
    Entry(Target),
}

impl Joints {
    /// In a line of a real log hardly one joint must be looked for. Each line has a few, so that forged ones, of which
    /// every joint is another, are given up instead.
    const A_LINE: u32 = 4;
    const GREATEST_CREDIT: u32 = 1 << 12;

    pub(super) fn begin_line(&mut self) {
        self.credit = (self.credit + Joints::A_LINE).min(Joints::GREATEST_CREDIT);
    }

    /// The joint that stands at a place after the one at `before`, where it isn't the first of those that may come; it is
    /// learnt if it is new.
    #[inline(always)]
    pub(super) fn other<S: Scan>(
        &mut self,
        before: u8,
        window: &[u8; MARGIN],
        bytes: &[u8],
        at: usize,
    ) -> Option<u8> {
        for behind in 0..FORETOLD - 1 {
            let next = &self.list[usize::from(before)].next;
            let place = next[behind + 1];
            if S::begins(window, &self.list[usize::from(place)].text) {
                // It moves up by one, so that the frequent ones come first.
                self.list[usize::from(before)].next.swap(behind, behind + 1);
                return Some(place);
            }
        }
        self.find(before, window, bytes, at)
    }

    /// As [`Joints::other`], where it is none of those that may come.
    #[inline(never)]
    fn find(&mut self, before: u8, window: &[u8; MARGIN], bytes: &[u8], at: usize) -> Option<u8> {
        self.credit = self.credit.checked_sub(1)?;
        let context = self.list[usize::from(before)].after;
        let is_it = |joint: &Joint| joint.before == context && Portable::begins(window, &joint.text);
        let found = match self.list[1..self.length].iter().position(is_it) {
            Some(known) => known + 1,
            None => {
                let joint = Joint::learn(context, bytes, at)?;
                if self.length == self.list.len() {
                    // No program writes so many; of several logs each is learnt anew.
                    *self = Joints { credit: self.credit, ..Joints::default() };
                }
                self.list[self.length] = joint;
                self.length += 1;
                self.length - 1
            }
        } as u8;
        // Unless all were forgotten.
        let before = &mut self.list[usize::from(before)];
        if before.after == context {
            before.next.rotate_right(1);
            before.next[0] = found;
        }
        Some(found)
    }
}

/// How many joints are foretold after each.
const FORETOLD: usize = 8;

impl Default for Joints {
    fn default() -> Joints {
        Joints {
            list: Box::new([Joint::at(Context::Start); 256]),
            length: 1,
            credit: Joints::GREATEST_CREDIT,
        }
    }
}

impl Joint {
    fn at(context: Context) -> Joint {
        Joint {
            text: Text::NONE,
            keys: 0,
            value: Value::of(Kind::Unknown),
            before: context,
            after: context,
            next: [0; FORETOLD],
        }
    }

    /// Takes apart what stands at a place: as much of it as fits.
    fn learn(context: Context, bytes: &[u8], start: usize) -> Option<Joint> {
        let mut cursor = Cursor::<Portable>::new(bytes);
        cursor.at = start;
        let mut joint = Joint::at(context);
        let mut end = start;
        loop {
            let mut longer = joint;
            let value = longer.read(&mut cursor)?;
            if cursor.at - start >= JOINT {
                break;
            }
            (joint, end) = (longer, cursor.at);
            joint.value = value;
            if value != Value::NOTHING {
                break;
            }
        }
        joint.text = Text::new(bytes.get(start..end).filter(|text| !text.is_empty())?);
        Some(joint)
    }

    /// Reads on to the next value, or to the end of what needs no value: then nothing follows.
    fn read(&mut self, cursor: &mut Cursor<'_, Portable>) -> Option<Value> {
        match self.after {
            Context::Start => {
                cursor.expect(b'{')?;
                cursor.space();
                self.after = Context::Record;
                self.field(cursor)
            }
            Context::Record => match cursor.comma(b'}')? {
                true => self.field(cursor),
                false => Some(Value::of(Kind::End)),
            },
            Context::Usage => match cursor.comma(b'}')? {
                true => self.member(cursor),
                false => self.nothing(Context::Record),
            },
            Context::Quantities => match cursor.comma(b'}')? {
                true => self.quantity(cursor),
                false => self.nothing(Context::Record),
            },
            Context::List(_) if cursor.peek()? == b']' => {
                cursor.at += 1;
                self.nothing(Context::Usage)
            }
            Context::List(first) => self.entry(cursor, first),
            Context::Entry(first) => {
                cursor.space();
                cursor.expect(b'}')?;
                match cursor.comma(b']')? {
                    true => self.entry(cursor, first),
                    false => self.nothing(Context::Usage),
                }
            }
        }
    }

    fn nothing(&mut self, after: Context) -> Option<Value> {
        self.after = after;
        Some(Value::NOTHING)
    }

    /// Notes a key that a line has once.
    fn note(&mut self, key: u32) -> Option<()> {
        let bit = 1 << key;
        (self.keys & bit == 0).then(|| self.keys |= bit)
    }

    /// Reads a key of the record, and what comes before its value.
    fn field(&mut self, cursor: &mut Cursor<'_, Portable>) -> Option<Value> {
        let Some(field) = Field::from_name(key(cursor)?) else { return skipped(cursor) };
        self.note(field as u32)?;
        let text = |kept| Value::text(kept, 0);
        let value = match field {
            Field::Timestamp => return cursor.expect(b'"').map(|()| text(Kept::Timestamp)),
            Field::RequestId => text(Kept::RequestId),
            Field::ApiKeyId => text(Kept::ApiKeyId),
            Field::Region => text(Kept::Region),
            Field::ProjectId
            | Field::Model
            | Field::Method
            | Field::ServiceTier
            | Field::UsageTier
            | Field::Channel
            | Field::Service
            | Field::BaseModel
            | Field::ModelVersion => Value::text(Kept::Nowhere, field as u8),
            Field::Status => return Some(Value::number(Kept::Nowhere, field as u8)),
            Field::LatencyMs => return Some(Value::number(Kept::LatencyMs, 0)),
            Field::Labels => return Some(Value::of(Kind::Labels)),
            Field::Tools => return Some(Value::of(Kind::Tools)),
            Field::UsageMetadata => {
                let opened = opened(cursor, [b'{', b'}'])?;
                if opened != Opened::Null {
                    self.note(Keys::USAGE)?;
                }
                if opened != Opened::Full {
                    return Some(Value::NOTHING);
                }
                self.after = Context::Usage;
                return self.member(cursor);
            }
            Field::Quantities => {
                if opened(cursor, [b'{', b'}'])? != Opened::Full {
                    return Some(Value::NOTHING);
                }
                self.after = Context::Quantities;
                return self.quantity(cursor);
            }
            // Rare, and much about it can be wrong.
            Field::CachedContent => return None,
        };
        unless_null(cursor, value)
    }

    /// Reads a key of usageMetadata, and what comes before its value. Of two keys that say the same a line has one.
    fn member(&mut self, cursor: &mut Cursor<'_, Portable>) -> Option<Value> {
        let Some(member) = Member::from_name(key(cursor)?) else { return skipped(cursor) };
        let (says, target) = match member {
            Member::PromptTokenCount => (member, Target::PROMPT),
            Member::CachedContentTokenCount => (member, Target::CACHED),
            Member::CandidatesTokenCount => (member, Target::CANDIDATES),
            Member::ResponseTokenCount => (Member::CandidatesTokenCount, Target::CANDIDATES),
            Member::ToolUsePromptTokenCount => (member, Target::TOOL),
            Member::ThoughtsTokenCount => (member, Target::THOUGHTS),
            Member::TotalTokenCount => (member, Target::TOTAL),
            Member::PromptTokensDetails => (member, Target::PROMPT_DETAILS),
            Member::PromptTokenDetails => (Member::PromptTokensDetails, Target::PROMPT_DETAILS),
            Member::CacheTokensDetails => (member, Target::CACHED_DETAILS),
            Member::CandidatesTokensDetails => (member, Target::CANDIDATES_DETAILS),
            Member::ResponseTokensDetails => (Member::CandidatesTokensDetails, Target::CANDIDATES_DETAILS),
            Member::ToolUsePromptTokensDetails => (member, Target::TOOL_DETAILS),
            Member::ServiceTier => {
                self.note(Keys::FIRST_MEMBER + member as u32)?;
                return unless_null(cursor, Value::text(Kept::Nowhere, Spelling::SERVED));
            }
            // Another bill's.
            Member::TrafficType => return None,
        };
        self.note(Keys::FIRST_MEMBER + says as u32)?;
        if target.0 < Target::PROMPT_DETAILS.0 {
            if member == Member::ResponseTokenCount {
                self.note(Keys::LIVE_COUNT)?;
            }
            return Some(Value::count(target));
        }
        let opened = opened(cursor, [b'[', b']'])?;
        if member == Member::ResponseTokensDetails && opened != Opened::Null {
            self.note(Keys::LIVE_DETAILS)?;
        }
        self.nothing(if opened == Opened::Full { Context::List(target) } else { Context::Usage })
    }

    /// Reads an entry of token details up to its count. `first` is the target of text.
    fn entry(&mut self, cursor: &mut Cursor<'_, Portable>, first: Target) -> Option<Value> {
        cursor.expect(b'{')?;
        cursor.space();
        if key(cursor)? != "modality" {
            return None;
        }
        cursor.expect(b'"')?;
        let word = std::str::from_utf8(cursor.string(Escapes::Unusual)?).ok()?;
        let modality = Modality::from_log(word).filter(|_| !word.is_empty())?;
        if !cursor.comma(b'}')? || key(cursor)? != "tokenCount" {
            return None;
        }
        self.after = Context::Entry(first);
        Some(Value::count(first.plus(modality as usize)))
    }

    fn quantity(&mut self, cursor: &mut Cursor<'_, Portable>) -> Option<Value> {
        let name = key(cursor)?;
        let place = QUANTITIES.iter().position(|meter| meter.name() == name)?;
        self.note(Keys::FIRST_QUANTITY + place as u32)?;
        Some(Value::count(Target::QUANTITIES.plus(place)))
    }
}

/// Reads a key and its colon, and space after it.
fn key<'line>(cursor: &mut Cursor<'line, Portable>) -> Option<&'line str> {
    cursor.expect(b'"')?;
    let name = std::str::from_utf8(cursor.string(Escapes::Unusual)?).ok()?;
    cursor.space();
    cursor.expect(b':')?;
    cursor.space();
    Some(name)
}

/// Reads the quote of a text, or null.
fn unless_null(cursor: &mut Cursor<'_, Portable>, text: Value) -> Option<Value> {
    if cursor.null()? {
        return Some(Value::NOTHING);
    }
    cursor.expect(b'"')?;
    Some(text)
}

fn skipped(cursor: &mut Cursor<'_, Portable>) -> Option<Value> {
    let is_text = cursor.peek()? == b'"';
    cursor.at += usize::from(is_text);
    Some(Value::of(if is_text { Kind::SkippedText } else { Kind::Skipped }))
}

#[derive(PartialEq)]
enum Opened {
    Null,
    Empty,
    Full,
}

/// Reads the bracket that opens an object or a list, and the one that closes it if nothing is between.
fn opened(cursor: &mut Cursor<'_, Portable>, [open, close]: [u8; 2]) -> Option<Opened> {
    if cursor.null()? {
        return Some(Opened::Null);
    }
    cursor.expect(open)?;
    cursor.space();
    if cursor.peek()? == close {
        cursor.at += 1;
        return Some(Opened::Empty);
    }
    Some(Opened::Full)
}
