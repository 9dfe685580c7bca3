//! Owns what a shape makes of an item: a canonical record, as the JSON that the canonical decoder judges, so that
//! reasons, defaults and rules exist once. Beside it stands the little that the canonical record has no field for.

use std::collections::BTreeSet;

use twox_hash::XxHash3_64;

use super::value::{Value, write_text};
use crate::books::Books;
use crate::types::meter::{Meter, Slot};
use crate::types::request::{MethodKind, Request, Status};
use crate::types::usage::Usage;
use crate::types::violation::Violations;

/// One request in the making. Fields are those of design §3; one that is never set is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Field and value, as JSON, in the order in which they were set.
    fields: Vec<(&'static str, Box<str>)>,
    /// Requests of this shape never say their tokens: it counts with none, and a warning counts it.
    tokens_unknown: bool,
    /// No field says its thoughts: they are what the total has beyond its parts.
    pub thoughts_assumed: bool,
    pub grounding: Grounding,
    /// Quotas that the body of a 429 names.
    pub violations: Violations,
}

/// What a response was grounded on. Whether that is billed by prompt or by query depends on the model, so the meter is
/// chosen when the books are at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounding {
    /// Searches of the web, as hashes: the same query in two chunks is one; an empty one is none.
    queries: BTreeSet<u64>,
    /// Searches that the response counts without telling them.
    pub counted: u64,
    /// Pages of the web, or searches, were there.
    pub search: bool,
    /// Places of Maps were there.
    pub maps: bool,
    /// Uses of Maps that the response counts.
    pub maps_counted: u64,
}

impl Grounding {
    pub fn query(&mut self, query: &str) {
        if !query.trim().is_empty() {
            self.queries.insert(XxHash3_64::oneshot(query.as_bytes()));
            self.search = true;
        }
    }

    /// At least one where pages were found, though the response doesn't tell its queries.
    pub fn queries(&self) -> u64 {
        (self.queries.len() as u64).max(self.counted).max(u64::from(self.search))
    }

    /// Newer models are billed by query, older ones by prompt: by what the model has a price for.
    fn quantities(&self, base_model: &str, books: &Books) -> Vec<(Meter, u64)> {
        let by = |prompt: Meter, query: Meter, queries: u64| {
            let by_prompt = books.prices.has(base_model, prompt) && !books.prices.has(base_model, query);
            if by_prompt { (prompt, queries.min(1)) } else { (query, queries) }
        };
        let all = [
            by(Meter::GroundingSearchPrompt, Meter::GroundingSearchQuery, self.queries()),
            by(
                Meter::GroundingMapsPrompt,
                Meter::GroundingMapsQuery,
                self.maps_counted.max(u64::from(self.maps)),
            ),
        ];
        all.into_iter().filter(|(_, quantity)| *quantity > 0).collect()
    }

    fn merge(&mut self, later: Grounding) {
        self.queries.extend(later.queries);
        self.counted = self.counted.max(later.counted);
        self.search |= later.search;
        self.maps |= later.maps;
        self.maps_counted = self.maps_counted.max(later.maps_counted);
    }
}

impl Record {
    /// Of a shape that never says tokens.
    pub fn without_tokens() -> Record {
        Record { tokens_unknown: true, ..Record::default() }
    }

    /// Sets a field to a value as it lies in the item; missing ones set nothing.
    pub fn set(&mut self, field: &'static str, value: &Value<'_>) {
        if !value.is_missing() {
            let mut json = String::new();
            value.write(&mut json);
            self.put(field, json);
        }
    }

    pub fn set_text(&mut self, field: &'static str, text: &str) {
        if !text.is_empty() {
            let mut json = String::new();
            write_text(text, &mut json);
            self.put(field, json);
        }
    }

    /// A model's name, without the prefixes that gateways put before it.
    pub fn set_model(&mut self, field: &'static str, value: &Value<'_>) {
        match value.text() {
            Some(name) => self.set_text(field, without_provider(name)),
            None => self.set(field, value),
        }
    }

