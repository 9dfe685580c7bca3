//! Owns rating: what each quantity of a cell costs, one function per rule (design §5), or why it can't be said.
//! Rating is linear, so it is done on sums. Applies prices, knows none. What depends on earlier days has a file each:
//! `storage` of caches, `allowance`s, `credit`s, and what an `account` comes to.

pub mod account;
pub mod allowance;
pub mod credit;
pub mod storage;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::balance::Quantities;
use crate::books::Books;
use crate::books::methods::MethodLine;
use crate::books::outcomes::Basis;
use crate::books::prices::{Found, ModelPrices};
use crate::error::{Error, Result};
use crate::types::charge::{
    Assumption, Charge, ChargeKey, Exempt, Resting, UnitPrice, Unrated, UnratedKey, Why,
};
use crate::types::day::Day;
use crate::types::meter::{Meter, Modality, Slot};
use crate::types::money::Pico;
use crate::types::reason::Reason;
use crate::types::request::{GroupFacts, MethodKind, TUNED, Tools};
use crate::types::tally::{Beside, Cell, Cells, Groups};
use crate::types::tier::{Channel, ContextBand, ServiceTier, UsageTier};

/// What a day's cells cost; charges and what is unrated in an order that threads decide, so that nothing may rely on it.
#[derive(Debug, Default)]
pub struct Rated<'r> {
    pub charges: IndexMap<ChargeKey<'r>, Charge<'r>, RandomState>,
    pub unrated: IndexMap<UnratedKey<'r>, Unrated, RandomState>,
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

/// What the rules look at besides the quantity.
struct Subject<'r> {
    project_id: &'r str,
    model: &'r str,
    base_model: &'r str,
    /// Of the base model, if it has any.
    prices: Option<&'r ModelPrices>,
    usage_tier: UsageTier,
    service_tier: ServiceTier,
    channel: Channel,
    context_band: ContextBand,
    tools: Tools,
    /// By its outcome.
    charged: bool,
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
    suspended: Option<Why<'r>>,
}

/// Rates the cells of a day. Fails only when a sum of money leaves what a report can hold.
pub fn rate<'r>(day: Day, cells: &Cells, groups: &'r Groups, books: &'r Books) -> Result<Rated<'r>> {
    let mut rated = Rated::default();
    // There is hardly a cell without a charge.
    rated.charges.reserve(cells.len());
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let method = books.methods.find(facts.method);
        if !c6_is_billed(method) {
            if method.basis == Basis::Assumed {
                let resting = Resting { requests: cell.requests, ..Resting::NOTHING };
                rated.rest_on(Assumption::UndocumentedMethod, resting)?;
            }
            continue;
        }
        let subject = Subject::new(facts, key.usage_tier, key.context_band, day, books);
        let mut cost = CellCost::default();
        for (slot, quantity) in cell.quantities() {
            rated.rate_quantity(&subject, slot.meter(), slot.modality(), quantity, books, &mut cost)?;
        }
        let thoughts_assumed = cell.sum(Beside::ThoughtsAssumed);
        if thoughts_assumed > 0 {
            cost.thoughts_assumed = subject.thoughts_cost(thoughts_assumed)?;
        }
        rated.count_unrated(&cost, cell.requests);
        let outcome = books.outcomes.find(facts.status);
        rated.note_assumptions(&subject, cell, &cost, outcome.basis, method.basis)?;
    }
    Ok(rated)
}

/// Rates one request by itself: Σ over requests is Σ over charges, since rating is linear.
pub fn of_request(
    facts: &GroupFacts,
    usage_tier: UsageTier,
    context_band: ContextBand,
    day: Day,
    quantities: &[(Slot, u64)],
    books: &Books,
) -> Result<RequestCost> {
    let mut cost = RequestCost::default();
    if !c6_is_billed(books.methods.find(facts.method)) {
        cost.rated = Some(Pico::ZERO);
        return Ok(cost);
    }
    let subject = Subject::new(facts, usage_tier, context_band, day, books);
    for &(slot, quantity) in quantities {
        let judged = subject.judge(slot.meter(), slot.modality(), quantity)?;
        if let Some(list_cost) = judged.list_cost {
            cost.list = Some(sum(cost.list.unwrap_or_default(), list_cost)?);
        }
        match judged.suspended {
            Some(why) => drop(cost.suspended.insert(why.reason())),
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
        facts: &'r GroupFacts,
        usage_tier: UsageTier,
        context_band: ContextBand,
        day: Day,
        books: &'r Books,
    ) -> Subject<'r> {
        let base_model = books.base_model(facts, day);
        Subject {
            project_id: &facts.project_id,
            model: &facts.model,
            base_model,
            prices: books.prices.of_model(base_model),
            usage_tier,
            service_tier: facts.service_tier,
            channel: facts.channel,
            context_band,
            tools: facts.tools,
            charged: books.outcomes.find(facts.status).charged,
            day,
        }
    }

    fn judge(&self, meter: Meter, modality: Modality, quantity: u64) -> Result<Judged<'r>> {
        let found = c1_price(self, meter, modality);
        let price = found.as_ref().map(|found| &**found.price);
        let exempt = exempt(self, meter);
        Ok(Judged {
            price,
            priced_as: found.map(|found| found.meter),
            list_cost: price.map(|price| price.cost(quantity).ok_or_else(too_much)).transpose()?,
            exempt,
            suspended: c10_suspended(self, meter, modality, exempt, price.is_some()),
        })
    }

    /// What thoughts come to within the output; 0 where that is in suspense.
    fn thoughts_cost(&self, thoughts: u64) -> Result<Pico> {
        let judged = self.judge(Meter::OutputThinking, Modality::Text, thoughts)?;
        Ok(if judged.suspended.is_some() { Pico::ZERO } else { judged.rated_cost() })
    }

    /// What a quantity would cost if one of the rules that make it free didn't hold; 0 where that can't be said.
    fn cost_otherwise(&self, meter: Meter, list_cost: Option<Pico>) -> Pico {
        let exempt = exempt(self, meter).is_some() || self.usage_tier == UsageTier::Unknown;
        if exempt { Pico::ZERO } else { list_cost.unwrap_or_default() }
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
    /// Each once.
    unrated: Vec<UnratedKey<'r>>,
    rated: Pico,
    tool: Pico,
    cached_as_input: Option<Pico>,
    /// Of thoughts that no field says.
    thoughts_assumed: Pico,
    /// Of failed requests, if they were charged; of AI Studio's, if those were.
    without_c3: Pico,
    without_c4: Pico,
    /// Units of it may be covered by an allowance.
    has_allowance: bool,
}

