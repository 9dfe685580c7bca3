//! Owns the books of a run: facts with the day from which each holds and where it was read. Embedded in the program,
//! laid over by files, or replaced by a folder. Applying them is for the stages.

pub mod accounts;
pub mod allowances;
pub mod dated;
pub mod limits;
pub mod methods;
pub mod models;
pub mod outcomes;
pub mod prices;
pub mod tiers;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::error::{Error, Result};
use crate::near::{nearest, nearest_path};
use crate::types::day::Day;
use crate::types::request::{Facts, TUNED};
use accounts::Accounts;
use allowances::{AllowanceLine, Allowances};
use dated::{Entry, Line, Mistake};
use limits::{LimitLine, Limits};
use methods::{MethodLine, Methods};
use models::{AliasLine, ModelLine, Models};
use outcomes::{OutcomeLine, Outcomes};
use prices::{PriceLine, Prices};
use tiers::{TierLine, Tiers};

/// Where the books of a run come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A folder of books in place of the embedded ones.
    pub folder: Option<PathBuf>,
    /// Files laid over a book, by the book's name.
    pub over: Vec<(&'static str, PathBuf)>,
    pub accounts: Option<PathBuf>,
}

/// All books of a run.
#[derive(Debug)]
pub struct Books {
    pub prices: Prices,
    pub limits: Limits,
    pub models: Models,
    pub allowances: Allowances,
    pub tiers: Tiers,
    pub outcomes: Outcomes,
    pub methods: Methods,
    pub accounts: Accounts,
    /// For the manifest, in the order of [`NAMES`], the accounts file last.
    pub editions: Vec<Edition>,
}

/// Which edition of a book a run used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    pub name: String,
    /// The newest day that a line of it has; None in books without dates.
    pub newest: Option<String>,
    /// XXH3 (128 bits) of its lines, in hexadecimal.
    pub hash: String,
}

/// The books that there are, as files and on the command line.
pub const NAMES: [&str; 8] =
    ["prices", "limits", "models", "aliases", "allowances", "tiers", "outcomes", "methods"];

impl Books {
    /// Loads them all; the error has every mistake of every book.
    pub fn load(sources: &Sources) -> Result<Books> {
        let mut loader = Loader { sources, mistakes: Vec::new(), editions: Vec::new() };
        let prices = loader.book::<PriceLine>("prices", prices::EMBEDDED, prices::check)?;
        let limits = loader.book::<LimitLine>("limits", limits::EMBEDDED, no_check)?;
        let models = loader.book::<ModelLine>("models", models::EMBEDDED_MODELS, no_check)?;
        let aliases = loader.book::<AliasLine>("aliases", models::EMBEDDED_ALIASES, models::check_aliases)?;
        let allowances =
            loader.book::<AllowanceLine>("allowances", allowances::EMBEDDED, allowances::check)?;
        let tiers = loader.book::<TierLine>("tiers", tiers::EMBEDDED, no_check)?;
        let outcomes = loader.book::<OutcomeLine>("outcomes", outcomes::EMBEDDED, outcomes::check)?;
        let methods = loader.book::<MethodLine>("methods", methods::EMBEDDED, no_check)?;
        let accounts = loader.accounts();
        dated::refuse(&loader.mistakes)?;
        Ok(Books {
            prices: Prices::new(&prices),
            limits: Limits::new(&limits),
            models: Models::new(&models, &aliases),
            allowances: Allowances::new(&allowances),
            tiers: Tiers::new(&tiers),
            outcomes: Outcomes::new(&outcomes),
            methods: Methods::new(&methods),
            accounts,
            editions: loader.editions,
        })
    }

    /// The model under whose price and limits a request goes (design §3, Models): of a tuned model what it was tuned
    /// from, of others what answered when a book knows that name, each followed through its aliases as of `day`.
    pub fn base_model<'f, Name: AsRef<str>>(&'f self, facts: &'f Facts<Name>, day: Day) -> &'f str {
        let (model, model_version) = (facts.model.as_ref(), facts.model_version.as_ref());
        let start: &str = if model.starts_with(TUNED) {
            match (facts.base_model.as_ref(), self.accounts.tuned_base(model)) {
                ("", Some(base)) => base,
                ("", None) => model,
                (base, _) => base,
            }
        } else if let Some(answer) = self.models.known(model_version, day) {
            return answer;
        } else {
            model
        };
        self.models.follow(start, day)
    }
}

