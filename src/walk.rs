//! Owns the walk from day to day: storage, allowances, credits and eligibility depend on earlier days, so days are taken
//! in order, each with what the one before handed on. A day is a function of its own requests, the accounts file and that
//! carry, and of nothing else. What each step means is for its file in `charge`.

use std::collections::BTreeMap;

use crate::balance;
use crate::books::Books;
use crate::charge::Rated;
use crate::charge::account::{self, AccountsSoFar};
use crate::charge::allowance::Allowances;
use crate::charge::credit::Credits;
use crate::charge::storage::{Caches, StorageKey, Stored};
use crate::error::Result;
use crate::types::cache::CacheEvent;
use crate::types::carry::Carry;
use crate::types::charge::{AccountDay, Payment, Standing};
use crate::types::day::{Day, Window};
use crate::types::tally::{Cell, CellKey, Groups};
use crate::types::tier::UsageTier;

/// A gap of more days than this outside a window isn't published: a clock was likely wrong.
const LONGEST_GAP: i32 = 31;

/// Which days are walked, and which of them are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first day of the walk; it takes over what the day before handed on.
    pub begin: Day,
    /// The first and the last day published.
    pub first: Day,
    pub last: Day,
    /// Days without anything between days that have something, by first and last: walked, not published.
    pub gaps: Vec<(Day, Day)>,
}

impl Plan {
    /// The first day to publish, of the days that have requests or suspended lines (`seen`, ascending, some before the
    /// window perhaps); None where there is none.
    pub fn first(seen: &[Day], window: Window) -> Option<Day> {
        let whole = window.from.zip(window.to);
        whole.map(|(from, _)| from).or_else(|| seen.iter().copied().find(|day| window.contains(*day)))
    }

    /// `known` is the latest published day before the first one whose carry is there.
    pub fn new(seen: &[Day], window: Window, known: Option<Day>) -> Option<Plan> {
        let first = Plan::first(seen, window)?;
        let mut inside = seen.iter().copied().filter(|day| window.contains(*day));
        let whole = window.from.zip(window.to);
        let last = whole.map(|(_, to)| to).or_else(|| inside.clone().next_back())?;
        // Earlier days in the logs are walked for what they hand on, unless that is known.
        let earlier = seen.iter().copied().find(|day| *day < first && known.is_none_or(|known| known < *day));
        let begin = earlier.filter(|_| known != Some(first.previous())).unwrap_or(first);
        let mut gaps = Vec::new();
        if whole.is_none() {
            let mut before = inside.next()?;
            for day in inside {
                if day.0 - before.0 > LONGEST_GAP + 1 {
                    gaps.push((before.next(), day.previous()));
                }
                before = day;
            }
        }
        Some(Plan { begin, first, last, gaps })
    }

    /// All days of the walk.
    pub fn days(&self) -> impl Iterator<Item = Day> + use<> {
        (self.begin.0..=self.last.0).map(Day)
    }

    pub fn publishes(&self, day: Day) -> bool {
        let in_gap = |(from, to): &(Day, Day)| (*from..=*to).contains(&day);
        (self.first..=self.last).contains(&day) && !self.gaps.iter().any(in_gap)
    }
}

/// What a day makes of its own requests and of what was handed on.
#[derive(Debug)]
pub struct WalkedDay<'r> {
    pub storage: BTreeMap<StorageKey<'r>, Stored>,
    pub accounts: Vec<AccountDay<'r>>,
    pub payments: Vec<Payment<'r>>,
    /// By billing account.
    pub standings: BTreeMap<&'r str, Standing>,
    pub carry: Carry<&'r str>,
}

/// Where the walk is.
pub struct Walk<'r> {
    groups: &'r Groups,
    books: &'r Books,
    /// Of projects without a timeline.
    usage_tier: Option<UsageTier>,
    caches: Caches<'r>,
    allowances: Allowances<'r>,
    credits: Credits<'r>,
    accounts: AccountsSoFar<'r>,
}

