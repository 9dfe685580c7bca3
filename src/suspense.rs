//! Owns what is held back from reading: a line with its reason, so that it can be mended and replayed. What can't be
//! rated is held back by `charge`.

use std::borrow::Cow;

use crate::types::day::{Day, Instant};
use crate::types::origin::InputId;
use crate::types::reason::Reason;

/// Why a line is no request, with what could be read of it.
#[derive(Debug)]
pub struct Refusal<'line> {
    pub reason: Reason,
    /// What was found and what was expected; never text of the line beyond a number or a word.
    pub detail: String,
    pub at: Option<Instant>,
    pub request_id: Option<Cow<'line, str>>,
    pub project_id: Option<Cow<'line, str>>,
    pub model: Option<Cow<'line, str>>,
}

impl Refusal<'_> {
    /// Of a line of which nothing can be read.
    pub fn of_line(reason: Reason, detail: impl Into<String>) -> Refusal<'static> {
        Refusal { reason, detail: detail.into(), at: None, request_id: None, project_id: None, model: None }
    }
}

/// One line in suspense: a row of the suspense report, stage read. Fields are in the order in which rows sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// None where no time could be read.
    pub day: Option<Day>,
    pub input: InputId,
    /// From 1.
    pub line: u64,
    pub reason: Reason,
    pub detail: String,
    pub request_id: Option<String>,
    pub project_id: Option<String>,
    pub model: Option<String>,
}

/// A name found in a faulty line as a message may show it: a word, not a text.
pub fn quoted(found: &str) -> String {
    const LONGEST: usize = 40;
    let is_word = |char: char| char.is_ascii_alphanumeric() || "_.:+-/ ".contains(char);
    if found.len() <= LONGEST && found.chars().all(is_word) && found.split(' ').count() <= 2 {
        format!("{:?}", crate::types::key::shown(found))
    } else {
        format!("a text of {} bytes", found.len())
    }
}
