//! Owns the shapes of a line: how an export spells a request. Today there is one, the canonical record.

mod cached_content;
pub mod canonical;
pub mod faults;
pub mod plain;
pub mod usage_metadata;
