//! Owns the user's own book, the accounts file (TOML): which billing account a project belongs to, its usage tier
//! through time, its own limits, and what tuned models were tuned from. Every mistake of the file is told at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::dated::{self, Mistake, Timed};
use super::limits::Metric;
use crate::names;
use crate::near::{nearest, one_of};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;
use crate::types::request::{TUNED, model_name};
use crate::types::tier::UsageTier;

#[derive(Debug, Default)]
pub struct Accounts {
    default_usage_tier: Option<UsageTier>,
    projects: HashMap<Arc<str>, Project>,
    /// Base model by tuned model.
    tuned_models: HashMap<Arc<str>, Arc<str>>,
}

#[derive(Debug, Default)]
struct Project {
    billing_account: Option<Arc<str>>,
    /// Ascending; empty where the file says nothing.
    timeline: Vec<(Instant, UsageTier)>,
    /// By model and metric, ascending.
    limits: HashMap<(Arc<str>, Metric), Timed<u64>>,
}

/// What decides the usage tier of a project's requests that don't say their own.
#[derive(Clone, Copy, Debug)]
pub enum Timeline<'a> {
    Always(UsageTier),
    /// Ascending; unknown before the first.
    From(&'a [(Instant, UsageTier)]),
}

impl Timeline<'_> {
    pub fn at(&self, instant: Instant) -> UsageTier {
        match self {
            Timeline::Always(usage_tier) => *usage_tier,
            Timeline::From(changes) => {
                let after = changes.partition_point(|(from, _)| *from <= instant);
                changes[..after].last().map_or(UsageTier::Unknown, |(_, usage_tier)| *usage_tier)
            }
        }
    }
}

impl Accounts {
    /// A project's timeline decides alone; for projects without one the flag, then the file's default.
    pub fn timeline(&self, project: &str, flag: Option<UsageTier>) -> Timeline<'_> {
        match self.projects.get(project) {
            Some(project) if !project.timeline.is_empty() => Timeline::From(&project.timeline),
            _ => Timeline::Always(flag.or(self.default_usage_tier).unwrap_or(UsageTier::Unknown)),
        }
    }

    pub fn billing_account(&self, project: &str) -> Option<&Arc<str>> {
        self.projects.get(project)?.billing_account.as_ref()
    }

    /// A quota of one's own, in force on `day`.
    pub fn limit(&self, project: &str, model: &str, metric: Metric, day: Day) -> Option<u64> {
        let limits = &self.projects.get(project)?.limits;
        if limits.is_empty() {
            return None;
        }
        dated::newest(limits.get(&(Arc::from(model), metric))?, day).copied()
    }

    pub fn tuned_base(&self, tuned_model: &str) -> Option<&Arc<str>> {
        self.tuned_models.get(tuned_model)
    }

    /// Reads the file's text. `file` is its name for messages.
    pub fn parse(file: &str, text: &str) -> Result<Accounts, Vec<Mistake>> {
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let found = match text.get(span.clone()).map(str::trim).filter(|found| !found.is_empty()) {
                    Some(found) if found.len() <= 40 && !found.contains('\n') => format!(" at {found}"),
                    _ => String::new(),
                };
                return Err(vec![Mistake {
                    place: format!("{file}:{}", line_at(text, span.start)),
                    what: format!("the line isn't valid TOML{found}: {}", error.message()),
                }]);
            }
        };
        let mut reader = Reader { file, text, mistakes: Vec::new() };
        let accounts = reader.accounts(&table);
        if reader.mistakes.is_empty() { Ok(accounts) } else { Err(reader.mistakes) }
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    1 + text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    mistakes: Vec<Mistake>,
}

/// A table, its name, and where it begins, for what it lacks.
struct Place<'t, 'i> {
    table: &'t DeTable<'i>,
    name: String,
    at: usize,
}

