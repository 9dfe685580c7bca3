//! Owns spans of OpenTelemetry with the attributes of generative AI, as OTLP writes them in JSON. Of all spans only a
//! call's own is a request: those of agents, tools, chains and HTTP stand around it, and some repeat its tokens.

use std::collections::{HashMap, HashSet};

use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, lack};
use crate::types::day::Instant;
use crate::types::reason::Reason;
use crate::types::request::Status;

pub const SHAPE: Shape = Shape {
    name: "otlp",
    title: "OTLP spans with attributes of generative AI",
    documented: "opentelemetry.io (OTLP, semantic conventions of generative AI)",
    told_by: "`resourceSpans`, `resourceMetrics` or `resourceLogs`",
    tells,
    fields: Fields {
        named: &[
            "resourceSpans",
            "resourceMetrics",
            "resourceLogs",
            "scopeSpans",
            "spans",
            "traceId",
            "spanId",
            "parentSpanId",
            "startTimeUnixNano",
            "attributes",
            "key",
            "value",
            "stringValue",
            "intValue",
            "doubleValue",
            "status",
            "code",
        ],
        whole: &[],
    },
    cells: &["resourceSpans"],
    mapped: &[
        Mapped { from: "gen_ai.response.id", to: "request_id", note: "else trace and span id" },
        Mapped { from: "startTimeUnixNano", to: "timestamp", note: "when the call began" },
        Mapped { from: "gen_ai.request.model", to: "model", note: "" },
        Mapped { from: "gen_ai.response.model", to: "model_version", note: "" },
        Mapped {
            from: "gen_ai.operation.name",
            to: "method",
            note: "`generate_content`, `chat`, `text_completion`: generateContent; `embeddings`: embedContent; spans of others are no \
                   requests, nor is one above another call's; without a name a span with a model is a call, unless \
                   `traceloop.span.kind` says what it is",
        },
        Mapped {
            from: "error.type, status.code",
            to: "status",
            note: "`http.response.status_code`, else an `error.type` that is an HTTP status or gRPC code, else failed",
        },
        Mapped {
            from: "server.address, gen_ai.provider.name, gen_ai.system",
            to: "service",
            note: "by the host, else by the provider: `gcp.gemini`, `gemini`, `google` are this API; one that may be Vertex AI's as well \
                   (`gcp.gen_ai`), or that is missing, is in suspense",
        },
        Mapped {
            from: "gen_ai.usage.input_tokens",
            to: "promptTokenCount",
            note: "or `prompt_tokens`; cached tokens included",
        },
        Mapped {
            from: "gen_ai.usage.output_tokens",
            to: "candidatesTokenCount",
            note: "or `completion_tokens`; thoughts are inside (come off it), unless they are more, or a total says otherwise",
        },
        Mapped {
            from: "gen_ai.usage.cache_read.input_tokens",
            to: "cachedContentTokenCount",
            note: "or `cached_tokens`, `cache_read_input_tokens`, `input_cached_tokens`, `input_tokens.cached`",
        },
        Mapped {
            from: "gen_ai.usage.reasoning.output_tokens",
            to: "thoughtsTokenCount",
            note: "or `reasoning_tokens`, `output_tokens.reasoning`",
        },
        Mapped {
            from: "gen_ai.usage.total_tokens",
            to: "totalTokenCount",
            note: "or `llm.usage.total_tokens`; few have it",
        },
    ],
    lacks: &[
        lack::PROJECT,
        lack::USAGE_TIER,
        lack::SERVICE_TIER,
        lack::MODALITIES,
        Lack { what: "tool tokens and searches", instead: None, so: "grounding isn't charged" },
        Lack {
            what: "the rate at which traces were sampled",
            instead: None,
            so: "requests, tokens and quota are a lower bound",
        },
        Lack {
            what: "whether spans of two exports are one call's, without gen_ai.response.id",
            instead: None,
            so: "a call that two libraries trace, in two exports, counts twice",
        },
    ],
    merges: false,
    read: Read::Items(read),
};