    /// Sets a field to an object of the members that aren't missing; to an empty one where all are.
    pub fn set_object(&mut self, field: &'static str, members: &[(&str, &Value<'_>)]) {
        let mut json = String::from("{");
        for (name, value) in members.iter().filter(|(_, value)| !value.is_missing()) {
            json.push_str(if json.len() > 1 { "," } else { "" });
            write_text(name, &mut json);
            json.push(':');
            value.write(&mut json);
        }
        json.push('}');
        self.put(field, json);
    }

    /// Sets usageMetadata to the members that aren't missing. Where all are it stays missing: no usage isn't usage of 0.
    pub fn set_usage(&mut self, members: &[(&str, &Value<'_>)]) {
        if members.iter().any(|(_, value)| !value.is_missing()) {
            self.set_object("usageMetadata", members);
        }
    }

    pub fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| *name == field)
    }

    /// A later record of the same request: what it says wins, what it leaves out stands.
    pub fn merge(&mut self, later: Record) {
        if later.has("usageMetadata") {
            self.thoughts_assumed = later.thoughts_assumed;
        }
        for (field, json) in later.fields {
            self.put(field, json);
        }
        self.tokens_unknown &= later.tokens_unknown;
        self.grounding.merge(later.grounding);
        if !later.violations.all().is_empty() {
            self.violations = later.violations;
        }
    }

    /// Appends it as a canonical record.
    pub fn write(&self, json: &mut String) {
        json.push('{');
        for (place, (field, value)) in self.fields.iter().enumerate() {
            json.push_str(if place > 0 { "," } else { "" });
            write_text(field, json);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
    }

    /// Gives a request decoded from this record what that has no field for.
    pub fn complete(&self, request: &mut Request<'_>, books: &Books) {
        let well = request.facts.status.went_well();
        let inference = books.methods.find(request.facts.method).kind == MethodKind::Inference;
        if self.tokens_unknown && request.usage.is_none() | request.usage_missing {
            (request.tokens_unknown, request.usage_missing) = (inference && well, false);
        }
        request.thoughts_assumed = self.thoughts_assumed && request.usage.is_some();
        if request.facts.status == Status::THROTTLED {
            request.facts.violations = self.violations.clone();
        }
        if well && inference && !request.usage_missing {
            let base_model = books.base_model(&request.facts, request.at.day());
            for (meter, quantity) in self.grounding.quantities(base_model, books) {
                let slot = Slot::without_tokens(meter);
                request.usage.get_or_insert_with(Usage::default).add(slot, quantity);
            }
        }
    }

    fn put(&mut self, field: &'static str, json: impl Into<Box<str>>) {
        match self.fields.iter_mut().find(|(name, _)| *name == field) {
            Some((_, old)) => *old = json.into(),
            None => self.fields.push((field, json.into())),
        }
    }
}

/// `gemini/`, `google/` and the like come off a model's name; `models/` does in every shape (design §3).
pub fn without_provider(name: &str) -> &str {
    ["gemini/", "google/"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_chunk_wins_where_it_says_something() {
        let mut record = Record::default();
        record.set_text("model", "gemini-2.5-flash");
        record.set_object(
            "usageMetadata",
            &[("promptTokenCount", &5.into()), ("totalTokenCount", &Value::Null)],
        );
        record.grounding.query("a");
        let mut later = Record::default();
        later.set_text("request_id", "r\"1");
        later.set_object("usageMetadata", &[("promptTokenCount", &7.into())]);
        later.grounding.query("a");
        later.grounding.query(" ");
        record.merge(later);
        let mut json = String::new();
        record.write(&mut json);
        let expected =
            r#"{"model":"gemini-2.5-flash","usageMetadata":{"promptTokenCount":7},"request_id":"r\"1"}"#;
        assert_eq!((&*json, record.grounding.queries()), (expected, 1));
    }
}
