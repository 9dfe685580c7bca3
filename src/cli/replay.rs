//! Owns `rerate replay`: logs to a folder of published days.

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use rayon::prelude::*;

use super::inputs::Entry;
use super::metrics::{Ended, Figures, MetricsFile};
use super::{BookArgs, Done, LogArgs, Signal, WindowArgs, screen, summary};
use crate::error::{Error, Result};
use crate::pipeline::{self, Options, Rating};
use crate::publish::{self, PublishedDay, Staging, manifest::State};
use crate::read::is_url;
use crate::types::day::{Day, Window};
use crate::types::meter::Meter;
use crate::walk::Plan;

/// Replay logs into published days: usage, charges, quota, suspense
///
/// Reads request logs (JSONL, JSON, server-sent events, CSV, plain, .gz or
/// .zst, or Parquet; canonical records, raw responses and other shapes, told
/// by content), keeps one record of each request, prices what was used with
/// the prices of its day, measures it against the limits of its usage tier,
/// and writes Parquet and CSV: one folder per Pacific day.
///
/// What can't be read or priced is in suspense, never 0: it stands in
/// suspense.csv with its reason, and the exit code is 3. A day is published
/// whole or not at all, and never replaced by less (--replace does it all the
/// same).
///
///   rerate replay logs/ --out days --usage-tier tier1
///   rerate replay 'logs/*.jsonl.gz' --out days --accounts accounts.toml
///
///   rerate replay responses.jsonl --out days --at 2026-06-01 --project my-proj
///
/// Memory: about 50 bytes a request until the logs are read; beyond --memory
/// they are in a temporary file (in TMPDIR, or without it in the output
/// folder). Not bounded by it are lines in suspense (about 300 bytes each),
/// what --detail keeps, and requests of an input whose chunks may lie apart,
/// as raw responses do (about 700).
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Replay {
    #[command(flatten)]
    logs: LogArgs,

    /// The folder for the published days; made if need be
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    window: WindowArgs,

    /// Publish requests.parquet too: one row per request with its cost and the
    /// line it was read from (memory: about 1.5 KB a request)
    #[arg(long)]
    detail: bool,

    /// The logs are whole: the last day is closed too
    #[arg(long)]
    close: bool,

    /// Replace published days even by less
    #[arg(long)]
    replace: bool,

    /// Publish a window even when it has no request at all
    #[arg(long)]
    allow_empty: bool,

    /// Exit 0 with up to N lines, or P% of the lines, in suspense
    #[arg(long, value_name = "N|P%", value_parser = Share::parse)]
    allow_suspense: Option<Share>,

    /// Exit 0 with up to P% of the tokens in suspense
    #[arg(long, value_name = "P%", value_parser = Share::parse_percent)]
    allow_unpriced: Option<Share>,

    /// Write how the run ended as a Prometheus text file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,

    #[command(flatten)]
    books: BookArgs,
}

/// How the last line begins, which a person can search for.
const LAST_LINE: &str = "rerate replay:";

/// How much suspense is nothing to speak of.
#[derive(Clone, Copy, Debug)]
enum Share {
    Count(u64),
    /// Millionths of the whole.
    Parts(u64),
}

/// What of a run is told at its end, whichever it was.
#[derive(Default)]
struct Told {
    published: Mutex<Vec<PublishedDay>>,
    /// None until days were rated.
    figures: Option<Figures>,
}

/// Shows how far publishing is, and remembers which days are new.
struct Publishing<'p> {
    watch: &'p screen::Watch,
    told: &'p Mutex<Vec<PublishedDay>>,
}

impl publish::Watcher for Publishing<'_> {
    fn staged(&self) {
        self.watch.staged();
    }

    fn swapping(&self) {
        self.watch.swaps();
    }

    fn swapped(&self, day: &PublishedDay) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(day.clone());
    }
}

impl Replay {
    /// Gives the exit code: whatever happens, the metrics and the last line say how it ended.
    pub(super) fn run(&self, entries: &[Entry], signal: &Signal) -> u8 {
        let started = Instant::now();
        let mut told = Told::default();
        let file = self.metrics.as_deref().map(MetricsFile::new).transpose();
        let (file, result) = match file {
            Ok(file) => (file, self.replay(entries, signal, &mut told)),
            Err(error) => (None, Err(error)),
        };
        let mut code = signal.code(&result);
        let published = told.published.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file {
            let ended = Ended {
                code,
                published: &published,
                figures: told.figures.as_ref(),
                took: started.elapsed(),
                now: self.window.now(),
            };
            if let Err(error) = file.write(&ended) {
                screen::error(&error);
                code = code.max(1);
            }
        }
        let days = match &published[..] {
            [] => "none".to_string(),
            [one] => one.day.to_string(),
            [first, .., last] => format!("{}..{}", first.day, last.day),
        };
        let mut line = format!("{LAST_LINE} exit={code} days={days}");
        if let Some(figures) = &told.figures {
            let open = published.iter().filter(|day| day.state == State::Open).count();
            line += &format!(
                " open={open} requests={} suspended={} rated_usd={}",
                figures.requests(),
                figures.suspended(),
                figures.rated_cost()
            );
        }
        screen::say(line);
        code
    }

