//! Owns how much of what was read stands in memory, and the temporary file for the rest: bytes that are written once and
//! read back in pieces. What they are is for whoever writes them, where those in memory lie for `arena`. The file has no
//! name, so nothing is left of it however the run ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::types::piece::Piece;

/// How much memory a run may take for requests, and where it goes on when that is full.
#[derive(Clone, Debug)]
pub struct Bound {
    pub bytes: u64,
    /// Where the temporary file is made: in it, or where it isn't there yet in the nearest folder above.
    pub folder: PathBuf,
}

/// The memory of a run.
#[derive(Debug)]
pub struct Memory {
    /// Bytes of rows, cells and arrivals that one thread may keep.
    share: usize,
    folder: PathBuf,
    /// None as long as all fits into memory.
    file: Mutex<Option<Spilled>>,
}

#[derive(Debug)]
struct Spilled {
    file: File,
    end: u64,
}

impl Memory {
    /// Half of what is allowed is for what is read, in equal shares. The other half is for what is made of it, a shard or
    /// a day at a time. Without a bound nothing is spilled.
    pub fn new(bound: Option<&Bound>, threads: usize) -> Memory {
        let share = |bound: &Bound| usize::try_from(bound.bytes / 2).unwrap_or(usize::MAX) / threads;
        Memory {
            share: bound.map_or(usize::MAX, share),
            folder: bound.map(|bound| bound.folder.clone()).unwrap_or_default(),
            file: Mutex::default(),
        }
    }

    /// Whether a thread that keeps so many bytes must spill them.
    pub fn is_full(&self, bytes: usize) -> bool {
        bytes > self.share
    }

    /// Writes bytes to the file; gives where they begin.
    pub fn spill(&self, bytes: &[u8]) -> Result<u64> {
        let failed = |error: io::Error| {
            let told = Error::io("write a temporary file", &self.folder, &error);
            let elsewhere = "name a folder on another disk by TMPDIR, or allow more memory by --memory";
            match error.kind() {
                io::ErrorKind::StorageFull => told.hint(format!("free some space there, {elsewhere}")),
                _ => told.or_hint(format!("check the disk, {elsewhere}")),
            }
        };
        let mut spilled = self.file.lock().expect("no thread panicked");
        if spilled.is_none() {
            let file = tempfile::tempfile_in(existing(&self.folder)).map_err(failed)?;
            *spilled = Some(Spilled { file, end: 0 });
        }
        let spilled = spilled.as_mut().expect("it was just made");
        let at = spilled.end;
        spilled.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        spilled.file.write_all(bytes).map_err(failed)?;
        spilled.end += bytes.len() as u64;
        Ok(at)
    }

    /// Reads a piece of the file into as many bytes.
    pub fn read(&self, piece: Piece, bytes: &mut [u8]) -> Result<()> {
        let failed = |error: io::Error| Error::io("read a temporary file", &self.folder, &error);
        let mut spilled = self.file.lock().expect("no thread panicked");
        let spilled = spilled.as_mut().expect("a piece is in the file");
        spilled.file.seek(SeekFrom::Start(piece.at)).map_err(failed)?;
        spilled.file.read_exact(bytes).map_err(failed)
    }
}

/// The nearest folder that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
}
