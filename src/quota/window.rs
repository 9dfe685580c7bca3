//! Owns sums over time: by second, by calendar minute, over any 60 consecutive seconds (Q7). Seconds are counted from
//! the day's midnight Pacific, so days of 23 and 25 hours need nothing. Knows no limit but the one it is given.

use std::collections::BTreeMap;

use crate::types::quota_use::Minute;
use crate::types::tally::Arrival;

pub const WINDOW: u32 = 60;

/// The requests of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Requests that would count if none had been throttled.
    pub fn admitted(&self) -> u64 {
        self.counted + self.refused
    }

    /// Input tokens of those.
    pub fn input_tokens_admitted(&self) -> u64 {
        self.input_tokens + self.input_tokens_refused
    }
}

/// The arrivals of one series by second.
pub fn by_second(arrivals: &[Arrival], counted: bool, throttled: bool) -> Vec<Second> {
    let mut sorted = arrivals.to_vec();
    sorted.sort_unstable();
    let seconds = sorted.chunk_by(|one, next| one.second_of_day() == next.second_of_day());
    seconds
        .map(|second| {
            let requests = second.len() as u64;
            let input_tokens: u64 = second.iter().map(|arrival| arrival.input_tokens()).sum();
            let if_so = |so: bool, number: u64| if so { number } else { 0 };
            let refused = throttled && !counted;
            Second {
                second: second[0].second_of_day(),
                requests,
                counted: if_so(counted, requests),
                throttled: if_so(throttled, requests),
                input_tokens: if_so(counted, input_tokens),
                refused: if_so(refused, requests),
                input_tokens_refused: if_so(refused, input_tokens),
            }
        })
        .collect()
}

/// Sorts and sums the seconds of several series, so that each stands once.
pub fn merge(seconds: &mut Vec<Second>) {
    seconds.sort_unstable_by_key(|second| second.second);
    seconds.dedup_by(|next, sum| {
        let same = next.second == sum.second;
        if same {
            sum.requests += next.requests;
            sum.counted += next.counted;
            sum.throttled += next.throttled;
            sum.input_tokens += next.input_tokens;
            sum.refused += next.refused;
            sum.input_tokens_refused += next.input_tokens_refused;
        }
        same
    });
}

/// Sums by minute from the day's midnight.
pub fn by_minute(seconds: &[Second]) -> BTreeMap<u32, Minute> {
    let mut minutes: BTreeMap<u32, Minute> = BTreeMap::new();
    for second in seconds {
        let minute = minutes.entry(second.second / 60).or_default();
        minute.requests += second.requests;
        minute.requests_counted += second.counted;
        minute.requests_throttled += second.throttled;
        minute.input_tokens += second.input_tokens;
    }
    minutes
}

/// The highest sum over 60 consecutive seconds, and the earliest of `seconds` that begins such a window; None when the
/// highest sum is 0. A highest window always begins at a second with something in it, so those are enough to try.
pub fn peak(seconds: &[(u32, u64)]) -> (u64, Option<u32>) {
    let (mut peak, mut peak_at) = (0, None);
    let (mut end, mut sum) = (0, 0);
    for (start, &(second, weight)) in seconds.iter().enumerate() {
        while end < seconds.len() && seconds[end].0 < second + WINDOW {
            sum += seconds[end].1;
            end += 1;
        }
        if sum > peak {
            (peak, peak_at) = (sum, Some(seconds[start].0));
        }
        sum -= weight;
    }
    (peak, peak_at)
}

/// The highest sum over a calendar minute.
pub fn peak_minute(seconds: &[(u32, u64)]) -> u64 {
    let minutes = seconds.chunk_by(|one, next| one.0 / 60 == next.0 / 60);
    minutes.map(|minute| minute.iter().map(|(_, weight)| weight).sum()).max().unwrap_or(0)
}

/// Of `seconds` those whose trailing 60 seconds, itself among them, exceed `limit`.
pub fn over_seconds(seconds: &[(u32, u64)], limit: u64) -> u64 {
    let (mut start, mut sum, mut over) = (0, 0, 0);
    for &(second, weight) in seconds {
        sum += weight;
        while seconds[start].0 + WINDOW <= second {
            sum -= seconds[start].1;
            start += 1;
        }
        over += u64::from(sum > limit);
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_may_lie_across_two_minutes() {
        let seconds = [(10, 1), (55, 3), (70, 4), (114, 2), (115, 5)];
        // 55 to 114 hold 3 + 4 + 2; the minutes hold 4 and 11.
        assert_eq!(peak(&seconds[..4]), (9, Some(55)));
        assert_eq!(peak_minute(&seconds), 11);
        assert_eq!(peak(&seconds), (11, Some(70)));
        assert_eq!(peak(&[]), (0, None));
        assert_eq!(peak(&[(5, 0)]), (0, None));
        assert_eq!(peak(&[(5, 0), (6, 1)]), (1, Some(5)), "the earliest second that begins such a window");
    }

    #[test]
    fn seconds_over_a_limit_look_back_60_seconds() {
        let seconds = [(0, 5), (59, 1), (60, 1)];
        assert_eq!(over_seconds(&seconds, 5), 1, "at 59 the sum is 6, at 60 the 5 have gone");
        assert_eq!(over_seconds(&seconds, 0), 3);
    }

    #[test]
    fn windows_agree_with_trying_every_second() {
        let mut seed = 7u64;
        for _ in 0..200 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as u32
            };
            let mut seconds: Vec<(u32, u64)> =
                (0..20).map(|_| (next() % 300, u64::from(next() % 4))).collect();
            seconds.sort();
            seconds.dedup_by_key(|second| second.0);
            let sum = |from: u32, to: u32| -> u64 {
                seconds.iter().filter(|second| (from..=to).contains(&second.0)).map(|second| second.1).sum()
            };
            let highest = (0..300).map(|from| sum(from, from + 59)).max().unwrap();
            let earliest =
                seconds.iter().map(|second| second.0).find(|&from| sum(from, from + 59) == highest);
            assert_eq!(peak(&seconds), (highest, earliest.filter(|_| highest > 0)));
            let over = seconds.iter().filter(|second| sum(second.0.saturating_sub(59), second.0) > 3).count();
            assert_eq!(over_seconds(&seconds, 3), over as u64);
        }
    }
}