    fn replay(&self, entries: &[Entry], signal: &Signal, told: &mut Told) -> Result<Done> {
        if is_url(&self.out.to_string_lossy()) {
            return Err(Error::usage(format!(
                "--out {}: days are published to a folder",
                self.out.display()
            ))
            .hint("publish to a folder of this machine and copy it, its days whole"));
        }
        let window = self.window.window()?;
        let books = self.books.load()?;
        let inputs = self.logs.inputs(entries, Some(&self.out), self.detail)?;
        if self.out.exists() && !self.out.is_dir() {
            return Err(Error::new(format!("--out {}: it is a file; expected a folder", self.out.display()))
                .hint("name another folder; it is made if need be"));
        }
        let handed_on = publish::carry::days(&self.out)?;
        let known = window.from.and_then(|from| handed_on.iter().copied().rfind(|day| *day < from));
        let options = Options { known, ..self.logs.options(window, Some(&self.out))? };
        let watch = signal.start(&inputs, Some(LAST_LINE.to_string()));
        // It is large and in many pieces, which go all at once with the process: giving back each would only delay that.
        let replay = ManuallyDrop::new(pipeline::replay(&inputs, &books, &options, &signal.progress)?);
        summary::read(&replay, &signal.progress, watch.has_read());
        if replay.records.requests == 0 && !window.is_open() && !self.allow_empty {
            return Err(Error::new(format!(
                "there is no request {}; nothing was published",
                in_words(window)
            ))
            .hint("rerate check LOGS says which days are in them; --allow-empty publishes empty days"));
        }
        if replay.records.requests == 0 && replay.records.suspended == 0 && !self.allow_empty {
            screen::say("there is no request in the logs; nothing was published");
            return Ok(Done::Whole);
        }
        // From here on no other run publishes: what days hand on and what would be less holds until this one ends.
        let stop = &signal.progress.stop;
        let output = publish::Output::open(&self.out, stop, |process| {
            let which = process.map_or(String::new(), |process| format!(" (process {process})"));
            screen::say(format_args!("another run{which} publishes to {}: waiting", self.out.display()));
        })?;
        let handed_on = publish::carry::days(&self.out)?;
        let plan = Plan::new(&pipeline::days_seen(&replay), window, &handed_on);
        let taken_over = plan.iter().flat_map(|plan| &plan.taken_over);
        let carries = taken_over.map(|day| Ok((*day, publish::carry::of(&self.out, *day)?)));
        let carries = carries.collect::<Result<_>>()?;
        let publish =
            publish::Options { window, close: self.close, detail: self.detail, replace: self.replace, stop };
        let publishing = Publishing { watch: &watch, told: &told.published };
        let days = || plan.iter().flat_map(|plan| plan.days().filter(|day| plan.publishes(*day)));
        watch.stages(days().count() as u64);
        let mut figures = Figures::new(&replay);
        let mut closing = summary::Closing::default();
        // From here on what the days come to is told even when they can't be published.
        let mut staging = Ok(Staging::begin(&output, days(), &replay, &books, &publish, &publishing)?);
        for days in
            plan.iter().flat_map(|plan| Rating::new(&replay, &books, plan, &carries, options.usage_tier))
        {
            let days = days?;
            let add = || {
                for day in &days {
                    figures.add(day);
                    closing.add(&replay, day, &books);
                }
            };
            let staged = std::thread::scope(|scope| {
                scope.spawn(add);
                staging.as_mut().map_or(Ok(()), |staging| staging.stage(&days))
            });
            if let Err(error) = staged {
                staging = Err(error);
            }
            // They are in so many pieces that to free them takes one core some milliseconds.
            days.into_par_iter().for_each(drop);
        }
        told.figures = Some(figures);
        staging?.publish()?;
        drop(watch);
        closing.say(&replay);
        let undated = replay.suspended.iter().any(|line| line.day.is_none());
        self.say_published(&told.published.lock().unwrap_or_else(PoisonError::into_inner), undated);
        for plan in plan.iter().filter(|plan| plan.taken_over.is_empty() && plan.begin < plan.first) {
            screen::say(format_args!(
                "  no day before {} is published: caches, free units and credits used\n  before it are those of these \
                 logs, from {} on",
                plan.first, plan.begin
            ));
        }
        for (from, to) in plan.iter().flat_map(|plan| &plan.gaps) {
            screen::say(format_args!(
                "  no line from {from} to {to}: days that aren't published\n  (a wrong clock?); --from and --to \
                 publish all between them"
            ));
        }
        self.say_stale()?;
        Ok(if self.is_whole(&replay, &closing, &options) { Done::Whole } else { Done::WithSuspense })
    }

