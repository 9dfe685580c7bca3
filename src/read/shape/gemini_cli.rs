//! Owns the telemetry of Gemini CLI: log records as it writes them to its outfile, or their attributes alone. Of all its
//! records only the answers and errors of the API are calls; what else tells of the same calls (events, spans, metrics)
//! repeats their tokens. Spans as OTLP has them are for `otlp`.

use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, lack};
use crate::types::reason::Reason;

pub const SHAPE: Shape = Shape {
    name: "gemini_cli",
    title: "Gemini CLI telemetry",
    documented: "docs/cli/telemetry.md of google-gemini/gemini-cli",
    told_by: "`event.name`, among `attributes` or alone; or `scopeMetrics` or `instrumentationScope` beside `resource`",
    tells,
    fields: Fields {
        named: &[
            "attributes",
            "resource",
            "scopeMetrics",
            "instrumentationScope",
            "event.name",
            "event.timestamp",
            "session.id",
            "model",
            "auth_type",
            "status_code",
            "http.status_code",
            "duration_ms",
            "input_token_count",
            "output_token_count",
            "cached_content_token_count",
            "thoughts_token_count",
            "tool_token_count",
            "total_token_count",
        ],
        whole: &[],
    },
    cells: &[],
    mapped: &[
        Mapped {
            from: "session.id, event.timestamp, model",
            to: "request_id",
            note: "together: prompt_id is that of several calls",
        },
        Mapped { from: "event.timestamp", to: "timestamp", note: "when the call ended" },
        Mapped { from: "model", to: "model", note: "" },
        Mapped {
            from: "status_code",
            to: "status",
            note: "else `http.status_code`; without one an `api_response` went well and an `api_error` failed",
        },
        Mapped {
            from: "auth_type",
            to: "service",
            note: "only calls with `gemini-api-key` are of this API; one that doesn't say is in suspense",
        },
        Mapped { from: "input_token_count", to: "promptTokenCount", note: "cached tokens included" },
        Mapped { from: "output_token_count", to: "candidatesTokenCount", note: "thoughts excluded" },
        Mapped { from: "cached_content_token_count", to: "cachedContentTokenCount", note: "" },
        Mapped { from: "thoughts_token_count", to: "thoughtsTokenCount", note: "" },
        Mapped { from: "tool_token_count", to: "toolUsePromptTokenCount", note: "" },
        Mapped { from: "total_token_count", to: "totalTokenCount", note: "" },
        Mapped { from: "duration_ms", to: "latency_ms", note: "" },
    ],
    lacks: &[
        lack::PROJECT,
        lack::USAGE_TIER,
        lack::SERVICE_TIER,
        Lack {
            what: "method",
            instead: None,
            so: "streams look like generateContent, which has the same prices and limits",
        },
        lack::MODALITIES,
        Lack { what: "searches", instead: None, so: "grounding isn't charged" },
        Lack {
            what: "retries within the client that left no event",
            instead: None,
            so: "requests and quota are a lower bound",
        },
    ],
    merges: false,
    read: Read::Items(read),
};

/// The only way to sign in whose calls are billed and limited as this API's.
const API_KEY: &str = "gemini-api-key";

fn tells(item: &Value<'_>) -> bool {
    let is_record = item.has("scopeMetrics") || item.has("instrumentationScope");
    attributes(item).has("event.name") || is_record && item.has("resource")
}

/// Those of a log record, or the item where it is nothing but them.
fn attributes<'v, 'item>(item: &'v Value<'item>) -> &'v Value<'item> {
    let attributes = item.get("attributes");
    if attributes.is_object() { attributes } else { item }
}

fn read(item: &Value<'_>, items: &mut Items) {
    if item.has("scopeMetrics") {
        return items.not_request(NotRequest::Metric);
    }
    let event = attributes(item);
    let went_well = match event.get("event.name").text() {
        Some("gemini_cli.api_response") => true,
        Some("gemini_cli.api_error") => false,
        _ => return items.not_request(NotRequest::Event),
    };
    match event.get("auth_type").text() {
        Some(API_KEY) => {}
        Some(way) if !way.is_empty() => return items.not_request(NotRequest::OtherService),
        _ => {
            let detail =
                "there is no auth_type, which tells calls of this API from Code Assist's and Vertex AI's";
            return items.refuse(Reason::MissingField, detail, identified(event));
        }
    }
    let mut record = identified(event);
    let status = event.first_of(&["status_code", "http.status_code"]);
    match status.is_missing() {
        true if went_well => record.set("status", &200.into()),
        true => record.set_text("status", "failed"),
        false => record.set("status", &status.loose()),
    }
    record.set_usage(&[
        ("promptTokenCount", event.get("input_token_count")),
        ("candidatesTokenCount", event.get("output_token_count")),
        ("cachedContentTokenCount", event.get("cached_content_token_count")),
        ("thoughtsTokenCount", event.get("thoughts_token_count")),
        ("toolUsePromptTokenCount", event.get("tool_token_count")),
        ("totalTokenCount", event.get("total_token_count")),
    ]);
    record.set("latency_ms", event.get("duration_ms"));
    items.request(record);
}

/// Which call it was, and when.
fn identified(event: &Value<'_>) -> Record {
    let mut record = Record::default();
    let identity = ["session.id", "event.timestamp", "model"].map(|key| event.get(key).text());
    if let [Some(session), Some(time), Some(model)] = identity {
        record.set_text("request_id", &format!("{session} {time} {model}"));
    }
    record.set("timestamp", event.get("event.timestamp"));
    record.set_model("model", event.get("model"));
    record
}
