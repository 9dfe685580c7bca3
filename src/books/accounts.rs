//! Owns the user's own book, the accounts file (TOML): billing accounts with their credits, which one a project belongs
//! to, its usage tier through time, its own limits, and what tuned models were tuned from. Every mistake of the file is
//! told at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::HashMap;

use toml::de::{DeTable, DeValue};

use super::dated::{self, Mistake, Timed};
use super::limits::Metric;
use crate::names;
use crate::near::{nearest, one_of};
use crate::types::day::{Day, Instant};
use crate::types::key::shown;
use crate::types::money::Pico;
use crate::types::request::{TUNED, model_name};
use crate::types::tier::{Terms, UsageTier, words};

#[derive(Debug, Default)]
pub struct Accounts {
    default_usage_tier: Option<UsageTier>,
    /// None where the file doesn't say: then it is assumed to be the project.
    pub allowance_scope: Option<AllowanceScope>,
    /// Those that only a project names too.
    billing_accounts: BTreeMap<Arc<str>, BillingAccount>,
    projects: BTreeMap<Arc<str>, Project>,
    /// Base model by tuned model.
    tuned_models: HashMap<Arc<str>, Arc<str>>,
}

words! {
    /// Whose the free units of a pool are.
    AllowanceScope { Project = "project", BillingAccount = "billing_account" }
}

/// Who is invoiced.
#[derive(Debug, Default)]
pub struct BillingAccount {
    pub first_payment: Option<Day>,
    /// Paid to Google Cloud before the first day replayed.
    pub spent_before: Pico,
    /// Of its own, in place of the usage tier's.
    pub monthly_cap: Option<Pico>,
    /// In the order in which they pay: by `from`, then by name.
    pub credits: Vec<Credit>,
}

impl BillingAccount {
    /// None before it, and where it isn't known.
    pub fn days_since_first_payment(&self, day: Day) -> Option<u64> {
        u64::try_from(day.0 - self.first_payment?.0).ok()
    }
}

/// Money that pays for charges.
#[derive(Debug)]
pub struct Credit {
    pub name: Arc<str>,
    pub usd: Pico,
    /// Both inclusive; one left out is open.
    pub from: Option<Day>,
    pub until: Option<Day>,
}

impl Credit {
    pub fn holds(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }
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
    fn changes(&self) -> impl Iterator<Item = Instant> {
        let changes = match self {
            Timeline::Always(_) => &[][..],
            Timeline::From(changes) => changes,
        };
        changes.iter().map(|(from, _)| *from)
    }

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

/// What the projects of the accounts file together say of AI Studio's terms through time: "as paid when a project of
/// yours is paid" (terms page).
#[derive(Debug)]
pub struct StudioTerms {
    /// Ascending; the first holds from the beginning.
    changes: Vec<(Instant, Option<Terms>)>,
}

impl StudioTerms {
    /// Of a request whose own usage tier is `usage_tier`: paid when it or any project is, else unknown when one is.
    pub fn at(&self, at: Instant, usage_tier: UsageTier) -> Terms {
        let after = self.changes.partition_point(|(from, _)| *from <= at);
        let of_projects = after.checked_sub(1).and_then(|last| self.changes[last].1);
        together(of_projects.into_iter().chain([usage_tier.terms()])).unwrap_or(Terms::Unknown)
    }
}

/// Paid where one is, else unknown where one is, else unpaid; None of none.
fn together(terms: impl Iterator<Item = Terms>) -> Option<Terms> {
    let weight = |terms: &Terms| match terms {
        Terms::Paid => 2,
        Terms::Unknown => 1,
        Terms::Unpaid => 0,
    };
    terms.max_by_key(weight)
}

impl Accounts {
    /// See [`StudioTerms`]; `flag` as in [`Accounts::timeline`].
    pub fn studio_terms(&self, flag: Option<UsageTier>) -> StudioTerms {
        let timelines: Vec<Timeline<'_>> =
            self.projects.keys().map(|project| self.timeline(project, flag)).collect();
        let instants: BTreeSet<Instant> =
            std::iter::once(Instant(i64::MIN)).chain(timelines.iter().flat_map(Timeline::changes)).collect();
        let at = |at: Instant| (at, together(timelines.iter().map(|timeline| timeline.at(at).terms())));
        StudioTerms { changes: instants.into_iter().map(at).collect() }
    }

