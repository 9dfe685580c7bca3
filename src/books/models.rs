//! Owns what is known of models: when each was there, its context window, whether the free usage tier has it, and
//! what an alias answers as. Evidence for warnings, and the names that a `model_version` may have.

use std::sync::Arc;

use foldhash::HashMap;

use super::dated::{self, Entry, Fields, Line, Mistake, Timed};
use crate::types::day::Day;

pub const EMBEDDED_MODELS: &str = include_str!("models.csv");
pub const EMBEDDED_ALIASES: &str = include_str!("aliases.csv");

/// An alias may answer as another; real chains have two links. A longer one is a circle.
const LONGEST_CHAIN: usize = 16;

#[derive(Clone, Debug)]
pub struct ModelLine {
    name: Arc<str>,
    released: Option<Day>,
    retired: Option<Day>,
    /// Whether the free usage tier has it; None where nobody knows.
    pub free_tier: Option<bool>,
    /// In tokens.
    pub context_window: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct AliasLine {
    alias: Arc<str>,
    model: Arc<str>,
    from: Day,
}

#[derive(Debug)]
pub struct Models {
    lines: HashMap<Arc<str>, ModelLine>,
    aliases: HashMap<Arc<str>, Timed<Arc<str>>>,
}

impl Models {
    pub fn new(models: &[Entry<ModelLine>], aliases: &[Entry<AliasLine>]) -> Models {
        let lines = models.iter().map(|Entry { line, .. }| (line.name.clone(), line.clone())).collect();
        let aliases =
            aliases.iter().map(|Entry { line, .. }| (line.alias.clone(), line.from, line.model.clone()));
        Models { lines, aliases: dated::by_key(aliases) }
    }

    pub fn find(&self, name: &str) -> Option<&ModelLine> {
        self.lines.get(name)
    }

    /// Whether a name is one of a model or of an alias, on any day.
    pub fn knows(&self, name: &str) -> bool {
        self.lines.contains_key(name) || self.aliases.contains_key(name)
    }

    /// What `name` answers as on `day`.
    pub fn follow<'n>(&'n self, name: &'n str, day: Day) -> &'n str {
        let mut name = name;
        for _ in 0..LONGEST_CHAIN {
            match self.aliases.get(name).and_then(|lines| dated::newest(lines, day)) {
                Some(model) => name = model,
                None => break,
            }
        }
        name
    }

    /// The names of a circle from `alias` on, until one comes again.
    fn circle<'n>(&'n self, alias: &'n str, day: Day) -> Vec<&'n str> {
        let mut names = vec![alias];
        while let Some(next) =
            self.aliases.get(names[names.len() - 1]).and_then(|lines| dated::newest(lines, day))
        {
            let again = names.contains(&&**next);
            names.push(next);
            if again {
                break;
            }
        }
        names
    }
}

impl ModelLine {
    /// Whether the model was there on `day`.
    pub fn was_there(&self, day: Day) -> bool {
        self.released.is_none_or(|released| released <= day)
            && self.retired.is_none_or(|retired| day <= retired)
    }
}

impl Line for ModelLine {
    const COLUMNS: &'static [&'static str] =
        &["model", "released", "retired", "free_tier", "context_window", "note", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<ModelLine> {
        let name = fields.text("model");
        let (released, retired) = (fields.day_or_empty("released"), fields.day_or_empty("retired"));
        let free_tier = fields.word("free_tier", ["yes", "no", "unknown"], |word| match word {
            "yes" => Some(Some(true)),
            "no" => Some(Some(false)),
            "unknown" => Some(None),
            _ => None,
        });
        let context_window = fields.whole_or_empty("context_window");
        Some(ModelLine {
            name: name?,
            released: released?,
            retired: retired?,
            free_tier: free_tier?,
            context_window: context_window?,
        })
    }

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn from(&self) -> Option<Day> {
        None
    }

    fn answers(&self, word: &str) -> bool {
        *self.name == *word
    }
}

impl Line for AliasLine {
    const COLUMNS: &'static [&'static str] = &["alias", "model", "from", "confidence", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<AliasLine> {
        let (alias, model, from) = (fields.text("alias"), fields.text("model"), fields.day("from"));
        fields.confidence()?;
        Some(AliasLine { alias: alias?, model: model?, from: from? })
    }

    fn key(&self) -> String {
        self.alias.to_string()
    }

    fn from(&self) -> Option<Day> {
        Some(self.from)
    }

    fn answers(&self, word: &str) -> bool {
        *self.alias == *word || *self.model == *word
    }
}

/// Aliases that answer in a circle on a day on which one of them begins.
pub fn check_aliases(entries: &[Entry<AliasLine>]) -> Vec<Mistake> {
    let models = Models::new(&[], entries);
    let circular = |line: &AliasLine| {
        let answer = models.follow(&line.alias, line.from);
        models.aliases.get(answer).is_some_and(|lines| dated::newest(lines, line.from).is_some())
    };
    let told = entries.iter().filter(|entry| circular(&entry.line));
    told.map(|entry| Mistake {
        place: entry.place.to_string(),
        what: format!(
            "aliases go in a circle from {}: {}; expected a model at the end",
            entry.line.from,
            models.circle(&entry.line.alias, entry.line.from).join(" → ")
        ),
    })
    .collect()
}
