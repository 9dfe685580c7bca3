//! Owns what the next usage tier would bring: which throttled requests its limits might have spared. An upper bound: a 429
//! carries no tokens, and not each is a matter of quota.

use crate::books::Books;
use crate::books::limits::Metric;
use crate::quota::window::{Second, WINDOW};
use crate::types::day::Day;
use crate::types::quota_use::{QuotaKey, Upgrade};

/// Of a quota row with its seconds, and all rows of its project and model. None where there is no next usage tier.
pub fn upgrade(
    key: &QuotaKey<'_>,
    seconds: &[Second],
    over_tiers: &[Vec<Second>],
    day: Day,
    books: &Books,
) -> Option<Upgrade> {
    let next = key.usage_tier.next()?;
    let limit = |metric| books.limits.find(key.quota_model, next, metric, day);
    let (rpm, tpm, rpd) = (limit(Metric::Rpm), limit(Metric::Tpm), limit(Metric::Rpd));
    let requests_throttled = seconds.iter().map(|second| second.throttled).sum();
    let spared = if requests_throttled > 0 { spared(seconds, over_tiers, rpm, tpm, rpd) } else { 0 };
    Some(Upgrade { next, rpm, tpm, rpd, requests_throttled, requests_spared_at_most: spared })
}

/// Throttled requests that are within limits if none is throttled.
fn spared(
    seconds: &[Second],
    over_tiers: &[Vec<Second>],
    rpm: Option<u64>,
    tpm: Option<u64>,
    rpd: Option<u64>,
) -> u64 {
    let within = |used: u64, limit: Option<u64>| limit.is_none_or(|limit| used <= limit);
    let (mut start, mut requests, mut tokens) = (0, 0, 0);
    // Requests of a day are only looked at where they are limited.
    let over_tiers = if rpd.is_some() { over_tiers } else { &[] };
    // Of each usage tier.
    let mut reached = vec![0; over_tiers.len()];
    let mut requests_of_day = 0;
    let mut spared = 0;
    for second in seconds {
        requests += second.admitted();
        tokens += second.input_tokens_admitted();
        while seconds[start].second + WINDOW <= second.second {
            requests -= seconds[start].admitted();
            tokens -= seconds[start].input_tokens_admitted();
            start += 1;
        }
        for (of_tier, reached) in over_tiers.iter().zip(&mut reached) {
            while let Some(next) = of_tier.get(*reached).filter(|next| next.second <= second.second) {
                requests_of_day += next.admitted();
                *reached += 1;
            }
        }
        if within(requests, rpm) && within(tokens, tpm) && within(requests_of_day, rpd) {
            spared += second.throttled;
        }
    }
    spared
}
