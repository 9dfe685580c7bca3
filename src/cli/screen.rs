//! Owns what a person sees on stderr: progress, warnings, hints and the closing summary. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use crate::books::Books;
use crate::error::Error;
use crate::pipeline::{DayReport, Replay};
use crate::quota::q1_quota_model;
use crate::read::{Inputs, Progress};
use crate::suspense::Suspended;
use crate::types::charge::UnratedKey;
use crate::types::key::shown;
use crate::types::meter::Meter;
use crate::types::money::Pico;
use crate::types::quota_use::QuotaUse;
use crate::types::reason::Reason;
use crate::types::tier::UsageTier;

/// A line on stderr. Whoever reads may be gone, and that is no failure.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub fn error(error: &Error) {
    say(visible(&error.to_string()));
}

/// Names come from logs and file systems; a terminal must not obey them.
fn visible(text: &str) -> String {
    text.split('\n')
        .map(|line| shown(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Text on stdout; false when whoever reads it is gone.
pub fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_ok()
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
        let total: u64 = inputs
            .list
            .iter()
            .filter(|input| input.same_as.is_none())
            .map(|input| input.bytes)
            .sum();
        let bar = if total > 0 {
            ProgressBar::new(total)
        } else {
            ProgressBar::new_spinner()
        };
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
                        if since.elapsed() > Duration::from_millis(500)
                            && !ended.load(Ordering::Relaxed)
                        {
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
        Watch {
            started: Instant::now(),
            ended,
            thread,
        }
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

/// What was read, in one or two lines.
pub fn read(replay: &Replay, progress: &Progress, took: Duration) {
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let rate = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    let inputs = replay.inputs.len();
    say(format_args!(
        "read {} lines, {} in {} ({}/s) from {inputs} {}",
        thousands(replay.records.lines),
        HumanBytes(bytes),
        if took.as_secs() > 0 {
            HumanDuration(took).to_string()
        } else {
            format!("{} ms", took.as_millis())
        },
        HumanBytes(rate),
        if inputs == 1 { "input" } else { "inputs" },
    ));
    let others: Vec<String> = replay
        .records
        .parts()
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{} {}", thousands(*count), name.replace('_', " ")))
        .collect();
    say(format_args!("  = {}", others.join(" + ")));
    for input in replay.inputs.iter().filter(|input| input.same_as.is_some()) {
        let same = input.same_as.as_deref().unwrap_or_default();
        say(visible(&format!(
            "  {} has the same bytes as {same}: read once",
            input.name
        )));
    }
    for (folder, left) in &replay.left {
        say(visible(&format!(
            "  {folder}: {left} files aren't named like logs and were left"
        )));
    }
}

/// The closing table, by base model, pricing tier and usage tier, over all days.
pub fn table(replay: &Replay, days: &[DayReport<'_>], books: &Books) {
    #[derive(Default)]
    struct Sum<'r> {
        requests: u64,
        input: u64,
        output: u64,
        rated: Pico,
        suspended: bool,
        quota_models: BTreeSet<&'r str>,
    }
    let mut sums: BTreeMap<(&str, UsageTier), Sum<'_>> = BTreeMap::new();
    for (key, cell) in &replay.tally.cells {
        let facts = &replay.groups[key.group.0 as usize];
        let sum = sums
            .entry((books.base_model(facts, key.day), key.usage_tier))
            .or_default();
        sum.requests += cell.requests;
        sum.input += [Meter::Input, Meter::InputCached, Meter::InputTool]
            .map(|meter| cell.tokens(meter))
            .iter()
            .sum::<u64>();
        sum.output += cell.tokens(Meter::Output) + cell.tokens(Meter::OutputThinking);
        sum.quota_models
            .insert(q1_quota_model(facts, key.usage_tier, key.day, books));
    }
    let mut quota: BTreeMap<(&str, UsageTier), (u64, String)> = BTreeMap::new();
    for day in days {
        for (key, charge) in &day.rated.charges {
            if let Some(sum) = sums.get_mut(&(key.base_model, key.usage_tier)) {
                sum.rated = sum
                    .rated
                    .checked_add(charge.rated_cost)
                    .unwrap_or(sum.rated);
            }
        }
        for key in day.rated.unrated.keys() {
            for ((model, _), sum) in &mut sums {
                sum.suspended |= *model == key.model;
            }
        }
        for (key, used) in &day.measured.quota {
            if let Some(share) = highest_share(used) {
                let best = quota.entry((key.quota_model, key.usage_tier)).or_default();
                if share > *best {
                    *best = share;
                }
            }
        }
    }
    if sums.is_empty() {
        return;
    }
    let mut table = plain_table(&[
        "model",
        "tier",
        "requests",
        "input",
        "output",
        "rated USD",
        "top quota",
    ]);
    let mut total = (0, 0, 0, Pico::ZERO);
    for ((model, usage_tier), sum) in &sums {
        let tier = match usage_tier.pricing_tier().name() {
            "paid" => format!("paid, {usage_tier}"),
            other => other.to_string(),
        };
        let top = sum
            .quota_models
            .iter()
            .filter_map(|model| quota.get(&(model, *usage_tier)))
            .max();
        table.add_row([
            if model.is_empty() {
                "(none)".to_string()
            } else {
                shown(model).into_owned()
            },
            tier,
            thousands(sum.requests),
            tokens(sum.input),
            tokens(sum.output),
            dollars(sum.rated),
            top.map_or("-".to_string(), |(_, words)| words.clone()),
        ]);
        total.0 += sum.requests;
        total.1 += sum.input;
        total.2 += sum.output;
        total.3 = total.3.checked_add(sum.rated).unwrap_or(total.3);
    }
    if sums.len() > 1 {
        let (requests, input, output, rated) = total;
        let row = [
            "all".to_string(),
            String::new(),
            thousands(requests),
            tokens(input),
            tokens(output),
            dollars(rated),
            String::new(),
        ];
        table.add_row(row);
    }
    say(format_args!("\n{table}"));
}

/// The highest share of a limit, in thousandths, and in words.
fn highest_share(used: &QuotaUse) -> Option<(u64, String)> {
    [
        ("RPM", used.rpm.limit, used.rpm.peak),
        ("TPM", used.tpm.limit, used.tpm.peak),
        ("RPD", used.rpd.limit, used.rpd.used),
        ("TPD", used.tpd.limit, used.tpd.used),
    ]
    .into_iter()
    .filter_map(|(name, limit, used)| match limit? {
        0 if used > 0 => Some((u64::MAX, share_in_words(name, used, 0))),
        0 => None,
        limit => {
            let share = used.saturating_mul(1_000) / limit;
            Some((share, share_in_words(name, used, limit)))
        }
    })
    .max()
}

/// RPM 12%. Rounded up, so that whatever is above its limit is above 100%.
pub fn share_in_words(metric: &str, used: u64, limit: u64) -> String {
    if limit == 0 {
        return format!("{metric} not offered");
    }
    let percent = (u128::from(used) * 100).div_ceil(u128::from(limit));
    format!("{metric} {percent}%")
}

/// Suspense by reason, with what to do about each, and the warnings.
pub fn suspense(replay: &Replay, days: &[DayReport<'_>]) {
    let told: Vec<String> = lines_by_reason(replay)
        .into_iter()
        .chain(quantities_by_reason(days))
        .collect();
    if !told.is_empty() {
        say(visible(&format!("\nin suspense:\n{}", told.join("\n"))));
    }
    let mut warnings = BTreeMap::new();
    for (warning, requests) in days.iter().flat_map(|day| &day.warnings) {
        *warnings.entry(*warning).or_insert(0) += requests;
    }
    if !warnings.is_empty() {
        say("\nwarnings:");
    }
    for (warning, requests) in warnings {
        say(format_args!(
            "  {warning}: {}\n    {}",
            counted(requests, "request"),
            warning.remedy()
        ));
    }
}

fn lines_by_reason(replay: &Replay) -> Vec<String> {
    let mut by_reason: BTreeMap<Reason, (u64, &Suspended)> = BTreeMap::new();
    for line in &replay.suspended {
        by_reason.entry(line.reason).or_insert((0, line)).0 += 1;
    }
    let told = by_reason.into_iter().map(|(reason, (count, first))| {
        let (name, number) = (&replay.inputs[first.input.0 as usize].name, first.line);
        let (lines, remedy) = (counted(count, "line"), reason.remedy());
        format!(
            "  {reason}: {lines}\n    first: {name}:{number}: {}\n    {remedy}",
            first.detail
        )
    });
    told.collect()
}

fn quantities_by_reason(days: &[DayReport<'_>]) -> Vec<String> {
    #[derive(Default)]
    struct Sum<'r> {
        meters: BTreeMap<Meter, u64>,
        list_cost: Option<Pico>,
        first: Option<&'r UnratedKey<'r>>,
    }
    let mut by_reason: BTreeMap<Reason, Sum<'_>> = BTreeMap::new();
    for (key, unrated) in days.iter().flat_map(|day| &day.rated.unrated) {
        let sum = by_reason.entry(key.reason).or_default();
        *sum.meters.entry(key.meter).or_default() += unrated.quantity;
        if let Some(list_cost) = unrated.list_cost {
            sum.list_cost = sum.list_cost.unwrap_or_default().checked_add(list_cost);
        }
        sum.first.get_or_insert(key);
    }
    let told = by_reason.into_iter().map(|(reason, sum)| {
        let (with_tokens, others): (Vec<_>, Vec<_>) =
            sum.meters.iter().partition(|(meter, _)| meter.has_tokens());
        let tokens: u64 = with_tokens.iter().map(|(_, quantity)| **quantity).sum();
        let mut parts: Vec<String> = Vec::new();
        if tokens > 0 {
            parts.push(counted(tokens, "token"));
        }
        parts.extend(
            others
                .iter()
                .map(|(meter, quantity)| format!("{} {meter}", thousands(**quantity))),
        );
        let cost = sum
            .list_cost
            .map(|cost| format!(", {} USD at list price", dollars(cost)))
            .unwrap_or_default();
        let first = sum
            .first
            .map(|key| format!("{}: {}", key.model, key.detail))
            .unwrap_or_default();
        format!(
            "  {reason}: {}{cost}\n    first: {first}\n    {}",
            parts.join(", "),
            reason.remedy()
        )
    });
    told.collect()
}

/// 1 line, 1,234 lines.
pub fn counted(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        thousands(number),
        if number == 1 { "" } else { "s" }
    )
}

/// A table without lines, as wide as the terminal.
pub fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width());
    table.set_header(header.iter().copied());
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let is_number = [
            "requests",
            "input",
            "output",
            "rated USD",
            "lines",
            "bytes",
            "suspended",
        ]
        .contains(&header[place]);
        column.set_cell_alignment(if is_number {
            CellAlignment::Right
        } else {
            CellAlignment::Left
        });
    }
    table
}

fn width() -> u16 {
    let terminal = std::io::stderr()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten();
    terminal.map_or(100, |(terminal_size::Width(width), _)| width.max(60))
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Tokens for the eye: 1,234 or 12.3M.
pub fn tokens(number: u64) -> String {
    match number {
        0..=999_999 => thousands(number),
        1_000_000..=999_999_999 => format!("{}.{}M", number / 1_000_000, number / 100_000 % 10),
        _ => format!(
            "{}.{}G",
            thousands(number / 1_000_000_000),
            number / 100_000_000 % 10
        ),
    }
}

/// Dollars for the eye, rounded to a hundredth of a cent; the reports have them whole.
pub fn dollars(pico: Pico) -> String {
    const PLACE: i128 = 100_000_000;
    let rounded = (pico.0 + PLACE / 2) / PLACE;
    format!(
        "{}.{:04}",
        thousands((rounded / 10_000) as u64),
        rounded % 10_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_the_eye_are_short() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(tokens(999_999), "999,999");
        assert_eq!(tokens(12_345_678), "12.3M");
        assert_eq!(tokens(1_250_000_000), "1.2G");
        assert_eq!(dollars(Pico(1_234_567_891_234_567)), "1,234.5679");
        assert_eq!(dollars(Pico(49_999_999)), "0.0000");
        assert_eq!(share_in_words("RPM", 10_001, 10_000), "RPM 101%");
        assert_eq!(share_in_words("RPM", 1, 0), "RPM not offered");
    }
}
