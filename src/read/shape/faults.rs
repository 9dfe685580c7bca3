//! Owns the faults of a line and how its values are read while they are noted. A line is read to its end before it is
//! judged: a fault in its last byte (`malformed_json`) comes before one in its first field. So faults are noted with
//! their reason, and the first in the order of reasons is given.

use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::quoted;
use crate::types::reason::Reason;
use crate::types::usage::GREATEST_COUNT;
use std::borrow::Cow;

/// The first fault in the order of reasons.
#[derive(Default)]
pub struct Faults {
    pub first: Option<(Reason, String)>,
}

impl Faults {
    pub fn note(&mut self, reason: Reason, detail: impl FnOnce() -> String) {
        if self.first.as_ref().is_none_or(|(first, _)| reason < *first) {
            self.first = Some((reason, detail()));
        }
    }

    pub fn merge(&mut self, other: &mut Faults) {
        if let Some((reason, detail)) = other.first.take() {
            self.note(reason, || detail);
        }
    }

    pub fn drop_after(&mut self, last: Reason) {
        self.first.take_if(|(reason, _)| *reason > last);
    }

    /// Reads what is there, noting why it can't be read.
    pub fn read_or<F, T>(
        &mut self,
        found: Option<F>,
        reason: Reason,
        read: impl FnOnce(F) -> Result<T, String>,
    ) -> Option<T> {
        match read(found?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.note(reason, || detail);
                None
            }
        }
    }

    pub fn doubled(&mut self, field: &str) {
        self.note(Reason::DuplicateKey, || format!("{field} stands twice"));
    }

    pub fn wrong_type(&mut self, field: &str, found: Kind, expected: &str) {
        self.note(Reason::WrongType, || format!("{field} is {}; expected {expected}", found.name()));
    }

    pub fn bad_count(&mut self, field: &str, found: &str) {
        self.note(Reason::BadCount, || format!("{field} is {found}; expected a whole number from 0 to 2^40"));
    }

    /// A field that holds a text: missing when null or empty.
    pub fn text<'line>(
        &mut self,
        json: &mut Json<'line>,
        field: &str,
    ) -> Result<Option<Cow<'line, str>>, Malformed> {
        match json.kind()? {
            Kind::String => json.string().map(|text| Some(text).filter(|text| !text.is_empty())),
            kind => {
                if kind != Kind::Null {
                    self.wrong_type(field, kind, "a string");
                }
                json.skip().map(|()| None)
            }
        }
    }

    /// A count: missing when null or empty.
    pub fn count(&mut self, json: &mut Json<'_>, field: &str) -> Result<Option<u64>, Malformed> {
        match json.kind()? {
            Kind::Number => {
                let digits = json.number()?;
                let count = whole_number(digits).filter(|count| *count <= GREATEST_COUNT);
                if count.is_none() {
                    self.bad_count(field, digits.get(..24).unwrap_or(digits));
                }
                Ok(count)
            }
            Kind::String => {
                let text = json.string()?;
                if text.is_empty() {
                    return Ok(None);
                }
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let count = whole_number(&text).filter(|count| digits && *count <= GREATEST_COUNT);
                if count.is_none() {
                    self.bad_count(field, &quoted(&text));
                }
                Ok(count)
            }
            kind => {
                if kind != Kind::Null {
                    self.bad_count(field, kind.name());
                }
                json.skip().map(|()| None)
            }
        }
    }

    /// Whether a field holds what is expected; when it doesn't, it is read to its end.
    pub fn is(&mut self, expected: Kind, json: &mut Json<'_>, field: &str) -> Result<bool, Malformed> {
        let kind = json.kind()?;
        if kind == expected {
            return Ok(true);
        }
        if !is_missing(json)? {
            self.wrong_type(field, kind, expected.name());
        }
        Ok(false)
    }
}

/// `12`, `12.0` as dataframes write it, `-0`; None for all else, exponents too.
pub fn whole_number(digits: &str) -> Option<u64> {
    // Nearly all are short and plain.
    if digits.len() <= 15 && !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(digits.bytes().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return None;
    }
    match whole.strip_prefix('-') {
        Some(whole) => (!whole.is_empty() && whole.bytes().all(|digit| digit == b'0')).then_some(0),
        None => whole.parse().ok(),
    }
}

/// Reads any value; whether it is missing.
pub fn is_missing(json: &mut Json<'_>) -> Result<bool, Malformed> {
    match json.kind()? {
        Kind::String => json.string().map(|text| text.is_empty()),
        kind => json.skip().map(|()| kind == Kind::Null),
    }
}

/// Whether a text field holds something that is neither a text nor missing.
pub fn is_mistyped(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Null)
}
