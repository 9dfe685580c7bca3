//! Owns the nouns that pass between stages; knows no stage, no book and no file.

pub mod cache;
pub mod carry;
pub mod charge;
pub mod day;
pub mod detail;
pub mod key;
pub mod meter;
pub mod money;
pub mod origin;
pub mod piece;
pub mod quota_use;
pub mod reason;
pub mod request;
pub mod tally;
pub mod tier;
pub mod usage;
pub mod varint;
pub mod violation;
