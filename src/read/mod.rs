//! Owns finding the inputs: files, folders, globs and stdin, each once. Cutting them into lines is for `container` and
//! `lines`, understanding a line for `shape`.

pub mod container;
pub mod decompress;
pub mod json;
pub mod lines;
pub mod parts;
pub mod shape;
pub mod stream;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use self::container::Container;
use self::shape::Shape;
use crate::error::{Error, Result};
use crate::types::day::Instant;
use crate::types::tier::ServiceTier;

/// What a folder's files are called when they are logs; packed ones end in `.gz` or `.zst` beside.
const LOG_NAMES: [&str; 7] = [".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".log", ".txt"];
const PACKED_NAMES: [&str; 2] = [".gz", ".zst"];
/// A folder with all files of one of these lists is published, and nothing in it is a log: a day, or an input's lines
/// without a day.
const PUBLISHED: [&[&str]; 2] = [&["manifest.json"], &["run.json", "suspense.parquet"]];

/// What a reader tells whoever watches, and what it is told.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read, as stored.
    pub bytes: AtomicU64,
    pub lines: AtomicU64,
    /// Set from outside: end as soon as possible.
    pub stop: Arc<AtomicBool>,
}

/// What an input is told besides its bytes. Today one holds for all inputs of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// None: told from its first bytes.
    pub container: Option<Container>,
    /// None: told from its first items.
    pub shape: Option<&'static Shape>,
    /// The longest line that is read, in bytes.
    pub max_line: usize,
    /// Keep each request, for a report of requests; and read what only that one shows.
    pub detail: bool,
    pub defaults: Defaults,
}

/// The longest line that is read, if nobody says otherwise.
pub const LONGEST_LINE: usize = 64 << 20;

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

/// What a record says that says it not itself.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub project: Option<String>,
    pub model: Option<String>,
    pub service_tier: Option<ServiceTier>,
    /// When all of it was: a moment, or the begin of a day.
    pub at: Option<Instant>,
    /// For times without an offset.
    pub time_zone: Option<jiff::tz::TimeZone>,
}

/// How an input is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub container: Container,
    pub shape: &'static Shape,
    /// Items are rows: cells may hold JSON, and dotted names are objects.
    pub is_row: bool,
}

/// One input, not opened yet.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: Arc<str>,
    /// None for stdin.
    path: Option<PathBuf>,
    /// As stored; 0 where it can't be known.
    pub bytes: u64,
    /// The input given before with the same stored bytes.
    pub same_as: Option<Arc<str>>,
}

/// All inputs of a run.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub list: Vec<Input>,
    /// Files of folders that aren't named like logs, by folder.
    pub left: BTreeMap<String, u64>,
}

impl Input {
    /// None for stdin.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        match &self.path {
            None => Ok(Box::new(std::io::stdin())),
            Some(path) => Ok(Box::new(File::open(path).map_err(|error| Error::io("read", path, &error))?)),
        }
    }
}

/// Finds the inputs that `given` names, in the order given, folders' files in the order of their names. `out` is never
/// read as a log.
pub fn find(given: &[String], out: Option<&Path>) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let out = out.and_then(|out| out.canonicalize().ok());
    for name in given {
        if name == "-" {
            if inputs.list.iter().all(|input| input.path.is_some()) {
                inputs.list.push(Input { name: "-".into(), path: None, bytes: 0, same_as: None });
            }
            continue;
        }
        if name.is_empty() {
            return Err(Error::new("LOGS: a name is empty; expected a file, a folder, a pattern or -")
                .hint("is a variable of the script without a value?"));
        }
        let path = Path::new(name);
        if path.is_dir() {
            inputs.folder(path, out.as_deref())?;
        } else if path.exists() {
            inputs.file(path)?;
        } else if name.contains(['*', '?', '[']) {
            inputs.pattern(name, out.as_deref())?;
        } else {
            return Err(Error::missing("file or folder", path)
                .or_hint("LOGS are files, folders, patterns like 'logs/*.jsonl.gz', or - for stdin"));
        }
    }
    if inputs.list.is_empty() {
        let named = given.join(", ");
        let left: u64 = inputs.left.values().sum();
        let (found, hint) = if left == 0 {
            let hint = "hidden files and published days (rerate show DIR) are never read as logs";
            ("there is no file to read".to_string(), hint.to_string())
        } else {
            let hint = format!(
                "in folders, files that end in {} are read, packed (.gz, .zst) or not; give others by name",
                LOG_NAMES.join(", ")
            );
            let files = if left == 1 { "the only file isn't" } else { "none of the files is" };
            (format!("{files} named like a log ({left} left)"), hint)
        };
        return Err(Error::new(format!("{named}: {found}")).hint(hint));
    }
    inputs.mark_doubles()?;
    Ok(inputs)
}

