//! Owns synthetic logs: canonical records (and an accounts file that belongs to them) that follow from a seed alone.
//! Knows no price and no limit, writes no file, and has nothing of the command line.
//!
//! Who wants to try the program, to test it or to measure it needs logs, and real ones hold what nobody may pass on.
//! So logs are made up, with all that makes real ones hard: streams logged chunk by chunk, retries under one id, lines
//! that come twice, storms of 429, every service tier, promotions to another usage tier, models that nobody knows.
//!
//! ```text
//! seed ─▶ projects ─▶ traffic ─second, who─▶ call ─▶ record ─▶ bytes
//!                                             └─ later ─┘  chunks, retries, duplicates: when their second comes
//! ```
//!
//! - The same settings give the same bytes: on every machine, whenever, however the bytes are fetched.
//! - A log has exactly as many lines as were ordered, in order of the time at which a call ended, as exports have.
//!   (So its timestamps, at which calls began, are nearly in order.)
//! - A line without usage is never the last word: the chunk that has it is in the same log. Lines at fault aside, no
//!   line is refused.

mod accounts;
mod call;
mod faults;
mod mix;
mod models;
mod projects;
mod random;
mod record;
mod traffic;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::civil::{Date, date};

use call::{Call, World};
use mix::{Mix, RACE, USUAL};
use models::MODELS;
use projects::Project;
use random::{Random, hashed};
use record::Writer;
use traffic::Traffic;

const DAY_MILLIS: i64 = 86_400_000;

/// What log is wanted.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    /// Lines, over all days.
    pub records: u64,
    /// The first day, UTC: a log is cut at midnight UTC, as exports are.
    pub from: Date,
    /// From 1 up.
    pub days: u32,
    /// From 1 to [`Settings::MOST_PROJECTS`].
    pub projects: u32,
    /// Lines at fault, in millionths.
    pub faults: u32,
    /// The log of the benchmark: nothing in it that only this program tells apart.
    pub race: bool,
}

impl Settings {
    pub const MOST_PROJECTS: u32 = 10_000;

    fn mix(&self) -> &'static Mix {
        if self.race { &RACE } else { &USUAL }
    }

    /// Seconds since 1970.
    fn start(&self) -> i64 {
        i64::from(days_since_1970(self.from)) * 86_400
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seed: 1,
            records: 10_000,
            from: date(2026, 6, 1),
            days: 1,
            projects: 12,
            faults: 0,
            race: false,
        }
    }
}

/// The log of some settings, made as it is fetched.
pub struct Generator {
    settings: Settings,
    projects: Vec<Project>,
    traffic: Traffic,
    random: Random,
    writer: Writer,
    /// The day of the lines that come next, UTC.
    day: Date,
    /// By project: models by number, as often as it calls them on `day`.
    called: Vec<Vec<u8>>,
    /// By model: whether flex and priority have prices on `day`.
    flex: Vec<bool>,
    /// The second under way, in milliseconds since 1970, and its lines that are still to come.
    second: i64,
    lines_of_second: u64,
    /// Lines of the log that are still to come.
    lines: u64,
    /// Lines made that are logged later, by time and then in the order in which they were made.
    later: BinaryHeap<Reverse<(i64, u64, Vec<u8>)>>,
    made_later: u64,
    faulty: u64,
}

impl Generator {
    /// # Panics
    /// When there is no day or no project.
    pub fn new(settings: &Settings) -> Generator {
        assert!(settings.days > 0 && (1..=Settings::MOST_PROJECTS).contains(&settings.projects));
        Generator {
            projects: projects::projects(settings),
            traffic: Traffic::new(
                settings.seed,
                settings.records,
                days_since_1970(settings.from),
                settings.days,
            ),
            random: Random::new(hashed(&[settings.seed, LINES])),
            writer: Writer::default(),
            day: settings.from,
            called: Vec::new(),
            flex: Vec::new(),
            second: settings.start() * 1_000,
            lines_of_second: 0,
            lines: settings.records,
            later: BinaryHeap::new(),
            made_later: 0,
            faulty: 0,
            settings: settings.clone(),
        }
    }

