//! Owns rows of Helicone: its requests with their responses, as its API and its exports have them. Of the gateways it tells
//! most of failures: every row has the HTTP status of its response.

use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, lack};
use crate::types::reason::Reason;

pub const SHAPE: Shape = Shape {
    name: "helicone",
    title: "Helicone requests",
    documented: "docs.helicone.ai (request and response of its API), columns of api-evangelist/helicone",
    told_by: "`request_created_at`, beside `request_path`, `request_model` or `response_status`",
    tells,
    fields: Fields {
        named: &[
            "request_id",
            "request_created_at",
            "request_path",
            "request_model",
            "provider",
            "response_status",
            "response_model",
            "delay_ms",
            "prompt_tokens",
            "prompt_cache_read_tokens",
            "completion_tokens",
            "total_tokens",
        ],
        whole: &["request_properties"],
    },
    cells: &["request_properties"],
    mapped: &[
        Mapped { from: "request_id", to: "request_id", note: "" },
        Mapped { from: "request_created_at", to: "timestamp", note: "" },
        Mapped { from: "request_model", to: "model", note: "else the one in `request_path`" },
        Mapped { from: "response_model", to: "model_version", note: "" },
        Mapped {
            from: "request_path",
            to: "method",
            note: "what stands after the colon; `chat/completions` and `embeddings` of the OpenAI-compatible endpoint",
        },
        Mapped {
            from: "response_status",
            to: "status",
            note: "as it is; one that is no HTTP status is in suspense",
        },
        Mapped {
            from: "provider",
            to: "service",
            note: "`GOOGLE`, and no path of Vertex AI's; where there is none, by the host of `request_path`",
        },
        Mapped {
            from: "prompt_tokens",
            to: "promptTokenCount",
            note: "cached tokens are inside, unless `total_tokens` is the sum with them",
        },
        Mapped { from: "prompt_cache_read_tokens", to: "cachedContentTokenCount", note: "" },
        Mapped { from: "completion_tokens", to: "candidatesTokenCount", note: "" },
        Mapped { from: "total_tokens", to: "totalTokenCount", note: "" },
        Mapped { from: "delay_ms", to: "latency_ms", note: "" },
        Mapped { from: "request_properties", to: "labels", note: "those that are texts" },
    ],
    lacks: &[
        lack::PROJECT,
        lack::USAGE_TIER,
        lack::SERVICE_TIER,
        Lack {
            what: "thoughts",
            instead: None,
            so: "output is too low where completion_tokens leaves them out; what the total has more is in suspense",
        },
        lack::MODALITIES,
        Lack { what: "tool tokens and searches", instead: None, so: "grounding isn't charged" },
    ],
    merges: false,
    read: Read::Items(read),
};

const HOST: &str = "generativelanguage.googleapis.com";
/// In paths of Vertex AI: its host, and how it names models.
const OF_VERTEX: [&str; 2] = ["aiplatform.googleapis.com", "/publishers/"];

fn tells(item: &Value<'_>) -> bool {
    item.has("request_created_at")
        && ["request_path", "request_model", "response_status"].iter().any(|key| item.has(key))
}

fn read(row: &Value<'_>, items: &mut Items) {
    let path = row.get("request_path").text().unwrap_or_default();
    let (model_in_path, method) = of_path(path);
    let mut record = Record::default();
    record.set("request_id", row.get("request_id"));
    record.set("timestamp", row.get("request_created_at"));
    let own_model = row.get("request_model");
    record.set_model("model", if own_model.is_missing() { &model_in_path } else { own_model });
    match row.get("provider").text() {
        _ if OF_VERTEX.iter().any(|mark| path.contains(mark)) => {
            return items.not_request(NotRequest::OtherService);
        }
        Some(provider) if provider.eq_ignore_ascii_case("google") => {}
        Some(provider) if !provider.is_empty() => return items.not_request(NotRequest::OtherService),
        _ if path.contains(HOST) => {}
        _ => {
            let detail = "neither provider nor request_path tells this API from other services";
            return items.refuse(Reason::MissingField, detail, record);
        }
    }
    record.set_model("model_version", row.get("response_model"));
    record.set_text("method", method);
    record.set("status", &row.get("response_status").loose());
    set_usage(row, &mut record);
    record.set("latency_ms", &row.get("delay_ms").loose());
    let properties = row.get("request_properties").members().iter();
    let labels: Vec<_> =
        properties.filter(|(_, value)| value.text().is_some()).map(|(key, value)| (&**key, value)).collect();
    if !labels.is_empty() {
        record.set_object("labels", &labels);
    }
    items.request(record);
}

/// Model and method of `…/v1beta/models/gemini-2.5-flash:generateContent?…`; a path that has none names neither.
fn of_path(path: &str) -> (Value<'_>, &str) {
    let path = path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.ends_with("/chat/completions") {
        return (Value::Null, "chat.completions");
    }
    if path.ends_with("/embeddings") {
        return (Value::Null, "embeddings");
    }
    match last.rsplit_once(':') {
        Some((model, method)) => (Value::from(model), method),
        None => (Value::Null, ""),
    }
}

/// Cached tokens are part of the prompt, unless the total shows that they stand beside it.
fn set_usage(row: &Value<'_>, record: &mut Record) {
    let keys = ["prompt_tokens", "prompt_cache_read_tokens", "completion_tokens", "total_tokens"];
    let [prompt, cached, completion, total] = keys.map(|key| row.get(key));
    let whole = match keys.map(|key| row.get(key).count()) {
        [Some(prompt), Some(cached @ 1..), completion, Some(total)]
            if prompt + cached + completion.unwrap_or(0) == total =>
        {
            Some(prompt + cached)
        }
        _ => None,
    };
    record.set_usage(&[
        ("promptTokenCount", &whole.map_or_else(|| prompt.clone(), Value::from)),
        ("cachedContentTokenCount", cached),
        ("candidatesTokenCount", completion),
        ("totalTokenCount", total),
    ]);
}