impl<'r> Rated<'r> {
    fn rate_quantity(
        &mut self,
        subject: &Subject<'r>,
        meter: Meter,
        modality: Modality,
        quantity: u64,
        books: &'r Books,
        cost: &mut CellCost<'r>,
    ) -> Result<()> {
        let judged = subject.judge(meter, modality, quantity)?;
        let rated_cost = judged.rated_cost();
        if !subject.charged {
            let without_c3 = Subject { charged: true, ..*subject }.cost_otherwise(meter, judged.list_cost);
            cost.without_c3 = sum(cost.without_c3, without_c3)?;
        }
        if subject.channel == Channel::AiStudio {
            let without_c4 =
                Subject { channel: Channel::Api, ..*subject }.cost_otherwise(meter, judged.list_cost);
            cost.without_c4 = sum(cost.without_c4, without_c4)?;
        }
        let sums = self.meters.entry(meter).or_default();
        sums.tallied = tokens(sums.tallied, quantity)?;

        let Subject { project_id, model, .. } = *subject;
        if let Some(why) = judged.suspended {
            sums.suspended += quantity;
            let key = UnratedKey { project_id, model, why, meter: Some(meter) };
            let unrated = self.unrated.entry(key).or_default();
            if !cost.unrated.contains(&key) {
                cost.unrated.push(key);
            }
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
            service_tier: subject.service_tier,
            channel: subject.channel,
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
        cost.has_allowance |= judged.exempt.is_none()
            && books.allowances.find(subject.base_model, meter, subject.day).is_some();
        Ok(())
    }

    /// Counts the requests of a cell, or caches, once in each row that a quantity of theirs is in.
    fn count_unrated(&mut self, cost: &CellCost<'r>, requests: u64) {
        for key in &cost.unrated {
            self.unrated.entry(*key).or_default().requests += requests;
        }
    }

    /// Notes what of a cell rests on assumptions, its rated cost before allowances and credits.
    fn note_assumptions(
        &mut self,
        subject: &Subject<'r>,
        cell: &Cell,
        cost: &CellCost<'r>,
        status: Basis,
        method: Basis,
    ) -> Result<()> {
        let all = |low: Pico, high: Option<Pico>| Resting {
            requests: cell.requests,
            rated_cost: cost.rated,
            low,
            high,
        };
        let either = |other: Pico| all(cost.rated.min(other), Some(cost.rated.max(other)));
        let up_to = |requests: u64, rated_cost: Pico| Resting {
            requests,
            rated_cost,
            low: Pico::ZERO,
            high: Some(rated_cost),
        };
        if status == Basis::Assumed {
            // Those that are charged might not be, and the other way round.
            let other = if subject.charged { Pico::ZERO } else { cost.without_c3 };
            self.rest_on(Assumption::UndocumentedStatus, either(other))?;
        }
        if method == Basis::Assumed {
            self.rest_on(Assumption::UndocumentedMethod, up_to(cell.requests, cost.rated))?;
        }
        if subject.tools == Tools::NotLogged && cell.sum(Beside::WithToolTokens) > 0 {
            let resting = up_to(cell.sum(Beside::WithToolTokens), cost.tool);
            self.rest_on(Assumption::ToolsNotLogged, resting)?;
        }
        let thoughts_assumed = cell.sum(Beside::WithThoughtsAssumed);
        if thoughts_assumed > 0 {
            // If they are something else, a total's rest is in suspense.
            let resting = up_to(thoughts_assumed, cost.thoughts_assumed);
            self.rest_on(Assumption::ThoughtsFromTotal, resting)?;
        }
        if let Some(cached) = cost.cached_as_input {
            let resting = up_to(cell.sum(Beside::WithCachedTokens), cached);
            self.rest_on(Assumption::CachedWithoutPrice, resting)?;
        }
        if rests_on_ai_studio(subject.channel, subject.day) {
            self.rest_on(Assumption::AiStudioSince202604, either(cost.without_c4))?;
        }
        if subject.model.starts_with(TUNED) && pages_changed(subject.day) {
            // Nothing says what else it would cost.
            self.rest_on(Assumption::TunedModelSince202604, all(Pico::ZERO, None))?;
        }
        if cost.has_allowance {
            // Its money is known when allowances were taken off.
            let requests = cell.sum(Beside::WithAllowance);
            self.rest_on(Assumption::AllowanceScope, Resting { requests, ..Resting::NOTHING })?;
        }
        Ok(())
    }

    /// Adds to what rests on an assumption.
    pub fn rest_on(&mut self, assumption: Assumption, resting: Resting) -> Result<()> {
        let total = self.assumptions.entry(assumption).or_insert(Resting::NOTHING);
        *total = total.checked_add(resting).ok_or_else(too_much)?;
        Ok(())
    }
}

/// C1. The price by base model, service tier, meter, modality and context band, in force on the request's day.
/// Pricing page. That cached tokens cost what input costs where the page has no cached price is assumed.
fn c1_price<'r>(subject: &Subject<'r>, meter: Meter, modality: Modality) -> Option<Found<'r>> {
    if meter == Meter::Unexplained {
        return None;
    }
    let (service_tier, band) = (subject.service_tier, subject.context_band);
    subject.prices?.find(service_tier, meter, modality, band, subject.day)
}

