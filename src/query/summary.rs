//! Owns what `show` asks: figures of published days by period and by columns. How they look is for the command line.
//!
//! No table has everything, so the columns decide which figures there are:
//!
//! | figures | from | where the columns are |
//! | --- | --- | --- |
//! | requests, tokens | `usage` | keys of usage |
//! | quantity (by meter), list and rated cost | `charges` | keys of charges |
//! | unrated tokens | `tally` − `charges` | keys of charges that tally has too |
//! | highest use of quota | `quota` | those that decide limits (`QUOTA_COLUMNS`), or keys of quota |
//!
//! **Unrated tokens.** The suspense table knows project, model and meter of a quantity, not its tiers. But every
//! quantity is charged or suspended once, so what is tallied and not charged is suspended, by any column that both
//! tables have. The whole must be what the suspense table says; where it isn't (an own methods file may have an
//! inference method that isn't billed, whose tokens are in neither), there is no such column rather than a wrong one.
//!
//! **Model and quota_model.** Requests count under their model as logged where the limit book has a line for that name,
//! else under their base model (Q1). The books aren't at hand here, but the quota table tells: a row under the model's
//! own name with an RPM, TPM or RPD limit means the former. So the quota of a model is the one under which it counts,
//! which it may share with other models. (Wrong only for a model whose own name has a limit in the accounts file and in
//! no book, and which another model answered.)

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use polars::prelude::*;

use super::{
    Group, Key, Published, broken, dates, groups, not_negative, sum_dollars, sum_whole, table, texts, wholes,
};
use crate::error::{Error, Result};
use crate::near::nearest;
use crate::report::{Report, charges, quota, suspense, tally, usage};
use crate::types::day::Day;
use crate::types::meter::Meter;
use crate::types::money::Pico;
use crate::types::tally::add;
use crate::types::tier::{ServiceTier, UsageTier, words};

words! {
    /// How long a period is.
    Per { Day = "day", Week = "week", Month = "month", All = "all" }
}

/// The columns by which the quota of usage rows can be told: those that decide the limits.
const QUOTA_COLUMNS: [&str; 6] = ["date", "project_id", "model", "base_model", "usage_tier", "pricing_tier"];

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    per: Per,
    /// The period's column, then those asked for, each once.
    keys: Vec<&'static str>,
}

/// The figures of days.
#[derive(Debug)]
pub struct Summary {
    pub keys: Vec<&'static str>,
    /// Which figures the rows have.
    pub parts: Parts,
    /// In the order of their keys.
    pub rows: Vec<Row>,
    pub suspense: Suspense,
    /// Rows of charges without a list cost, which is in no sum.
    pub rows_without_list_cost: u64,
}

/// Which figures the columns allow; where not, the column that is in the way.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    pub usage: Part,
    pub charges: Part,
    pub unrated: Part,
    pub quota: Part,
}

/// There, or in want of a column.
pub type Part = std::result::Result<(), &'static str>;

/// Of a period and group. Figures that no row of a table is about are None: unknown isn't zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub key: Key,
    pub usage: Option<Usage>,
    pub cost: Option<Cost>,
    pub tokens_unrated: u64,
    pub peak: Option<Peak>,
}

/// As the usage report has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub requests: u64,
    pub input_tokens: u64,
    pub input_tokens_cached: u64,
    pub input_tokens_tool: u64,
    pub output_tokens: u64,
    pub output_tokens_thoughts: u64,
}

/// As the charges report has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Makes sense by meter only.
    pub quantity: u64,
    /// Of the rows that have a price; None when none has.
    pub list_cost: Option<Pico>,
    pub rated_cost: Pico,
    tokens: u64,
}

/// The highest use of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// rpm, tpm, rpd or tpd.
    pub metric: &'static str,
    pub used: u64,
    /// 0: the usage tier doesn't offer the model.
    pub limit: u64,
}

/// What is in no cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspense {
    pub lines: u64,
    pub tokens: u64,
    /// Of meters that aren't tokens.
    pub quantities: BTreeMap<Meter, u64>,
}

