//! Owns the price book: `usd` for `per` units of a meter, by model, service tier, modality, prompt size and day.
//! Multiplying is for `charge`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::dated::{self, Entry, Fields, Line, Mistake, Place, Timed};
use crate::names;
use crate::types::charge::UnitPrice;
use crate::types::day::Day;
use crate::types::meter::{Meter, Modality};
use crate::types::tier::{ContextBand, ServiceTier};

pub const EMBEDDED: &str = include_str!("prices.csv");

#[derive(Clone, Debug)]
pub struct PriceLine {
    model: Arc<str>,
    /// None: the price doesn't depend on it (`any`).
    service_tier: Option<ServiceTier>,
    meter: Meter,
    modality: Modality,
    price: Arc<UnitPrice>,
}

/// Prices of one day, in ascending order of the threshold.
type Schedule = Vec<Arc<UnitPrice>>;
type Key = (Option<ServiceTier>, Meter, Modality);

#[derive(Debug)]
pub struct Prices {
    models: HashMap<Arc<str>, ModelPrices>,
    /// All `above_prompt_tokens` of the book, ascending.
    bands: Vec<u64>,
}

/// The prices of one model.
#[derive(Debug, Default)]
pub struct ModelPrices(HashMap<Key, Timed<Schedule>>);

/// A price that was found.
pub struct Found<'p> {
    pub price: &'p Arc<UnitPrice>,
    /// The meter whose line it is: another than asked for where that has none.
    pub meter: Meter,
}

impl Prices {
    pub fn new(entries: &[Entry<PriceLine>]) -> Prices {
        let mut schedules: BTreeMap<(Arc<str>, Key, Day), Schedule> = BTreeMap::new();
        for Entry { line, .. } in entries {
            let key = (line.service_tier, line.meter, line.modality);
            schedules.entry((line.model.clone(), key, line.price.from)).or_default().push(line.price.clone());
        }
        let mut models: HashMap<Arc<str>, ModelPrices> = HashMap::default();
        for ((model, key, from), mut schedule) in schedules {
            schedule.sort_by_key(|price| price.above_prompt_tokens);
            models.entry(model).or_default().0.entry(key).or_default().push((from, schedule));
        }
        let thresholds: BTreeSet<u64> =
            entries.iter().map(|entry| entry.line.price.above_prompt_tokens).collect();
        Prices { models, bands: thresholds.into_iter().collect() }
    }

    /// The highest threshold of the whole book that a prompt exceeds, or 0.
    pub fn context_band(&self, prompt_tokens: u64) -> ContextBand {
        // Most prompts exceed hardly one.
        let exceeded = self.bands.iter().copied().take_while(|above| *above < prompt_tokens);
        ContextBand(exceeded.last().unwrap_or(0))
    }

    /// None of a model that never had a price.
    pub fn of_model(&self, model: &str) -> Option<&ModelPrices> {
        self.models.get(model)
    }

    /// Whether a model has ever had a price for a meter.
    pub fn has(&self, model: &str, meter: Meter) -> bool {
        self.of_model(model).is_some_and(|lines| lines.0.keys().any(|(_, priced, _)| *priced == meter))
    }
}

impl ModelPrices {
    /// C1. The price in force on `day`: an own line wins over `any`, service tier first, then modality; where the
    /// meter has none, all this is tried for the meter it is priced as.
    pub fn find(
        &self,
        service_tier: ServiceTier,
        meter: Meter,
        modality: Modality,
        band: ContextBand,
        day: Day,
    ) -> Option<Found<'_>> {
        [Some(meter), meter.priced_as()].into_iter().flatten().find_map(|meter| {
            [Some(service_tier), None].into_iter().find_map(|service_tier| {
                [modality, Modality::Any].into_iter().find_map(|modality| {
                    let schedule = dated::newest(self.0.get(&(service_tier, meter, modality))?, day)?;
                    let price = schedule.iter().rev().find(|price| price.above_prompt_tokens <= band.0)?;
                    Some(Found { price, meter })
                })
            })
        })
    }
}

