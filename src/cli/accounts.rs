//! Owns `rerate accounts`: a ready accounts file for the projects that logs name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use clap::Args;

use super::inputs::Entry;
use super::screen::{self, thousands};
use super::{BookArgs, Done, LogArgs, Signal, summary};
use crate::error::Result;
use crate::types::day::{Day, Window};
use crate::types::request::TUNED;

/// Write an accounts file for the projects seen in logs, on stdout
///
/// The file can be used as it is. What logs don't say stands in it as comments
/// to fill in: which usage tier a project was in since when, which billing
/// account it belongs to, what tuned models were tuned from.
///
///   rerate accounts logs/ > accounts.toml
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Accounts {
    #[command(flatten)]
    logs: LogArgs,

    #[command(flatten)]
    books: BookArgs,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    days: BTreeSet<Day>,
    usage_tiers: BTreeSet<&'static str>,
    silent: bool,
}

impl Accounts {
    pub(super) fn run(&self, entries: &[Entry], signal: &Signal) -> Result<Done> {
        let options = self.logs.options(Window::default(), None)?;
        let books = self.books.load()?;
        let inputs = self.logs.inputs(entries, None, false)?;
        let (replay, took) = signal.read(&inputs, &books, &options)?;
        summary::read(&replay, &signal.progress, took);

        let mut projects: BTreeMap<&str, Seen> = BTreeMap::new();
        let mut tuned: BTreeSet<&str> = BTreeSet::new();
        for day in replay.tally.days() {
            for (key, cell) in replay.cells(day)?.iter() {
                let facts = &replay.groups[key.group.0 as usize];
                let seen = projects.entry(&facts.project_id).or_default();
                seen.requests += cell.requests;
                seen.days.insert(day);
                match facts.usage_tier {
                    Some(usage_tier) => drop(seen.usage_tiers.insert(usage_tier.name())),
                    None => seen.silent = true,
                }
                if facts.model.starts_with(TUNED)
                    && facts.base_model.is_empty()
                    && books.accounts.tuned_base(&facts.model).is_none()
                {
                    tuned.insert(&facts.model);
                }
            }
        }
        screen::print(&text(&projects, &tuned))?;
        Ok(Done::Whole)
    }
}

fn text(projects: &BTreeMap<&str, Seen>, tuned: &BTreeSet<&str>) -> String {
    let mut text = String::from(
        "# Accounts file for rerate: what logs don't say of your projects. A line that begins with # says nothing:\n\
         # fill it in and take the # away.\n\
         # Usage tiers are free, tier1, tier2, tier3; AI Studio shows a project's (Dashboard, Usage and Billing).\n\n\
         # default_usage_tier = \"tier1\"          # of projects without a timeline below\n\n\
         # allowance_scope = \"project\"           # whose free grounding is; or billing_account\n\n\
         # [[billing_accounts]]\n\
         # id = \"000000-000000-000000\"\n\
         # first_payment = 2026-01-31            # for the criteria of the next usage tier\n\
         # spent_before = \"0.00\"                 # dollars paid to Google Cloud before these logs\n\
         # monthly_cap_usd = \"250.00\"            # its own, if it has one\n\
         # [[billing_accounts.credits]]\n\
         # name = \"welcome\"\n\
         # usd = \"300.00\"\n\
         # from = 2026-01-31\n\
         # until = 2026-12-31                    # the last day\n",
    );
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{words}");
    };
    for (id, seen) in projects {
        let (first, last) = (seen.days.first(), seen.days.last());
        let (first, last) = first
            .zip(last)
            .map_or_else(Default::default, |(first, last)| (first.to_string(), last.to_string()));
        line(format_args!("\n[[projects]]\nid = {}", quoted(id)));
        line(format_args!("# {} requests, {first} to {last}", thousands(seen.requests)));
        if !seen.usage_tiers.is_empty() {
            let tiers: Vec<_> = seen.usage_tiers.iter().copied().collect();
            line(format_args!("# the log says itself: {}", tiers.join(", ")));
        }
        line(format_args!("# billing_account = \"000000-000000-000000\""));
        if seen.silent {
            line(format_args!(
                "# [[projects.usage_tiers]]\n# usage_tier = \"tier1\"\n# from = {}",
                day_start(first.as_str())
            ));
        }
    }
    for model in tuned {
        line(format_args!("\n# [[tuned_models]]\n# model = {}\n# base = \"gemini-…\"", quoted(model)));
    }
    text
}

/// Midnight Pacific with its offset, as the file has it.
fn day_start(day: &str) -> String {
    Day::parse(day).map_or(String::new(), |day| day.hour_label(0).replacen(":00-", ":00:00-", 1))
}

/// A TOML string. JSON's escapes are TOML's.
fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}
