//! Owns raw answers of the API: whole responses, chunks of a stream, recorded lists of chunks, error bodies; as SDKs and
//! proxies dump them. They lack time, project, usage tier and service tier (before mid-2026), the key, and failures
//! that left no body. Which of several records of one id counts, beyond the chunks of one input, is for `mediate`.

use super::record::{Record, without_provider};
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, batch, lack, litellm, live, quota_failure};

pub const SHAPE: Shape = Shape {
    name: "raw",
    title: "raw responses, stream chunks and error bodies",
    documented: "ai.google.dev/api/generate-content (GenerateContentResponse), google.rpc.Status",
    told_by: "`candidates`, `usageMetadata`, `promptFeedback`, `modelVersion`, `responseId` or an `error` with a `code`; \
              alone, in a list, or under `response`",
    tells,
    fields: Fields {
        named: &[
            "response",
            "method",
            "timestamp",
            "project_id",
            "request_id",
            "responseId",
            "modelVersion",
            "createTime",
            "usageMetadata",
            "promptTokenCount",
            "cachedContentTokenCount",
            "candidatesTokenCount",
            "responseTokenCount",
            "toolUsePromptTokenCount",
            "thoughtsTokenCount",
            "totalTokenCount",
            "promptTokensDetails",
            "promptTokenDetails",
            "cacheTokensDetails",
            "candidatesTokensDetails",
            "responseTokensDetails",
            "toolUsePromptTokensDetails",
            "modality",
            "tokenCount",
            "serviceTier",
            "trafficType",
            "promptFeedback",
            "candidates",
            "groundingMetadata",
            "webSearchQueries",
            "groundingChunks",
            "web",
            "maps",
            "retrievedContext",
            "urlContextMetadata",
            "content",
            "parts",
            "executableCode",
            "codeExecutionResult",
            "embedding",
            "embeddings",
            "totalTokens",
            "error",
            "code",
            "status",
            "message",
            "details",
            "violations",
            "quotaMetric",
            "quotaId",
            "quotaValue",
            "quotaDimensions",
            "model",
            "domain",
            // By these an item is told to be of another shape, which has a response too.
            "key",
            "dest",
            "inlinedResponses",
            "call_type",
            "custom_llm_provider",
            "startTime",
            "prompt_tokens",
        ],
        whole: &[],
    },
    cells: &["response", "usageMetadata", "candidates", "promptFeedback", "error"],
    mapped: &[
        Mapped {
            from: "responseId",
            to: "request_id",
            note: "without one each item is a request of its own, but all chunks of one stream or one `response: […]` are one",
        },
        Mapped {
            from: "timestamp, createTime",
            to: "timestamp",
            note: "beside a recorded `response`; within it, of Vertex AI alone",
        },
        Mapped {
            from: "modelVersion",
            to: "model",
            note: "of an error: `quotaDimensions.model` of its violations, else the model its message names",
        },
        Mapped { from: "method", to: "method", note: "of recorded calls: beside `response`" },
        Mapped { from: "error.code", to: "status", note: "200 of a response" },
        Mapped {
            from: "error.details.violations",
            to: "evidence",
            note: "of a 429: the quotas that it names, with limit and usage tier; else those in its message",
        },
        Mapped {
            from: "usageMetadata",
            to: "usageMetadata",
            note: "of the last chunk that has one: it is cumulative",
        },
        Mapped {
            from: "groundingMetadata",
            to: "quantities",
            note: "searches: unique `webSearchQueries` that aren't empty; Maps: a chunk of `maps`. By prompt or by query, as the model is billed",
        },
        Mapped {
            from: "groundingMetadata, urlContextMetadata, code execution",
            to: "tools",
            note: "what the response shows of its tools",
        },
    ],
    lacks: &[
        Lack { what: "time", instead: Some("--at"), so: "peaks of a minute are unknown" },
        lack::PROJECT,
        Lack {
            what: "the model asked for",
            instead: Some("--model, where not even modelVersion is there"),
            so: "requests count under the model that answered",
        },
        Lack { what: "failures without a body", instead: None, so: "quota is a lower bound" },
        Lack {
            what: "service tier (before mid-2026)",
            instead: Some("--service-tier"),
            so: "batch and flex look like standard",
        },
        Lack {
            what: "the end of a stream that was cut off",
            instead: None,
            so: "its last usage is a lower bound",
        },
    ],
    merges: true,
    read: Read::Items(read),
};

