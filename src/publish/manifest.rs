//! Owns what is published beside the tables: `manifest.json` of a day, `run.json` of the run that published it. Neither
//! says when or where it was made.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::balance::Records;
use crate::books::Edition;
use crate::evidence::Warning;
use crate::pipeline::{DayReport, Replay};
use crate::read::shape::{Lack, Shape};
use crate::types::charge::{Assumption, Resting};
use crate::types::day::{Day, Instant, Window};
use crate::types::key::shown;
use crate::types::meter::Meter;
use crate::types::money::Pico;

/// What a day is, whoever published it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub date: String,
    pub state: State,
    pub requests: u64,
    /// Requests by Pacific hour, the hour's begin with its offset: 23 to 25 of them.
    pub hours: BTreeMap<String, u64>,
    pub first_at: Option<String>,
    pub last_at: Option<String>,
    /// The second equation, by meter.
    pub quantities: BTreeMap<String, QuantitiesOf>,
    pub books: Vec<Edition>,
    /// Requests by what is warned of.
    pub warnings: BTreeMap<String, u64>,
    pub assumptions: BTreeMap<String, RestingOn>,
    /// Hash of the `carry.json` of the day before with which the day began; None where it began empty, and in days that
    /// an earlier version published.
    #[serde(default)]
    pub carry_before: Option<String>,
}

/// Whether input past the day's midnight was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Open,
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Open => "open",
            State::Closed => "closed",
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct QuantitiesOf {
    pub tallied: u64,
    pub charged: u64,
    pub suspended: u64,
}

/// What rests on an assumption, before allowances and credits; the bounds are of its rated cost, if the pages were read
/// otherwise. Days of an earlier version have no bounds.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestingOn {
    pub requests: u64,
    pub rated_cost_usd: Pico,
    pub low_usd: Option<Pico>,
    /// None: nothing says what it would cost.
    pub high_usd: Option<Pico>,
}

impl Manifest {
    /// Of a day with requests or suspended lines.
    pub fn new(report: &DayReport<'_>, replay: &Replay, books: &[Edition], state: State) -> Manifest {
        let day = report.day;
        let hours = &report.measured.hours[..day.hours()];
        let span = replay.tally.spans.get(&day);
        let quantities = |(meter, sums): (&Meter, &crate::balance::Quantities)| {
            let of = QuantitiesOf { tallied: sums.tallied, charged: sums.charged, suspended: sums.suspended };
            (meter.to_string(), of)
        };
        Manifest {
            date: day.to_string(),
            state,
            requests: hours.iter().sum(),
            hours: hours
                .iter()
                .enumerate()
                .map(|(hour, requests)| (day.hour_label(hour), *requests))
                .collect(),
            first_at: span.map(|span| span.first_at.to_string()),
            last_at: span.map(|span| span.last_at.to_string()),
            quantities: report.rated.meters.iter().map(quantities).collect(),
            books: books.to_vec(),
            warnings: named(&report.warnings),
            assumptions: report.rated.assumptions.iter().map(resting_on).collect(),
            carry_before: report.carry_before.clone(),
        }
    }
}

fn resting_on((assumption, resting): (&Assumption, &Resting)) -> (String, RestingOn) {
    let Resting { requests, rated_cost, low, high } = *resting;
    let on = RestingOn { requests, rated_cost_usd: rated_cost, low_usd: Some(low), high_usd: high };
    (assumption.to_string(), on)
}

fn named(warnings: &BTreeMap<Warning, u64>) -> BTreeMap<String, u64> {
    warnings.iter().map(|(warning, requests)| (warning.to_string(), *requests)).collect()
}

/// What a run read, and how every line of it is accounted for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub rerate: String,
    pub window: WindowOf,
    pub records: RecordsOf,
    /// By kind.
    pub not_requests: BTreeMap<String, u64>,
    pub inputs: Vec<InputOf>,
    /// What the shapes of its inputs don't say, by shape.
    #[serde(default)]
    pub lacks: BTreeMap<String, Vec<LackOf>>,
}

/// What a log doesn't say, and what can't be known without it.
#[derive(Debug, Serialize, Deserialize)]
pub struct LackOf {
    pub what: String,
    pub so: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct WindowOf {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The first equation.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordsOf {
    pub lines: u64,
    pub blank: u64,
    pub not_requests: u64,
    pub suspended: u64,
    pub duplicates: u64,
    pub superseded: u64,
    pub outside_window: u64,
    pub requests: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct InputOf {
    pub name: String,
    pub bytes: u64,
    pub lines: u64,
    /// See [`InputSummary`](crate::types::origin::InputSummary).
    pub hash: String,
    #[serde(default)]
    pub container: String,
    /// Null where it couldn't be told.
    #[serde(default)]
    pub shape: Option<String>,
    /// Not read: its bytes are those of this input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

impl Run {
    pub fn new(replay: &Replay, window: Window) -> Run {
        let day = |day: Option<Day>| day.map(|day| day.to_string());
        let records: &Records = &replay.records;
        let shapes = replay.inputs.iter().filter_map(|input| Shape::named(input.shape?));
        let lacks = |shape: &Shape| {
            let lack = |lack: &Lack| LackOf { what: lack.what.to_string(), so: lack.so.to_string() };
            (shape.name.to_string(), shape.lacks.iter().map(lack).collect())
        };
        Run {
            rerate: env!("CARGO_PKG_VERSION").to_string(),
            window: WindowOf { from: day(window.from), to: day(window.to) },
            records: RecordsOf {
                lines: records.lines,
                blank: records.blank,
                not_requests: records.not_requests(),
                suspended: records.suspended,
                duplicates: records.duplicates,
                superseded: records.superseded,
                outside_window: records.outside_window,
                requests: records.requests,
            },
            not_requests: records
                .not_requests
                .iter()
                .map(|(kind, count)| (kind.to_string(), *count))
                .collect(),
            inputs: replay
                .inputs
                .iter()
                .map(|input| InputOf {
                    name: shown(&input.name).into_owned(),
                    bytes: input.bytes,
                    lines: input.lines,
                    hash: input.hash.clone(),
                    container: input.container.to_string(),
                    shape: input.shape.map(str::to_string),
                    same_as: input.same_as.as_deref().map(|name| shown(name).into_owned()),
                })
                .collect(),
            lacks: shapes.filter(|shape| !shape.lacks.is_empty()).map(lacks).collect(),
        }
    }
}

/// Closed when input past the day's midnight was read, or whoever runs it says that the input is whole.
pub fn state(day: Day, last_read: Option<Instant>, close: bool) -> State {
    let read_past = last_read.is_some_and(|last| last >= day.next().start());
    if close || read_past { State::Closed } else { State::Open }
}
