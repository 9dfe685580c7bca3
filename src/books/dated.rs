//! Owns how a book is read from CSV and laid over another: every mistake of a file at once with its line, no key
//! twice, a citation on every line, the newest `from` on or before a day. What a line means is for its own loader.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use crate::error::{Error, Result};
use crate::near::one_of;
use crate::types::day::Day;
use crate::types::money::Pico;

/// What held since when, ascending.
pub type Timed<T> = Vec<(Day, T)>;

/// One fact of a book.
pub trait Line: Sized {
    /// The header that the file must have.
    const COLUMNS: &'static [&'static str];

    /// Reads a line, noting what is wrong with it in `fields`.
    fn read(fields: &mut Fields<'_>) -> Option<Self>;

    /// What may stand only once, `from` aside; in the words of a message.
    fn key(&self) -> String;

    /// The day from which it holds; None in books without dates.
    fn from(&self) -> Option<Day>;

    /// Whether a person who asks for `word` means this line.
    fn answers(&self, word: &str) -> bool;
}

/// A line as the loader and `rerate book` see it.
#[derive(Clone, Debug)]
pub struct Entry<L> {
    pub line: L,
    /// The cells as written, for showing.
    pub cells: csv::StringRecord,
    pub place: Place,
}

/// Where a line stands, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What is wrong with a line of a book.
#[derive(Debug)]
pub struct Mistake {
    pub place: String,
    pub what: String,
}

/// Reads a book's text. `file` is its name for messages.
pub fn read<L: Line>(file: &str, text: &str) -> (Vec<Entry<L>>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut entries: Vec<Entry<L>> = Vec::new();
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header: Vec<String> =
        reader.headers().map(|header| header.iter().map(str::to_string).collect()).unwrap_or_default();
    if header != L::COLUMNS {
        mistakes.push(Mistake { place: format!("{file}:1"), what: header_mistake(&header, L::COLUMNS) });
        return (entries, mistakes);
    }
    let file: Arc<str> = file.into();
    let place =
        |at: Option<&csv::Position>| Place { file: file.clone(), line: at.map_or(0, csv::Position::line) };
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                mistakes.push(Mistake {
                    place: place(error.position()).to_string(),
                    what: "the line isn't UTF-8 text".to_string(),
                });
                continue;
            }
        };
        let place = place(record.position());
        if record.len() != L::COLUMNS.len() {
            let advice = if record.len() > L::COLUMNS.len() {
                "put a cell with a comma in double quotes".to_string()
            } else {
                format!("the columns are {}", L::COLUMNS.join(","))
            };
            let what =
                format!("the line has {} cells; expected {}; {advice}", record.len(), L::COLUMNS.len());
            mistakes.push(Mistake { place: place.to_string(), what });
            continue;
        }
        let mut fields =
            Fields { columns: L::COLUMNS, record: &record, place: &place, mistakes: &mut mistakes };
        if fields.text("citation").is_none() {
            continue;
        }
        if let Some(line) = L::read(&mut fields) {
            entries.push(Entry { line, cells: record, place });
        }
    }
    refuse_doubles(&entries, &mut mistakes);
    (entries, mistakes)
}

/// Lays `over` on `under`: the same key and day wins.
pub fn lay_over<L: Line>(under: Vec<Entry<L>>, over: Vec<Entry<L>>) -> Vec<Entry<L>> {
    let mut laid: BTreeMap<_, _> = under.into_iter().map(|entry| (identity(&entry.line), entry)).collect();
    laid.extend(over.into_iter().map(|entry| (identity(&entry.line), entry)));
    laid.into_values().collect()
}

/// All mistakes as one error, or nothing.
pub fn refuse(mistakes: &[Mistake]) -> Result<()> {
    if mistakes.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        mistakes.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.what)).collect();
    let which = if mistakes.len() == 1 { "it" } else { "them all" };
    Err(Error::new(lines.join("\nerror: "))
        .hint(format!("nothing was published; mend {which} and run again")))
}

/// What is wrong with a header that isn't the book's.
fn header_mistake(header: &[String], columns: &[&str]) -> String {
    let expected = columns.join(",");
    let lacking: Vec<&str> =
        columns.iter().copied().filter(|own| !header.iter().any(|cell| cell == own)).collect();
    let foreign: Vec<&str> =
        header.iter().map(String::as_str).filter(|cell| !columns.contains(cell)).collect();
    let found = match header {
        [] => "the file is empty".to_string(),
        [one] if one.contains([';', '\t']) => "the cells aren't divided by commas".to_string(),
        _ if !lacking.is_empty() => format!("the header lacks {}", lacking.join(", ")),
        _ if !foreign.is_empty() => format!("the header has {}, which the book hasn't", foreign.join(", ")),
        _ => "the header has another order, or a column twice".to_string(),
    };
    format!("{found}; expected the header {expected}")
}

/// The lines that hold on `day`: of each key those with the newest `from` on or before it.
pub fn in_force<L: Line>(entries: &[Entry<L>], day: Day) -> Vec<&Entry<L>> {
    let mut newest: HashMap<String, Option<Day>> = HashMap::default();
    let holding = |entry: &&Entry<L>| entry.line.from().is_none_or(|from| from <= day);
    for entry in entries.iter().filter(holding) {
        let from = newest.entry(series(&entry.line)).or_default();
        *from = (*from).max(entry.line.from());
    }
    entries.iter().filter(holding).filter(|entry| newest[&series(&entry.line)] == entry.line.from()).collect()
}