impl Question {
    /// Checks the columns.
    pub fn new(per: Per, by: &[String]) -> Result<Question> {
        let mut keys = match per {
            Per::Day => vec!["date"],
            Per::Week => vec!["week"],
            Per::Month => vec!["month"],
            Per::All => Vec::new(),
        };
        let known = columns();
        for name in by {
            let Some(column) = known.iter().find(|column| *column == name) else {
                return Err(unknown_column(name, &known));
            };
            if !keys.contains(column) {
                keys.push(column);
            }
        }
        let question = Question { per, keys };
        let parts = question.parts();
        if let (Err(one), Err(other), Err(_)) = (parts.usage, parts.charges, parts.quota) {
            return Err(Error::usage(format!(
                "--by {}: no report has all of these: usage has no {one}, charges has no {other}",
                by.join(",")
            ))
            .hint("ask for them one after the other"));
        }
        Ok(question)
    }

    fn parts(&self) -> Parts {
        let in_want = |has: &dyn Fn(&'static str) -> bool| {
            let lacking = self.keys.iter().find(|key| !has(source(key)));
            lacking.map_or(Ok(()), |key| Err(*key))
        };
        let usage = in_want(&|key| usage::REPORT.key.contains(&key));
        let charges = in_want(&|key| charges::REPORT.key.contains(&key));
        let quota = if self.keys.contains(&"quota_model") {
            in_want(&|key| has(&quota::REPORT, key))
        } else {
            in_want(&|key| QUOTA_COLUMNS.contains(&key))
        };
        let unrated = charges.and(in_want(&|key| has(&tally::REPORT, key)));
        Parts { usage, charges, unrated, quota }
    }

    /// Answers from the tables of days.
    pub fn answer(&self, days: &[Published]) -> Result<Summary> {
        let mut parts = self.parts();
        let mut rows = Rows::default();
        let mut rows_without_list_cost = 0;
        if parts.usage.is_ok() {
            self.add_usage(days, &mut rows)?;
        }
        if parts.charges.is_ok() {
            rows_without_list_cost = self.add_charges(days, &mut rows)?;
        }
        let suspense = suspense_of(days)?;
        if parts.unrated.is_ok() && !self.add_unrated(days, suspense.tokens, &mut rows)? {
            // By method it could be told what isn't billed, if charges had that.
            parts.unrated = Err("method");
            rows.0.values_mut().for_each(|row| row.tokens_unrated = 0);
        }
        if parts.quota.is_ok() {
            self.add_quota(days, &mut rows)?;
        }
        Ok(Summary {
            keys: self.keys.clone(),
            parts,
            rows: rows.0.into_values().collect(),
            suspense,
            rows_without_list_cost,
        })
    }

    fn add_usage(&self, days: &[Published], rows: &mut Rows) -> Result<()> {
        const FIGURES: [&str; 6] = [
            "requests",
            "input_tokens",
            "input_tokens_cached",
            "input_tokens_tool",
            "output_tokens",
            "output_tokens_thoughts",
        ];
        let frame = self.frame(days, &usage::REPORT, &FIGURES)?;
        for group in groups(&frame, &self.keys)? {
            let usage = rows.at(&group.key).usage.get_or_insert_default();
            for (column, sum) in FIGURES.iter().zip(usage.figures()) {
                sum_whole(&frame, column, group.rows.iter().copied(), sum)?;
            }
        }
        Ok(())
    }

    /// Gives how many rows have no list cost.
    fn add_charges(&self, days: &[Published], rows: &mut Rows) -> Result<u64> {
        const FIGURES: [&str; 4] = ["meter", "quantity", "list_cost_usd", "rated_cost_usd"];
        let frame = self.frame(days, &charges::REPORT, &FIGURES)?;
        let mut rows_without_list_cost = 0;
        for group in groups(&frame, &self.keys)? {
            let cost = rows.at(&group.key).cost.get_or_insert_default();
            let (list_cost, empty) = sum_dollars(&frame, "list_cost_usd", &group.rows)?;
            cost.list_cost = (empty < group.rows.len() as u64).then_some(list_cost);
            cost.rated_cost = sum_dollars(&frame, "rated_cost_usd", &group.rows)?.0;
            sum_whole(&frame, "quantity", group.rows.iter().copied(), &mut cost.quantity)?;
            cost.tokens = tokens_of(&frame, &group)?;
            rows_without_list_cost += empty;
        }
        Ok(rows_without_list_cost)
    }

