//! Owns sums over time: by second, by calendar minute, over any 60 consecutive seconds (Q7). Seconds are counted from
//! the day's midnight Pacific, so days of 23 and 25 hours need nothing. Knows no limit but the one it is given.

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
    fn new(second: u32, sums: Sums) -> Second {
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

impl<'r> Series<'r> {
    fn requests(&self) -> impl Iterator<Item = Marked> + use<'r> {
        let marks = Marked::marks(self.counted, self.throttled);
        self.arrivals.iter().map(move |arrival| Marked(arrival.bits() | marks))
    }
}

/// Requests and input tokens of one second, by whether they are counted, and whether they are throttled.
type Sums = [[u64; 2]; 4];

/// No day has more.
const MINUTES: usize = 25 * 60;
const SECONDS: usize = MINUTES * 60;

/// The arrivals of several series by second, ascending.
pub fn by_second(series: &[Series<'_>]) -> Vec<Second> {
    let count: usize = series.iter().map(|series| series.arrivals.len()).sum();
    let mut seconds: Vec<Second> = if count > 4 * SECONDS {
        // Nearly every second has some, and copies to be sorted would be the most that is in memory.
        let mut sums = vec![Sums::default(); SECONDS];
        let requests = series.iter().flat_map(Series::requests);
        requests.for_each(|request| request.put(&mut sums[request.second() as usize]));
        (0..).zip(sums).map(|(second, sums)| Second::new(second, sums)).collect()
    } else {
        sorted(series, count)
    };
    // Of a second whose requests were all taken back nothing is left.
    seconds.retain(|second| second.requests > 0);
    seconds
}

/// As [`by_second`]: sorts requests by minute, and adds those of a minute up by second.
fn sorted(series: &[Series<'_>], count: usize) -> Vec<Second> {
    let mut ends = [0u32; MINUTES];
    for series in series {
        series.arrivals.iter().for_each(|arrival| ends[arrival.minute_of_day()] += 1);
    }
    let mut end = 0;
    for minute in &mut ends {
        (*minute, end) = (end, end + *minute);
    }
    let mut requests = vec![Marked::default(); count];
    for series in series {
        for request in series.requests() {
            let end = &mut ends[request.arrival().minute_of_day()];
            requests[*end as usize] = request;
            *end += 1;
        }
    }
    let mut seconds = Vec::with_capacity(count.min(SECONDS));
    let mut of_minute = [Sums::default(); 60];
    let mut begin = 0;
    for (minute, end) in (0..).zip(ends) {
        let first = minute * 60;
        // A bit for each second that has some.
        let mut found = 0u64;
        for request in &requests[begin..end as usize] {
            let second = request.second() - first;
            found |= 1 << second;
            request.put(&mut of_minute[second as usize]);
        }
        while found != 0 {
            let second = found.trailing_zeros();
            found &= found - 1;
            let sums = std::mem::take(&mut of_minute[second as usize]);
            seconds.push(Second::new(first + second, sums));
        }
        begin = end as usize;
    }
    seconds
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
    const SHIFT: u32 = u64::BITS - 2;
    const MARKS: u64 = 0b11 << Marked::SHIFT;

    fn marks(counted: bool, throttled: bool) -> u64 {
        const { assert!(Arrival::SPARE_BITS >= 2) };
        (u64::from(counted) << 1 | u64::from(throttled)) << Marked::SHIFT
    }

    fn arrival(self) -> Arrival {
        Arrival::from_bits(self.0 & !Marked::MARKS)
    }

    fn second(self) -> u32 {
        self.arrival().second_of_day()
    }

    fn put(self, sums: &mut Sums) {
        let arrival = self.arrival();
        let [requests, input_tokens] = &mut sums[(self.0 >> Marked::SHIFT) as usize];
        arrival.put(requests, 1);
        arrival.put(input_tokens, arrival.input_tokens());
    }
}

/// Sums by minute from the day's midnight, of `seconds` that ascend; of minutes with a request.
pub fn by_minute(seconds: &[Second]) -> Vec<(u32, Minute)> {
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
    minutes(seconds).map(sum).collect()
}

/// The seconds of each calendar minute.
fn minutes(seconds: &[Second]) -> impl Iterator<Item = &[Second]> {
    seconds.chunk_by(|one, next| one.second / 60 == next.second / 60)
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
pub fn peaks(seconds: &[Second], limits: [Option<u64>; 2]) -> [Peak; 2] {
    let mut peaks = [Peak::default(); 2];
    // Where the minute begins, and what the one right before it has.
    let (mut begin, mut before, mut sums_before) = (0, 0, [0; 2]);
    for of_minute in minutes(seconds) {
        if begin > 0 && seconds[begin - 1].second / 60 + 1 != of_minute[0].second / 60 {
            (before, sums_before) = (0, [0; 2]);
        }
        let end = begin + of_minute.len();
        let mut sums = [0; 2];
        of_minute.iter().for_each(|second| add(&mut sums, second));
        let mut may_be_higher = false;
        for (place, peak) in peaks.iter_mut().enumerate() {
            peak.minute = peak.minute.max(sums[place]);
            let most = sums_before[place] + sums[place];
            may_be_higher |= most > peak.peak || limits[place].is_some_and(|limit| most > limit);
        }
        if may_be_higher {
            try_windows(&mut peaks, &seconds[begin - before..end], before, sums_before, limits);
        }
        (begin, before, sums_before) = (end, of_minute.len(), sums);
    }
    peaks
}

/// Tries the windows that end in the second one of two minutes, which begins at a place among their seconds. `sums` are of
/// the first one.
fn try_windows(
    peaks: &mut [Peak; 2],
    seconds: &[Second],
    place: usize,
    mut sums: [u64; 2],
    limits: [Option<u64>; 2],
) {
    let mut begin = 0;
    for second in seconds[place..].iter().filter(|second| second.counted > 0) {
        // A second without a counted request weighs nothing, and begins no window.
        while seconds[begin].counted == 0 || seconds[begin].second + WINDOW <= second.second {
            let weights = weights(&seconds[begin]);
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum -= weight);
            begin += 1;
        }
        add(&mut sums, second);
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

fn add(sums: &mut [u64; 2], second: &Second) {
    sums.iter_mut().zip(weights(second)).for_each(|(sum, weight)| *sum += weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_the_same_however_they_are_summed() {
        // Some are sorted by minute, very many put to the seconds of the day.
        for requests in [5_000, 4 * SECONDS as u32 + 9] {
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

    /// Seconds, each with a counted request and so many input tokens.
    fn tokens(seconds: &[(u32, u64)]) -> Vec<Second> {
        let second = |&(second, input_tokens)| Second {
            requests: 1,
            counted: 1,
            input_tokens,
            second,
            ..Second::default()
        };
        seconds.iter().map(second).collect()
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
        assert_eq!(peaks(&seconds, [Some(3), Some(5)]), [peak(4, 5), peak(6, 5)]);
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
