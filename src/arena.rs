//! Owns the memory that what is read stands in: chunks that are written from their begin on, side by side in regions that
//! are mapped by themselves and made of large pages. What stands in a chunk is for whoever asked for it, how much of it may
//! stay for `memory`.
//!
//! A page is cleared when it is first written to, and that takes a small one longer than the bytes that come into it: of
//! large ones there are 512 times fewer.

use std::slice;
use std::sync::Arc;

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::{MmapMut, MmapRaw};

use crate::caches::prefetch;

/// Where one thread takes its chunks from. A region goes back to the system with the last of its chunks, where the allocator
/// would keep it for the thread that made it; so give those that are dropped together an arena of their own.
#[derive(Debug, Default)]
pub struct Arena {
    region: Option<Region>,
}

#[derive(Debug)]
struct Region {
    memory: Arc<MmapRaw>,
    /// Where the next chunk begins.
    next: usize,
}

impl Arena {
    /// Large, as a system maps only so many of them. Of what isn't written no memory is taken.
    const REGION: usize = 32 << 20;
    const LARGE_PAGE: usize = 2 << 20;
    /// So many bytes of the first region come into small pages, as all do that few requests take.
    const SMALL: usize = 512 << 10;

    /// One with room for so many bytes. Where there is no more memory the program ends, as it does in the allocator.
    pub fn chunk(&mut self, size: usize) -> Chunk {
        let region = match &mut self.region {
            Some(region) if region.next + size <= region.memory.len() => region,
            last => {
                let is_first = last.is_none();
                last.insert(Region::new(size, is_first))
            }
        };
        let begin = region.next;
        region.next += size;
        Chunk { region: region.memory.clone(), begin, end: begin, limit: begin + size }
    }
}

impl Region {
    fn new(size: usize, is_first: bool) -> Region {
        let length = Arena::SMALL + Arena::LARGE_PAGE + size.max(Arena::REGION);
        let memory = MmapRaw::from(MmapMut::map_anon(length).expect("there is memory"));
        let beyond_small = memory.as_ptr().wrapping_add(Arena::SMALL);
        let large = Arena::SMALL + beyond_small.align_offset(Arena::LARGE_PAGE).min(Arena::LARGE_PAGE);
        // A system that has no large pages gives small ones for all.
        #[cfg(target_os = "linux")]
        let _ = memory.advise_range(Advice::HugePage, large, length - large);
        let next = if is_first { large - Arena::SMALL } else { large };
        Region { memory: Arc::new(memory), next }
    }
}

/// Memory of an arena.
#[derive(Debug)]
pub struct Chunk {
    region: Arc<MmapRaw>,
    /// Where its bytes begin in the region.
    begin: usize,
    /// Where those end that are written.
    end: usize,
    /// Where its room ends.
    limit: usize,
}

impl Chunk {
    #[inline(always)]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.end + bytes <= self.limit
    }

    /// What isn't written yet.
    #[inline(always)]
    pub fn room(&mut self) -> &mut [u8] {
        // SAFETY: the arena gave the bytes from `begin` to `limit`, which lie in the region, to this chunk alone. They are
        // mapped, as zeros, for as long as it holds on to the region.
        unsafe { slice::from_raw_parts_mut(self.region.as_mut_ptr().add(self.end), self.limit - self.end) }
    }

    /// Takes so many bytes off the room, which were written.
    #[inline(always)]
    pub fn take(&mut self, bytes: usize) {
        assert!(self.has_room(bytes), "more was written than there is room for");
        self.end += bytes;
    }

    /// Leaves no room.
    pub fn end(&mut self) {
        self.limit = self.end;
    }

    pub fn written(&self) -> &[u8] {
        // SAFETY: as for `room`.
        unsafe { slice::from_raw_parts(self.region.as_ptr().add(self.begin), self.end - self.begin) }
    }

    /// Asks the processor for the two lines of memory that are written next.
    #[inline(always)]
    pub fn prefetch(&self) {
        let next = self.region.as_ptr().wrapping_add(self.end);
        prefetch(next);
        prefetch(next.wrapping_add(64));
    }
}

/// Asks for large pages for what isn't in use of a long list.
pub fn ask_for_large_pages<T>(list: &mut Vec<T>) {
    let room = list.spare_capacity_mut();
    let (begin, length) = (room.as_mut_ptr().cast::<u8>(), size_of_val(room));
    let before = begin.align_offset(Arena::LARGE_PAGE);
    let whole = length.saturating_sub(before) / Arena::LARGE_PAGE * Arena::LARGE_PAGE;
    if whole > 0 {
        let begin = begin.wrapping_add(before);
        // SAFETY: the bytes are the list's, and what is in them stays.
        #[cfg(target_os = "linux")]
        let _ = unsafe { rustix::mm::madvise(begin.cast(), whole, rustix::mm::Advice::LinuxHugepage) };
        #[cfg(not(target_os = "linux"))]
        let _ = begin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_any_size_keep_what_each_was_given() {
        let mut arena = Arena::default();
        let sizes = [1, 100, 16 << 10, Arena::REGION, 3, Arena::REGION - 7, 2 * Arena::REGION, 16 << 10];
        let mut chunks: Vec<Chunk> = sizes.iter().map(|size| arena.chunk(*size)).collect();
        for (place, chunk) in chunks.iter_mut().enumerate() {
            assert_eq!(chunk.room().len(), sizes[place]);
            chunk.room().fill(place as u8 + 1);
            chunk.take(sizes[place]);
            assert!(!chunk.has_room(1));
        }
        drop(arena);
        for (place, chunk) in chunks.into_iter().enumerate() {
            assert_eq!(chunk.written().len(), sizes[place]);
            assert!(chunk.written().iter().all(|byte| usize::from(*byte) == place + 1));
        }
    }

    #[test]
    #[should_panic(expected = "more was written")]
    fn no_chunk_takes_what_is_its_neighbours() {
        let mut arena = Arena::default();
        let (mut chunk, _other) = (arena.chunk(10), arena.chunk(10));
        chunk.take(11);
    }
}
