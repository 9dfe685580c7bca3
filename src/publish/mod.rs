//! Owns publishing: all days staged first, never less than before, then swapped in one by one. How a folder is swapped
//! is for `swap`, how a table is written for `write`.

pub mod carry;
pub mod manifest;
pub mod steps;
mod swap;
pub mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use crate::books::Books;
use crate::error::{Error, Exit, Result};
use crate::pipeline::{DayReport, Replay};
use crate::report;
use crate::suspense::Suspended;
use crate::types::day::{Day, Window};
use crate::types::key::shown;
use crate::types::origin::InputId;
use manifest::{Manifest, Run, State};
pub use swap::Output;

/// Where lines without a day go.
const UNDATED: &str = "undated";

/// How to publish.
#[derive(Debug)]
pub struct Options<'o> {
    pub window: Window,
    /// The input is whole, whatever its last time.
    pub close: bool,
    /// Publish a report of requests too.
    pub detail: bool,
    /// Publish even what is less than before.
    pub replace: bool,
    /// End as soon as the swap under way is done.
    pub stop: &'o AtomicBool,
}

/// A day that is new.
#[derive(Clone, Debug)]
pub struct PublishedDay {
    pub day: Day,
    pub state: State,
}

/// Whoever wants to know how far publishing is.
pub trait Watcher: Sync {
    /// One more day is on the disk, beside the published ones.
    fn staged(&self);
    /// From now on days become new.
    fn swapping(&self);
    fn swapped(&self, day: &PublishedDay);
}

/// Nobody.
impl Watcher for () {
    fn staged(&self) {}
    fn swapping(&self) {}
    fn swapped(&self, _: &PublishedDay) {}
}

/// Publishes the days, and the undated lines of each input.
pub fn publish(
    output: &Output,
    days: &[DayReport<'_>],
    replay: &Replay,
    books: &Books,
    options: &Options<'_>,
    watcher: &impl Watcher,
) -> Result<()> {
    for report in days {
        refuse_foreign(&output.root().join(report.day.to_string()))?;
    }
    let undated = output.root().join(UNDATED);
    if undated.is_symlink() {
        refuse_foreign(&undated)?;
    }
    let run = Run::new(replay, options.window);
    let mut staged = Vec::new();
    let mut less = Vec::new();
    for report in days {
        let state = manifest::state(report.day, replay.last_read, options.close);
        let manifest = Manifest::new(report, replay, &books.editions, state);
        if !options.replace {
            less.extend(less_than_before(output.root(), &manifest, &run)?);
        }
        staged.push((report, manifest));
    }
    if !less.is_empty() {
        return Err(Error::new(format!(
            "a published day would lose requests, so nothing was published:\n{}",
            less.join("\n")
        ))
        .hint("give all logs of the day (a Pacific day lies in two UTC days), or --replace"));
    }
    let stop = || options.stop.load(Ordering::Relaxed);
    let partly = |error: Error, published: &[PublishedDay]| {
        let new = match (published.len(), published.first().zip(published.last())) {
            (1, Some((only, _))) => format!("1 day is new: {}", only.day),
            (days, Some((first, last))) => format!("{days} days are new: {} to {}", first.day, last.day),
            _ => "no day is new".to_string(),
        };
        Error { what: format!("{}\n{new}", error.what), ..error }
    };
    let staging = stage_all(output, &staged, replay, books, &run, options, watcher);
    let undated = match staging {
        Ok(undated) => undated,
        Err(error) => {
            // What was staged is of no use; the error is what matters.
            let _ = output.sweep();
            return Err(partly(error, &[]));
        }
    };

    let mut published: Vec<PublishedDay> = Vec::new();
    watcher.swapping();
    for (report, manifest) in &staged {
        if stop() {
            return Err(partly(interrupted(), &published));
        }
        output.swap(&report.day.to_string()).map_err(|error| partly(error, &published))?;
        published.push(PublishedDay { day: report.day, state: manifest.state });
        watcher.swapped(&published[published.len() - 1]);
    }
    for (name, has_lines) in &undated {
        let result = if *has_lines { output.swap(name) } else { output.remove(name) };
        result.map_err(|error| partly(error, &published))?;
    }
    output.sweep().map_err(|error| partly(error, &published))
}

/// Writes all folders beside the published ones; gives the undated ones, and whether each has lines.
fn stage_all(
    output: &Output,
    days: &[(&DayReport<'_>, Manifest)],
    replay: &Replay,
    books: &Books,
    run: &Run,
    options: &Options<'_>,
    watcher: &impl Watcher,
) -> Result<BTreeMap<String, bool>> {
    let stop = || options.stop.load(Ordering::Relaxed);
    let mut suspended: BTreeMap<Option<Day>, Vec<&Suspended>> = BTreeMap::new();
    for line in &replay.suspended {
        suspended.entry(line.day).or_default().push(line);
    }
    let undated = suspended.remove(&None).unwrap_or_default();
    let stage = |(report, manifest): &(&DayReport<'_>, Manifest)| {
        if stop() {
            return Err(interrupted());
        }
        let folder = output.stage(&report.day.to_string())?;
        let lines = suspended.get(&Some(report.day)).map_or(&[][..], Vec::as_slice);
        stage_day(&folder, report, lines, replay, books, options.detail)?;
        write::file(&folder.join("carry.json"), report.walked.carry.text().as_bytes())?;
        write_json(&folder.join("manifest.json"), manifest)?;
        write_json(&folder.join("run.json"), run)?;
        watcher.staged();
        Ok(())
    };
    on_all_cores(days, stage)?;
    let with_lines: BTreeSet<InputId> = undated.iter().map(|line| line.input).collect();
    let mut folders = BTreeMap::new();
    for (place, input) in replay.inputs.iter().enumerate() {
        let id = InputId(place as u32);
        let name = undated_name(&input.name);
        folders.entry(name.clone()).or_insert(false);
        if with_lines.contains(&id) {
            let folder = output.stage(&name)?;
            let lines = undated.iter().copied().filter(|line| line.input == id);
            write::report(&folder, report::suspense::of_lines(lines, &replay.inputs))?;
            write_json(&folder.join("run.json"), run)?;
            folders.insert(name, true);
        }
    }
    Ok(folders)
}

/// Does `work` for each item, on all cores. Polars has threads of its own: a thread of rayon's that waits for one of them
/// takes up the next item meanwhile, and that one another, until its stack is full. So these are plain threads.
fn on_all_cores<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..rayon::current_num_threads()).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panicked"))
    })
}

