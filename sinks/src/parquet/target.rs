//! The directory: made, tried out, cleared of what a crash left, and files that appear in it whole or not at all.
//!
//! Files in the making stand in one directory of their own, [`UNFINISHED_DIR`], so that a start finds leftovers without
//! walking years of data. Their writer holds an advisory lock (flock) on each; the kernel drops it when the writer
//! dies, however it dies. A file without a lock is a leftover: it has no footer, so nothing in it can be read, and its
//! rows are above the last checkpoint.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::failure::Failure;
use super::names::{FINISHED, UNFINISHED};
use crate::private::{self, DIR_MODE, FILE_MODE};

/// Directory of files in the making, below the data directory.
const UNFINISHED_DIR: &str = ".unfinished";
/// Bytes written to try a directory out: a full disk may still have room for a name.
const TRIAL_BYTES: usize = 16 * 1024;
/// Names tried for one file before giving up.
const NAMES_MAX: u64 = 1_000;

/// A data directory.
#[derive(Debug, Clone)]
pub(super) struct Target {
    dir: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Target {
    /// Makes the directory if it is absent, writes to it once, and removes what a crash left; returns how many files.
    pub(super) fn open(dir: &Path, owner: Option<(u32, u32)>) -> Result<(Target, u64), Failure> {
        // Absolute, so that a change of the working directory changes nothing.
        let dir = std::path::absolute(dir).map_err(Failure::io("find", dir))?;
        let target = Target { dir, owner };
        target.make_dirs(&target.dir.join(UNFINISHED_DIR))?;
        target.try_out()?;
        let leftovers = target.remove_leftovers()?;
        Ok((target, leftovers))
    }

    /// The data directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn try_out(&self) -> Result<(), Failure> {
        let mut trial = self.start(&format!("trial-{}", std::process::id()))?;
        let written = trial.file.write_all(&[0; TRIAL_BYTES]).and_then(|()| trial.file.sync_all());
        written.map_err(Failure::io("write a trial file in", &self.dir))
    }

    /// Starts a file that nobody sees yet; `stem` makes its name recognisable.
    pub(super) fn start(&self, stem: &str) -> Result<Unfinished, Failure> {
        let dir = self.dir.join(UNFINISHED_DIR);
        self.make_dirs(&dir)?;
        for attempt in 0..NAMES_MAX {
            let path = dir.join(format!("{stem}.{attempt}{UNFINISHED}"));
            let file = match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                other => other.map_err(Failure::io("create", &path))?,
            };
            let unfinished = Unfinished { file, path, published: false };
            // Another collector that starts may take the file for a leftover before it is locked: take another.
            match flock(&unfinished.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                // A file system without locks: leftovers stay there, see `locked_leftover`.
                Err(error) => tracing::debug!(%error, path = %unfinished.path.display(), "no lock"),
                Ok(()) if unfinished.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) => continue,
                Ok(()) => {}
            }
            self.give(&unfinished.file, &unfinished.path)?;
            return Ok(unfinished);
        }
        Err(Failure::io("create", &dir)(io::Error::from(ErrorKind::AlreadyExists)))
    }

    fn remove_leftovers(&self) -> Result<u64, Failure> {
        let dir = self.dir.join(UNFINISHED_DIR);
        let mut removed = 0;
        for entry in std::fs::read_dir(&dir).map_err(Failure::io("list", &dir))? {
            let path = entry.map_err(Failure::io("list", &dir))?.path();
            if let Some(_locked) = locked_leftover(&path) {
                std::fs::remove_file(&path).map_err(Failure::io("remove the leftover", &path))?;
                tracing::warn!(path = %path.display(), "removed an unfinished file of a collector that is gone");
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Makes a directory with its parents; returns the directories that have a new entry.
    pub(super) fn make_dirs(&self, dir: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
        let mut changed = BTreeSet::new();
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
        for dir in missing.into_iter().rev() {
            match DirBuilder::new().mode(DIR_MODE).create(dir) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => continue,
                other => other.map_err(Failure::io("make the directory", dir))?,
            }
            let opened = File::open(dir).map_err(Failure::io("open", dir))?;
            self.hand_over(&opened, dir, DIR_MODE)?;
            changed.extend(dir.parent().map(Path::to_path_buf));
        }
        Ok(changed)
    }

    /// Gives a file to the owner of the data, with the mode of all files.
    pub(super) fn give(&self, file: &File, path: &Path) -> Result<(), Failure> {
        self.hand_over(file, path, FILE_MODE)
    }

    fn hand_over(&self, file: &File, path: &Path, mode: u32) -> Result<(), Failure> {
        private::give(file, mode, self.owner).map_err(Failure::io("change mode and owner of", path))
    }

    /// The first free name of `stem`s, below the data directory.
    pub(super) fn free_name(&self, partition: &Path, first: u64, stem: impl Fn(u64) -> String) -> PathBuf {
        let name = |n| partition.join(stem(n) + FINISHED);
        let is_free = |n: &u64| !self.dir.join(name(*n)).exists();
        name((first..first + NAMES_MAX).find(is_free).unwrap_or(first))
    }

    /// Gives a finished file its name, the first free one of `stem`s; returns it and the number it was given.
    pub(super) fn publish(
        &self,
        unfinished: &mut Unfinished,
        partition: &Path,
        first: u64,
        stem: impl Fn(u64) -> String,
    ) -> Result<(PathBuf, u64), Failure> {
        for n in first..first + NAMES_MAX {
            let path = self.dir.join(partition).join(stem(n) + FINISHED);
            match rename_new(&unfinished.path, &path) {
                Ok(()) => {
                    unfinished.published = true;
                    return Ok((path, n));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::io("publish", &path)(error)),
            }
        }
        Err(Failure::io("publish in", partition)(io::Error::from(ErrorKind::AlreadyExists)))
    }
}

/// A file that nobody sees yet; removed when dropped, unless it was published.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// Open for writing, locked.
    pub(super) file: File,
    path: PathBuf,
    published: bool,
}

impl Unfinished {
    /// Where it stands.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "an unfinished file stays");
        }
    }
}

/// The file, locked until it is dropped, if it is unfinished and its writer gone.
fn locked_leftover(path: &Path) -> Option<File> {
    let file = path.to_str().filter(|path| path.ends_with(UNFINISHED)).and_then(|_| File::open(path).ok())?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file)
}

/// Makes the names in these directories durable, and forgets the directories.
pub(super) fn sync_dirs(dirs: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    std::mem::take(dirs).iter().try_for_each(|dir| {
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(Failure::io("sync the directory", dir))
    })
}

/// Renames without overwriting.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without the flag: a second name, then without the first.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_name_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (target, _) = Target::open(dir.path(), None).unwrap();
        target.make_dirs(&dir.path().join("p")).unwrap();
        std::fs::write(dir.path().join("p/a-0.parquet"), "old").unwrap();
        let mut new = target.start("a").unwrap();
        let (path, n) = target.publish(&mut new, Path::new("p"), 0, |n| format!("a-{n}")).unwrap();
        assert_eq!((path, n), (dir.path().join("p/a-1.parquet"), 1));
        assert_eq!(std::fs::read(dir.path().join("p/a-0.parquet")).unwrap(), b"old");
    }

    #[test]
    fn two_writers_of_one_process_do_not_take_each_others_files() {
        let dir = tempfile::tempdir().unwrap();
        let (target, _) = Target::open(dir.path(), None).unwrap();
        let live = target.start("a").unwrap();
        assert_eq!(Target::open(dir.path(), None).unwrap().1, 0);
        assert!(live.path().exists());
    }
}
