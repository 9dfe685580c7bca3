//! Owns cutting a stream into blocks of whole lines: so that threads share one file, and a line of many megabytes costs
//! no more memory than the longest one allowed. What a line means is for `shape`.

use std::sync::Arc;

use super::Progress;
use super::decompress::{Broken, Unpacked};
use super::shape::plain::MARGIN;
use crate::error::{Error, Result};
use crate::types::origin::{InputId, InputSummary};

/// Bytes read at once: large enough that locking costs nothing, small enough for the second-level cache.
const BLOCK: usize = 512 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whole lines of one input, in a buffer that is used again and again.
#[derive(Default)]
pub struct Block {
    buffer: Vec<u8>,
    end: usize,
    pub input: InputId,
    /// Counted from 0 within the input.
    pub index: u32,
    /// The first line was longer than allowed: what stands here is empty in its place.
    pub first_too_long: bool,
    /// The input ended before it was complete, after the block's lines; why.
    pub truncated: Option<String>,
}

impl Block {
    /// Lines, each but perhaps the last ended by a newline.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.end]
    }

    /// The lines, and after them what doesn't count: at least [`MARGIN`] bytes that may be looked at.
    pub fn bytes_and_margin(&self) -> &[u8] {
        &self.buffer
    }
}

/// One input being read.
pub struct Stream {
    input: InputId,
    name: Arc<str>,
    source: Unpacked,
    max_line: usize,
    /// The beginning of a line whose end wasn't read yet.
    rest: Vec<u8>,
    next_index: u32,
    /// The byte order mark, if any, is off.
    begun: bool,
    ended: bool,
}

impl Stream {
    pub fn new(
        input: InputId,
        name: Arc<str>,
        source: Box<dyn std::io::Read + Send>,
        max_line: usize,
        progress: Arc<Progress>,
    ) -> Result<Stream> {
        let source = Unpacked::new(source, progress).map_err(|error| cannot_read(&name, &error))?;
        Ok(Stream {
            input,
            name,
            source,
            max_line,
            rest: Vec::new(),
            next_index: 0,
            begun: false,
            ended: false,
        })
    }

    pub fn input(&self) -> InputId {
        self.input
    }

    /// Fills `block` with the next lines; false at the end of the input.
    pub fn next(&mut self, block: &mut Block) -> Result<bool> {
        block.input = self.input;
        block.index = self.next_index;
        block.first_too_long = false;
        block.truncated = None;
        self.next_index += 1;
        let mut filled = self.rest.len();
        if block.buffer.len() < filled + MARGIN {
            block.buffer.resize(filled + MARGIN, 0);
        }
        block.buffer[..filled].copy_from_slice(&self.rest);
        self.rest.clear();
        // Up to here there is no newline.
        let mut searched = filled;
        let mut skipping = false;
        while !self.ended {
            if block.buffer.len() < filled + BLOCK + MARGIN {
                block.buffer.resize(filled + BLOCK + MARGIN, 0);
            }
            let room = block.buffer.len() - MARGIN;
            match self.source.read(&mut block.buffer[filled..room]) {
                Ok(0) => self.ended = true,
                Ok(count) => filled += count,
                Err(Broken::Storage(error)) => return Err(cannot_read(&self.name, &error)),
                Err(Broken::Content(why)) => {
                    self.ended = true;
                    block.truncated = Some(why);
                }
            }
            if !self.begun && (filled >= BOM.len() || self.ended) {
                self.begun = true;
                if block.buffer[..filled].starts_with(BOM) {
                    block.buffer.copy_within(BOM.len()..filled, 0);
                    filled -= BOM.len();
                }
            }
            if skipping {
                // Inside a line that is too long nothing is kept but its newline.
                match memchr::memchr(b'\n', &block.buffer[..filled]) {
                    Some(newline) => {
                        block.buffer.copy_within(newline..filled, 0);
                        (filled, searched, skipping) = (filled - newline, 0, false);
                    }
                    None => filled = 0,
                }
            }
            match memchr::memrchr(b'\n', &block.buffer[searched..filled]) {
                Some(last) if self.ended || filled >= BLOCK => {
                    block.end = searched + last + 1;
                    // At the end of an input what comes after the last newline is a line too, of the next block; of an
                    // input that ended early it is part of what is missing.
                    if block.truncated.is_none() {
                        self.rest.extend_from_slice(&block.buffer[block.end..filled]);
                    }
                    return Ok(true);
                }
                Some(last) => searched += last,
                // One byte more may be the CR before a newline that wasn't read yet.
                None if filled > self.max_line.saturating_add(1) && !self.ended => {
                    block.first_too_long = true;
                    (filled, searched, skipping) = (0, 0, true);
                }
                None => searched = filled,
            }
        }
        if block.truncated.is_some() {
            (filled, block.first_too_long) = (0, false);
        }
        block.end = filled;
        Ok(filled > 0 || block.first_too_long || block.truncated.is_some())
    }

    /// What is known of the input after its last block.
    pub fn finish(mut self, lines: u64) -> Result<InputSummary> {
        let (bytes, hash) = self.source.finish().map_err(|error| cannot_read(&self.name, &error))?;
        Ok(InputSummary { name: self.name, bytes, lines, hash, same_as: None })
    }
}

fn cannot_read(name: &str, error: &std::io::Error) -> Error {
    Error::io("read", std::path::Path::new(name), error)
        .hint("nothing was published; mend it and run the same command again")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle(std::io::Cursor<Vec<u8>>);

    impl std::io::Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    fn blocks(bytes: &[u8], max_line: usize, trickle: bool) -> Vec<(Vec<u8>, bool)> {
        let cursor = std::io::Cursor::new(bytes.to_vec());
        let source: Box<dyn std::io::Read + Send> =
            if trickle { Box::new(Trickle(cursor)) } else { Box::new(cursor) };
        let mut stream = Stream::new(InputId(0), "test".into(), source, max_line, Arc::default()).unwrap();
        let mut block = Block::default();
        let mut read = Vec::new();
        while stream.next(&mut block).unwrap() {
            read.push((block.bytes().to_vec(), block.first_too_long));
        }
        read
    }

    #[test]
    fn blocks_are_whole_lines_whatever_the_reads() {
        for trickle in [false, true] {
            assert_eq!(
                blocks(b"\xef\xbb\xbfa\n\nb", 100, trickle),
                [(b"a\n\n".to_vec(), false), (b"b".to_vec(), false)]
            );
            assert_eq!(blocks(b"", 100, trickle), []);
            assert_eq!(blocks(b"\xef\xbb", 100, trickle), [(b"\xef\xbb".to_vec(), false)]);
        }
        let long = [b"x".repeat(3 * BLOCK), b"\nshort\n".to_vec()].concat();
        let read = blocks(&long, usize::MAX, false);
        assert_eq!(read.concat_bytes(), long);
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_while_it_is_read() {
        let long = [b"a\n".to_vec(), b"x".repeat(5 * BLOCK), b"\nb\n".to_vec()].concat();
        let read = blocks(&long, 1000, false);
        assert_eq!(read[0], (b"a\n".to_vec(), false));
        assert_eq!(read[1], (b"\nb\n".to_vec(), true));
        assert_eq!(read.len(), 2);
        let endless = blocks(&b"x".repeat(5 * BLOCK), 1000, false);
        assert_eq!(endless, [(Vec::new(), true)]);
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for Vec<(Vec<u8>, bool)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
        }
    }
}
