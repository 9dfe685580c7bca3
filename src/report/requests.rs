//! Owns the requests report: one row per request with what it used, what it cost and the line it was read from. Only
//! with `--detail`. Σ rated_cost_usd is that of charges.

use super::{Kind, Report, Rows, column};
use crate::books::Books;
use crate::charge;
use crate::error::Result;
use crate::types::day::Day;
use crate::types::detail::Kept;
use crate::types::key::shown;
use crate::types::meter::Meter;
use crate::types::origin::InputSummary;
use crate::types::tally::Groups;

pub const REPORT: Report = Report {
    name: "requests",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("timestamp", Kind::Instant, "of the request, to the microsecond"),
        column("project_id", Kind::Text, "Google Cloud project, as logged"),
        column("request_id", Kind::Text, "as logged").or_null("not logged"),
        column("model", Kind::Text, "as logged, without what ends in models/")
            .or_null("the method needs none"),
        column("base_model", Kind::Text, "under whose price and limits it goes")
            .or_null("the method needs none"),
        column("method", Kind::Text, "of the API"),
        column("status", Kind::Text, "HTTP status, or failed"),
        column("outcome", Kind::Text, "ok, client_error, throttled, cancelled, server_error, failed"),
        column("usage_tier", Kind::Text, "in force at the request's instant"),
        column("pricing_tier", Kind::Text, "free, paid, unknown: from the usage tier"),
        column("service_tier", Kind::Text, "as served"),
        column("channel", Kind::Text, "api, ai_studio"),
        column("context_band", Kind::Whole, "highest threshold of the price book that the prompt exceeds"),
        column("input_tokens", Kind::Whole, "prompt tokens, cached and tool tokens excluded"),
        column("input_tokens_cached", Kind::Whole, "prompt tokens read from a cache"),
        column("input_tokens_tool", Kind::Whole, "tokens of tools' results"),
        column("output_tokens", Kind::Whole, "candidates, thoughts included"),
        column("output_tokens_thoughts", Kind::Whole, "thoughts"),
        column("total_tokens", Kind::Whole, "totalTokenCount as logged"),
        column("list_cost_usd", Kind::Dollars, "of what has a price").or_null("nothing of it has a price"),
        column("rated_cost_usd", Kind::Dollars, "after the charging rules")
            .or_null("all of it is in suspense"),
        column("exempt", Kind::Text, "rules that make quantities of it free of charge").or_null("none does"),
        column("suspended", Kind::Text, "why quantities of it are in suspense").or_null("none is"),
        column("api_key_id", Kind::Text, "as logged").or_null("not logged"),
        column("region", Kind::Text, "as logged").or_null("not logged"),
        column("latency_ms", Kind::Whole, "as logged, whole milliseconds").or_null("not logged"),
        column("labels", Kind::Text, "as logged, a JSON object").or_null("not logged"),
        column("origin", Kind::Text, "the input, as given"),
        column("line", Kind::Whole, "in the input, from 1"),
    ],
    key: &["date", "timestamp", "project_id", "request_id", "origin", "line"],
    has_csv: false,
};

/// The rows of one day.
pub fn rows(
    day: Day,
    kept: &[Kept],
    groups: &Groups,
    books: &Books,
    inputs: &[InputSummary],
) -> Result<Rows> {
    let mut rows = Rows::new(&REPORT, kept.len());
    for request in kept {
        let facts = &groups[request.cell.group.0 as usize];
        let (usage_tier, band) = (request.cell.usage_tier, request.cell.context_band);
        let cost = charge::of_request(facts, usage_tier, band, day, &request.quantities, books)?;
        let tokens = |meter: Meter| -> u64 {
            request
                .quantities
                .iter()
                .filter(|(slot, _)| slot.meter() == meter)
                .map(|(_, tokens)| tokens)
                .sum()
        };
        let exempt: Vec<&str> = cost.exempt.iter().map(|exempt| exempt.name()).collect();
        let suspended: Vec<&str> = cost.suspended.iter().map(|reason| reason.name()).collect();
        rows.push([
            day.into(),
            request.at.into(),
            (*facts.project_id).into(),
            request.request_id.as_deref().into(),
            (*facts.model).into(),
            books.base_model(facts, day).into(),
            (*books.methods.find(facts.method).name).into(),
            facts.status.to_string().as_str().into(),
            books.outcomes.find(facts.status).outcome.name().into(),
            usage_tier.name().into(),
            usage_tier.pricing_tier().name().into(),
            facts.service_tier.name().into(),
            facts.channel.name().into(),
            band.0.into(),
            tokens(Meter::Input).into(),
            tokens(Meter::InputCached).into(),
            tokens(Meter::InputTool).into(),
            (tokens(Meter::Output) + tokens(Meter::OutputThinking)).into(),
            request.thoughts.into(),
            request.total_tokens.into(),
            cost.list.into(),
            cost.rated.into(),
            exempt.join(" ").as_str().into(),
            suspended.join(" ").as_str().into(),
            request.api_key_id.as_deref().into(),
            request.region.as_deref().into(),
            request.latency_ms.filter(|latency| i64::try_from(*latency).is_ok()).into(),
            request.labels.as_deref().into(),
            shown(&inputs[request.input.0 as usize].name).as_ref().into(),
            request.line.into(),
        ]);
    }
    Ok(rows)
}
