//! Owns what a run has to say at its end, on stderr: what was read, what it came to by model and tier, what is in
//! suspense and what to do about it. How it is put on the screen is for `screen`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use comfy_table::ContentArrangement;
use foldhash::HashMap;
use indicatif::HumanBytes;

use super::screen::{self, counted, dollars, say, thousands};
use crate::balance::Quantities;
use crate::books::Books;
use crate::evidence::{Twice, Warning};
use crate::pipeline::{DayReport, Replay};
use crate::quota::q1_quota_model;
use crate::read::Progress;
use crate::read::container::Container;
use crate::read::shape::{Shape, canonical};
use crate::suspense::Suspended;
use crate::types::charge::{AccountDay, Assumption, Resting, Standing, UnratedKey};
use crate::types::key::shown;
use crate::types::meter::Meter;
use crate::types::money::Pico;
use crate::types::quota_use::QuotaUse;
use crate::types::reason::Reason;
use crate::types::tier::{PricingTier, UsageTier};

/// What was read, in one or two lines.
pub fn read(replay: &Replay, progress: &Progress, took: Duration) {
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let rate = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    let inputs = replay.inputs.len();
    say(format_args!(
        "read {}, {} in {} ({}/s) from {inputs} {}",
        counted(replay.records.lines, "line"),
        HumanBytes(bytes),
        in_words(took),
        HumanBytes(rate),
        if inputs == 1 { "input" } else { "inputs" },
    ));
    let others: Vec<String> = replay
        .records
        .parts()
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{} {}", thousands(*count), name.replace('_', " ")))
        .collect();
    say(format_args!("  = {}", others.join(" + ")));
    for (kind, count) in &replay.records.not_requests {
        say(format_args!("  not requests: {} of {kind}", counted(*count, "line")));
    }
    let shapes = shapes(replay);
    for (place, ((shape, container), inputs)) in shapes.iter().enumerate() {
        let lacks: Vec<&str> = shape.lacks.iter().map(|lack| lack.what).collect();
        say(format_args!("  {}: {} of {container}", shape.title, counted(*inputs, "input")));
        let is_last = shapes.get(place + 1).is_none_or(|((next, _), _)| next.name != shape.name);
        if is_last && !lacks.is_empty() {
            say(listed("    not in this log: ", &lacks, &format!(" (docs/shapes/{}.md)", shape.name)));
        }
    }
    for input in replay.inputs.iter().filter(|input| input.same_as.is_some()) {
        let same = input.same_as.as_deref().unwrap_or_default();
        say(format_args!("  {} has the same bytes as {same}: read once", input.name));
    }
    for (folder, left) in &replay.left {
        say(format_args!("  {folder}: {}, not named like logs, left unread", counted(*left, "file")));
    }
}

/// Words in a list, on lines that a terminal of 80 columns shows whole.
fn listed(head: &str, words: &[&str], tail: &str) -> String {
    const WIDTH: usize = 80;
    const INDENT: &str = "\n      ";
    let mut text = head.to_string();
    let mut column = head.len();
    for (place, word) in words.iter().enumerate() {
        let is_last = place + 1 == words.len();
        let after = if is_last { tail } else { ";" };
        let space = if place == 0 { "" } else { " " };
        if column + space.len() + word.len() + after.len() > WIDTH && place > 0 {
            text.push_str(INDENT);
            column = INDENT.len() - 1;
        } else {
            text.push_str(space);
            column += space.len();
        }
        text.push_str(word);
        text.push_str(after);
        column += word.len() + after.len();
    }
    text
}

/// Inputs by shape and container; none where all are canonical records by line.
fn shapes(replay: &Replay) -> Vec<((&'static Shape, &'static str), u64)> {
    let mut shapes: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    let read = replay.inputs.iter().filter(|input| input.same_as.is_none() && input.lines > 0);
    for (name, container) in read.filter_map(|input| Some((input.shape?, input.container))) {
        *shapes.entry((name, container)).or_default() += 1;
    }
    if shapes.keys().all(|key| *key == (canonical::SHAPE.name, Container::Jsonl.name())) {
        return Vec::new();
    }
    let told = |((name, container), inputs)| Some(((Shape::named(name)?, container), inputs));
    shapes.into_iter().filter_map(told).collect()
}

