//! Owns LiteLLM's log of calls: rows of its SpendLogs table, and the standard logging payload that its callbacks get. They
//! lack the project and the tokens of tools; what was called is told by the provider, and many rows aren't of this API.

use super::completion::{self, Rest};
use super::fields::joined;
use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, clock, lack, provider, quota_failure};

const FIELDS: [&str; completion::FIELDS.len() + OWN.len()] = joined(&completion::FIELDS, &OWN);
const OWN: [&str; 19] = [
    "request_id",
    "id",
    "call_type",
    "cache_hit",
    "status",
    "custom_llm_provider",
    "api_base",
    "startTime",
    "model",
    "stream",
    "metadata",
    "usage_object",
    "additional_usage_values",
    "error_information",
    "error_code",
    "error_class",
    "error_message",
    "response",
    "service_tier",
];

pub const SHAPE: Shape = Shape {
    name: "litellm",
    title: "LiteLLM SpendLogs rows and standard logging payloads",
    documented: "docs.litellm.ai/docs/proxy/logging_spec, docs.litellm.ai/docs/proxy/db_info",
    told_by: "two or more of `call_type`, `custom_llm_provider`, `startTime`, `prompt_tokens`",
    tells,
    fields: Fields { named: &FIELDS, whole: &[] },
    cells: &["metadata", "response", "error_information"],
    mapped: &[
        Mapped {
            from: "request_id, id",
            to: "request_id",
            note: "the provider's `responseId` where it had one, so a raw response of the same call is the same request",
        },
        Mapped {
            from: "startTime",
            to: "timestamp",
            note: "UTC where it names no zone; or seconds since 1970",
        },
        Mapped { from: "model", to: "model", note: "" },
        Mapped {
            from: "call_type",
            to: "method",
            note: "completions and the like are `generateContent`, embeddings `embedContent`; another is suspended",
        },
        Mapped {
            from: "status",
            to: "status",
            note: "of a `failure` the `error_code` of `error_information`, else `failed`; without one it went well",
        },
        Mapped {
            from: "error_information.error_message",
            to: "evidence",
            note: "of a 429: the quotas that the body in it names; no other text of it is kept",
        },
        Mapped {
            from: "custom_llm_provider, api_base",
            to: "service",
            note: "a host of Google's in `api_base` decides, then the provider, then the model's prefix; other providers' calls are no requests",
        },
        Mapped { from: "cache_hit", to: "service", note: "answers of LiteLLM's own cache are no requests" },
        Mapped {
            from: "prompt_tokens",
            to: "promptTokenCount",
            note: "here and below: of `metadata.usage_object` where it has it; cached ones included",
        },
        Mapped {
            from: "prompt_tokens_details.cached_tokens",
            to: "cachedContentTokenCount",
            note: "or `cache_read_input_tokens`, in `additional_usage_values` too",
        },
        Mapped {
            from: "completion_tokens",
            to: "candidatesTokenCount",
            note: "less the reasoning that lies within it",
        },
        Mapped {
            from: "completion_tokens_details.reasoning_tokens",
            to: "thoughtsTokenCount",
            note: "outside the completion where they exceed it or make the total with it, as versions of before 2026 have it; else within",
        },
        Mapped { from: "total_tokens", to: "totalTokenCount", note: "" },
        Mapped {
            from: "prompt_tokens_details.web_search_requests",
            to: "quantities",
            note: "by prompt or by query, as the model is billed",
        },
    ],
    lacks: &[
        lack::PROJECT,
        Lack {
            what: "tokens of failures",
            instead: None,
            so: "calls that Google served and billed may be among them",
        },
        Lack { what: "the calls of retries and fallbacks", instead: None, so: "quota is a lower bound" },
        Lack {
            what: "tokens of tools",
            instead: None,
            so: "what the total leaves over is suspended (`unexplained_tokens`)",
        },
        Lack {
            what: "service tier, in most versions",
            instead: Some("--service-tier"),
            so: "batch and flex look like standard",
        },
    ],
    merges: false,
    read: Read::Items(read),
};

