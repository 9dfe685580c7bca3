//! Owns what published days handed on, read back: where a walk may begin, and which days began with something else than
//! the day before ends with.

use std::path::Path;

use super::manifest::Manifest;
use super::read_json;
use crate::error::{Error, Result};
use crate::types::carry::Carry;
use crate::types::day::Day;

const FILE: &str = "carry.json";

/// The published days whose carry is there, ascending.
pub fn days(out: &Path) -> Result<Vec<Day>> {
    let days = published(out)?.into_iter();
    Ok(days.filter(|day| out.join(day.to_string()).join(FILE).is_file()).collect())
}

/// What a published day handed on.
pub fn of(out: &Path, day: Day) -> Result<Carry<String>> {
    let path = out.join(day.to_string()).join(FILE);
    let carry: Option<Carry<String>> = read_json(&path)?;
    carry.filter(|carry| carry.date == day).ok_or_else(|| {
        Error::new(format!("{}: it isn't what {day} handed on", path.display()))
            .hint(format!("replay {day} anew; nothing was published"))
    })
}

/// Published days that began with something else than what the day before, published too, now hands on. Ascending.
pub fn stale(out: &Path) -> Result<Vec<Day>> {
    let mut stale = Vec::new();
    let mut before: Option<(Day, String)> = None;
    for day in published(out)? {
        let folder = out.join(day.to_string());
        // A manifest that can't be read says nothing; who replaces that day is told.
        let manifest = read_json::<Manifest>(&folder.join("manifest.json")).ok().flatten();
        if let (Some((_, handed_on)), Some(manifest)) =
            (before.filter(|(before, _)| before.next() == day), manifest)
            && manifest.carry_before.as_ref() != Some(&handed_on)
        {
            stale.push(day);
        }
        let carry = of(out, day).ok();
        before = carry.map(|carry| (day, carry.hash()));
    }
    Ok(stale)
}

/// The days that have a folder, ascending.
fn published(out: &Path) -> Result<Vec<Day>> {
    let entries = match std::fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read the folder", out, &error)),
    };
    let mut days = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("read the folder", out, &error))?;
        days.extend(entry.file_name().to_str().and_then(Day::parse));
    }
    days.sort_unstable();
    Ok(days)
}
