//! Owns sums over time: by second, by calendar minute, over any 60 consecutive seconds (Q7). Seconds are counted from
//! the day's midnight Pacific, so days of 23 and 25 hours need nothing. Knows no limit but the one it is given.

use super::Hours;
use crate::types::quota_use::Minute;
use crate::types::tally::Arrival;
use crate::types::varint::{push_varint, take_varint};

pub const WINDOW: u32 = 60;

/// The requests of one second.
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
    fn at(second: u32) -> Second {
        Second { second, ..Second::default() }
    }

    fn add(&mut self, request: Marked) {
        let arrival = request.arrival();
        arrival.put(&mut self.requests, 1);
        arrival.put(&mut self.throttled, u64::from(request.is_throttled()));
        if request.is_counted() {
            arrival.put(&mut self.counted, 1);
            arrival.put(&mut self.input_tokens, arrival.input_tokens());
        } else if request.is_throttled() {
            arrival.put(&mut self.refused, 1);
            arrival.put(&mut self.input_tokens_refused, arrival.input_tokens());
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

/// No day has more.
const SECONDS: usize = 25 * 3600;

/// The arrivals of several series by second, ascending.
pub fn by_second(series: &[Series<'_>]) -> Vec<Second> {
    let requests = series.iter().flat_map(|series| {
        let marks = Marked::marks(series.counted, series.throttled);
        series.arrivals.iter().map(move |arrival| Marked(arrival.bits() | marks))
    });
    let count: usize = series.iter().map(|series| series.arrivals.len()).sum();
    let mut seconds: Vec<Second> = if count > 4 * SECONDS {
        // Nearly every second has some, and copies to be sorted would be the most that is in memory.
        let mut seconds: Vec<Second> = (0..SECONDS as u32).map(Second::at).collect();
        requests.for_each(|request| seconds[request.second() as usize].add(request));
        seconds
    } else {
        let mut marked = Vec::with_capacity(count);
        marked.extend(requests);
        sort(&mut marked);
        let seconds = marked.chunk_by(|one, next| one.second() == next.second());
        let sum = |second: &[Marked]| {
            let mut sums = Second::at(second[0].second());
            second.iter().for_each(|request| sums.add(*request));
            sums
        };
        seconds.map(sum).collect()
    };
    // Of a second whose requests were all taken back nothing is left.
    seconds.retain(|second| second.requests > 0);
    seconds
}

/// Requests by hour from the day's midnight.
pub fn by_hour(seconds: &[Second]) -> Hours {
    let mut hours = Hours::default();
    seconds.iter().for_each(|second| hours[second.second as usize / 3600] += second.requests);
    hours
}

/// Minutes as few bytes.
pub fn pack(minutes: &[(u32, Minute)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (minute, sums) in minutes {
        let Minute { requests, requests_counted, requests_throttled, input_tokens } = *sums;
        for number in [u64::from(*minute), requests, requests_counted, requests_throttled, input_tokens] {
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

/// An arrival with its outcome in bits that it doesn't need.
#[derive(Clone, Copy, Default)]
struct Marked(u64);

impl Marked {
    const COUNTED: u64 = 1 << 63;
    const THROTTLED: u64 = 1 << 62;
    const MARKS: u64 = Marked::COUNTED | Marked::THROTTLED;

    fn marks(counted: bool, throttled: bool) -> u64 {
        const { assert!(Arrival::SPARE_BITS >= 2) };
        (if counted { Marked::COUNTED } else { 0 }) | (if throttled { Marked::THROTTLED } else { 0 })
    }

    fn arrival(self) -> Arrival {
        Arrival::from_bits(self.0 & !Marked::MARKS)
    }

    fn second(self) -> u32 {
        self.arrival().second_of_day()
    }

    fn is_counted(self) -> bool {
        self.0 & Marked::COUNTED != 0
    }

    fn is_throttled(self) -> bool {
        self.0 & Marked::THROTTLED != 0
    }
}

/// Sorts by second: many by radix, 9 bits at once.
fn sort(marked: &mut Vec<Marked>) {
    const MANY: usize = 1 << 10;
    const BITS: u32 = 9;
    if marked.len() < MANY {
        return marked.sort_unstable_by_key(|request| request.second());
    }
    let mut sorted = vec![Marked::default(); marked.len()];
    for pass in 0..2 {
        let digit = |request: Marked| (request.second() >> (pass * BITS)) as usize & ((1 << BITS) - 1);
        let mut starts = [0; 1 << BITS];
        marked.iter().for_each(|request| starts[digit(*request)] += 1);
        let mut start = 0;
        for place in &mut starts {
            (*place, start) = (start, start + *place);
        }
        for request in marked.iter() {
            let place = &mut starts[digit(*request)];
            sorted[*place] = *request;
            *place += 1;
        }
        std::mem::swap(marked, &mut sorted);
    }
}

/// Sums by minute from the day's midnight, of `seconds` that ascend; of minutes with a request.
pub fn by_minute(seconds: &[Second]) -> Vec<(u32, Minute)> {
    let minutes = seconds.chunk_by(|one, next| one.second / 60 == next.second / 60);
    let sum = |minute: &[Second]| {
        let mut sums = Minute::default();
        for second in minute {
            sums.requests += second.requests;
            sums.requests_counted += second.counted;
            sums.requests_throttled += second.throttled;
            sums.input_tokens += second.input_tokens;
        }
        (minute[0].second / 60, sums)
    };
    minutes.map(sum).collect()
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
    fn seconds_are_the_same_however_they_are_summed() {
        // Few are compared, more sorted by radix, very many put to the seconds of the day.
        for requests in [500, 5_000, 4 * SECONDS as u32 + 9] {
            let arrival =
                |place: u32| Arrival::new(place * 7919 % SECONDS as u32, u64::from(place % 11) << 30);
            let all: Vec<Arrival> = (0..requests).map(arrival).collect();
            let (kept, back) = all.split_at(all.len() * 2 / 3);
            let mut arrivals: Vec<Arrival> = back.iter().map(|arrival| arrival.back()).collect();
            arrivals.extend(&all);
            let series = |arrivals| Series { arrivals, counted: true, throttled: false, undated: false };
            let throttled = Series { counted: false, throttled: true, ..series(&all[..300]) };
            let whole = by_second(&[series(&arrivals), throttled]);
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
            assert!(whole == expected, "{requests} requests");
        }
    }

    #[test]
    fn minutes_are_packed_and_unpacked() {
        let minute = |number| Minute {
            requests: number,
            requests_counted: number / 2,
            requests_throttled: number / 3,
            input_tokens: number << 30,
        };
        let minutes = [(0, minute(1)), (127, minute(0)), (128, minute(200)), (1_499, minute(1 << 33))];
        assert!(unpack(&pack(&minutes)).eq(minutes));
    }

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