/// 12 ms, 3.4 s, 5 min 20 s.
fn in_words(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{} ms", took.as_millis()),
        1..=99 => format!("{:.1} s", took.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// More rows than a person reads at the end of a run; the reports have them all.
const MOST_ROWS: usize = 20;

/// What is told of all days at the end, added up day by day.
#[derive(Default)]
pub struct Closing<'r> {
    /// By base model and usage tier.
    sums: HashMap<(&'r str, UsageTier), Sum<'r>>,
    /// The highest share of any limit by quota model and usage tier, in thousandths, and in words.
    shares: BTreeMap<(&'r str, UsageTier), (u64, String)>,
    accounts: BTreeMap<&'r str, AccountSum>,
    /// Where accounts stand on the last day.
    last: (Vec<AccountDay<'r>>, BTreeMap<&'r str, Standing>),
    requests_throttled: u64,
    requests_spared_at_most: u64,
    assumptions: BTreeMap<Assumption, Resting>,
    warnings: BTreeMap<Warning, u64>,
    twice: Twice,
    unrated: BTreeMap<Reason, UnratedSum<'r>>,
    meters: BTreeMap<Meter, Quantities>,
    /// Requests in suspense that have no quantity.
    requests_unrated: u64,
}

#[derive(Default)]
struct AccountSum {
    rated: Pico,
    credit: Pico,
    net: Pico,
}

/// Quantities in suspense, of one reason.
#[derive(Default)]
struct UnratedSum<'r> {
    meters: BTreeMap<Meter, u64>,
    requests: u64,
    list_cost: Option<Pico>,
    first: Option<UnratedKey<'r>>,
}

impl<'r> Closing<'r> {
    /// Adds a day: they come in order.
    pub fn add(&mut self, replay: &'r Replay, day: &DayReport<'r>, books: &'r Books) {
        self.add_sums(replay, day, books);
        for (key, used) in &day.measured.quota {
            if let Some(share) = highest_share(used) {
                let best = self.shares.entry((key.quota_model, key.usage_tier)).or_default();
                if share > *best {
                    *best = share;
                }
            }
        }
        for account in &day.walked.accounts {
            let Some(id) = account.billing_account else { continue };
            let sum = self.accounts.entry(id).or_default();
            for (sum, addend) in [
                (&mut sum.rated, account.rated_cost),
                (&mut sum.credit, account.credit),
                (&mut sum.net, account.net_cost),
            ] {
                *sum = sum.checked_add(addend).unwrap_or(*sum);
            }
        }
        self.last = (day.walked.accounts.clone(), day.walked.standings.clone());
        for upgrade in day.measured.upgrades.values() {
            self.requests_throttled += upgrade.requests_throttled;
            self.requests_spared_at_most += upgrade.requests_spared_at_most;
        }
        for (assumption, resting) in &day.rated.assumptions {
            let sum = self.assumptions.entry(*assumption).or_insert(Resting::NOTHING);
            *sum = sum.checked_add(*resting).unwrap_or(*sum);
        }
        for (warning, requests) in &day.warnings {
            *self.warnings.entry(*warning).or_default() += requests;
        }
        for (shapes, requests) in &day.twice {
            *self.twice.entry(*shapes).or_default() += requests;
        }
        let mut unrated: Vec<_> = day.rated.unrated.iter().collect();
        unrated.sort_by_cached_key(|(key, _)| (key.project_id, key.model, key.why.to_string(), key.meter));
        for (key, unrated) in unrated {
            let sum = self.unrated.entry(key.why.reason()).or_default();
            match key.meter {
                Some(meter) => {
                    let quantity = sum.meters.entry(meter).or_default();
                    *quantity = quantity.saturating_add(unrated.quantity);
                }
                None => {
                    sum.requests += unrated.requests;
                    self.requests_unrated += unrated.requests;
                }
            }
            if let Some(list_cost) = unrated.list_cost {
                sum.list_cost = sum.list_cost.unwrap_or_default().checked_add(list_cost);
            }
            sum.first.get_or_insert(*key);
        }
        for (meter, of_day) in &day.rated.meters {
            let sums = self.meters.entry(*meter).or_default();
            sums.tallied += of_day.tallied;
            sums.charged += of_day.charged;
            sums.suspended += of_day.suspended;
        }
    }

    fn add_sums(&mut self, replay: &'r Replay, day: &DayReport<'r>, books: &'r Books) {
        for (key, cell) in day.cells.iter() {
            let facts = &replay.groups[key.group.0 as usize];
            let base_model = books.base_model(facts, key.day);
            let sum = self.sums.entry((base_model, key.usage_tier)).or_default();
            sum.requests += cell.requests;
            let is_billed = books.methods.find(facts.method).billed;
            for (slot, quantity) in cell.quantities() {
                match slot.meter() {
                    Meter::Input | Meter::InputCached | Meter::InputTool => sum.input += quantity,
                    Meter::Output | Meter::OutputThinking => sum.output += quantity,
                    _ => {}
                }
                sum.billed += if is_billed { u128::from(quantity) } else { 0 };
            }
            sum.quota_models.insert(q1_quota_model(facts, base_model, key.usage_tier, key.day, books));
        }
        for (key, charge) in &day.rated.charges {
            let sum = self.sums.entry((key.base_model, key.usage_tier)).or_default();
            sum.rated = sum.rated.checked_add(charge.rated_cost).unwrap_or(sum.rated);
            if key.meter != Meter::CacheStorage {
                sum.charged += u128::from(charge.quantity);
            }
        }
    }

    /// Says all of it.
    pub fn say(&self, replay: &Replay) {
        self.table();
        self.accounts();
        self.suspense(replay);
        self.assumptions();
    }

    /// Whether nothing that was used is in suspense.
    pub fn is_rated(&self) -> bool {
        self.unrated.is_empty()
    }

    /// Requests in suspense that have no quantity.
    pub fn requests_unrated(&self) -> u64 {
        self.requests_unrated
    }

    /// What was used, and what of it is in suspense.
    pub fn meters(&self) -> &BTreeMap<Meter, Quantities> {
        &self.meters
    }
}

/// What the closing table says of one base model and usage tier.
#[derive(Default)]
struct Sum<'r> {
    requests: u64,
    input: u64,
    output: u64,
    rated: Pico,
    /// What was used and is billed, and what of it was charged: the rest is in suspense.
    billed: u128,
    charged: u128,
    /// Under which its requests count against limits.
    quota_models: BTreeSet<&'r str>,
}

/// What is said of them.
impl Closing<'_> {
    /// The closing table over all days: by base model and usage tier, the dearest first, then by pricing tier.
    fn table(&self) {
        let mut sums: Vec<_> = self.sums.iter().collect();
        if sums.is_empty() {
            return;
        }
        let mut table =
            screen::plain_table(&["model", "tier", "requests", "input", "output", "rated USD", "quota"]);
        // A model's name in pieces is no use: rather one long line.
        table.set_content_arrangement(ContentArrangement::Disabled);
        sums.sort_by_key(|(key, sum)| (Reverse((sum.rated, sum.requests)), **key));
        for ((model, usage_tier), sum) in sums.iter().take(MOST_ROWS) {
            let shares = sum.quota_models.iter().filter_map(|model| self.shares.get(&(*model, *usage_tier)));
            let name = if model.is_empty() { "(none)".into() } else { shown(model) };
            table.add_row(cells(&name, usage_tier.name(), sum, shares.max().map_or("-", |(_, words)| words)));
        }
        if sums.len() > MOST_ROWS {
            table.add_row([format!("(and {} more)", sums.len() - MOST_ROWS)]);
        }
        if sums.len() > 1 {
            for pricing_tier in PricingTier::ALL {
                let of_tier =
                    sums.iter().filter(|((_, usage_tier), _)| usage_tier.pricing_tier() == *pricing_tier);
                let total = Sum::total(of_tier.map(|(_, sum)| *sum));
                if total.requests > 0 {
                    table.add_row(cells("all", pricing_tier.name(), &total, ""));
                }
            }
        }
        say(format_args!("\n{}", table.trim_fmt()));
        if sums.iter().any(|(_, sum)| sum.charged < sum.billed) {
            say("(+ ? : more was used than could be priced; it is in suspense)");
        }
    }

    /// What billing accounts came to, and what the next usage tier would bring.
    fn accounts(&self) {
        if !self.accounts.is_empty() {
            let header = ["billing account", "tier", "rated USD", "credits", "net USD", "next tier"];
            let mut table = screen::plain_table(&header);
            table.set_content_arrangement(ContentArrangement::Disabled);
            let (accounts, standings) = &self.last;
            for (id, standing) in standings.iter().take(MOST_ROWS) {
                let sum = &self.accounts[id];
                table.add_row([
                    shown(id).into_owned(),
                    standing.usage_tier.to_string(),
                    dollars(sum.rated),
                    dollars(sum.credit),
                    dollars(sum.net),
                    next_in_words(standing),
                ]);
            }
            say(format_args!("\n{}", table.trim_fmt()));
            if self.accounts.len() > MOST_ROWS {
                say(format_args!("(and {} more)", self.accounts.len() - MOST_ROWS));
            }
            for account in accounts {
                let standing = account.billing_account.and_then(|id| standings.get(id));
                let cap = standing.and_then(|standing| standing.monthly_cap);
                if let (Some(id), Some(cap)) =
                    (account.billing_account, cap.filter(|cap| account.month_cost > *cap))
                {
                    say(format_args!(
                        "{}: {} USD this month, above the cap of {}",
                        shown(id),
                        dollars(account.month_cost),
                        dollars(cap)
                    ));
                }
            }
        }
        if self.requests_throttled > 0 {
            say(format_args!(
                "\nthe next usage tier's limits would have spared at most {} of {}\n(upgrade.csv, by project and model)",
                thousands(self.requests_spared_at_most),
                counted(self.requests_throttled, "throttled request")
            ));
        }
    }

    /// Suspense by reason, with what to do about each, and the warnings.
    fn suspense(&self, replay: &Replay) {
        let told: Vec<String> =
            lines_by_reason(replay).into_iter().chain(self.quantities_by_reason()).collect();
        if !told.is_empty() {
            say(format_args!("\nin suspense:\n{}", told.join("\n")));
        }
        for name in nearly_all_suspended(replay) {
            let name = if name == "-" { "the standard input" } else { name };
            say(format_args!(
                "\nnearly every line of {name} is in suspense: is it a request log?\n    \
                 It was read as canonical records: JSON objects with timestamp, project_id, model,\n    \
                 status and usageMetadata; the README has an example and all fields."
            ));
        }
        if !self.warnings.is_empty() {
            say("\nwarnings:");
        }
        for (warning, requests) in &self.warnings {
            say(format_args!("  {warning}: {}\n    {}", counted(*requests, "request"), warning.remedy()));
            if *warning == Warning::MaybeCountedTwice {
                for ((one, other), requests) in &self.twice {
                    say(format_args!("    in {one} and in {other}: {}", counted(*requests, "request")));
                }
            }
        }
    }

    /// What rests on assumptions, and between which bounds.
    fn assumptions(&self) {
        if self.assumptions.is_empty() {
            return;
        }
        let mut table = screen::plain_table(&["assumed", "requests", "rated USD", "if read otherwise"]);
        for (assumption, resting) in &self.assumptions {
            let bounds = match resting.high {
                Some(high) if high == resting.low && high == Pico::ZERO => "no money".to_string(),
                Some(high) if high == resting.low => "the same".to_string(),
                Some(high) => format!("{} to {}", dollars(resting.low), dollars(high)),
                None => format!("from {}, nothing says to what", dollars(resting.low)),
            };
            let (requests, cost) = (thousands(resting.requests), dollars(resting.rated_cost));
            table.add_row([assumption.to_string(), requests, cost, bounds]);
        }
        say(format_args!("\n{}", table.trim_fmt()));
    }

    fn quantities_by_reason(&self) -> Vec<String> {
        let told = self.unrated.iter().map(|(reason, sum)| {
            let (with_tokens, others): (Vec<_>, Vec<_>) =
                sum.meters.iter().partition(|(meter, _)| meter.has_tokens());
            let tokens: u64 = with_tokens.iter().map(|(_, quantity)| **quantity).sum();
            let mut parts: Vec<String> = Vec::new();
            if tokens > 0 {
                parts.push(counted(tokens, "token"));
            }
            if sum.requests > 0 {
                parts.push(counted(sum.requests, "request"));
            }
            parts.extend(others.iter().map(|(meter, quantity)| format!("{} {meter}", thousands(**quantity))));
            let cost = sum
                .list_cost
                .map(|cost| format!(", {} USD at list price", dollars(cost)))
                .unwrap_or_default();
            let first = sum.first.map_or(String::new(), |key| match key.why.to_string() {
                why if why.contains(key.model) => why,
                why => format!("{}: {why}", key.model),
            });
            format!("  {reason}: {}{cost}\n    first: {first}\n    {}", parts.join(", "), reason.remedy())
        });
        told.collect()
    }
}

