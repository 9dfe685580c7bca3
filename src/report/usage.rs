//! Owns the usage report: what was used, by all that tells requests apart.

use foldhash::HashMap;

use super::{Kind, Report, Rows, column};
use crate::books::Books;
use crate::types::day::Day;
use crate::types::meter::Meter;
use crate::types::tally::{Beside, Cells, FigureOf, Groups};

pub const REPORT: Report = Report {
    name: "usage",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "Google Cloud project, as logged"),
        column("model", Kind::Text, "as logged, without what ends in models/")
            .or_null("the method needs none"),
        column("base_model", Kind::Text, "under whose price and limits it goes")
            .or_null("the method needs none"),
        column("method", Kind::Text, "of the API"),
        column(
            "usage_tier",
            Kind::Text,
            "free, tier1, tier2, tier3, unknown: in force at the request's instant",
        ),
        column("pricing_tier", Kind::Text, "free, paid, unknown: from the usage tier"),
        column("service_tier", Kind::Text, "standard, batch, flex, priority: as served"),
        column("channel", Kind::Text, "api, ai_studio"),
        column("outcome", Kind::Text, "ok, client_error, throttled, cancelled, server_error, failed"),
        column("requests", Kind::Whole, "requests that count, each identity once"),
        column("input_tokens", Kind::Whole, "prompt tokens, cached and tool tokens excluded"),
        column("input_tokens_cached", Kind::Whole, "prompt tokens read from a cache"),
        column("input_tokens_tool", Kind::Whole, "tokens of tools' results"),
        column("output_tokens", Kind::Whole, "candidates, thoughts included"),
        column("output_tokens_thoughts", Kind::Whole, "thoughts"),
        column("total_tokens", Kind::Whole, "totalTokenCount as logged"),
    ],
    key: &[
        "date",
        "project_id",
        "model",
        "base_model",
        "method",
        "usage_tier",
        "pricing_tier",
        "service_tier",
        "channel",
        "outcome",
    ],
    has_csv: true,
};

/// The rows of one day.
pub fn rows(day: Day, cells: &Cells, groups: &Groups, books: &Books) -> Rows {
    let mut sums = HashMap::default();
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let row = (
            &*facts.project_id,
            &*facts.model,
            books.base_model(facts, day),
            &*books.methods.find(facts.method).name,
            key.usage_tier,
            facts.service_tier,
            facts.channel,
            books.outcomes.find(facts.status).outcome,
        );
        let sum: &mut [u64; 7] = sums.entry(row).or_default();
        sum[0] += cell.requests;
        for (figure, addend) in cell.figures() {
            let place = match figure.of() {
                FigureOf::Slot(slot) => match slot.meter() {
                    Meter::Input => 1,
                    Meter::InputCached => 2,
                    Meter::InputTool => 3,
                    Meter::Output | Meter::OutputThinking => 4,
                    _ => continue,
                },
                FigureOf::Beside(Beside::Thoughts) => 5,
                FigureOf::Beside(Beside::TotalTokens) => 6,
                FigureOf::Beside(_) => continue,
            };
            sum[place] += addend;
        }
    }
    let mut rows = Rows::new(&REPORT, sums.len());
    for ((project, model, base_model, method, usage_tier, service_tier, channel, outcome), sum) in sums {
        let [requests, input, cached, tool, output, thoughts, total] = sum;
        rows.push([
            day.into(),
            project.into(),
            model.into(),
            base_model.into(),
            method.into(),
            usage_tier.name().into(),
            usage_tier.pricing_tier().name().into(),
            service_tier.name().into(),
            channel.name().into(),
            outcome.name().into(),
            requests.into(),
            input.into(),
            cached.into(),
            tool.into(),
            output.into(),
            thoughts.into(),
            total.into(),
        ]);
    }
    rows
}
