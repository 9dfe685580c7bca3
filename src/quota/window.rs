//! Owns sums over time: by second, by calendar minute, over any 60 consecutive seconds (Q7). Seconds are counted from
//! the day's midnight Pacific, so days of 23 and 25 hours need nothing. Knows no limit but the one it is given.

use std::iter;
use std::ops::Range;

use crate::types::quota_use::Minute;
use crate::types::tally::Arrival;
use crate::types::varint::{push_varint, take_varint};

pub const WINDOW: u32 = 60;

/// The requests of one second, or of a minute that begins with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    pub second: u32,
    /// Throttled included.
    pub requests: u64,
    pub counted: u64,
    pub throttled: u64,
    /// Of counted requests.
    pub input_tokens: u64,
    /// Throttled, and not counted.
    pub refused: u64,
    /// Of those.
    pub input_tokens_refused: u64,
}

impl Second {
    /// The sums of both, which begin with this one.
    #[inline(always)]
    fn plus(&self, other: &Second) -> Second {
        Second {
            second: self.second,
            requests: self.requests + other.requests,
            counted: self.counted + other.counted,
            throttled: self.throttled + other.throttled,
            input_tokens: self.input_tokens + other.input_tokens,
            refused: self.refused + other.refused,
            input_tokens_refused: self.input_tokens_refused + other.input_tokens_refused,
        }
    }

    fn new(second: u32, sums: [Sums; OUTCOMES]) -> Second {
        let [[others, _], [refused, refused_tokens], [counted, counted_tokens], [both, both_tokens]] = sums;
        let sum = |parts: &[u64]| parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(*part));
        Second {
            second,
            requests: sum(&[others, refused, counted, both]),
            counted: sum(&[counted, both]),
            throttled: sum(&[refused, both]),
            input_tokens: sum(&[counted_tokens, both_tokens]),
            refused,
            input_tokens_refused: refused_tokens,
        }
    }

    /// Requests that would count if none had been throttled.
    pub fn admitted(&self) -> u64 {
        self.counted + self.refused
    }

    /// Input tokens of those.
    pub fn input_tokens_admitted(&self) -> u64 {
        self.input_tokens + self.input_tokens_refused
    }
}

/// Arrivals that share their outcome.
#[derive(Clone, Copy, Debug)]
pub struct Series<'r> {
    pub arrivals: &'r [Arrival],
    pub counted: bool,
    pub throttled: bool,
    /// The log doesn't say when they were.
    pub undated: bool,
}

/// What was used over a day: its seconds, and its calendar minutes, with a request, ascending.
#[derive(Debug, Default)]
pub struct Used {
    pub seconds: Vec<Second>,
    pub minutes: Vec<OfMinute>,
}

/// The sums of a calendar minute.
#[derive(Clone, Debug)]
pub struct OfMinute {
    pub sums: Second,
    /// Of all minutes before it.
    before: Second,
    /// Where its seconds are.
    seconds: Range<usize>,
}

impl Used {
    /// Appends the seconds of the next minute that may have some.
    #[inline(always)]
    fn push_minute(&mut self, number: u32, seconds: impl Iterator<Item = Second>) {
        let begin = self.seconds.len();
        let mut sums = Second { second: number * MINUTE, ..Second::default() };
        for second in seconds {
            sums = sums.plus(&second);
            self.seconds.push(second);
        }
        if self.seconds.len() > begin {
            let (before, seconds) = (self.whole(), begin..self.seconds.len());
            self.minutes.push(OfMinute { sums, before, seconds });
        }
    }

    /// The sums of the day.
    pub fn whole(&self) -> Second {
        self.minutes.last().map_or(Second::default(), |last| last.before.plus(&last.sums))
    }

    /// The sums up to a second and with it.
    pub fn until(&self, last: u32) -> Second {
        let begun = self.minutes.partition_point(|minute| minute.sums.second <= last);
        let Some(minute) = self.minutes[..begun].last() else { return Second::default() };
        let of_minute = self.seconds[minute.seconds.clone()].iter();
        of_minute.take_while(|second| second.second <= last).fold(minute.before, |sums, own| sums.plus(own))
    }

    /// Each minute after the one right before it, if that has a request: windows that end in a minute lie in both.
    pub fn two_minutes(&self) -> impl Iterator<Item = TwoMinutes<'_>> {
        let before = iter::once(None).chain(self.minutes.iter().map(Some));
        before.zip(&self.minutes).map(|(before, minute)| {
            let before = before.filter(|before| before.number() + 1 == minute.number());
            let begin = before.map_or(minute.seconds.start, |before| before.seconds.start);
            TwoMinutes {
                before: before.map_or(Second::default(), |before| before.sums),
                minute: &minute.sums,
                seconds: &self.seconds[begin..minute.seconds.end],
                place: minute.seconds.start - begin,
            }
        })
    }
}

