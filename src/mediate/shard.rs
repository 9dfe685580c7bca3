//! Owns a shard: where the rows lie that one thread dealt into it, in memory or in the temporary file. What a row is made of is
//! for `row`, which of them count for `dedupe`.
//!
//! **Invariant**: a row lies in one chunk, and while its shard is settled its place doesn't change, so that 32 bits say which
//! it is.

use crate::arena::{Arena, Chunk};
use crate::error::Result;
use crate::memory::Memory;
use crate::types::piece::Piece;

/// Rows in chunks that never move, until they are spilled. Requests jump among shards, so what each asks for is one line of
/// the processor's cache.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Shard {
    /// The chunk that is written.
    last: Option<Chunk>,
    rows: usize,
    full: Vec<Chunk>,
    /// What the rows of full chunks take of memory.
    bytes: usize,
    /// Chunks that are in the temporary file.
    spilled: Vec<Piece>,
}

impl Shard {
    /// Large enough that few rows begin a new one, small enough that what isn't written of the last ones is little. As 32
    /// bits say where a row is, a shard has 2¹⁹ chunks at most.
    ///
    /// Many chunks are written at a time, each as much as the others. If all began at a multiple of what the processor's cache
    /// holds, their ends would lie alike, and it has few places for what lies alike: so a line of it is left off.
    const CHUNK: usize = (1 << Shard::CHUNK_BITS) - 64;
    pub const CHUNK_BITS: u32 = 13;

    /// Asks for the place that the next row is written to.
    #[inline(always)]
    pub fn prefetch(&self) {
        if let Some(last) = &self.last {
            last.prefetch();
        }
    }

    /// Appends a row, which `write` puts into the room that it is given, of `longest` bytes at least; it gives the row's
    /// length. A row is written where it stays: to copy it would cost as much as to make it.
    #[inline(always)]
    pub(super) fn append(
        &mut self,
        arena: &mut Arena,
        longest: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let last = match &mut self.last {
            Some(last) if last.has_room(longest) => last,
            _ => self.begin_chunk(arena, longest),
        };
        let length = write(last.room());
        last.take(length);
        // A longer chunk holds one row, or rows could begin where no `Spot` says.
        if longest > Shard::CHUNK {
            last.end();
        }
        self.rows += 1;
    }

    #[inline(never)]
    fn begin_chunk(&mut self, arena: &mut Arena, longest: usize) -> &mut Chunk {
        if let Some(full) = self.last.take().filter(|chunk| !chunk.written().is_empty()) {
            self.bytes += full.written().len();
            self.full.push(full);
        }
        // A row with a long detail has a chunk of its own.
        self.last.insert(arena.chunk(longest.max(Shard::CHUNK)))
    }

    /// What its rows take of memory; not the room that is left, which every shard has.
    pub fn bytes(&self) -> usize {
        self.bytes + self.last.as_ref().map_or(0, |last| last.written().len())
    }

    /// Moves all rows to the temporary file, by way of `buffer`.
    pub fn spill(&mut self, memory: &Memory, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        let mut lengths = Vec::new();
        for chunk in self.chunks() {
            buffer.extend_from_slice(chunk);
            lengths.push(chunk.len() as u32);
        }
        if lengths.is_empty() {
            return Ok(());
        }
        let mut at = memory.spill(buffer)?;
        for length in lengths {
            self.spilled.push(Piece { at, length });
            at += u64::from(length);
        }
        (self.full, self.last, self.bytes) = (Vec::new(), None, 0);
        Ok(())
    }

    /// Reads back what was spilled.
    pub fn bring_back(&mut self, memory: &Memory, arena: &mut Arena) -> Result<()> {
        for piece in std::mem::take(&mut self.spilled) {
            let length = piece.length as usize;
            let last = match &mut self.last {
                Some(last) if last.has_room(length) => last,
                _ => self.begin_chunk(arena, length),
            };
            memory.read(piece, &mut last.room()[..length])?;
            last.take(length);
        }
        Ok(())
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Each chunk, for [`Row::read`](super::row::Row::read).
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.full.iter().chain(&self.last).map(Chunk::written).filter(|rows| !rows.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends bytes as if they were a row.
    fn append(shard: &mut Shard, arena: &mut Arena, bytes: &[u8]) {
        shard.append(arena, bytes.len(), |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
    }

    #[test]
    fn rows_that_were_spilled_bit_by_bit_come_back_in_full_chunks() {
        let (mut shard, mut arena, mut buffer) = (Shard::default(), Arena::default(), Vec::new());
        let memory = Memory::new(None, 1);
        let lengths = [7, Shard::CHUNK - 7, 3, 2 * Shard::CHUNK, 9, 11];
        for (place, length) in lengths.into_iter().enumerate() {
            append(&mut shard, &mut arena, &vec![place as u8; length]);
            if place != 1 && place != 4 {
                shard.spill(&memory, &mut buffer).expect("a temporary file");
                assert_eq!((shard.bytes(), shard.chunks().count()), (0, 0));
            }
        }
        append(&mut shard, &mut arena, b"last");
        shard.bring_back(&memory, &mut arena).expect("a temporary file");
        assert_eq!(shard.rows(), lengths.len() + 1);
        let mut whole: Vec<u8> = shard.chunks().flatten().copied().collect();
        whole.sort_unstable();
        let mut expected: Vec<u8> =
            lengths.iter().zip(0..).flat_map(|(length, place)| vec![place; *length]).collect();
        expected.extend(b"last");
        expected.sort_unstable();
        assert!(whole == expected);
        assert!(shard.chunks().count() < lengths.len());
    }

    #[test]
    fn no_row_that_comes_back_begins_beyond_a_chunk() {
        let (mut shard, mut arena, mut buffer) = (Shard::default(), Arena::default(), Vec::new());
        let memory = Memory::new(None, 1);
        (0..3).for_each(|row| append(&mut shard, &mut arena, &[row; 10]));
        shard.spill(&memory, &mut buffer).expect("a temporary file");
        // It may have become longer than it is, so its chunk has room left.
        shard.append(&mut arena, Shard::CHUNK + 300, |_| Shard::CHUNK - 5);
        shard.bring_back(&memory, &mut arena).expect("a temporary file");
        let chunks: Vec<usize> = shard.chunks().map(<[u8]>::len).collect();
        assert_eq!(chunks, [Shard::CHUNK - 5, 30]);
    }

    #[test]
    fn a_row_that_is_larger_than_a_chunk_has_one_of_its_own() {
        let (mut shard, mut arena) = (Shard::default(), Arena::default());
        // A row may be shorter than it might have been, and leave room for a short one.
        shard.append(&mut arena, Shard::CHUNK + 300, |_| Shard::CHUNK + 100);
        append(&mut shard, &mut arena, b"short");
        let chunks: Vec<usize> = shard.chunks().map(<[u8]>::len).collect();
        assert_eq!(chunks, [Shard::CHUNK + 100, 5]);
        let mut shard = Shard::default();
        for length in [10, Shard::CHUNK - 10, 1, 3 * Shard::CHUNK, 5] {
            append(&mut shard, &mut arena, &vec![0; length]);
        }
        let chunks: Vec<usize> = shard.chunks().map(<[u8]>::len).collect();
        assert_eq!(chunks, [Shard::CHUNK, 1, 3 * Shard::CHUNK, 5]);
        assert_eq!(shard.rows(), 5);
    }
}
