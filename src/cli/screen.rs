//! Owns how things are put on a person's screen: lines, errors, progress, tables, figures for the eye. What a run has to
//! say is for `summary`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, Result};
use crate::read::{Inputs, Progress};
use crate::types::key::shown;
use crate::types::money::Pico;

/// Text on stderr, names in it as they may be shown. Whoever reads may be gone, and that is no failure.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{}", visible(&text.to_string()));
}

pub fn error(error: &Error) {
    say(error);
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

/// A bar on a terminal with bytes, rate and time left, while reading goes on.
pub struct Watch {
    started: Instant,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Watches `progress`. A run that is told to end while it waits for input is ended after half a second with
    /// `signal()`: nothing was published yet.
    pub fn start(
        inputs: &Inputs,
        progress: &Arc<Progress>,
        signal: impl Fn() -> u8 + Send + 'static,
    ) -> Watch {
        let total: u64 =
            inputs.list.iter().filter(|input| input.same_as.is_none()).map(|input| input.bytes).sum();
        let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
        let template = if total > 0 {
            "{bar:30} {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>12} {eta:>4} left"
        } else {
            "{spinner} {bytes} {binary_bytes_per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let ended = Arc::new(AtomicBool::new(false));
        let thread = {
            let (progress, ended) = (progress.clone(), ended.clone());
            std::thread::spawn(move || {
                let mut stopped: Option<Instant> = None;
                while !ended.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(100));
                    bar.set_position(progress.bytes.load(Ordering::Relaxed));
                    if progress.stop.load(Ordering::Relaxed) {
                        let since = *stopped.get_or_insert_with(Instant::now);
                        if since.elapsed() > Duration::from_millis(500) && !ended.load(Ordering::Relaxed) {
                            bar.finish_and_clear();
                            say(
                                "error: interrupted while reading\nhint: nothing was published; run the same command again",
                            );
                            std::process::exit(128 + i32::from(signal()));
                        }
                    }
                }
                bar.finish_and_clear();
            })
        };
        Watch { started: Instant::now(), ended, thread }
    }

    /// How long reading took.
    pub fn finish(self) -> Duration {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // A watcher that panicked has nothing to tell.
        let _ = self.thread.join();
        self.started.elapsed()
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