    /// Days that began with something else than the day before now hands on.
    fn say_stale(&self) -> Result<()> {
        let stale = publish::carry::stale(&self.out)?;
        if let Some(first) = stale.first() {
            let days: Vec<String> = stale.iter().take(5).map(Day::to_string).collect();
            let more = if stale.len() > 5 { format!(" and {} more", stale.len() - 5) } else { String::new() };
            screen::say(format_args!(
                "  stale: {}{more} began with other caches, free units, credits or spend than the\n  day before now \
                 ends with; replay all days from {first} on",
                days.join(", ")
            ));
        }
        Ok(())
    }

    fn say_published(&self, published: &[PublishedDay], undated: bool) {
        let out = self.out.display();
        match published {
            [] if undated => {
                screen::say(format_args!("\npublished no day; lines without a time are in {out}/undated"));
            }
            [] => screen::say("\npublished no day"),
            [one] => screen::say(format_args!("\npublished {} in {out}", one.day)),
            [first, .., last] => {
                screen::say(format_args!(
                    "\npublished {} days in {out}: {} to {}",
                    published.len(),
                    first.day,
                    last.day
                ));
            }
        }
        let open: Vec<Day> =
            published.iter().filter(|day| day.state == State::Open).map(|day| day.day).collect();
        let which = match open[..] {
            [] => return,
            [one] => format!("{one} is"),
            [first, .., last] => format!("{} days ({first} to {last}) are", open.len()),
        };
        screen::say(format_args!(
            "  {which} open: nothing past midnight Pacific was read; --close says that the logs are whole"
        ));
    }

    /// Whether the exit code is 0: nothing in suspense but what is allowed.
    fn is_whole(&self, replay: &pipeline::Replay, closing: &summary::Closing<'_>, options: &Options) -> bool {
        // A patch or delete of an unknown cache has no quantity: it counts as a line.
        let lines = replay.deciding_lines(options.window) + closing.requests_unrated();
        let meters = || closing.meters().iter();
        let tokens = |of: fn(&crate::balance::Quantities) -> u64| -> u64 {
            meters().filter(|(meter, _)| meter.has_tokens()).map(|(_, sums)| of(sums)).sum()
        };
        let (suspended, tallied) = (tokens(|sums| sums.suspended), tokens(|sums| sums.tallied));
        let others = meters().any(|(meter, sums): (&Meter, _)| !meter.has_tokens() && sums.suspended > 0);
        let lines_allowed =
            lines == 0 || self.allow_suspense.is_some_and(|share| share.allows(lines, replay.records.lines));
        let tokens_allowed =
            suspended == 0 || self.allow_unpriced.is_some_and(|share| share.allows(suspended, tallied));
        lines_allowed && tokens_allowed && (!others || self.allow_unpriced.is_some())
    }
}

impl Share {
    fn parse(text: &str) -> std::result::Result<Share, String> {
        match text.parse() {
            Ok(count) => Ok(Share::Count(count)),
            Err(_) => Share::parse_percent(text)
                .map_err(|_| "expected a number of lines, or a share like 0.5%".to_string()),
        }
    }

    fn parse_percent(text: &str) -> std::result::Result<Share, String> {
        let expected = || "expected a share like 0.5%".to_string();
        let percent = text.strip_suffix('%').ok_or_else(expected)?;
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
        if fraction.len() > 4 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(expected());
        }
        let whole: u64 = whole.parse().map_err(|_| expected())?;
        let whole = whole.checked_mul(10_000).ok_or_else(expected)?;
        let fraction = format!("{fraction:0<4}").parse::<u64>().map_err(|_| expected())?;
        let parts = whole.saturating_add(fraction);
        if parts <= 1_000_000 { Ok(Share::Parts(parts)) } else { Err("expected at most 100%".to_string()) }
    }

    fn allows(self, part: u64, whole: u64) -> bool {
        match self {
            Share::Count(count) => part <= count,
            Share::Parts(parts) => u128::from(part) * 1_000_000 <= u128::from(whole) * u128::from(parts),
        }
    }
}

pub(super) fn in_words(window: Window) -> String {
    match (window.from, window.to) {
        (Some(from), Some(to)) if from == to => format!("on {from}"),
        (Some(from), Some(to)) => format!("from {from} to {to}"),
        (Some(from), None) => format!("from {from} on"),
        (None, Some(to)) => format!("up to {to}"),
        (None, None) => "in the logs".to_string(),
    }
}
