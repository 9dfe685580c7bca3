//! Turns requests into unique ones: dealt into shards by identity, one record of each kept.

pub mod dedupe;
pub mod groups;
pub mod row;
pub mod shard;
