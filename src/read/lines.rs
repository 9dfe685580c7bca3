//! Owns cutting a stream into blocks of whole lines: so that threads share one file, and a line of many megabytes costs
//! no more memory than the longest one allowed. Of other containers than JSONL, `container` makes lines first. What a
//! line means is for `shape`.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;

use super::container::{Container, Cutter, HEAD};
use super::decompress::{Broken, Unpacked};
use super::gz::Ahead;
use super::settings::Settings;
use super::shape::cursor::MARGIN;
use super::shape::value::Value;
use super::shape::{Shape, canonical, map};
use super::{Progress, Reading};
use crate::caches::{copy_past, is_far};
use crate::error::{Error, Result};
use crate::types::origin::{InputId, InputSummary};
use crate::types::reason::Reason;

/// Bytes read at once: large enough that locking costs nothing, small enough for the second-level cache. Always as many,
/// since of a broken zst nothing is kept of what is read last.
pub const BLOCK: usize = 512 << 10;
/// Bytes read for another thread, whose cache holds none of them yet: so many that it is seldom woken for them.
pub const BLOCK_FOR_ANOTHER: usize = 2 * BLOCK;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Who decodes a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The thread that reads it.
    Itself,
    Another,
}

/// Whole lines of one input, in a buffer that is used again and again.
#[derive(Default)]
pub struct Block {
    buffer: Vec<u8>,
    end: usize,
    pub input: InputId,
    /// Counted from 0 within the input.
    pub index: u32,
    /// How the input is read; None where its shape can't be told.
    pub reading: Option<Reading>,
    /// Rows of typed columns, in the place of lines.
    pub rows: Option<RecordBatch>,
    /// The first line was longer than allowed: what stands here is empty in its place.
    pub first_too_long: bool,
    /// The input ended before it was complete, after the block's lines, or it can't be read at all; why.
    pub ended_by: Option<(Reason, String)>,
}

impl Block {
    /// Begins it anew, for rows.
    pub fn begin(&mut self, input: InputId, index: u32, reading: Option<Reading>) {
        (self.end, self.rows) = (0, None);
        (self.input, self.index, self.reading) = (input, index, reading);
        (self.first_too_long, self.ended_by) = (false, None);
    }

    /// Lines, each but perhaps the last ended by a newline.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.end]
    }

    /// Its buffer isn't larger than that of nearly any block.
    pub fn is_small(&self) -> bool {
        self.buffer.len() <= BLOCK_FOR_ANOTHER + BLOCK + MARGIN
    }

    /// The lines, and after them what doesn't count: [`MARGIN`] bytes or more, unless there is no line.
    pub fn bytes_and_margin(&self) -> &[u8] {
        &self.buffer
    }
}

/// One input being read by lines.
pub struct Lines {
    input: InputId,
    name: Arc<str>,
    source: Source,
    container: Container,
    /// Whoever reads it need not be told.
    shape: Option<&'static Shape>,
    /// Names seen where the shape can't be told.
    columns: Vec<String>,
    max_line: usize,
    /// The beginning of a line whose end wasn't read yet.
    rest: Vec<u8>,
    next_index: u32,
    ended: bool,
    /// Blocks that were read to tell the shape.
    first: VecDeque<Block>,
    /// What is on its way to memory that is far.
    passing: Vec<u8>,
}

impl Lines {
    /// Opens an input, and tells its container and shape where `settings` doesn't say them.
    pub fn open(
        input: InputId,
        name: Arc<str>,
        source: Box<dyn std::io::Read + Send>,
        settings: &Settings,
        progress: Arc<Progress>,
    ) -> Result<Lines> {
        let unpacked = Unpacked::new(source, progress).map_err(|error| cannot_read(&name, &error))?;
        let source = Source::new(unpacked, settings).map_err(|error| cannot_read(&name, &error))?;
        let mut stream = Lines {
            input,
            name,
            container: source.container,
            source,
            shape: settings.shape,
            columns: Vec::new(),
            max_line: settings.max_line,
            rest: Vec::new(),
            next_index: 0,
            ended: false,
            first: VecDeque::new(),
            passing: Vec::new(),
        };
        if stream.container == Container::Parquet {
            stream.refuse("a Parquet file is read only as a file, and unpacked".to_string());
        } else if stream.shape.is_none() {
            stream.tell()?;
        }
        Ok(stream)
    }

