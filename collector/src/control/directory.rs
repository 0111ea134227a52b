//! The directory of the control sockets, and what makes it trustworthy: it belongs to root or to the user of this process,
//! and nobody else can write to it.

use std::env;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Dir, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Directory of the collectors that root runs.
const OF_ROOT: &str = "/run/weir";
/// Below the run directory of a user.
const OF_USER: &str = "weir";
/// Locked while sockets come and go, so that no new one is taken for a dead one of the same name.
const LOCK: &str = ".lock";
/// Ends the names of sockets.
pub const SUFFIX: &str = ".sock";
/// Sockets that are looked at; more than that run on no machine.
const ENTRIES_MAX: usize = 1024;

/// Everybody may look, the owner writes.
const MODE: Mode = Mode::from_raw_mode(0o755);
/// Group and others.
const WRITE_OF_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A directory that was opened and checked.
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// Others can add names too (`/tmp`): it has no lock, and what is dead in it is nobody's business.
    is_shared: bool,
}

/// Held as long as the lock is.
pub struct Lock {
    _file: OwnedFd,
}

/// Where this process puts its socket; `None` if its user has no run directory.
pub fn own_path() -> Option<PathBuf> {
    if geteuid().is_root() { Some(OF_ROOT.into()) } else { path_of_user() }
}

/// Where collectors that this process may talk to have their sockets.
pub fn all_paths() -> Vec<PathBuf> {
    let user = path_of_user().filter(|_| !geteuid().is_root());
    [PathBuf::from(OF_ROOT)].into_iter().chain(user).collect()
}

fn path_of_user() -> Option<PathBuf> {
    let run = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?);
    run.is_absolute().then(|| run.join(OF_USER))
}

impl Directory {
    /// Makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or others could have put something into it.
    pub fn create(path: &Path) -> Result<Directory> {
        let made = match mkdirat(CWD, path, MODE) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error).with_context(|| format!("make the run directory {}", path.display())),
        };
        let directory = Directory::open(path)?;
        if made {
            // Whatever the umask took away.
            fchmod(&directory.fd, MODE).with_context(|| format!("set the mode of {}", path.display()))?;
        }
        Ok(directory)
    }

    /// Opens one that is there.
    ///
    /// # Errors
    /// It is not there, or others could have put something into it.
    pub fn open(path: &Path) -> Result<Directory> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = openat(CWD, path, flags, Mode::empty());
        let fd = fd.with_context(|| format!("open the directory {}", path.display()))?;
        let stat = fstat(&fd).with_context(|| format!("look at the directory {}", path.display()))?;
        check(path, &stat)?;
        Ok(Directory { fd, path: path.to_owned(), is_shared: stat.st_mode & WRITE_OF_OTHERS != 0 })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An address of a socket in it that no length of the path and no link on its way changes.
    pub fn address(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).join(name)
    }

    /// Names of the sockets.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn sockets(&self) -> io::Result<Vec<String>> {
        let entries = Dir::read_from(&self.fd)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        let mut names: Vec<String> =
            names.filter(|name| name.ends_with(SUFFIX) && !name.starts_with('.')).take(ENTRIES_MAX).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Waits until nobody else adds or removes sockets; `None` where others could hold the lock for ever.
    ///
    /// # Errors
    /// This process may not.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        if self.is_shared {
            return Ok(None);
        }
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.fd, LOCK, flags, Mode::RUSR | Mode::WUSR)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Some(Lock { _file: file }))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check(path: &Path, stat: &Stat) -> Result<()> {
    let own = geteuid().as_raw();
    if stat.st_uid != 0 && stat.st_uid != own {
        bail!(
            "{} belongs to user {}, and should be yours or root's: name another place with `control`",
            path.display(),
            stat.st_uid
        );
    }
    if stat.st_mode & WRITE_OF_OTHERS != 0 && stat.st_mode & STICKY == 0 {
        bail!("others can write to {}: take their right away (chmod go-w)", path.display());
    }
    Ok(())
}
