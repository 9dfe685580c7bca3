//! Owns how things are put on a person's screen: lines, errors, progress, tables, figures for the eye. What a run has to
//! say is for `summary`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::error::{Error, Result};
use crate::read::{Inputs, Progress};
use crate::types::key::shown;
use crate::types::money::Pico;

/// How often a run that nobody sees says how far it is.
const QUIET: Duration = Duration::from_secs(10);

/// Whether stderr is one JSON object a line.
static JSON: AtomicBool = AtomicBool::new(false);

pub fn use_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Text on stderr, names in it as they may be shown. Whoever reads may be gone, and that is no failure.
pub fn say(text: impl std::fmt::Display) {
    write("info", &text.to_string(), None);
}

pub fn warn(text: impl std::fmt::Display) {
    write("warning", &text.to_string(), None);
}

pub fn error(error: &Error) {
    write("error", &error.what, error.hint.as_deref());
}

fn write(level: &str, text: &str, hint: Option<&str>) {
    let line = if JSON.load(Ordering::Relaxed) {
        let mut line = serde_json::json!({
            "time": now().to_string(),
            "level": level,
            "message": visible(text.trim_matches('\n')),
        });
        if let Some(hint) = hint {
            line["hint"] = visible(hint).into();
        }
        line.to_string()
    } else {
        let mark = if level == "info" { String::new() } else { format!("{level}: ") };
        let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        visible(&format!("{mark}{text}{hint}"))
    };
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What the clock says.
pub fn now() -> crate::types::day::Instant {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    crate::types::day::Instant::from_seconds(since.map_or(0, |since| since.as_secs() as i64))
}

/// Names come from logs, file systems and command lines; a terminal must not obey them, nor may they show a key.
pub fn visible(text: &str) -> String {
    text.split('\n').map(|line| shown(line)).collect::<Vec<_>>().join("\n")
}

/// Text on stdout. Whoever reads may be gone, and that is no failure; a full disk is.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}

/// How far a run is.
enum Stage {
    Reading {
        total: u64,
    },
    /// Nothing to show.
    Between,
    Staging {
        days: u64,
    },
    /// Days become new one by one: nobody ends the process from outside.
    Swapping,
}

/// What a run and whoever watches it share.
struct Seen {
    progress: Arc<Progress>,
    stage: Mutex<(Stage, ProgressBar)>,
    staged: AtomicU64,
    ended: AtomicBool,
    /// What is said last by a run that is ended from here.
    last_line: Option<String>,
    verbose: bool,
}

/// A bar per stage on a terminal; elsewhere, where that is asked for, a line every 10 seconds.
pub struct Watch {
    started: Instant,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches a run that begins to read. One that is told to end and doesn't is ended after half a second with
    /// `signal()`, unless days are becoming new: what is staged is swept by the next run.
    pub fn start(
        inputs: &Inputs,
        progress: &Arc<Progress>,
        verbose: bool,
        last_line: Option<String>,
        signal: impl Fn() -> u8 + Send + 'static,
    ) -> Watch {
        let total: u64 =
            inputs.list.iter().filter(|input| input.same_as.is_none()).map(|input| input.bytes).sum();
        let stage = (Stage::Reading { total }, Stage::Reading { total }.bar());
        let seen = Arc::new(Seen {
            progress: progress.clone(),
            stage: Mutex::new(stage),
            staged: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            last_line,
            verbose: verbose && !std::io::stderr().is_terminal(),
        });
        let thread = std::thread::spawn({
            let seen = seen.clone();
            move || seen.watch(&signal)
        });
        Watch { started: Instant::now(), seen, thread: Some(thread) }
    }

    /// Reading is done; how long it took.
    pub fn has_read(&self) -> Duration {
        self.seen.enter(Stage::Between);
        self.started.elapsed()
    }

    pub fn stages(&self, days: u64) {
        self.seen.enter(Stage::Staging { days });
    }

    pub fn staged(&self) {
        self.seen.staged.fetch_add(1, Ordering::Relaxed);
    }

    pub fn swaps(&self) {
        self.seen.enter(Stage::Swapping);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A watcher that panicked has nothing to tell.
            let _ = thread.join();
        }
    }
}

