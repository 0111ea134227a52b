//! A directory by its descriptor, and files of it that are there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, StatVfs, flock, fstat, fstatfs, fstatvfs, statat,
};
use rustix::io::Errno;

use crate::beneath;
use crate::identity::{Guard, Identity, assume};
use crate::refusal::{Refusal, kind};
use crate::trust::{Owner, Trust};
use crate::walk::{Place, make_below, readable, sync, walk};

/// What to do about a file that is not what weir left there.
const NOT_OURS: &str = "weir did not make it: remove it, or choose another directory";

/// A directory that weir was given, or one below it.
#[derive(Debug, Clone)]
pub struct Dir {
    pub(crate) fd: Arc<OwnedFd>,
    /// For messages only.
    path: PathBuf,
    pub(crate) stat: Stat,
    pub(crate) trust: Trust,
}

impl Dir {
    /// A directory that is there, to read and write; `owner` is who called sudo.
    ///
    /// # Errors
    /// When it is not there, or somebody else than root and the caller could have put something in its place.
    pub fn open_given(path: &Path, owner: Owner) -> io::Result<Dir> {
        let trust = Trust::of(owner);
        Ok(Dir::at(walk(path, &trust, false)?.0, trust))
    }

    /// The same; what is missing of it is made, and belongs to the owner.
    ///
    /// # Errors
    /// The same, or when it cannot be made.
    pub fn create_given(path: &Path, owner: Owner) -> io::Result<Dir> {
        let trust = Trust::of(owner);
        Ok(Dir::at(walk(path, &trust, true)?.0, trust))
    }

    /// The directory of a file that was given, and the file's name in it.
    ///
    /// # Errors
    /// As [`Dir::open_given`], or when the path ends with no name.
    pub fn of_given_file(path: &Path, owner: Owner) -> io::Result<(Dir, OsString)> {
        let (parent, name) = parent_and_name(path)?;
        Ok((Dir::open_given(parent, owner)?, name))
    }

    /// The same for a file that is to be written later: what is missing of the directory is made, what stands at the name must be
    /// a file that weir may replace, or nothing, and a small file can be written beside it.
    ///
    /// # Errors
    /// As [`Dir::create_given`], [`Dir::check_file`] and [`Dir::put`], or when the path ends with no name.
    pub fn for_given_file(path: &Path, owner: Owner) -> io::Result<(Dir, OsString)> {
        let (parent, name) = parent_and_name(path)?;
        let dir = Dir::create_given(parent, owner)?;
        dir.check_file(&name)?;
        dir.try_to_put(&name)?;
        Ok((dir, name))
    }

    /// Anybody's directory, to look at what was recorded there: below it no links and only regular files.
    ///
    /// # Errors
    /// When it is not there or no directory.
    pub fn open_to_read(path: &Path) -> io::Result<Dir> {
        let trust = Trust::everybody();
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        Ok(Dir { fd: Arc::new(fd), path: path.to_owned(), stat, trust })
    }

    fn at(place: Place, trust: Trust) -> Dir {
        Dir { fd: Arc::new(place.fd), path: place.path, stat: place.stat, trust }
    }

    /// Where it was found, for messages: whoever opens this path may get something else.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it, for messages.
    pub fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Number of the user whose directory it is.
    pub fn uid(&self) -> u32 {
        self.stat.st_uid
    }

    /// Whether it is still to be found where it was.
    pub fn is_there(&self) -> bool {
        let same = |now: Stat| (now.st_dev, now.st_ino) == (self.stat.st_dev, self.stat.st_ino);
        // Whoever owns it may not be let into the directories above it.
        let as_thread = rustix::fs::stat(&self.path);
        as_thread.is_ok_and(same) || {
            let _guard = self.assume();
            rustix::fs::stat(&self.path).is_ok_and(same)
        }
    }

    /// Who owns what is made in it: whoever may write a directory may have what is made there.
    pub(crate) fn ids(&self) -> (u32, u32) {
        Identity::of(&self.stat, &self.trust).map_or((self.stat.st_uid, self.stat.st_gid), |identity| identity.ids())
    }

