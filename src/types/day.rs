//! Owns time: instants (UTC, in nanoseconds) and days (Pacific). The only file that knows Los Angeles.
//!
//! Quotas reset at midnight Pacific (Q4) and invoices are cut on Pacific days, so a day is never a UTC day here.
//! Whole days of 23 and 25 hours come out right because a day is found from the offset in force, not by dividing.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::TimeZone;

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// A point in time, in nanoseconds since 1970-01-01T00:00:00Z. Logs have 1970 to 2261, which fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

/// A calendar day in America/Los_Angeles, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Instant {
    pub fn from_seconds(seconds: i64) -> Instant {
        Instant(seconds * NANOS)
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS)
    }

    pub fn day(self) -> Day {
        let seconds = self.seconds();
        Day((seconds + pacific_offset(seconds)).div_euclid(DAY_SECONDS) as i32)
    }

    /// So many units of `unit` nanoseconds since 1970, if logs may have that time.
    #[inline]
    pub fn of_units(units: i64, unit: i64) -> Option<Instant> {
        (0..(LAST_SECOND + 1) * (NANOS / unit)).contains(&units).then(|| Instant(units * unit))
    }

    /// Reads an RFC 3339 timestamp (design: `T`, `t` or a space; `Z`, `z` or `+hh:mm`; any precision, cut to
    /// nanoseconds; years 1970 to 2261; no leap second). Without an offset `zone` says which wall clock it was.
    pub fn parse(text: &str, zone: Option<&TimeZone>) -> Result<Instant, &'static str> {
        parse_timestamp(text.as_bytes(), zone)
    }
}

/// Reads times of which many are of one date, as a log's are: it is worked out once.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// A date, and the second with which it begins in UTC; all of it lies in the years that logs may have.
    last: Option<([u8; 10], i64)>,
}

impl Clock {
    /// As [`Instant::parse`], of a time with an offset.
    #[inline(always)]
    pub fn parse(&mut self, text: &[u8]) -> Option<Instant> {
        self.parse_usual(text).or_else(|| self.parse_other(text))
    }

    /// Reads `THH:MM:SSZ` after the date that came last, with or without a fraction.
    #[inline(always)]
    fn parse_usual(&self, text: &[u8]) -> Option<Instant> {
        /// The digits, colons and high halves of `HH:MM:SS`.
        const SHAPE: u64 = u64::from_le_bytes(*b"00:00:00");
        const SIX: u64 = u64::from_le_bytes([6, 6, 0, 6, 6, 0, 6, 6]);
        const HIGH: u64 = u64::from_le_bytes([0xf0, 0xf0, 0xff, 0xf0, 0xf0, 0xff, 0xf0, 0xf0]);
        let (date, rest) = text.split_first_chunk::<10>()?;
        let (b'T', rest) = rest.split_first()? else { return None };
        let (clock, fraction) = rest.split_first_chunk::<8>()?;
        let digits = u64::from_le_bytes(*clock) ^ SHAPE;
        let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
        let pair = |place: u32| (pairs >> (8 * place) & 0xff) as i64;
        let (hour, minute, second) = (pair(0), pair(3), pair(6));
        let is_clock = (digits | digits.wrapping_add(SIX)) & HIGH == 0;
        let (last, begin) = self.last?;
        if *date != last || !is_clock || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let nanos = match fraction {
            [b'Z'] => 0,
            // As most are.
            &[b'.', tenths, hundredths, thousandths, b'Z'] => {
                let [one, two, three] =
                    [tenths, hundredths, thousandths].map(|digit| digit.wrapping_sub(b'0'));
                if one > 9 || two > 9 || three > 9 {
                    return None;
                }
                (i64::from(one) * 100 + i64::from(two) * 10 + i64::from(three)) * (NANOS / 1_000)
            }
            [b'.', digits @ .., b'Z'] if matches!(digits.len(), 1..=9) => {
                let mut nanos = 0;
                for digit in digits {
                    nanos = nanos * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
                }
                const TENS: [i64; 10] =
                    [NANOS, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
                nanos * TENS[digits.len()]
            }
            _ => return None,
        };
        Some(Instant((begin + hour * 3600 + minute * 60 + second) * NANOS + nanos))
    }

    #[inline(never)]
    fn parse_other(&mut self, text: &[u8]) -> Option<Instant> {
        let at = parse_timestamp(text, None).ok()?;
        let date = text.first_chunk::<10>()?;
        // A date at the border may be in range only by its offset.
        let begin = parse_date(date).ok()? * DAY_SECONDS;
        if begin >= FIRST_SECOND && begin + DAY_SECONDS - 1 <= LAST_SECOND {
            self.last = Some((*date, begin));
        }
        Some(at)
    }
}

impl Day {
    /// The instant of midnight Pacific with which the day begins.
    pub fn start(self) -> Instant {
        let midnight = i64::from(self.0) * DAY_SECONDS;
        // Clocks change at 2 in the morning, so the offset at 08:00 UTC is the one that midnight had.
        Instant::from_seconds(midnight - pacific_offset(midnight + 8 * 3600))
    }

