//! Owns how a file on disk is read by a reader of pages: the head of a page and what follows it at once, a longer page into
//! memory that is used again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::buffers::Buffers;
use super::open;
use crate::error::{self, Error};

/// So many bytes are read where one is asked for: a head and a dictionary, or a short page.
const AHEAD: usize = 16 << 10;

/// A file for one reader.
pub struct PagedFile(Arc<Opened>);

struct Opened {
    file: File,
    length: u64,
    ahead: Mutex<Ahead>,
    buffers: Buffers,
}

/// What was read ahead, and where it begins.
#[derive(Default)]
struct Ahead {
    start: u64,
    bytes: Vec<u8>,
}

impl PagedFile {
    pub fn open(path: &Path, buffers: Buffers) -> error::Result<PagedFile> {
        let file = open(path)?;
        let length = file.metadata().map_err(|error| Error::io("read", path, &error))?.len();
        Ok(PagedFile(Arc::new(Opened { file, length, ahead: Mutex::default(), buffers })))
    }
}

impl Opened {
    /// Reads from a place on until all is filled in.
    fn read_exact(&self, place: u64, bytes: &mut [u8]) -> io::Result<()> {
        // Only this reader moves its place.
        (&self.file).seek(SeekFrom::Start(place))?;
        (&self.file).read_exact(bytes)
    }
}

impl Ahead {
    /// What is known from a place on.
    fn from(&self, place: u64) -> &[u8] {
        let known = place.checked_sub(self.start).and_then(|before| self.bytes.get(before as usize..));
        known.unwrap_or_default()
    }
}

impl Length for PagedFile {
    fn len(&self) -> u64 {
        self.0.length
    }
}

impl ChunkReader for PagedFile {
    type T = PagedFileReader;

    fn get_read(&self, start: u64) -> Result<PagedFileReader> {
        Ok(PagedFileReader { file: self.0.clone(), place: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // No memory for what isn't there.
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.length) {
            return Err(ParquetError::EOF(format!("the file has no {length} bytes from {start} on")));
        }
        let ahead = self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.buffers.fill(length, |bytes| {
            let known = ahead.from(start);
            let (begin, rest) = bytes.split_at_mut(known.len().min(length));
            begin.copy_from_slice(&known[..begin.len()]);
            if !rest.is_empty() {
                self.0.read_exact(start + begin.len() as u64, rest)?;
            }
            Ok(())
        })
    }
}

/// The bytes from a place on.
pub struct PagedFileReader {
    file: Arc<Opened>,
    place: u64,
}

impl Read for PagedFileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ahead = self.file.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.from(self.place).is_empty() {
            let left = self.file.length.saturating_sub(self.place);
            ahead.bytes.resize(AHEAD.min(usize::try_from(left).unwrap_or(AHEAD)), 0);
            ahead.start = self.place;
            self.file.read_exact(self.place, &mut ahead.bytes).inspect_err(|_| ahead.bytes.clear())?;
        }
        let known = ahead.from(self.place);
        let count = buffer.len().min(known.len());
        buffer[..count].copy_from_slice(&known[..count]);
        self.place += count as u64;
        Ok(count)
    }
}