/// Keys that a response, a chunk or an error body has at its top.
const MARKS: [&str; 8] = [
    "candidates",
    "usageMetadata",
    "promptFeedback",
    "modelVersion",
    "responseId",
    "embedding",
    "embeddings",
    "totalTokens",
];

fn tells(item: &Value<'_>) -> bool {
    match item {
        Value::List(chunks) => chunks.first().is_some_and(tells_one),
        // A record that somebody has made of a response isn't raw any more.
        item if item.has("project_id") || item.has("request_id") => false,
        item if live::tells(item) || batch::tells(item) || litellm::tells(item) => false,
        item => {
            let response = spelled(item, "response");
            tells_one(item)
                || tells_one(response)
                || response.items().first().is_some_and(tells_one)
                || item.get("method").text().is_some()
                    && matches!(response, Value::Object(_) | Value::List(_))
        }
    }
}

fn tells_one(response: &Value<'_>) -> bool {
    let error = response.get("error");
    MARKS.iter().any(|mark| !spelled(response, mark).is_missing())
        || error.has("code") && error.has("message")
        || error.has("code") && error.has("status")
}

/// A member in camelCase, or in snake_case where keys are as the item has them.
pub fn spelled<'v, 'item>(value: &'v Value<'item>, key: &str) -> &'v Value<'item> {
    let own = value.get(key);
    if !own.is_missing() {
        return own;
    }
    let snake = key.chars().fold(String::new(), |mut snake, char| {
        if char.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
        snake
    });
    value.get(&snake)
}

fn read(item: &Value<'_>, items: &mut Items) {
    let recorded = item.get("response");
    let chunks = match (item, recorded) {
        (Value::List(chunks), _) | (_, Value::List(chunks)) => chunks.as_slice(),
        (_, Value::Object(_)) => std::slice::from_ref(recorded),
        _ => std::slice::from_ref(item),
    };
    if chunks.iter().any(is_of_another_service) {
        return items.not_request(NotRequest::OtherService);
    }
    // A list is one request, or as many as it has ids: a chunk without one is of the request before it.
    let mut requests: Vec<(Option<&str>, Record)> = Vec::new();
    for chunk in chunks {
        let id = chunk.get("responseId").text();
        let own = match id {
            Some(_) => requests.iter_mut().find(|(own, _)| own.is_none() || *own == id),
            None => requests.last_mut(),
        };
        match own {
            Some((own, record)) => {
                record.merge(of_chunk(chunk));
                *own = own.or(id);
            }
            None => requests.push((id, of_chunk(chunk))),
        }
    }
    let is_recorded = !std::ptr::eq(chunks, std::slice::from_ref(item));
    for (id, mut record) in requests {
        // Beside a recorded call may stand when it was.
        if item.has("timestamp") {
            record.set("timestamp", item.get("timestamp"));
        }
        if is_recorded {
            match item.get("method").text() {
                Some("generateContentStream") => record.set_text("method", "streamGenerateContent"),
                _ => record.set("method", item.get("method")),
            }
        }
        match id {
            // A recorded call is whole: without an id nothing more of it can follow.
            None if is_recorded => items.request(record),
            id => items.part(id, record),
        }
    }
}

pub(super) fn of_chunk(chunk: &Value<'_>) -> Record {
    let mut record = Record::default();
    let error = chunk.get("error");
    if error.is_object() {
        record.set("status", error.first_of(&["code", "status"]));
        if let Some(model) = model_of_error(error) {
            record.set_text("model", without_provider(model));
        }
        record.violations = quota_failure::of_error(error);
        return record;
    }
    record.set("request_id", chunk.get("responseId"));
    record.set("timestamp", chunk.get("createTime"));
    record.set_model("model", chunk.get("modelVersion"));
    record.set("status", &200.into());
    record.set("usageMetadata", chunk.get("usageMetadata"));
    if chunk.has("embedding") || chunk.has("embeddings") {
        record.set_text("method", if chunk.has("embedding") { "embedContent" } else { "batchEmbedContents" });
    } else if chunk.has("totalTokens") {
        record.set_text("method", "countTokens");
    }
    grounding(chunk, &mut record);
    record
}

