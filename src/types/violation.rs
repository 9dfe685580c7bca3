//! Owns a quota as the body of a 429 names it (google.rpc.QuotaFailure): evidence of a limit and of a usage tier (Q9).
//! Says nothing of how a body spells it, and nothing of what the books say.

use std::sync::Arc;

use super::key::shown;

/// One quota that a refused request would have exceeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Violation {
    /// Google's name of what is capped, without the service before it: `generate_content_free_tier_requests`.
    pub quota_metric: Option<Box<str>>,
    /// Google's name of the cap: `GenerateRequestsPerDayPerProjectPerModel-FreeTier`. Error messages leave it out.
    pub quota_id: Option<Box<str>>,
    pub limit: Option<u64>,
}

/// Those that one body names, ascending; requests that name the same share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Violations(Option<Arc<[Violation]>>);

/// Real bodies have up to three.
const MOST: usize = 16;
const SERVICE: &str = "generativelanguage.googleapis.com/";

impl Violation {
    /// None where nothing names the quota. What is no name of Google's is dropped: a body is a stranger's text.
    pub fn new(quota_metric: Option<&str>, quota_id: Option<&str>, limit: Option<u64>) -> Option<Violation> {
        let name = |name: Option<&str>| name.filter(|name| is_name(name)).map(|name| shown(name).into());
        let quota_metric = name(quota_metric.map(|metric| metric.strip_prefix(SERVICE).unwrap_or(metric)));
        let quota_id = name(quota_id);
        (quota_metric.is_some() || quota_id.is_some()).then_some(Violation { quota_metric, quota_id, limit })
    }
}

impl Violations {
    pub fn new(mut all: Vec<Violation>) -> Violations {
        all.sort_unstable();
        all.dedup();
        all.truncate(MOST);
        Violations((!all.is_empty()).then(|| all.into()))
    }

    pub fn all(&self) -> &[Violation] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Letters, digits and a few signs, as all of Google's names are made of.
pub fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.chars().all(is_of_name)
}

pub fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_-./".contains(char)
}
