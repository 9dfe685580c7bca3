//! Owns the free units that a pool of models has each period. Who takes how many is for `charge::allowance`.

use std::sync::Arc;

use foldhash::HashMap;

use super::dated::{self, Entry, Fields, Line, Mistake, Timed};
use crate::names;
use crate::types::day::Day;
use crate::types::meter::Meter;
use crate::types::tier::words;

pub const EMBEDDED: &str = include_str!("allowances.csv");

words! {
    /// After which units are free anew: Pacific days and months.
    Period { Day = "day", Month = "month" }
}

#[derive(Clone, Debug)]
pub struct AllowanceLine {
    pub pool: Arc<str>,
    /// Space-separated.
    models: Arc<str>,
    meter: Meter,
    /// Free units of a period.
    pub quantity: u64,
    pub period: Period,
    from: Day,
}

/// The few meters of a model that have lines.
type Meters = Vec<(Meter, Timed<Arc<AllowanceLine>>)>;

#[derive(Debug)]
pub struct Allowances {
    /// By base model.
    models: HashMap<Arc<str>, Meters>,
}

impl Allowances {
    pub fn new(entries: &[Entry<AllowanceLine>]) -> Allowances {
        let lines = entries.iter().flat_map(|Entry { line, .. }| {
            let shared = Arc::new(line.clone());
            let of_model = move |model: &str| ((Arc::from(model), shared.meter), shared.from, shared.clone());
            line.models.split(' ').map(of_model).collect::<Vec<_>>()
        });
        let mut models: HashMap<_, Meters> = HashMap::default();
        for ((model, meter), lines) in dated::by_key(lines) {
            models.entry(model).or_default().push((meter, lines));
        }
        Allowances { models }
    }

    /// The meters of a base model that have a line in force on `day`.
    pub fn meters(&self, base_model: &str, day: Day) -> impl Iterator<Item = Meter> {
        let in_force = move |(_, lines): &&(_, Timed<_>)| dated::newest(lines, day).is_some();
        self.of_model(base_model).iter().filter(in_force).map(|(meter, _)| *meter)
    }

    /// The line of a base model's meter in force on `day`.
    pub fn find(&self, base_model: &str, meter: Meter, day: Day) -> Option<&Arc<AllowanceLine>> {
        let (_, lines) = self.of_model(base_model).iter().find(|(own, _)| *own == meter)?;
        dated::newest(lines, day)
    }

    fn of_model(&self, base_model: &str) -> &[(Meter, Timed<Arc<AllowanceLine>>)] {
        self.models.get(base_model).map_or(&[], Vec::as_slice)
    }
}

/// What only the whole book shows: a model's meter in two pools from one day.
pub fn check(entries: &[Entry<AllowanceLine>]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut seen: HashMap<(&str, Meter, Day), &str> = HashMap::default();
    for Entry { line, place, .. } in entries {
        for model in line.models.split(' ') {
            if let Some(pool) = seen.insert((model, line.meter, line.from), &line.pool) {
                let what = format!(
                    "{model} {} is in two pools from {} ({pool}, {})",
                    line.meter, line.from, line.pool
                );
                mistakes
                    .push(Mistake { place: place.to_string(), what: format!("{what}; take it out of one") });
            }
        }
    }
    mistakes
}

impl Line for AllowanceLine {
    const COLUMNS: &'static [&'static str] =
        &["pool", "models", "meter", "quantity", "period", "from", "confidence", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<AllowanceLine> {
        let (pool, models) = (fields.text("pool"), fields.text("models"));
        let meter = fields.word("meter", names!(Meter), Meter::from_name);
        let quantity = fields.whole("quantity");
        let period = fields.word("period", names!(Period), Period::from_name);
        let from = fields.day("from");
        fields.confidence()?;
        let (pool, models, meter) = (pool?, models?, meter?);
        Some(AllowanceLine { pool, models, meter, quantity: quantity?, period: period?, from: from? })
    }

    fn key(&self) -> String {
        format!("{} {} ({})", self.pool, self.meter, self.models)
    }

    fn from(&self) -> Option<Day> {
        Some(self.from)
    }

    fn answers(&self, word: &str) -> bool {
        *self.pool == *word || self.models.split(' ').any(|model| model == word)
    }
}
