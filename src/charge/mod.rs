//! Owns rating: what each quantity of a cell costs, one function per rule (design §5), or why it can't be said.
//! Rating is linear, so it is done on sums. Applies prices, knows none.

use std::collections::{BTreeMap, BTreeSet};

use crate::balance::Quantities;
use crate::books::Books;
use crate::books::methods::MethodLine;
use crate::books::outcomes::{Basis, OutcomeLine};
use crate::books::prices::Found;
use crate::error::{Error, Result};
use crate::types::charge::{Assumption, Charge, ChargeKey, Exempt, Resting, UnitPrice, Unrated, UnratedKey};
use crate::types::day::Day;
use crate::types::meter::{Meter, Slot};
use crate::types::money::Pico;
use crate::types::reason::Reason;
use crate::types::request::{Facts, MethodKind, TUNED, Tools};
use crate::types::tally::{Cell, CellKey, Groups};
use crate::types::tier::{Channel, ContextBand, UsageTier};

/// What a day's cells cost.
#[derive(Debug, Default)]
pub struct Rated<'r> {
    pub charges: BTreeMap<ChargeKey<'r>, Charge<'r>>,
    pub unrated: BTreeMap<UnratedKey<'r>, Unrated>,
    /// The second equation.
    pub meters: BTreeMap<Meter, Quantities>,
    pub assumptions: BTreeMap<Assumption, Resting>,
}

/// What one request costs.
#[derive(Debug, Default)]
pub struct RequestCost {
    /// Of what has a price; None where nothing has.
    pub list: Option<Pico>,
    /// None where all that isn't exempt is in suspense.
    pub rated: Option<Pico>,
    /// The rules that make quantities of it free of charge.
    pub exempt: BTreeSet<Exempt>,
    /// Why quantities of it are in suspense.
    pub suspended: BTreeSet<Reason>,
}

/// What the books say of requests that share their facts.
struct Subject<'r> {
    facts: &'r Facts<Box<str>>,
    usage_tier: UsageTier,
    context_band: ContextBand,
    base_model: &'r str,
    outcome: &'r OutcomeLine,
    method: &'r MethodLine,
    day: Day,
}

/// What one quantity comes to.
struct Judged<'r> {
    price: Option<&'r UnitPrice>,
    /// The meter whose price it is.
    priced_as: Option<Meter>,
    list_cost: Option<Pico>,
    exempt: Option<Exempt>,
    /// Why it can't be rated.
    suspended: Option<(Reason, String)>,
}

/// Rates the cells of a day. Fails only when a sum of money leaves what a report can hold.
pub fn rate<'r>(
    day: Day,
    cells: &[(&'r CellKey, &'r Cell)],
    groups: &'r Groups,
    books: &'r Books,
) -> Result<Rated<'r>> {
    let mut rated = Rated::default();
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let subject = Subject::new(facts, key.usage_tier, key.context_band, day, books);
        if !c6_is_billed(subject.method) {
            continue;
        }
        let mut cost = CellCost::default();
        for slot in Slot::all().filter(|slot| cell.quantities[usize::from(slot.0)] > 0) {
            rated.rate_slot(&subject, slot, cell.quantities[usize::from(slot.0)], books, &mut cost)?;
        }
        for key in &cost.unrated {
            rated.unrated.entry(key.clone()).or_default().requests += cell.requests;
        }
        rated.note_assumptions(&subject, cell, &cost)?;
    }
    Ok(rated)
}

/// Rates one request by itself: Σ over requests is Σ over charges, since rating is linear.
pub fn of_request(
    facts: &Facts<Box<str>>,
    usage_tier: UsageTier,
    context_band: ContextBand,
    day: Day,
    quantities: &[(Slot, u64)],
    books: &Books,
) -> Result<RequestCost> {
    let subject = Subject::new(facts, usage_tier, context_band, day, books);
    let mut cost = RequestCost::default();
    if !c6_is_billed(subject.method) {
        cost.rated = Some(Pico::ZERO);
        return Ok(cost);
    }
    for &(slot, quantity) in quantities {
        let judged = subject.judge(slot, quantity, books)?;
        if let Some(list_cost) = judged.list_cost {
            cost.list = Some(sum(cost.list.unwrap_or_default(), list_cost)?);
        }
        match judged.suspended {
            Some((reason, _)) => drop(cost.suspended.insert(reason)),
            None => cost.rated = Some(sum(cost.rated.unwrap_or_default(), judged.rated_cost())?),
        }
        cost.exempt.extend(judged.exempt);
    }
    if cost.suspended.is_empty() {
        cost.rated.get_or_insert(Pico::ZERO);
    }
    Ok(cost)
}

