//! Owns interactions, the API's own objects: with id, time, status, service tier, tokens by modality and what was grounded.
//! They lack the project only. A stream's events hold an interaction at their end.

use std::borrow::Cow;

use super::completion::of_modality;
use super::record::{Grounding, Record};
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, lack};
use crate::types::usage::GREATEST_COUNT;

pub const SHAPE: Shape = Shape {
    name: "interactions",
    title: "interactions",
    documented: "ai.google.dev/api/interactions-api",
    told_by: "an `object` of `interaction`, a `usage` with `total_input_tokens` or `total_output_tokens`, an event with an \
              `event_type`, or an `error` whose `code` is a word",
    tells,
    fields: Fields {
        named: &[
            "id",
            "object",
            "model",
            "agent",
            "status",
            "created",
            "updated",
            "service_tier",
            "usage",
            "total_input_tokens",
            "total_cached_tokens",
            "total_output_tokens",
            "total_thought_tokens",
            "total_tool_use_tokens",
            "total_tokens",
            "input_tokens_by_modality",
            "cached_tokens_by_modality",
            "output_tokens_by_modality",
            "tool_use_tokens_by_modality",
            "modality",
            "tokens",
            "grounding_tool_count",
            "type",
            "count",
            "tools",
            "steps",
            "outputs",
            "event_type",
            "interaction",
            "error",
            "code",
            "param",
        ],
        whole: &[],
    },
    cells: &["usage", "tools", "steps", "outputs", "interaction", "error"],
    mapped: &[
        Mapped { from: "id", to: "request_id", note: "" },
        Mapped { from: "created", to: "timestamp", note: "else `updated`" },
        Mapped {
            from: "model",
            to: "model",
            note: "of an agent's the `agent`, which no price book has: what it used is suspended",
        },
        Mapped {
            from: "status",
            to: "status",
            note: "`completed`, `requires_action`, `incomplete` are 200, `cancelled` 499, `failed` a failure; `in_progress` is no request",
        },
        Mapped { from: "service_tier", to: "service_tier", note: "as served" },
        Mapped { from: "usage.total_input_tokens", to: "promptTokenCount", note: "cached ones included" },
        Mapped { from: "usage.total_cached_tokens", to: "cachedContentTokenCount", note: "" },
        Mapped { from: "usage.total_output_tokens", to: "candidatesTokenCount", note: "" },
        Mapped { from: "usage.total_thought_tokens", to: "thoughtsTokenCount", note: "beside the output" },
        Mapped { from: "usage.total_tool_use_tokens", to: "toolUsePromptTokenCount", note: "" },
        Mapped { from: "usage.total_tokens", to: "totalTokenCount", note: "" },
        Mapped { from: "usage.input_tokens_by_modality", to: "promptTokensDetails", note: "" },
        Mapped { from: "usage.cached_tokens_by_modality", to: "cacheTokensDetails", note: "" },
        Mapped { from: "usage.output_tokens_by_modality", to: "candidatesTokensDetails", note: "" },
        Mapped { from: "usage.tool_use_tokens_by_modality", to: "toolUsePromptTokensDetails", note: "" },
        Mapped {
            from: "usage.grounding_tool_count",
            to: "quantities",
            note: "searches and Maps, by prompt or by query, as the model is billed",
        },
        Mapped {
            from: "tools, grounding_tool_count, steps",
            to: "tools",
            note: "all that were declared, counted or called",
        },
    ],
    lacks: &[
        lack::PROJECT,
        Lack { what: "the status of failures", instead: None, so: "a 429 looks like any other failure" },
        Lack { what: "errors that made no interaction", instead: None, so: "quota is a lower bound" },
        Lack { what: "the models that an agent used", instead: None, so: "its tokens can't be priced" },
    ],
    merges: false,
    read: Read::Items(read),
};

const BY_MODALITY: [(&str, &str); 4] = [
    ("input_tokens_by_modality", "promptTokensDetails"),
    ("cached_tokens_by_modality", "cacheTokensDetails"),
    ("output_tokens_by_modality", "candidatesTokensDetails"),
    ("tool_use_tokens_by_modality", "toolUsePromptTokensDetails"),
];

fn tells(item: &Value<'_>) -> bool {
    let usage = item.get("usage");
    item.get("object").text() == Some("interaction")
        || usage.has("total_input_tokens")
        || usage.has("total_output_tokens")
        || is_event(item)
        || is_error(item)
}

/// Of a stream: `interaction.start`, `content.delta`, `interaction.complete`, …
fn is_event(item: &Value<'_>) -> bool {
    const KINDS: [&str; 4] = ["interaction.", "content.", "step.", "error"];
    item.get("event_type").text().is_some_and(|event| KINDS.iter().any(|kind| event.starts_with(kind)))
}

