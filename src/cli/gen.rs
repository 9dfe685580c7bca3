//! Owns `rerate gen`: where a synthetic log goes, and how it is packed. What is in it is for `generate`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Instant;

use clap::Args;
use flate2::write::GzEncoder;
use indicatif::HumanBytes;
use jiff::civil::Date;

use super::screen::{self, thousands};
use super::{Done, Signal, words};
use crate::error::{Error, Exit, Result};
use crate::generate::{Generator, Settings};

/// Write a synthetic log, and the accounts file that belongs to it
///
/// Canonical records as JSON lines, made up from a seed: the same arguments give the same bytes.
/// In them is what makes real logs hard: bursts, retries, duplicates, streams logged chunk by chunk,
/// storms of 429, long prompts, every service tier, promotions to another usage tier. Models are
/// those of 2025-10 to 2026-11. Nothing is written over.
///
///   rerate gen --records 20000 --days 3 --out logs --accounts accounts.toml
///   rerate check logs --accounts accounts.toml
///
/// A million lines take less than a second, packed a few, and little memory.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Gen {
    /// Another number makes another log
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Lines, over all days
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    records: u64,

    /// The first day, UTC
    #[arg(long, value_name = "DAY", value_parser = date, default_value = "2026-06-01")]
    from: Date,

    /// How many days, UTC
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,

    /// How many projects [default: 12; with --race 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Settings::MOST_PROJECTS)))]
    projects: Option<u32>,

    /// The share of lines that are at fault, like 0.5%
    #[arg(long, value_name = "SHARE", value_parser = millionths, default_value = "0%")]
    faults: u32,

    /// The log of the benchmark: nothing in it that other programs don't tell apart
    #[arg(long, conflicts_with = "faults")]
    race: bool,

    /// A folder for one file per UTC day, requests-YYYY-MM-DD.jsonl; without it the log goes to stdout
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Pack the log; files are named .jsonl.gz or .jsonl.zst
    #[arg(long, value_name = "KIND", value_parser = words(Pack::NAMES.into_iter()))]
    pack: Option<String>,

    /// Write the accounts file here: usage tiers, billing accounts, bases of tuned models
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

/// How many bytes travel at once from the generator to whoever writes them.
const CHUNK: usize = 1 << 20;

impl Gen {
    pub(super) fn run(&self, signal: &Signal) -> Result<Done> {
        let settings = self.settings();
        let mut generator = Generator::new(&settings);
        let mut destination = self.destination(&settings)?;
        if let Some(path) = &self.accounts {
            write_accounts(path, &generator.accounts())?;
        }
        let started = Instant::now();
        let bytes = match write(&mut generator, &mut destination, signal) {
            Ok(bytes) => bytes,
            Err(Stop::ReaderGone) => return Ok(Done::Whole),
            Err(Stop::Failed(error)) => {
                destination.give_up();
                return Err(error);
            }
        };
        let took = started.elapsed().as_secs_f64().max(0.001);
        let mut told =
            format!("made {} lines, {} in {took:.1} s", thousands(settings.records), HumanBytes(bytes));
        if settings.faults > 0 {
            told += &format!("; {} of them at fault", thousands(generator.faulty()));
        }
        screen::say(told);
        Ok(Done::Whole)
    }

    fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            records: self.records,
            from: self.from,
            days: self.days,
            projects: self.projects.unwrap_or(if self.race { 40 } else { 12 }),
            faults: self.faults,
            race: self.race,
        }
    }

    fn destination(&self, settings: &Settings) -> Result<Destination> {
        let pack = self.pack.as_deref().map_or(Pack::None, Pack::from_name);
        let Some(folder) = &self.out else {
            let stdout = Packer::new(pack, Box::new(io::stdout()))
                .map_err(|error| Error::io("write", Path::new("stdout"), &error))?;
            return Ok(Destination::Stdout(Some(stdout)));
        };
        fs::create_dir_all(folder).map_err(|error| Error::io("make the folder", folder, &error))?;
        let folder = Folder { folder: folder.clone(), pack, open: None };
        for day in 0..settings.days {
            let path = folder.path(settings.from + jiff::Span::new().days(i64::from(day)));
            refuse_existing(&path)?;
        }
        Ok(Destination::Folder(folder))
    }
}

