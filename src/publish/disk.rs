//! Owns new files, and that they get to the disk: a thread of its own sees to it while others are written, as a disk takes
//! its time for each. What is in a file is for `write`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::steps::step;
use crate::error::{Error, Result};

/// So many files wait for the disk at most, and stay open as long.
const MOST: usize = 64;

/// Files that are written, and get to the disk.
pub struct Disk(Option<OnTheWay>);

struct OnTheWay {
    files: SyncSender<(PathBuf, File)>,
    thread: JoinHandle<Result<()>>,
    given_up: Arc<AtomicBool>,
}

impl Disk {
    pub fn begin() -> Result<Disk> {
        let (files, on_the_way) = sync_channel::<(PathBuf, File)>(MOST);
        let given_up = Arc::new(AtomicBool::new(false));
        let is_given_up = given_up.clone();
        let see_to_all = move || {
            for (path, file) in on_the_way {
                if is_given_up.load(Ordering::Relaxed) {
                    break;
                }
                step();
                file.sync_all().map_err(|error| Error::io("write", &path, &error))?;
            }
            Ok(())
        };
        let no_thread = |error| Error::new(format!("there is no thread to see files to the disk: {error}"));
        let thread = thread::Builder::new().spawn(see_to_all).map_err(no_thread)?;
        Ok(Disk(Some(OnTheWay { files, thread, given_up })))
    }

    /// Makes a new file of what `write` puts into it. It is on the disk when [`Disk::end`] says so.
    pub fn file(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
        let make = || {
            step();
            let mut file = File::create_new(path)?;
            step();
            write(&mut file)?;
            step();
            match &self.0 {
                // Nobody takes it where another file didn't get there: see `check`.
                Some(OnTheWay { files, .. }) => drop(files.send((path.to_path_buf(), file))),
                None => file.sync_all()?,
            }
            Ok(())
        };
        make().map_err(|error| Error::io("write", path, &error))
    }

    /// A new file of these bytes.
    pub fn bytes(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.file(path, |file| file.write_all(bytes))
    }

    /// An error if it is known by now that a file doesn't get to the disk.
    pub fn check(&mut self) -> Result<()> {
        let is_over = self.0.as_ref().is_some_and(|on_the_way| on_the_way.thread.is_finished());
        if is_over { self.end() } else { Ok(()) }
    }

    /// Waits until all files are on the disk.
    pub fn end(&mut self) -> Result<()> {
        let Some(OnTheWay { files, thread, .. }) = self.0.take() else { return Ok(()) };
        drop(files);
        thread.join().expect("no thread panicked")
    }

    /// Nobody needs the files: those that wait for the disk are only closed.
    pub fn give_up(&mut self) {
        if let Some(OnTheWay { files, thread, given_up }) = self.0.take() {
            given_up.store(true, Ordering::Relaxed);
            drop(files);
            let _ = thread.join();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_get_to_the_disk_is_named_once_it_is_known() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let mut disk = Disk::begin().expect("a thread");
        disk.bytes(&path("one"), b"1").expect("it is written");
        disk.check().expect("nothing is known of it");
        // What isn't on a disk gets to none.
        let not_on_a_disk = |file: &mut File| {
            *file = File::open("/dev/null")?;
            Ok(())
        };
        disk.file(&path("two"), not_on_a_disk).expect("it is written");
        let error = loop {
            if let Err(error) = disk.check() {
                break error;
            }
            thread::yield_now();
        };
        assert!(error.what.contains("two: can't write"), "{}", error.what);
        disk.bytes(&path("three"), b"3").expect("it is written");
        disk.end().expect("all that isn't told yet is on the disk");
        assert_eq!(std::fs::read(path("one")).expect("a file"), b"1");
        assert!(disk.file(&path("four"), not_on_a_disk).is_err());
    }

    #[test]
    fn of_many_files_each_is_written_whether_they_are_given_up_or_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for give_up in [false, true] {
            let mut disk = Disk::begin().expect("a thread");
            for place in 0..3 * MOST {
                let path = folder.path().join(format!("{give_up} {place}"));
                disk.bytes(&path, path.to_string_lossy().as_bytes()).expect("it is written");
            }
            if give_up {
                disk.give_up();
            }
            disk.end().expect("all are on the disk");
        }
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            let path = entry.expect("a file").path();
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), path.to_string_lossy());
        }
    }
}
