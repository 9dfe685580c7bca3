//! Owns the stage that applies the books to the sums: days in order, a few at a time, so that no more of them are in
//! memory than are worked on at once. What a day comes to by itself is found out on all threads; what it takes over from
//! the day before, one after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Replay;
use crate::books::Books;
use crate::charge::{self, Rated};
use crate::error::Result;
use crate::evidence::{self, Twice, Warning};
use crate::quota::evidence::{Evidence, q9_evidence};
use crate::quota::{self, Measured};
use crate::types::cache::CacheEvent;
use crate::types::carry::Carry;
use crate::types::charge::{Assumption, Resting};
use crate::types::day::Day;
use crate::types::tally::Cells;
use crate::types::tier::UsageTier;
use crate::walk::{Plan, Walk, WalkedDay};

/// One day, rated and measured.
#[derive(Debug)]
pub struct DayReport<'r> {
    pub day: Day,
    pub cells: Cow<'r, Cells>,
    pub rated: Rated<'r>,
    pub measured: Measured<'r>,
    /// What it took over and hands on.
    pub walked: WalkedDay<'r>,
    /// Hash of the carry that the day began with; None where it began empty.
    pub carry_before: Option<String>,
    /// Requests by what is warned of.
    pub warnings: BTreeMap<Warning, u64>,
    /// What 429 bodies say.
    pub evidence: Evidence<'r>,
    /// Calls that may be counted twice.
    pub twice: Twice,
}

/// What a day comes to whatever was handed on to it.
struct ByItself<'r> {
    cells: Cow<'r, Cells>,
    rated: Rated<'r>,
    measured: Measured<'r>,
    evidence: Evidence<'r>,
    twice: Twice,
    warnings: BTreeMap<Warning, u64>,
}

/// The days of a plan, rated a few at a time: gives the reports of those that are published.
pub struct Rating<'r> {
    replay: &'r Replay,
    books: &'r Books,
    plan: Plan,
    /// Of the published days that it takes over.
    carries: &'r BTreeMap<Day, Carry<String>>,
    /// By day.
    events: BTreeMap<Day, Vec<&'r CacheEvent>>,
    walk: Walk<'r>,
    carry_before: Option<String>,
    /// The next day.
    next: Day,
}

impl<'r> Rating<'r> {
    /// `usage_tier` is that of projects without a timeline.
    pub fn new(
        replay: &'r Replay,
        books: &'r Books,
        plan: &Plan,
        carries: &'r BTreeMap<Day, Carry<String>>,
        usage_tier: Option<UsageTier>,
    ) -> Rating<'r> {
        let mut events: BTreeMap<Day, Vec<&CacheEvent>> = BTreeMap::new();
        for event in &replay.tally.cache_events {
            events.entry(event.at.day()).or_default().push(event);
        }
        let walk = Walk::new(&replay.groups, books, usage_tier);
        let (plan, next) = (plan.clone(), plan.begin);
        Rating { replay, books, plan, carries, events, walk, carry_before: None, next }
    }

    /// As many days as there are threads.
    fn next_days(&mut self) -> Result<Vec<DayReport<'r>>> {
        let mut days: Vec<Day> = Vec::new();
        while days.len() < rayon::current_num_threads() && self.next <= self.plan.last {
            days.push(self.next);
            self.next = self.next.next();
        }
        let by_themselves: Vec<ByItself<'r>> =
            days.par_iter().map(|day| self.by_itself(*day)).collect::<Result<_>>()?;
        let mut reports = Vec::new();
        for (day, by_itself) in days.into_iter().zip(by_themselves) {
            reports.extend(self.walk(day, by_itself)?);
        }
        Ok(reports)
    }

    fn by_itself(&self, day: Day) -> Result<ByItself<'r>> {
        let Replay { groups, traffic, memory, .. } = self.replay;
        let books = self.books;
        let cells = self.replay.cells(day)?;
        let of_cells = || -> Result<_> {
            let rated = charge::rate(day, &cells, groups, books)?;
            if !self.plan.publishes(day) {
                return Ok((rated, Evidence::default(), Twice::default(), BTreeMap::new()));
            }
            let evidence = q9_evidence(day, &cells, groups, books);
            let twice = evidence::twice(day, &cells, groups, books);
            let warnings = evidence::warnings(day, &cells, groups, books, &evidence, &twice);
            Ok((rated, evidence, twice, warnings))
        };
        let measure = || quota::measure(day, traffic, groups, books, memory);
        let (of_cells, measured) = rayon::join(of_cells, measure);
        let (rated, evidence, twice, warnings) = of_cells?;
        Ok(ByItself { cells, rated, measured: measured?, evidence, twice, warnings })
    }

    /// Goes on to a day; gives its report if it is published.
    fn walk(&mut self, day: Day, by_itself: ByItself<'r>) -> Result<Option<DayReport<'r>>> {
        let ByItself { cells, mut rated, measured, evidence, twice, mut warnings } = by_itself;
        if let Some(carry) = self.carries.get(&day.previous()) {
            self.walk.take_over(carry);
            self.carry_before = Some(carry.hash());
        }
        let events = self.events.remove(&day).unwrap_or_default();
        if !self.plan.publishes(day) {
            self.walk.pass(day, events, &mut rated)?;
            self.carry_before = self.plan.publishes(day.next()).then(|| self.walk.carry(day).hash());
            return Ok(None);
        }
        let walked = self.walk.day(day, &cells, events, &mut rated)?;
        // Q6. That throttled requests don't count against quota is assumed; no money rests on it.
        let throttled = measured.quota.values().map(|row| row.requests_throttled).sum();
        if throttled > 0 {
            let resting = Resting { requests: throttled, ..Resting::NOTHING };
            rated.rest_on(Assumption::ThrottledInRpd, resting)?;
        }
        let requests: u64 = cells.iter().map(|(_, cell)| cell.requests).sum();
        if day == self.plan.first && self.plan.carry_missing && requests > 0 {
            warnings.insert(Warning::CarryMissing, requests);
        }
        let carry_before = self.carry_before.replace(walked.carry.hash());
        Ok(Some(DayReport { day, cells, rated, measured, walked, carry_before, warnings, evidence, twice }))
    }
}

impl<'r> Iterator for Rating<'r> {
    type Item = Result<Vec<DayReport<'r>>>;

    fn next(&mut self) -> Option<Result<Vec<DayReport<'r>>>> {
        (self.next <= self.plan.last).then(|| self.next_days())
    }
}
