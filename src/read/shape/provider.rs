//! Owns whose call it was, by the names that gateways and tracing have for providers: this API's, or one on another bill.
//! Which models there are is for the books.

use super::value::Value;

/// What this API is called, in small letters.
const OURS: [&str; 7] =
    ["gemini", "google", "google_genai", "google_ai_studio", "google-ai-studio", "gcp.gemini", "ai_studio"];

/// Prefixes by which gateways tell another provider's model. A prefix that is none of these may be the user's own, so
/// such a model is looked for in the books.
const PREFIXES: [&str; 24] = [
    "vertex_ai",
    "vertex_ai_beta",
    "openai",
    "text-completion-openai",
    "azure",
    "azure_ai",
    "anthropic",
    "bedrock",
    "sagemaker",
    "mistral",
    "mistralai",
    "groq",
    "xai",
    "x-ai",
    "deepseek",
    "cohere",
    "together_ai",
    "fireworks_ai",
    "openrouter",
    "perplexity",
    "ollama",
    "meta-llama",
    "qwen",
    "huggingface",
];

/// Whether a provider, as named, is another one; a missing name says nothing.
pub fn is_other(name: &Value<'_>) -> bool {
    let name = name.text().unwrap_or_default().to_ascii_lowercase();
    !name.is_empty() && !OURS.contains(&name.as_str())
}

/// Whether a model's name begins with another provider's.
pub fn has_other(model: &Value<'_>) -> bool {
    let prefix = model.text().and_then(|name| name.split_once('/')).map(|(prefix, _)| prefix);
    prefix.is_some_and(|prefix| PREFIXES.contains(&prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vertex_ai_is_another_provider() {
        for name in ["vertex_ai", "Vertex_AI-language-models", "openai", "google_vertexai"] {
            assert!(is_other(&name.into()), "{name}");
        }
        for name in ["", "gemini", "GOOGLE_GENAI"] {
            assert!(!is_other(&name.into()), "{name}");
        }
        assert!(has_other(&"vertex_ai/gemini-2.5-pro".into()) && has_other(&"openai/gpt-4o".into()));
        for name in ["gemini/gemini-2.5-pro", "models/x", "tunedModels/x", "team-a/fast", "gemini-2.5-pro"] {
            assert!(!has_other(&name.into()), "{name}");
        }
    }
}
