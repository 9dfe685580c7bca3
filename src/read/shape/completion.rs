//! Owns the usage of a chat completion, as OpenAI documents it and as Google's endpoint and gateways fill it in. Whether
//! thoughts lie within the completion differs between them, so the sums decide. What the counts cost is for others.

use super::record::Record;
use super::value::Value;

/// The keys of it.
pub const FIELDS: [&str; 13] = [
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens",
    "cache_read_input_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "image_tokens",
    "video_tokens",
    "web_search_requests",
];

/// Text isn't among them: gateways take cached tokens off it, and what other modalities leave over is text anyway.
const MODALITIES: [(&str, &str); 3] =
    [("audio_tokens", "audio"), ("image_tokens", "image"), ("video_tokens", "video")];

/// What a total means that is above prompt and completion, where reasoning isn't said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Google's endpoint hides them: 1,469 + 744 of 2,496 leave 283.
    Thoughts,
    /// Of tools, or of something else: suspended.
    Unexplained,
}

/// Sets `usageMetadata` from the first of `sources` that has each count; to nothing where none has any.
pub fn set_usage(record: &mut Record, sources: &[&Value<'_>], rest: Rest) {
    let find = |path: &[&str]| {
        sources.iter().map(|source| source.at(path)).find(|value| !value.is_missing()).unwrap_or(&Value::Null)
    };
    let [prompt, completion, total] =
        [["prompt_tokens"], ["completion_tokens"], ["total_tokens"]].map(|path| find(&path));
    let reasoning = find(&["completion_tokens_details", "reasoning_tokens"]);
    let cached = match find(&["prompt_tokens_details", "cached_tokens"]) {
        value if value.is_missing() => find(&["cache_read_input_tokens"]),
        value => value,
    };
    let all = [prompt, completion, total, reasoning];
    if all.iter().all(|value| value.is_missing()) {
        return;
    }
    let (mut candidates, mut thoughts) = (completion.clone(), reasoning.clone());
    // A count that can't be read is left as it lies, and refused.
    if all.iter().all(|value| value.is_missing() || value.count().is_some()) {
        let count = |value: &Value<'_>| value.count().unwrap_or(0);
        let split = split(count(prompt), count(completion), total.count(), count(reasoning), rest);
        (candidates, thoughts) = (split.0.into(), split.1.into());
        record.thoughts_assumed = count(reasoning) == 0 && split.1 > 0;
    }
    let [prompt_details, candidates_details] =
        ["prompt_tokens_details", "completion_tokens_details"].map(|details| {
            let list = MODALITIES.iter().filter_map(|(key, modality)| {
                let tokens = find(&[details, key]);
                (!tokens.is_missing()).then(|| of_modality((*modality).into(), tokens.clone()))
            });
            Value::List(list.collect())
        });
    record.set_object(
        "usageMetadata",
        &[
            ("promptTokenCount", prompt),
            ("cachedContentTokenCount", cached),
            ("candidatesTokenCount", &candidates),
            ("thoughtsTokenCount", &thoughts),
            ("totalTokenCount", total),
            ("promptTokensDetails", &prompt_details),
            ("candidatesTokensDetails", &candidates_details),
        ],
    );
    let searches = find(&["prompt_tokens_details", "web_search_requests"]);
    match searches.count() {
        Some(searches) => record.grounding.counted = searches,
        None if searches.is_missing() => {}
        None => record.set_object("quantities", &[("grounding_search_query", searches)]),
    }
}

/// Tokens of a modality, as usageMetadata has them.
pub fn of_modality<'item>(modality: Value<'item>, tokens: Value<'item>) -> Value<'item> {
    Value::Object(vec![("modality".into(), modality), ("tokenCount".into(), tokens)])
}

/// Served tiers in OpenAI's words: `default` is standard, `auto` was asked for and says nothing.
pub fn service_tier<'item>(value: &Value<'item>) -> Value<'item> {
    match value.text() {
        Some("default") => "standard".into(),
        Some("auto") => Value::Null,
        _ => value.clone(),
    }
}

/// Candidates and thoughts apart. Thoughts lie outside the completion where that makes the total, or where they exceed
/// it; else within, as OpenAI has them. Without a total they lie outside, as everywhere.
fn split(prompt: u64, completion: u64, total: Option<u64>, reasoning: u64, rest: Rest) -> (u64, u64) {
    let over = total.map(|total| total.saturating_sub(prompt + completion));
    match reasoning {
        0 if rest == Rest::Thoughts => (completion, over.unwrap_or(0)),
        0 => (completion, 0),
        _ if reasoning > completion || over.is_none_or(|over| over == reasoning) => (completion, reasoning),
        _ => (completion - reasoning, reasoning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_told_apart_by_the_sums() {
        use Rest::{Thoughts, Unexplained};
        for (prompt, completion, total, reasoning, rest, expected) in [
            // Google's endpoint hides them; without the assumption they stay unexplained.
            (1469, 744, Some(2496), 0, Thoughts, (744, 283)),
            (1469, 744, Some(2496), 0, Unexplained, (744, 0)),
            // Beside the completion: the total holds them, or they exceed it.
            (21, 0, Some(81), 60, Thoughts, (0, 60)),
            (10, 50, Some(80), 20, Unexplained, (50, 20)),
            (19_693, 91, Some(19_784), 609, Unexplained, (91, 609)),
            // Within it, also where the total has tokens of tools beside.
            (10, 454, Some(464), 22, Unexplained, (432, 22)),
            (10, 60, Some(70), 60, Thoughts, (0, 60)),
            (10, 454, Some(500), 22, Thoughts, (432, 22)),
            // No total, or one below its parts.
            (10, 50, None, 20, Thoughts, (50, 20)),
            (10, 50, None, 0, Thoughts, (50, 0)),
            (10, 50, Some(40), 0, Thoughts, (50, 0)),
        ] {
            let found = split(prompt, completion, total, reasoning, rest);
            assert_eq!(found, expected, "{prompt} {completion} {total:?} {reasoning} {rest:?}");
        }
    }
}