    /// A project's timeline decides alone; for projects without one the flag, then the file's default.
    pub fn timeline(&self, project: &str, flag: Option<UsageTier>) -> Timeline<'_> {
        match self.projects.get(project) {
            Some(project) if !project.timeline.is_empty() => Timeline::From(&project.timeline),
            _ => Timeline::Always(flag.or(self.default_usage_tier).unwrap_or(UsageTier::Unknown)),
        }
    }

    /// By id.
    pub fn billing_accounts(&self) -> &BTreeMap<Arc<str>, BillingAccount> {
        &self.billing_accounts
    }

    /// The projects of the file, by name.
    pub fn projects(&self) -> impl Iterator<Item = &Arc<str>> {
        self.projects.keys()
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
        let table = table(file, text).map_err(|mistake| vec![mistake])?;
        let mut reader = Reader { file, text, mistakes: Vec::new() };
        let accounts = reader.accounts(&table);
        if reader.mistakes.is_empty() { Ok(accounts) } else { Err(reader.mistakes) }
    }
}

/// Reads TOML. `file` is its name for messages.
pub fn table<'t>(file: &str, text: &'t str) -> Result<DeTable<'t>, Mistake> {
    let told = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let found = match text.get(span.clone()).map(str::trim).filter(|found| !found.is_empty()) {
            Some(found) if found.len() <= 40 && !found.contains('\n') => format!(" at {found}"),
            _ => String::new(),
        };
        Mistake {
            place: format!("{file}:{}", line_at(text, span.start)),
            what: format!("the line isn't valid TOML{found}: {}", error.message()),
        }
    };
    DeTable::parse(text).map(toml::Spanned::into_inner).map_err(told)
}