    pub fn input(&self) -> InputId {
        self.input
    }

    pub fn shape(&self) -> Option<&'static Shape> {
        self.shape
    }

    /// See [`Unpacked::refers_back`].
    pub fn refers_back(&self) -> bool {
        self.source.unpacked.refers_back()
    }

    /// What other threads may inflate meanwhile.
    pub fn ahead(&self) -> Option<Arc<Ahead>> {
        self.source.unpacked.ahead()
    }

    /// Fills `block` with the next lines, for whom it says; false at the end of the input.
    pub fn next(&mut self, block: &mut Block, who: Who) -> Result<bool> {
        let is_far = who == Who::Another && is_far(&mut block.buffer);
        self.next_of(block, who, is_far)
    }

    fn next_of(&mut self, block: &mut Block, who: Who, is_far: bool) -> Result<bool> {
        let is_read = match self.first.pop_front() {
            Some(first) => {
                *block = first;
                true
            }
            None => self.read(block, who, is_far)?,
        };
        if self.ended {
            self.passing = Vec::new();
        }
        if !is_read {
            return Ok(false);
        }
        block.reading = self.shape.map(|shape| Reading {
            container: self.container,
            shape,
            is_row: self.container == Container::Csv,
        });
        Ok(true)
    }

    /// Tells the shape from the first items. Where no shape knows any of them the input is one record in suspense; where
    /// there is none to look at, its lines say for themselves why.
    fn tell(&mut self) -> Result<()> {
        let (mut looked_at, mut seen) = (0, None);
        // What begins like JSONL, but has no object, is broken line by line.
        let mut is_foreign = false;
        while looked_at < BLOCK {
            let mut block = Block::default();
            if !self.read(&mut block, Who::Itself, false)? {
                break;
            }
            for line in block.bytes().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
                if line.is_empty() {
                    continue;
                }
                is_foreign |= !line.starts_with(b"{") && !line.starts_with(b"[");
                let Ok(sketch) = Value::sketch(line, self.container == Container::Csv) else { continue };
                is_foreign |= sketch.is_object();
                self.shape = self.shape.or_else(|| Shape::tell(&sketch));
                if seen.is_none() {
                    (seen, self.columns) = (Some(sketch.described()), map::columns(&sketch));
                }
                if self.shape.is_some() {
                    break;
                }
            }
            looked_at += block.bytes().len().max(1);
            self.first.push_back(block);
            if self.shape.is_some() {
                return Ok(());
            }
        }
        if is_foreign {
            let seen = seen.unwrap_or_else(|| "nothing that is JSON".to_string());
            self.refuse(format!("read as {}, it begins with {seen}", self.container));
        } else {
            self.shape = Some(&canonical::SHAPE);
        }
        Ok(())
    }

    /// The input is one record in suspense.
    fn refuse(&mut self, why: String) {
        let ended_by = Some((Reason::UnknownShape, why));
        self.first = VecDeque::from([Block { input: self.input, ended_by, ..Block::default() }]);
        self.ended = true;
        self.rest.clear();
    }

    /// Reads the next lines into `block`; false at the end of the input.
    fn read(&mut self, block: &mut Block, who: Who, is_far: bool) -> Result<bool> {
        block.input = self.input;
        block.index = self.next_index;
        block.rows = None;
        block.first_too_long = false;
        block.ended_by = None;
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
        let enough = if who == Who::Itself { BLOCK } else { BLOCK_FOR_ANOTHER };
        while !self.ended {
            if block.buffer.len() < filled + BLOCK + MARGIN {
                block.buffer.resize(filled + BLOCK + MARGIN, 0);
            }
            match self.read_some(&mut block.buffer[filled..][..BLOCK], is_far) {
                Ok(0) => self.ended = true,
                Ok(count) => filled += count,
                Err(Broken::Storage(error)) => return Err(cannot_read(&self.name, &error)),
                Err(Broken::Content(why)) => {
                    self.ended = true;
                    block.ended_by = Some((Reason::TruncatedInput, why));
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
                Some(last) if self.ended || filled >= enough => {
                    block.end = searched + last + 1;
                    // At the end of an input what comes after the last newline is a line too, of the next block; of an
                    // input that ended early it is part of what is missing.
                    if block.ended_by.is_none() {
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
        if block.ended_by.is_some() {
            (filled, block.first_too_long) = (0, false);
        }
        block.end = filled;
        Ok(filled > 0 || block.first_too_long || block.ended_by.is_some())
    }

    /// Reads some bytes of lines, to memory that may be far; 0 at the end.
    fn read_some(&mut self, room: &mut [u8], is_far: bool) -> std::result::Result<usize, Broken> {
        if !is_far {
            return self.source.read(room);
        }
        self.passing.resize(room.len(), 0);
        let count = self.source.read(&mut self.passing)?;
        copy_past(&mut room[..count], &self.passing[..count]);
        Ok(count)
    }

    /// What is known of the input after its last block.
    pub fn finish(mut self, lines: u64) -> Result<InputSummary> {
        let (bytes, hash) = self.source.unpacked.finish().map_err(|error| cannot_read(&self.name, &error))?;
        Ok(InputSummary {
            name: self.name,
            bytes,
            lines,
            hash,
            container: self.container.name(),
            shape: self.shape.map(|shape| shape.name),
            columns: if self.shape.is_none() { self.columns } else { Vec::new() },
            same_as: None,
        })
    }
}

/// The lines of an input, whatever its container.
struct Source {
    unpacked: Unpacked,
    container: Container,
    /// None where the bytes are lines already.
    cutter: Option<Box<dyn Cutter>>,
    /// Bytes that weren't cut yet: at first those by which the container was told.
    bytes: Vec<u8>,
    /// Lines that weren't given yet, from a place on.
    lines: Vec<u8>,
    given: usize,
    ended_by: Option<Broken>,
    ended: bool,
}

impl Source {
    fn new(mut unpacked: Unpacked, settings: &Settings) -> std::io::Result<Source> {
        let mut bytes = vec![0; HEAD];
        let (mut filled, mut ended_by, mut ended) = (0, None, false);
        while filled < HEAD && ended_by.is_none() && !ended {
            match unpacked.read(&mut bytes[filled..]) {
                Ok(0) => ended = true,
                Ok(count) => filled += count,
                Err(Broken::Storage(error)) => return Err(error),
                Err(broken) => ended_by = Some(broken),
            }
        }
        bytes.truncate(filled);
        if bytes.starts_with(BOM) {
            bytes.drain(..BOM.len());
        }
        let container = settings.container.unwrap_or_else(|| Container::tell(&bytes));
        let cutter = container.cutter(settings.max_line);
        let mut source =
            Source { unpacked, container, cutter, bytes, lines: Vec::new(), given: 0, ended_by, ended };
        if source.cutter.is_none() {
            source.lines = std::mem::take(&mut source.bytes);
        }
        Ok(source)
    }

    /// Reads some bytes of lines; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Broken> {
        loop {
            if self.given < self.lines.len() {
                let count = buffer.len().min(self.lines.len() - self.given);
                buffer[..count].copy_from_slice(&self.lines[self.given..][..count]);
                self.given += count;
                return Ok(count);
            }
            self.lines.clear();
            self.given = 0;
            let Some(cutter) = &mut self.cutter else {
                return self.read_bytes(buffer);
            };
            if !self.bytes.is_empty() {
                cutter.cut(&self.bytes, &mut self.lines);
                self.bytes.clear();
                continue;
            }
            self.bytes.resize(HEAD, 0);
            let mut bytes = std::mem::take(&mut self.bytes);
            let read = self.read_bytes(&mut bytes);
            bytes.truncate(*read.as_ref().unwrap_or(&0));
            self.bytes = bytes;
            if read? == 0 {
                let end = self.cutter.take().map_or(Ok(()), |mut cutter| cutter.end(&mut self.lines));
                self.ended = true;
                if let Err(why) = end {
                    self.ended_by = Some(Broken::Content(why.to_string()));
                }
            }
        }
    }

    fn read_bytes(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Broken> {
        match self.ended_by.take() {
            Some(broken) => Err(broken),
            None if self.ended => Ok(0),
            None => self.unpacked.read(buffer),
        }
    }
}

pub fn cannot_read(name: &str, error: &std::io::Error) -> Error {
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

    /// Blocks: their bytes, and whether their first line was too long.
    type Blocks = Vec<(Vec<u8>, bool)>;

    const WAYS: [(Who, bool); 3] = [(Who::Itself, false), (Who::Another, false), (Who::Another, true)];

    /// What is read for whom, by turns, into two buffers, and why it ended early.
    fn read(
        source: Box<dyn std::io::Read + Send>,
        max_line: usize,
        ways: &[(Who, bool)],
    ) -> (Blocks, Option<(Reason, String)>) {
        let settings = Settings { shape: Some(&canonical::SHAPE), max_line, ..Settings::default() };
        let mut stream = Lines::open(InputId(0), "test".into(), source, &settings, Arc::default()).unwrap();
        let (mut buffers, mut read, mut ended_by) = ([Block::default(), Block::default()], Vec::new(), None);
        for turn in 0.. {
            let (block, (who, is_far)) = (&mut buffers[turn % 2], ways[turn % ways.len()]);
            if !stream.next_of(block, who, is_far).unwrap() {
                break;
            }
            read.push((block.bytes().to_vec(), block.first_too_long));
            ended_by = block.ended_by.take();
        }
        (read, ended_by)
    }

    fn blocks(bytes: &[u8], max_line: usize, trickle: bool) -> Blocks {
        let [own, near, far] = WAYS.map(|way| {
            let cursor = std::io::Cursor::new(bytes.to_vec());
            let source: Box<dyn std::io::Read + Send> =
                if trickle { Box::new(Trickle(cursor)) } else { Box::new(cursor) };
            read(source, max_line, &[way]).0
        });
        assert_eq!(near, far);
        assert_eq!(near.concat_bytes(), own.concat_bytes());
        own
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

    #[test]
    fn what_is_read_is_the_same_for_whomever_and_wherever() {
        let lines: Vec<u8> = (0..600_000).flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packer.include_checksum(true).unwrap();
        std::io::Write::write_all(&mut packer, &lines).unwrap();
        let packed = packer.finish().unwrap();
        let mut broken = packed.clone();
        *broken.last_mut().unwrap() ^= 1;
        for (stored, is_broken) in [(&lines, false), (&packed, false), (&broken, true)] {
            let kept = |ways: &[(Who, bool)]| {
                let source = Box::new(std::io::Cursor::new(stored.clone()));
                let (blocks, ended_by) = read(source, Settings::default().max_line, ways);
                (blocks.concat_bytes(), ended_by)
            };
            let (of_itself, why) = kept(&WAYS[..1]);
            assert_eq!(why.is_some(), is_broken);
            assert!(if is_broken { lines.starts_with(&of_itself) } else { lines == of_itself });
            assert!(of_itself.len() > 3 * BLOCK);
            for ways in [&WAYS[1..2], &WAYS[2..], &WAYS] {
                assert!(kept(ways) == (of_itself.clone(), why.clone()), "{is_broken} {ways:?}");
            }
        }
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for Blocks {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
        }
    }
}