/// What the response was grounded on, and what it shows of its tools. Search alone leaves its tool tokens free (C11), so
/// it is said to be alone only where nothing else is seen.
fn grounding(chunk: &Value<'_>, record: &mut Record) {
    let mut tools: Vec<&str> = Vec::new();
    let mut see = |tool, there: bool| {
        if there && !tools.contains(&tool) {
            tools.push(tool);
        }
    };
    for candidate in chunk.get("candidates").items() {
        let metadata = candidate.get("groundingMetadata");
        for query in metadata.get("webSearchQueries").items().iter().filter_map(Value::text) {
            record.grounding.query(query);
        }
        for found in metadata.get("groundingChunks").items() {
            record.grounding.search |= found.has("web");
            record.grounding.maps |= found.has("maps");
            see("file_search", found.has("retrievedContext"));
        }
        see("google_search", record.grounding.search);
        see("google_maps", record.grounding.maps);
        see("url_context", candidate.has("urlContextMetadata"));
        let parts = candidate.at(&["content", "parts"]).items();
        let runs = parts.iter().any(|part| part.has("executableCode") || part.has("codeExecutionResult"));
        see("code_execution", runs);
    }
    if !tools.is_empty() {
        record.set("tools", &Value::List(tools.into_iter().map(Value::from).collect()));
    }
}

/// A 429 names the model in the dimensions of the quota that was exceeded, or in its message.
fn model_of_error<'v>(error: &'v Value<'_>) -> Option<&'v str> {
    let details = error.get("details").items();
    let violations = details.iter().flat_map(|detail| detail.get("violations").items());
    let mut models = violations.filter_map(|violation| violation.at(&["quotaDimensions", "model"]).text());
    models.next().or_else(|| {
        let (_, rest) = error.get("message").text()?.split_once(", model: ")?;
        let end = rest.find(|char: char| char.is_whitespace() || char == ',').unwrap_or(rest.len());
        Some(&rest[..end])
    })
}

/// Code Assist answers with the same bodies, but from quotas of its own.
fn is_of_another_service(chunk: &Value<'_>) -> bool {
    let details = chunk.at(&["error", "details"]).items();
    details.iter().any(|detail| detail.get("domain").text() == Some("cloudcode-pa.googleapis.com"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::shape::Item;

    fn items(line: &str) -> Vec<String> {
        let value = Value::read(line.as_bytes(), &SHAPE.fields).expect("JSON");
        assert!(tells(&value) && tells(&Value::sketch(line.as_bytes(), false).expect("JSON")), "{line}");
        let mut items = Items::default();
        read(&value, &mut items);
        let told = |item: &Item| {
            let mut json = String::new();
            match item {
                Item::Request(record) => record.write(&mut json),
                Item::Part(id, record) => {
                    json.push_str(&format!("{}: ", id.as_deref().unwrap_or("-")));
                    record.write(&mut json);
                }
                Item::NotRequest(kind) => json.push_str(kind.name()),
                Item::Refused(reason, ..) => json.push_str(reason.name()),
            }
            json
        };
        items.list.iter().map(told).collect()
    }

    #[test]
    fn answers_become_records() {
        for (line, expected) in [
            (
                r#"{"response_id":"r","model_version":"models/x","usage_metadata":{"prompt_token_count":"3"}}"#,
                r#"r: {"request_id":"r","model":"models/x","status":200,"usageMetadata":{"promptTokenCount":"3"}}"#,
            ),
            (
                r#"{"method":"generateContentStream","response":[{"usageMetadata":{"totalTokenCount":1}},{"usageMetadata":{"totalTokenCount":2}},{"candidates":[]}]}"#,
                r#"{"status":200,"usageMetadata":{"totalTokenCount":2},"method":"streamGenerateContent"}"#,
            ),
            (
                r#"[{"candidates":[{"groundingMetadata":{"webSearchQueries":["a","a",""]}}]}]"#,
                r#"{"status":200,"tools":["google_search"]}"#,
            ),
            (
                r#"{"error":{"code":429,"message":"Quota exceeded for metric: m, limit: 3, model: gemini-3.7-flash\nPlease"}}"#,
                r#"-: {"status":429,"model":"gemini-3.7-flash"}"#,
            ),
            (
                r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaDimensions":{"model":"m"}}]}]}}"#,
                r#"-: {"status":429,"model":"m"}"#,
            ),
            (
                r#"{"error":{"code":429,"message":"no capacity","details":[{"domain":"cloudcode-pa.googleapis.com"}]}}"#,
                "other_service",
            ),
        ] {
            assert_eq!(items(line), [expected], "{line}");
        }
    }
}
