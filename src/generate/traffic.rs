//! Owns when lines are logged and who asks: the rhythm of days, bursts, storms. What is asked is for `call`.
//!
//! Lines are dealt, not drawn: the log's to its days, a day's to its minutes, a minute's to its seconds, each by
//! weights. So a log has exactly as many lines as were ordered, in order of time, without sorting or looking ahead.

use super::projects::Project;
use super::random::{Random, hashed};

const MINUTES: usize = 1_440;

/// Goes through the seconds of a log.
#[derive(Debug)]
pub struct Traffic {
    seed: u64,
    /// Days since 1970 of the first day, UTC.
    first_day: i32,
    /// By day of the log.
    days: Vec<u64>,
    /// Of the day that is under way.
    minutes: Vec<u64>,
    /// Of the minute that is under way.
    seconds: Vec<u64>,
    /// The next second, counted from the log's start.
    next: u64,
    random: Random,
    /// Projects by number, as often as they ask in the hour that is under way.
    askers: Vec<u16>,
    /// A project that asks much more than usual, for some minutes.
    burst: Option<u16>,
    /// A project that asks more than its quota, for some minutes.
    storm: Option<u16>,
}

/// The lines of one second.
#[derive(Clone, Copy, Debug)]
pub struct Second {
    /// Since 1970.
    pub at: i64,
    pub lines: u64,
}

/// Who asks, and whether it is refused for asking too much.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub project: usize,
    pub in_storm: bool,
}

impl Traffic {
    pub fn new(seed: u64, lines: u64, first_day: i32, days: u32) -> Traffic {
        let mut random = Random::new(hashed(&[seed, TRAFFIC]));
        let weights: Vec<u32> = (0..days)
            .map(|day| {
                // 1970-01-01 was a Thursday.
                let weekday = (first_day + day as i32 + 3).rem_euclid(7);
                let share = if weekday >= 5 { 6 } else { 10 };
                share * random.between(90, 110)
            })
            .collect();
        Traffic {
            seed,
            first_day,
            days: deal(lines, &weights, &mut random),
            minutes: Vec::new(),
            seconds: Vec::new(),
            next: 0,
            random,
            askers: Vec::new(),
            burst: None,
            storm: None,
        }
    }

    /// The next second that has lines.
    pub fn next(&mut self, projects: &[Project]) -> Option<Second> {
        loop {
            let (day, second) = ((self.next / 86_400) as usize, self.next % 86_400);
            let lines_of_day = *self.days.get(day)?;
            let (minute, second) = ((second / 60) as usize, (second % 60) as usize);
            if minute == 0 && second == 0 {
                self.begin_day(lines_of_day, projects);
            }
            if second == 0 {
                if self.minutes[minute] == 0 {
                    self.next += 60;
                    continue;
                }
                self.begin_minute(day, minute, projects);
            }
            let at = (i64::from(self.first_day) * 86_400) + self.next as i64;
            self.next += 1;
            if self.seconds[second] > 0 {
                return Some(Second { at, lines: self.seconds[second] });
            }
        }
    }

    /// Draws who asks in the second that was given last.
    #[inline]
    pub fn asker(&self, random: &mut Random) -> Asker {
        let drawn = random.bits();
        let whim = (drawn >> 32) as u32 % 100;
        match (self.storm, self.burst) {
            (Some(project), _) if whim < 55 => Asker { project: usize::from(project), in_storm: true },
            (None, Some(project)) if whim < 40 => Asker { project: usize::from(project), in_storm: false },
            _ => Asker {
                project: usize::from(self.askers[drawn as usize & (self.askers.len() - 1)]),
                in_storm: false,
            },
        }
    }

