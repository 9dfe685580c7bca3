//! Owns turns of the Live API: the server's messages, or the usage of each alone. Their totals leave thoughts out, and
//! their names differ from those of other answers. Answers of the other methods are for `raw`.

use super::fields::joined;
use super::raw::spelled;
use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, lack};
use crate::types::reason::Reason;

/// Those of a message are read only to tell it.
const FIELDS: [&str; MESSAGES.len() + USAGE.len()] = joined(&MESSAGES, &USAGE);
const USAGE: [&str; MEMBERS.len() + 3] = joined(&MEMBERS, &["usageMetadata", "modality", "tokenCount"]);

pub const SHAPE: Shape = Shape {
    name: "live",
    title: "turns of the Live API",
    documented: "ai.google.dev/api/live (BidiGenerateContentServerMessage, UsageMetadata)",
    told_by: "`responseTokenCount` or `responseTokensDetails`, alone or in `usageMetadata`; `serverContent`, `setupComplete` and \
              other messages of the server",
    tells,
    fields: Fields { named: &FIELDS, whole: &[] },
    cells: &["usageMetadata"],
    mapped: &[
        Mapped {
            from: "usageMetadata",
            to: "usageMetadata",
            note: "each is a turn, and a request; a message without one isn't",
        },
        Mapped {
            from: "totalTokenCount",
            to: "totalTokenCount",
            note: "the sum of prompt, tool and response, with thoughts or without them; a turn with another is in suspense",
        },
        Mapped { from: "responseTokenCount", to: "candidatesTokenCount", note: "thoughts are never inside" },
    ],
    lacks: &[
        Lack { what: "time", instead: Some("--at"), so: "peaks of a minute are unknown" },
        Lack { what: "model", instead: Some("--model"), so: "it stands in the setup of a session alone" },
        lack::PROJECT,
        lack::USAGE_TIER,
        Lack { what: "ids", instead: None, so: "a turn that is logged twice counts twice" },
        Lack { what: "failures", instead: None, so: "failed turns are not in this log" },
        Lack { what: "searches", instead: None, so: "grounding isn't charged" },
    ],
    merges: false,
    read: Read::Items(read),
};

/// Messages of the server that stand in no other shape.
const MESSAGES: [&str; 6] = [
    "serverContent",
    "setupComplete",
    "toolCall",
    "toolCallCancellation",
    "goAway",
    "sessionResumptionUpdate",
];
const MEMBERS: [&str; 12] = [
    "promptTokenCount",
    "cachedContentTokenCount",
    "responseTokenCount",
    "toolUsePromptTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "promptTokensDetails",
    "cacheTokensDetails",
    "responseTokensDetails",
    "toolUsePromptTokensDetails",
    "serviceTier",
    "trafficType",
];

pub fn tells(item: &Value<'_>) -> bool {
    let is_usage = |usage: &Value<'_>| {
        ["responseTokenCount", "responseTokensDetails"].iter().any(|key| !spelled(usage, key).is_missing())
    };
    // An empty message (`setupComplete: {}`) is one too.
    MESSAGES.iter().any(|key| !spelled(item, key).is_missing())
        || is_usage(item)
        || is_usage(spelled(item, "usageMetadata"))
}

fn read(item: &Value<'_>, items: &mut Items) {
    let usage = item.get("usageMetadata");
    let usage = match usage {
        Value::Object(_) => usage,
        _ if MEMBERS.iter().any(|key| item.has(key)) => item,
        _ => return items.not_request(NotRequest::Event),
    };
    if usage.has("trafficType") {
        return items.not_request(NotRequest::OtherService);
    }
    let count = |key| match usage.get(key) {
        missing if missing.is_missing() => Some(0),
        value => value.count(),
    };
    let parts = ["promptTokenCount", "toolUsePromptTokenCount", "responseTokenCount"];
    let parts: Option<u64> = parts.into_iter().map(count).sum();
    // Counts that are none are for the decoder.
    if let (Some(parts), Some(thoughts), Some(total)) =
        (parts, count("thoughtsTokenCount"), usage.get("totalTokenCount").count())
        && total != parts
        && total != parts + thoughts
    {
        let with = if thoughts > 0 { format!(" or {}", parts + thoughts) } else { String::new() };
        let detail = format!("totalTokenCount is {total}; its parts come to {parts}{with}");
        return items.refuse(Reason::InconsistentCounts, detail, Record::default());
    }
    let mut record = Record::default();
    record.set_text("method", "bidiGenerateContent");
    record.set("status", &200.into());
    let members: Vec<_> = MEMBERS.iter().map(|key| (*key, usage.get(key))).collect();
    record.set_object("usageMetadata", &members);
    items.request(record);
}