    /// Tallied and not charged is suspended. False where that isn't `expected` in all.
    fn add_unrated(&self, days: &[Published], expected: u64, rows: &mut Rows) -> Result<bool> {
        let frame = self.frame(days, &tally::REPORT, &["meter", "quantity"])?;
        let mut whole = 0;
        for group in groups(&frame, &self.keys)? {
            let tallied = tokens_of(&frame, &group)?;
            if tallied == 0 {
                continue;
            }
            let row = rows.at(&group.key);
            let charged = row.cost.as_ref().map_or(0, |cost| cost.tokens);
            let Some(unrated) = tallied.checked_sub(charged) else {
                return Ok(false);
            };
            row.tokens_unrated = unrated;
            add(&mut whole, unrated).map_err(|_| too_much())?;
        }
        Ok(whole == expected)
    }

    fn add_quota(&self, days: &[Published], rows: &mut Rows) -> Result<()> {
        let quota = Quota::read(self, days)?;
        if self.keys.contains(&"quota_model") {
            for group in groups(&quota.frame, &self.keys)? {
                rows.at(&group.key).peak = highest(group.rows.iter().filter_map(|row| quota.peaks[*row]));
            }
            return Ok(());
        }
        let columns = ["date", "project_id", "model", "base_model", "usage_tier", "service_tier"];
        let frame = self.frame(days, &usage::REPORT, &columns)?;
        let (days, service_tiers) = (dates(&frame, "date")?, texts(&frame, "service_tier")?);
        let [projects, models, base_models, usage_tiers] =
            ["project_id", "model", "base_model", "usage_tier"].map(|column| texts(&frame, column));
        let (projects, models) = (projects?, models?);
        let (base_models, usage_tiers) = (base_models?, usage_tiers?);
        for group in groups(&frame, &self.keys)? {
            let peaks = group.rows.iter().filter_map(|row| {
                // Batch has a quota of its own (Q8).
                if service_tiers.get(*row) == Some(ServiceTier::Batch.name()) {
                    return None;
                }
                let at = |model| QuotaKey {
                    day: days.get(*row),
                    project_id: projects.get(*row),
                    quota_model: model,
                    usage_tier: usage_tiers.get(*row),
                };
                quota.peak(at(models.get(*row)), at(base_models.get(*row)))
            });
            rows.at(&group.key).peak = highest(peaks);
        }
        Ok(())
    }

    /// A report's columns over all days: those that tell groups apart, and figures.
    fn frame(&self, days: &[Published], report: &Report, figures: &[&str]) -> Result<DataFrame> {
        let mut columns: Vec<&str> = Vec::new();
        let derived = |key: &&str| !report.key.contains(key);
        let keys = self.keys.iter().map(|key| match source(key) {
            "pricing_tier" if derived(&"pricing_tier") => "usage_tier",
            source => source,
        });
        for column in keys.chain(figures.iter().copied()) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let mut frame = table(days, report, &columns)?;
        for key in self.keys.iter().copied().filter(derived) {
            let cells: StringChunked = if source(key) == "date" {
                let label = |day| label(self.per, Day(day));
                dates(&frame, "date")?.iter().map(|day| day.map(label)).collect()
            } else {
                let pricing_tier =
                    |name| UsageTier::from_name(name).map(|usage_tier| usage_tier.pricing_tier().name());
                texts(&frame, "usage_tier")?.iter().map(|name| name.and_then(pricing_tier)).collect()
            };
            frame.with_column(cells.with_name(key.into()).into_column()).map_err(|error| broken(&error))?;
        }
        Ok(frame)
    }
}

/// The columns that `--by` may name, in the order of the reports.
pub fn columns() -> Vec<&'static str> {
    let mut columns: Vec<&'static str> = Vec::new();
    for report in [&usage::REPORT, &charges::REPORT, &quota::REPORT] {
        for column in report.key {
            if !columns.contains(column) {
                columns.push(column);
            }
        }
    }
    columns
}

