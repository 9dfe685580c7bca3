//! Owns publishing: all days staged first, never less than before, then swapped in one by one. How a folder is swapped
//! is for `swap`, how a table is written for `write`, how a file gets to the disk for `disk`.

pub mod carry;
mod disk;
pub mod manifest;
pub mod steps;
mod swap;
pub mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use twox_hash::XxHash3_64;

use crate::books::Books;
use crate::error::{Error, Exit, Result};
use crate::pipeline::{DayReport, Replay};
use crate::report::{self, Rows};
use crate::suspense::Suspended;
use crate::types::day::{Day, Window};
use crate::types::key::shown;
use crate::types::origin::InputId;
use disk::Disk;
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
    /// One more day is written, beside the published ones.
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

/// What is staged beside the published days, all of it before any of it is published. Given up when it is dropped before.
pub struct Staging<'p, W: Watcher> {
    output: &'p Output,
    disk: Disk,
    replay: &'p Replay,
    books: &'p Books,
    options: &'p Options<'p>,
    watcher: &'p W,
    run: Run,
    /// By day.
    suspended: BTreeMap<Option<Day>, Vec<&'p Suspended>>,
    staged: Vec<PublishedDay>,
    /// What speaks against it.
    less: Vec<String>,
    is_over: bool,
}

