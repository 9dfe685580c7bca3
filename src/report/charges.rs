//! Owns the charges report: what was charged, at which price and why. Σ rated_cost_usd is what Google should charge
//! before credits.

use super::{Kind, Report, Rows, column};
use crate::books::Books;
use crate::charge::Rated;
use crate::types::day::Day;

const NO_PRICE: &str = "no price line is in force: the quantity is exempt";

pub const REPORT: Report = Report {
    name: "charges",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "Google Cloud project, as logged"),
        column("billing_account", Kind::Text, "of the project, from the accounts file")
            .or_null("the accounts file says none"),
        column("model", Kind::Text, "as logged, without what ends in models/"),
        column("base_model", Kind::Text, "under whose price it goes"),
        column("usage_tier", Kind::Text, "free, tier1, tier2, tier3, unknown"),
        column("pricing_tier", Kind::Text, "free, paid, unknown: from the usage tier"),
        column("service_tier", Kind::Text, "standard, batch, flex, priority: as served"),
        column("channel", Kind::Text, "api, ai_studio"),
        column("price_above_prompt_tokens", Kind::Whole, "of the price line: it holds for longer prompts")
            .or_null(NO_PRICE),
        column("meter", Kind::Text, "what is counted"),
        column("modality", Kind::Text, "text, image, video, audio, document of tokens; any of other meters"),
        column("exempt", Kind::Text, "the rule that makes it free of charge").or_null("it is charged"),
        column(
            "quantity",
            Kind::Whole,
            "tokens, images, seconds, songs, prompts or queries; token-seconds of cache_storage",
        ),
        column("allowance_quantity", Kind::Whole, "of quantity, what a free allowance covers")
            .or_null("no allowance fits, or the row is exempt"),
        column("per", Kind::Whole, "units that unit_price_usd is for").or_null(NO_PRICE),
        column("unit_price_usd", Kind::Dollars, "list price of `per` units").or_null(NO_PRICE),
        column("list_cost_usd", Kind::Dollars, "quantity × unit_price_usd ÷ per").or_null(NO_PRICE),
        column(
            "rated_cost_usd",
            Kind::Dollars,
            "0 when exempt, else (quantity − allowance_quantity) × unit_price_usd ÷ per",
        ),
        column("price_from", Kind::Date, "day from which the price line holds").or_null(NO_PRICE),
        column("price_citation", Kind::Text, "where the price was read").or_null(NO_PRICE),
    ],
    key: &[
        "date",
        "project_id",
        "billing_account",
        "model",
        "base_model",
        "usage_tier",
        "pricing_tier",
        "service_tier",
        "channel",
        "price_above_prompt_tokens",
        "meter",
        "modality",
        "exempt",
    ],
    has_csv: true,
};

/// The rows of one day.
pub fn rows(day: Day, rated: &Rated<'_>, books: &Books) -> Rows {
    let mut rows = Rows::new(&REPORT, rated.charges.len());
    let (keys, charges) = (|| rated.charges.keys(), || rated.charges.values());
    let prices = || charges().map(|charge| charge.price);
    let mut columns = rows.append(rated.charges.len());
    columns.all(day);
    columns.each(keys().map(|key| key.project_id));
    columns.each(keys().map(|key| books.accounts.billing_account(key.project_id).map(|account| &**account)));
    columns.each(keys().map(|key| key.model));
    columns.each(keys().map(|key| key.base_model));
    columns.each(keys().map(|key| key.usage_tier.name()));
    columns.each(keys().map(|key| key.usage_tier.pricing_tier().name()));
    columns.each(keys().map(|key| key.service_tier.name()));
    columns.each(keys().map(|key| key.channel.name()));
    columns.each(keys().map(|key| key.price_above_prompt_tokens));
    columns.each(keys().map(|key| key.meter.name()));
    columns.each(keys().map(|key| key.modality.name()));
    columns.each(keys().map(|key| key.exempt.map(|exempt| exempt.name())));
    columns.each(charges().map(|charge| charge.quantity));
    columns.each(charges().map(|charge| charge.allowance));
    columns.each(prices().map(|price| price.map(|price| price.per)));
    columns.each(prices().map(|price| price.map(|price| price.usd)));
    columns.each(charges().map(|charge| charge.list_cost));
    columns.each(charges().map(|charge| charge.rated_cost));
    columns.each(prices().map(|price| price.map(|price| price.from)));
    columns.each(prices().map(|price| price.map(|price| &*price.citation)));
    rows
}
