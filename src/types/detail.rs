//! Owns what only `--detail` shows of a request: names that no figure depends on, and the line it was read from. Kept as
//! bytes beside a row until it is known that the row counts.

use std::borrow::Cow;

use super::day::Instant;
use super::meter::Slot;
use super::origin::InputId;
use super::tally::CellKey;

/// Names of a request that no figure depends on. An empty one was not logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail<'d> {
    pub api_key_id: Cow<'d, str>,
    pub region: Cow<'d, str>,
    /// As written.
    pub latency_ms: Cow<'d, str>,
    /// A JSON object, its keys sorted.
    pub labels: Cow<'d, str>,
}

/// The line a request was read from, whose number is known within its block until all blocks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub input: InputId,
    pub block: u32,
    pub line: u32,
}

/// A request that counts, when requests are kept.
#[derive(Debug)]
pub struct Kept {
    pub at: Instant,
    /// Its facts, usage tier and context band.
    pub cell: CellKey,
    pub input: InputId,
    pub line: u64,
    pub request_id: Option<Box<str>>,
    pub api_key_id: Option<Box<str>>,
    pub region: Option<Box<str>>,
    /// Whole milliseconds.
    pub latency_ms: Option<u64>,
    pub labels: Option<Box<str>>,
    /// As logged.
    pub total_tokens: u64,
    pub thoughts: u64,
    /// Above 0.
    pub quantities: Box<[(Slot, u64)]>,
}

impl<'d> Detail<'d> {
    /// Appends the request's id, the detail and its place, the place last: which of two equal records counts must not
    /// depend on it.
    pub fn encode(&self, request_id: &str, place: Place, bytes: &mut Vec<u8>) {
        for text in [request_id, &self.api_key_id, &self.region, &self.latency_ms, &self.labels] {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        for number in [place.input.0, place.block, place.line] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub fn decode(mut bytes: &'d [u8]) -> (Cow<'d, str>, Detail<'d>, Place) {
        let mut text = || {
            let length = number(&mut bytes) as usize;
            let (text, rest) = bytes.split_at(length);
            bytes = rest;
            String::from_utf8_lossy(text)
        };
        let request_id = text();
        let detail = Detail { api_key_id: text(), region: text(), latency_ms: text(), labels: text() };
        (request_id, detail, Place::decode(bytes))
    }
}

impl Place {
    /// The bytes of a place at the end of an encoded detail.
    pub const BYTES: usize = 12;

    pub fn decode(mut bytes: &[u8]) -> Place {
        let (input, block, line) = (number(&mut bytes), number(&mut bytes), number(&mut bytes));
        Place { input: InputId(input), block, line }
    }
}

fn number(bytes: &mut &[u8]) -> u32 {
    let (head, rest) = bytes.split_at(4);
    *bytes = rest;
    u32::from_le_bytes(head.try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_read_as_it_was_kept() {
        let detail = Detail { region: "eu".into(), labels: r#"{"team":"é"}"#.into(), ..Detail::default() };
        let place = Place { input: InputId(1), block: 2, line: 3 };
        let mut bytes = Vec::new();
        detail.encode("r", place, &mut bytes);
        assert_eq!(Detail::decode(&bytes), ("r".into(), detail, place));
    }
}
