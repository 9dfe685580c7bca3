//! Owns the log of a thread's arrivals within a day: words of eight bytes, in the order in which they came. What is made
//! of them is for `tally`.

use crate::arena::{Arena, Chunk};
use crate::types::tally::{Arrival, Place};

/// Arrivals in the order in which they came, each with its cell. A list for each series would be as many ends that
/// requests jump among.
///
/// Nearly all have a cell and tokens that are small enough for eight bytes:
/// ```text
/// cell 22 │ mark and second 18 │ input tokens 24
/// ```
/// Of the others the word says the cell that none of those has, and the place among them.
#[derive(Default)]
pub struct Log {
    chunks: Vec<Chunk>,
    others: Vec<Logged>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged {
    /// Place of the cell; in the lowest bit whether the log doesn't say when it was.
    pub cell: u32,
    pub arrival: Arrival,
}

impl Log {
    /// Small, as each of very many days may have one.
    const CHUNK: usize = 1 << 12;
    const WORD: usize = size_of::<u64>();

    const TOKEN_BITS: u32 = 24;
    const CELL_BITS: u32 = Arrival::TOKEN_BITS - Log::TOKEN_BITS + Arrival::SPARE_BITS;
    /// The cell of those that stand among the others.
    const OTHER: u32 = (1 << Log::CELL_BITS) - 1;

    #[inline(always)]
    pub fn push(&mut self, arena: &mut Arena, place: Place, undated: bool, arrival: Arrival) {
        let cell = place << 1 | u32::from(undated);
        let tokens = arrival.input_tokens();
        let word = if cell < Log::OTHER && tokens < 1 << Log::TOKEN_BITS {
            let marked_second = arrival.bits() >> Arrival::TOKEN_BITS;
            u64::from(cell) << (u64::BITS - Log::CELL_BITS) | marked_second << Log::TOKEN_BITS | tokens
        } else {
            self.put_aside(Logged { cell, arrival })
        };
        match self.chunks.last_mut() {
            Some(chunk) if chunk.has_room(Log::WORD) => Log::write(chunk, word),
            _ => self.begin(arena, word),
        }
    }

    /// Gives the word that stands for it.
    #[cold]
    fn put_aside(&mut self, logged: Logged) -> u64 {
        self.others.push(logged);
        u64::from(Log::OTHER) << (u64::BITS - Log::CELL_BITS) | (self.others.len() - 1) as u64
    }

    #[inline(always)]
    fn write(chunk: &mut Chunk, word: u64) {
        chunk.room()[..Log::WORD].copy_from_slice(&word.to_ne_bytes());
        chunk.take(Log::WORD);
    }

    #[cold]
    fn begin(&mut self, arena: &mut Arena, first: u64) {
        let mut chunk = arena.chunk(Log::CHUNK);
        Log::write(&mut chunk, first);
        self.chunks.push(chunk);
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * Log::CHUNK + self.others.capacity() * size_of::<Logged>()
    }

    pub fn iter(&self) -> impl Iterator<Item = Logged> {
        let words = self.chunks.iter().flat_map(|chunk| chunk.written().as_chunks().0);
        words.map(|word| u64::from_ne_bytes(*word)).map(|word| {
            let cell = (word >> (u64::BITS - Log::CELL_BITS)) as u32;
            let below = word << Log::CELL_BITS >> Log::CELL_BITS;
            if cell == Log::OTHER {
                return self.others[below as usize];
            }
            let tokens = below & ((1 << Log::TOKEN_BITS) - 1);
            let marked_second = below >> Log::TOKEN_BITS;
            Logged { cell, arrival: Arrival::from_bits(marked_second << Arrival::TOKEN_BITS | tokens) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_of_any_size_come_back_from_the_log_in_their_order() {
        let (mut log, mut arena) = (Log::default(), Arena::default());
        let mut expected = Vec::new();
        for place in [0, 1, (Log::OTHER >> 1) - 1, Log::OTHER >> 1, (1 << 31) - 1] {
            for tokens in [0, 1, (1 << Log::TOKEN_BITS) - 1, 1 << Log::TOKEN_BITS, 1 << 41] {
                for arrival in [Arrival::new(0, tokens), Arrival::new(90_000, tokens).back()] {
                    for undated in [false, true] {
                        log.push(&mut arena, place, undated, arrival);
                        expected.push((place, undated, arrival));
                    }
                }
            }
        }
        let found: Vec<_> =
            log.iter().map(|logged| (logged.cell >> 1, logged.cell & 1 != 0, logged.arrival)).collect();
        assert!(found == expected, "{found:?}");
        assert!(!log.others.is_empty() && log.others.len() < expected.len());
        assert!(log.bytes() >= expected.len() * size_of::<u64>());
    }
}
