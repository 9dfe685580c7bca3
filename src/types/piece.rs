//! Owns what stands for something that need not be in memory.

/// Bytes in the temporary file of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub at: u64,
    pub length: u32,
}

/// Something in memory, or its bytes in the file.
#[derive(Debug)]
pub enum Held<T> {
    InMemory(T),
    Spilled(Piece),
}
