//! Owns chat completions and embeddings in OpenAI's shape, whole or in chunks, as Google's compatible endpoint and proxies
//! before it answer. They lack the project, the modality of tokens, the tokens of tools, and failures.

use super::completion::{self, Rest};
use super::fields::joined;
use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, clock, lack, provider};

const FIELDS: [&str; completion::FIELDS.len() + OWN.len()] = joined(&completion::FIELDS, &OWN);
const OWN: [&str; 5] = ["id", "object", "created", "model", "service_tier"];

pub const SHAPE: Shape = Shape {
    name: "openai",
    title: "chat completions and embeddings, OpenAI-compatible",
    documented: "ai.google.dev/gemini-api/docs/openai, platform.openai.com/docs/api-reference",
    told_by: "an `object` of `chat.completion`, `chat.completion.chunk` or `text_completion`, or a `usage` with `prompt_tokens`",
    tells,
    fields: Fields { named: &FIELDS, whole: &[] },
    cells: &["usage"],
    mapped: &[
        Mapped {
            from: "id",
            to: "request_id",
            note: "chunks of one id are one request; the last usage counts",
        },
        Mapped { from: "created", to: "timestamp", note: "seconds since 1970" },
        Mapped {
            from: "model",
            to: "model",
            note: "with another provider's prefix (`vertex_ai/`, `openai/`, …) it is no request",
        },
        Mapped { from: "object", to: "method", note: "`chat.completions`; of a `list`, `embeddings`" },
        Mapped {
            from: "service_tier",
            to: "service_tier",
            note: "`default` is standard, `auto` says nothing",
        },
        Mapped { from: "usage.prompt_tokens", to: "promptTokenCount", note: "cached ones included" },
        Mapped { from: "usage.prompt_tokens_details.cached_tokens", to: "cachedContentTokenCount", note: "" },
        Mapped {
            from: "usage.completion_tokens",
            to: "candidatesTokenCount",
            note: "less the reasoning that lies within it",
        },
        Mapped {
            from: "usage.completion_tokens_details.reasoning_tokens",
            to: "thoughtsTokenCount",
            note: "in or out of the completion by the total; where it isn't said, what prompt and completion leave of the total (assumed)",
        },
        Mapped { from: "usage.total_tokens", to: "totalTokenCount", note: "" },
    ],
    lacks: &[
        lack::PROJECT,
        Lack { what: "failed requests", instead: None, so: "quota is a lower bound" },
        Lack {
            what: "modalities",
            instead: None,
            so: "image, audio and video are priced as text, unless `audio_tokens` and the like are there",
        },
        Lack {
            what: "tokens of tools",
            instead: None,
            so: "what the total leaves over is taken for thoughts, though tools may have taken it",
        },
        Lack { what: "searches", instead: None, so: "grounding isn't charged" },
        Lack {
            what: "usage of streams that weren't asked for it (`include_usage`)",
            instead: None,
            so: "such a request is suspended",
        },
    ],
    merges: true,
    read: Read::Items(read),
};

const OBJECTS: [&str; 3] = ["chat.completion", "chat.completion.chunk", "text_completion"];

fn tells(item: &Value<'_>) -> bool {
    let usage = item.get("usage");
    item.get("object").text().is_some_and(|object| OBJECTS.contains(&object))
        || usage.has("prompt_tokens") && (usage.has("total_tokens") || usage.has("completion_tokens"))
}

fn read(item: &Value<'_>, items: &mut Items) {
    if provider::has_other(item.get("model")) {
        return items.not_request(NotRequest::OtherService);
    }
    let object = item.get("object").text().unwrap_or_default();
    let mut record = Record::default();
    record.set("request_id", item.get("id"));
    record.set("timestamp", &clock::utc(item.get("created")));
    record.set_model("model", item.get("model"));
    record.set_text("method", if object == "list" { "embeddings" } else { "chat.completions" });
    record.set("status", &200.into());
    record.set("service_tier", &completion::service_tier(item.get("service_tier")));
    completion::set_usage(&mut record, &[item.get("usage")], Rest::Thoughts);
    if object == "chat.completion.chunk" {
        items.part(item.get("id").text(), record);
    } else {
        items.request(record);
    }
}
