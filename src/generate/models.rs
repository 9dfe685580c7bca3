//! Owns which models the made-up projects call, and since when. What a model costs and allows is for the books.

use jiff::civil::{Date, date};

/// What a model answers with, which decides the methods and the counts of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Pictures, beside text.
    Picture,
    Speech,
    Embedding,
    /// Talks over the Live API.
    Live,
    /// Counted by the picture, without tokens.
    Imagen,
    /// Counted by the second of video, without tokens.
    Veo,
}

#[derive(Debug)]
pub struct Model {
    pub name: &'static str,
    /// What answers say in `model_version`.
    pub version: &'static str,
    pub kind: Kind,
    pub from: Date,
    /// The first day on which it is no longer there.
    pub until: Date,
    /// Whether projects of usage tier free may call it.
    pub free: bool,
    pub thinks: bool,
    /// The day from which it has prices for flex and priority.
    pub flex_from: Date,
    /// Whether it has prices for batch.
    pub batch: bool,
    /// How often it is called, against the others.
    pub weight: u32,
    /// Whether it is in the log of the benchmark.
    pub race: bool,
}

const ALWAYS: Date = date(9999, 1, 1);
const NEVER: Date = ALWAYS;
const APRIL: Date = date(2026, 4, 1);

const fn text(name: &'static str, weight: u32, from: Date, flex_from: Date) -> Model {
    Model {
        name,
        version: name,
        kind: Kind::Text,
        from,
        until: ALWAYS,
        free: true,
        thinks: true,
        flex_from,
        batch: true,
        weight,
        race: false,
    }
}

const fn other(name: &'static str, kind: Kind, weight: u32, from: Date) -> Model {
    Model { kind, free: false, thinks: false, batch: false, ..text(name, weight, from, NEVER) }
}

/// The models of 2025-10 to 2026-11 that projects call, a part of the models book.
pub const MODELS: &[Model] = &[
    Model { race: true, ..text("gemini-2.5-flash", 30, date(2025, 6, 17), APRIL) },
    Model { thinks: false, race: true, ..text("gemini-2.5-flash-lite", 18, date(2025, 7, 22), APRIL) },
    Model { race: true, ..text("gemini-2.5-pro", 10, date(2025, 6, 17), APRIL) },
    Model { thinks: false, until: date(2026, 6, 1), ..text("gemini-2.0-flash", 8, date(2025, 2, 5), NEVER) },
    Model {
        free: false,
        until: date(2026, 3, 9),
        ..text("gemini-3-pro-preview", 10, date(2025, 11, 18), NEVER)
    },
    Model { race: true, ..text("gemini-3-flash-preview", 16, date(2025, 12, 17), APRIL) },
    Model { free: false, race: true, ..text("gemini-3.1-pro-preview", 12, date(2026, 2, 19), APRIL) },
    Model { race: true, ..text("gemini-3.1-flash-lite", 12, date(2026, 5, 7), APRIL) },
    Model {
        until: date(2026, 10, 8),
        race: true,
        ..text("gemini-3.5-flash", 16, date(2026, 5, 19), date(2026, 5, 19))
    },
    text("gemini-3.6-flash", 16, date(2026, 7, 21), date(2026, 7, 21)),
    text("gemini-3.5-flash-lite", 12, date(2026, 7, 21), date(2026, 7, 21)),
    text("gemini-3.8-flash", 16, date(2026, 9, 2), date(2026, 9, 2)),
    Model { free: false, ..text("gemini-4-argon", 8, date(2026, 10, 13), date(2026, 10, 13)) },
    // A name that means another model from time to time: what answered is in `model_version`.
    Model {
        version: "gemini-3.5-flash",
        until: date(2026, 9, 2),
        ..text("gemini-flash-latest", 3, date(2026, 5, 19), date(2026, 5, 19))
    },
    Model { batch: true, race: true, ..other("gemini-2.5-flash-image", Kind::Picture, 3, date(2025, 10, 2)) },
    Model { race: true, ..other("gemini-3.1-flash-image", Kind::Picture, 3, date(2026, 5, 28)) },
    Model {
        free: true,
        until: date(2026, 11, 17),
        race: true,
        ..other("gemini-2.5-flash-preview-tts", Kind::Speech, 2, date(2025, 5, 20))
    },
    Model { free: true, batch: true, ..other("gemini-embedding-001", Kind::Embedding, 8, date(2025, 7, 14)) },
    Model { free: true, batch: true, ..other("gemini-embedding-2", Kind::Embedding, 6, date(2026, 4, 22)) },
    Model {
        free: true,
        until: date(2026, 11, 17),
        ..other("gemini-3.1-flash-live-preview", Kind::Live, 2, date(2026, 3, 26))
    },
    Model {
        until: date(2026, 8, 17),
        ..other("imagen-4.0-generate-001", Kind::Imagen, 2, date(2025, 8, 14))
    },
    Model {
        until: date(2026, 10, 22),
        ..other("veo-3.1-generate-preview", Kind::Veo, 1, date(2025, 10, 15))
    },
];

/// What tuned models were tuned from: the model that was there all the time.
pub const TUNED_BASE: &str = MODELS[0].name;

impl Model {
    pub fn was_there(&self, day: Date) -> bool {
        (self.from..self.until).contains(&day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{Books, Sources};
    use crate::types::day::Day;

    #[test]
    fn every_model_is_in_the_books_on_the_days_on_which_it_is_called() {
        let books = Books::load(&Sources::default()).unwrap();
        for model in MODELS {
            let from = Day::parse(&model.from.to_string()).unwrap();
            let base = books.models.follow(model.name, from);
            let line = books.models.find(base).unwrap_or_else(|| panic!("{}", model.name));
            assert!(line.was_there(from), "{} from {from}", model.name);
            if base == model.name && model.until != ALWAYS {
                let until = Day::parse(&model.until.to_string()).unwrap();
                assert!(line.was_there(Day(until.0 - 1)), "{}", model.name);
            }
            assert!(books.models.known(model.version, from).is_some(), "{}", model.version);
        }
    }

    #[test]
    fn the_benchmark_has_8_to_12_models_that_were_there_in_june_2026() {
        let race: Vec<_> = MODELS.iter().filter(|model| model.race).collect();
        assert!((8..=12).contains(&race.len()));
        for model in race {
            assert!(model.was_there(date(2026, 6, 1)) && model.was_there(date(2026, 6, 30)));
            assert!(matches!(model.kind, Kind::Text | Kind::Picture | Kind::Speech));
        }
    }
}