/// The line of a byte, from 1.
pub fn line_at(text: &str, byte: usize) -> usize {
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
        let known = ["default_usage_tier", "allowance_scope", "billing_accounts", "projects", "tuned_models"];
        self.refuse_unknown(&top, &known);
        let mut accounts = Accounts {
            default_usage_tier: self.optional(&top, "default_usage_tier", usage_tier),
            allowance_scope: self.optional(&top, "allowance_scope", allowance_scope),
            billing_accounts: self.billing_accounts(&top),
            ..Accounts::default()
        };
        for place in self.tables(&top, "projects") {
            self.refuse_unknown(&place, &["id", "billing_account", "usage_tiers", "limits"]);
            let Some(id) = self.required(&place, "id", name) else {
                continue;
            };
            let project = self.project(&place, &accounts.billing_accounts);
            if accounts.projects.insert(id.clone(), project).is_some() {
                self.mistake(place.at, format!("project {id} stands twice; give it one [[projects]]"));
            }
        }
        for id in accounts.projects.values().filter_map(|project| project.billing_account.clone()) {
            accounts.billing_accounts.entry(id).or_default();
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

    fn billing_accounts(&mut self, top: &Place<'_, '_>) -> BTreeMap<Arc<str>, BillingAccount> {
        let mut accounts = BTreeMap::new();
        for place in self.tables(top, "billing_accounts") {
            self.refuse_unknown(
                &place,
                &["id", "first_payment", "credits", "monthly_cap_usd", "spent_before"],
            );
            let id = self.required(&place, "id", name);
            let account = BillingAccount {
                first_payment: self.optional(&place, "first_payment", day),
                monthly_cap: self.optional(&place, "monthly_cap_usd", dollars),
                spent_before: self.optional(&place, "spent_before", dollars).unwrap_or_default(),
                credits: self.credits(&place),
            };
            if let Some(id) = id
                && accounts.insert(id.clone(), account).is_some()
            {
                self.mistake(
                    place.at,
                    format!("billing account {id} stands twice; give it one [[billing_accounts]]"),
                );
            }
        }
        accounts
    }

    fn credits(&mut self, account: &Place<'_, '_>) -> Vec<Credit> {
        let mut credits: Vec<Credit> = Vec::new();
        let mut names = HashSet::new();
        for place in self.tables(account, "credits") {
            self.refuse_unknown(&place, &["name", "usd", "from", "until"]);
            let name = self.required(&place, "name", name);
            let usd = self.required(&place, "usd", dollars);
            let from = self.optional(&place, "from", day);
            let until = self.optional(&place, "until", day);
            let (Some(name), Some(usd)) = (name, usd) else {
                continue;
            };
            if !names.insert(name.clone()) {
                self.mistake(place.at, format!("credit {name} stands twice; give each a name of its own"));
            }
            if let (Some(from), Some(until)) = (from, until)
                && until < from
            {
                let what = format!("credit {name} ends on {until}, before it begins on {from}");
                self.mistake(place.at, format!("{what}; until is the last day on which it pays"));
            }
            credits.push(Credit { name, usd, from, until });
        }
        credits.sort_by(|one, other| (one.from, &one.name).cmp(&(other.from, &other.name)));
        credits
    }

    fn project(
        &mut self,
        place: &Place<'_, '_>,
        billing_accounts: &BTreeMap<Arc<str>, BillingAccount>,
    ) -> Project {
        let mut project =
            Project { billing_account: self.optional(place, "billing_account", name), ..Project::default() };
        if let Some(id) = &project.billing_account
            && !billing_accounts.is_empty()
            && !billing_accounts.contains_key(id)
        {
            let guess = nearest(id, billing_accounts.keys().map(|id| &**id))
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

/// A name as reports show it, so that no key leaks; requests are told apart by such names too.
fn name(value: &DeValue<'_>) -> Result<Arc<str>, String> {
    text(value).map(|name| shown(&name).into())
}

fn model(value: &DeValue<'_>) -> Result<Arc<str>, String> {
    text(value).map(|name| model_name(&name).into())
}

fn model_or_none(value: &DeValue<'_>) -> Result<Arc<str>, String> {
    model(value).and_then(|name| if name.is_empty() { Err("a model's name".to_string()) } else { Ok(name) })
}

fn usage_tier(value: &DeValue<'_>) -> Result<UsageTier, String> {
    word(value, names!(UsageTier), UsageTier::from_name)
}

fn allowance_scope(value: &DeValue<'_>) -> Result<AllowanceScope, String> {
    word(value, names!(AllowanceScope), AllowanceScope::from_name)
}

fn metric(value: &DeValue<'_>) -> Result<Metric, String> {
    word(value, names!(Metric), Metric::from_name)
}

/// A word of a set.
fn word<T>(
    value: &DeValue<'_>,
    known: impl Iterator<Item = &'static str>,
    from_name: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let word = value.as_str();
    word.and_then(from_name).ok_or_else(|| one_of(word.unwrap_or_default(), &known.collect::<Vec<_>>()))
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
                "accounts.toml:1: there is no key defualt_usage_tier; expected one of default_usage_tier, \
                 allowance_scope, billing_accounts, projects, tuned_models; did you mean default_usage_tier?",
                "accounts.toml:3: id is 7; expected a name in quotes",
                "accounts.toml:7: usage_tier is \"tier9\"; expected one of free, tier1, tier2, tier3, unknown",
                "accounts.toml:8: from is 2026-01-01; expected an instant with its offset, without quotes, like \
                 2026-06-01T12:00:00-07:00",
            ]
        );
    }
}
