//! Owns dealing with the caches of a processor: asking for memory that will be needed, telling whether another core's are
//! far, and writing past them what it will read. Knows not what for.

use std::hint::black_box;
use std::time::{Duration, Instant};

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m128i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm_stream_si128};

/// Bytes that come and go together.
const LINE: usize = 64;

/// Asks for the line of memory that a place lies in. Only a hint: the place need not be there.
#[inline(always)]
pub fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture knows it, and it never faults.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for the beginnings of the next pages of what is read in order: the processor foretells how it goes on, but no
/// further than to the end of a page.
#[inline(always)]
pub fn prefetch_pages(from: *const u8) {
    const PAGE: usize = 4096;
    let page = from.map_addr(|address| address & !(PAGE - 1));
    for next in 1..=3 {
        for line in 0..4 {
            prefetch(page.wrapping_add(next * PAGE + line * LINE));
        }
    }
}

/// Whether the core that last read a buffer is far: it shares no cache with this one, as cores of two sockets don't. Each
/// line that is written to is then fetched from there first, which for a buffer of a mebibyte takes longer than to unpack
/// as much, so it is better filled by [`copy_past`].
///
/// Measured by writing a byte to each of the first lines, since a virtual machine isn't told where its cores are, nor that
/// they move. If it errs a little time is lost, and nothing else.
pub fn is_far(buffer: &mut [u8]) -> bool {
    // Some times as many as a core goes on without having written.
    const LINES: usize = 256;
    // For each it is some 2 ns where a cache is shared, and 30 where none is.
    const NEAR: Duration = Duration::from_nanos(10 * LINES as u64);
    if cfg!(not(target_arch = "x86_64")) {
        // There is no other way to fill it.
        return false;
    }
    let Some(lines) = buffer.get_mut(..LINES * LINE) else { return false };
    let begin = Instant::now();
    for line in lines.chunks_mut(LINE) {
        line[0] = 0;
    }
    black_box(lines);
    begin.elapsed() > NEAR
}

/// Copies bytes past the caches, for another core to read.
///
/// # Panics
/// If they aren't as many.
pub fn copy_past(to: &mut [u8], from: &[u8]) {
    assert_eq!(to.len(), from.len());
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: any bytes are a value of this type.
        let (first, whole, _) = unsafe { to.align_to_mut::<__m128i>() };
        let (before, after) = (first.len(), first.len() + size_of_val(whole));
        for (to, from) in whole.iter_mut().zip(from[before..after].as_chunks::<16>().0) {
            // SAFETY: every processor of this architecture knows them, both are places of 16 bytes, and `to` is aligned.
            unsafe { _mm_stream_si128(to, _mm_loadu_si128(from.as_ptr().cast())) };
        }
        // SAFETY: as above. Who is told of the bytes after it sees them.
        unsafe { _mm_sfence() };
        to[..before].copy_from_slice(&from[..before]);
        to[after..].copy_from_slice(&from[after..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_past_the_caches_is_the_same_wherever_it_begins_and_ends() {
        let from: [u8; 200] = std::array::from_fn(|place| place as u8);
        for (begin, length) in (0..20).flat_map(|begin| (0..70).map(move |length| (begin, length))) {
            let mut to = [255; 200];
            copy_past(&mut to[begin..][..length], &from[100..][..length]);
            assert_eq!(to[begin..][..length], from[100..][..length]);
            assert!(to[..begin].iter().chain(&to[begin + length..]).all(|byte| *byte == 255));
        }
    }
}