    /// The accounts file that belongs to the log (TOML).
    pub fn accounts(&self) -> String {
        accounts::text(&self.settings, &self.projects)
    }

    /// How many lines at fault were made so far.
    pub fn faulty(&self) -> u64 {
        self.faulty
    }

    /// Appends whole lines of one UTC day, a bit more than `bytes` unless the day ends; the day, or None at the end.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes: usize) -> Option<Date> {
        let end = out.len() + bytes;
        let mut filled = None;
        while self.lines > 0 && out.len() < end {
            if self.lines_of_second == 0 {
                let next = self.traffic.next(&self.projects)?;
                (self.second, self.lines_of_second) = (next.at * 1_000, next.lines);
                let day = utc_day(self.second);
                if self.day != day || self.called.is_empty() {
                    self.begin_day(day);
                    if filled.is_some() {
                        return filled;
                    }
                }
            }
            let now = self.second + i64::from(self.random.below(1_000));
            self.line(now, out);
            self.lines_of_second -= 1;
            filled = Some(self.day);
        }
        filled
    }

    fn begin_day(&mut self, day: Date) {
        self.day = day;
        self.flex = MODELS.iter().map(|model| model.flex_from <= day).collect();
        self.called = self
            .projects
            .iter()
            .map(|project| {
                let weights = project.weights(day, self.settings.race);
                let models = weights.iter().enumerate();
                models.flat_map(|(model, weight)| (0..*weight).map(move |_| model as u8)).collect()
            })
            .collect();
    }

    /// The next line, at a time in milliseconds since 1970: one that was made earlier, or a new call.
    fn line(&mut self, now: i64, out: &mut Vec<u8>) {
        let due = self.later.peek().is_some_and(|Reverse((due, ..))| *due <= now);
        // At the end of the log come all that are left, due or not.
        if (due || self.later.len() as u64 == self.lines)
            && let Some(Reverse((_, _, line))) = self.later.pop()
        {
            out.extend_from_slice(&line);
        } else {
            let from = out.len();
            let at_fault = self.call(now, out);
            let mix = self.settings.mix();
            if !at_fault && self.random.chance(mix.duplicates) {
                // An exporter that tries again soon, or one that takes up where it believes it stopped.
                let delay = if self.random.chance(7_000) {
                    self.random.sized(10, 18)
                } else {
                    self.random.sized(18, 24)
                };
                self.keep(now + i64::from(delay), |_, again| {
                    again.extend_from_slice(&out[from..]);
                });
            }
        }
        self.lines -= 1;
    }

    /// Makes a call and appends its first line; whether that is a line at fault.
    fn call(&mut self, now: i64, out: &mut Vec<u8>) -> bool {
        let mix = self.settings.mix();
        let asker = self.traffic.asker(&mut self.random);
        // Calls borrow from their project while the rest of the generator goes on; so the list is taken out meanwhile.
        let projects = std::mem::take(&mut self.projects);
        let project = &projects[asker.project];
        let random = &mut self.random;
        let at_fault = random.below(1_000_000) < self.settings.faults;
        let whim = random.below(10_000);
        if at_fault {
            self.faulty += 1;
            faults::write(project, now, random, out);
        } else if whim < mix.free_methods {
            let call = Call::free(project, random);
            self.write(&call, now, out);
        } else if whim < mix.free_methods + mix.caches {
            self.cache(project, now, out);
        } else {
            let world = World { mix, called: &self.called[asker.project], flex: &self.flex };
            let mut call = Call::inference(project, asker.in_storm, world, random);
            call.other_service = random.chance(mix.other_services);
            if random.chance(mix.no_request_id) {
                call.request_id = None;
            }
            self.inference(&call, now, out);
        }
        self.projects = projects;
        at_fault
    }

    /// Appends the first line of a call, and keeps those that follow under its id.
    fn inference(&mut self, call: &Call<'_>, now: i64, out: &mut Vec<u8>) {
        let mix = self.settings.mix();
        let has_id = call.request_id.is_some() && !call.other_service;
        if has_id
            && call.method == "streamGenerateContent"
            && call.tokens.is_some()
            && self.random.chance(mix.chunked)
        {
            return self.stream(call, now, out);
        }
        self.write(call, now, out);
        if has_id && matches!(call.status, 429 | 500 | 503) && self.random.chance(mix.retried) {
            let again = call.retry(mix, &mut self.random);
            let delay = self.random.sized(10, 15);
            self.keep_call(&again, now + i64::from(delay));
        }
        if let Some(mut tokens) = call.tokens
            && has_id
            && tokens.output[0] > 0
            && self.random.chance(mix.amended)
        {
            tokens.output[0] += self.random.between(1, 90);
            let amended = Call { tokens: Some(tokens), ..*call };
            let delay = self.random.sized(14, 20);
            self.keep_call(&amended, now + i64::from(delay));
        }
    }

    /// A stream that is logged chunk by chunk, some of its first chunks without counts.
    fn stream(&mut self, call: &Call<'_>, now: i64, out: &mut Vec<u8>) {
        let chunks = self.random.between(2, 5);
        if self.room() < u64::from(chunks) {
            return self.write(call, now, out);
        }
        let mut first = call.so_far(1, chunks);
        if self.random.chance(3_000) {
            first.tokens = None;
        }
        // Each at its own time, not that of the call: the last chunk is the one that counts.
        self.writer.write(&first, now, out);
        let step = i64::from(call.latency_ms / chunks + 1);
        for chunk in 2..=chunks {
            let due = (now + i64::from(chunk - 1) * step).min(self.end() - 1);
            let so_far = call.so_far(chunk, chunks);
            self.keep(due, |writer, line| writer.write(&so_far, due, line));
        }
    }

    /// A cache that is made, one in three given up before its time, and one in five kept for another one.
    fn cache(&mut self, project: &Project, now: i64, out: &mut Vec<u8>) {
        let call = Call::cache(project, &mut self.random);
        self.write(&call, now, out);
        if self.random.chance(3_300) {
            let given_up = call.cache_given_up(&mut self.random);
            let delay = self.random.sized(15, 18);
            self.keep_call(&given_up, now + i64::from(delay));
        } else if self.random.chance(3_000) {
            let kept = call.cache_kept(&mut self.random);
            let delay = self.random.sized(15, 18);
            self.keep_call(&kept, now + i64::from(delay));
        }
    }

    fn write(&mut self, call: &Call<'_>, now: i64, out: &mut Vec<u8>) {
        self.writer.write(call, began(call, now), out);
    }

    /// Keeps a line of a call that ends at `due`.
    fn keep_call(&mut self, call: &Call<'_>, due: i64) {
        let due = due.min(self.end() - 1);
        self.keep(due, |writer, line| {
            writer.write(call, began(call, due), line);
        });
    }

    /// Keeps a line for later, if the log has room for it and doesn't end before.
    fn keep(&mut self, due: i64, write: impl FnOnce(&mut Writer, &mut Vec<u8>)) {
        if self.room() == 0 || due >= self.end() {
            return;
        }
        let mut line = Vec::with_capacity(700);
        write(&mut self.writer, &mut line);
        self.later.push(Reverse((due, self.made_later, line)));
        self.made_later += 1;
    }

    /// How many more lines may be kept: those to come, without the one under way.
    fn room(&self) -> u64 {
        self.lines - 1 - self.later.len() as u64
    }

    /// The end of the log, in milliseconds since 1970.
    fn end(&self) -> i64 {
        self.settings.start() * 1_000 + i64::from(self.settings.days) * DAY_MILLIS
    }
}

