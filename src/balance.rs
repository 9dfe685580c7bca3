//! Owns the two equations and their message: every line and every quantity is accounted for, or nothing is published.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::types::meter::Meter;

/// The first equation: lines = blank + not_requests + suspended + duplicates + superseded + outside_window + requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    pub lines: u64,
    pub blank: u64,
    /// Whole lines that are no call of this API, by kind.
    pub not_requests: BTreeMap<&'static str, u64>,
    pub suspended: u64,
    pub duplicates: u64,
    pub superseded: u64,
    pub outside_window: u64,
    pub requests: u64,
}

impl Records {
    pub fn not_requests(&self) -> u64 {
        self.not_requests.values().sum()
    }

    pub fn add(&mut self, other: &Records) {
        self.lines += other.lines;
        self.blank += other.blank;
        for (kind, count) in &other.not_requests {
            *self.not_requests.entry(kind).or_default() += count;
        }
        self.suspended += other.suspended;
        self.duplicates += other.duplicates;
        self.superseded += other.superseded;
        self.outside_window += other.outside_window;
        self.requests += other.requests;
    }

    /// The right side of the equation with its names.
    pub fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("blank", self.blank),
            ("not_requests", self.not_requests()),
            ("suspended", self.suspended),
            ("duplicates", self.duplicates),
            ("superseded", self.superseded),
            ("outside_window", self.outside_window),
            ("requests", self.requests),
        ]
    }
}

/// The second equation, per meter: tallied = charged (exempt included) + suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantities {
    pub tallied: u64,
    pub charged: u64,
    pub suspended: u64,
}

pub fn records(records: &Records) -> Result<()> {
    let sum: u64 = records.parts().iter().map(|(_, count)| count).sum();
    if sum == records.lines {
        return Ok(());
    }
    let parts: Vec<String> = records.parts().iter().map(|(name, count)| format!("{count} {name}")).collect();
    Err(unbalanced(format!("{} lines were read, but {} are {sum}", records.lines, parts.join(" + "))))
}

pub fn quantities(meters: &BTreeMap<Meter, Quantities>) -> Result<()> {
    for (meter, Quantities { tallied, charged, suspended }) in meters {
        if charged.checked_add(*suspended) != Some(*tallied) {
            return Err(unbalanced(format!(
                "{tallied} {meter} were tallied, but {charged} charged + {suspended} suspended"
            )));
        }
    }
    Ok(())
}

fn unbalanced(what: String) -> Error {
    Error::new(format!("the totals don't agree: {what}"))
        .hint("this is a fault of rerate, so nothing was published; please report it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_a_quantity_that_is_not_accounted_for_is_an_error() {
        let mut of_lines = Records { lines: 3, blank: 1, requests: 2, ..Records::default() };
        assert!(records(&of_lines).is_ok());
        of_lines.requests = 1;
        assert!(records(&of_lines).unwrap_err().what.contains("3 lines"));
        let of =
            |suspended| BTreeMap::from([(Meter::Input, Quantities { tallied: 10, charged: 7, suspended })]);
        assert!(quantities(&of(3)).is_ok());
        assert!(quantities(&of(4)).is_err());
    }
}