impl<'p, W: Watcher> Staging<'p, W> {
    /// `days` are those that will be staged.
    pub fn begin(
        output: &'p Output,
        days: impl IntoIterator<Item = Day>,
        replay: &'p Replay,
        books: &'p Books,
        options: &'p Options<'p>,
        watcher: &'p W,
    ) -> Result<Staging<'p, W>> {
        for day in days {
            refuse_foreign(&output.root().join(day.to_string()))?;
        }
        let undated = output.root().join(UNDATED);
        if undated.is_symlink() {
            refuse_foreign(&undated)?;
        }
        let mut suspended: BTreeMap<Option<Day>, Vec<&Suspended>> = BTreeMap::new();
        for line in &replay.suspended {
            suspended.entry(line.day).or_default().push(line);
        }
        let run = Run::new(replay, options.window);
        let (disk, staged, less) = (Disk::begin()?, Vec::new(), Vec::new());
        Ok(Staging {
            output,
            disk,
            replay,
            books,
            options,
            watcher,
            run,
            suspended,
            staged,
            less,
            is_over: false,
        })
    }

    /// Writes some days beside the published ones, unless a day was already found that would be less than before.
    pub fn stage(&mut self, reports: &[DayReport<'_>]) -> Result<()> {
        let mut days = Vec::new();
        for report in reports {
            let state = manifest::state(report.day, self.replay.last_read, self.options.close);
            let manifest = Manifest::new(report, self.replay, &self.books.editions, state);
            if !self.options.replace {
                self.less.extend(less_than_before(self.output.root(), &manifest, &self.run)?);
            }
            days.push((report, manifest));
        }
        if !self.less.is_empty() {
            return Ok(());
        }
        self.stage_all(&days).and_then(|()| self.disk.check()).map_err(|error| partly(error, &[]))?;
        let new = |(report, manifest): &(&DayReport<'_>, Manifest)| PublishedDay {
            day: report.day,
            state: manifest.state,
        };
        self.staged.extend(days.iter().map(new));
        Ok(())
    }

    /// Publishes all that was staged, and the undated lines of each input.
    pub fn publish(mut self) -> Result<()> {
        if !self.less.is_empty() {
            return Err(Error::new(format!(
                "a published day would lose requests, so nothing was published:\n{}",
                self.less.join("\n")
            ))
            .hint("give all logs of the day (a Pacific day lies in two UTC days), or --replace"));
        }
        let undated = self.stage_undated().map_err(|error| partly(error, &[]))?;
        self.disk.end().map_err(|error| partly(error, &[]))?;
        self.is_over = true;
        self.watcher.swapping();
        for (place, day) in self.staged.iter().enumerate() {
            let partly = |error| partly(error, &self.staged[..place]);
            self.refuse_when_stopped().map_err(partly)?;
            self.output.swap(&day.day.to_string()).map_err(partly)?;
            self.watcher.swapped(day);
        }
        let partly = |error| partly(error, &self.staged);
        for (name, has_lines) in &undated {
            let result = if *has_lines { self.output.swap(name) } else { self.output.remove(name) };
            result.map_err(partly)?;
        }
        self.output.sweep().map_err(partly)
    }

    fn stage_all(&self, days: &[(&DayReport<'_>, Manifest)]) -> Result<()> {
        let folders = days.iter().map(|(report, _)| self.output.stage(&report.day.to_string()));
        let folders = folders.collect::<Result<Vec<_>>>()?;
        // What takes longest first, so that in the end no thread waits long for another one.
        let of_days = |table| (0..days.len()).map(move |day| (day, table));
        let tables: Vec<(usize, Table)> = TABLES.into_iter().flat_map(of_days).collect();
        let left: Vec<AtomicUsize> = days.iter().map(|_| AtomicUsize::new(TABLES.len())).collect();
        on_all_cores(&tables, |(place, table)| {
            self.refuse_when_stopped()?;
            let ((report, manifest), folder) = (&days[*place], &folders[*place]);
            if let Some(rows) = self.table(*table, report)? {
                write::report(&self.disk, folder, rows)?;
            }
            if left[*place].fetch_sub(1, Ordering::AcqRel) == 1 {
                self.disk.bytes(&folder.join("carry.json"), report.walked.carry.text().as_bytes())?;
                write_json(&self.disk, &folder.join("manifest.json"), manifest)?;
                write_json(&self.disk, &folder.join("run.json"), &self.run)?;
                self.watcher.staged();
            }
            Ok(())
        })
    }

    /// The rows of a table; None of one that isn't wanted.
    fn table(&self, table: Table, report: &DayReport<'_>) -> Result<Option<Rows>> {
        let (day, walked, measured) = (report.day, &report.walked, &report.measured);
        let (cells, groups, books, inputs) =
            (&report.cells, &self.replay.groups, self.books, &self.replay.inputs);
        Ok(Some(match table {
            Table::Traffic => report::traffic::rows(day, measured),
            Table::Tally => report::tally::rows(day, cells, &walked.storage, groups, books),
            Table::Usage => report::usage::rows(day, cells, groups, books),
            Table::Charges => report::charges::rows(day, &report.rated, books),
            Table::Suspense => {
                let lines = self.suspended.get(&Some(day)).map_or(&[][..], Vec::as_slice);
                let mut rows = report::suspense::of_lines(lines.iter().copied(), inputs);
                report::suspense::add_quantities(&mut rows, day, &report.rated.unrated);
                rows
            }
            Table::Quota => report::quota::rows(day, measured),
            Table::Upgrade => report::upgrade::rows(day, measured),
            Table::Evidence => report::evidence::rows(day, &report.evidence),
            Table::DataUse => report::data_use::rows(day, cells, groups),
            Table::Accounts => report::accounts::rows(day, &walked.accounts, &walked.standings),
            Table::Credits => report::credits::rows(day, &walked.payments),
            Table::Requests if self.options.detail => {
                let kept = self.replay.kept.get(&day).map_or(&[][..], Vec::as_slice);
                report::requests::rows(day, kept, groups, books, inputs)?
            }
            Table::Requests => return Ok(None),
        }))
    }

    /// Stages the undated lines of each input; gives the folders, and whether each has lines.
    fn stage_undated(&self) -> Result<BTreeMap<String, bool>> {
        let undated = self.suspended.get(&None).map_or(&[][..], Vec::as_slice);
        let with_lines: BTreeSet<InputId> = undated.iter().map(|line| line.input).collect();
        let mut folders = BTreeMap::new();
        for (place, input) in self.replay.inputs.iter().enumerate() {
            let id = InputId(place as u32);
            let name = undated_name(&input.name);
            folders.entry(name.clone()).or_insert(false);
            if with_lines.contains(&id) {
                let folder = self.output.stage(&name)?;
                let lines = undated.iter().copied().filter(|line| line.input == id);
                let rows = report::suspense::of_lines(lines, &self.replay.inputs);
                write::report(&self.disk, &folder, rows)?;
                write_json(&self.disk, &folder.join("run.json"), &self.run)?;
                folders.insert(name, true);
            }
        }
        Ok(folders)
    }

    fn refuse_when_stopped(&self) -> Result<()> {
        if self.options.stop.load(Ordering::Relaxed) { Err(interrupted()) } else { Ok(()) }
    }
}

/// What was staged is of no use, and whatever went wrong is what matters.
impl<W: Watcher> Drop for Staging<'_, W> {
    fn drop(&mut self) {
        if !self.is_over {
            self.disk.give_up();
            let _ = self.output.sweep();
        }
    }
}

/// A table of a day.
#[derive(Clone, Copy)]
enum Table {
    Traffic,
    Tally,
    Usage,
    Charges,
    Suspense,
    Quota,
    Upgrade,
    Evidence,
    DataUse,
    Accounts,
    Credits,
    Requests,
}

/// What takes longest first, as a rule.
const TABLES: [Table; 12] = [
    Table::Requests,
    Table::Traffic,
    Table::Tally,
    Table::Charges,
    Table::Usage,
    Table::DataUse,
    Table::Suspense,
    Table::Quota,
    Table::Upgrade,
    Table::Evidence,
    Table::Accounts,
    Table::Credits,
];

/// An error that ends publishing, with the days that are new all the same.
fn partly(error: Error, published: &[PublishedDay]) -> Error {
    let new = match (published.len(), published.first().zip(published.last())) {
        (1, Some((only, _))) => format!("1 day is new: {}", only.day),
        (days, Some((first, last))) => format!("{days} days are new: {} to {}", first.day, last.day),
        _ => "no day is new".to_string(),
    };
    Error { what: format!("{}\n{new}", error.what), ..error }
}

/// Does `work` for each item, on all cores: by threads of its own, since it writes, and may wait for the disk.
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

/// Where the undated lines of an input go: its file name, and a hash of its path so that two of one name differ.
fn undated_name(input: &str) -> String {
    let hash = XxHash3_64::oneshot(input.as_bytes());
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

fn write_json(disk: &Disk, path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::new(error.to_string()))?;
    disk.bytes(path, format!("{text}\n").as_bytes())
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