impl<'r> Subject<'r> {
    fn new(
        facts: &'r Facts<Box<str>>,
        usage_tier: UsageTier,
        context_band: ContextBand,
        day: Day,
        books: &'r Books,
    ) -> Subject<'r> {
        Subject {
            facts,
            usage_tier,
            context_band,
            base_model: books.base_model(facts, day),
            outcome: books.outcomes.find(facts.status),
            method: books.methods.find(facts.method),
            day,
        }
    }

    fn judge(&self, slot: Slot, quantity: u64, books: &'r Books) -> Result<Judged<'r>> {
        let found = c1_price(self, slot, books);
        let price = found.as_ref().map(|found| &**found.price);
        let exempt = exempt(self, slot.meter());
        Ok(Judged {
            price,
            priced_as: found.map(|found| found.meter),
            list_cost: price.map(|price| price.cost(quantity).ok_or_else(too_much)).transpose()?,
            exempt,
            suspended: c10_suspended(self, slot, exempt, price.is_some(), books),
        })
    }
}

impl Judged<'_> {
    /// Of a quantity that isn't suspended.
    fn rated_cost(&self) -> Pico {
        if self.exempt.is_some() { Pico::ZERO } else { self.list_cost.unwrap_or_default() }
    }
}

/// What a cell came to.
#[derive(Default)]
struct CellCost<'r> {
    unrated: BTreeSet<UnratedKey<'r>>,
    rated: Pico,
    tool: Pico,
    cached_as_input: Option<Pico>,
}

impl<'r> Rated<'r> {
    fn rate_slot(
        &mut self,
        subject: &Subject<'r>,
        slot: Slot,
        quantity: u64,
        books: &'r Books,
        cost: &mut CellCost<'r>,
    ) -> Result<()> {
        let (meter, modality) = (slot.meter(), slot.modality());
        let judged = subject.judge(slot, quantity, books)?;
        let rated_cost = judged.rated_cost();
        let Facts { project_id, model, service_tier, channel, .. } = subject.facts;
        let sums = self.meters.entry(meter).or_default();
        sums.tallied += quantity;

        if let Some((reason, detail)) = judged.suspended {
            sums.suspended += quantity;
            let key = UnratedKey { project_id, model, reason, detail, meter };
            let unrated = self.unrated.entry(key.clone()).or_default();
            cost.unrated.insert(key);
            unrated.quantity += quantity;
            if let Some(list_cost) = judged.list_cost {
                unrated.list_cost = Some(sum(unrated.list_cost.unwrap_or_default(), list_cost)?);
            }
            return Ok(());
        }
        sums.charged += quantity;
        let key = ChargeKey {
            project_id,
            model,
            base_model: subject.base_model,
            usage_tier: subject.usage_tier,
            service_tier: *service_tier,
            channel: *channel,
            price_above_prompt_tokens: judged.price.map(|price| price.above_prompt_tokens),
            meter,
            modality,
            exempt: judged.exempt,
        };
        let charge = self.charges.entry(key).or_default();
        charge.quantity += quantity;
        charge.price = judged.price;
        if let Some(list_cost) = judged.list_cost {
            charge.list_cost = Some(sum(charge.list_cost.unwrap_or_default(), list_cost)?);
        }
        charge.rated_cost = sum(charge.rated_cost, rated_cost)?;

        cost.rated = sum(cost.rated, rated_cost)?;
        if meter == Meter::InputTool {
            cost.tool = sum(cost.tool, rated_cost)?;
        }
        if meter == Meter::InputCached && judged.priced_as == Some(Meter::Input) {
            cost.cached_as_input = Some(sum(cost.cached_as_input.unwrap_or_default(), rated_cost)?);
        }
        Ok(())
    }

    fn note_assumptions(&mut self, subject: &Subject<'r>, cell: &Cell, cost: &CellCost<'r>) -> Result<()> {
        let day = subject.day;
        let since_april = day >= Day::parse("2026-04-01").expect("a day");
        let ai_studio = subject.facts.channel == Channel::AiStudio && since_april;
        let tuned = subject.facts.model.starts_with(TUNED) && since_april;
        let mut resting: BTreeMap<Assumption, (u64, Pico)> = BTreeMap::new();
        let mut note = |holds: bool, assumption, requests, cost| {
            if holds && requests > 0 {
                resting.insert(assumption, (requests, cost));
            }
        };
        note(
            subject.outcome.basis == Basis::Assumed,
            Assumption::UndocumentedStatus,
            cell.requests,
            cost.rated,
        );
        note(
            subject.method.basis == Basis::Assumed,
            Assumption::UndocumentedMethod,
            cell.requests,
            cost.rated,
        );
        let unknown_tools = subject.facts.tools == Tools::NotLogged;
        note(unknown_tools, Assumption::ToolsNotLogged, cell.requests_with_tool_tokens, cost.tool);
        if let Some(cached) = cost.cached_as_input {
            note(true, Assumption::CachedWithoutPrice, cell.requests_with_cached_tokens, cached);
        }
        note(ai_studio, Assumption::AiStudioSince202604, cell.requests, cost.rated);
        note(tuned, Assumption::TunedModelSince202604, cell.requests, cost.rated);
        for (assumption, (requests, cost)) in resting {
            let total = self.assumptions.entry(assumption).or_default();
            total.requests += requests;
            total.rated_cost = sum(total.rated_cost, cost)?;
        }
        Ok(())
    }
}