    pub fn next(self) -> Day {
        Day(self.0 + 1)
    }

    pub fn previous(self) -> Day {
        Day(self.0 - 1)
    }

    /// Year and month, which are Pacific too.
    pub fn month(self) -> (i64, i64) {
        let (year, month, _) = civil_from_days(i64::from(self.0));
        (year, month)
    }

    /// 23, 24 or 25.
    pub fn hours(self) -> usize {
        ((self.next().start().seconds() - self.start().seconds()) / 3600) as usize
    }

    /// The hour of the day that `instant` lies in, counted from midnight: on a day of 25 hours 0 to 24.
    pub fn hour_of(self, instant: Instant) -> usize {
        ((instant.seconds() - self.start().seconds()) / 3600) as usize
    }

    /// The instant at which hour `hour` (counted from midnight) begins, written with its Pacific offset.
    pub fn hour_label(self, hour: usize) -> String {
        let seconds = self.start().seconds() + hour as i64 * 3600;
        let offset = pacific_offset(seconds);
        let local = (seconds + offset).rem_euclid(DAY_SECONDS);
        format!("{self}T{:02}:00-{:02}:00", local / 3600, -offset / 3600)
    }

    /// Reads `YYYY-MM-DD`, years 1970 to 2261.
    pub fn parse(text: &str) -> Option<Day> {
        let bytes = text.as_bytes();
        (bytes.len() == 10).then_some(())?;
        let day = parse_date(bytes).ok()?;
        // At the first second it is still the day before in California, at the last one it is the same.
        let days = (FIRST_SECOND / DAY_SECONDS - 1)..=(LAST_SECOND / DAY_SECONDS);
        days.contains(&day).then_some(Day(day as i32))
    }
}

/// The days that are asked for, both inclusive; an end left out is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub from: Option<Day>,
    pub to: Option<Day>,
}

impl Window {
    pub fn contains(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    pub fn is_open(&self) -> bool {
        *self == Window::default()
    }
}

/// Written and read as text.
macro_rules! serde_as_text {
    ($type:ident, $parse:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                $parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no time")))
            }
        }
    };
}
serde_as_text!(Day, Day::parse);
serde_as_text!(Instant, |text| Instant::parse(text, None).ok());

/// Finds days of instants of which most lie in the day of the one before.
#[derive(Debug)]
pub struct Days {
    day: Day,
    from: Instant,
    until: Instant,
}

impl Default for Days {
    fn default() -> Days {
        // Of nothing, so that the first instant is looked up.
        Days { day: Day(0), from: Instant(0), until: Instant(0) }
    }
}

