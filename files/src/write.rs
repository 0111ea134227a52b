//! Files that are made, replaced, renamed and removed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, fchmod, flock, fstat, linkat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::walk::{clear, give};
use crate::{FILE_MODE, beneath};

/// Ends the name of a file that takes another's place.
const TEMPORARY: &str = ".tmp";
/// Bytes that show whether a file system has room for a small file.
const SMALL_BYTES: usize = 64 << 10;

fn temporary(name: &OsStr) -> OsString {
    let mut temporary = name.to_owned();
    temporary.push(TEMPORARY);
    temporary
}

impl Dir {
    /// Makes a file that must not be there, to read and write.
    ///
    /// # Errors
    /// When something has the name, or it cannot be made.
    pub fn create_new(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.to_write()?;
        let (dir, name) = self.above(name.as_ref())?;
        Ok(dir.make(&name)?)
    }

    /// Makes a file anew: what has the name goes, by its name alone.
    ///
    /// # Errors
    /// When a directory has the name, or the file cannot be made.
    pub fn create(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.to_write()?;
        let (dir, name) = self.above(name.as_ref())?;
        for _ in 0..3 {
            match dir.make(&name) {
                Err(Errno::EXIST) => dir.clear(&name)?,
                made => return made.map_err(|errno| dir.explain(errno, &name, "where weir makes a file")),
            }
        }
        // Somebody makes it again and again.
        Err(dir.explain(Errno::EXIST, &name, "where weir makes a file"))
    }

    fn make(&self, name: &OsStr) -> rustix::io::Result<File> {
        let _guard = self.assume();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = beneath::open(self.fd.as_fd(), name.as_ref(), flags, Mode::from_raw_mode(FILE_MODE))?;
        self.settle(file.as_fd()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(File::from(file))
    }

    /// Mode and owner of what was made here.
    fn settle(&self, file: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        // The umask may have taken bits away.
        fchmod(file, Mode::from_raw_mode(FILE_MODE))?;
        give(file, &fstat(file)?, self.ids())
    }

    fn clear(&self, name: &OsStr) -> io::Result<()> {
        let _guard = self.assume();
        if let Ok(stat) = statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            && FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            && FileType::from_raw_mode(stat.st_mode) != FileType::Directory
        {
            let path = self.path_of(name);
            tracing::warn!(path = %path.display(), "{} stands where weir makes a file: its name is removed",
                crate::refusal::kind(&stat));
        }
        clear(self.fd.as_fd(), name).map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => self.explain(errno, name, "where weir makes a file"),
            None => error,
        })
    }

    /// Writes a small file so that it is there whole or as it was before, whatever happens; durable on return.
    ///
    /// # Errors
    /// When it cannot be written or take its name.
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let (dir, name) = self.above(name.as_ref())?;
        dir.put(&name, bytes)?;
        dir.sync()
    }

    /// The same, durable only when the directory is synced ([`Dir::sync`]).
    ///
    /// # Errors
    /// The same.
    pub fn put(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let (dir, name) = self.above(name.as_ref())?;
        let temporary = temporary(&name);
        let written = dir.write_new(&temporary, bytes).and_then(|()| dir.rename(&temporary, &dir, &name));
        written.inspect_err(|_| drop(dir.remove(&temporary)))
    }

    /// Whether a small file could be put here now: writes a temporary one, and removes it.
    pub(crate) fn try_to_put(&self, name: &OsStr) -> io::Result<()> {
        let temporary = temporary(name);
        let written = self.write_new(&temporary, &[0; SMALL_BYTES]);
        let removed = self.remove(&temporary);
        written.and(removed)
    }

    fn write_new(&self, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// A file to append to, made if it is absent.
    ///
    /// # Errors
    /// When something else than a file of weir's has the name.
    pub fn append(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_or_make(name.as_ref(), OFlags::WRONLY | OFlags::APPEND)
    }

    /// A file that is locked until it is dropped, made if it is absent.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has the lock; else the same.
    pub fn lock(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let file = self.open_or_make(name.as_ref(), OFlags::RDWR)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    fn open_or_make(&self, name: &Path, flags: OFlags) -> io::Result<File> {
        // Without O_EXCL a name could appear in between that is another's: what was opened is checked either way.
        for _ in 0..3 {
            match self.open_as(name, flags, false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.create_new(name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => drop(made?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Gives a name another, here or in another directory; what has that one goes.
    ///
    /// # Errors
    /// When a directory has that name, or the file system refuses.
    pub fn rename(&self, from: impl AsRef<Path>, to: &Dir, new: impl AsRef<Path>) -> io::Result<()> {
        self.to_write()?;
        let (above, from) = self.above(from.as_ref())?;
        let (to, new) = to.above(new.as_ref())?;
        let renamed = {
            let _guard = above.assume();
            renameat(&*above.fd, &from, &*to.fd, &new)
        };
        renamed.map_err(|errno| match errno {
            Errno::ISDIR | Errno::NOTDIR | Errno::PERM => to.explain(errno, &new, "where weir has a file"),
            errno => errno.into(),
        })
    }

    /// The same; a name that is there stays.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when it is; else the same.
    pub fn rename_new(&self, from: impl AsRef<Path>, to: &Dir, new: impl AsRef<Path>) -> io::Result<()> {
        self.to_write()?;
        let (above, from) = self.above(from.as_ref())?;
        let (to, new) = to.above(new.as_ref())?;
        let _guard = above.assume();
        match renameat_with(&*above.fd, &from, &*to.fd, &new, RenameFlags::NOREPLACE) {
            // File systems without the flag: a second name, then without the first.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(&*above.fd, &from, &*to.fd, &new, AtFlags::empty())?;
                Ok(unlinkat(&*above.fd, &from, AtFlags::empty())?)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Removes a name that is no directory's.
    ///
    /// # Errors
    /// When it is not there, or the file system refuses.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        self.unlink(name.as_ref(), AtFlags::empty())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// The same.
    pub fn remove_dir(&self, name: impl AsRef<Path>) -> io::Result<()> {
        self.unlink(name.as_ref(), AtFlags::REMOVEDIR)
    }

    fn unlink(&self, name: &Path, flags: AtFlags) -> io::Result<()> {
        self.to_write()?;
        let (dir, name): (Dir, OsString) = self.above(name)?;
        let _guard = dir.assume();
        Ok(unlinkat(&*dir.fd, &name, flags)?)
    }
}
