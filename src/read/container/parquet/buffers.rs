//! Owns the memory that pages are read and unpacked into: whoever is done with some leaves it to the next one. New memory for
//! each page would be cleared by the system and cleared once more before something is unpacked into it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Memory that is free now. It is shared by all who read a file.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Memory in use, of which the first bytes are somebody's.
struct Lent {
    memory: Vec<u8>,
    length: usize,
    buffers: Buffers,
}

impl Buffers {
    /// So many bytes, which `fill` fills in.
    pub fn fill<E>(&self, length: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Bytes, E> {
        let mut memory = self.take(length);
        fill(&mut memory[..length])?;
        Ok(Bytes::from_owner(Lent { memory, length, buffers: self.clone() }))
    }

    /// Takes the shortest that is long enough, and at most twice as long. If there is none, the longest of those that are too
    /// short goes for a new one, so that what is kept is about twice of what was in use at a time, at most.
    fn take(&self, length: usize) -> Vec<u8> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = || free.iter().map(Vec::len).enumerate();
        let fits = |own: usize| own >= length && own / 2 <= length.max(4 << 10);
        let shortest = places().filter(|(_, own)| fits(*own)).min_by_key(|(_, own)| *own);
        if let Some((place, _)) = shortest {
            return free.swap_remove(place);
        }
        let longest = places().filter(|(_, own)| *own < length).max_by_key(|(_, own)| *own);
        let given_up = longest.map(|(place, _)| free.swap_remove(place));
        // The system takes and gives memory while others go on.
        drop(free);
        drop(given_up);
        // Pages of a column are of about one length.
        vec![0; length + length / 16]
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.buffers.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_little_more_is_kept_than_was_in_use() {
        let buffers = Buffers::default();
        let fill = |length: usize, byte: u8| {
            let filled: Result<Bytes, ()> = buffers.fill(length, |room| {
                room.fill(byte);
                Ok(())
            });
            filled.expect("it can't fail")
        };
        let (one, other) = (fill(10_000, 1), fill(20_000, 2));
        assert!(one.iter().all(|byte| *byte == 1) && other.iter().all(|byte| *byte == 2));
        let first = one.as_ptr();
        drop(one);
        let again = fill(9_000, 3);
        assert_eq!((again.as_ptr(), again.len()), (first, 9_000));
        drop((again, other));
        for length in [100_000, 200_000, 5, 300_000, 7_000] {
            drop(fill(length, 4));
        }
        assert!(buffers.0.lock().expect("no thread panicked").len() <= 3);
    }
}