impl Days {
    pub fn of(&mut self, at: Instant) -> Day {
        if at < self.from || at >= self.until {
            self.day = at.day();
            (self.from, self.until) = (self.day.start(), self.day.next().start());
        }
        self.day
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(i64::from(self.0));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC, with as many digits of a second as it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
        let clock = seconds.rem_euclid(DAY_SECONDS);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            clock / 3600,
            clock / 60 % 60,
            clock % 60
        )?;
        let nanos = self.0.rem_euclid(NANOS);
        if nanos != 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// The wall clock named by `--time-zone`: an IANA name from the zones that are built in.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// The names that [`time_zone`] knows.
pub fn time_zones() -> Vec<String> {
    jiff::tz::db().available().map(|name| name.to_string()).collect()
}

/// Seconds that Pacific clocks are ahead of UTC (so -28,800 or -25,200) at a second since 1970.
fn pacific_offset(seconds: i64) -> i64 {
    /// (first second, offset), ascending. About 580 changes until 2262; a binary search beats asking the zone.
    static OFFSETS: LazyLock<Vec<(i64, i64)>> = LazyLock::new(|| {
        let zone = time_zone("America/Los_Angeles").expect("the zone is built in");
        let epoch = jiff::Timestamp::UNIX_EPOCH;
        let mut offsets = vec![(i64::MIN, i64::from(zone.to_offset(epoch).seconds()))];
        let end = jiff::Timestamp::from_second(i64::MAX / NANOS).expect("2262 is in range");
        offsets.extend(
            zone.following(epoch)
                .take_while(|change| change.timestamp() < end)
                .map(|change| (change.timestamp().as_second(), i64::from(change.offset().seconds()))),
        );
        offsets
    });
    let after = OFFSETS.partition_point(|&(from, _)| from <= seconds);
    OFFSETS[after - 1].1
}

fn parse_timestamp(bytes: &[u8], zone: Option<&TimeZone>) -> Result<Instant, &'static str> {
    const SHAPE: &str = "expected a time like 2026-06-01T12:00:00Z";
    if bytes.len() < 19 || !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || bytes[16] != b':'
    {
        return Err(SHAPE);
    }
    let days = parse_date(&bytes[..10])?;
    let (Some(hour), Some(minute), Some(second)) = (pair(bytes, 11), pair(bytes, 14), pair(bytes, 17)) else {
        return Err(SHAPE);
    };
    if second == 60 {
        return Err("a leap second has no place in Unix time");
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err("there is no such time of day");
    }
    let mut rest = &bytes[19..];
    let mut nanos = 0;
    if let [b'.', digits @ ..] = rest {
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(SHAPE);
        }
        for place in 0..9 {
            nanos = nanos * 10 + digits[..count].get(place).map_or(0, |digit| i64::from(digit - b'0'));
        }
        rest = &digits[count..];
    }
    let clock = days * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (Some(hours), Some(minutes)) = (pair(rest, 1), pair(rest, 4)) else {
                return Err(SHAPE);
            };
            if hours > 23 || minutes > 59 {
                return Err("there is no such offset");
            }
            let offset = hours * 3600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        [] => return wall_clock(clock, nanos, zone),
        _ => return Err(SHAPE),
    };
    instant(clock - offset, nanos)
}

/// The seconds of the years that logs may have: 1970 to 2261, in UTC.
const FIRST_SECOND: i64 = 0;
const LAST_SECOND: i64 = 9_214_646_399;

fn instant(seconds: i64, nanos: i64) -> Result<Instant, &'static str> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err("expected a year from 1970 to 2261");
    }
    Ok(Instant(seconds * NANOS + nanos))
}

/// A time without an offset, read on the clock of `zone`; of an hour that comes twice the first, as most logs mean.
fn wall_clock(clock: i64, nanos: i64, zone: Option<&TimeZone>) -> Result<Instant, &'static str> {
    let zone = zone.ok_or("it has no offset from UTC; --time-zone says which clock it was")?;
    let civil = TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(clock).map_err(|_| "out of range")?);
    instant(zone.to_timestamp(civil).map_err(|_| "out of range")?.as_second(), nanos)
}

/// `YYYY-MM-DD` as days since 1970-01-01.
fn parse_date(bytes: &[u8]) -> Result<i64, &'static str> {
    const SHAPE: &str = "expected a date like 2026-06-01";
    let (Some(century), Some(year), Some(month), Some(day)) =
        (pair(bytes, 0), pair(bytes, 2), pair(bytes, 5), pair(bytes, 8))
    else {
        return Err(SHAPE);
    };
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(SHAPE);
    }
    let year = century * 100 + year;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err("there is no such month"),
    };
    if !(1..=last).contains(&day) {
        return Err("there is no such day");
    }
    Ok(days_from_civil(year, month, day))
}

fn pair(bytes: &[u8], at: usize) -> Option<i64> {
    match (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0')) {
        (tens @ 0..=9, ones @ 0..=9) => Some(i64::from(tens) * 10 + i64::from(ones)),
        _ => None,
    }
}

