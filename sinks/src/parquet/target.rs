//! The directory: made, tried out, cleared of what a crash left, and files that appear in it whole or not at all.
//!
//! Files in the making stand in one directory of their own, [`UNFINISHED_DIR`], so that a start finds leftovers without
//! walking years of data. Their writer holds an advisory lock (flock) on each; the kernel drops it when the writer
//! dies, however it dies. A file without a lock is a leftover: it has no footer, so nothing in it can be read, and its
//! rows are above the last checkpoint.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use weir_files::{Dir, Kind, Owner};
use weir_schema::CLASSES;

use super::failure::Failure;
use super::names::{FINISHED, UNFINISHED, class_dir};

/// Directory of files in the making, below the data directory.
const UNFINISHED_DIR: &str = ".unfinished";
/// Bytes written to try a directory out: a full disk may still have room for a name.
const TRIAL_BYTES: usize = 16 * 1024;
/// Names tried for one file before giving up.
const NAMES_MAX: u64 = 1_000;

/// A data directory.
#[derive(Debug)]
pub(super) struct Target {
    /// As it was given, absolute, so that a change of the working directory changes nothing.
    given: PathBuf,
    owner: Owner,
    dir: Mutex<Dir>,
}

impl Target {
    /// Makes the directory if it is absent, writes to it once, and removes what a crash left; returns how many files.
    pub(super) fn open(dir: &Path, owner: Owner) -> Result<(Target, u64), Failure> {
        let given = std::path::absolute(dir).map_err(Failure::io("find", dir))?;
        let dir = Mutex::new(make(&given, owner)?);
        let target = Target { given, owner, dir };
        target.try_out()?;
        target.check_classes()?;
        let leftovers = target.remove_leftovers()?;
        Ok((target, leftovers))
    }

