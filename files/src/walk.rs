//! A directory as it was given, one component at a time.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, fsync, mkdirat, openat, readlinkat,
    unlinkat,
};
use rustix::io::Errno;

use crate::DIR_MODE;
use crate::identity::{Identity, assume};
use crate::refusal::{Refusal, kind};
use crate::trust::Trust;

/// Links that are followed in one path; the kernel's own limit.
const LINKS_MAX: usize = 40;
/// For a component: a descriptor that only stands for it, whatever it is.
const STEP: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way.
pub(crate) struct Place {
    pub(crate) fd: OwnedFd,
    pub(crate) stat: Stat,
    /// For messages only.
    pub(crate) path: PathBuf,
}

impl Place {
    /// A directory that is taken: nobody else can have put something into it.
    pub(crate) fn taken(fd: OwnedFd, path: PathBuf, trust: &Trust) -> io::Result<Place> {
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let what = format!("is {} in the way of a directory", kind(&stat));
            return Err(Refusal::of(&path, &stat, what, "move it away, or choose another directory"));
        }
        if trust.everybody {
            return Ok(Place { fd, stat, path });
        }
        if !trust.takes(stat.st_uid) {
            let advice = "name a directory of your own, or give it to root by `chown root` if nothing in it is theirs";
            return Err(Refusal::of(&path, &stat, "is a directory of somebody else", advice));
        }
        let is_roots_sticky = trust.is_roots(stat.st_uid) && Mode::from_raw_mode(stat.st_mode).contains(Mode::SVTX);
        if trust.is_open_to_others(&stat) && !is_roots_sticky {
            let what = format!("can be written by others (mode {:04o})", stat.st_mode & 0o7777);
            return Err(Refusal::of(
                &path,
                &stat,
                what,
                "take that right away by `chmod go-w`, or choose another directory",
            ));
        }
        Ok(Place { fd, stat, path })
    }
}

/// Walks to a directory; `make`: what is missing is made. Says whether the last one was made.
pub(crate) fn walk(path: &Path, trust: &Trust, make: bool) -> io::Result<(Place, bool)> {
    let from = if path.is_absolute() { "/" } else { "." };
    let mut at = Place::taken(openat(CWD, from, STEP | OFlags::DIRECTORY, Mode::empty())?, from.into(), trust)?;
    let (mut names, mut links, mut made) = (names(path), 0, false);
    while let Some(name) = names.pop_front() {
        made = false;
        let below = if at.path == Path::new(".") { PathBuf::from(&name) } else { at.path.join(&name) };
        let guard = assume(Identity::of(&at.stat, trust));
        let fd = match component(at.fd.as_fd(), &name) {
            Err(Errno::NOENT) if make => {
                drop(guard);
                made = true;
                make_below(&at, &name, trust, (trust.uid, trust.gid))?
            }
            opened => opened.map_err(|errno| named(&below, errno))?,
        };
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            at = Place::taken(fd, below, trust)?;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        let leads = trust.leads(stat.st_uid) && trust.leads(at.stat.st_uid);
        if !(trust.everybody || leads) {
            let what = "is a link, which weir follows only if link and directory are root's";
            return Err(Refusal::of(&below, &stat, what, "name the directory that it leads to"));
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(&fd, "", vec![])?.into_bytes()));
        if target.is_absolute() {
            at = Place::taken(openat(CWD, "/", STEP | OFlags::DIRECTORY, Mode::empty())?, "/".into(), trust)?;
        }
        names = self::names(&target).into_iter().chain(names).collect();
    }
    Ok((at, made))
}

/// Stands for a component, whatever it is. Only as a directory it makes the kernel mount what is mounted on demand there.
fn component(at: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    match openat(at, name, STEP | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOTDIR) => openat(at, name, STEP, Mode::empty()),
        opened => opened,
    }
}

/// An error with the path that it is about, of the same kind.
fn named(path: &Path, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    match errno {
        // These are told apart by number above.
        Errno::NOENT | Errno::NOSPC | Errno::ROFS | Errno::ACCESS | Errno::PERM => error,
        _ => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let step = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(step).collect()
}

/// Makes a directory in one that is taken, gives it to its owner, and opens it. It is checked like any other by who asked: it may have been
/// replaced meanwhile by somebody who can write there.
pub(crate) fn make_below(at: &Place, name: &OsStr, trust: &Trust, owner: (u32, u32)) -> io::Result<OwnedFd> {
    let identity = Identity::of(&at.stat, trust);
    let _guard = assume(identity);
    match mkdirat(&at.fd, name, Mode::from_raw_mode(DIR_MODE)) {
        // Somebody was faster: what is there now is judged by the caller.
        Err(Errno::EXIST) => return Ok(openat(&at.fd, name, STEP, Mode::empty())?),
        made => made?,
    }
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&at.fd, name, open, Mode::empty())?;
    let stat = fstat(&fd)?;
    let by = identity.map_or(rustix::process::getuid().as_raw(), |identity| identity.ids().0);
    if stat.st_uid != by && !trust.takes(stat.st_uid) {
        let advice = "somebody replaced it: name a directory that only root can write";
        return Err(Refusal::of(&at.path.join(name), &stat, "was made by weir", advice));
    }
    // The umask may have taken bits away.
    fchmod(&fd, Mode::from_raw_mode(DIR_MODE))?;
    give(fd.as_fd(), &stat, identity.map_or(owner, |identity| identity.ids()))?;
    sync(at.fd.as_fd())?;
    Ok(fd)
}

/// Gives what was made to its owner. Without the right to give it away (no CAP_CHOWN) it stays with who made it.
pub(crate) fn give(fd: BorrowedFd<'_>, stat: &Stat, (uid, gid): (u32, u32)) -> io::Result<()> {
    if (stat.st_uid, stat.st_gid) == (uid, gid) {
        return Ok(());
    }
    match fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
        Err(Errno::PERM | Errno::ACCESS) => Ok(()),
        given => Ok(given?),
    }
}

/// The directory itself, where a descriptor only stands for it.
pub(crate) fn readable(dir: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: BorrowedFd<'_>) -> io::Result<()> {
    match readable(dir).and_then(fsync) {
        // Who may write a directory and not read it cannot ask for that; file systems without the call refuse it.
        Err(Errno::ACCESS | Errno::INVAL) => Ok(()),
        synced => Ok(synced?),
    }
}

/// Removes a name that is a leftover, whatever stands there, except a directory.
pub(crate) fn clear(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}