/// Days since 1970-01-01 of a Gregorian date (counting years from March, so that the leap day comes last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text, None).unwrap()
    }

    #[test]
    fn a_clock_reads_what_a_single_time_is_whatever_came_before() {
        let mut clock = Clock::default();
        for text in [
            "\0\0\0\0\0\0\0\0\0\0T00:00:00Z",
            // In range by its offset; the same date in UTC isn't.
            "1969-12-31T23:30:00-01:00",
            "1969-12-31T12:00:00Z",
            "2262-01-01T00:30:00+01:00",
            "2262-01-01T12:00:00Z",
            "2026-06-01T12:00:00Z",
            "2026-06-01T12:00:01.5Z",
            "2026-06-01T23:59:59.123456789Z",
            "2026-06-01T24:00:00Z",
            "2026-06-01T12:60:00Z",
            "2026-06-01T12:00:60Z",
            "2026-06-01T12:00:00.Z",
            "2026-06-01T12:0a:00Z",
            "2026-06-01T12:00:00+02:00",
            "2026-06-01t12:00:00z",
        ] {
            assert_eq!(clock.parse(text.as_bytes()), Instant::parse(text, None).ok(), "{text}");
        }
    }

    #[test]
    fn a_day_is_one_that_an_instant_may_lie_in() {
        for (text, day) in [
            ("1969-12-30", None),
            ("1969-12-31", Some(Day(-1))),
            ("1970-01-01", Some(Day(0))),
            ("2261-12-31", Some(Day(106_650))),
            ("2262-01-01", None),
            ("2026-02-29", None),
        ] {
            assert_eq!(Day::parse(text), day, "{text}");
        }
    }

    #[test]
    fn days_begin_at_midnight_pacific_and_have_23_to_25_hours() {
        for (day, start, hours) in [
            ("2026-06-01", "2026-06-01T07:00:00Z", 24),
            ("2026-03-08", "2026-03-08T08:00:00Z", 23),
            ("2026-11-01", "2026-11-01T07:00:00Z", 25),
            ("1970-01-02", "1970-01-02T08:00:00Z", 24),
            ("2261-12-30", "2261-12-30T08:00:00Z", 24),
        ] {
            let day = Day::parse(day).unwrap();
            assert_eq!((day.start(), day.hours()), (at(start), hours), "{day}");
            assert_eq!(day.start().day(), day);
            assert_eq!(Instant(day.start().0 - 1).day(), Day(day.0 - 1));
        }
        assert_eq!(Day::parse("2026-11-01").unwrap().hour_label(2), "2026-11-01T01:00-08:00");
        assert_eq!(Day::parse("2026-11-01").unwrap().hour_label(1), "2026-11-01T01:00-07:00");
    }

    #[test]
    fn every_day_to_2261_is_written_as_it_is_read() {
        for days in 0..106_600 {
            assert_eq!(Day::parse(&Day(days).to_string()), Some(Day(days)));
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_with_an_offset() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-06-01 12:00:00.5z", 1_780_315_200, 500_000_000),
            ("2026-06-01t14:00:00.1234567899+02:00", 1_780_315_200, 123_456_789),
            ("2024-02-29T23:59:59-00:00", 1_709_251_199, 0),
        ] {
            assert_eq!(at(text), Instant(seconds * NANOS + nanos), "{text}");
        }
        for text in [
            "",
            "2026-06-01",
            "2026-06-01T12:00:00",
            "2026-06-01T12:00Z",
            "2026-02-29T00:00:00Z",
            "2026-06-01T24:00:00Z",
            "2026-06-01T12:00:60Z",
            "1969-12-31T23:59:59Z",
            "2262-01-01T00:00:00Z",
            "2026-06-01T12:00:00.Z",
            "2026-06-01T12:00:00+0200",
            "2026-06-01T12:00:00Z ",
            "2026-06-01T12:00:00+24:00",
            "2026-6-1T12:00:00Z",
            "２026-06-01T12:00:00Z",
            "2026-06-01_12:00:00Z",
        ] {
            assert!(Instant::parse(text, None).is_err(), "{text}");
        }
        assert_eq!(at("2026-06-01T12:00:00.120Z").to_string(), "2026-06-01T12:00:00.12Z");
    }

    #[test]
    fn a_wall_clock_needs_its_zone() {
        let berlin = time_zone("Europe/Berlin").unwrap();
        let read = Instant::parse("2026-06-01T14:00:00", Some(&berlin)).unwrap();
        assert_eq!(read.to_string(), "2026-06-01T12:00:00Z");
        // The hour that comes twice is read as the first, the hour that doesn't exist as an hour later.
        let twice = Instant::parse("2026-10-25T02:30:00", Some(&berlin)).unwrap();
        assert_eq!(twice.to_string(), "2026-10-25T00:30:00Z");
    }
}
