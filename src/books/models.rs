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
pub struct Models(HashMap<Arc<str>, Named>);

/// What a name stands for.
#[derive(Debug, Default)]
struct Named {
    line: Option<ModelLine>,
    /// As what it answers.
    aliases: Timed<Arc<str>>,
}

impl Models {
    pub fn new(models: &[Entry<ModelLine>], aliases: &[Entry<AliasLine>]) -> Models {
        let mut names: HashMap<Arc<str>, Named> = HashMap::default();
        for Entry { line, .. } in models {
            names.entry(line.name.clone()).or_default().line = Some(line.clone());
        }
        let aliases =
            aliases.iter().map(|Entry { line, .. }| (line.alias.clone(), line.from, line.model.clone()));
        for (alias, lines) in dated::by_key(aliases) {
            names.entry(alias).or_default().aliases = lines;
        }
        Models(names)
    }

    pub fn find(&self, name: &str) -> Option<&ModelLine> {
        self.0.get(name)?.line.as_ref()
    }

    /// What `name` answers as on `day`; None where it is no model's and no alias's, on any day.
    pub fn known<'n>(&'n self, name: &'n str, day: Day) -> Option<&'n str> {
        let (mut name, mut named) = (name, self.0.get(name)?);
        for _ in 0..LONGEST_CHAIN {
            let Some(model) = dated::newest(&named.aliases, day) else { break };
            name = model;
            let Some(next) = self.0.get(name) else { break };
            named = next;
        }
        Some(name)
    }

    /// What `name` answers as on `day`, whether it is known or not.
    pub fn follow<'n>(&'n self, name: &'n str, day: Day) -> &'n str {
        self.known(name, day).unwrap_or(name)
    }

    /// As what an alias answers on `day`, which may be another alias.
    fn answer(&self, alias: &str, day: Day) -> Option<&str> {
        dated::newest(&self.0.get(alias)?.aliases, day).map(|model| &**model)
    }

    /// The names of a circle from `alias` on, until one comes again.
    fn circle<'n>(&'n self, alias: &'n str, day: Day) -> Vec<&'n str> {
        let mut names = vec![alias];
        while let Some(next) = self.answer(names[names.len() - 1], day) {
            let again = names.contains(&next);
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
    let circular =
        |line: &AliasLine| models.answer(models.follow(&line.alias, line.from), line.from).is_some();
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
