//! Owns what stands for bytes that need not be in memory.

/// Bytes in the temporary file of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub at: u64,
    pub length: u32,
}