/// Someone's own accounts file may have that name, so nothing is written over.
fn write_accounts(path: &Path, text: &str) -> Result<()> {
    refuse_existing(path)?;
    let mut options = OpenOptions::new();
    let written =
        options.write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::io("write", path, &error))
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.try_exists().unwrap_or(true) {
        return Err(Error::new(format!("{}: it is there already", path.display()))
            .hint("move it away, or choose another place: gen writes over nothing"));
    }
    Ok(())
}

/// Why the log wasn't written to its end.
enum Stop {
    /// Whoever reads our stdout has enough.
    ReaderGone,
    Failed(Error),
}

/// Makes the log in this thread and packs and writes it in another; how many bytes it has, unpacked. Chunks go round:
/// what is written comes back to be filled again.
fn write(
    generator: &mut Generator,
    destination: &mut Destination,
    signal: &Signal,
) -> std::result::Result<u64, Stop> {
    let (filled, to_write) = sync_channel::<(Date, Vec<u8>)>(2);
    let (written, to_fill) = channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || write_all(destination, &to_write, &written));
        let mut bytes = 0;
        loop {
            if signal.progress.stop.load(Ordering::Relaxed) {
                let interrupted = Error::new("interrupted: the log isn't whole")
                    .hint("remove what was written and run the same command again")
                    .exit(Exit::Interrupted);
                return Err(Stop::Failed(interrupted));
            }
            let mut chunk: Vec<u8> = to_fill.try_recv().unwrap_or_default();
            chunk.clear();
            let Some(day) = generator.fill(&mut chunk, CHUNK) else {
                break;
            };
            bytes += chunk.len() as u64;
            if filled.send((day, chunk)).is_err() {
                break;
            }
        }
        drop(filled);
        writer.join().expect("writing doesn't panic").map(|()| bytes)
    })
}

fn write_all(
    destination: &mut Destination,
    to_write: &Receiver<(Date, Vec<u8>)>,
    written: &Sender<Vec<u8>>,
) -> std::result::Result<(), Stop> {
    for (day, chunk) in to_write {
        destination.write(day, &chunk)?;
        // The generator may have ended.
        let _ = written.send(chunk);
    }
    destination.finish()
}

enum Destination {
    /// None when it was finished.
    Stdout(Option<Packer>),
    Folder(Folder),
}

impl Destination {
    fn write(&mut self, day: Date, chunk: &[u8]) -> std::result::Result<(), Stop> {
        match self {
            Destination::Stdout(Some(stdout)) => stdout.write_all(chunk).map_err(stdout_stopped),
            Destination::Stdout(None) => Ok(()),
            Destination::Folder(folder) => folder.write(day, chunk).map_err(Stop::Failed),
        }
    }

    fn finish(&mut self) -> std::result::Result<(), Stop> {
        match self {
            Destination::Stdout(stdout) => {
                stdout.take().map_or(Ok(()), Packer::finish).map_err(stdout_stopped)
            }
            Destination::Folder(folder) => folder.finish_day().map_err(Stop::Failed),
        }
    }

    /// Leaves no half of a day behind.
    fn give_up(&mut self) {
        if let Destination::Folder(folder) = self
            && let Some(open) = folder.open.take()
        {
            // There is an error to tell already.
            let _ = fs::remove_file(&open.part);
        }
    }
}

fn stdout_stopped(error: io::Error) -> Stop {
    match error.kind() {
        ErrorKind::BrokenPipe => Stop::ReaderGone,
        _ => Stop::Failed(Error::io("write", Path::new("stdout"), &error)),
    }
}

/// One file per day. A file has its name when it is whole; until then it is named so that nothing reads it as a log.
struct Folder {
    folder: PathBuf,
    pack: Pack,
    open: Option<OpenDay>,
}

struct OpenDay {
    day: Date,
    part: PathBuf,
    file: Packer,
}