impl<'r> Sum<'r> {
    fn total<'s>(sums: impl Iterator<Item = &'s Sum<'r>>) -> Sum<'r>
    where
        'r: 's,
    {
        sums.fold(Sum::default(), |mut total, sum| {
            total.requests += sum.requests;
            total.input += sum.input;
            total.output += sum.output;
            total.rated = total.rated.checked_add(sum.rated).unwrap_or(total.rated);
            total.billed += sum.billed;
            total.charged += sum.charged;
            total
        })
    }
}

fn cells(name: &str, tier: &str, sum: &Sum<'_>, top: &str) -> [String; 7] {
    let unknown = if sum.charged < sum.billed { " + ?" } else { "" };
    let rated = format!("{}{unknown}", screen::dollars(sum.rated));
    let (requests, input, output) =
        (thousands(sum.requests), screen::tokens(sum.input), screen::tokens(sum.output));
    [name.to_string(), tier.to_string(), requests, input, output, rated, top.to_string()]
}

/// The highest share of a limit, in thousandths, and in words.
fn highest_share(used: &QuotaUse) -> Option<(u64, String)> {
    [
        ("RPM", used.rpm.limit, used.rpm.peak),
        ("TPM", used.tpm.limit, used.tpm.peak),
        ("RPD", used.rpd.limit, Some(used.rpd.used)),
        ("TPD", used.tpd.limit, Some(used.tpd.used)),
    ]
    .into_iter()
    .filter_map(|(name, limit, used)| Some((name, limit?, used?)))
    .filter_map(|(name, limit, used)| match limit {
        0 if used == 0 => None,
        0 => Some((u64::MAX, screen::share_in_words(name, used, 0))),
        limit => Some((used.saturating_mul(1_000) / limit, screen::share_in_words(name, used, limit))),
    })
    .max()
}

