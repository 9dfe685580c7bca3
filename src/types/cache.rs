//! Owns what a request does to a cache of prompt tokens: it is created, its end is moved, it is deleted. What storing it
//! costs is for `charge::storage`.

use std::borrow::Cow;

use twox_hash::XxHash3_128;

use super::day::Instant;
use super::key::shown;
use super::tally::GroupId;
use super::tier::{UsageTier, words};

words! {
    /// In the order in which they are taken within one instant.
    CacheAct { Create = "create", Patch = "patch", Delete = "delete" }
}

/// `cached_content` of a request that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUse<'line> {
    pub act: CacheAct,
    pub name: Cow<'line, str>,
    pub expires: Option<Instant>,
    /// Of a creation.
    pub tokens: u64,
}

/// A cache's use by a request that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEvent {
    pub at: Instant,
    pub act: CacheAct,
    pub name: Box<str>,
    pub expires: Option<Instant>,
    pub tokens: u64,
    pub group: GroupId,
    /// In force at the instant.
    pub usage_tier: UsageTier,
}

/// A cache's name as it is kept: keys in it hashed, and a name longer than any of Google's by its hash, so that a forged
/// one costs no memory.
pub fn cache_name(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 256;
    if name.len() > LONGEST {
        return Cow::Owned(format!("long-name-{:032x}", XxHash3_128::oneshot(name.as_bytes())));
    }
    shown(name)
}
