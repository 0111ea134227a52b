//! The name of a socket: made so that it is complete when it can be seen, and gone when its collector is.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, fchmod, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use rustix::process::geteuid;

use super::directory::{Directory, SUFFIX, own_path};

/// The owner reads and writes, so only they and root can connect.
const MODE: Mode = Mode::from_raw_mode(0o600);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A name that is this process' own until it is dropped.
pub struct Name {
    directory: Directory,
    name: String,
}

/// Where the socket stands: `control` of the settings, a name in the run directory or a path; else by the process id.
fn place(control: Option<&Path>) -> Result<(PathBuf, String, bool)> {
    let pid = std::process::id();
    let name = match control {
        None => format!("{pid}{SUFFIX}"),
        Some(path) => {
            let name = path.file_name().and_then(|name| name.to_str());
            name.with_context(|| format!("`control` is `{}`, which names no file", path.display()))?.to_owned()
        }
    };
    let parent = control.and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        return Ok((parent.to_owned(), name, false));
    }
    let name = if name.ends_with(SUFFIX) { name } else { name + SUFFIX };
    let run = own_path().context("XDG_RUNTIME_DIR is not set: name a path with `control`")?;
    Ok((run, name, true))
}

impl Name {
    /// Listens where the settings say; the socket belongs to `owner`, else to this process.
    ///
    /// # Errors
    /// The directory is not to be trusted, or the name is taken by something that lives.
    pub fn listen(control: Option<&Path>, owner: Option<(u32, u32)>) -> Result<(Name, UnixListener)> {
        let (path, name, is_run_directory) = place(control)?;
        let directory = if is_run_directory { Directory::create(&path)? } else { Directory::open(&path)? };
        Name::listen_in(directory, name, owner)
    }

    /// The same in a directory that was checked.
    ///
    /// # Errors
    /// The name is taken by something that lives, or the system refuses.
    pub fn listen_in(directory: Directory, name: String, owner: Option<(u32, u32)>) -> Result<(Name, UnixListener)> {
        let shown = directory.path().join(&name);
        let doing = || format!("listen at the control socket {}", shown.display());
        let lock = directory.lock().with_context(doing)?;
        if lock.is_some() {
            remove_dead(&directory);
        }
        make_room(&directory, &name)?;
        let listener = publish(&directory, &name, owner).with_context(doing)?;
        drop(lock);
        Ok((Name { directory, name }, listener))
    }

    /// The whole path.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Err(error) = unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            tracing::debug!(socket = %self.path().display(), "remove the control socket: {error}");
        }
    }
}

/// Binds, listens and only then gives the name: who finds it finds somebody there.
fn publish(directory: &Directory, name: &str, owner: Option<(u32, u32)>) -> io::Result<UnixListener> {
    let hidden = format!(".{}.new", std::process::id());
    match unlinkat(directory, &hidden, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The mode of the socket's own inode is the mode of the file that bind makes, less the umask.
    fchmod(&socket, MODE)?;
    bind(&socket, &SocketAddrUnix::new(directory.address(&hidden))?)?;
    listen(&socket, BACKLOG)?;
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(directory, &hidden, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    renameat(directory, &hidden, directory, name)?;
    Ok(UnixListener::from(socket))
}

/// A name that is there may only be a dead socket of this user's or root's.
fn make_room(directory: &Directory, name: &str) -> Result<()> {
    let shown = directory.path().join(name);
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("look at {}", shown.display())),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        bail!("{} is there and is no socket: name another with `control`, or remove it", shown.display());
    }
    if is_dead(&directory.address(name)) {
        return Ok(());
    }
    bail!("another weir listens at {}: name another with `control`", shown.display())
}

/// Whether a socket has nobody behind it any more.
fn is_dead(address: &Path) -> bool {
    // A collector whose queue is full gives another error, and nobody waits for it.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else { return false };
    let Ok(address) = SocketAddrUnix::new(address) else { return false };
    connect(&socket, &address) == Err(Errno::CONNREFUSED)
}

/// Removes sockets of this user's that nobody listens at any more. The lock is held.
fn remove_dead(directory: &Directory) {
    for name in directory.sockets().unwrap_or_default() {
        let stat = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW);
        let is_ours = stat.is_ok_and(|stat| {
            let may = geteuid().is_root() || stat.st_uid == geteuid().as_raw();
            may && FileType::from_raw_mode(stat.st_mode) == FileType::Socket
        });
        if is_ours && is_dead(&directory.address(&name)) {
            tracing::debug!(name, "the control socket of a process that has ended is removed");
            let _ = unlinkat(directory, &name, AtFlags::empty());
        }
    }
}

/// Removes dead sockets of a directory, if this process may.
pub fn sweep(directory: &Directory) {
    if let Ok(Some(_lock)) = directory.lock() {
        remove_dead(directory);
    }
}
