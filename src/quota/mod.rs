//! Owns measuring: use of quota per project, model and usage tier against the limits in force (design §6, Q rules).
//! Looks limits up, knows none.

pub mod evidence;
mod upgrade;
pub mod window;

use std::collections::BTreeMap;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::books::Books;
use crate::books::limits::Metric;
use crate::error::Result;
use crate::memory::Memory;
use crate::traffic;
use crate::types::day::{Day, Instant};
use crate::types::quota_use::{DayUse, MinuteUse, QuotaKey, QuotaUse, Upgrade};
use crate::types::request::{GroupFacts, Outcome};
use crate::types::tally::{Arrival, DayTraffic, Groups, Part, SeriesKey, Traffic};
use crate::types::tier::{ServiceTier, UsageTier};
use window::{Peak, Seconds, Series, Used};

/// A day's use of quota.
#[derive(Debug, Default)]
pub struct Measured<'r> {
    pub quota: BTreeMap<QuotaKey<'r>, QuotaUse>,
    /// Packed by [`window::pack`]: they are many, and only published. None of keys with requests of which the log doesn't
    /// say when they were.
    pub minutes: BTreeMap<QuotaKey<'r>, Vec<u8>>,
    /// Of rows that have a next usage tier.
    pub upgrades: BTreeMap<QuotaKey<'r>, Upgrade>,
    /// All requests, also those that count against no quota, by hour from the day's midnight.
    pub hours: Hours,
}

/// Requests by hour of a day.
pub type Hours = [u64; 25];

/// What is measured together: usage tiers of one project's model on one day.
type Tiers<'r, 's> = Vec<(QuotaKey<'r>, Vec<Series<'s>>)>;

/// Measures the traffic of a day: all at once, or part by part where it isn't all in memory.
pub fn measure<'r>(
    day: Day,
    traffic: &Traffic,
    groups: &'r Groups,
    books: &'r Books,
    memory: &Memory,
) -> Result<Measured<'r>> {
    let mut measured = Measured::default();
    let in_memory = traffic.days.get(&day).into_iter();
    if !Part::all().any(|part| traffic.spilled.contains_key(&(day, part))) {
        measured.add(day, in_memory.flat_map(DayTraffic::series), groups, books);
        return Ok(measured);
    }
    for part in Part::all() {
        let spilled = traffic.spilled.get(&(day, part)).map_or(&[][..], Vec::as_slice);
        let spilled = traffic::read(spilled, memory)?;
        let of_part =
            |(key, _): &(&SeriesKey, &[Arrival])| Part::of(&groups[key.group.0 as usize].project_id) == part;
        let in_memory = in_memory.clone().flat_map(DayTraffic::series).filter(of_part);
        measured.add(day, in_memory.chain(spilled.series()), groups, books);
    }
    Ok(measured)
}

impl<'r> Measured<'r> {
    /// Measures series, all that there are of their projects on a day.
    fn add<'s>(
        &mut self,
        day: Day,
        series: impl Iterator<Item = (&'s SeriesKey, &'s [Arrival])>,
        groups: &'r Groups,
        books: &'r Books,
    ) {
        let mut rows: BTreeMap<QuotaKey<'r>, Vec<Series<'s>>> = BTreeMap::new();
        for (key, arrivals) in series {
            let facts = &groups[key.group.0 as usize];
            if !q3_q8_is_measured(facts, books) {
                arrivals.iter().for_each(|arrival| arrival.put(&mut self.hours[arrival.hour_of_day()], 1));
                continue;
            }
            let outcome = books.outcomes.find(facts.status);
            let quota_model = q1_quota_model(facts, books.base_model(facts, day), key.usage_tier, day, books);
            let row = QuotaKey { project_id: &facts.project_id, quota_model, usage_tier: key.usage_tier };
            rows.entry(row).or_default().push(Series {
                arrivals,
                counted: outcome.counts_against_quota,
                throttled: outcome.outcome == Outcome::Throttled,
                undated: key.undated,
            });
        }
        // Seconds are many, so no more of them stand at once than are looked at together.
        let mut models: Vec<Tiers<'r, 's>> = Vec::new();
        for (key, series) in rows {
            match models.last_mut() {
                Some(tiers) if tiers[0].0.is_same_model(&key) => tiers.push((key, series)),
                _ => models.push(vec![(key, series)]),
            }
        }
        // No more tables than threads: rayon's own, one for each part of the models, would be many.
        let tables: Mutex<Vec<Tables>> = Mutex::default();
        let free_tables = || tables.lock().expect("no thread panicked");
        let measure = |tiers| {
            let mut own = { free_tables().pop() }.unwrap_or_default();
            let rows = measure_model(tiers, &mut own, day, books);
            free_tables().push(own);
            rows
        };
        let rows: Vec<Vec<Row<'r>>> = models.par_iter().map(measure).collect();
        for Row { key, used, hours, minutes, upgrade } in rows.into_iter().flatten() {
            self.quota.insert(key, used);
            self.hours.iter_mut().zip(hours).for_each(|(sum, requests)| *sum += requests);
            self.minutes.extend(minutes.map(|minutes| (key, minutes)));
            self.upgrades.extend(upgrade.map(|upgrade| (key, upgrade)));
        }
    }
}

