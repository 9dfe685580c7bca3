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
use crate::types::tally::{Cells, Groups};
use crate::types::tier::UsageTier;

/// A gap of more days than this outside a window isn't published: a clock was likely wrong.
const LONGEST_GAP: i32 = 31;

/// Which days are walked, and which of them are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first day of the walk.
    pub begin: Day,
    /// The first and the last day published.
    pub first: Day,
    pub last: Day,
    /// Days without anything between days that have something, by first and last: walked, not published.
    pub gaps: Vec<(Day, Day)>,
    /// Published days whose carry the walk takes over on the next day: that before the first, and the latest in a gap.
    pub taken_over: Vec<Day>,
    /// The first day published begins with nothing, or after days of which neither the output nor the logs know.
    pub carry_missing: bool,
}

impl Plan {
    /// The first day to publish, of the days that have requests or suspended lines (`seen`, ascending, some before the
    /// window perhaps); None where there is none.
    pub fn first(seen: &[Day], window: Window) -> Option<Day> {
        let whole = window.from.zip(window.to);
        whole.map(|(from, _)| from).or_else(|| seen.iter().copied().find(|day| window.contains(*day)))
    }

    /// `published` are the days whose carry is there, ascending.
    pub fn new(seen: &[Day], window: Window, published: &[Day]) -> Option<Plan> {
        let first = Plan::first(seen, window)?;
        let mut inside = seen.iter().copied().filter(|day| window.contains(*day));
        let whole = window.from.zip(window.to);
        let last = whole.map(|(_, to)| to).or_else(|| inside.clone().next_back())?;
        let known = published.iter().copied().rfind(|day| *day < first);
        // Earlier days in the logs are walked for what they hand on.
        let earlier = || seen.iter().copied().find(|day| *day < first);
        let begin = known.map(Day::next).or_else(earlier).unwrap_or(first);
        let between = known.map_or(0, |known| first.0 - known.0 - 1);
        let seen_between = seen.iter().filter(|day| Some(**day) > known && **day < first).count();
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
        let in_gaps = gaps
            .iter()
            .filter_map(|(from, to)| published.iter().copied().rfind(|day| (*from..=*to).contains(day)));
        let taken_over = known.into_iter().chain(in_gaps).collect();
        // Days that an open window would not publish either are no loss.
        let unknown = (seen_between as i32) < between && between <= LONGEST_GAP;
        let carry_missing = if known.is_some() { unknown } else { begin == first };
        Some(Plan { begin, first, last, gaps, taken_over, carry_missing })
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

/// What a step of the walk comes to.
struct Stepped<'r> {
    storage: BTreeMap<StorageKey<'r>, Stored>,
    accounts: Vec<AccountDay<'r>>,
    payments: Vec<Payment<'r>>,
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
    /// Begins with nothing.
    pub fn new(groups: &'r Groups, books: &'r Books, usage_tier: Option<UsageTier>) -> Walk<'r> {
        Walk {
            groups,
            books,
            usage_tier,
            caches: Caches::default(),
            allowances: Allowances::default(),
            credits: Credits::default(),
            accounts: AccountsSoFar::default(),
        }
    }

    /// Takes over what a published day handed on, in place of what was walked.
    pub fn take_over(&mut self, carry: &'r Carry<String>) {
        self.caches = Caches::from_carry(carry);
        self.allowances = Allowances::from_carry(carry);
        self.credits = Credits::from_carry(carry);
        self.accounts = AccountsSoFar::from_carry(carry);
    }

    /// Goes through a day: adds its storage to what was rated of it, takes allowances off, and settles the accounts.
    pub fn day(
        &mut self,
        day: Day,
        cells: &Cells,
        events: Vec<&'r CacheEvent>,
        rated: &mut Rated<'r>,
    ) -> Result<WalkedDay<'r>> {
        let Stepped { storage, accounts, payments } = self.step(day, events, rated)?;
        let usage_tiers = account::usage_tiers(day, cells, self.groups, self.usage_tier, self.books);
        let standings = accounts.iter().filter_map(|account| {
            let id = account.billing_account?;
            let usage_tier = usage_tiers.get(id).copied().unwrap_or(UsageTier::Unknown);
            Some((id, self.accounts.standing(day, id, usage_tier, self.books)?))
        });
        let standings = standings.collect();
        Ok(WalkedDay { storage, accounts, payments, standings, carry: self.carry(day) })
    }

    /// Goes through a day that is not published, for what it hands on.
    pub fn pass(&mut self, day: Day, events: Vec<&'r CacheEvent>, rated: &mut Rated<'r>) -> Result<()> {
        self.step(day, events, rated).map(|_| ())
    }

    fn step(&mut self, day: Day, events: Vec<&'r CacheEvent>, rated: &mut Rated<'r>) -> Result<Stepped<'r>> {
        let storage = self.caches.store(day, events, self.groups, self.books, rated)?;
        self.allowances.c8_take_off(day, rated, self.books)?;
        balance::quantities(&rated.meters)?;
        let (accounts, payments) = self.accounts.end_day(day, rated, &mut self.credits, self.books)?;
        Ok(Stepped { storage, accounts, payments })
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

    fn plan(seen: &[i32], from: Option<i32>, to: Option<i32>, published: &[i32]) -> Plan {
        let window = Window { from: from.map(Day), to: to.map(Day) };
        Plan::new(&days(seen), window, &days(published)).expect("a plan")
    }

    #[test]
    fn a_window_with_both_ends_is_published_whole_and_an_open_one_from_the_first_to_the_last_day_seen() {
        let whole = plan(&[5, 80], Some(3), Some(90), &[]);
        assert_eq!((whole.begin, whole.first, whole.last, whole.gaps.len()), (Day(3), Day(3), Day(90), 0));
        let open = plan(&[5, 37, 70], None, None, &[]);
        assert_eq!((open.begin, open.first, open.last), (Day(5), Day(5), Day(70)));
        assert_eq!(open.gaps, [(Day(38), Day(69))]);
        assert!(open.publishes(Day(37)) && !open.publishes(Day(38)) && open.publishes(Day(70)));
        assert_eq!(Plan::new(&[], Window { from: Some(Day(3)), to: None }, &[]), None);
    }

    #[test]
    fn a_walk_begins_after_the_latest_published_day_or_with_the_first_in_the_logs() {
        for (seen, published, begin, carry_missing) in [
            (&[5][..], &[][..], 5, true),
            (&[1, 2, 3, 5], &[], 1, false),
            (&[1, 2, 3, 5], &[1], 2, true),
            (&[1, 2, 3, 5], &[1, 3], 4, true),
            (&[1, 2, 3, 5], &[4, 9], 5, false),
            (&[3, 4, 5], &[2], 3, false),
            (&[5], &[-27], -26, true),
            (&[5], &[-28], -27, false),
        ] {
            let plan = plan(seen, Some(5), Some(5), published);
            assert_eq!(
                (plan.begin, plan.carry_missing),
                (Day(begin), carry_missing),
                "{seen:?} {published:?}"
            );
            let taken_over = published.iter().copied().rfind(|day| *day < 5);
            assert_eq!(plan.taken_over, days(taken_over.as_slice()));
        }
    }

    #[test]
    fn after_a_gap_the_latest_day_published_in_it_is_taken_over() {
        assert_eq!(plan(&[5, 70], None, None, &[4, 40, 60, 71]).taken_over, days(&[4, 60]));
    }
}