/// Other errors have a number for a code; OpenAI's a type beside.
fn is_error(item: &Value<'_>) -> bool {
    let error = item.get("error");
    let is_word = |code: &str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    error.get("code").text().is_some_and(|code| !code.is_empty() && is_word(code))
        && error.get("type").is_missing()
        && error.get("param").is_missing()
}

fn read(item: &Value<'_>, items: &mut Items) {
    if is_event(item) {
        return match item.get("interaction") {
            interaction if interaction.is_object() => of_interaction(interaction, items),
            _ => items.not_request(NotRequest::Event),
        };
    }
    of_interaction(item, items);
}

fn of_interaction(item: &Value<'_>, items: &mut Items) {
    let mut record = Record::default();
    match item.get("status").text() {
        Some("in_progress") => return items.not_request(NotRequest::Unfinished),
        Some("completed" | "requires_action" | "incomplete") => record.set("status", &200.into()),
        Some("cancelled") => record.set("status", &499.into()),
        None if is_error(item) => record.set_text("status", "failed"),
        _ => record.set("status", item.get("status")),
    }
    record.set("request_id", item.get("id"));
    record.set("timestamp", item.first_of(&["created", "updated"]));
    record.set_model("model", item.first_of(&["model", "agent"]));
    record.set_text("method", "interactions.create");
    record.set("service_tier", item.get("service_tier"));
    let usage = item.get("usage");
    if usage.is_object() {
        let details = BY_MODALITY.map(|(from, _)| details(usage.get(from)));
        let mut members = vec![
            ("promptTokenCount", usage.get("total_input_tokens")),
            ("cachedContentTokenCount", usage.get("total_cached_tokens")),
            ("candidatesTokenCount", usage.get("total_output_tokens")),
            ("thoughtsTokenCount", usage.get("total_thought_tokens")),
            ("toolUsePromptTokenCount", usage.get("total_tool_use_tokens")),
            ("totalTokenCount", usage.get("total_tokens")),
        ];
        members.extend(BY_MODALITY.iter().zip(&details).map(|((_, to), details)| (*to, details)));
        record.set_object("usageMetadata", &members);
    }
    ground(item, &mut record);
    items.request(record);
}

/// A list of `{modality, tokens}` as usageMetadata has it; what is none is left to be refused.
fn details<'item>(list: &Value<'item>) -> Value<'item> {
    let Value::List(list) = list else { return list.clone() };
    let of_item = |item: &Value<'item>| match item {
        Value::Object(_) => of_modality(item.get("modality").clone(), item.get("tokens").clone()),
        item => item.clone(),
    };
    Value::List(list.iter().map(of_item).collect())
}

/// What it was grounded on, and its tools: those declared, counted and called. Search alone leaves its tool tokens free
/// (C11), so it is said to be alone only where nothing else is seen anywhere.
fn ground(item: &Value<'_>, record: &mut Record) {
    let mut tools: Vec<Value<'_>> = Vec::new();
    let mut see = |tool: &str| {
        if tools.iter().all(|seen| seen.text() != Some(tool)) {
            tools.push(Value::Text(Cow::Owned(tool.to_string())));
        }
    };
    for tool in item.get("tools").items() {
        see(tool.get("type").text().unwrap_or("unnamed"));
    }
    for counted in item.at(&["usage", "grounding_tool_count"]).items() {
        let tool = counted.get("type").text();
        let count = match counted.get("count") {
            count if count.is_missing() => 0,
            count => match count.count() {
                Some(count) => count,
                // Left as it lies, to be refused.
                None => {
                    record.set_object("quantities", &[("grounding_search_query", count)]);
                    continue;
                }
            },
        };
        let grounding = &mut record.grounding;
        match tool {
            _ if count == 0 => continue,
            // A list has no more items than an item has values, so the sums fit.
            Some("google_search") => grounding.counted += count,
            Some("google_maps") => grounding.maps_counted += count,
            _ => {}
        }
        see(tool.unwrap_or("unnamed"));
    }
    // A sum that no request has is left as it lies too.
    let Grounding { counted, maps_counted, .. } = record.grounding;
    for (meter, count) in [("grounding_search_query", counted), ("grounding_maps_query", maps_counted)] {
        if count > GREATEST_COUNT {
            record.set_object("quantities", &[(meter, &count.into())]);
        }
    }
    for step in ["steps", "outputs"].iter().flat_map(|list| item.get(list).items()) {
        if let Some(tool) = step.get("type").text().and_then(|kind| kind.strip_suffix("_call")) {
            see(tool);
        }
    }
    if !tools.is_empty() {
        record.set("tools", &Value::List(tools));
    }
}