impl Inputs {
    fn file(&mut self, path: &Path) -> Result<()> {
        let metadata = path.metadata().map_err(|error| Error::io("read", path, &error))?;
        let name = path.to_string_lossy().into();
        let bytes = if metadata.is_file() { metadata.len() } else { 0 };
        self.list.push(Input { name, path: Some(path.to_path_buf()), bytes, same_as: None });
        Ok(())
    }

    fn folder(&mut self, folder: &Path, out: Option<&Path>) -> Result<()> {
        let is_log_folder = |entry: &walkdir::DirEntry| {
            let hidden = entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
            let is_out = || out.is_some() && entry.path().canonicalize().ok().as_deref() == out;
            !hidden && !(entry.file_type().is_dir() && (is_published(entry.path()) || is_out()))
        };
        let walk = walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(is_log_folder) {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let told = error
                    .into_io_error()
                    .unwrap_or_else(|| std::io::Error::other("a link leads in a circle"));
                Error::io("read", &path, &told)
            })?;
            if !entry.file_type().is_file() {
                continue;
            }
            if is_named_like_a_log(&entry.file_name().to_string_lossy()) {
                self.file(entry.path())?;
            } else {
                *self.left.entry(folder.display().to_string()).or_default() += 1;
            }
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &str, out: Option<&Path>) -> Result<()> {
        let bad = |error: glob::PatternError| {
            Error::usage(format!(
                "{pattern}: the pattern is malformed at byte {}: {}",
                error.pos + 1,
                error.msg
            ))
            .hint("* is any text, ? any character, [abc] one of some, [[] a bracket itself")
        };
        let before = self.list.len();
        for path in glob::glob(pattern).map_err(bad)? {
            let path = path.map_err(|error| Error::io("read", error.path(), error.error()))?;
            if path.is_dir() {
                self.folder(&path, out)?;
            } else if !path.parent().is_some_and(is_published) {
                self.file(&path)?;
            }
        }
        if self.list.len() == before {
            return Err(Error::new(format!("{pattern}: no file is named so")).hint(
                "check the folder and the pattern: * is any text, ? any character, ** folders within folders",
            ));
        }
        Ok(())
    }

    /// A file whose stored bytes were already given is read once. Only files of one size are compared.
    fn mark_doubles(&mut self) -> Result<()> {
        let mut by_size: HashMap<u64, Vec<usize>> = HashMap::new();
        for place in 0..self.list.len() {
            let Some(path) = self.list[place].path.clone() else {
                continue;
            };
            let bytes = self.list[place].bytes;
            if bytes == 0 && !path.is_file() {
                continue;
            }
            let firsts = by_size.entry(bytes).or_default();
            let mut same = None;
            for &first in firsts.iter() {
                let other = self.list[first].path.as_deref().unwrap_or(&path);
                if same_bytes(&path, other)? {
                    same = Some(self.list[first].name.clone());
                    break;
                }
            }
            match same {
                Some(first) => self.list[place].same_as = Some(first),
                None => firsts.push(place),
            }
        }
        Ok(())
    }
}

fn is_published(folder: &Path) -> bool {
    PUBLISHED.iter().any(|files| files.iter().all(|file| folder.join(file).is_file()))
}

fn is_named_like_a_log(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let unpacked = PACKED_NAMES.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    LOG_NAMES.iter().any(|end| unpacked.ends_with(end))
}

fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    let open = |path: &Path| File::open(path).map_err(|error| Error::io("read", path, &error));
    let (mut one_file, mut other_file) = (open(one)?, open(other)?);
    let (mut one_block, mut other_block) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let count =
            read_full(&mut one_file, &mut one_block).map_err(|error| Error::io("read", one, &error))?;
        let other_count =
            read_full(&mut other_file, &mut other_block).map_err(|error| Error::io("read", other, &error))?;
        if one_block[..count] != other_block[..other_count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn read_full(file: &mut File, block: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