impl Line for PriceLine {
    const COLUMNS: &'static [&'static str] = &[
        "model",
        "service_tier",
        "meter",
        "modality",
        "above_prompt_tokens",
        "from",
        "usd",
        "per",
        "confidence",
        "citation",
    ];

    fn read(fields: &mut Fields<'_>) -> Option<PriceLine> {
        let service_tiers = names!(ServiceTier).chain(["any"]);
        let model = fields.text("model");
        let service_tier = fields.word("service_tier", service_tiers, |word| match word {
            "any" => Some(None),
            word => ServiceTier::from_name(word).map(Some),
        });
        let priced = |meter: &Meter| *meter != Meter::Unexplained;
        let meters = Meter::ALL.iter().copied().filter(priced).map(Meter::name);
        let meter = fields.word("meter", meters, |word| Meter::from_name(word).filter(priced));
        let modality = fields.word("modality", names!(Modality), Modality::from_name);
        let above_prompt_tokens = fields.whole("above_prompt_tokens");
        let (from, usd, per) = (fields.day("from"), fields.dollars("usd"), fields.whole("per"));
        fields.confidence()?;
        let citation = fields.text("citation")?;
        let (meter, usd, per) = (meter?, usd?, per?);
        if per == 0 {
            fields.mistake("per is 0; expected how many units the price is for, like 1000000".to_string());
            return None;
        }
        if meter != Meter::CacheStorage && usd.0 % i128::from(per) != 0 {
            fields.mistake(format!(
                "usd {usd} per {per} is no whole number of pico-dollars (10^-12 USD) a unit; expected one, as 0.35 \
                 per 1000000 is"
            ));
            return None;
        }
        let price = UnitPrice { above_prompt_tokens: above_prompt_tokens?, from: from?, usd, per, citation };
        let (model, service_tier, modality) = (model?, service_tier?, modality?);
        Some(PriceLine { model, service_tier, meter, modality, price: Arc::new(price) })
    }

    fn key(&self) -> String {
        let service_tier = self.service_tier.map_or("any", ServiceTier::name);
        let PriceLine { model, meter, modality, price, .. } = self;
        let above = price.above_prompt_tokens.to_string();
        [model, service_tier, meter.name(), modality.name(), "above", &above].join(" ")
    }

    fn from(&self) -> Option<Day> {
        Some(self.price.from)
    }

    fn answers(&self, word: &str) -> bool {
        *self.model == *word
    }
}

/// What only the whole book shows: a schedule that doesn't begin at 0, and a modality that the standard service
/// tier prices apart while another prices it under `any`: whoever added it forgot a line.
pub fn check(entries: &[Entry<PriceLine>]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut begun = HashSet::default();
    let mut lines: BTreeMap<(&str, Meter), Vec<&Entry<PriceLine>>> = BTreeMap::new();
    for entry in entries {
        let PriceLine { model, service_tier, meter, modality, price } = &entry.line;
        if price.above_prompt_tokens == 0 {
            begun.insert((model, service_tier, meter, modality, price.from));
        }
        lines.entry((model, *meter)).or_default().push(entry);
    }
    for entry in entries {
        let PriceLine { model, service_tier, meter, modality, price } = &entry.line;
        if !begun.contains(&(model, service_tier, meter, modality, price.from)) {
            let what = format!(
                "{} has no line above 0 beside it from {}; add what shorter prompts cost",
                entry.line.key(),
                price.from
            );
            mistakes.push(Mistake { place: entry.place.to_string(), what });
        }
    }
    for ((model, meter), lines) in lines {
        let days: BTreeSet<Day> = lines.iter().map(|entry| entry.line.price.from).collect();
        let mut told = HashSet::default();
        for day in days {
            for (service_tier, modality, place) in priced_under_any(&lines, day) {
                if told.insert((service_tier, modality)) {
                    let what = format!(
                        "{model} {service_tier} {meter} has no line for {modality} on {day}, which standard prices apart; \
                         add one"
                    );
                    mistakes.push(Mistake { place: place.to_string(), what });
                }
            }
        }
    }
    mistakes
}

/// Of one model and meter on one day: service tiers that have lines, but none for a modality that standard has.
fn priced_under_any<'e>(lines: &[&'e Entry<PriceLine>], day: Day) -> Vec<(ServiceTier, Modality, &'e Place)> {
    let in_force: Vec<_> = lines.iter().filter(|entry| entry.line.price.from <= day).collect();
    let has = |service_tier: ServiceTier, modality: Modality| {
        in_force
            .iter()
            .find(|entry| (entry.line.service_tier, entry.line.modality) == (Some(service_tier), modality))
    };
    let mut missing = Vec::new();
    for service_tier in [ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority] {
        let Some(any) = has(service_tier, Modality::Any) else {
            continue;
        };
        for &modality in Modality::ALL.iter().filter(|modality| **modality != Modality::Any) {
            if has(ServiceTier::Standard, modality).is_some() && has(service_tier, modality).is_none() {
                missing.push((service_tier, modality, &any.place));
            }
        }
    }
    missing
}