const SERVICE: &str = "generativelanguage.googleapis.com";
const CALLS: [&str; 3] = ["generate_content", "chat", "text_completion"];
const EMBEDDINGS: &str = "embeddings";
/// Providers that are this API alone, in the names' older and newer forms.
const OWN: [&str; 3] = ["gcp.gemini", "gemini", "google"];
/// Google's, of this API or of Vertex AI.
const EITHER: [&str; 2] = ["gcp.gen_ai", "gcp.vertex.agent"];

/// status.code of a span that failed, as OTLP's JSON may have it.
const FAILED: [&str; 2] = ["2", "STATUS_CODE_ERROR"];

const INPUT: [&str; 2] = ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"];
const OUTPUT: [&str; 2] = ["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"];
const CACHED: [&str; 5] = [
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_cached_tokens",
    "gen_ai.usage.input_tokens.cached",
];
const THOUGHTS: [&str; 3] = [
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.output_tokens.reasoning",
];
const TOTAL: [&str; 2] = ["gen_ai.usage.total_tokens", "llm.usage.total_tokens"];

fn tells(item: &Value<'_>) -> bool {
    ["resourceSpans", "resourceMetrics", "resourceLogs"].iter().any(|key| item.has(key))
}

fn read(item: &Value<'_>, items: &mut Items) {
    if item.has("resourceMetrics") {
        items.not_request(NotRequest::Metric);
    }
    let resources = item.get("resourceSpans").items().iter();
    let scopes = resources.flat_map(|resource| resource.get("scopeSpans").items());
    let spans: Vec<Span<'_, '_>> = scopes.flat_map(|scope| scope.get("spans").items()).map(Span).collect();
    let above = above_calls(&spans);
    for span in &spans {
        if span.method().is_none() || above.contains(&span.id()) {
            items.not_request(NotRequest::Event);
        } else {
            span.read(items);
        }
    }
}

/// Spans with a call's span below them: of a framework, around the library's own.
fn above_calls<'v>(spans: &[Span<'v, '_>]) -> HashSet<SpanId<'v>> {
    let parents: HashMap<_, _> = spans.iter().map(|span| (span.id(), span.parent())).collect();
    let mut above = HashSet::new();
    for call in spans.iter().filter(|span| span.method().is_some()) {
        // What is above one that was seen was seen as well, so this ends, in circles too.
        let mut parent = call.parent();
        while !parent.span.is_empty() && above.insert(parent) {
            parent = parents.get(&parent).copied().unwrap_or_default();
        }
    }
    above
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct SpanId<'v> {
    trace: &'v str,
    span: &'v str,
}

struct Span<'v, 'item>(&'v Value<'item>);

