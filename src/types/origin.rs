//! Owns where a line came from: the input's name as given and the line's number. Knows no file system.

use std::sync::Arc;

/// An input, by its place in the run's list of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub u32);

/// What the run knows of an input when it has read it whole.
#[derive(Clone, Debug)]
pub struct InputSummary {
    /// As given on the command line, or found in a folder that was.
    pub name: Arc<str>,
    /// Bytes as stored (packed, where it is packed).
    pub bytes: u64,
    pub lines: u64,
    /// XXH3 (128 bits) of the bytes as stored, in hexadecimal; of a Parquet file, of its footer and the pages of the columns
    /// that decide something, of an object of a store, of what the store says of it.
    pub hash: String,
    /// How its items lie in it.
    pub container: &'static str,
    /// How they are spelled; None where it couldn't be told.
    pub shape: Option<&'static str>,
    /// The names of its columns, where its shape couldn't be told: for a map of them.
    pub columns: Vec<String>,
    /// The input given before whose stored bytes are the same, so that this one was not read.
    pub same_as: Option<Arc<str>>,
}