impl OfMinute {
    /// From the day's midnight.
    pub fn number(&self) -> u32 {
        self.sums.second / MINUTE
    }
}

/// A minute and the one right before it.
pub struct TwoMinutes<'u> {
    pub before: Second,
    pub minute: &'u Second,
    /// Of both.
    pub seconds: &'u [Second],
    /// Where the minute's own begin.
    pub place: usize,
}

impl TwoMinutes<'_> {
    /// The last second.
    pub fn end(&self) -> u32 {
        self.minute.second + MINUTE - 1
    }
}

/// Requests and input tokens of one second.
type Sums = [u64; 2];
/// Whether they are counted, and whether they are throttled.
const OUTCOMES: usize = 4;

const MINUTE: u32 = 60;
/// No day has more.
const MINUTES: usize = 25 * 60;
const SECONDS: usize = MINUTES * MINUTE as usize;

/// Adds arrivals up by second. Its tables are as large as a day, and clean again after each use.
#[derive(Default)]
pub struct Seconds {
    /// By outcome, since most series together have one: as little memory as can be is gone through. None until it is needed.
    sums: [Vec<Sums>; OUTCOMES],
    /// For each minute a bit for each second that has some.
    found: Vec<u64>,
}

impl Seconds {
    /// Adds up the arrivals of several series into `used`, in place of what was there: its memory is used again, too.
    pub fn add_up(&mut self, series: &[Series<'_>], used: &mut Used) {
        self.found.resize(MINUTES, 0);
        let mut has = [false; OUTCOMES];
        for series in series {
            let outcome = usize::from(series.counted) << 1 | usize::from(series.throttled);
            has[outcome] = true;
            let sums = &mut self.sums[outcome];
            if sums.is_empty() {
                // Asked for as zeros, memory isn't touched before it is written to.
                *sums = vec![Sums::default(); SECONDS];
            }
            for arrival in series.arrivals {
                let second = arrival.second_of_day();
                self.found[(second / MINUTE) as usize] |= 1 << (second % MINUTE);
                let [requests, input_tokens] = &mut sums[second as usize];
                arrival.put(requests, 1);
                arrival.put(input_tokens, arrival.input_tokens());
            }
        }
        used.seconds.clear();
        used.minutes.clear();
        for (number, found) in self.found.iter_mut().enumerate().filter(|(_, found)| **found != 0) {
            let seconds = iter::from_fn(|| {
                let second = number as u32 * MINUTE + found.trailing_zeros();
                *found &= found.checked_sub(1)?;
                let take = |outcome: usize| match has[outcome] {
                    true => std::mem::take(&mut self.sums[outcome][second as usize]),
                    false => Sums::default(),
                };
                Some(Second::new(second, std::array::from_fn(take)))
            });
            // Of a second whose requests were all taken back nothing is left.
            used.push_minute(number as u32, seconds.filter(|second| second.requests > 0));
        }
    }
}

/// Minutes as few bytes.
pub fn pack(minutes: &[OfMinute]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for minute in minutes {
        let Second { requests, counted, throttled, input_tokens, .. } = minute.sums;
        for number in [u64::from(minute.number()), requests, counted, throttled, input_tokens] {
            push_varint(&mut bytes, number);
        }
    }
    bytes.shrink_to_fit();
    bytes
}

/// The minutes that were packed.
pub fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = (u32, Minute)> {
    std::iter::from_fn(move || {
        let bytes = Some(&mut bytes).filter(|bytes| !bytes.is_empty())?;
        let minute = take_varint(bytes) as u32;
        let [requests, requests_counted, requests_throttled, input_tokens] =
            [(); 4].map(|()| take_varint(bytes));
        Some((minute, Minute { requests, requests_counted, requests_throttled, input_tokens }))
    })
}

/// What counts against limits, of requests or of input tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// The highest sum over 60 consecutive seconds.
    pub peak: u64,
    /// The earliest second with a counted request that begins such a window; None when the peak is 0.
    pub at: Option<u32>,
    /// The highest sum over a calendar minute.
    pub minute: u64,
    /// Seconds with a counted request whose trailing 60 seconds, itself among them, exceed the limit.
    pub over_seconds: u64,
}