    fn begin_day(&mut self, lines: u64, projects: &[Project]) {
        let hourly: Vec<u32> = (0..24)
            .map(|hour| {
                let all: u64 = projects.iter().map(|project| u64::from(project.hourly(hour))).sum();
                // Small enough that a day's weights add up far below 64 bits, and never 0.
                1 + (all / projects.len() as u64).min(1 << 20) as u32
            })
            .collect();
        let weights: Vec<u32> = (0..MINUTES)
            .map(|minute| {
                let (hour, past) = (minute / 60, (minute % 60) as u32);
                let rhythm = (hourly[hour] * (60 - past) + hourly[(hour + 1) % 24] * past) / 60;
                let burst = if self.random.chance(200) { 3 } else { 1 };
                rhythm / 8 * burst * self.random.between(6, 10) + 1
            })
            .collect();
        self.minutes = deal(lines, &weights, &mut self.random);
        self.askers.clear();
    }

    fn begin_minute(&mut self, day: usize, minute: usize, projects: &[Project]) {
        if minute.is_multiple_of(60) || self.askers.is_empty() {
            let hour = (minute / 60) as u32;
            let weights: Vec<u32> = projects.iter().map(|project| project.hourly(hour)).collect();
            let places = (projects.len() * 16).next_power_of_two().max(1_024) as u64;
            let shares = deal(places, &weights, &mut self.random);
            self.askers.clear();
            for (project, places) in shares.into_iter().enumerate() {
                self.askers.extend((0..places).map(|_| project as u16));
            }
        }
        let hit = |kind: u64, minutes: usize, of_1000: u64| {
            let window = (day * MINUTES + minute) / minutes;
            let drawn = hashed(&[self.seed, kind, window as u64]);
            let project = (drawn >> 32) % projects.len() as u64;
            (drawn % 1_000 < of_1000).then_some(project as u16)
        };
        (self.burst, self.storm) = (hit(BURST, 15, 250), hit(STORM, 4, 15));
        let weights: Vec<u32> = (0..60)
            .map(|_| self.random.between(1, 8) * if self.random.chance(400) { 6 } else { 1 })
            .collect();
        self.seconds = deal(self.minutes[minute], &weights, &mut self.random);
    }
}

/// Deals `lines` by weights: each place gets its share, rounded up or down so that all is dealt. Where rounding
/// begins is drawn, else a single line would always go to the last place.
fn deal(lines: u64, weights: &[u32], random: &mut Random) -> Vec<u64> {
    let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if all == 0 {
        return vec![0; weights.len()];
    }
    let phase = u128::from(random.bits() % all);
    let dealt_up_to =
        |weight: u64| ((u128::from(lines) * u128::from(weight) + phase) / u128::from(all)) as u64;
    let (mut sum, mut dealt) = (0, 0);
    weights
        .iter()
        .map(|weight| {
            sum += u64::from(*weight);
            let before = std::mem::replace(&mut dealt, dealt_up_to(sum));
            dealt - before
        })
        .collect()
}

/// Keep these draws apart from others of the same seed.
const TRAFFIC: u64 = 0x7472_6166;
const BURST: u64 = 0x6275_7273;
const STORM: u64 = 0x7374_6f72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_dealt_and_each_place_gets_its_share() {
        let mut random = Random::new(1);
        let weights = [0, 10, 20, 70, 0];
        for lines in [0, 1, 7, 100, 1_000_000_007] {
            let dealt = deal(lines, &weights, &mut random);
            assert_eq!(dealt.iter().sum::<u64>(), lines);
            for (dealt, weight) in dealt.iter().zip(weights) {
                let share = lines * u64::from(weight) / 100;
                assert!((share..=share + 1).contains(dealt), "{dealt} of {lines}");
            }
        }
    }

    #[test]
    fn a_single_line_may_fall_anywhere() {
        let mut random = Random::new(1);
        let mut seen = [0; 4];
        for _ in 0..400 {
            for (seen, dealt) in seen.iter_mut().zip(deal(1, &[1; 4], &mut random)) {
                *seen += dealt;
            }
        }
        assert!(seen.iter().all(|lines| *lines > 50), "{seen:?}");
    }
}
