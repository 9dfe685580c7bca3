//! Owns finding the inputs: files, folders, globs, stdin and what is in object stores, each once. How a store is asked is
//! for `store`, cutting inputs into lines for `container` and `lines`, understanding a line for `shape`.

pub mod container;
pub mod decompress;
pub mod gz;
pub mod json;
pub mod lines;
pub mod parts;
pub mod settings;
pub mod shape;
#[cfg(feature = "object-stores")]
pub mod store;
#[cfg(not(feature = "object-stores"))]
#[path = "no_store.rs"]
pub mod store;
pub mod stream;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use self::container::Container;
use self::settings::{AllSettings, Settings, SettingsId};
use self::shape::Shape;
use self::store::{Object, Stores};
use crate::error::{Error, Result};
use crate::types::origin::InputId;

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
    pub place: Place,
    /// As stored; 0 where it can't be known.
    pub bytes: u64,
    /// How it is read.
    pub settings: SettingsId,
    /// The input given before with the same stored bytes and settings.
    pub same_as: Option<Arc<str>>,
}

/// What a name of an object store stands for.
pub enum Found {
    Object(Object),
    /// All objects below a prefix, each with its key from there on, by key.
    Folder(Vec<(String, Object)>),
    /// All objects whose keys fit a pattern, by key.
    Pattern(Vec<Object>),
}

/// Whether a name is of an object store; of which kind is for [`Stores::find`].
pub fn is_url(name: &str) -> bool {
    name.contains("://")
}

/// All inputs of a run.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub list: Vec<Input>,
    /// All that inputs are read by. The first are those of inputs that no entry names, the others those of the entries.
    pub settings: Vec<Settings>,
    /// Files of folders that aren't named like logs, by folder.
    pub left: BTreeMap<String, u64>,
}

/// Where an input lies.
#[derive(Clone, Debug)]
pub enum Place {
    Stdin,
    File(PathBuf),
    Object(Object),
}

/// Finds the inputs that `given` names, in the order given, folders' files in the order of their names. `out` is never
/// read as a log.
pub fn find(given: &[String], out: Option<&Path>, settings: AllSettings) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut stores = Stores::new(&settings.variables);
    let out = out.and_then(|out| out.canonicalize().ok());
    for name in given {
        if name == "-" {
            if !inputs.list.iter().any(|input| matches!(input.place, Place::Stdin)) {
                inputs.push("-".into(), Place::Stdin, 0);
            }
            continue;
        }
        if is_url(name) {
            inputs.objects(name, stores.find(name)?)?;
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
    for input in &mut inputs.list {
        input.settings = settings.of(&input.name);
    }
    inputs.settings = settings.into_list();
    inputs.mark_doubles()?;
    Ok(inputs)
}

impl Inputs {
    pub fn settings_of(&self, input: InputId) -> &Settings {
        &self.settings[self.list[input.0 as usize].settings]
    }

    fn push(&mut self, name: Arc<str>, place: Place, bytes: u64) {
        self.list.push(Input { name, place, bytes, settings: 0, same_as: None });
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let metadata = path.metadata().map_err(|error| Error::io("read", path, &error))?;
        let name = path.to_string_lossy().into();
        let bytes = if metadata.is_file() { metadata.len() } else { 0 };
        self.push(name, Place::File(path.to_path_buf()), bytes);
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
        let before = self.list.len();
        for path in glob::glob(pattern).map_err(|error| malformed(pattern, &error))? {
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

    /// Objects that `url` names. Of a prefix the same are read as of a folder.
    fn objects(&mut self, url: &str, found: Found) -> Result<()> {
        match found {
            Found::Object(object) => self.object(object),
            Found::Pattern(objects) if objects.is_empty() => {
                return Err(Error::new(format!("{url}: no object is named so"))
                    .hint("check the prefix and the pattern: * is any text but /, ** goes over /"));
            }
            Found::Pattern(objects) => objects.into_iter().for_each(|object| self.object(object)),
            Found::Folder(objects) => {
                let keys: BTreeSet<&str> = objects.iter().map(|(key, _)| key.as_str()).collect();
                let folders: BTreeSet<&str> = keys.iter().flat_map(|key| folders_of(key)).collect();
                let is_published = |folder: &&str| {
                    let has = |file: &&str| keys.contains(format!("{folder}{file}").as_str());
                    PUBLISHED.iter().any(|files| files.iter().all(has))
                };
                let published: BTreeSet<String> =
                    folders.into_iter().filter(is_published).map(str::to_string).collect();
                for (key, object) in objects {
                    let hidden = key.split('/').any(|part| part.starts_with('.'));
                    if hidden || folders_of(&key).any(|folder| published.contains(folder)) {
                        continue;
                    }
                    if is_named_like_a_log(&key) {
                        self.object(object);
                    } else {
                        *self.left.entry(url.to_string()).or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, object: Object) {
        let (name, bytes) = (object.name().into(), object.size());
        self.push(name, Place::Object(object), bytes);
    }

    /// A file whose stored bytes were already given is read once. Only files of one size are compared; with settings of
    /// their own the same bytes are other requests.
    fn mark_doubles(&mut self) -> Result<()> {
        let mut alike: HashMap<(SettingsId, u64), Vec<usize>> = HashMap::new();
        let mut objects: HashMap<(SettingsId, u64, String), Arc<str>> = HashMap::new();
        for place in 0..self.list.len() {
            let Input { name, place: lies, bytes, settings, .. } = &self.list[place];
            let same = match lies {
                Place::Stdin => None,
                Place::File(path) if *bytes == 0 && !path.is_file() => None,
                Place::File(path) => {
                    let firsts = alike.entry((*settings, *bytes)).or_default();
                    let mut same = None;
                    for &first in firsts.iter() {
                        let Place::File(other) = &self.list[first].place else { continue };
                        if same_bytes(path, other)? {
                            same = Some(self.list[first].name.clone());
                            break;
                        }
                    }
                    if same.is_none() {
                        firsts.push(place);
                    }
                    same
                }
                Place::Object(object) => {
                    let checksum = object.checksum().unwrap_or_else(|| name.to_string());
                    match objects.entry((*settings, *bytes, checksum)) {
                        Entry::Occupied(first) => Some(first.get().clone()),
                        Entry::Vacant(vacant) => {
                            vacant.insert(name.clone());
                            None
                        }
                    }
                }
            };
            self.list[place].same_as = same;
        }
        Ok(())
    }
}

/// The folders that a key is in, each with its `/`: of `a/b/c` none, `a/` and `a/b/`.
fn folders_of(key: &str) -> impl Iterator<Item = &str> {
    std::iter::once("").chain(key.match_indices('/').map(|(slash, _)| &key[..=slash]))
}

fn malformed(pattern: &str, error: &glob::PatternError) -> Error {
    Error::usage(format!("{pattern}: the pattern is malformed at byte {}: {}", error.pos + 1, error.msg))
        .hint("* is any text, ? any character, [abc] one of some, [[] a bracket itself")
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