impl<'v, 'item> Span<'v, 'item> {
    fn id(&self) -> SpanId<'v> {
        self.id_in("spanId")
    }

    fn parent(&self) -> SpanId<'v> {
        self.id_in("parentSpanId")
    }

    fn id_in(&self, key: &str) -> SpanId<'v> {
        let text = |key| self.0.get(key).text().unwrap_or_default();
        SpanId { trace: text("traceId"), span: text(key) }
    }

    /// The value of the first of these attributes that is there.
    fn attribute(&self, names: &[&str]) -> &'v Value<'item> {
        let attributes = self.0.get("attributes").items();
        let value = |name: &&str| {
            let attribute = attributes.iter().find(|attribute| attribute.get("key").text() == Some(name))?;
            let value = attribute.get("value").first_of(&["stringValue", "intValue", "doubleValue"]);
            (!value.is_missing()).then_some(value)
        };
        names.iter().find_map(value).unwrap_or(&Value::Null)
    }

    /// None of a span that is no call's own.
    fn method(&self) -> Option<&'static str> {
        match self.attribute(&["gen_ai.operation.name"]).text() {
            Some(EMBEDDINGS) => Some("embedContent"),
            Some(operation) => CALLS.contains(&operation).then_some("generateContent"),
            None => {
                let has_model = !self.attribute(&["gen_ai.request.model"]).is_missing();
                let is_around = !self.attribute(&["traceloop.span.kind"]).is_missing();
                (has_model && !is_around).then_some("generateContent")
            }
        }
    }

    fn read(&self, items: &mut Items) {
        let provider = self.attribute(&["gen_ai.provider.name", "gen_ai.system"]).text();
        let provider = provider.unwrap_or_default().to_ascii_lowercase();
        match self.attribute(&["server.address"]).text() {
            Some(SERVICE) => {}
            Some(host) if host.ends_with(".googleapis.com") => {
                return items.not_request(NotRequest::OtherService);
            }
            _ if OWN.contains(&&*provider) => {}
            _ if provider.is_empty() || EITHER.contains(&&*provider) => {
                let detail =
                    "neither server.address nor gen_ai.provider.name tells this API from other services";
                return items.refuse(Reason::MissingField, detail, self.identified());
            }
            _ => return items.not_request(NotRequest::OtherService),
        }
        let mut record = self.identified();
        record.set_model("model_version", self.attribute(&["gen_ai.response.model"]));
        record.set_text("method", self.method().unwrap_or_default());
        self.set_status(&mut record);
        self.set_usage(&mut record);
        items.request(record);
    }

    /// Which call it was, and when.
    fn identified(&self) -> Record {
        let mut record = Record::default();
        let own_id = self.id();
        match self.attribute(&["gen_ai.response.id"]).text() {
            Some(id) => record.set_text("request_id", id),
            None if own_id.span.is_empty() => {}
            None => record.set_text("request_id", &format!("{} {}", own_id.trace, own_id.span)),
        }
        self.set_time(&mut record);
        record.set_model("model", self.attribute(&["gen_ai.request.model"]));
        record
    }

    /// Nanoseconds since 1970, most often in a string; 0 says that it isn't known.
    fn set_time(&self, record: &mut Record) {
        let start = self.0.get("startTimeUnixNano");
        let nanos = match start {
            Value::Text(digits) | Value::Number(digits) => digits.parse().ok(),
            _ => None,
        };
        match nanos {
            Some(0) => {}
            Some(nanos @ 1i64..) => record.set_text("timestamp", &Instant(nanos).to_string()),
            _ => record.set("timestamp", start),
        }
    }

    fn set_status(&self, record: &mut Record) {
        let error = self.attribute(&["error.type"]);
        let code = self.0.at(&["status", "code"]);
        let failed = match code {
            Value::Text(code) | Value::Number(code) => FAILED.contains(&&**code),
            _ => false,
        };
        if !failed && error.is_missing() {
            return record.set("status", &200.into());
        }
        let http = self.attribute(&["http.response.status_code", "http.status_code"]);
        match error.text().filter(|error| Status::from_log(error).is_some_and(|status| !status.went_well())) {
            _ if !http.is_missing() => record.set("status", http),
            Some(error) => record.set_text("status", error),
            None => record.set_text("status", "failed"),
        }
    }

    fn set_usage(&self, record: &mut Record) {
        let [input, output, cached, thoughts, total] =
            [&INPUT[..], &OUTPUT, &CACHED, &THOUGHTS, &TOTAL].map(|names| self.attribute(names));
        // Without a total nothing else tells whether thoughts are inside: the conventions say so.
        let without_thoughts = match (output.count(), thoughts.count()) {
            (Some(output), Some(thoughts)) if total.is_missing() => output.checked_sub(thoughts),
            _ => None,
        };
        record.set_usage(&[
            ("promptTokenCount", input),
            ("candidatesTokenCount", &without_thoughts.map_or_else(|| output.clone(), Value::from)),
            ("cachedContentTokenCount", cached),
            ("thoughtsTokenCount", thoughts),
            ("totalTokenCount", total),
        ]);
    }
}