impl Reader<'_> {
    fn accounts(&mut self, table: &DeTable<'_>) -> Accounts {
        let top = Place { table, name: String::new(), at: 0 };
        let known = ["default_usage_tier", "billing_accounts", "projects", "tuned_models"];
        self.refuse_unknown(&top, &known);
        let mut accounts = Accounts {
            default_usage_tier: self.optional(&top, "default_usage_tier", usage_tier),
            ..Accounts::default()
        };
        let billing_accounts = self.billing_accounts(&top);
        for place in self.tables(&top, "projects") {
            self.refuse_unknown(&place, &["id", "billing_account", "usage_tiers", "limits"]);
            let Some(id) = self.required(&place, "id", text) else {
                continue;
            };
            let project = self.project(&place, &billing_accounts);
            if accounts.projects.insert(id.clone(), project).is_some() {
                self.mistake(place.at, format!("project {id} stands twice; give it one [[projects]]"));
            }
        }
        for place in self.tables(&top, "tuned_models") {
            self.refuse_unknown(&place, &["model", "base"]);
            let model = self.required(&place, "model", model);
            let base = self.required(&place, "base", model_or_none);
            let (Some(model), Some(base)) = (model, base) else {
                continue;
            };
            if !model.starts_with(TUNED) {
                self.mistake(
                    place.at,
                    format!("model {model} is no tuned model; expected a name like tunedModels/support-7"),
                );
            }
            if accounts.tuned_models.insert(model.clone(), base).is_some() {
                self.mistake(place.at, format!("{model} stands twice; delete one"));
            }
        }
        accounts
    }

    /// Their ids. Dollars and days are checked here and used where credits are applied.
    fn billing_accounts(&mut self, top: &Place<'_, '_>) -> HashSet<Arc<str>> {
        let mut ids = HashSet::new();
        for place in self.tables(top, "billing_accounts") {
            self.refuse_unknown(
                &place,
                &["id", "first_payment", "credits", "monthly_cap_usd", "spent_before"],
            );
            if let Some(id) = self.required(&place, "id", text)
                && !ids.insert(id.clone())
            {
                self.mistake(
                    place.at,
                    format!("billing account {id} stands twice; give it one [[billing_accounts]]"),
                );
            }
            self.optional(&place, "first_payment", day);
            self.optional(&place, "monthly_cap_usd", dollars);
            self.optional(&place, "spent_before", dollars);
            for credit in self.tables(&place, "credits") {
                self.refuse_unknown(&credit, &["name", "usd", "from", "until"]);
                self.required(&credit, "name", text);
                self.required(&credit, "usd", dollars);
                self.optional(&credit, "from", day);
                self.optional(&credit, "until", day);
            }
        }
        ids
    }

    fn project(&mut self, place: &Place<'_, '_>, billing_accounts: &HashSet<Arc<str>>) -> Project {
        let mut project =
            Project { billing_account: self.optional(place, "billing_account", text), ..Project::default() };
        if let Some(id) = &project.billing_account
            && !billing_accounts.is_empty()
            && !billing_accounts.contains(id)
        {
            let guess = nearest(id, billing_accounts.iter().map(|id| &**id))
                .map_or("add one".to_string(), |near| format!("did you mean {near}?"));
            let at = place.table.get("billing_account").map_or(place.at, |value| value.span().start);
            self.mistake(
                at,
                format!("billing_account is {id:?}; no [[billing_accounts]] has that id; {guess}"),
            );
        }
        for change in self.tables(place, "usage_tiers") {
            self.refuse_unknown(&change, &["usage_tier", "from"]);
            let usage_tier = self.required(&change, "usage_tier", usage_tier);
            let from = self.required(&change, "from", instant);
            let (Some(usage_tier), Some(from)) = (usage_tier, from) else {
                continue;
            };
            if let Some((_, other)) = project.timeline.iter().find(|(other, _)| *other == from) {
                self.mistake(change.at, format!("{other} and {usage_tier} both begin at {from}; delete one"));
            }
            project.timeline.push((from, usage_tier));
        }
        project.timeline.sort();
        for limit in self.tables(place, "limits") {
            self.refuse_unknown(&limit, &["model", "metric", "value", "from"]);
            let model = self.required(&limit, "model", model_or_none);
            let metric = self.required(&limit, "metric", metric);
            let value = self.required(&limit, "value", whole);
            let from = self.required(&limit, "from", day);
            let (Some(model), Some(metric), Some(value), Some(from)) = (model, metric, value, from) else {
                continue;
            };
            let values = project.limits.entry((model.clone(), metric)).or_default();
            if values.iter().any(|(other, _)| *other == from) {
                let what = format!("two limits of {model} {metric} begin on {from}; delete one");
                self.mistake(limit.at, what);
            }
            values.push((from, value));
            values.sort();
        }
        project
    }

    fn mistake(&mut self, at: usize, what: String) {
        self.mistakes.push(Mistake { place: format!("{}:{}", self.file, line_at(self.text, at)), what });
    }

    fn refuse_unknown(&mut self, place: &Place<'_, '_>, known: &[&str]) {
        for key in place.table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            let what =
                format!("there is no key {}; expected {}", key.get_ref(), one_of(key.get_ref(), known));
            self.mistake(key.span().start, what);
        }
    }

    /// The tables of `[[key]]`; none where it is missing.
    fn tables<'t, 'i>(&mut self, place: &Place<'t, 'i>, key: &str) -> Vec<Place<'t, 'i>> {
        let Some(value) = place.table.get(key) else {
            return Vec::new();
        };
        let name = if place.name.is_empty() { key.to_string() } else { format!("{}.{key}", place.name) };
        let mut places = Vec::new();
        match value.get_ref() {
            DeValue::Array(items) => {
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::Table(table) => {
                            places.push(Place { table, name: name.clone(), at: item.span().start });
                        }
                        _ => self.mistake(
                            item.span().start,
                            format!("{key} has something else than tables; write [[{name}]]"),
                        ),
                    }
                }
            }
            _ => self.mistake(value.span().start, format!("{key} is no list of tables; write [[{name}]]")),
        }
        places
    }

    fn optional<T>(
        &mut self,
        place: &Place<'_, '_>,
        key: &str,
        read: fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = place.table.get(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(expected) => {
                let found = self.text.get(value.span()).unwrap_or_default();
                self.mistake(value.span().start, format!("{key} is {found}; expected {expected}"));
                None
            }
        }
    }

    fn required<T>(
        &mut self,
        place: &Place<'_, '_>,
        key: &str,
        read: fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        if !place.table.contains_key(key) {
            self.mistake(place.at, format!("[[{}]] has no {key}; add it", place.name));
        }
        self.optional(place, key, read)
    }
}