/// What `rerate book` shows: a book's header and the lines in force.
pub struct Shown {
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}

/// The lines of book `name` that hold on `day`, or that have held at any time where it is None; of `key` alone where
/// one is given.
pub fn show(sources: &Sources, name: &str, key: Option<&str>, day: Option<Day>) -> Result<Shown> {
    let mut loader = Loader { sources, mistakes: Vec::new(), editions: Vec::new() };
    let shown = match name {
        "prices" => loader.shown::<PriceLine>("prices", prices::EMBEDDED, prices::check, key, day),
        "limits" => loader.shown::<LimitLine>("limits", limits::EMBEDDED, no_check, key, day),
        "models" => loader.shown::<ModelLine>("models", models::EMBEDDED_MODELS, no_check, key, day),
        "aliases" => {
            loader.shown::<AliasLine>("aliases", models::EMBEDDED_ALIASES, models::check_aliases, key, day)
        }
        "allowances" => {
            loader.shown::<AllowanceLine>("allowances", allowances::EMBEDDED, allowances::check, key, day)
        }
        "tiers" => loader.shown::<TierLine>("tiers", tiers::EMBEDDED, no_check, key, day),
        "outcomes" => loader.shown::<OutcomeLine>("outcomes", outcomes::EMBEDDED, outcomes::check, key, day),
        "methods" => loader.shown::<MethodLine>("methods", methods::EMBEDDED, no_check, key, day),
        _ => Err(Error::usage(format!("there is no book {name}; expected one of {}", NAMES.join(", ")))),
    }?;
    Ok(shown)
}

fn no_check<L>(_: &[Entry<L>]) -> Vec<Mistake> {
    Vec::new()
}

struct Loader<'s> {
    sources: &'s Sources,
    mistakes: Vec<Mistake>,
    editions: Vec<Edition>,
}

