//! Owns the quotas that the body of a 429 names, as JSON (google.rpc.QuotaFailure among the details of an error) or as
//! text that a gateway made of it. Takes names and numbers only; what they say is for `quota`.

use super::value::Value;
use crate::types::violation::{Violation, Violations, is_of_name};

/// Those of an `error`: of its details, else of its message.
pub fn of_error(error: &Value<'_>) -> Violations {
    let details = error.get("details").items();
    let named = details.iter().flat_map(|detail| detail.get("violations").items()).filter_map(|violation| {
        let name = |key| violation.get(key).text();
        Violation::new(name("quotaMetric"), name("quotaId"), violation.get("quotaValue").count())
    });
    let named: Vec<Violation> = named.collect();
    match named.is_empty() {
        true => of_text(error.get("message").text().unwrap_or_default()),
        false => Violations::new(named),
    }
}

/// Those of a text: a body as JSON within other words, as Python prints it, or its message alone.
///
/// ```text
/// …: {"error": {… "violations": [{"quotaMetric": "…/generate_content_free_tier_requests", "quotaId": "…", … "quotaValue": "20"}
/// … * Quota exceeded for metric: …/generate_content_free_tier_requests, limit: 20, model: gemini-2.5-flash\nPlease retry …
/// ```
pub fn of_text(text: &str) -> Violations {
    let mut named = Vec::new();
    let mut before = "";
    for (place, piece) in text.split("quotaId").enumerate() {
        if place > 0 {
            let own = piece.split("quotaMetric").next().unwrap_or_default();
            let metric = before.rsplit_once("quotaMetric").and_then(|(_, metric)| name(metric));
            let limit = own.split_once("quotaValue").and_then(|(_, value)| number(value));
            named.extend(Violation::new(metric, name(own), limit));
        }
        before = piece;
    }
    if named.is_empty() {
        let sentences = text.split("uota exceeded for metric: ").skip(1);
        named.extend(sentences.filter_map(|sentence| {
            let metric = name(sentence)?;
            let limit = sentence.split_once(metric)?.1.strip_prefix(", limit: ").and_then(number);
            Violation::new(Some(metric), None, limit)
        }));
    }
    Violations::new(named)
}

/// The name that comes next, after what stands between it and its key.
fn name(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['"', '\'', '\\', ':', ' ']);
    let end = text.find(|char| !is_of_name(char)).unwrap_or(text.len());
    Some(&text[..end]).filter(|name| !name.is_empty())
}

fn number(text: &str) -> Option<u64> {
    Value::Text(name(text)?.into()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(quota_metric: &str, quota_id: &str, limit: Option<u64>) -> Violation {
        Violation::new(Some(quota_metric), Some(quota_id), limit).expect("a name")
    }

    #[test]
    fn a_text_names_quotas_in_whatever_quotes() {
        let (metric, id) = ("generate_content_free_tier_requests", "GenerateRequestsPerDay-FreeTier");
        for text in [
            r#"litellm.RateLimitError: {"violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": "GenerateRequestsPerDay-FreeTier", "quotaDimensions": {"model": "m"}, "quotaValue": "20"}]}"#,
            r#"{\"quotaMetric\": \"generate_content_free_tier_requests\", \"quotaId\":\"GenerateRequestsPerDay-FreeTier\",\"quotaValue\":\"20\"}"#,
            "429 RESOURCE_EXHAUSTED. {'quotaMetric': 'generate_content_free_tier_requests', 'quotaId': 'GenerateRequestsPerDay-FreeTier', 'quotaValue': '20'}",
        ] {
            assert_eq!(of_text(text).all(), [violation(metric, id, Some(20))], "{text}");
        }
        // Of two the values stay apart; a limit that isn't told is none.
        let two =
            "'quotaMetric': 'a', 'quotaId': 'A'}, {'quotaMetric': 'b', 'quotaId': 'B', 'quotaValue': '7'}";
        assert_eq!(of_text(two).all(), [violation("a", "A", None), violation("b", "B", Some(7))]);
        let sentence = "* Quota exceeded for metric: generativelanguage.googleapis.com/m, limit: 0, model: gemini-2.5-pro\\nPlease";
        assert_eq!(of_text(sentence).all(), [violation("m", "", Some(0))]);
        for text in ["quotaId: {my secret prompt}", "no quota here"] {
            assert_eq!(of_text(text).all(), []);
        }
    }
}
