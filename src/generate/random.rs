//! Owns chance: a small fast generator of random numbers, the same on every machine. Knows nothing of what is drawn.
//!
//! Why not a crate: crates may change their streams between versions, and a log must stay the same for its seed.

/// xoshiro256++ by Blackman and Vigna (public domain), seeded by splitmix64 as they advise.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    pub fn new(seed: u64) -> Random {
        let mut seed = seed;
        Random {
            state: std::array::from_fn(|_| {
                seed = seed.wrapping_add(GOLDEN);
                scrambled(seed)
            }),
        }
    }

    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let drawn = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        drawn
    }

    /// From 0 up to `bound`, without it. What the multiplication favours is below 2⁻³²: too little to matter in a log.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// From `low` up to and with `high`.
    #[inline]
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True in `parts` of 10,000 draws.
    #[inline]
    pub fn chance(&mut self, parts: u32) -> bool {
        self.below(10_000) < parts
    }

    /// From 2^`low` up to 2^`high`, without it; every power of two as likely as the next, as sizes of texts are.
    #[inline]
    pub fn sized(&mut self, low: u32, high: u32) -> u32 {
        let power = 1 << (low + self.below(high - low));
        power + self.below(power)
    }

    #[inline]
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u32) as usize]
    }
}

/// A number that depends on all `parts`: what a project, a day, a minute is like, without asking in any order.
pub fn hashed(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |hash, part| scrambled(hash ^ part.wrapping_mul(GOLDEN).wrapping_add(GOLDEN)))
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finish of splitmix64: every bit of the result depends on every bit of `bits`.
fn scrambled(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_xoshiro256_plus_plus() {
        // The first draw of the state 1, 2, 3, 4 by hand: rotl(1 + 4, 23) + 1 = 5 × 2²³ + 1.
        let mut random = Random { state: [1, 2, 3, 4] };
        assert_eq!(random.bits(), (5 << 23) + 1);
        // The first two numbers of splitmix64 from 0, as its authors print them.
        let seeded = Random::new(0).state;
        assert_eq!(seeded[..2], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn draws_keep_to_their_bounds_and_reach_them() {
        let mut random = Random::new(7);
        let mut seen = [0; 4];
        for _ in 0..1_000 {
            seen[random.between(3, 6) as usize - 3] += 1;
            assert!((32..1_024).contains(&random.sized(5, 10)));
        }
        assert!(seen.iter().all(|draws| *draws > 150), "{seen:?}");
    }
}
