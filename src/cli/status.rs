//! Owns `rerate status`: which published days need a person, and what for. What speaks against a day is for `query`.

use std::path::PathBuf;

use clap::Args;

use super::screen::{self, counted, thousands};
use super::{BookArgs, Done, WindowArgs, show};
use crate::error::Result;
use crate::publish::manifest::State;
use crate::query::status::{self, Standing};
use crate::types::day::Day;

/// List published days: open, missing, stale, with suspense, of older books
///
/// A row per Pacific day from the first published one to the last, or of the
/// days asked for, on stdout; on stderr what to do. The exit code is 0 when all
/// of them are closed and clean, else 3. Books are compared with the embedded
/// ones, or with those that are given, the accounts file too.
///
///   rerate status days
///   rerate status days --date yesterday --accounts accounts.toml
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Status {
    /// The folder with the published days: --out of replay
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,

    #[command(flatten)]
    window: WindowArgs,

    #[command(flatten)]
    books: BookArgs,
}

/// What speaks against days, and what to do about it, in the order in which it is told.
const REMEDIES: [(&str, &str); 6] = [
    ("missing", "replay it: rerate replay LOGS --date DAY"),
    ("open", "replay it with logs past its midnight, or with --close when the logs are whole"),
    (
        "stale",
        "it began with other caches, free units, credits or spend than the day before ends\n    with; replay all days from the first stale one on",
    ),
    ("suspense", "suspense.csv of the day has reasons; mend the logs or the books, and replay"),
    ("books", "the books named have changed since: replay it, if its figures are to have the new ones"),
    ("version", "another version published it: replay it, if its figures are to have what is new"),
];

impl Status {
    pub(super) fn run(&self) -> Result<Done> {
        let window = self.window.window()?;
        let editions = self.books.load()?.editions;
        show::refuse_file(&self.folder)?;
        let days = status::status(&self.folder, window, &editions)
            .map_err(|error| error.or_hint(show::none_hint(&self.folder)))?;
        if days.is_empty() {
            return Err(show::no_day(&self.folder));
        }
        let mut table = screen::plain_table(&["date", "state", "requests", "suspended", "remarks"]);
        let mut told: Vec<(&str, Vec<Day>)> = REMEDIES.iter().map(|(name, _)| (*name, Vec::new())).collect();
        for of_day in &days {
            let (names, remarks) = of_day.published.as_ref().map_or((vec!["missing"], vec![]), against);
            for (_, days) in told.iter_mut().filter(|(name, _)| names.contains(name)) {
                days.push(of_day.day);
            }
            let row = match &of_day.published {
                None => {
                    [of_day.day.to_string(), "missing".into(), String::new(), String::new(), String::new()]
                }
                Some(standing) => [
                    of_day.day.to_string(),
                    standing.state.to_string(),
                    thousands(standing.requests),
                    thousands(standing.suspended),
                    remarks.join("; "),
                ],
            };
            table.add_row(row);
        }
        screen::print(&format!("{}\n", table.trim_fmt()))?;
        let clean = days.iter().filter(|of_day| of_day.is_clean()).count() as u64;
        screen::say(format_args!(
            "{}: {} closed and clean",
            counted(days.len() as u64, "day"),
            thousands(clean)
        ));
        for ((name, remedy), (_, days)) in REMEDIES.iter().zip(&told) {
            if let Some(first) = days.first() {
                let number = counted(days.len() as u64, "day");
                let first =
                    if days.len() == 1 { format!("{first}") } else { format!("{number}, first {first}") };
                screen::say(format_args!("  {name}: {first}\n    {remedy}"));
            }
        }
        Ok(if clean == days.len() as u64 { Done::Whole } else { Done::WithSuspense })
    }
}

/// The names of what speaks against a day, and remarks on it.
fn against(standing: &Standing) -> (Vec<&'static str>, Vec<String>) {
    let mut names = Vec::new();
    let mut remarks = Vec::new();
    if standing.state == State::Open {
        names.push("open");
    }
    if standing.suspended > 0 {
        names.push("suspense");
    }
    if standing.stale {
        names.push("stale");
        remarks.push("stale".to_string());
    }
    if !standing.books.is_empty() {
        names.push("books");
        remarks.push(format!("other {}", standing.books.join(", ")));
    }
    if let Some(version) = &standing.version {
        names.push("version");
        remarks.push(format!("version {version}"));
    }
    (names, remarks)
}
