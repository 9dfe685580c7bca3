//! Owns joining lists of keys, so that a shape which holds another's items names its keys without copying them.

/// Two lists as one. Its length is said by whoever asks: constants can't work it out.
pub const fn joined<const N: usize>(one: &[&'static str], other: &[&'static str]) -> [&'static str; N] {
    assert!(one.len() + other.len() == N);
    let mut all = [""; N];
    let mut place = 0;
    while place < N {
        all[place] = if place < one.len() { one[place] } else { other[place - one.len()] };
        place += 1;
    }
    all
}
