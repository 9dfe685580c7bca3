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

    pub fn checked_sub(self, other: Pico) -> Option<Pico> {
        self.checked_add(Pico(-other.0))
    }

    /// `self` × `quantity` ÷ `per`, rounded half to even where it isn't a whole number of pico-dollars.
    pub fn checked_share(self, quantity: u64, per: u64) -> Option<Pico> {
        let per = i128::from(per);
        if self.0 % per == 0 {
            return Pico(self.0 / per).checked_mul(quantity);
        }
        let product = self.0.checked_mul(i128::from(quantity))?;
        let (whole, rest) = (product.div_euclid(per), product.rem_euclid(per));
        let up = match (2 * rest).cmp(&per) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => whole % 2 != 0,
            std::cmp::Ordering::Greater => true,
        };
        Some(Pico(whole + i128::from(up))).filter(|share| share.0.abs() <= GREATEST)
    }

    pub fn checked_mul(self, quantity: u64) -> Option<Pico> {
        self.0.checked_mul(i128::from(quantity)).map(Pico).filter(|product| product.0.abs() <= GREATEST)
    }

    /// Appends dollars as a plain decimal without needless zeros.
    pub fn push_to(self, text: &mut String) {
        const DOLLAR: u64 = 10u64.pow(Pico::SCALE as u32);
        let pico = self.0.unsigned_abs();
        text.push_str(if self.0 < 0 { "-" } else { "" });
        let mut digits = itoa::Buffer::new();
        // Nearly all are below 2⁶⁴ and divided at once.
        let fraction = match u64::try_from(pico) {
            Ok(pico) => {
                text.push_str(digits.format(pico / DOLLAR));
                pico % DOLLAR
            }
            Err(_) => {
                text.push_str(digits.format(pico / u128::from(DOLLAR)));
                (pico % u128::from(DOLLAR)) as u64
            }
        };
        if fraction > 0 {
            // With a digit before it, all of its own are there.
            text.push('.');
            text.push_str(digits.format(DOLLAR + fraction)[1..].trim_end_matches('0'));
        }
    }

    /// Reads dollars as a plain decimal of at most twelve places, not negative: `0.35`, `3`.
    pub fn parse(text: &str) -> Option<Pico> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > Pico::SCALE || whole.len() > 20 {
            return None;
        }
        let zeros = std::iter::repeat_n(b'0', Pico::SCALE - fraction.len());
        let digits = whole.bytes().chain(fraction.bytes()).chain(zeros);
        // 32 digits at most, of which an i128 holds any.
        Some(Pico(digits.fold(0, |pico, digit| pico * 10 + i128::from(digit - b'0'))))
    }
}

impl serde::Serialize for Pico {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Pico {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pico, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Pico::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no amount of dollars")))
    }
}

impl fmt::Display for Pico {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        self.push_to(&mut text);
        f.pad(&text)
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

    #[test]
    fn a_share_rounds_half_to_even() {
        for (usd, quantity, per, pico) in [
            (1_000_000_000_000, 3_600_000_000, 3_600_000_000, 1_000_000_000_000),
            (1, 1, 2, 0),
            (3, 1, 2, 2),
            (1, 2, 3, 1),
            (1, 1, 3, 0),
            (4_500_000_000_000, 7, 3_600_000_000, 8_750),
        ] {
            assert_eq!(
                Pico(usd).checked_share(quantity, per),
                Some(Pico(pico)),
                "{usd} × {quantity} ÷ {per}"
            );
        }
        assert_eq!(Pico(i128::MAX - 1).checked_share(3, 13), None);
    }
}