/// What is measured of one key.
struct Row<'r> {
    key: QuotaKey<'r>,
    used: QuotaUse,
    hours: Hours,
    minutes: Option<Vec<u8>>,
    upgrade: Option<Upgrade>,
}

/// What measuring is done in: large, so used again.
#[derive(Default)]
struct Tables {
    seconds: Seconds,
    over_tiers: Vec<Used>,
}

fn measure_model<'r>(tiers: &Tiers<'r, '_>, tables: &mut Tables, day: Day, books: &Books) -> Vec<Row<'r>> {
    let Tables { seconds, over_tiers } = tables;
    over_tiers.resize_with(tiers.len(), Used::default);
    for ((_, series), used) in tiers.iter().zip(&mut *over_tiers) {
        seconds.add_up(series, used);
    }
    let measure = |((key, series), used): (&(QuotaKey<'r>, Vec<Series<'_>>), &Used)| {
        // Where the log doesn't say when some requests were nothing is known of minutes.
        let undated = series.iter().filter(|series| series.undated);
        let undated = undated.map(|series| Arrival::count(series.arrivals));
        // What is taken back may stand in another piece than what was added.
        let dated = undated.fold(0, u64::wrapping_add) == 0;
        let mut hours = Hours::default();
        for minute in &used.minutes {
            hours[minute.number() as usize / 60] += minute.sums.requests;
        }
        Row {
            key: *key,
            used: quota_use(key, used, dated, over_tiers, day, books),
            hours,
            minutes: dated.then(|| window::pack(&used.minutes)),
            upgrade: dated.then(|| upgrade::upgrade(key, used, over_tiers, day, books)).flatten(),
        }
    };
    // Where all requests were taken back there is nothing.
    let rows = tiers.iter().zip(&*over_tiers).filter(|(_, used)| !used.minutes.is_empty());
    rows.map(measure).collect()
}

/// Q3. countTokens counts against no inference quota (billing page), nor does a method that methods.csv says doesn't.
/// Q8. Batch has its own quota of enqueued tokens, which no log tells (rate-limits page).
fn q3_q8_is_measured(facts: &GroupFacts, books: &Books) -> bool {
    books.methods.find(facts.method).counts_against_quota && facts.service_tier != ServiceTier::Batch
}

/// Q1. Requests count under the model as logged where the limit book has an rpm, tpm or rpd line for that name and usage
/// tier in force that day, else under its base model. That snapshots share the base model's counter isn't documented.
pub fn q1_quota_model<'r>(
    facts: &'r GroupFacts,
    base_model: &'r str,
    usage_tier: UsageTier,
    day: Day,
    books: &Books,
) -> &'r str {
    let metrics = [Metric::Rpm, Metric::Tpm, Metric::Rpd];
    let has_own = books.limits.of_model(&facts.model).is_some_and(|limits| {
        metrics.into_iter().any(|metric| limits.find(usage_tier, metric, day).is_some())
    });
    if has_own { &facts.model } else { base_model }
}

/// Q9. The limit in force on the day: the project's own of the accounts file, else the book's; None when there is none.
fn q9_limit(key: &QuotaKey<'_>, metric: Metric, day: Day, books: &Books) -> Option<u64> {
    let own = books.accounts.limit(key.project_id, key.quota_model, metric, day);
    own.or_else(|| books.limits.find(key.quota_model, key.usage_tier, metric, day))
}

fn quota_use(
    key: &QuotaKey<'_>,
    used: &Used,
    dated: bool,
    over_tiers: &[Used],
    day: Day,
    books: &Books,
) -> QuotaUse {
    let limit = |metric| q9_limit(key, metric, day, books);
    let (rpm, tpm) = (limit(Metric::Rpm), limit(Metric::Tpm));
    let peaks = dated.then(|| window::peaks(used, [rpm, tpm]));
    let minute_use = |limit: Option<u64>, peak: Option<Peak>| MinuteUse {
        limit,
        peak: peak.map(|peak| peak.peak),
        peak_at: peak
            .and_then(|peak| peak.at)
            .map(|second| Instant::from_seconds(day.start().seconds() + i64::from(second))),
        peak_minute: peak.map(|peak| peak.minute),
        over_seconds: limit.and(peak).map(|peak| peak.over_seconds),
    };
    // Q5. What was used before an upgrade still counts that day, so days are summed over usage tiers.
    let last = used.seconds.last().map_or(0, |second| second.second);
    let (mut rpd_used, mut tpd_used) = (0, 0);
    for so_far in over_tiers.iter().map(|of_tier| of_tier.until(last)) {
        rpd_used += so_far.counted;
        tpd_used += so_far.input_tokens;
    }
    let whole = used.whole();
    QuotaUse {
        requests: whole.requests,
        requests_counted: whole.counted,
        requests_throttled: whole.throttled,
        rpd: DayUse { limit: limit(Metric::Rpd), used: rpd_used },
        rpm: minute_use(rpm, peaks.map(|[requests, _]| requests)),
        tpm: minute_use(tpm, peaks.map(|[_, input_tokens]| input_tokens)),
        tpd: DayUse { limit: limit(Metric::Tpd), used: tpd_used },
    }
}
