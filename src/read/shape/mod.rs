//! Owns the shapes of a line: how an export spells a request. Today there is one, the canonical record.

pub mod canonical;
