//! Owns new files, and that they get to the disk: a thread of its own sees to it while others are written, as a disk takes
//! its time for each. What is in a file is for `write`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::steps::step;
use crate::error::{Error, Result};

/// So many files may be on their way to the disk. They are open as long.
const MOST: usize = 64;

/// Files that are written, and get to the disk.
pub struct Disk(Option<OnTheWay>);

struct OnTheWay {
    files: SyncSender<(PathBuf, File)>,
    thread: JoinHandle<Result<()>>,
}

impl Disk {
    pub fn begin() -> Disk {
        let (files, on_the_way) = sync_channel::<(PathBuf, File)>(MOST);
        let thread = thread::spawn(move || {
            on_the_way.into_iter().try_for_each(|(path, file)| {
                step();
                file.sync_all().map_err(|error| Error::io("write", &path, &error))
            })
        });
        Disk(Some(OnTheWay { files, thread }))
    }

    /// Makes a new file of what `write` puts into it. It is on the disk when [`Disk::end`] says so.
    pub fn file(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
        let make = || {
            step();
            let mut file = File::create_new(path)?;
            step();
            write(&mut file)?;
            step();
            Ok(file)
        };
        let file = make().map_err(|error| Error::io("write", path, &error))?;
        if let Disk(Some(OnTheWay { files, .. })) = self {
            // Nobody takes it where another file didn't get there, which is told in the end.
            let _ = files.send((path.to_path_buf(), file));
        }
        Ok(())
    }

    /// A new file of these bytes.
    pub fn bytes(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.file(path, |file| file.write_all(bytes))
    }

    /// Waits until all files are on the disk; there are no more.
    pub fn end(&mut self) -> Result<()> {
        let Some(OnTheWay { files, thread }) = self.0.take() else { return Ok(()) };
        drop(files);
        thread.join().expect("no thread panicked")
    }
}