/// A line is logged when its call ends, and says when it began: on the same UTC day, so that files keep to theirs.
fn began(call: &Call<'_>, ended: i64) -> i64 {
    let midnight = ended - ended.rem_euclid(DAY_MILLIS);
    (ended - i64::from(call.latency_ms)).max(midnight)
}

fn utc_day(millis: i64) -> Date {
    date(1970, 1, 1) + jiff::Span::new().days(millis.div_euclid(DAY_MILLIS))
}

fn days_since_1970(day: Date) -> i32 {
    (day - date(1970, 1, 1)).get_days()
}

/// Keeps these draws apart from others of the same seed.
const LINES: u64 = 0x6c69_6e65;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::Value;

    use super::*;

    fn log(settings: &Settings, bytes: usize) -> Vec<(Date, String)> {
        let mut generator = Generator::new(settings);
        let mut days: Vec<(Date, Vec<u8>)> = Vec::new();
        let mut chunk = Vec::new();
        while let Some(day) = generator.fill(&mut chunk, bytes) {
            match days.last_mut() {
                Some((last, text)) if *last == day => text.append(&mut chunk),
                _ => days.push((day, std::mem::take(&mut chunk))),
            }
        }
        let texts = days.into_iter();
        texts.map(|(day, text)| (day, String::from_utf8(text).unwrap())).collect()
    }

    fn lines(settings: &Settings) -> Vec<Value> {
        let days = log(settings, 1 << 20);
        let lines = days.iter().flat_map(|(_, text)| text.lines());
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_log_is_the_same_however_its_bytes_are_fetched() {
        let settings = Settings { records: 3_000, days: 3, faults: 20_000, ..Settings::default() };
        let whole = log(&settings, 1 << 20);
        assert_eq!(whole.len(), 3);
        assert_eq!(log(&settings, 1), whole);
        let other = Settings { seed: 2, ..settings };
        assert_ne!(log(&other, 1 << 20), whole);
    }

    #[test]
    fn a_log_has_as_many_lines_as_were_ordered() {
        for records in [0, 1, 2, 10, 500, 4_321] {
            for race in [false, true] {
                let settings = Settings { records, days: 2, race, ..Settings::default() };
                assert_eq!(lines(&settings).len() as u64, records);
            }
        }
    }

    #[test]
    fn days_are_cut_at_midnight_utc_and_only_duplicates_are_logged_on_another() {
        let settings = Settings { records: 6_000, days: 4, ..Settings::default() };
        let mut strays = 0;
        for (day, text) in log(&settings, 1 << 20) {
            for line in text.lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let at: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
                strays += u32::from(utc_day(at.as_millisecond()) != day);
            }
        }
        assert!(strays < 12, "{strays}");
    }

    /// What plain sums tell apart: see [`RACE`].
    #[test]
    fn lines_of_the_benchmark_under_one_id_are_the_same_line() {
        let settings = Settings { records: 20_000, race: true, projects: 40, ..Settings::default() };
        let mut seen: HashMap<String, Value> = HashMap::new();
        let mut again = 0;
        for line in lines(&settings) {
            let fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
            for field in ["labels", "tools", "quantities", "usage_tier", "base_model", "service"] {
                assert!(!fields.contains(&field), "{line}");
            }
            let usage = &line["usageMetadata"];
            let count = |field: &str| usage[field].as_u64().unwrap_or_default();
            let status = line["status"].as_u64().unwrap();
            assert_eq!(usage.is_object(), status == 200, "{line}");
            let parts =
                ["promptTokenCount", "candidatesTokenCount", "toolUsePromptTokenCount", "thoughtsTokenCount"];
            assert_eq!(count("totalTokenCount"), parts.map(count).iter().sum::<u64>());
            if count("cachedContentTokenCount") > 0 && usage["cacheTokensDetails"].is_null() {
                assert_eq!(usage["promptTokensDetails"].as_array().unwrap().len(), 1, "{line}");
            }
            let id = line["request_id"].as_str().unwrap().to_string();
            if let Some(first) = seen.get(&id) {
                assert_eq!(*first, line);
                again += 1;
            }
            seen.insert(id, line);
        }
        assert!((150..=250).contains(&again), "{again}");
    }
}