    /// Path of the data directory, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.given
    }

    /// The data directory; one that vanished is made again.
    pub(super) fn dir(&self) -> Result<Dir, Failure> {
        let mut dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        if !dir.is_there() {
            *dir = make(&self.given, self.owner)?;
        }
        Ok(dir.clone())
    }

    fn unfinished_dir(&self) -> Result<Dir, Failure> {
        let made = self.dir()?.make_subdir(UNFINISHED_DIR);
        made.map_err(Failure::io("make the directory", &self.given.join(UNFINISHED_DIR)))
    }

    fn try_out(&self) -> Result<(), Failure> {
        let mut trial = self.start(&format!("trial-{}", std::process::id()))?;
        let written = trial.file.write_all(&[0; TRIAL_BYTES]).and_then(|()| trial.file.sync_all());
        written.map_err(Failure::io("write a trial file in", &self.given))
    }

    /// Starts a file that nobody sees yet; `stem` makes its name recognisable.
    pub(super) fn start(&self, stem: &str) -> Result<Unfinished, Failure> {
        let dir = self.unfinished_dir()?;
        for attempt in 0..NAMES_MAX {
            let name = format!("{stem}.{attempt}{UNFINISHED}");
            let path = dir.path_of(&name);
            let file = match dir.create_new(&name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                other => other.map_err(Failure::io("create", &path))?,
            };
            let unfinished = Unfinished { file, dir: dir.clone(), name, path, published: false };
            // Another collector that starts may take the file for a leftover before it is locked: take another.
            match flock(&unfinished.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                // A file system without locks: leftovers stay there, see `locked_leftover`.
                Err(error) => tracing::debug!(%error, path = %unfinished.path.display(), "no lock"),
                Ok(()) if is_gone(&unfinished.file) => continue,
                Ok(()) => {}
            }
            return Ok(unfinished);
        }
        Err(Failure::io("create", dir.path())(io::Error::from(ErrorKind::AlreadyExists)))
    }

    /// What a flush would refuse is refused at the start: a link, a file or somebody else's directory in place of a class's.
    fn check_classes(&self) -> Result<(), Failure> {
        let dir = self.dir()?;
        CLASSES.iter().map(|class| class_dir(class.name)).try_for_each(|name| match dir.subdir(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("use", &dir.path_of(&name))(error)),
            _ => Ok(()),
        })
    }

    fn remove_leftovers(&self) -> Result<u64, Failure> {
        let dir = self.unfinished_dir()?;
        let mut removed = 0;
        for entry in dir.list().map_err(Failure::io("list", dir.path()))? {
            let Some(name) = entry.text().filter(|name| name.ends_with(UNFINISHED)) else { continue };
            let path = dir.path_of(name);
            if entry.kind != Kind::File {
                tracing::warn!(path = %path.display(), "weir did not make this, and leaves it: remove it");
            } else if let Some(_locked) = locked_leftover(&dir, name) {
                dir.remove(name).map_err(Failure::io("remove the leftover", &path))?;
                tracing::warn!(path = %path.display(), "removed an unfinished file of a collector that is gone");
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Makes a directory below the data directory, durably.
    pub(super) fn make_dirs(&self, partition: &Path) -> Result<Dir, Failure> {
        let made = self.dir()?.make_subdir(partition);
        made.map_err(Failure::io("make the directory", &self.given.join(partition)))
    }

    /// The first free name of `stem`s, below the data directory, and its number.
    pub(super) fn free_name(&self, partition: &Path, first: u64, stem: impl Fn(u64) -> String) -> (PathBuf, u64) {
        let name = |n| partition.join(stem(n) + FINISHED);
        let dir = self.dir();
        let is_free = |n: &u64| dir.as_ref().is_ok_and(|dir| dir.stat(name(*n)).is_ok_and(|found| found.is_none()));
        let n = (first..first + NAMES_MAX).find(is_free).unwrap_or(first);
        (name(n), n)
    }

    /// Gives a finished file its name, the first free one of `stem`s; returns it, below the data directory, and the number
    /// it was given.
    pub(super) fn publish(
        &self,
        unfinished: &mut Unfinished,
        partition: &Path,
        first: u64,
        stem: impl Fn(u64) -> String,
    ) -> Result<(PathBuf, u64), Failure> {
        let to = self.make_dirs(partition)?;
        for n in first..first + NAMES_MAX {
            let name = stem(n) + FINISHED;
            match unfinished.dir.rename_new(&unfinished.name, &to, &name) {
                Ok(()) => {
                    unfinished.published = true;
                    return Ok((partition.join(name), n));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::io("publish", &to.path_of(&name))(error)),
            }
        }
        Err(Failure::io("publish in", partition)(io::Error::from(ErrorKind::AlreadyExists)))
    }
}

fn make(given: &Path, owner: Owner) -> Result<Dir, Failure> {
    Dir::create_given(given, owner).map_err(Failure::io("make the directory", given))
}

/// Whether the name of an open file was removed.
fn is_gone(file: &File) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

/// A file that nobody sees yet; removed when dropped, unless it was published.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// Open for writing, locked.
    pub(super) file: File,
    dir: Dir,
    name: String,
    path: PathBuf,
    published: bool,
}

impl Unfinished {
    /// Where it stands, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.dir.remove(&self.name)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "an unfinished file stays");
        }
    }
}

/// The file, locked until it is dropped, if it is unfinished and its writer gone.
fn locked_leftover(dir: &Dir, name: &str) -> Option<File> {
    let refused = |error: &io::Error| tracing::warn!("an unfinished file is left alone: {error}");
    let file = dir.open(name).inspect_err(refused).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file)
}

/// Makes the names in these directories durable, and forgets the directories.
pub(super) fn sync_dirs(dirs: &mut BTreeMap<PathBuf, Dir>) -> Result<(), Failure> {
    std::mem::take(dirs).values().try_for_each(|dir| dir.sync().map_err(Failure::io("sync the directory", dir.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_name_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (target, _) = Target::open(dir.path(), None).unwrap();
        target.make_dirs(Path::new("p")).unwrap();
        std::fs::write(dir.path().join("p/a-0.parquet"), "old").unwrap();
        let mut new = target.start("a").unwrap();
        let (path, n) = target.publish(&mut new, Path::new("p"), 0, |n| format!("a-{n}")).unwrap();
        assert_eq!((path, n), (PathBuf::from("p/a-1.parquet"), 1));
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