fn unknown_column(name: &str, known: &[&'static str]) -> Error {
    let error = Error::usage(format!(
        "--by {name}: no report has such a column; expected some of {}",
        known.join(", ")
    ));
    match nearest(name, known.iter().copied()) {
        _ if ["day", "week", "month"].contains(&name) => error.hint(format!("use --per {name}")),
        _ if name == "tier" => error.hint("say which: usage_tier, pricing_tier or service_tier"),
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
}

/// The column of reports that a column is made from.
fn source(key: &'static str) -> &'static str {
    match key {
        "week" | "month" => "date",
        key => key,
    }
}

/// Whether a report has a column, or what it follows from.
fn has(report: &Report, key: &str) -> bool {
    report.key.contains(&key) || key == "pricing_tier" && report.key.contains(&"usage_tier")
}

/// The name of the period that a day lies in: a week's is its Monday.
fn label(per: Per, day: Day) -> String {
    match per {
        Per::Day | Per::All => day.to_string(),
        Per::Week => monday(day).to_string(),
        Per::Month => {
            let mut month = day.to_string();
            month.truncate("2026-06".len());
            month
        }
    }
}

/// The Monday with which the ISO week of a day begins. 1970-01-01, day 0, was a Thursday.
fn monday(day: Day) -> Day {
    Day(day.0 - (day.0 + 3).rem_euclid(7))
}

/// Rows under way.
#[derive(Default)]
struct Rows(BTreeMap<Key, Row>);

impl Rows {
    fn at(&mut self, key: &Key) -> &mut Row {
        let new = || Row { key: key.clone(), ..Row::default() };
        self.0.entry(key.clone()).or_insert_with(new)
    }
}

impl Usage {
    /// In the order of the report's columns.
    fn figures(&mut self) -> [&mut u64; 6] {
        [
            &mut self.requests,
            &mut self.input_tokens,
            &mut self.input_tokens_cached,
            &mut self.input_tokens_tool,
            &mut self.output_tokens,
            &mut self.output_tokens_thoughts,
        ]
    }

    /// Cached and tool tokens too: what a limit of input tokens counts.
    pub fn input_tokens_all(&self) -> Result<u64> {
        let mut sum = self.input_tokens;
        for addend in [self.input_tokens_cached, self.input_tokens_tool] {
            add(&mut sum, addend).map_err(|_| too_much())?;
        }
        Ok(sum)
    }
}

impl Row {
    /// Adds another row's figures, for a total. A total has no highest use.
    pub fn merge(&mut self, other: &Row) -> Result<()> {
        if let Some(other) = &other.usage {
            let mut other = other.clone();
            let usage = self.usage.get_or_insert_default();
            for (sum, addend) in usage.figures().into_iter().zip(other.figures()) {
                add(sum, *addend).map_err(|_| too_much())?;
            }
        }
        if let Some(other) = &other.cost {
            let cost = self.cost.get_or_insert_default();
            // Quantities of unlike meters add up to nothing, so a sum that doesn't fit is no loss.
            cost.quantity = cost.quantity.saturating_add(other.quantity);
            let sum = |one: Pico, other| one.checked_add(other).ok_or_else(too_much);
            cost.rated_cost = sum(cost.rated_cost, other.rated_cost)?;
            if let Some(list_cost) = other.list_cost {
                cost.list_cost = Some(sum(cost.list_cost.unwrap_or_default(), list_cost)?);
            }
        }
        add(&mut self.tokens_unrated, other.tokens_unrated).map_err(|_| too_much())
    }
}

fn too_much() -> Error {
    Error::new("a sum over all rows exceeds what a report can hold: no real log gets there")
}

impl Peak {
    /// By share of the limit, exactly; any use of a limit of 0 is above all shares.
    fn cmp_share(&self, other: &Peak) -> Ordering {
        let cross = |one: u64, other: u64| u128::from(one) * u128::from(other);
        cross(self.used, other.limit).cmp(&cross(other.used, self.limit))
    }
}

/// The highest share; of equal ones the first.
fn highest(peaks: impl Iterator<Item = Peak>) -> Option<Peak> {
    peaks.reduce(|best, peak| if peak.cmp_share(&best) == Ordering::Greater { peak } else { best })
}

/// The quota table of some days.
struct Quota {
    frame: DataFrame,
    /// Of each row; None where no limit is known, or where nothing was used of a limit of 0.
    peaks: Vec<Option<Peak>>,
    /// Of the rows whose model has a limit by which requests count under its name.
    by_key: HashMap<OwnedQuotaKey, usize>,
}

#[derive(Clone, Copy)]
struct QuotaKey<'f> {
    day: Option<i32>,
    project_id: Option<&'f str>,
    quota_model: Option<&'f str>,
    usage_tier: Option<&'f str>,
}

type OwnedQuotaKey = (Option<i32>, [Option<String>; 3]);

impl QuotaKey<'_> {
    fn owned(self) -> OwnedQuotaKey {
        let names = [self.project_id, self.quota_model, self.usage_tier];
        (self.day, names.map(|name| name.map(str::to_string)))
    }
}

impl Quota {
    fn read(question: &Question, days: &[Published]) -> Result<Quota> {
        const METRICS: [(&str, &str, &str); 4] = [
            ("rpm", "rpm_peak", "rpm_limit"),
            ("tpm", "tpm_peak", "tpm_limit"),
            ("rpd", "rpd_used", "rpd_limit"),
            ("tpd", "tpd_used", "tpd_limit"),
        ];
        let names = ["date", "project_id", "quota_model", "usage_tier"];
        let columns: Vec<&str> =
            names.into_iter().chain(METRICS.iter().flat_map(|(_, used, limit)| [*used, *limit])).collect();
        // Only a question by quota_model groups this table; the columns of others need not be in it.
        let frame = if question.keys.contains(&"quota_model") {
            question.frame(days, &quota::REPORT, &columns)?
        } else {
            table(days, &quota::REPORT, &columns)?
        };
        let mut peaks: Vec<Option<Peak>> = vec![None; frame.height()];
        for (metric, used_column, limit_column) in METRICS {
            let (used, limits) = (wholes(&frame, used_column)?, wholes(&frame, limit_column)?);
            for (row, best) in peaks.iter_mut().enumerate() {
                let Some((used, limit)) = used.get(row).zip(limits.get(row)) else {
                    continue;
                };
                let peak = Peak {
                    metric,
                    used: not_negative(used_column, used)?,
                    limit: not_negative(limit_column, limit)?,
                };
                if peak.limit > 0 || peak.used > 0 {
                    *best = highest(best.iter().copied().chain([peak]));
                }
            }
        }
        let by_key = (0..frame.height()).filter_map(|row| {
            let has_limit = ["rpm_limit", "tpm_limit", "rpd_limit"]
                .into_iter()
                .any(|limit| wholes(&frame, limit).is_ok_and(|limits| limits.get(row).is_some()));
            let key = || -> Result<OwnedQuotaKey> {
                Ok(QuotaKey {
                    day: dates(&frame, "date")?.get(row),
                    project_id: texts(&frame, "project_id")?.get(row),
                    quota_model: texts(&frame, "quota_model")?.get(row),
                    usage_tier: texts(&frame, "usage_tier")?.get(row),
                }
                .owned())
            };
            has_limit.then(|| key().map(|key| (key, row)))
        });
        let by_key = by_key.collect::<Result<_>>()?;
        Ok(Quota { frame, peaks, by_key })
    }

    /// Of the row under which requests of a model count: its own name's, else its base model's.
    fn peak(&self, own: QuotaKey<'_>, base: QuotaKey<'_>) -> Option<Peak> {
        let row = self.by_key.get(&own.owned());
        let row = row.or_else(|| self.by_key.get(&base.owned()))?;
        self.peaks[*row]
    }
}

/// Tokens of a group's rows, whatever the meter.
fn tokens_of(frame: &DataFrame, group: &Group) -> Result<u64> {
    let meters = texts(frame, "meter")?;
    let has_tokens = |row: &usize| {
        let meter = meters.get(*row).and_then(Meter::from_name);
        meter.is_some_and(Meter::has_tokens)
    };
    let mut sum = 0;
    let rows = group.rows.iter().copied().filter(has_tokens);
    sum_whole(frame, "quantity", rows, &mut sum)?;
    Ok(sum)
}

fn suspense_of(days: &[Published]) -> Result<Suspense> {
    let columns = ["stage", "meter", "quantity", "records"];
    let frame = table(days, &suspense::REPORT, &columns)?;
    let mut sums = Suspense::default();
    let stages = texts(&frame, "stage")?;
    let meters = texts(&frame, "meter")?;
    for row in 0..frame.height() {
        match meters.get(row).and_then(Meter::from_name) {
            Some(meter) if meter.has_tokens() => {
                sum_whole(&frame, "quantity", [row], &mut sums.tokens)?;
            }
            Some(meter) => {
                let sum = sums.quantities.entry(meter).or_default();
                sum_whole(&frame, "quantity", [row], sum)?;
            }
            None if stages.get(row) == Some("read") => {
                sum_whole(&frame, "records", [row], &mut sums.lines)?;
            }
            None => {}
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(by: &[&str]) -> Result<Question> {
        let by: Vec<String> = by.iter().map(ToString::to_string).collect();
        Question::new(Per::All, &by)
    }

    #[test]
    fn a_week_begins_on_monday_also_over_a_year_boundary() {
        // 2026-12-28 to 2027-01-03 is ISO week 2026-W53; 2024-12-30 begins 2025-W01.
        for (day, week, month) in [
            ("2026-12-27", "2026-12-21", "2026-12"),
            ("2026-12-28", "2026-12-28", "2026-12"),
            ("2027-01-01", "2026-12-28", "2027-01"),
            ("2027-01-03", "2026-12-28", "2027-01"),
            ("2027-01-04", "2027-01-04", "2027-01"),
            ("2024-12-29", "2024-12-23", "2024-12"),
            ("2025-01-01", "2024-12-30", "2025-01"),
            ("2024-02-29", "2024-02-26", "2024-02"),
            ("1970-01-01", "1969-12-29", "1970-01"),
        ] {
            let day = Day::parse(day).unwrap();
            assert_eq!(label(Per::Week, day), week, "{day}");
            assert_eq!(label(Per::Month, day), month, "{day}");
        }
    }

    #[test]
    fn columns_decide_which_figures_there_are() {
        // usage, charges, unrated, quota: there, or the column that is in the way.
        for (by, expected) in [
            (vec![], [""; 4]),
            (vec!["model", "usage_tier"], [""; 4]),
            (vec!["date", "pricing_tier"], [""; 4]),
            (vec!["base_model"], ["", "", "base_model", ""]),
            (vec!["service_tier", "channel"], ["", "", "", "service_tier"]),
            (vec!["model", "outcome"], ["", "outcome", "outcome", "outcome"]),
            (vec!["meter", "modality"], ["meter", "", "", "meter"]),
            (vec!["exempt"], ["exempt", "", "exempt", "exempt"]),
            (vec!["quota_model", "pricing_tier"], ["quota_model", "quota_model", "quota_model", ""]),
        ] {
            let parts = question(&by).unwrap().parts();
            let found = [parts.usage, parts.charges, parts.unrated, parts.quota];
            assert_eq!(found.map(|part| part.err().unwrap_or("")), expected, "{by:?}");
        }
    }

    #[test]
    fn columns_that_no_report_has_are_refused() {
        for (by, hint) in [
            (vec!["modle"], "did you mean model?"),
            (vec!["useage_tier"], "did you mean usage_tier?"),
            (vec!["week"], "use --per week"),
            (vec!["tier"], "say which: usage_tier, pricing_tier or service_tier"),
            (vec!["method", "meter"], "ask for them one after the other"),
        ] {
            let error = question(&by).unwrap_err();
            assert_eq!(error.exit, crate::error::Exit::Usage);
            assert_eq!(error.hint.as_deref(), Some(hint), "{by:?}");
        }
    }

    #[test]
    fn shares_are_compared_exactly_and_any_use_of_a_limit_of_0_is_above_them() {
        let peak = |used, limit| Peak { metric: "rpm", used, limit };
        for (one, other, expected) in [
            (peak(1, 3), peak(333_333, 1_000_000), Ordering::Greater),
            (peak(1, 2), peak(2, 4), Ordering::Equal),
            (peak(1, 0), peak(u64::MAX, 1), Ordering::Greater),
            (peak(1, 0), peak(2, 0), Ordering::Equal),
        ] {
            assert_eq!(one.cmp_share(&other), expected);
            assert_eq!(other.cmp_share(&one), expected.reverse());
        }
    }
}
