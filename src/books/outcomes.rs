//! Owns what a status means: its outcome, whether it is charged and whether it counts against quota.

use super::dated::{Entry, Fields, Line, Mistake};
use crate::names;
use crate::types::day::Day;
use crate::types::request::{Outcome, Status};
use crate::types::tier::words;

pub const EMBEDDED: &str = include_str!("outcomes.csv");

words! {
    /// Whether Google's pages say it, or this program decides where they are silent.
    Basis { Documented = "documented", Assumed = "assumed" }
}

#[derive(Clone, Debug)]
pub struct OutcomeLine {
    /// First and last HTTP status; None for `failed`.
    statuses: Option<(u16, u16)>,
    pub outcome: Outcome,
    pub charged: bool,
    pub counts_against_quota: bool,
    pub basis: Basis,
}

/// Statuses are looked up once per group of requests, so a list does.
#[derive(Debug)]
pub struct Outcomes(Vec<OutcomeLine>);

impl Outcomes {
    pub fn new(entries: &[Entry<OutcomeLine>]) -> Outcomes {
        Outcomes(entries.iter().map(|entry| entry.line.clone()).collect())
    }

    pub fn find(&self, status: Status) -> &OutcomeLine {
        let holds = |line: &&OutcomeLine| match (line.statuses, status.http()) {
            (None, None) => true,
            (Some((first, last)), Some(code)) => (first..=last).contains(&code),
            _ => false,
        };
        self.0.iter().find(holds).expect("the loader refuses a book that leaves a status out")
    }
}

impl OutcomeLine {
    fn has(&self, code: u16) -> bool {
        self.overlaps((code, code))
    }

    fn overlaps(&self, (first, last): (u16, u16)) -> bool {
        self.statuses.is_some_and(|(own_first, own_last)| own_first <= last && first <= own_last)
    }
}

impl Line for OutcomeLine {
    const COLUMNS: &'static [&'static str] =
        &["status_from", "status_to", "outcome", "charged", "counts_against_quota", "basis", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<OutcomeLine> {
        let (first, last) = (fields.cell("status_from"), fields.cell("status_to"));
        let statuses = match (first.parse(), last.parse()) {
            _ if (first, last) == ("failed", "failed") => Some(None),
            (Ok(first), Ok(last)) if first <= last => Some(Some((first, last))),
            _ => {
                fields.mistake(format!(
                    "status_from is {first:?} and status_to {last:?}; expected HTTP statuses, the lower one first, or \
                     failed in both"
                ));
                None
            }
        };
        let outcome = fields.word("outcome", names!(Outcome), Outcome::from_name);
        let (charged, counted) = (fields.yes_or_no("charged"), fields.yes_or_no("counts_against_quota"));
        let basis = fields.word("basis", names!(Basis), Basis::from_name);
        Some(OutcomeLine {
            statuses: statuses?,
            outcome: outcome?,
            charged: charged?,
            counts_against_quota: counted?,
            basis: basis?,
        })
    }

    fn key(&self) -> String {
        self.statuses.map_or("failed".to_string(), |(first, last)| format!("{first}-{last}"))
    }

    fn from(&self) -> Option<Day> {
        None
    }

    fn answers(&self, word: &str) -> bool {
        match (self.statuses, word.parse()) {
            (None, Err(_)) => word == "failed",
            (Some((first, last)), Ok(code)) => (first..=last).contains(&code),
            _ => self.outcome.name() == word,
        }
    }
}

/// Every status that a record may have is in one line, and in one only.
pub fn check(entries: &[Entry<OutcomeLine>]) -> Vec<Mistake> {
    let place = entries.first().map_or("outcomes.csv", |entry| &*entry.place.file);
    let mut mistakes = Vec::new();
    let mut mistake = |place: &str, what: String| mistakes.push(Mistake { place: place.to_string(), what });
    let lines = |code: u16| entries.iter().filter(move |entry| entry.line.has(code));
    let codes = || (200..=299).chain(400..=599);
    for range in ranges(codes().filter(|code| lines(*code).count() == 0)) {
        mistake(place, format!("no line has {}; add one", in_words(range)));
    }
    for range in ranges(codes().filter(|code| lines(*code).count() > 1)) {
        let over: Vec<_> = entries.iter().filter(|entry| entry.line.overlaps(range)).collect();
        let width = |entry: &&Entry<OutcomeLine>| entry.line.statuses.map(|(first, last)| last - first);
        let Some(widest) = over.iter().copied().max_by_key(width) else {
            continue;
        };
        let others = over.iter().filter(|entry| entry.place != widest.place);
        let others: Vec<String> = others.map(|entry| entry.place.to_string()).collect();
        mistake(
            &widest.place.to_string(),
            format!(
                "{} stands in {} too; expected one line for each (a line replaces the one with the same status_from \
                 and status_to)",
                in_words(range),
                others.join(", ")
            ),
        );
    }
    if !entries.iter().any(|entry| entry.line.statuses.is_none()) {
        mistake(place, "no line has status failed; add one".to_string());
    }
    mistakes
}

/// Ascending numbers as ranges without a gap.
fn ranges(codes: impl Iterator<Item = u16>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for code in codes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == code => *last = code,
            _ => ranges.push((code, code)),
        }
    }
    ranges
}

fn in_words((first, last): (u16, u16)) -> String {
    if first == last { format!("status {first}") } else { format!("status {first} to {last}") }
}