impl<'r> Walk<'r> {
    /// Begins with what the day before handed on; with nothing where there is none.
    pub fn begin(
        carry: Option<&'r Carry<String>>,
        groups: &'r Groups,
        books: &'r Books,
        usage_tier: Option<UsageTier>,
    ) -> Walk<'r> {
        Walk {
            groups,
            books,
            usage_tier,
            caches: carry.map_or_else(Caches::default, Caches::from_carry),
            allowances: carry.map_or_else(Allowances::default, Allowances::from_carry),
            credits: carry.map_or_else(Credits::default, Credits::from_carry),
            accounts: carry.map_or_else(AccountsSoFar::default, AccountsSoFar::from_carry),
        }
    }

    /// Goes through a day: adds its storage to what was rated of it, takes allowances off, and settles the accounts.
    pub fn day(
        &mut self,
        day: Day,
        cells: &[(&'r CellKey, &'r Cell)],
        events: Vec<&'r CacheEvent>,
        rated: &mut Rated<'r>,
    ) -> Result<WalkedDay<'r>> {
        let storage = self.caches.store(day, events, self.groups, self.books, rated)?;
        self.allowances.c8_take_off(day, rated, self.books)?;
        balance::quantities(&rated.meters)?;
        let (accounts, payments) = self.accounts.end_day(day, rated, &mut self.credits, self.books)?;
        let usage_tiers = account::usage_tiers(day, cells, self.groups, self.usage_tier, self.books);
        let standings = accounts.iter().filter_map(|account| {
            let id = account.billing_account?;
            let usage_tier = usage_tiers.get(id).copied().unwrap_or(UsageTier::Unknown);
            Some((id, self.accounts.standing(day, id, usage_tier, self.books)?))
        });
        let standings = standings.collect();
        Ok(WalkedDay { storage, accounts, payments, standings, carry: self.carry(day) })
    }

    /// Goes through a day that nobody asks about, for what it hands on.
    pub fn pass(&mut self, day: Day, events: Vec<&'r CacheEvent>, rated: &mut Rated<'r>) -> Result<()> {
        self.caches.store(day, events, self.groups, self.books, rated)?;
        self.allowances.c8_take_off(day, rated, self.books)?;
        self.accounts.end_day(day, rated, &mut self.credits, self.books)?;
        Ok(())
    }

    /// What is handed on at the end of `day`.
    pub fn carry(&self, day: Day) -> Carry<&'r str> {
        let (caches, caches_ended) = self.caches.to_carry();
        Carry {
            date: day,
            caches,
            caches_ended,
            allowances: self.allowances.to_carry(),
            credits: self.credits.to_carry(),
            accounts: self.accounts.to_carry(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: &[i32]) -> Vec<Day> {
        days.iter().copied().map(Day).collect()
    }

    fn window(from: Option<i32>, to: Option<i32>) -> Window {
        Window { from: from.map(Day), to: to.map(Day) }
    }

    #[test]
    fn a_window_with_both_ends_is_published_whole_and_an_open_one_from_the_first_to_the_last_day_seen() {
        let plan = |seen: &[i32], from, to| Plan::new(&days(seen), window(from, to), None).unwrap();
        assert_eq!(
            plan(&[5, 80], Some(3), Some(90)),
            Plan { begin: Day(3), first: Day(3), last: Day(90), gaps: vec![] }
        );
        let open = plan(&[5, 37, 70], None, None);
        assert_eq!(
            open,
            Plan { begin: Day(5), first: Day(5), last: Day(70), gaps: vec![(Day(38), Day(69))] }
        );
        assert!(open.publishes(Day(37)) && !open.publishes(Day(38)) && open.publishes(Day(70)));
        assert_eq!(Plan::new(&[], window(Some(3), None), None), None);
    }

    #[test]
    fn earlier_days_in_the_logs_are_walked_unless_what_they_hand_on_is_known() {
        let begin = |known: Option<i32>| {
            let plan = Plan::new(&days(&[1, 2, 3, 5]), window(Some(5), Some(5)), known.map(Day)).unwrap();
            plan.begin.0
        };
        assert_eq!(begin(None), 1);
        assert_eq!(begin(Some(1)), 2);
        assert_eq!(begin(Some(3)), 5, "nothing of the logs lies between");
        assert_eq!(begin(Some(4)), 5);
    }
}
