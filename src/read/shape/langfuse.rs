//! Owns Langfuse's observations: generations and embeddings are calls, all else stands around them. What of the usage lies
//! within what depends on who sent it, so the total decides. They lack the project, the tier, and the status of failures.

use super::completion::of_modality;
use super::record::Record;
use super::value::{Fields, Value};
use super::{Items, Lack, Mapped, NotRequest, Read, Shape, clock, provider, quota_failure};
use crate::types::meter::Modality;

pub const SHAPE: Shape = Shape {
    name: "langfuse",
    title: "Langfuse observations",
    documented: "langfuse.com/docs/api (observations), langfuse.com/docs/query-traces (exports)",
    told_by: "a `start_time` beside a `trace_id` or `provided_model_name`, and a `type` of an observation; camelCase too",
    tells,
    fields: Fields {
        named: &[
            "id",
            "type",
            "traceId",
            "startTime",
            "level",
            "statusMessage",
            "providedModelName",
            "model",
            "promptTokens",
            "completionTokens",
            "totalTokens",
            "metadata",
            "attributes",
            "ls_provider",
            "gen_ai.provider.name",
            "gen_ai.system",
        ],
        whole: &["usageDetails", "usage_details", "usage"],
    },
    cells: &["usageDetails", "usage_details", "usage", "metadata"],
    mapped: &[
        Mapped { from: "id", to: "request_id", note: "Langfuse's own, not the `responseId`" },
        Mapped { from: "start_time", to: "timestamp", note: "UTC where it names no zone" },
        Mapped { from: "provided_model_name, model", to: "model", note: "" },
        Mapped {
            from: "type",
            to: "method",
            note: "`GENERATION` is `generateContent`, `EMBEDDING` is `embedContent`; others are no requests",
        },
        Mapped {
            from: "level",
            to: "status",
            note: "`ERROR` is a failure: the status with which `status_message` begins, as in `429 RESOURCE_EXHAUSTED`, else `failed`",
        },
        Mapped {
            from: "status_message",
            to: "evidence",
            note: "of a 429: the quotas that it names; no other text of it is kept",
        },
        Mapped {
            from: "metadata.ls_provider",
            to: "service",
            note: "and `gen_ai.provider.name`, `gen_ai.system`, or the model's prefix: other providers' calls are no requests",
        },
        Mapped {
            from: "usage_details.input",
            to: "promptTokenCount",
            note: "with the cached ones and the modalities, where the total says that they stand beside it",
        },
        Mapped {
            from: "usage_details.input_cached_tokens",
            to: "cachedContentTokenCount",
            note: "or another key with `cache`; not what was written to a cache",
        },
        Mapped {
            from: "usage_details.output",
            to: "candidatesTokenCount",
            note: "with the modalities, or without the reasoning, as the total says",
        },
        Mapped {
            from: "usage_details.output_reasoning_tokens",
            to: "thoughtsTokenCount",
            note: "or another key with `reasoning`, `thought` or `thinking`",
        },
        Mapped { from: "usage_details.tool_use_prompt_token_count", to: "toolUsePromptTokenCount", note: "" },
        Mapped { from: "usage_details.total", to: "totalTokenCount", note: "" },
        Mapped {
            from: "usage_details.input_modality_1, input_audio",
            to: "promptTokensDetails",
            note: "any `input_`, `output_` with a modality's name or number",
        },
    ],
    lacks: &[
        Lack {
            what: "project",
            instead: Some("--project"),
            so: "quotas can't be told apart: `project_id` is Langfuse's",
        },
        Lack {
            what: "the service, where tracing doesn't name the provider",
            instead: None,
            so: "calls of Vertex AI look like this API's",
        },
        Lack {
            what: "service tier",
            instead: Some("--service-tier"),
            so: "batch and flex look like standard",
        },
        Lack {
            what: "the status of failures",
            instead: None,
            so: "a 429 looks like any other failure, unless its message begins with it",
        },
        Lack {
            what: "a total of the API's",
            instead: None,
            so: "one that Langfuse added up counts parts twice where they overlap",
        },
        Lack { what: "searches", instead: None, so: "grounding isn't charged" },
    ],
    merges: false,
    read: Read::Items(read),
};