    /// Nothing is written where weir only looks.
    pub(crate) fn to_write(&self) -> io::Result<()> {
        let text = || format!("{} was opened to read only", self.path.display());
        if self.trust.everybody { Err(io::Error::new(io::ErrorKind::Unsupported, text())) } else { Ok(()) }
    }

    /// Takes on the identity that its calls run as.
    pub(crate) fn assume(&self) -> Guard {
        assume(Identity::of(&self.stat, &self.trust))
    }

    /// A directory below.
    ///
    /// # Errors
    /// When it is not there, a link, or another's.
    pub fn subdir(&self, name: impl AsRef<Path>) -> io::Result<Dir> {
        beneath::parts(name.as_ref())?.into_iter().try_fold(self.clone(), |at, part| at.step(part))
    }

    /// A directory below; what is missing is made, durably.
    ///
    /// # Errors
    /// The same, or when it cannot be made.
    pub fn make_subdir(&self, name: impl AsRef<Path>) -> io::Result<Dir> {
        self.to_write()?;
        beneath::parts(name.as_ref())?.into_iter().try_fold(self.clone(), |at, part| match at.step(part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let place = Place { fd: at.fd.try_clone()?, stat: at.stat, path: at.path.clone() };
                let fd = make_below(&place, part, &at.trust, at.ids())?;
                Ok(Dir::at(Place::taken(fd, at.path.join(part), &at.trust)?, at.trust))
            }
            found => found,
        })
    }

    fn step(&self, part: &OsStr) -> io::Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let fd = {
            let _guard = self.assume();
            beneath::open(self.fd.as_fd(), Path::new(part), flags, Mode::empty())
        };
        let fd = fd.map_err(|errno| self.explain(errno, part, "in the way of a directory"))?;
        Ok(Dir::at(Place::taken(fd, self.path.join(part), &self.trust)?, self.trust))
    }

    /// A regular file, to read.
    ///
    /// # Errors
    /// When it is not there or no regular file, has a second name, or belongs to somebody else than root and the caller.
    pub fn open(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_as(name.as_ref(), OFlags::RDONLY, false)
    }

    /// A regular file that is there, to write; it stays as long as it is.
    ///
    /// # Errors
    /// The same.
    pub fn open_to_write(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_as(name.as_ref(), OFlags::RDWR, false)
    }

    /// The same, also one that has a second name: for what is only looked at, and copied by links.
    ///
    /// # Errors
    /// The same.
    pub fn open_linked(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_as(name.as_ref(), OFlags::RDONLY, true)
    }

    pub(crate) fn open_as(&self, name: &Path, flags: OFlags, may_be_linked: bool) -> io::Result<File> {
        if flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
            self.to_write()?;
        }
        let (dir, name) = self.above(name)?;
        let file = {
            let _guard = dir.assume();
            // Nothing waits for the other end of a FIFO, and no device becomes a terminal.
            let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
            beneath::open(dir.fd.as_fd(), name.as_ref(), flags, Mode::from_raw_mode(crate::FILE_MODE))
        };
        let file = file.map_err(|errno| dir.explain(errno, &name, "where weir has a file"))?;
        // Who only looks may look at a copy that shares its files with another.
        check(&fstat(&file)?, &dir.path_of(&name), &dir.trust, may_be_linked || dir.trust.everybody)?;
        Ok(File::from(file))
    }

    /// A small file whole.
    ///
    /// # Errors
    /// The same, or when it has more bytes than `bytes_max`.
    pub fn read(&self, name: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        self.open(&name)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            let text = format!("it has more than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(bytes)
    }

    /// Facts about a name, of a link itself; `None` if there is nothing.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn stat(&self, name: impl AsRef<Path>) -> io::Result<Option<Stat>> {
        let above = match self.above(name.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            above => above?,
        };
        let _guard = above.0.assume();
        match statat(&*above.0.fd, &above.1, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// Whether nothing stands at this name, or a file of weir's.
    ///
    /// # Errors
    /// Something else does: what, whose, and what to do.
    pub fn check_file(&self, name: impl AsRef<Path>) -> io::Result<()> {
        let stat = self.stat(&name)?;
        stat.map_or(Ok(()), |stat| check(&stat, &self.path_of(name), &self.trust, false))
    }

    /// Locks it for as long as the descriptor is open.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has the lock; else when it cannot be opened.
    pub fn lock_itself(&self) -> io::Result<OwnedFd> {
        let _guard = self.assume();
        let dir = readable(self.fd.as_fd())?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
        Ok(dir)
    }

    /// Lets everybody read it and enter it: what stands in it is no recording.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn let_others_read(&self) -> io::Result<()> {
        self.to_write()?;
        let _guard = self.assume();
        Ok(rustix::fs::fchmod(readable(self.fd.as_fd())?, Mode::from_raw_mode(0o755))?)
    }

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        let _guard = self.assume();
        sync(self.fd.as_fd())
    }

    /// Room of its file system.
    ///
    /// # Errors
    /// When the file system does not tell.
    pub fn statvfs(&self) -> io::Result<StatVfs> {
        Ok(fstatvfs(&*self.fd)?)
    }

    /// Magic number of its file system.
    ///
    /// # Errors
    /// The same.
    pub fn file_system(&self) -> io::Result<i128> {
        Ok(i128::from(fstatfs(&*self.fd)?.f_type))
    }

    /// The directory that a name of several parts is in, and its last part.
    pub(crate) fn above(&self, name: &Path) -> io::Result<(Dir, OsString)> {
        let parts = beneath::parts(name)?;
        let Some((last, above)) = parts.split_last() else { return Err(Errno::INVAL.into()) };
        let dir = above.iter().try_fold(self.clone(), |at, part| at.step(part))?;
        Ok((dir, (*last).to_owned()))
    }

    /// An error in words, if something stands there that weir did not leave.
    pub(crate) fn explain(&self, errno: Errno, name: &OsStr, expected: &str) -> io::Error {
        let found = {
            let _guard = self.assume();
            statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
        };
        let Ok(stat) = found else { return errno.into() };
        let is_other = match errno {
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO | Errno::EXIST | Errno::NODEV => true,
            Errno::ACCESS | Errno::PERM => stat.st_uid != self.stat.st_uid,
            _ => false,
        };
        if !is_other {
            return errno.into();
        }
        Refusal::of(&self.path_of(name), &stat, format!("is {} {expected}", kind(&stat)), NOT_OURS)
    }
}