/// tier2 since 2026-06-12; tier2 from 250 USD, 30 days.
fn next_in_words(standing: &Standing) -> String {
    let Some(next) = standing.next else { return "-".to_string() };
    match (standing.eligible_since, standing.next_min_spend, standing.next_min_days) {
        (Some(since), ..) => format!("{next} since {since}"),
        (None, Some(spend), Some(days)) => format!("{next} from {spend} USD, {days} days"),
        _ => next.to_string(),
    }
}

/// Inputs that are likely no logs of this API: their lines aren't JSON, or lack what a request has.
fn nearly_all_suspended(replay: &Replay) -> Vec<&str> {
    let mut lines = vec![0; replay.inputs.len()];
    let is_foreign = |line: &&Suspended| {
        matches!(line.reason, Reason::MalformedJson | Reason::NotAnObject | Reason::MissingField)
    };
    for line in replay.suspended.iter().filter(is_foreign) {
        lines[line.input.0 as usize] += 1;
    }
    let of_inputs = replay.inputs.iter().zip(lines);
    of_inputs
        .filter(|(input, _)| input.shape == Some(canonical::SHAPE.name))
        .filter(|(input, lines)| *lines > 0 && lines * 10 >= input.lines * 9)
        .map(|(input, _)| &*input.name)
        .collect()
}

