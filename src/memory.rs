//! Owns how much of what was read stands in memory, the chunks that it stands in, and the temporary file for the rest:
//! bytes that are written once and read back in pieces. What they are is for whoever writes them. The file has no name,
//! so nothing is left of it however the run ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

use crate::error::{Error, Result};
use crate::prefetch::prefetch;
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

/// Memory for what is read, written from its begin on. It is mapped by itself: of what isn't written a few pages are taken at
/// most, and whoever drops it gives it back to the system, where the allocator would keep it for the thread that made it.
/// Where there is no more memory the program ends, as it does in the allocator.
#[derive(Debug)]
pub struct Chunk {
    memory: MmapMut,
    /// Where its bytes begin.
    begin: usize,
    /// Where they end.
    end: usize,
    /// So far the system was asked for its pages.
    ready: usize,
}

impl Chunk {
    /// Pages are asked for so many bytes at a time, fewer at first: each by itself, when it is first written to, takes longer.
    const STEP: usize = 1 << 14;
    const FIRST_STEP: usize = 1 << 12;

    /// One with room for so many bytes.
    ///
    /// Chunks are mapped side by side, and many are written at a time, each as much as the others. If all began where their
    /// memory does, their ends would lie alike, and the processor's cache has few places for what lies alike.
    pub fn new(size: usize) -> Chunk {
        const LINE: usize = 64;
        const LINES: usize = 256;
        static CHUNKS: AtomicUsize = AtomicUsize::new(0);
        let begin = CHUNKS.fetch_add(1, Ordering::Relaxed) % LINES * LINE;
        let memory = MmapMut::map_anon(begin + size).expect("there is memory");
        Chunk { memory, begin, end: begin, ready: begin }
    }

    #[inline(always)]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.end + bytes <= self.memory.len()
    }

    /// What isn't written yet, of which so many bytes may be.
    #[inline(always)]
    pub fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.end + bytes > self.ready {
            self.get_ready(bytes);
        }
        &mut self.memory[self.end..]
    }

    #[inline(never)]
    fn get_ready(&mut self, bytes: usize) {
        let step = self.bytes().clamp(Chunk::FIRST_STEP, Chunk::STEP);
        let end = (self.end + bytes).next_multiple_of(step).min(self.memory.len());
        // A system that doesn't know this gives each page when it is written to.
        #[cfg(target_os = "linux")]
        let _ = self.memory.advise_range(Advice::PopulateWrite, self.ready, end.saturating_sub(self.ready));
        self.ready = end;
    }

    /// Takes so many bytes off the room, which were written.
    #[inline(always)]
    pub fn take(&mut self, bytes: usize) {
        self.end += bytes;
    }

    pub fn written(&self) -> &[u8] {
        &self.memory[self.begin..self.end]
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> usize {
        self.ready - self.begin
    }

    /// Asks the processor for what is written next.
    #[inline(always)]
    pub fn prefetch(&self) {
        prefetch(self.memory.as_ptr().wrapping_add(self.end));
    }
}

/// The nearest folder that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
}
