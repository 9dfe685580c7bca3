//! Owns unpacking: gz and zst, told by content, of many members or frames. A stream that ends early or fails its check
//! is told apart from storage that fails. How a gz is inflated is for `gz`.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use twox_hash::xxhash3_128;

use super::Progress;
use super::gz::{Ahead, Gz};

pub const ENDS_EARLY: &str = "the packed file is broken: it ends early";
pub const IS_DIFFERENT: &str = "the packed file is broken: it isn't what it was packed as";

/// The bytes of an input, unpacked.
pub enum Unpacked {
    Plain(Stored),
    Gz(Box<Gz>),
    Zst(Box<zstd::Decoder<'static, BufReader<Stored>>>),
}

/// Why reading ended before the input did.
pub enum Broken {
    /// The stored bytes can't be read.
    Storage(io::Error),
    /// They are read, but end early or aren't what they should be.
    Content(String),
}

impl Unpacked {
    /// Looks at the first bytes and unpacks accordingly.
    pub fn new(mut source: Box<dyn Read + Send>, progress: Arc<Progress>) -> io::Result<Unpacked> {
        let mut head = Vec::new();
        source.by_ref().take(4).read_to_end(&mut head)?;
        let magic: Vec<u8> = head.clone();
        let stored = Stored::new(Box::new(Cursor::new(head).chain(source)), progress);
        Ok(match magic[..] {
            [0x1f, 0x8b, ..] => Unpacked::Gz(Box::new(Gz::new(stored))),
            // A frame of zstd, or a skippable one before it.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                Unpacked::Zst(Box::new(zstd::Decoder::new(stored)?))
            }
            _ => Unpacked::Plain(stored),
        })
    }

    /// Reads as much as the source gives at once; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        loop {
            let read = match self {
                Unpacked::Plain(stored) => stored.read(buffer),
                Unpacked::Gz(gz) => return gz.read(buffer),
                Unpacked::Zst(decoder) => decoder.read(buffer),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.told_apart(error)),
            }
        }
    }

    /// What comes next is unpacked out of some mebibytes of what came last; of a gz it is 32 KiB.
    pub fn refers_back(&self) -> bool {
        matches!(self, Unpacked::Zst(_))
    }

    /// What other threads may inflate meanwhile.
    pub fn ahead(&self) -> Option<Arc<Ahead>> {
        match self {
            Unpacked::Gz(gz) => Some(gz.ahead()),
            Unpacked::Plain(_) | Unpacked::Zst(_) => None,
        }
    }

    /// Reads what unpacking left, so that the hash is of the whole; gives the bytes as stored and their hash.
    pub fn finish(&mut self) -> io::Result<(u64, String)> {
        match self {
            Unpacked::Plain(stored) => stored.finish(),
            Unpacked::Gz(gz) => gz.finish(),
            Unpacked::Zst(decoder) => decoder.get_mut().get_mut().finish(),
        }
    }

    fn told_apart(&mut self, error: io::Error) -> Broken {
        let Unpacked::Zst(decoder) = self else { return Broken::Storage(error) };
        match decoder.get_mut().get_mut().failure() {
            Some(failure) => Broken::Storage(failure),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Broken::Content(ENDS_EARLY.to_string()),
            None => Broken::Content(IS_DIFFERENT.to_string()),
        }
    }
}

/// The bytes as stored, counted and hashed as they pass.
pub struct Stored {
    source: Box<dyn Read + Send>,
    hash: Box<xxhash3_128::Hasher>,
    bytes: u64,
    /// What storage said, kept because an unpacker wraps it in its own words.
    failure: Option<io::Error>,
    progress: Arc<Progress>,
}

impl Stored {
    pub fn new(source: Box<dyn Read + Send>, progress: Arc<Progress>) -> Stored {
        Stored { source, hash: Box::new(xxhash3_128::Hasher::new()), bytes: 0, failure: None, progress }
    }

    /// What storage said, if it failed.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Reads what is left; gives how many bytes there are, and their hash.
    pub fn finish(&mut self) -> io::Result<(u64, String)> {
        io::copy(self, &mut io::sink())?;
        Ok((self.bytes, format!("{:032x}", self.hash.finish_128())))
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(count) => {
                self.hash.write(&buffer[..count]);
                self.bytes += count as u64;
                self.progress.bytes.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                Err(told)
            }
        }
    }
}
