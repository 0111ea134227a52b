//! The inside of the gate: `weir gate [--uid N --gid N] -- CMD ARGS..`, one thread, nothing of weir loaded.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, initgroups, setgid, setgroups, setuid};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg};

use super::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_WEIR, search};
use crate::terminal::escape;

/// The message that says that the gate is ready: what is left to do is to wait and to become the command.
pub(super) const READY: &[u8] = b"r";

/// The message that opens the gate; the real standard input comes with it.
pub(super) const OPEN: &[u8] = b"o";

/// What sudo tells the programs that it starts; the command was started by the user again.
const SUDO_VARIABLES: &[&str] = &["SUDO_COMMAND", "SUDO_GID", "SUDO_UID", "SUDO_USER"];

/// Arguments of `weir gate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User to become
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// Primary group to become
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// Command and arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Args {
    /// Becomes the user, finds the program, waits, becomes the command. Returns only if that fails, with the line to
    /// print, if there is something to say, and the exit status.
    ///
    /// Everything that can be done before the gate opens is done before, so that the first thing to be recorded of the
    /// command is its own exec.
    pub fn run(self) -> (Option<String>, u8) {
        // The process is named after /proc/self/exe otherwise. A name is no reason to fail.
        let _ = rustix::thread::set_name(c"weir");
        let Some((name, arguments)) = self.command.split_first() else {
            return (None, EXIT_WEIR);
        };
        let changes = match self.uid.zip(self.gid) {
            Some((uid, gid)) => match become_user(Uid::from_raw(uid), Gid::from_raw(gid)) {
                Ok(user) => changes_for(user),
                Err(error) => return (Some(format!("weir: cannot become user {uid}: {error}")), EXIT_WEIR),
            },
            None => Vec::new(),
        };
        let found = search::find(name);
        match hand_over_stdin() {
            Ok(true) => {}
            // weir ended, or gave up before it was ready, and has said why.
            Ok(false) => return (None, EXIT_WEIR),
            Err(error) => {
                let text = format!("weir: the gate is not for use by hand, and was not opened: {error}");
                return (Some(text), EXIT_WEIR);
            }
        }
        let error = match found {
            Ok(path) => {
                let mut command = Command::new(path);
                for (variable, value) in changes {
                    match value {
                        Some(value) => command.env(variable, value),
                        None => command.env_remove(variable),
                    };
                }
                command.arg0(name).args(arguments).exec()
            }
            Err(error) => error,
        };
        let (text, code) = explain(name, &error);
        (Some(text), code)
    }
}

/// Says that the gate is ready, and waits until the real standard input comes; `false` when the other end is gone.
fn hand_over_stdin() -> io::Result<bool> {
    rustix::net::send(io::stdin(), READY, SendFlags::NOSIGNAL)?;
    let Some(stdin) = wait_for_open()? else { return Ok(false) };
    rustix::stdio::dup2_stdin(&stdin)?;
    Ok(true)
}

/// The real standard input; `None` when the other end is gone.
fn wait_for_open() -> io::Result<Option<OwnedFd>> {
    let mut byte = [0; OPEN.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let stdin = io::stdin();
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut byte)];
        match recvmsg(stdin.as_fd(), &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    descriptors.next().map(Some).ok_or_else(|| io::Error::other("no standard input came with the message"))
}

/// Groups first, then the group, then the user: afterwards there is no right left to do the others.
fn become_user(uid: Uid, gid: Gid) -> nix::Result<Option<User>> {
    let user = User::from_uid(uid)?;
    let name = user.as_ref().and_then(|user| CString::new(user.name.as_bytes()).ok());
    match name {
        Some(name) => initgroups(&name, gid)?,
        None => setgroups(&[gid])?,
    }
    setgid(gid)?;
    setuid(uid)?;
    Ok(user)
}

/// What the environment of the user's programs has to say, and what it must not.
fn changes_for(user: Option<User>) -> Vec<(&'static str, Option<OsString>)> {
    let mut changes: Vec<_> = SUDO_VARIABLES.iter().map(|variable| (*variable, None)).collect();
    if let Some(user) = user {
        changes.extend([
            ("USER", Some(user.name.clone().into())),
            ("LOGNAME", Some(user.name.into())),
            ("HOME", Some(user.dir.into())),
            ("SHELL", Some(user.shell.into())),
        ]);
    }
    changes
}

fn explain(program: &OsStr, error: &io::Error) -> (String, u8) {
    let name = program.to_string_lossy();
    let name = escape(&name);
    if error.kind() != io::ErrorKind::NotFound {
        return (format!("weir: {name}: cannot be executed: {error}"), EXIT_NOT_EXECUTABLE);
    }
    if name.contains('/') && Path::new(program).exists() {
        return (format!("weir: {name}: its interpreter was not found"), EXIT_NOT_FOUND);
    }
    (format!("weir: {name}: command not found"), EXIT_NOT_FOUND)
}