const MARKS: [&str; 4] = ["call_type", "custom_llm_provider", "startTime", "prompt_tokens"];

pub fn tells(item: &Value<'_>) -> bool {
    MARKS.iter().filter(|mark| item.has(mark)).count() >= 2
}

fn read(row: &Value<'_>, items: &mut Items) {
    if is_cache_answer(row) {
        return items.not_request(NotRequest::CacheAnswer);
    }
    if is_of_other(row) {
        return items.not_request(NotRequest::OtherService);
    }
    let (metadata, response) = (row.get("metadata"), row.get("response"));
    let mut record = Record::default();
    record.set("request_id", row.first_of(&["request_id", "id"]));
    record.set("timestamp", &clock::utc(row.get("startTime")));
    record.set_model("model", row.get("model"));
    record.set("method", &method(row));
    record.set("status", &status(row));
    let messages = errors(row).map(|error| error.get("error_message").text().unwrap_or_default());
    record.violations =
        quota_failure::of_text(messages.into_iter().find(|text| !text.is_empty()).unwrap_or_default());
    let own =
        [metadata.get("usage_object"), response.get("usage"), row, metadata.get("additional_usage_values")];
    let tiers = [row, own[0], response].map(|place| place.get("service_tier"));
    if let Some(tier) = tiers.into_iter().find(|tier| !tier.is_missing()) {
        record.set("service_tier", &completion::service_tier(tier));
    }
    // LiteLLM writes 0 where it knows nothing, and no call of a model has no prompt.
    let is_known = |source: &&Value<'_>| {
        ["prompt_tokens", "completion_tokens", "total_tokens"]
            .iter()
            .any(|key| source.has(key) && source.get(key).count() != Some(0))
    };
    if own.iter().any(is_known) {
        completion::set_usage(&mut record, &own, Rest::Unexplained);
    }
    items.request(record);
}

/// The row repeats the tokens of the call that filled the cache; Google wasn't called.
fn is_cache_answer(row: &Value<'_>) -> bool {
    match row.get("cache_hit") {
        Value::Bool(is) => *is,
        hit => hit.text().is_some_and(|hit| hit.eq_ignore_ascii_case("true")),
    }
}

fn is_of_other(row: &Value<'_>) -> bool {
    let host = row.get("api_base").text().unwrap_or_default();
    match row.get("custom_llm_provider") {
        _ if host.contains("aiplatform.googleapis.com") => true,
        _ if host.contains("generativelanguage.googleapis.com") => false,
        provider if provider.is_missing() => provider::has_other(row.get("model")),
        provider => provider::is_other(provider),
    }
}

/// By LiteLLM's name of the function that was called; one that isn't known here is left to be refused.
fn method<'item>(row: &Value<'item>) -> Value<'item> {
    let call = row.get("call_type");
    let name = call.text().unwrap_or_default();
    let stream = row.get("stream") == &Value::Bool(true) || name.ends_with("_stream");
    let name = name.strip_suffix("_stream").unwrap_or(name);
    // `acompletion` is `completion`, awaited.
    match name.strip_prefix('a').filter(|name| *name != "nthropic_messages").unwrap_or(name) {
        ""
        | "completion"
        | "text_completion"
        | "responses"
        | "generate_content"
        | "anthropic_messages"
        | "pass_through_endpoint"
        | "llm_passthrough_route" => if stream { "streamGenerateContent" } else { "generateContent" }.into(),
        "embedding" => "embedContent".into(),
        _ => call.clone(),
    }
}

/// What a row or a payload says of a failure.
fn errors<'v, 'item>(row: &'v Value<'item>) -> [&'v Value<'item>; 2] {
    [row.get("error_information"), row.at(&["metadata", "error_information"])]
}