impl Folder {
    fn path(&self, day: Date) -> PathBuf {
        self.folder.join(format!("requests-{day}.jsonl{}", self.pack.extension()))
    }

    fn write(&mut self, day: Date, chunk: &[u8]) -> Result<()> {
        if self.open.as_ref().is_none_or(|open| open.day != day) {
            self.finish_day()?;
            let mut part = self.path(day).into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            let file = File::create(&part)
                .and_then(|file| Packer::new(self.pack, Box::new(file)))
                .map_err(|error| Error::io("write", &part, &error))?;
            self.open = Some(OpenDay { day, part, file });
        }
        if let Some(open) = &mut self.open {
            let written = open.file.write_all(chunk);
            written.map_err(|error| Error::io("write", &open.part, &error))?;
        }
        Ok(())
    }

    fn finish_day(&mut self) -> Result<()> {
        let Some(OpenDay { day, part, file }) = self.open.take() else {
            return Ok(());
        };
        let path = self.path(day);
        file.finish().and_then(|()| fs::rename(&part, &path)).map_err(|error| {
            let _ = fs::remove_file(&part);
            Error::io("write", &path, &error)
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Pack {
    None,
    Gz,
    Zst,
}

impl Pack {
    const NAMES: [&'static str; 2] = ["gz", "zst"];

    fn from_name(name: &str) -> Pack {
        match name {
            "gz" => Pack::Gz,
            "zst" => Pack::Zst,
            _ => Pack::None,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Pack::None => "",
            Pack::Gz => ".gz",
            Pack::Zst => ".zst",
        }
    }
}

/// Packs what is written to it.
enum Packer {
    Plain(Box<dyn Write + Send>),
    Gz(GzEncoder<Box<dyn Write + Send>>),
    Zst(zstd::Encoder<'static, Box<dyn Write + Send>>),
}

impl Packer {
    fn new(pack: Pack, to: Box<dyn Write + Send>) -> io::Result<Packer> {
        Ok(match pack {
            Pack::None => Packer::Plain(to),
            // Quick rather than small: higher levels take several times as long as making the log.
            Pack::Gz => Packer::Gz(GzEncoder::new(to, flate2::Compression::new(2))),
            Pack::Zst => Packer::Zst(zstd::Encoder::new(to, 1)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Packer::Plain(to) => to.write_all(bytes),
            Packer::Gz(encoder) => encoder.write_all(bytes),
            Packer::Zst(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Packer::Plain(to) => Ok(to),
            Packer::Gz(encoder) => encoder.finish(),
            Packer::Zst(encoder) => encoder.finish(),
        }
        .and_then(|mut to| to.flush())
    }
}

fn date(text: &str) -> std::result::Result<Date, String> {
    let expected = || "expected a day from 1971-01-01 to 2200-12-31, like 2026-06-01".to_string();
    let date: Date = text.parse().map_err(|_| expected())?;
    (text.len() == 10 && (1971..=2200).contains(&date.year())).then_some(date).ok_or_else(expected)
}

/// `0.5%` as 5,000.
fn millionths(text: &str) -> std::result::Result<u32, String> {
    let expected = || "expected a share from 0% to 100%, like 0.5%".to_string();
    let digits = text.strip_suffix('%').ok_or_else(expected)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number =
        |digits: &str| (1..=4).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(expected());
    }
    let parts: u32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| expected())?;
    (parts <= 1_000_000).then_some(parts).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_of_at_most_four_places() {
        for (text, parts) in [("0%", 0), ("0.5%", 5_000), ("12.3456%", 123_456), ("100%", 1_000_000)] {
            assert_eq!(millionths(text), Ok(parts));
        }
        for text in ["", "%", "0.5", "101%", "-1%", "0.12345%", "1e2%", ".5%", "1.%"] {
            assert!(millionths(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_written_in_full() {
        assert!(date("2026-06-01").is_ok());
        for text in ["2026-6-1", "20260601", "2026-06-31", "0001-01-01", "2026-06-01T00"] {
            assert!(date(text).is_err(), "{text}");
        }
    }
}
