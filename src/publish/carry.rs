//! Owns what published days handed on, read back: where a walk may begin, and which days began with something else than
//! the day before ends with.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::manifest::Manifest;
use super::{read_json, read_text};
use crate::error::{Error, Result};
use crate::types::carry::Carry;
use crate::types::day::Day;

const FILE: &str = "carry.json";

/// The latest published day before `day` whose carry is there.
pub fn latest_before(out: &Path, day: Day) -> Result<Option<Day>> {
    let days = published(out)?.into_iter().filter(|own| *own < day);
    Ok(days.filter(|own| out.join(own.to_string()).join(FILE).is_file()).max())
}

/// What a published day handed on; None where there is none.
pub fn of(out: &Path, day: Day) -> Result<Option<Carry<String>>> {
    read_json(&out.join(day.to_string()).join(FILE))
}

/// Published days that began with something else than what the day before, published too, now hands on. Ascending.
pub fn stale(out: &Path) -> Result<Vec<Day>> {
    let mut stale = Vec::new();
    let mut before: Option<(Day, String)> = None;
    for day in published(out)? {
        let folder = out.join(day.to_string());
        let manifest = read_json::<Manifest>(&folder.join("manifest.json"))?;
        if let (Some((_, handed_on)), Some(manifest)) =
            (before.filter(|(before, _)| before.next() == day), manifest)
            && manifest.carry_before.as_ref() != Some(&handed_on)
        {
            stale.push(day);
        }
        let text = read_text(&folder.join(FILE))?;
        before = text.map(|text| (day, format!("{:032x}", xxh3_128(text.as_bytes()))));
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
