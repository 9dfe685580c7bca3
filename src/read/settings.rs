//! Owns how an input is read and what it lacks: settings for all inputs, and entries for those whose names fit. Where
//! they are said is for the command line.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, PatternError};

use super::container::Container;
use super::shape::Shape;
use crate::types::day::Instant;
use crate::types::tier::{ServiceTier, UsageTier};

/// The longest line that is read, if nobody says otherwise.
pub const LONGEST_LINE: usize = 64 << 20;

/// What an input is told besides its bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// None: told from its first bytes.
    pub container: Option<Container>,
    /// None: told from its first items.
    pub shape: Option<&'static Shape>,
    /// The longest line that is read, in bytes.
    pub max_line: usize,
    /// Keep each request, for a report of requests; and read what only that one shows. It holds for all inputs.
    pub detail: bool,
    pub defaults: Defaults,
}

/// What a record says that says it not itself.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub project: Option<String>,
    pub model: Option<String>,
    pub service_tier: Option<ServiceTier>,
    /// Before the accounts file has a say. What one holds for all inputs comes after it, and isn't here.
    pub usage_tier: Option<UsageTier>,
    /// When all of it was: a moment, or the begin of a day.
    pub at: Option<Instant>,
    /// For times without an offset.
    pub time_zone: Option<jiff::tz::TimeZone>,
}

/// The settings of a run.
#[derive(Clone, Debug, Default)]
pub struct AllSettings {
    /// An input is read by the first entry that names it.
    pub entries: Vec<Entry>,
    /// And by these where none does.
    pub others: Settings,
    /// What object stores are asked with.
    pub variables: Variables,
}

/// What the environment says of object stores: who asks, and where they are. Not to be shown.
#[derive(Clone, Default)]
pub struct Variables {
    pub list: Vec<(String, String)>,
}

impl Variables {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|(name, _)| name)).finish()
    }
}

/// Settings for some inputs.
#[derive(Clone, Debug)]
pub struct Entry {
    pub logs: Vec<Pattern>,
    pub settings: Settings,
}

/// Names a file, a folder with all that is in it, or several by a pattern; so too what is in an object store.
#[derive(Clone, Debug)]
pub struct Pattern {
    name: PathBuf,
    pattern: glob::Pattern,
}

/// By its place among [`super::Inputs::settings`].
pub type SettingsId = usize;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            container: None,
            shape: None,
            max_line: LONGEST_LINE,
            detail: false,
            defaults: Defaults::default(),
        }
    }
}

impl AllSettings {
    /// Those of an input by its name. The first are those of no entry.
    pub fn of(&self, name: &str) -> SettingsId {
        let place = place(name);
        let names_it = |entry: &Entry| entry.logs.iter().any(|pattern| pattern.names(&place));
        self.entries.iter().position(names_it).map_or(0, |entry| entry + 1)
    }

    pub fn into_list(self) -> Vec<Settings> {
        let entries = self.entries.into_iter().map(|entry| entry.settings);
        std::iter::once(self.others).chain(entries).collect()
    }
}

impl From<Settings> for AllSettings {
    fn from(others: Settings) -> AllSettings {
        AllSettings { others, ..AllSettings::default() }
    }
}

impl Pattern {
    pub fn new(name: &str) -> Result<Pattern, PatternError> {
        let name = place(name);
        let pattern = glob::Pattern::new(&name.to_string_lossy())?;
        Ok(Pattern { name, pattern })
    }

    fn names(&self, place: &Path) -> bool {
        const OPTIONS: MatchOptions = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        place.starts_with(&self.name)
            || place.ancestors().any(|above| self.pattern.matches_path_with(above, OPTIONS))
    }
}

/// A name so that one place has one: absolute, and without `..`. Neither the standard input nor what is in a store is
/// in a folder.
fn place(name: &str) -> PathBuf {
    let path = Path::new(name);
    if name == "-" || super::is_url(name) {
        return path.to_path_buf();
    }
    let mut place = PathBuf::new();
    for component in std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).components() {
        match component {
            Component::ParentDir => {
                place.pop();
            }
            Component::CurDir => {}
            component => place.push(component),
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_file_a_folder_or_several() {
        for (pattern, name, named) in [
            ("logs", "logs/a.jsonl", true),
            ("logs/", "./x/../logs/b/a.jsonl", true),
            ("logs", "logs-2/a.jsonl", false),
            ("x/../logs/*.jsonl", "logs/a.jsonl", true),
            ("logs/*.jsonl", "logs/b/a.jsonl", false),
            ("logs/**/*.jsonl", "logs/b/a.jsonl", true),
            ("logs/2026-*", "logs/2026-06/a.jsonl", true),
            ("logs/[a].jsonl", "logs/[a].jsonl", true),
            ("logs/[a].jsonl", "logs/a.jsonl", true),
            ("s3://logs/litellm", "s3://logs/litellm/a.jsonl", true),
            ("s3://logs/litellm/", "s3://logs/litellm-2/a.jsonl", false),
            ("gs://*/a.jsonl", "gs://logs/a.jsonl", true),
            ("gs://logs", "s3://logs/a.jsonl", false),
            ("-", "-", true),
            ("*", "-", false),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.names(&place(name)), named, "{pattern:?} {name}");
        }
    }
}
