//! Owns a request as decoded from one line: its facts, by which figures are told apart, and its token counts.
//! Keeps facts, not verdicts: the status, not "exempt". Says nothing of how a line spells them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::cache::CacheUse;
use super::day::Instant;
use super::detail::Detail;
use super::tier::{Channel, ServiceTier, UsageTier, words};
use super::usage::Usage;
use super::violation::Violations;

/// One call of the API, as logged. Names borrow from the line where they can.
#[derive(Debug)]
pub struct Request<'line> {
    pub at: Instant,
    /// Without one a line is its own request, never a duplicate.
    pub request_id: Option<Cow<'line, str>>,
    pub facts: Facts<Cow<'line, str>>,
    /// None of methods that have no tokens, and where it is missing.
    pub usage: Option<Usage>,
    /// What it did to a cache; None of other methods, and of a failure.
    pub cache: Option<CacheUse<'line>>,
    /// What only `--detail` shows.
    pub detail: Detail<'line>,
    /// Inference that went well, without usageMetadata or quantities: another record of its identity may have them.
    pub usage_missing: bool,
    /// It is of a shape that never says them, and counts with none.
    pub tokens_unknown: bool,
    /// No field says its thoughts: they are what prompt and output leave of the total.
    pub thoughts_assumed: bool,
    /// The log doesn't say when it was, so it is in no minute.
    pub undated: bool,
}

/// What figures depend on, token counts and time aside. `Name` is a string, borrowed or owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facts<Name> {
    pub project_id: Name,
    /// As logged, without what ends in `models/`; empty where a method needs none.
    pub model: Name,
    /// What answered; empty when not logged, and for tuned models.
    pub model_version: Name,
    /// What a tuned model was tuned from, as logged; empty for other models.
    pub base_model: Name,
    pub method: MethodId,
    pub status: Status,
    pub service_tier: ServiceTier,
    /// As logged; None when the accounts file decides.
    pub usage_tier: Option<UsageTier>,
    pub channel: Channel,
    pub tools: Tools,
    /// Of a 429 whose body names the quotas that it would have exceeded: no charge depends on them, but evidence does.
    pub violations: Violations,
    /// In which shape it was logged, by name: no figure depends on it, but a warning does.
    pub shape: &'static str,
}

/// Facts of a group, whose names stand once in memory, however many groups have them.
pub type GroupFacts = Facts<Arc<str>>;

impl<Name: AsRef<str>> Facts<Name> {
    /// Whether the same figures come of both: whatever the shape.
    pub fn same_figures(&self, other: &Facts<Name>) -> bool {
        Facts { shape: other.shape, ..self.map_names(|name| name) } == other.map_names(|name| name)
    }

    /// The same facts, each name made into what `name` makes of it.
    pub fn map_names<'f, Other>(&'f self, mut name: impl FnMut(&'f str) -> Other) -> Facts<Other> {
        Facts {
            project_id: name(self.project_id.as_ref()),
            model: name(self.model.as_ref()),
            model_version: name(self.model_version.as_ref()),
            base_model: name(self.base_model.as_ref()),
            method: self.method,
            status: self.status,
            service_tier: self.service_tier,
            usage_tier: self.usage_tier,
            channel: self.channel,
            tools: self.tools,
            violations: self.violations.clone(),
            shape: self.shape,
        }
    }
}

/// A method, by its place in the methods book of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId(pub u16);

words! {
    /// What a method's requests have: token meters and quantities, caches, or nothing.
    MethodKind { Inference = "inference", Storage = "storage", Free = "free" }
}

words! {
    /// How a request ended.
    Outcome {
        Ok = "ok",
        ClientError = "client_error",
        Throttled = "throttled",
        Cancelled = "cancelled",
        ServerError = "server_error",
        Failed = "failed",
    }
}

words! {
    /// What is known of a request's tools, as far as C11 looks.
    Tools {
        /// The log doesn't say.
        NotLogged = "not_logged",
        SearchOnly = "google_search",
        Others = "others",
    }
}

/// An HTTP status of 2xx, 4xx or 5xx, or `failed`: a failure whose status the log doesn't tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

impl Status {
    pub const FAILED: Status = Status(0);
    pub const THROTTLED: Status = Status(429);

    pub fn from_http(code: u64) -> Option<Status> {
        matches!(code, 200..=299 | 400..=599).then(|| Status(code as u16))
    }

    /// Digits, a gRPC code name (mapped to HTTP as google.rpc.Code documents), or `failed`.
    pub fn from_log(text: &str) -> Option<Status> {
        let http = match text {
            "failed" => return Some(Status::FAILED),
            "OK" => 200,
            "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
            "UNAUTHENTICATED" => 401,
            "PERMISSION_DENIED" => 403,
            "NOT_FOUND" => 404,
            "ALREADY_EXISTS" | "ABORTED" => 409,
            "RESOURCE_EXHAUSTED" => 429,
            "CANCELLED" => 499,
            "UNKNOWN" | "INTERNAL" | "DATA_LOSS" => 500,
            "UNIMPLEMENTED" => 501,
            "UNAVAILABLE" => 503,
            "DEADLINE_EXCEEDED" => 504,
            digits if digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            _ => return None,
        };
        Status::from_http(http)
    }

    pub fn went_well(self) -> bool {
        matches!(self.0, 200..=299)
    }

    /// The HTTP code, where there is one.
    pub fn http(self) -> Option<u16> {
        (self != Status::FAILED).then_some(self.0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.http() {
            Some(code) => code.fmt(f),
            None => f.write_str("failed"),
        }
    }
}

/// Prefix of a tuned model's name.
pub const TUNED: &str = "tunedModels/";

/// A model's name: everything up to and with the last `models/` comes off; `tunedModels/…` stays whole.
pub fn model_name(name: &str) -> &str {
    const PREFIX: &str = "models/";
    if name.starts_with(TUNED) {
        return name;
    }
    let mut ends = name.rmatch_indices('/').map(|(slash, _)| slash + 1);
    ends.find(|end| name[..*end].ends_with(PREFIX)).map_or(name, |end| &name[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_http_codes_grpc_names_or_failed() {
        assert_eq!(Status::from_log("RESOURCE_EXHAUSTED"), Status::from_http(429));
        assert_eq!(Status::from_log("204"), Status::from_http(204));
        assert_eq!(Status::from_log("failed"), Some(Status::FAILED));
        for text in ["302", "600", "0200", "ok", "Failed", "", "2xx", "65736"] {
            assert_eq!(Status::from_log(text), None, "{text}");
        }
        assert_eq!(
            Status::from_http(65_736),
            None,
            "the range is checked before the number is cut to 16 bits"
        );
    }

    #[test]
    fn model_names_lose_what_ends_in_models() {
        for (logged, name) in [
            ("models/gemini-2.5-flash", "gemini-2.5-flash"),
            ("publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
            ("gemini-2.5-flash", "gemini-2.5-flash"),
            ("tunedModels/my-models/7", "tunedModels/my-models/7"),
            ("models/", ""),
        ] {
            assert_eq!(model_name(logged), name);
        }
    }
}