/// What holds on a day: of lines sorted by `from` the last on or before it.
pub fn newest<T>(lines: &[(Day, T)], day: Day) -> Option<&T> {
    let after = lines.partition_point(|(from, _)| *from <= day);
    lines[..after].last().map(|(_, line)| line)
}

/// Lines by key, each key's sorted by `from`.
pub fn by_key<K: std::hash::Hash + Eq, T>(lines: impl Iterator<Item = (K, Day, T)>) -> HashMap<K, Timed<T>> {
    let mut index: HashMap<K, Timed<T>> = HashMap::default();
    for (key, from, line) in lines {
        index.entry(key).or_default().push((from, line));
    }
    index.values_mut().for_each(|lines| lines.sort_by_key(|(from, _)| *from));
    index
}

fn identity<L: Line>(line: &L) -> (String, Option<Day>) {
    (line.key(), line.from())
}

/// A key without what chooses among the lines of one schedule: for prices the threshold.
fn series<L: Line>(line: &L) -> String {
    let key = line.key();
    key.split(" above ").next().unwrap_or_default().to_string()
}

fn refuse_doubles<L: Line>(entries: &[Entry<L>], mistakes: &mut Vec<Mistake>) {
    let mut seen: HashMap<(String, Option<Day>), u64> = HashMap::default();
    for entry in entries {
        let Some(first) = seen.insert(identity(&entry.line), entry.place.line) else {
            continue;
        };
        let from = entry.line.from().map(|from| format!(" from {from}")).unwrap_or_default();
        let advice = if from.is_empty() { "delete one" } else { "delete one, or give one another day" };
        mistakes.push(Mistake {
            place: entry.place.to_string(),
            what: format!(
                "{} stands twice{from} (lines {first} and {}); {advice}",
                entry.line.key(),
                entry.place.line
            ),
        });
    }
}

/// The cells of one line by column, with a place for what is wrong with them.
pub struct Fields<'f> {
    columns: &'static [&'static str],
    record: &'f csv::StringRecord,
    place: &'f Place,
    mistakes: &'f mut Vec<Mistake>,
}

impl Fields<'_> {
    pub fn mistake(&mut self, what: String) {
        self.mistakes.push(Mistake { place: self.place.to_string(), what });
    }

    /// The cell isn't what it should be.
    fn expected(&mut self, column: &str, expected: &str) {
        let found = match self.cell(column) {
            "" => "empty".to_string(),
            cell => format!("{cell:?}"),
        };
        self.mistake(format!("{column} is {found}; expected {expected}"));
    }

    /// The cell, which may be empty.
    pub fn cell(&self, column: &str) -> &str {
        let place = self.columns.iter().position(|own| *own == column).expect("a column of the book");
        self.record.get(place).unwrap_or_default().trim()
    }

    pub fn text(&mut self, column: &str) -> Option<Arc<str>> {
        let cell = self.cell(column);
        if cell.is_empty() {
            let expected = if column == "citation" { "where it was read, and when" } else { "a name" };
            self.expected(column, expected);
            return None;
        }
        Some(cell.into())
    }

    pub fn day(&mut self, column: &str) -> Option<Day> {
        let day = Day::parse(self.cell(column));
        if day.is_none() {
            self.expected(column, "a day of the calendar, like 2026-06-01");
        }
        day
    }

    /// A day that may be missing. The outer None is a mistake.
    pub fn day_or_empty(&mut self, column: &str) -> Option<Option<Day>> {
        if self.cell(column).is_empty() { Some(None) } else { self.day(column).map(Some) }
    }

    pub fn whole(&mut self, column: &str) -> Option<u64> {
        let whole = self.cell(column).parse().ok().filter(|whole| i64::try_from(*whole).is_ok());
        if whole.is_none() {
            self.expected(column, "a whole number");
        }
        whole
    }

    pub fn whole_or_empty(&mut self, column: &str) -> Option<Option<u64>> {
        if self.cell(column).is_empty() { Some(None) } else { self.whole(column).map(Some) }
    }

    pub fn dollars(&mut self, column: &str) -> Option<Pico> {
        let dollars = Pico::parse(self.cell(column));
        if dollars.is_none() {
            self.expected(column, "dollars like 0.35, of at most 12 decimals");
        }
        dollars
    }

    pub fn yes_or_no(&mut self, column: &str) -> Option<bool> {
        self.word(column, ["yes", "no"], |word| match word {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        })
    }

    /// One of a closed set of words.
    pub fn word<T>(
        &mut self,
        column: &str,
        known: impl IntoIterator<Item = &'static str>,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let word = self.cell(column);
        let found = from_name(word);
        if found.is_none() {
            let expected = one_of(word, &known.into_iter().collect::<Vec<_>>());
            self.expected(column, &expected);
        }
        found
    }

    /// A, B or C.
    pub fn confidence(&mut self) -> Option<()> {
        self.word("confidence", ["A", "B", "C"], |word| matches!(word, "A" | "B" | "C").then_some(()))
    }
}

/// The names of a closed set of words, for [`Fields::word`].
#[macro_export]
macro_rules! names {
    ($set:ty) => {
        <$set>::ALL.iter().map(|word| word.name())
    };
}