/// C1. The price by base model, service tier, meter, modality and context band, in force on the request's day.
/// Pricing page. That cached tokens cost what input costs where the page has no cached price is assumed.
fn c1_price<'r>(subject: &Subject<'_>, slot: Slot, books: &'r Books) -> Option<Found<'r>> {
    if slot == Slot::UNEXPLAINED {
        return None;
    }
    let (service_tier, band) = (subject.facts.service_tier, subject.context_band);
    books.prices.find(subject.base_model, service_tier, slot.meter(), slot.modality(), band, subject.day)
}

/// The first that holds of C3, C4, C2 and C11.
fn exempt(subject: &Subject<'_>, meter: Meter) -> Option<Exempt> {
    if c3_failed(subject.outcome) {
        Some(Exempt::Failed)
    } else if c4_ai_studio(subject.facts.channel) {
        Some(Exempt::AiStudio)
    } else if c2_free_tier(subject.usage_tier) {
        Some(Exempt::FreeTier)
    } else if c11_search_context(meter, subject.facts.tools) {
        Some(Exempt::SearchContext)
    } else {
        None
    }
}

/// C2. The free usage tier pays nothing. Pricing page.
fn c2_free_tier(usage_tier: UsageTier) -> bool {
    usage_tier == UsageTier::Free
}

/// C3. "If your request fails with a 400 or 500 error, you won't be charged for the tokens used." Billing page. Of other
/// failures the pages say nothing: outcomes.csv reads them alike and says so.
fn c3_failed(outcome: &OutcomeLine) -> bool {
    !outcome.charged
}

/// C4. "AI Studio usage is free of charge." Billing page. Since about 2026-04 it adds "unless users link a paid API key
/// for access to paid features", which no log tells: taken as free on all days, an assumption.
fn c4_ai_studio(channel: Channel) -> bool {
    channel == Channel::AiStudio
}

/// C6. countTokens is not billed (billing page), nor is any method that methods.csv says isn't. Only inference has
/// quantities.
fn c6_is_billed(method: &MethodLine) -> bool {
    method.billed && method.kind == MethodKind::Inference
}

/// C10. What is not exempt and has no price, or whose usage tier nobody knows, is in suspense: never 0.
fn c10_suspended(
    subject: &Subject<'_>,
    slot: Slot,
    exempt: Option<Exempt>,
    has_price: bool,
    books: &Books,
) -> Option<(Reason, String)> {
    if exempt.is_some() {
        return None;
    }
    let base = subject.base_model;
    if slot == Slot::UNEXPLAINED {
        let detail = "totalTokenCount exceeds the sum of its parts".to_string();
        return Some((Reason::UnexplainedTokens, detail));
    }
    if subject.usage_tier == UsageTier::Unknown {
        return Some((Reason::UnknownUsageTier, "neither the log nor an accounts file says".to_string()));
    }
    if has_price {
        return None;
    }
    if base.starts_with(TUNED) {
        return Some((Reason::UnknownBaseModel, format!("nothing says what {base} was tuned from")));
    }
    if !books.prices.knows(base) {
        return Some((Reason::UnknownModel, format!("{base} has no line in the price book")));
    }
    let (tier, meter, modality) = (subject.facts.service_tier, slot.meter(), slot.modality());
    Some((
        Reason::UnknownPrice,
        format!("{base} has no price for {tier} {meter} {modality} on {}", subject.day),
    ))
}

/// C11. Tool-use prompt tokens are charged as input, but "retrieved context provided by Grounding with Google Search is
/// not charged as input tokens" (pricing page, read 2026-10-01): exempt when search was the only tool.
fn c11_search_context(meter: Meter, tools: Tools) -> bool {
    meter == Meter::InputTool && tools == Tools::SearchOnly
}

fn sum(one: Pico, other: Pico) -> Result<Pico> {
    one.checked_add(other).ok_or_else(too_much)
}

fn too_much() -> Error {
    Error::new("a sum exceeds what a report can hold: no real log gets there")
        .hint("rerate check LOGS shows what is in each file")
}
