//! Owns `rerate book`: what a book says, as of a day, with citation.

use std::io::IsTerminal;

use clap::Args;

use super::{BookArgs, Done, day, screen, words};
use crate::books::{self, NAMES};
use crate::error::{Error, Result};
use crate::types::day::Day;

/// Print what a book says, with citation
///
/// Without --at every line is printed, with it those in force on that Pacific
/// day. A table on a terminal, CSV in a pipe: the columns are the book's own,
/// so that a line can be copied into a file for --prices and the like.
///
///   rerate book prices gemini-2.5-flash --at 2026-06-01
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Book {
    /// The book
    #[arg(value_name = "NAME", value_parser = words(NAMES.into_iter()))]
    name: String,

    /// What it says of this model, alias, pool, usage tier, status or method
    #[arg(value_name = "KEY")]
    key: Option<String>,

    /// Only what is in force on this Pacific day
    #[arg(long, value_name = "DAY", value_parser = day)]
    at: Option<Day>,

    #[command(flatten)]
    books: BookArgs,
}

impl Book {
    pub(super) fn run(&self) -> Result<Done> {
        let shown = books::show(&self.books.sources(), &self.name, self.key.as_deref(), self.at)?;
        let text = if std::io::stdout().is_terminal() {
            let mut table = screen::plain_table(shown.columns);
            table.add_rows(&shown.rows);
            format!("{}\n", table.trim_fmt())
        } else {
            csv(&shown)?
        };
        screen::print(&text)?;
        if let (true, Some(day)) = (shown.rows.is_empty(), self.at) {
            screen::say(format_args!("no line of the {} book is in force on {day}", self.name));
        }
        Ok(Done::Whole)
    }
}

fn csv(shown: &books::Shown) -> Result<String> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(format!("the lines can't be written as CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(shown.columns).map_err(|error| failed(&error))?;
    for row in &shown.rows {
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