/// The peaks of counted requests and of their input tokens; none exceeds the limit where there is none.
///
/// A highest window may end at a second with a counted request, so the windows that do are enough to try. The first of
/// those that are highest begins the earliest: any other one that begins before it would have to end before it, too.
/// A window lies in two minutes, so where both together aren't above the peak, nor a limit, none need be tried.
pub fn peaks(used: &Used, limits: [Option<u64>; 2]) -> [Peak; 2] {
    let mut peaks = [Peak::default(); 2];
    for two in used.two_minutes() {
        let (before, own) = (weights(&two.before), weights(two.minute));
        let mut may_be_higher = false;
        for (place, peak) in peaks.iter_mut().enumerate() {
            peak.minute = peak.minute.max(own[place]);
            let most = before[place] + own[place];
            may_be_higher |= most > peak.peak || limits[place].is_some_and(|limit| most > limit);
        }
        if may_be_higher {
            try_windows(&mut peaks, &two, limits);
        }
    }
    peaks
}

/// Tries the windows that end in the second one of two minutes.
fn try_windows(peaks: &mut [Peak; 2], two: &TwoMinutes<'_>, limits: [Option<u64>; 2]) {
    let TwoMinutes { seconds, .. } = *two;
    let (mut begin, mut sums) = (0, weights(&two.before));
    for second in seconds[two.place..].iter().filter(|second| second.counted > 0) {
        // A second without a counted request weighs nothing, and begins no window.
        while seconds[begin].counted == 0 || seconds[begin].second + WINDOW <= second.second {
            let weights = weights(&seconds[begin]);
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum -= weight);
            begin += 1;
        }
        sums.iter_mut().zip(weights(second)).for_each(|(sum, weight)| *sum += weight);
        for (place, peak) in peaks.iter_mut().enumerate() {
            if sums[place] > peak.peak {
                (peak.peak, peak.at) = (sums[place], Some(seconds[begin].second));
            }
            peak.over_seconds += u64::from(limits[place].is_some_and(|limit| sums[place] > limit));
        }
    }
}

