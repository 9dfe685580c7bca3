//! Owns what measuring makes of a day's traffic: use of quota per project, model and usage tier.

use super::day::Instant;
use super::tier::UsageTier;

/// What makes a row of the quota report: one per key and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaKey<'r> {
    pub project_id: &'r str,
    /// The model under which requests count (Q1).
    pub quota_model: &'r str,
    pub usage_tier: UsageTier,
}

impl QuotaKey<'_> {
    /// Whether usage tiers alone tell them apart.
    pub fn is_same_model(&self, other: &QuotaKey<'_>) -> bool {
        (self.project_id, self.quota_model) == (other.project_id, other.quota_model)
    }
}

/// Use of a limit that holds for the day. The limit is None where no book has one, 0 where the usage tier
/// doesn't offer the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayUse {
    pub limit: Option<u64>,
    /// Of the day up to the second of the row's last request, over usage tiers (Q5).
    pub used: u64,
}

/// Use of a limit that holds for a minute (Q7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinuteUse {
    pub limit: Option<u64>,
    /// Highest sum over any 60 consecutive seconds; None where the log doesn't say when some of the requests were, so
    /// that nothing is known of minutes.
    pub peak: Option<u64>,
    /// The earliest second with a counted request that begins such a window; None when the peak is 0.
    pub peak_at: Option<Instant>,
    /// Highest sum over a calendar minute; None like `peak`.
    pub peak_minute: Option<u64>,
    /// Seconds with a counted request whose trailing 60 seconds exceed the limit; None without a limit.
    pub over_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaUse {
    /// Throttled included.
    pub requests: u64,
    pub requests_counted: u64,
    pub requests_throttled: u64,
    pub rpd: DayUse,
    pub rpm: MinuteUse,
    pub tpm: MinuteUse,
    /// In input tokens.
    pub tpd: DayUse,
}

/// What the limits of the next usage tier would bring a quota row; a limit is None where the book has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    pub next: UsageTier,
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    pub rpd: Option<u64>,
    pub requests_throttled: u64,
    /// At most so many of them would have been within those limits.
    pub requests_spared_at_most: u64,
}

/// One minute of a quota row, for plots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    pub requests: u64,
    pub requests_counted: u64,
    pub requests_throttled: u64,
    /// Of counted requests.
    pub input_tokens: u64,
}
