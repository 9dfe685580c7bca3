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

impl Line for OutcomeLine {
    const COLUMNS: &'static [&'static str] =
        &["status_from", "status_to", "outcome", "charged", "counts_against_quota", "basis", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<OutcomeLine> {
        let statuses = if (fields.cell("status_from"), fields.cell("status_to")) == ("failed", "failed") {
            Some(None)
        } else {
            let (first, last) = (fields.whole("status_from"), fields.whole("status_to"));
            match (first.map(u16::try_from), last.map(u16::try_from)) {
                (Some(Ok(first)), Some(Ok(last))) if first <= last => Some(Some((first, last))),
                (Some(_), Some(_)) => {
                    fields.mistake("status_from to status_to is no range of HTTP statuses".to_string());
                    None
                }
                _ => None,
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
    let place = entries.first().map_or("outcomes.csv", |entry| entry.place.as_str());
    let place = place.rsplit_once(':').map_or(place, |(file, _)| file);
    let mut mistakes = Vec::new();
    for code in (200..=299).chain(400..=599) {
        let lines =
            entries.iter().filter(|entry| entry.line.statuses.is_some_and(|(a, b)| (a..=b).contains(&code)));
        match lines.count() {
            1 => {}
            0 => mistakes
                .push(Mistake { place: place.to_string(), what: format!("no line has status {code}") }),
            _ => mistakes.push(Mistake {
                place: place.to_string(),
                what: format!("several lines have status {code}"),
            }),
        }
    }
    if !entries.iter().any(|entry| entry.line.statuses.is_none()) {
        mistakes.push(Mistake { place: place.to_string(), what: "no line has status failed".to_string() });
    }
    mistakes
}
