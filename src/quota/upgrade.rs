//! Owns what the next usage tier would bring: which throttled requests its limits might have spared. An upper bound: a 429
//! carries no tokens, and not each is a matter of quota.

use crate::books::Books;
use crate::books::limits::Metric;
use crate::quota::window::{Used, WINDOW};
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
    let admitted = |second| over_tiers.iter().map(|of_tier| of_tier.until(second).admitted()).sum();
    let within_day = |second| within(admitted(second), rpd);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::window::{Seconds, Series};
    use crate::types::tally::Arrival;

    #[test]
    fn what_is_spared_agrees_with_trying_every_second() {
        let mut seed = 11u64;
        for round in 0..400 {
            let mut next = |below: u32| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as u32 % below
            };
            let length = [70, 400, 3_000, 80_000][round % 4];
            // Two usage tiers, each with requests that count and throttled ones, of so many tokens at a second.
            let tiers: [[Vec<(u32, u64)>; 2]; 2] = [(); 2].map(|()| {
                [150, 40].map(|most| {
                    (0..next(most)).map(|_| (next(length), u64::from(next(5)))).collect::<Vec<_>>()
                })
            });
            let mut table = Seconds::default();
            let over_tiers = tiers.each_ref().map(|own| {
                let arrivals = own.each_ref().map(|requests| {
                    requests.iter().map(|(second, tokens)| Arrival::new(*second, *tokens)).collect::<Vec<_>>()
                });
                let series = [(&arrivals[0], true), (&arrivals[1], false)].map(|(arrivals, counted)| {
                    Series { arrivals, counted, throttled: !counted, undated: false }
                });
                let mut used = Used::default();
                table.add_up(&series, &mut used);
                used
            });
            let mut limit = |below| (next(3) > 0).then(|| u64::from(next(below)));
            let (rpm, tpm, rpd) = (limit(12), limit(30), limit(250));
            // All requests of one tier, or of both, in some seconds.
            let of_tier = |tier: usize| tiers[tier].iter().flatten();
            let within = |second: u32| {
                let window = || of_tier(0).filter(|(at, _)| *at <= second && second < at + WINDOW);
                let so_far = of_tier(0).chain(of_tier(1)).filter(|(at, _)| *at <= second).count();
                let tokens: u64 = window().map(|(_, tokens)| tokens).sum();
                rpm.is_none_or(|limit| window().count() as u64 <= limit)
                    && tpm.is_none_or(|limit| tokens <= limit)
                    && rpd.is_none_or(|limit| so_far as u64 <= limit)
            };
            let expected = tiers[0][1].iter().filter(|(second, _)| within(*second)).count();
            let found = spared(&over_tiers[0], &over_tiers, rpm, tpm, rpd);
            assert_eq!(found, expected as u64, "round {round}: {rpm:?} {tpm:?} {rpd:?} {tiers:?}");
        }
    }
}