fn parent_and_name(path: &Path) -> io::Result<(&Path, OsString)> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display()));
    let name = path.file_name().ok_or_else(none)?.to_owned();
    Ok((path.parent().unwrap_or(Path::new("")), name))
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether an open file is what weir would have made.
pub(crate) fn check(stat: &Stat, path: &Path, trust: &Trust, may_be_linked: bool) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let what = format!("is {} where weir has a file", kind(stat));
        return Err(Refusal::of(path, stat, what, NOT_OURS));
    }
    if !trust.takes(stat.st_uid) {
        return Err(Refusal::of(path, stat, "is a file of somebody else", NOT_OURS));
    }
    if !may_be_linked && stat.st_nlink > 1 {
        return Err(Refusal::of(path, stat, "has a second name (hard link)", NOT_OURS));
    }
    Ok(())
}

/// A file that somebody named, to read: only a regular one, wherever links lead.
///
/// # Errors
/// When it cannot be opened, or is a directory, FIFO or device.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    let only_files = |stat: &Stat| {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let what = || format!("is {}", kind(stat));
        let advice = "only regular files are read here";
        if is_file { Ok(()) } else { Err(Refusal::of(path, stat, what(), advice)) }
    };
    // Opening a device may do something to it, so what stands there is looked at before and after.
    only_files(&rustix::fs::stat(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags as i32).open(path)?;
    only_files(&fstat(&file)?)?;
    Ok(file)
}

/// Refuses a file that everybody can write: what it says is done.
///
/// # Errors
/// When everybody can.
pub fn refuse_everybodys(path: &Path, file: &File) -> io::Result<()> {
    let stat = fstat(file)?;
    if !Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
        return Ok(());
    }
    let what = format!("can be written by everybody (mode {:04o})", stat.st_mode & 0o7777);
    Err(Refusal::of(path, &stat, what, "take that right away by `chmod o-w`"))
}
