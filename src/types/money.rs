//! Owns money: whole pico-dollars (10⁻¹² USD), added and multiplied with checks. Never a float.

use std::fmt;

/// The greatest money that a report's `Decimal(38,12)` can hold.
const GREATEST: i128 = 10i128.pow(38) - 1;

/// An amount in pico-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pico(pub i128);

impl Pico {
    pub const ZERO: Pico = Pico(0);
    /// Digits after the point of a dollar.
    pub const SCALE: usize = 12;

    pub fn checked_add(self, other: Pico) -> Option<Pico> {
        self.0.checked_add(other.0).map(Pico).filter(|sum| sum.0.abs() <= GREATEST)
    }

    pub fn checked_mul(self, quantity: u64) -> Option<Pico> {
        self.0.checked_mul(i128::from(quantity)).map(Pico).filter(|product| product.0.abs() <= GREATEST)
    }

    /// Reads dollars as a plain decimal of at most twelve places, not negative: `0.35`, `3`.
    pub fn parse(text: &str) -> Option<Pico> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > Pico::SCALE || whole.len() > 20 {
            return None;
        }
        format!("{whole}{fraction:0<12}").parse().ok().map(Pico)
    }
}

impl fmt::Display for Pico {
    /// Dollars as a plain decimal without needless zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:013}", self.0.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len() - Pico::SCALE);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.0 < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        f.pad(&format!("{sign}{whole}{point}{fraction}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_written_to_the_last_pico() {
        for (text, pico) in
            [("0", 0), ("0.000000000001", 1), ("3", 3_000_000_000_000), ("0.35", 350_000_000_000)]
        {
            assert_eq!(Pico::parse(text), Some(Pico(pico)));
            assert_eq!(Pico(pico).to_string(), text);
        }
        for text in ["", ".5", "5.", "-1", "1e3", "0.0000000000001", "1,5", "NaN", "+1"] {
            assert_eq!(Pico::parse(text), None, "{text}");
        }
        assert_eq!(Pico(-1_500_000_000_000).to_string(), "-1.5");
        assert_eq!(Pico(GREATEST).checked_add(Pico(1)), None);
    }
}