fn status<'item>(row: &Value<'item>) -> Value<'item> {
    let metadata = row.get("metadata");
    let status = match row.get("status") {
        status if status.is_missing() => metadata.get("status"),
        status => status,
    };
    let errors = errors(row);
    let code = errors
        .iter()
        .filter_map(|error| error.get("error_code").count())
        .find(|code| (400..600).contains(code));
    let failed = match status.text() {
        Some("success") => false,
        Some("failure") => true,
        // Rows of old versions, whose failures are in a table of their own.
        None => errors.iter().any(|error| error.has("error_class")),
        _ => return status.clone(),
    };
    match (failed, code) {
        (false, _) => 200.into(),
        (true, Some(code)) => code.into(),
        (true, None) => "failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::shape::Item;

    fn item(row: &str) -> String {
        let value = Value::read(row.as_bytes(), &SHAPE.fields).expect("JSON");
        assert!(tells(&value) && tells(&Value::sketch(row.as_bytes(), false).expect("JSON")), "{row}");
        let mut items = Items::default();
        read(&value, &mut items);
        let mut json = String::new();
        match &items.list[..] {
            [Item::Request(record)] => record.write(&mut json),
            [Item::NotRequest(kind)] => json.push_str(kind.name()),
            list => panic!("{list:?}"),
        }
        json
    }

    #[test]
    fn whose_call_it_was_is_told_by_host_provider_or_prefix() {
        for (members, is_other) in [
            (r#""custom_llm_provider":"gemini""#, false),
            (r#""custom_llm_provider":"vertex_ai_beta""#, true),
            (
                r#""custom_llm_provider":"openai","api_base":"https://generativelanguage.googleapis.com/v1beta/openai""#,
                false,
            ),
            (r#""custom_llm_provider":"gemini","api_base":"https://us-aiplatform.googleapis.com/v1""#, true),
            (r#""custom_llm_provider":"","model":"vertex_ai/gemini-2.5-pro""#, true),
            (r#""custom_llm_provider":null,"model":"gemini/gemini-2.5-pro""#, false),
        ] {
            let row = format!(r#"{{"call_type":"acompletion","startTime":1766000068,{members}}}"#);
            assert_eq!(item(&row) == "other_service", is_other, "{row}");
        }
    }

    #[test]
    fn methods_and_statuses_are_those_of_the_call() {
        for (members, expected) in [
            (r#""call_type":"acompletion","status":"success""#, r#""method":"generateContent","status":200"#),
            (r#""call_type":"completion","stream":true"#, r#""method":"streamGenerateContent","status":200"#),
            (r#""call_type":"agenerate_content_stream""#, r#""method":"streamGenerateContent","status":200"#),
            (r#""call_type":"anthropic_messages""#, r#""method":"generateContent","status":200"#),
            (r#""call_type":"aanthropic_messages""#, r#""method":"generateContent","status":200"#),
            (r#""call_type":"aembedding""#, r#""method":"embedContent","status":200"#),
            (r#""call_type":"acreate_batch""#, r#""method":"acreate_batch","status":200"#),
            (
                r#""call_type":"acompletion","status":"failure","metadata":{"error_information":{"error_code":"429"}}"#,
                r#""method":"generateContent","status":429"#,
            ),
            (
                r#""call_type":"acompletion","status":"failure","error_information":{"error_code":"","error_class":"Timeout"}"#,
                r#""method":"generateContent","status":"failed""#,
            ),
            (r#""call_type":"acompletion","status":"odd""#, r#""method":"generateContent","status":"odd""#),
        ] {
            let row = format!(r#"{{"startTime":1766000068,"custom_llm_provider":"gemini",{members}}}"#);
            let expected = format!(r#"{{"timestamp":"2025-12-17T19:34:28Z",{expected}}}"#);
            assert_eq!(item(&row), expected, "{row}");
        }
    }
}