fn text(value: &DeValue<'_>) -> Result<Arc<str>, String> {
    value.as_str().filter(|text| !text.is_empty()).map(Arc::from).ok_or("a name in quotes".to_string())
}

fn model(value: &DeValue<'_>) -> Result<Arc<str>, String> {
    text(value).map(|name| model_name(&name).into())
}

fn model_or_none(value: &DeValue<'_>) -> Result<Arc<str>, String> {
    model(value).and_then(|name| if name.is_empty() { Err("a model's name".to_string()) } else { Ok(name) })
}

fn usage_tier(value: &DeValue<'_>) -> Result<UsageTier, String> {
    let word = value.as_str();
    word.and_then(UsageTier::from_name).ok_or_else(|| one_of(word.unwrap_or_default(), names!(UsageTier)))
}

fn metric(value: &DeValue<'_>) -> Result<Metric, String> {
    let word = value.as_str();
    word.and_then(Metric::from_name).ok_or_else(|| one_of(word.unwrap_or_default(), names!(Metric)))
}

fn day(value: &DeValue<'_>) -> Result<Day, String> {
    let date = value.as_datetime().filter(|at| at.time.is_none() && at.offset.is_none());
    date.and_then(|date| Day::parse(&date.to_string()))
        .ok_or("a day like 2026-06-01, without quotes".to_string())
}

fn instant(value: &DeValue<'_>) -> Result<Instant, String> {
    let at = value.as_datetime().and_then(|at| Instant::parse(&at.to_string(), None).ok());
    at.ok_or("an instant with its offset, without quotes, like 2026-06-01T12:00:00-07:00".to_string())
}

fn whole(value: &DeValue<'_>) -> Result<u64, String> {
    let digits = value.as_integer().filter(|number| number.radix() == 10).map(|number| number.as_str());
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|whole| i64::try_from(*whole).is_ok())
        .ok_or("a whole number, without quotes".to_string())
}

fn dollars(value: &DeValue<'_>) -> Result<Pico, String> {
    value.as_str().and_then(Pico::parse).ok_or("dollars in quotes, like \"300.00\"".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_decides_alone_and_is_unknown_before_its_first_line() {
        let accounts = Accounts::parse(
            "accounts.toml",
            "default_usage_tier = \"tier3\"\n[[projects]]\nid = \"a\"\n[[projects.usage_tiers]]\nusage_tier = \"free\"\n\
             from = 2026-01-01T00:00:00-08:00\n[[projects]]\nid = \"b\"\n",
        )
        .unwrap();
        let at = |text| Instant::parse(text, None).unwrap();
        let a = accounts.timeline("a", Some(UsageTier::Tier1));
        assert_eq!(a.at(at("2026-01-01T07:59:59.999Z")), UsageTier::Unknown);
        assert_eq!(a.at(at("2026-01-01T08:00:00Z")), UsageTier::Free);
        assert_eq!(
            accounts.timeline("b", Some(UsageTier::Tier1)).at(at("2026-01-01T00:00:00Z")),
            UsageTier::Tier1
        );
        assert_eq!(accounts.timeline("b", None).at(at("2026-01-01T00:00:00Z")), UsageTier::Tier3);
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_line() {
        let text = "defualt_usage_tier = \"free\"\n[[projects]]\nid = 7\n[[projects]]\nid = \"p\"\n[[projects.usage_tiers]]\n\
                    usage_tier = \"tier9\"\nfrom = 2026-01-01\n";
        let told: Vec<String> = Accounts::parse("accounts.toml", text)
            .unwrap_err()
            .into_iter()
            .map(|mistake| format!("{}: {}", mistake.place, mistake.what))
            .collect();
        assert_eq!(
            told,
            [
                "accounts.toml:1: there is no key defualt_usage_tier; expected one of default_usage_tier, billing_accounts, \
                 projects, tuned_models; did you mean default_usage_tier?",
                "accounts.toml:3: id is 7; expected a name in quotes",
                "accounts.toml:7: usage_tier is \"tier9\"; expected one of free, tier1, tier2, tier3, unknown",
                "accounts.toml:8: from is 2026-01-01; expected an instant with its offset, without quotes, like \
                 2026-06-01T12:00:00-07:00",
            ]
        );
    }
}