/// What a second weighs: counted requests, and their input tokens.
fn weights(second: &Second) -> [u64; 2] {
    [second.counted, second.input_tokens]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_sums_of_what_is_left() {
        let (mut table, mut used) = (Seconds::default(), Used::default());
        // Both are used again.
        for requests in [5_000, 4 * SECONDS as u32 + 9] {
            let arrival =
                |place: u32| Arrival::new(place * 7919 % SECONDS as u32, u64::from(place % 11) << 30);
            let all: Vec<Arrival> = (0..requests).map(arrival).collect();
            let (kept, back) = all.split_at(all.len() * 2 / 3);
            let mut arrivals: Vec<Arrival> = back.iter().map(|arrival| arrival.back()).collect();
            arrivals.extend(&all);
            let series = |arrivals| Series { arrivals, counted: true, throttled: false, undated: false };
            let throttled = Series { counted: false, throttled: true, ..series(&all[..300]) };
            table.add_up(&[series(&arrivals), throttled], &mut used);
            let mut sums = std::collections::BTreeMap::new();
            for (arrivals, counted) in [(kept, true), (&all[..300], false)] {
                for arrival in arrivals {
                    let second = arrival.second_of_day();
                    let sum: &mut Second = sums.entry(second).or_default();
                    (sum.second, sum.requests) = (second, sum.requests + 1);
                    let (requests, tokens) = match counted {
                        true => (&mut sum.counted, &mut sum.input_tokens),
                        false => (&mut sum.refused, &mut sum.input_tokens_refused),
                    };
                    *requests += 1;
                    *tokens += arrival.input_tokens();
                    sum.throttled = sum.refused;
                }
            }
            let expected: Vec<Second> = sums.into_values().collect();
            assert!(used.seconds == expected, "{requests} requests");
            let last = expected[expected.len() / 3].second;
            for last in [0, last, last | 1, SECONDS as u32] {
                let so_far = expected.iter().filter(|second| second.second <= last);
                let sums = so_far.fold(Second::default(), |sums, second| sums.plus(second));
                assert_eq!(used.until(last), sums, "{requests} requests until {last}");
            }
            assert_eq!(used.until(SECONDS as u32), used.whole());
        }
    }

    #[test]
    fn minutes_are_packed_and_unpacked() {
        let minutes = [(0, 1), (127, 3), (128, 200), (1_499, 1 << 33)];
        let mut used = Used::default();
        for (minute, requests) in minutes {
            let (counted, throttled, input_tokens) = (requests / 2, requests / 3, requests << 30);
            let second = minute * MINUTE + 7;
            let second = Second { second, requests, counted, throttled, input_tokens, ..Second::default() };
            used.push_minute(minute, iter::once(second));
        }
        let expected = minutes.map(|(minute, requests)| {
            let (requests_counted, requests_throttled) = (requests / 2, requests / 3);
            let input_tokens = requests << 30;
            (minute, Minute { requests, requests_counted, requests_throttled, input_tokens })
        });
        assert!(unpack(&pack(&used.minutes)).eq(expected));
    }

    /// Seconds, each with a counted request and so many input tokens.
    fn tokens(seconds: &[(u32, u64)]) -> Used {
        let second = |&(second, input_tokens)| Second {
            requests: 1,
            counted: 1,
            input_tokens,
            second,
            ..Second::default()
        };
        used(seconds.iter().map(second))
    }

    fn used(seconds: impl IntoIterator<Item = Second>) -> Used {
        let (seconds, mut used) = (Vec::from_iter(seconds), Used::default());
        for minute in seconds.chunk_by(|one, other| one.second / MINUTE == other.second / MINUTE) {
            used.push_minute(minute[0].second / MINUTE, minute.iter().copied());
        }
        used
    }

    fn peak_of_tokens(seconds: &[(u32, u64)], limit: Option<u64>) -> Peak {
        peaks(&tokens(seconds), [None, limit])[1]
    }

    #[test]
    fn a_peak_may_lie_across_two_minutes() {
        let peak = |seconds| {
            let Peak { peak, at, minute, .. } = peak_of_tokens(seconds, None);
            (peak, at, minute)
        };
        let seconds = [(10, 1), (55, 3), (70, 4), (114, 2), (115, 5)];
        // 55 to 114 hold 3 + 4 + 2; the minutes hold 4 and 11.
        assert_eq!(peak(&seconds[..4]), (9, Some(55), 6));
        assert_eq!(peak(&seconds), (11, Some(70), 11));
        assert_eq!(peak(&[]), (0, None, 0));
        assert_eq!(peak(&[(5, 0)]), (0, None, 0));
        assert_eq!(peak(&[(5, 0), (6, 1)]), (1, Some(5), 1), "the earliest second that begins such a window");
    }

    #[test]
    fn seconds_over_a_limit_look_back_60_seconds() {
        let over = |limit| peak_of_tokens(&[(0, 5), (59, 1), (60, 1)], limit).over_seconds;
        assert_eq!(over(Some(5)), 1, "at 59 the sum is 6, at 60 the 5 have gone");
        assert_eq!(over(Some(0)), 3);
        assert_eq!(over(None), 0);
    }

    #[test]
    fn what_is_not_counted_is_in_no_window() {
        let uncounted =
            |second| Second { requests: 1, throttled: 1, refused: 1, second, ..Second::default() };
        let counted =
            |second| Second { requests: 2, counted: 2, input_tokens: 3, second, ..Second::default() };
        let seconds = [uncounted(0), counted(5), uncounted(30), counted(64), uncounted(65), counted(66)];
        let peak = |peak, at| Peak { peak, at: Some(at), minute: peak, over_seconds: 2 };
        assert_eq!(peaks(&used(seconds), [Some(3), Some(5)]), [peak(4, 5), peak(6, 5)]);
    }

    #[test]
    fn windows_agree_with_trying_every_second() {
        let mut seed = 7u64;
        // In most minutes of a long log no window is higher than one before.
        for (round, (length, limit)) in
            (0..300).zip([(300, Some(3)), (6_000, Some(20)), (3_000, None)].iter().cycle())
        {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as u32
            };
            let mut seconds: Vec<(u32, u64)> =
                (0..length / 15).map(|_| (next() % length, u64::from(next() % 4))).collect();
            seconds.sort();
            seconds.dedup_by_key(|second| second.0);
            let sum = |from: u32, to: u32| -> u64 {
                seconds.iter().filter(|second| (from..=to).contains(&second.0)).map(|second| second.1).sum()
            };
            let highest = (0..*length).map(|from| sum(from, from + 59)).max().unwrap();
            let earliest =
                seconds.iter().map(|second| second.0).find(|&from| sum(from, from + 59) == highest);
            let minute = (0..length / 60).map(|minute| sum(minute * 60, minute * 60 + 59)).max().unwrap();
            let is_over =
                |second: u32| limit.is_some_and(|limit| sum(second.saturating_sub(59), second) > limit);
            let over = seconds.iter().filter(|second| is_over(second.0)).count();
            let expected = Peak {
                peak: highest,
                at: earliest.filter(|_| highest > 0),
                minute,
                over_seconds: over as u64,
            };
            assert_eq!(peak_of_tokens(&seconds, *limit), expected, "{round}");
        }
    }
}