/// The first that holds of C3, C4, C2 and C11.
fn exempt(subject: &Subject<'_>, meter: Meter) -> Option<Exempt> {
    if c3_failed(subject.charged) {
        Some(Exempt::Failed)
    } else if c4_ai_studio(subject.channel) {
        Some(Exempt::AiStudio)
    } else if c2_free_tier(subject.usage_tier) {
        Some(Exempt::FreeTier)
    } else if c11_search_context(meter, subject.tools) {
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
fn c3_failed(charged: bool) -> bool {
    !charged
}

/// C4. "AI Studio usage is free of charge." Billing page. Since about 2026-04 it adds "unless users link a paid API key
/// for access to paid features", which no log tells: taken as free on all days, an assumption.
fn c4_ai_studio(channel: Channel) -> bool {
    channel == Channel::AiStudio
}

/// Since then the billing page restricts or no longer says what C4 and C5 are taken from.
fn pages_changed(day: Day) -> bool {
    day >= Day::parse("2026-04-01").expect("a day")
}

fn rests_on_ai_studio(channel: Channel, day: Day) -> bool {
    channel == Channel::AiStudio && pages_changed(day)
}

/// C6. countTokens is not billed (billing page), nor is any method that methods.csv says isn't. Only inference has
/// quantities.
fn c6_is_billed(method: &MethodLine) -> bool {
    method.billed && method.kind == MethodKind::Inference
}

/// C10. What is not exempt and has no price, or whose usage tier nobody knows, is in suspense: never 0.
fn c10_suspended<'r>(
    subject: &Subject<'r>,
    meter: Meter,
    modality: Modality,
    exempt: Option<Exempt>,
    has_price: bool,
) -> Option<Why<'r>> {
    if exempt.is_some() {
        return None;
    }
    let Subject { base_model, service_tier, day, .. } = *subject;
    if meter == Meter::Unexplained {
        return Some(Why::TotalExceedsParts);
    }
    if subject.usage_tier == UsageTier::Unknown {
        return Some(Why::NoUsageTier);
    }
    if has_price {
        return None;
    }
    if base_model.starts_with(TUNED) {
        return Some(Why::NoBaseModel(base_model));
    }
    if subject.prices.is_none() {
        return Some(Why::NotInPriceBook(base_model));
    }
    Some(Why::NoPrice { base_model, service_tier, meter, modality, day })
}

/// C11. Tool-use prompt tokens are charged as input, but "retrieved context provided by Grounding with Google Search is
/// not charged as input tokens" (pricing page, read 2026-10-01): exempt when search was the only tool.
fn c11_search_context(meter: Meter, tools: Tools) -> bool {
    meter == Meter::InputTool && tools == Tools::SearchOnly
}

/// A sum of quantities as a report can hold it.
fn tokens(one: u64, other: u64) -> Result<u64> {
    one.checked_add(other).filter(|sum| i64::try_from(*sum).is_ok()).ok_or_else(too_much)
}

fn sum(one: Pico, other: Pico) -> Result<Pico> {
    one.checked_add(other).ok_or_else(too_much)
}

fn too_much() -> Error {
    Error::new("a sum exceeds what a report can hold: no real log gets there")
        .hint("rerate check LOGS shows what is in each file")
}