fn stage_day(
    folder: &Path,
    report: &DayReport<'_>,
    lines: &[&Suspended],
    replay: &Replay,
    books: &Books,
    detail: bool,
) -> Result<()> {
    let (day, groups, cells, walked) = (report.day, &replay.groups, &report.cells, &report.walked);
    let mut suspense = report::suspense::of_lines(lines.iter().copied(), &replay.inputs);
    report::suspense::add_quantities(&mut suspense, day, &report.rated.unrated);
    // One after the other: rows are many, and written they are few bytes.
    write::report(folder, report::usage::rows(day, cells, groups, books))?;
    write::report(folder, report::charges::rows(day, &report.rated, books))?;
    write::report(folder, report::credits::rows(day, &walked.payments))?;
    write::report(folder, report::accounts::rows(day, &walked.accounts, &walked.standings))?;
    write::report(folder, report::quota::rows(day, &report.measured))?;
    write::report(folder, report::upgrade::rows(day, &report.measured))?;
    write::report(folder, report::evidence::rows(day, &report.evidence))?;
    write::report(folder, report::data_use::rows(day, cells, groups))?;
    write::report(folder, suspense)?;
    write::report(folder, report::traffic::rows(day, &report.measured, &replay.memory)?)?;
    write::report(folder, report::tally::rows(day, cells, &walked.storage, groups, books))?;
    if detail {
        let kept = replay.kept.get(&day).map_or(&[][..], Vec::as_slice);
        let rows = report::requests::rows(day, kept, groups, books, &replay.inputs)?;
        write::report(folder, rows)?;
    }
    Ok(())
}

/// Where the undated lines of an input go: its file name, and a hash of its path so that two of one name differ.
fn undated_name(input: &str) -> String {
    let hash = xxh3_64(input.as_bytes());
    let file_name = Path::new(input).file_name().map_or("stdin".into(), |name| name.to_string_lossy());
    let plain: String = shown(&file_name)
        .chars()
        .take(100)
        .map(|char| if char.is_ascii_alphanumeric() || "._-".contains(char) { char } else { '_' })
        .collect();
    let plain = if input == "-" { "stdin".to_string() } else { plain };
    format!("{UNDATED}/{plain}-{hash:016x}")
}

/// A folder that stands where a day goes and isn't a published one is somebody's: it is never replaced. Nor is a link
/// followed.
fn refuse_foreign(folder: &Path) -> Result<()> {
    if folder.is_symlink() {
        return Err(Error::new(format!(
            "{}: it is a link; expected a published day, or nothing",
            folder.display()
        ))
        .hint("move it away, or give another --out; nothing was published"));
    }
    let is_ours =
        ["manifest.json", "run.json", "usage.parquet"].iter().all(|file| folder.join(file).is_file());
    if is_ours || !folder.exists() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{}: it stands where a day is to be published, and is no published day",
        folder.display()
    ))
    .hint("move it away, or give another --out; nothing was published"))
}

/// Never less (design §8): a day is replaced when the inputs include all of the published run's, or no hour has fewer
/// requests. Gives what speaks against it.
fn less_than_before(out: &Path, new: &Manifest, run: &Run) -> Result<Option<String>> {
    let folder = out.join(&new.date);
    let (Some(old), Some(old_run)) =
        (read_json::<Manifest>(&folder.join("manifest.json"))?, read_json::<Run>(&folder.join("run.json"))?)
    else {
        return Ok(None);
    };
    let hashes: BTreeSet<&str> = run.inputs.iter().map(|input| input.hash.as_str()).collect();
    if old_run.inputs.iter().all(|input| hashes.contains(input.hash.as_str())) {
        return Ok(None);
    }
    let lost: Vec<String> = old
        .hours
        .iter()
        .filter_map(|(hour, before)| {
            let now = new.hours.get(hour).copied().unwrap_or(0);
            (now < *before).then(|| format!("{} {before} → {now}", hour.get(11..16).unwrap_or(hour)))
        })
        .collect();
    if lost.is_empty() {
        return Ok(None);
    }
    let (shown, more) = lost.split_at(lost.len().min(6));
    let more = if more.is_empty() { String::new() } else { format!(" and {} hours more", more.len()) };
    Ok(Some(format!(
        "  {}: {} requests → {}; by hour: {}{more}",
        new.date,
        old.requests,
        new.requests,
        shown.join(", ")
    )))
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::new(error.to_string()))?;
    write::file(path, format!("{text}\n").as_bytes())
}

/// None where there is no such file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path, &error)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Error::new(format!("{}: it isn't what rerate wrote: {error}", path.display()))
            .hint("move the folder elsewhere, or publish the day anew with --replace")
    })
}

fn interrupted() -> Error {
    Error::new("interrupted while publishing")
        .hint("each day is whole, the old one or the new one; run the same command again")
        .exit(Exit::Interrupted)
}
