//! Owns an object as a stream of bytes: ranges one after the other, some of them asked for ahead, so that the network
//! isn't idle while one is read.
//!
//! ```text
//! object ├──8 MB──┼──8 MB──┼──8 MB──┼── …          one is being read, two are on their way
//! ```

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{Object, RANGE, wait};

/// Ranges that are on their way while one is read.
const AHEAD: usize = 2;

impl Object {
    /// Its bytes, one after the other; of the first range no more than `first`.
    pub fn open(&self, first: u64) -> ObjectReader {
        ObjectReader {
            object: self.clone(),
            first,
            next: 0,
            coming: VecDeque::new(),
            bytes: Bytes::new(),
            given: 0,
        }
    }
}

/// An object as a stream.
pub struct ObjectReader {
    object: Object,
    first: u64,
    /// From here on nothing was asked for.
    next: u64,
    coming: VecDeque<JoinHandle<io::Result<Bytes>>>,
    bytes: Bytes,
    given: usize,
}

impl ObjectReader {
    /// Whether the object begins so; nothing of it is taken.
    pub fn begins_with(&mut self, beginning: &[u8]) -> io::Result<bool> {
        self.fill(0)?;
        Ok(self.bytes.starts_with(beginning))
    }

    /// Waits for the next bytes where none are left, and asks for those after them.
    fn fill(&mut self, ahead: usize) -> io::Result<()> {
        if self.given < self.bytes.len() {
            return Ok(());
        }
        while self.next < self.object.size && self.coming.len() <= ahead {
            let length = if self.next == 0 { self.first.min(RANGE) } else { RANGE };
            let end = (self.next + length).min(self.object.size);
            self.coming.push_back(self.object.ask(self.next..end));
            self.next = end;
        }
        if let Some(asked) = self.coming.pop_front() {
            (self.bytes, self.given) = (wait(asked)?, 0);
        }
        Ok(())
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(AHEAD)?;
        let rest = &self.bytes[self.given..];
        let count = buffer.len().min(rest.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.coming.iter().for_each(JoinHandle::abort);
    }
}
