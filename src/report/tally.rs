//! Owns the tally report: the finest cells with all the facts that usage and charges need, so that other books can be
//! applied without the logs. One row per cell, meter and modality; what isn't priced is a meter here too.

use std::collections::BTreeMap;
use std::iter;

use foldhash::HashMap;

use super::{Kind, Report, Rows, Value, column};
use crate::books::Books;
use crate::cells;
use crate::charge::storage::{StorageKey, Stored};
use crate::types::day::Day;
use crate::types::meter::{Meter, Modality};
use crate::types::request::{Facts, Tools};
use crate::types::tally::{Cell, CellKey, Cells, FigureOf, GroupId, Groups};
use crate::types::tier::ServiceTier;
use crate::types::violation::Violations;

pub const REPORT: Report = Report {
    name: "tally",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "as logged"),
        column("model", Kind::Text, "as logged, without what ends in models/")
            .or_null("the method needs none"),
        column("model_version", Kind::Text, "what answered, as logged").or_null("not logged"),
        column("tuned_from", Kind::Text, "a tuned model's base_model, as logged").or_null("not logged"),
        column("method", Kind::Text, "of the API"),
        column("status", Kind::Text, "HTTP status, or failed"),
        column("service_tier", Kind::Text, "as served"),
        column("usage_tier", Kind::Text, "in force at the request's instant"),
        column("channel", Kind::Text, "api, ai_studio"),
        column("tools", Kind::Text, "google_search alone, others, not_logged"),
        column("terms", Kind::Text, "paid, unpaid, unknown: as in data_use").or_null("of cache_storage"),
        column("context_band", Kind::Whole, "highest threshold of the price book that the prompt exceeds"),
        column("meter", Kind::Text, "of charges, and requests, thoughts, total_tokens, requests_…"),
        column("modality", Kind::Text, "of a token meter; any of others"),
        column("quantity", Kind::Whole, "sum over the cell's requests; token-seconds of cache_storage"),
        column("cache_base_model", Kind::Text, "of cache_storage, as on the cache's creation")
            .or_null("the books say it"),
    ],
    key: &[
        "date",
        "project_id",
        "model",
        "model_version",
        "tuned_from",
        "method",
        "status",
        "service_tier",
        "usage_tier",
        "channel",
        "tools",
        "terms",
        "context_band",
        "meter",
        "modality",
        "cache_base_model",
    ],
    has_csv: false,
};

/// The method whose requests storage goes back to.
const CREATES_CACHES: &str = "cachedContents.create";

/// The rows of one day: those of `cells`, and the storage of caches. Whether the log itself or the accounts file says the
/// usage tier isn't shown, nor the quotas that a 429 names (`evidence` has them) and the shape, so cells that differ in nothing else are one
/// here: a row per key, or the order of rows would depend on that of the cells.
pub fn rows(
    day: Day,
    cells: &Cells,
    storage: &BTreeMap<StorageKey<'_>, Stored>,
    groups: &Groups,
    books: &Books,
) -> Rows {
    let mut own_group: HashMap<Facts<&str>, GroupId> = HashMap::default();
    let mut shown: Vec<(CellKey, &Cell)> = Vec::with_capacity(cells.len());
    for of_group in cells.chunk_by(|(one, _), (next, _)| one.group == next.group) {
        let own = of_group[0].0.group;
        let facts = groups[own.0 as usize].map_names(|name| name);
        let facts = Facts { usage_tier: None, violations: Violations::default(), shape: "", ..facts };
        let group = *own_group.entry(facts).or_insert(own);
        shown.extend(of_group.iter().map(|(key, cell)| (CellKey { group, ..*key }, cell)));
    }
    let shown = cells::merge(shown);
    // A row for each figure of a cell.
    let counts: Vec<usize> = shown.iter().map(|(_, cell)| 1 + cell.figures().count()).collect();
    let figures = || {
        shown.iter().flat_map(|(_, cell)| {
            let of_cell = cell.figures().map(|(figure, sum)| match figure.of() {
                FigureOf::Beside(beside) => (beside.name(), Modality::Any, sum),
                FigureOf::Slot(slot) => (slot.meter().name(), slot.modality(), sum),
            });
            iter::once(("requests", Modality::Any, cell.requests)).chain(of_cell)
        })
    };
    let keys = || shown.iter().map(|(key, _)| key).zip(counts.iter().copied());
    let facts = || keys().map(|(key, count)| (&*groups[key.group.0 as usize], count));
    let statuses: Vec<String> = facts().map(|(facts, _)| facts.status.to_string()).collect();
    let count: usize = counts.iter().sum();
    let mut rows = Rows::new(&REPORT, count + storage.len());
    let mut columns = rows.append(count);
    columns.all(day);
    columns.each_in(facts().map(|(facts, count)| (&*facts.project_id, count)));
    columns.each_in(facts().map(|(facts, count)| (&*facts.model, count)));
    columns.each_in(facts().map(|(facts, count)| (&*facts.model_version, count)));
    columns.each_in(facts().map(|(facts, count)| (&*facts.base_model, count)));
    columns.each_in(facts().map(|(facts, count)| (&*books.methods.find(facts.method).name, count)));
    columns.each_in(statuses.iter().map(String::as_str).zip(counts.iter().copied()));
    columns.each_in(facts().map(|(facts, count)| (facts.service_tier.name(), count)));
    columns.each_in(keys().map(|(key, count)| (key.usage_tier.name(), count)));
    columns.each_in(facts().map(|(facts, count)| (facts.channel.name(), count)));
    columns.each_in(facts().map(|(facts, count)| (facts.tools.name(), count)));
    columns.each_in(keys().map(|(key, count)| (key.terms.name(), count)));
    columns.each_in(keys().map(|(key, count)| (key.context_band.0, count)));
    columns.each(figures().map(|(meter, ..)| meter));
    columns.each(figures().map(|(_, modality, _)| modality.name()));
    columns.each(figures().map(|(.., sum)| sum));
    columns.all(Value::Null);
    for (key, stored) in storage {
        rows.push([
            day.into(),
            key.project_id.into(),
            key.model.into(),
            Value::Null,
            Value::Null,
            CREATES_CACHES.into(),
            "200".into(),
            ServiceTier::Standard.name().into(),
            key.usage_tier.name().into(),
            key.channel.name().into(),
            Tools::Others.name().into(),
            Value::Null,
            0.into(),
            Meter::CacheStorage.name().into(),
            Modality::Any.name().into(),
            stored.token_seconds.into(),
            key.base_model.into(),
        ]);
    }
    rows
}
