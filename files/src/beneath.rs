//! One look-up below a directory, without links.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Kernels before 5.6, and filters of containers that do not know the call.
static LACKS_OPENAT2: AtomicBool = AtomicBool::new(false);

/// The parts of a name below a directory.
pub(crate) fn parts(name: &Path) -> io::Result<Vec<&OsStr>> {
    let part = |component| match component {
        Component::Normal(part) => Ok(part),
        _ => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no name below a directory", name.display())))
        }
    };
    let parts: Vec<&OsStr> = name.components().map(part).collect::<io::Result<_>>()?;
    if parts.is_empty() { Err(io::Error::new(io::ErrorKind::InvalidInput, "a file has no name")) } else { Ok(parts) }
}

/// Opens a name that may have several parts; a link anywhere in it is an error.
pub(crate) fn open(dir: BorrowedFd<'_>, name: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if !LACKS_OPENAT2.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
        match openat2(dir, name, flags, mode, resolve) {
            Err(Errno::NOSYS) => LACKS_OPENAT2.store(true, Ordering::Relaxed),
            // A filter that does not know the call refuses it by EPERM; the other way gives the true answer.
            Err(Errno::PERM) => {}
            opened => return opened,
        }
    }
    step_by_step(dir, name, flags, mode)
}

/// The same without `openat2`.
pub(crate) fn step_by_step(dir: BorrowedFd<'_>, name: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let parts = parts(name).map_err(|_| Errno::XDEV)?;
    let Some((last, above)) = parts.split_last() else { return Err(Errno::INVAL) };
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    for part in above {
        at = Some(openat(at.as_ref().map_or(dir, AsFd::as_fd), *part, step, Mode::empty())?);
    }
    openat(at.as_ref().map_or(dir, AsFd::as_fd), *last, flags, mode)
}
