//! Owns putting a staged folder in the place of a published one: whole or not at all, whenever the machine stops. On
//! Linux two names are exchanged at once; where the file system can't, the old folder is moved aside first, and the
//! next run mends an interruption between the two moves. Knows nothing of what is in a folder.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;

use super::interrupted;
use super::steps::step;
use crate::error::{Error, Result};

/// Where days are staged, hidden in the output folder so that a swap stays on one file system.
const STAGING: &str = ".rerate-staging";
/// Beginning of the name of a folder that was moved aside.
const ASIDE: &str = ".rerate-aside-";
const LOCK: &str = ".rerate-lock";

/// How often it is tried to hold a folder that another run holds.
const PATIENCE: Duration = Duration::from_millis(100);

/// The output folder, held by this run alone: the lock ends with the process, however that ends.
#[derive(Debug)]
pub struct Output {
    root: PathBuf,
    lock: File,
}

impl Output {
    /// Makes the folder if need be, waits until no other run publishes into it (`waiting` is told which process does)
    /// or `stop` is set, and mends or sweeps what an interrupted run left.
    pub fn open(root: &Path, stop: &AtomicBool, waiting: impl FnOnce(Option<u32>)) -> Result<Output> {
        if !root.exists() {
            fs::create_dir_all(root).map_err(|error| Error::io("make the folder", root, &error))?;
            let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync(parent.unwrap_or(Path::new(".")))
                .map_err(|error| Error::io("make the folder", root, &error))?;
        }
        step();
        let path = root.join(LOCK);
        let locked = |error: std::io::Error| Error::io("lock", &path, &error);
        let mut lock = open_lock(&path).map_err(locked)?;
        let mut waiting = Some(waiting);
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting(holder(&mut lock));
                    }
                    if stop.load(Ordering::Relaxed) {
                        let error = interrupted();
                        return Err(Error { what: format!("{}\nno day is new", error.what), ..error });
                    }
                    std::thread::sleep(PATIENCE);
                }
                Err(TryLockError::Error(error)) => return Err(locked(error)),
            }
        }
        let mut name_holder = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        name_holder().map_err(locked)?;
        let output = Output { root: root.to_path_buf(), lock };
        step();
        output.mend()?;
        step();
        output.sweep()?;
        step();
        Ok(output)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new empty folder whose content will be published under `name`.
    pub fn stage(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(STAGING).join(name);
        step();
        fs::create_dir_all(&folder).map_err(|error| Error::io("make the folder", &folder, &error))?;
        Ok(folder)
    }

    /// Publishes what was staged under `name`; its files are on the disk already.
    pub fn swap(&self, name: &str) -> Result<()> {
        let (staged, published) = (self.root.join(STAGING).join(name), self.root.join(name));
        let failed = |error: std::io::Error| Error::io("publish", &published, &error);
        let parent = published.parent().unwrap_or(&self.root);
        if !parent.exists() {
            fs::create_dir_all(parent).and_then(|()| sync(&self.root)).map_err(failed)?;
        }
        step();
        sync(&staged).map_err(failed)?;
        step();
        if !published.exists() {
            fs::rename(&staged, &published).map_err(failed)?;
        } else if !exchange(&staged, &published).map_err(failed)? {
            let aside = self.aside(name);
            fs::rename(&published, &aside).map_err(failed)?;
            step();
            fs::rename(&staged, &published).map_err(failed)?;
            step();
            fs::remove_dir_all(&aside).map_err(failed)?;
        }
        step();
        sync(parent).map_err(failed)?;
        step();
        Ok(())
    }

    /// Takes away what is published under `name`, if anything.
    pub fn remove(&self, name: &str) -> Result<()> {
        let published = self.root.join(name);
        if !published.exists() {
            return Ok(());
        }
        let aside = self.stage(&format!("removed/{name}"))?.join("folder");
        fs::rename(&published, aside)
            .and_then(|()| sync(published.parent().unwrap_or(&self.root)))
            .map_err(|error| Error::io("remove", &published, &error))
    }

    /// Deletes what is staged or was exchanged away, several days at once: a file system takes its time for each file. A link
    /// of somebody's goes, not what it leads to.
    pub fn sweep(&self) -> Result<()> {
        let staging = self.root.join(STAGING);
        let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if is_folder(&staging) {
            let days = fs::read_dir(&staging).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
            let days = days.map_err(|error| Error::io("clean up", &staging, &error))?;
            let days: Vec<PathBuf> = days.iter().map(fs::DirEntry::path).collect();
            days.par_iter().filter(|day| is_folder(day)).try_for_each(|day| delete(day))?;
        }
        delete(&staging)
    }

    fn aside(&self, name: &str) -> PathBuf {
        self.root.join(format!("{ASIDE}{}", name.replace('/', "+")))
    }

    /// A folder was moved aside and nothing put in its place, or the old one not deleted yet.
    fn mend(&self) -> Result<()> {
        let failed = |error: std::io::Error| Error::io("mend", &self.root, &error);
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(|name| name.strip_prefix(ASIDE)) else {
                continue;
            };
            let published = self.root.join(name.replace('+', "/"));
            if published.exists() {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else {
                fs::rename(entry.path(), &published).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Deletes a folder or a link, if it is there.
fn delete(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("clean up", path, &error)),
        _ => Ok(()),
    }
}

/// The lock file, which a link of somebody's must not lead elsewhere.
fn open_lock(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path)
}

/// The process that holds the folder, as it wrote itself down.
fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Nobody holds the folder any more, so nobody is named in it: what is published is the same bytes whoever did it.
impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.lock.set_len(0);
    }
}

/// Exchanges two names at once; false where the file system can't.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> std::io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> std::io::Result<bool> {
    Ok(false)
}

/// Sees to it that the names in a folder are on the disk.
fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(output: &Output, text: &str) {
        let staged = output.stage("2026-06-01").unwrap();
        fs::write(staged.join("a.txt"), text).unwrap();
        output.swap("2026-06-01").unwrap();
    }

    fn opened(root: &Path) -> Result<Output> {
        Output::open(root, &AtomicBool::new(false), |_| {})
    }

    fn scratch(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("rerate-swap-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        root
    }

    #[test]
    fn a_folder_is_replaced_whole() {
        let root = scratch("replace");
        let output = opened(&root).unwrap();
        for text in ["first", "second"] {
            publish(&output, text);
            assert_eq!(fs::read_to_string(root.join("2026-06-01/a.txt")).unwrap(), text);
        }
        output.remove("2026-06-01").unwrap();
        output.sweep().unwrap();
        let left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_swap_that_was_interrupted_between_its_two_moves_is_mended() {
        let root = scratch("mend");
        publish(&opened(&root).unwrap(), "old");
        fs::rename(root.join("2026-06-01"), root.join(format!("{ASIDE}2026-06-01"))).unwrap();
        let output = opened(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join("2026-06-01/a.txt")).unwrap(), "old");
        // Put in place, but the old one not deleted yet.
        fs::create_dir(root.join(format!("{ASIDE}2026-06-01"))).unwrap();
        drop(output);
        opened(&root).unwrap();
        assert!(!root.join(format!("{ASIDE}2026-06-01")).exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