const TYPES: [&str; 10] = [
    "GENERATION",
    "EMBEDDING",
    "SPAN",
    "EVENT",
    "AGENT",
    "TOOL",
    "CHAIN",
    "RETRIEVER",
    "EVALUATOR",
    "GUARDRAIL",
];

fn tells(item: &Value<'_>) -> bool {
    let has = |keys: &[&str]| !item.first_of(keys).is_missing();
    item.get("type").text().is_some_and(|name| TYPES.contains(&name))
        && has(&["startTime", "start_time"])
        && has(&["traceId", "trace_id", "providedModelName", "provided_model_name"])
}

fn read(row: &Value<'_>, items: &mut Items) {
    let method = match row.get("type").text() {
        Some("GENERATION") => "generateContent",
        Some("EMBEDDING") => "embedContent",
        _ => return items.not_request(NotRequest::Event),
    };
    let model = row.first_of(&["providedModelName", "model"]);
    if is_of_other(row.get("metadata")) || provider::has_other(model) {
        return items.not_request(NotRequest::OtherService);
    }
    let mut record = Record::default();
    record.set("request_id", row.get("id"));
    record.set("timestamp", &clock::utc(row.get("startTime")));
    record.set_model("model", model);
    record.set_text("method", method);
    match row.get("level").text() {
        Some("ERROR") => {
            let message = row.get("statusMessage");
            record.set("status", &status(message));
            record.violations = quota_failure::of_text(message.text().unwrap_or_default());
        }
        _ => record.set("status", &200.into()),
    }
    let usage = row.first_of(&["usageDetails", "usage_details", "usage"]);
    let counts = Counts::of(if usage.members().is_empty() { row } else { usage });
    counts.set_usage(&mut record);
    items.request(record);
}

fn is_of_other(metadata: &Value<'_>) -> bool {
    let attributes = metadata.get("attributes");
    let names = [
        metadata.get("ls_provider"),
        attributes.get("gen_ai.provider.name"),
        attributes.get("gen_ai.system"),
    ];
    names.into_iter().any(provider::is_other)
}

/// Free text, unless it begins as Google's libraries write it: `429 RESOURCE_EXHAUSTED. {…}`.
fn status<'item>(message: &Value<'item>) -> Value<'item> {
    let mut words = message.text().unwrap_or_default().split([' ', '.', ':', ',']);
    let (code, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_name = name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    match code.parse::<u64>() {
        Ok(code @ 400..=599) if is_name => code.into(),
        _ => "failed".into(),
    }
}