impl Loader<'_> {
    fn book<L: Line>(
        &mut self,
        name: &'static str,
        embedded: &str,
        check: fn(&[Entry<L>]) -> Vec<Mistake>,
    ) -> Result<Vec<Entry<L>>> {
        let mut entries = match &self.sources.folder {
            Some(folder) => {
                if !folder.is_dir() {
                    let missing = Error::missing("folder", folder)
                        .or_hint("DIR is a folder with a file for every book: prices.csv, limits.csv, …");
                    return Err(Error { what: format!("--books {}", missing.what), ..missing });
                }
                let missing = format!("; --books DIR needs every book (--{name} FILE lays lines over one)");
                self.file(&folder.join(format!("{name}.csv")), &missing)
            }
            // Told apart from a file of the user's that is named so.
            None => self.read(&format!("embedded {name}.csv"), embedded),
        };
        for (_, file) in self.sources.over.iter().filter(|(over, _)| *over == name) {
            let over = self.file(file, "");
            entries = dated::lay_over(entries, over);
        }
        // What only the whole book shows is worth telling when its lines are right.
        if self.mistakes.is_empty() {
            self.mistakes = check(&entries);
        }
        let mut cells = String::new();
        for (place, entry) in entries.iter().enumerate() {
            cells.extend((place > 0).then_some('\n'));
            for (place, cell) in entry.cells.iter().enumerate() {
                cells.extend((place > 0).then_some('\u{1f}'));
                cells.push_str(cell);
            }
        }
        self.editions.push(Edition {
            name: name.to_string(),
            newest: entries.iter().filter_map(|entry| entry.line.from()).max().map(|day| day.to_string()),
            hash: format!("{:032x}", XxHash3_128::oneshot(cells.as_bytes())),
        });
        Ok(entries)
    }

    /// The lines of a file. `missing` is added to the message when there is none.
    fn file<L: Line>(&mut self, file: &Path, missing: &str) -> Vec<Entry<L>> {
        match read_text(file, missing) {
            Ok(text) => self.read(&file.display().to_string(), &text),
            Err(mistake) => {
                self.mistakes.push(mistake);
                Vec::new()
            }
        }
    }

    fn read<L: Line>(&mut self, file: &str, text: &str) -> Vec<Entry<L>> {
        let (entries, mut mistakes) = dated::read(file, text);
        self.mistakes.append(&mut mistakes);
        entries
    }

    fn accounts(&mut self) -> Accounts {
        let Some(file) = &self.sources.accounts else {
            return Accounts::default();
        };
        let text = match read_text(file, "; rerate accounts LOGS > accounts.toml writes one") {
            Ok(text) => text,
            Err(mistake) => {
                self.mistakes.push(mistake);
                return Accounts::default();
            }
        };
        self.editions.push(Edition {
            name: "accounts".to_string(),
            newest: None,
            hash: format!("{:032x}", XxHash3_128::oneshot(text.as_bytes())),
        });
        Accounts::parse(&file.display().to_string(), &text).unwrap_or_else(|mut mistakes| {
            self.mistakes.append(&mut mistakes);
            Accounts::default()
        })
    }

    fn shown<L: Line>(
        &mut self,
        name: &'static str,
        embedded: &str,
        check: fn(&[Entry<L>]) -> Vec<Mistake>,
        key: Option<&str>,
        day: Option<Day>,
    ) -> Result<Shown> {
        let entries = self.book(name, embedded, check)?;
        dated::refuse(&self.mistakes)?;
        let known = || entries.iter().map(|entry| &entry.cells[0]);
        if let Some(key) = key
            && !entries.iter().any(|entry| entry.line.answers(key))
        {
            let error = Error::new(format!("the {name} book has no line for {key}"));
            return Err(match nearest(key, known()) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("rerate book {name} prints the whole book")),
            });
        }
        let in_force = match day {
            Some(day) => dated::in_force(&entries, day),
            None => entries.iter().collect(),
        };
        let asked = in_force.into_iter().filter(|entry| key.is_none_or(|key| entry.line.answers(key)));
        Ok(Shown {
            columns: L::COLUMNS,
            rows: asked.map(|entry| entry.cells.iter().map(str::to_string).collect()).collect(),
        })
    }
}

/// The text of a file that the user wrote.
pub fn read_text(file: &Path, missing: &str) -> std::result::Result<String, Mistake> {
    let name = file.display();
    let refused = |error: std::io::Error| {
        let what = match (error.kind(), nearest_path(file)) {
            (std::io::ErrorKind::NotFound, Some(near)) => {
                format!("there is no such file; did you mean {near}?")
            }
            (std::io::ErrorKind::NotFound, None) => format!("there is no such file{missing}"),
            _ => {
                let told = Error::io("read", file, &error).what;
                told.strip_prefix(&format!("{name}: ")).unwrap_or(&told).to_string()
            }
        };
        Mistake { place: name.to_string(), what }
    };
    let bytes = std::fs::read(file).map_err(refused)?;
    String::from_utf8(bytes).map_err(|error| {
        let whole = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + whole.iter().filter(|byte| **byte == b'\n').count();
        Mistake {
            place: format!("{name}:{line}"),
            what: "the line isn't UTF-8 text; expected a file saved as UTF-8".to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tier::ContextBand;

    #[test]
    fn the_embedded_books_have_no_mistake_and_know_their_thresholds() {
        let books = Books::load(&Sources::default()).expect("books without a mistake");
        assert_eq!(books.editions.len(), NAMES.len());
        let band = |prompt| books.prices.context_band(prompt);
        assert_eq!([band(0), band(128_000), band(128_001)], [0, 0, 128_000].map(ContextBand));
        assert_eq!(
            [band(200_000), band(200_001), band(1 << 40)],
            [128_000, 200_000, 200_000].map(ContextBand)
        );
    }
}
