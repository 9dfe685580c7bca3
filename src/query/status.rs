//! Owns what speaks against published days: which are missing, open, stale, with suspense, or made with other books or by
//! another version. What to do about it is for whoever shows it.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Published, days, table};
use crate::books::Edition;
use crate::error::Result;
use crate::publish::manifest::{Manifest, Run, State};
use crate::publish::{carry, read_json};
use crate::report::suspense;
use crate::types::day::{Day, Window};

/// One day between the first and the last.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    pub day: Day,
    /// None: it isn't published.
    pub published: Option<Standing>,
}

/// How a published day stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    pub requests: u64,
    /// Rows of its suspense report.
    pub suspended: u64,
    /// It began with something else than the day before now hands on.
    pub stale: bool,
    /// Books that have changed since.
    pub books: Vec<String>,
    /// The version that published it, where it is another than this.
    pub version: Option<String>,
}

impl Status {
    /// Closed, and nothing speaks against it.
    pub fn is_clean(&self) -> bool {
        self.published.as_ref().is_some_and(|standing| {
            standing.state == State::Closed
                && standing.suspended == 0
                && !standing.stale
                && standing.books.is_empty()
                && standing.version.is_none()
        })
    }
}

/// Every day of the window, from the first published day to the last where an end is open. Books are compared with
/// `editions` where both have one of the name.
pub fn status(out: &Path, window: Window, editions: &[Edition]) -> Result<Vec<Status>> {
    let published = days(out)?;
    let stale: BTreeSet<Day> = carry::stale(out)?.into_iter().collect();
    let first = window.from.or(published.first().map(|published| published.day));
    let last = window.to.or(published.last().map(|published| published.day));
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(Vec::new());
    };
    let mut published = published.into_iter().filter(|published| window.contains(published.day)).peekable();
    let of_day = |day: Day| {
        let found = published.next_if(|published| published.day == day);
        let standing = |published: Published| standing(&published, stale.contains(&day), editions);
        Ok(Status { day, published: found.map(standing).transpose()? })
    };
    (first.0..=last.0).map(Day).map(of_day).collect()
}

fn standing(published: &Published, stale: bool, editions: &[Edition]) -> Result<Standing> {
    let manifest: Option<Manifest> = read_json(&published.folder.join("manifest.json"))?;
    let run: Option<Run> = read_json(&published.folder.join("run.json"))?;
    let version = run.map_or_else(|| "unknown".to_string(), |run| run.rerate);
    let suspended = table(std::slice::from_ref(published), &suspense::REPORT, &["reason"])?.height();
    let has_changed =
        |edition: &&Edition| editions.iter().any(|now| now.name == edition.name && now.hash != edition.hash);
    let books = manifest.iter().flat_map(|manifest| &manifest.books);
    Ok(Standing {
        state: published.state,
        requests: manifest.as_ref().map_or(0, |manifest| manifest.requests),
        suspended: suspended as u64,
        stale,
        books: books.filter(has_changed).map(|edition| edition.name.clone()).collect(),
        version: (version != env!("CARGO_PKG_VERSION")).then_some(version),
    })
}
