//! Owns unpacking: gz and zst, told by content, of many members or frames. A stream that ends early or fails its check
//! is told apart from storage that fails.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flate2::read::MultiGzDecoder;
use xxhash_rust::xxh3::Xxh3;

use super::Progress;

/// The bytes of an input, unpacked.
pub enum Unpacked {
    Plain(Stored),
    Gz(Box<MultiGzDecoder<Stored>>),
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
        let stored = Stored {
            source: Box::new(Cursor::new(head).chain(source)),
            hash: Box::new(Xxh3::new()),
            bytes: 0,
            failure: None,
            progress,
        };
        Ok(match magic[..] {
            [0x1f, 0x8b, ..] => Unpacked::Gz(Box::new(MultiGzDecoder::new(stored))),
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
                Unpacked::Gz(decoder) => decoder.read(buffer),
                Unpacked::Zst(decoder) => decoder.read(buffer),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.told_apart(error)),
            }
        }
    }

    /// Reads what unpacking left, so that the hash is of the whole; gives the bytes as stored and their hash.
    pub fn finish(&mut self) -> io::Result<(u64, String)> {
        let stored = self.stored();
        io::copy(stored, &mut io::sink())?;
        Ok((stored.bytes, format!("{:032x}", stored.hash.digest128())))
    }

    fn told_apart(&mut self, error: io::Error) -> Broken {
        let plain = matches!(self, Unpacked::Plain(_));
        match self.stored().failure.take() {
            Some(failure) => Broken::Storage(failure),
            None if plain => Broken::Storage(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Broken::Content("the packed file is broken: it ends early".to_string())
            }
            None => Broken::Content("the packed file is broken: it isn't what it was packed as".to_string()),
        }
    }

    fn stored(&mut self) -> &mut Stored {
        match self {
            Unpacked::Plain(stored) => stored,
            Unpacked::Gz(decoder) => decoder.get_mut(),
            Unpacked::Zst(decoder) => decoder.get_mut().get_mut(),
        }
    }
}

/// The bytes as stored, counted and hashed as they pass.
pub struct Stored {
    source: Box<dyn Read + Send>,
    hash: Box<Xxh3>,
    bytes: u64,
    /// What storage said, kept because an unpacker wraps it in its own words.
    failure: Option<io::Error>,
    progress: Arc<Progress>,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(count) => {
                self.hash.update(&buffer[..count]);
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