fn lines_by_reason(replay: &Replay) -> Vec<String> {
    let mut by_reason: BTreeMap<Reason, (u64, &Suspended)> = BTreeMap::new();
    for line in &replay.suspended {
        by_reason.entry(line.reason).or_insert((0, line)).0 += 1;
    }
    let told = by_reason.into_iter().map(|(reason, (count, first))| {
        let (name, number) = (&replay.inputs[first.input.0 as usize].name, first.line);
        let (lines, remedy) = (counted(count, "line"), reason.remedy());
        if reason == Reason::UnknownShape {
            let inputs = unknown_inputs(replay);
            return format!("  {reason}: {}\n{inputs}    {remedy}", counted(count, "input"));
        }
        format!("  {reason}: {lines}\n    first: {name}:{number}: {}\n    {remedy}", first.detail)
    });
    told.collect()
}

/// Each input whose shape can't be told, and what was seen in it.
fn unknown_inputs(replay: &Replay) -> String {
    let unknown: Vec<&Suspended> =
        replay.suspended.iter().filter(|line| line.reason == Reason::UnknownShape).collect();
    let told = unknown.iter().take(MOST_ROWS);
    let mut told: String = told
        .map(|line| format!("    {}: {}\n", replay.inputs[line.input.0 as usize].name, line.detail))
        .collect();
    if unknown.len() > MOST_ROWS {
        told.push_str(&format!("    (and {} more)\n", unknown.len() - MOST_ROWS));
    }
    told
}