impl Stage {
    fn bar(&self) -> ProgressBar {
        let (bar, template) = match self {
            Stage::Reading { total: 0 } => {
                (ProgressBar::new_spinner(), "{spinner} {bytes} {binary_bytes_per_sec}")
            }
            Stage::Reading { total } => (
                ProgressBar::new(*total),
                "{bar:30} {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>12} {eta:>4} left",
            ),
            Stage::Staging { days } => (ProgressBar::new(*days), "{bar:30} {pos} of {len} days written"),
            Stage::Between | Stage::Swapping => return ProgressBar::hidden(),
        };
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

impl Seen {
    fn stage(&self) -> MutexGuard<'_, (Stage, ProgressBar)> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: Stage) {
        let mut now = self.stage();
        now.1.finish_and_clear();
        let bar = stage.bar();
        *now = (stage, bar);
    }

    fn watch(&self, signal: &dyn Fn() -> u8) {
        let mut stopped: Option<Instant> = None;
        let mut told = Instant::now();
        while !self.ended.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(100));
            let now = self.stage();
            now.1.set_position(match now.0 {
                Stage::Reading { .. } => self.progress.bytes.load(Ordering::Relaxed),
                _ => self.staged.load(Ordering::Relaxed),
            });
            if self.verbose && told.elapsed() >= QUIET {
                told = Instant::now();
                say(self.in_words(&now.0));
            }
            if self.progress.stop.load(Ordering::Relaxed) && !matches!(now.0, Stage::Swapping) {
                let since = *stopped.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(500) && !self.ended.load(Ordering::Relaxed) {
                    now.1.finish_and_clear();
                    let doing = if matches!(now.0, Stage::Reading { .. }) { "reading" } else { "publishing" };
                    error(
                        &Error::new(format!("interrupted while {doing}"))
                            .hint("nothing was published; run the same command again"),
                    );
                    let code = 128 + i32::from(signal());
                    if let Some(last_line) = &self.last_line {
                        say(format_args!("{last_line} exit={code} days=none"));
                    }
                    std::process::exit(code);
                }
            }
        }
        self.stage().1.finish_and_clear();
    }

    fn in_words(&self, stage: &Stage) -> String {
        let bytes = self.progress.bytes.load(Ordering::Relaxed);
        let lines = counted(self.progress.lines.load(Ordering::Relaxed), "line");
        match stage {
            Stage::Reading { total: 0 } => format!("reading: {}, {lines}", HumanBytes(bytes)),
            Stage::Reading { total } if bytes < *total => {
                format!("reading: {} of {}, {lines}", HumanBytes(bytes), HumanBytes(*total))
            }
            Stage::Reading { .. } => format!("settling: {lines} were read"),
            Stage::Between => "rating".to_string(),
            Stage::Staging { days } => {
                format!("writing: {} of {}", self.staged.load(Ordering::Relaxed), counted(*days, "day"))
            }
            Stage::Swapping => "publishing".to_string(),
        }
    }
}

/// 1 line, 1,234 lines.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A table without lines, as wide as the terminal.
pub fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width());
    table.set_header(header.iter().copied());
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let is_number =
            ["requests", "input", "output", "rated USD", "credits", "net USD", "lines", "bytes", "suspended"]
                .contains(&header[place]);
        column.set_cell_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

fn width() -> u16 {
    terminal_size::terminal_size().map_or(80, |(terminal_size::Width(width), _)| width.max(60))
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Tokens for the eye: 1,234, 12k or 12.3M.
pub fn tokens(number: u64) -> String {
    match number {
        0..=9_999 => thousands(number),
        10_000..=999_999 => format!("{}k", number / 1_000),
        1_000_000..=999_999_999 => format!("{}.{}M", number / 1_000_000, number / 100_000 % 10),
        _ => format!("{}.{}G", thousands(number / 1_000_000_000), number / 100_000_000 % 10),
    }
}

/// Dollars for the eye, rounded to a hundredth of a cent; the reports have them whole.
pub fn dollars(pico: Pico) -> String {
    const PLACE: i128 = 100_000_000;
    let rounded = (pico.0 + PLACE / 2) / PLACE;
    format!("{}.{:04}", thousands((rounded / 10_000) as u64), rounded % 10_000)
}

/// RPM 12%. Rounded up, so that whatever is above its limit is above 100%.
pub fn share_in_words(metric: &str, used: u64, limit: u64) -> String {
    if limit == 0 {
        return format!("{metric} not offered");
    }
    let percent = (u128::from(used) * 100).div_ceil(u128::from(limit));
    format!("{metric} {percent}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_the_eye_are_short() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(tokens(9_999), "9,999");
        assert_eq!(tokens(999_999), "999k");
        assert_eq!(tokens(12_345_678), "12.3M");
        assert_eq!(tokens(1_250_000_000), "1.2G");
        assert_eq!(dollars(Pico(1_234_567_891_234_567)), "1,234.5679");
        assert_eq!(dollars(Pico(49_999_999)), "0.0000");
        assert_eq!(share_in_words("RPM", 10_001, 10_000), "RPM 101%");
        assert_eq!(share_in_words("RPM", 1, 0), "RPM not offered");
    }
}
