//! Owns `rerate check`: read and balance, write nothing.

use std::collections::BTreeMap;

use clap::Args;

use super::inputs::Entry;
use super::screen::{self, thousands};
use super::{BookArgs, Done, LogArgs, Signal, WindowArgs, summary};
use crate::error::Result;
use crate::pipeline::{self, Rating};
use crate::read::shape::map;
use crate::types::key::shown;
use crate::walk::Plan;

/// Read logs and say what is in them; write nothing
///
/// Prints each input with its lines and what of them is in suspense, and each
/// Pacific day with its requests, on stdout; then the summary that replay
/// gives, on stderr. For an input of unknown shape it proposes a map of its
/// columns (--map), by their names.
///
///   rerate check logs/ --usage-tier tier1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Check {
    #[command(flatten)]
    logs: LogArgs,

    #[command(flatten)]
    window: WindowArgs,

    #[command(flatten)]
    books: BookArgs,
}

impl Check {
    pub(super) fn run(&self, entries: &[Entry], signal: &Signal) -> Result<Done> {
        let options = self.logs.options(self.window.window()?, None)?;
        let books = self.books.load()?;
        let inputs = self.logs.inputs(entries, None, false)?;
        let (replay, took) = signal.read(&inputs, &books, &options)?;
        let plan = Plan::new(&pipeline::days_seen(&replay), options.window, &[]);
        let none = BTreeMap::new();
        let mut closing = summary::Closing::default();
        let mut requests: BTreeMap<_, u64> = BTreeMap::new();
        for days in plan.iter().flat_map(|plan| Rating::new(&replay, &books, plan, &none, options.usage_tier))
        {
            for day in days? {
                closing.add(&replay, &day, &books);
                if !day.cells.is_empty() {
                    requests.insert(day.day, day.cells.iter().map(|(_, cell)| cell.requests).sum());
                }
            }
        }

        let mut suspended = vec![0; replay.inputs.len()];
        for line in &replay.suspended {
            suspended[line.input.0 as usize] += 1;
        }
        let mut files = screen::plain_table(&["input", "shape", "container", "bytes", "lines", "suspended"]);
        for (input, suspended) in replay.inputs.iter().zip(suspended) {
            let name = shown(&input.name).into_owned();
            let [shape, container] = match input.shape {
                Some(shape) if input.same_as.is_none() => [shape, input.container],
                _ => ["-", "-"],
            };
            let counts = [input.bytes, input.lines, suspended].map(thousands);
            let [bytes, lines, suspended] = counts;
            files.add_row([name, shape.to_string(), container.to_string(), bytes, lines, suspended]);
        }
        let mut by_day = screen::plain_table(&["date", "requests", "first", "last"]);
        for (day, requests) in &requests {
            let span = replay.tally.spans.get(day);
            let (first, last) = span
                .map_or_else(Default::default, |span| (span.first_at.to_string(), span.last_at.to_string()));
            by_day.add_row([day.to_string(), thousands(*requests), first, last]);
        }
        let by_day = if requests.is_empty() { String::new() } else { format!("\n{}\n", by_day.trim_fmt()) };
        screen::print(&format!("{}\n{by_day}", files.trim_fmt()))?;
        for input in replay.inputs.iter().filter(|input| input.same_as.is_none()) {
            if let Some(map) = map::propose(&input.columns) {
                let name = shown(&input.name);
                screen::print(&format!(
                    "\n# a map for {name}, by the names of its columns: save it, complete it, give it with --map\n{map}"
                ))?;
            }
        }
        summary::read(&replay, &signal.progress, took);
        closing.say(&replay);
        let whole = replay.deciding_lines(options.window) == 0 && closing.is_rated();
        Ok(if whole { Done::Whole } else { Done::WithSuspense })
    }
}
