//! Owns what the next usage tier would bring: which throttled requests its limits might have spared. An upper bound: a 429
//! carries no tokens, and not each is a matter of quota.

use crate::books::Books;
use crate::books::limits::Metric;
use crate::quota::window::{Second, Used, WINDOW};
use crate::types::day::Day;
use crate::types::quota_use::{QuotaKey, Upgrade};

/// Of a quota row with what it used, and all rows of its project and model. None where there is no next usage tier.
pub fn upgrade(
    key: &QuotaKey<'_>,
    used: &Used,
    over_tiers: &[Used],
    day: Day,
    books: &Books,
) -> Option<Upgrade> {
    let next = key.usage_tier.next()?;
    let limit = |metric| books.limits.find(key.quota_model, next, metric, day);
    let (rpm, tpm, rpd) = (limit(Metric::Rpm), limit(Metric::Tpm), limit(Metric::Rpd));
    let spared = spared(used, over_tiers, rpm, tpm, rpd);
    let requests_throttled = used.whole().throttled;
    Some(Upgrade { next, rpm, tpm, rpd, requests_throttled, requests_spared_at_most: spared })
}

/// Throttled requests that are within limits if none is throttled. Where a minute is together with the one before it, all of
/// it are, so few seconds have to be looked at.
fn spared(used: &Used, over_tiers: &[Used], rpm: Option<u64>, tpm: Option<u64>, rpd: Option<u64>) -> u64 {
    let within = |used: u64, limit: Option<u64>| limit.is_none_or(|limit| used <= limit);
    // Requests of a day are only looked at where they are limited.
    let over_tiers = if rpd.is_some() { over_tiers } else { &[] };
    let over_tiers: Vec<Admitted<'_>> = over_tiers.iter().map(Admitted::new).collect();
    let within_day = |second| within(over_tiers.iter().map(|of_tier| of_tier.until(second)).sum(), rpd);
    let mut spared = 0;
    for two in used.two_minutes().filter(|two| two.minute.throttled > 0) {
        let (before, minute) = (&two.before, two.minute);
        let most_requests = before.admitted() + minute.admitted();
        let most_tokens = before.input_tokens_admitted() + minute.input_tokens_admitted();
        if within(most_requests, rpm) && within(most_tokens, tpm) && within_day(two.end()) {
            spared += minute.throttled;
            continue;
        }
        let (mut start, mut requests, mut tokens) = (0, before.admitted(), before.input_tokens_admitted());
        for second in &two.seconds[two.place..] {
            requests += second.admitted();
            tokens += second.input_tokens_admitted();
            while two.seconds[start].second + WINDOW <= second.second {
                requests -= two.seconds[start].admitted();
                tokens -= two.seconds[start].input_tokens_admitted();
                start += 1;
            }
            if second.throttled > 0
                && within(requests, rpm)
                && within(tokens, tpm)
                && within_day(second.second)
            {
                spared += second.throttled;
            }
        }
    }
    spared
}

/// The requests of a usage tier so far, if none is throttled.
struct Admitted<'u> {
    used: &'u Used,
    /// Before each minute.
    before: Vec<u64>,
}

impl<'u> Admitted<'u> {
    fn new(used: &'u Used) -> Admitted<'u> {
        let before = used.minutes.iter().scan(0, |sum: &mut u64, minute| {
            let before = *sum;
            *sum += minute.sums.admitted();
            Some(before)
        });
        Admitted { used, before: before.collect() }
    }

    /// Up to a second and with it.
    fn until(&self, last: u32) -> u64 {
        let begun = self.used.minutes.partition_point(|minute| minute.sums.second <= last);
        let Some(minute) = begun.checked_sub(1) else { return 0 };
        let seconds = &self.used.seconds[self.used.minutes[minute].seconds.clone()];
        let of_minute = seconds.iter().take_while(|second| second.second <= last).map(Second::admitted);
        self.before[minute] + of_minute.sum::<u64>()
    }
}
