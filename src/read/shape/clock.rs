//! Owns times as gateways write them: seconds since 1970, or a clock that is UTC without saying so. What is no such time
//! stays as it lies, for the decoder to refuse.

use super::faults::whole_number;
use super::value::Value;
use crate::types::day::Instant;

const NANOS: i64 = 1_000_000_000;

/// A time that is UTC by the shape's documentation, as the canonical record writes it.
pub fn utc<'item>(value: &Value<'item>) -> Value<'item> {
    let written = match value {
        Value::Number(digits) => since_1970(digits).map(|instant| instant.to_string()),
        Value::Text(text) => match since_1970(text) {
            Some(instant) => Some(instant.to_string()),
            // `12:00:00`, or `12:00:00+00` as Postgres has it.
            None => ["", "Z", ":00"]
                .iter()
                .map(|end| format!("{text}{end}"))
                .find(|text| Instant::parse(text, None).is_ok()),
        },
        _ => None,
    };
    written.map_or_else(|| value.clone(), |text| Value::Text(text.into()))
}

/// Whole seconds, or with a fraction: `1766000068.28466`. Cut to nanoseconds, exactly.
fn since_1970(digits: &str) -> Option<Instant> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds = i64::try_from(whole_number(whole)?).ok()?;
    let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let instant = Instant(seconds.checked_mul(NANOS)?.checked_add(nanos)?);
    // What has more digits isn't in seconds, and would be a time that nobody can write.
    Instant::parse(&instant.to_string(), None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_rfc_3339_in_utc() {
        for (value, expected) in [
            (Value::Number("1766000068.28466".into()), "2025-12-17T19:34:28.28466Z"),
            (Value::Number("1766000068".into()), "2025-12-17T19:34:28Z"),
            (Value::Text("1766000068.123456789123".into()), "2025-12-17T19:34:28.123456789Z"),
            (Value::Text("2026-06-01 12:00:00.5".into()), "2026-06-01 12:00:00.5Z"),
            (Value::Text("2026-06-01 12:00:00+00".into()), "2026-06-01 12:00:00+00:00"),
            (Value::Text("2026-06-01T12:00:00+02:00".into()), "2026-06-01T12:00:00+02:00"),
        ] {
            assert_eq!(utc(&value), Value::Text(expected.into()));
        }
    }

    #[test]
    fn what_is_no_time_stays_as_it_is() {
        for digits in ["-1", "1.7e9", "9223372037", "99999999999999999999", "1.2.3"] {
            assert_eq!(utc(&Value::Number(digits.into())), Value::Number(digits.into()), "{digits}");
        }
        for text in ["", "June", "2026-06-01", "2026-13-01 00:00:00", "é"] {
            assert_eq!(utc(&Value::Text(text.into())), Value::Text(text.into()), "{text}");
        }
        assert_eq!(utc(&Value::Bool(true)), Value::Bool(true));
    }
}