/// What an observation counts, by what its keys seem to be; as it lies, so that what is no count is refused.
#[derive(Default)]
struct Counts<'v, 'item> {
    input: Option<&'v Value<'item>>,
    output: Option<&'v Value<'item>>,
    total: Option<&'v Value<'item>>,
    tool: Option<&'v Value<'item>>,
    cached: Option<&'v Value<'item>>,
    reasoning: Option<&'v Value<'item>>,
    /// Each modality's word or number, and its tokens.
    input_details: Vec<(&'v str, &'v Value<'item>)>,
    output_details: Vec<(&'v str, &'v Value<'item>)>,
}

impl<'v, 'item> Counts<'v, 'item> {
    fn of(usage: &'v Value<'item>) -> Counts<'v, 'item> {
        let mut counts = Counts::default();
        for (key, value) in usage.members().iter().filter(|(_, value)| !value.is_missing()) {
            match &**key {
                "input" | "input_tokens" | "promptTokens" | "prompt_tokens" | "promptTokenCount"
                | "prompt_token_count" => counts.input = Some(value),
                "output"
                | "output_tokens"
                | "completionTokens"
                | "completion_tokens"
                | "candidatesTokenCount"
                | "candidates_token_count" => counts.output = Some(value),
                "total" | "totalTokens" | "total_tokens" | "totalTokenCount" | "total_token_count" => {
                    counts.total = Some(value);
                }
                "toolUsePromptTokenCount" | "tool_use_prompt_token_count" => counts.tool = Some(value),
                // What was written to a cache is no use of it, and the modality of what was cached stands with all of it.
                key if key.contains("cache_creation") || key.starts_with("cached_modality_") => {}
                key if key.contains("cache") => counts.cached = greater(counts.cached, value),
                key if ["reasoning", "thought", "thinking"].iter().any(|word| key.contains(word)) => {
                    counts.reasoning = greater(counts.reasoning, value);
                }
                key => {
                    if let Some(modality) = key.strip_prefix("input_").and_then(modality) {
                        counts.input_details.push((modality, value));
                    } else if let Some(modality) = key.strip_prefix("output_").and_then(modality) {
                        counts.output_details.push((modality, value));
                    }
                }
            }
        }
        counts
    }

    /// Sets nothing where nothing is counted: Langfuse writes 0 too where it knows nothing.
    fn set_usage(&self, record: &mut Record) {
        let details = self.input_details.iter().chain(&self.output_details).map(|(_, tokens)| *tokens);
        let all: Vec<_> = [self.input, self.output, self.total, self.tool, self.cached, self.reasoning]
            .into_iter()
            .flatten()
            .chain(details)
            .collect();
        if all.iter().all(|value| value.count() == Some(0)) {
            return;
        }
        let as_it_lies = |value: Option<&Value<'item>>| value.cloned().unwrap_or(Value::Null);
        let (mut prompt, mut candidates) = (as_it_lies(self.input), as_it_lies(self.output));
        if all.iter().all(|value| value.count().is_some()) {
            let (whole, output) = self.wholes();
            (prompt, candidates) = (whole.into(), output.saturating_sub(count(self.reasoning)).into());
        }
        let list = |details: &[(&'v str, &'v Value<'item>)]| {
            let item = |(word, tokens): &(&'v str, &Value<'item>)| {
                of_modality(Value::from(*word).loose(), (*tokens).clone())
            };
            Value::List(details.iter().map(item).collect())
        };
        record.set_object(
            "usageMetadata",
            &[
                ("promptTokenCount", &prompt),
                ("cachedContentTokenCount", &as_it_lies(self.cached)),
                ("candidatesTokenCount", &candidates),
                ("thoughtsTokenCount", &as_it_lies(self.reasoning)),
                ("toolUsePromptTokenCount", &as_it_lies(self.tool)),
                ("totalTokenCount", &as_it_lies(self.total)),
                ("promptTokensDetails", &list(&self.input_details)),
                ("candidatesTokensDetails", &list(&self.output_details)),
            ],
        );
    }

    /// Prompt and output with all that belongs to them, thoughts too. `input` and `output` may hold their parts, or stand
    /// beside them. The first reading that makes the total holds; the API's own is asked first (cached within the
    /// prompt, thoughts beside the candidates). Where none makes it the API's own stands, and the total says that
    /// something is wrong. Without a total all stand beside each other, as Langfuse documents it.
    fn wholes(&self) -> (u64, u64) {
        let sum = |details: &[(&str, &Value<'_>)]| {
            details.iter().map(|(_, tokens)| count(Some(tokens))).sum::<u64>()
        };
        let (input, output) = (count(self.input), count(self.output));
        let (cached, reasoning) = (count(self.cached), count(self.reasoning));
        let (input_parts, output_parts) = (sum(&self.input_details), sum(&self.output_details));
        let beside = (input + input_parts + cached, output + output_parts + reasoning);
        let Some(total) = self.total.and_then(Value::count) else {
            return beside;
        };
        let prompts = [input, input + cached, input + input_parts, beside.0];
        let outputs = [output + reasoning, output, beside.1, output + output_parts];
        let all = prompts.iter().flat_map(|prompt| outputs.iter().map(move |output| (*prompt, *output)));
        let mut whole = all.filter(|(prompt, output)| {
            *prompt >= cached.max(input_parts) && *output >= reasoning + output_parts
        });
        let first = whole.clone().next();
        let made = whole.find(|(prompt, output)| prompt + output + count(self.tool) == total);
        made.or(first).unwrap_or(beside)
    }
}

fn count(value: Option<&Value<'_>>) -> u64 {
    value.and_then(Value::count).unwrap_or(0)
}

/// Of two keys for one thing; what is no count stays, to be refused.
fn greater<'v, 'item>(one: Option<&'v Value<'item>>, other: &'v Value<'item>) -> Option<&'v Value<'item>> {
    match one {
        Some(one)
            if one.count().is_none() || other.count().is_some_and(|other| Some(other) <= one.count()) =>
        {
            Some(one)
        }
        _ => Some(other),
    }
}

/// `audio`, `audio_tokens`, `modality_AUDIO`, `modality_4`: the modality's word or number.
fn modality(key: &str) -> Option<&str> {
    let word = key.strip_suffix("_tokens").unwrap_or(key);
    let word = word.strip_prefix("modality_").unwrap_or(word);
    let number = word.parse().ok().and_then(Modality::from_proto);
    number.or_else(|| Modality::from_log(word)).map(|_| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wholes(usage: &str) -> (u64, u64) {
        let text = format!(r#"{{"usage":{usage}}}"#);
        let value = Value::read(text.as_bytes(), &SHAPE.fields).expect("JSON");
        Counts::of(value.get("usage")).wholes()
    }

    #[test]
    fn parts_lie_within_or_beside_as_the_total_says() {
        for (usage, expected) in [
            // The API's own, OpenAI's, Langfuse's own, and cached within but thoughts within.
            (
                r#"{"input":100,"output":40,"input_cached_tokens":30,"output_reasoning_tokens":15,"total":155}"#,
                (100, 55),
            ),
            (
                r#"{"input":100,"output":40,"input_cached_tokens":30,"output_reasoning_tokens":15,"total":140}"#,
                (100, 40),
            ),
            (
                r#"{"input":70,"output":40,"input_cache_read":30,"output_reasoning":15,"total":155}"#,
                (100, 55),
            ),
            (
                r#"{"input":70,"output":40,"cache_read_input_tokens":30,"output_reasoning":15,"total":140}"#,
                (100, 40),
            ),
            // Two keys for one thing.
            (
                r#"{"input":100,"output":5,"cache_read_input_tokens":30,"input_cached_tokens":30,"total":105}"#,
                (100, 5),
            ),
            // As many cached as thoughts: both readings make the total, and the API's own is asked first.
            (
                r#"{"input":100,"output":40,"input_cached_tokens":20,"output_reasoning_tokens":20,"total":160}"#,
                (100, 60),
            ),
            // Modalities beside, as Langfuse's library for Vertex AI leaves them, and within.
            (
                r#"{"input":0,"output":0,"input_modality_1":90,"input_modality_4":10,"output_modality_TEXT":40,"thoughts_token_count":15,"total":155}"#,
                (100, 55),
            ),
            (r#"{"input":100,"output":40,"input_audio":10,"total":140}"#, (100, 40)),
            (r#"{"input":90,"output":40,"input_audio_tokens":10,"total":"140"}"#, (100, 40)),
            // Tokens of tools are beside both.
            (r#"{"input":100,"output":40,"tool_use_prompt_token_count":7,"total":147}"#, (100, 40)),
            // No total: beside. A total that nothing makes: the API's own.
            (r#"{"input":70,"output":40,"input_cached_tokens":30}"#, (100, 40)),
            (r#"{"input":100,"output":40,"input_cached_tokens":30,"total":999}"#, (100, 40)),
            (r#"{"input":10,"output":40,"input_cached_tokens":30,"total":999}"#, (40, 40)),
        ] {
            assert_eq!(wholes(usage), expected, "{usage}");
        }
    }

    #[test]
    fn a_message_carries_a_status_only_at_its_beginning() {
        for (message, status_of) in [
            ("429 RESOURCE_EXHAUSTED. {'error': {'code': 429}}", 429.into()),
            ("503 UNAVAILABLE", 503.into()),
            ("400 tokens are too many", "failed".into()),
            ("200 OK", "failed".into()),
            ("it failed with 429 RESOURCE_EXHAUSTED", "failed".into()),
            ("", "failed".into()),
        ] {
            assert_eq!(status(&message.into()), status_of, "{message}");
        }
    }
}
