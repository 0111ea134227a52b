//! Runs the command of `weir run -- CMD`: stopped behind a gate until the probes are there, as the user who asked.
//!
//! The gate is this program again (`weir gate`), one thread, with a socket as its standard input. It becomes the user,
//! finds the program and says that it is ready. One message opens it and carries the real standard input; the end of the
//! socket without a message ends it unopened, so that a command never runs unseen when weir dies first. Then it becomes
//! the command.
//!
//! A Ctrl-C at the terminal reaches the command by itself, since it stays in weir's process group: weir has to outlive it.
//! What is sent to weir alone is passed on (`run/signals.rs`).

pub mod gate;
mod search;
mod user;

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
    sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use thiserror::Error;

pub use user::RunAs;

/// weir itself failed.
pub const EXIT_WEIR: u8 = 125;
/// The command was found and could not be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;
/// Added to the number of the signal that ended the command.
pub const EXIT_SIGNAL: i32 = 128;

/// The command could not be started.
#[derive(Debug, Error)]
pub enum CommandError {
    /// No command.
    #[error("no command to run")]
    Empty,
    /// The user does not exist.
    #[error("no user `{0}` on this machine")]
    NoUser(String),
    /// The user database failed.
    #[error("cannot look up user `{0}`: {1}")]
    Lookup(String, nix::Error),
    /// Only root can become someone else.
    #[error("cannot run the command as `{0}`: only root can; use sudo, or leave out --user")]
    NotRoot(String),
    /// The gate does not start.
    #[error("cannot start the gate of the command: {0}")]
    Spawn(io::Error),
    /// The gate ended before it was ready, and has said why.
    #[error("the gate of the command ended with status {0} before it was ready")]
    NotReady(u8),
    /// The gate does not open.
    #[error("cannot open the gate of the command: {0}")]
    Open(io::Error),
    /// The command cannot be waited for.
    #[error("cannot wait for the command: {0}")]
    Wait(io::Error),
}

/// A command that waits for [`Gate::open`].
#[derive(Debug)]
pub struct Gate {
    child: Child,
    control: Option<OwnedFd>,
    ended: Option<u8>,
}

impl Gate {
    /// Starts the gate; `user` is whom the command runs as, `None` for the caller. With `stdout_to_stderr` the command's
    /// standard output goes to standard error, because rows go to standard output.
    ///
    /// # Errors
    /// When there is no process to be had. A command that does not exist shows when the gate is opened.
    pub fn spawn(command: &[OsString], user: Option<&RunAs>, stdout_to_stderr: bool) -> Result<Gate, CommandError> {
        if command.is_empty() {
            return Err(CommandError::Empty);
        }
        let (control, inner) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| CommandError::Spawn(error.into()))?;
        let mut gate = Command::new("/proc/self/exe");
        gate.arg0("weir").arg("gate").stdin(Stdio::from(inner));
        if let Some(user) = user {
            gate.arg(format!("--uid={}", user.uid)).arg(format!("--gid={}", user.gid));
        }
        if stdout_to_stderr {
            gate.stdout(crate::terminal::stderr_for_child());
        }
        let child = gate.arg("--").args(command).spawn().map_err(CommandError::Spawn)?;
        // Has the other end of the socket, which must be the gate's alone for its end to show.
        drop(gate);
        let mut ready = [0; gate::READY.len()];
        let received = recv(&control, &mut ready, RecvFlags::empty());
        let mut gate = Gate { child, control: Some(control), ended: None };
        match received {
            Ok((_, length)) if length == ready.len() => Ok(gate),
            _ => Err(CommandError::NotReady(gate.wait()?)),
        }
    }

    /// Process of the gate, and of the command when it is open.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A descriptor that is readable when the command has ended, and by which signals go to it and to nobody else.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn pidfd(&self) -> io::Result<OwnedFd> {
        Ok(pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?)
    }

    /// Lets the command run. A second call does nothing.
    ///
    /// # Errors
    /// When the message cannot be sent; a gate that was killed meanwhile is no error, [`Gate::wait`] tells.
    pub fn open(&mut self) -> Result<(), CommandError> {
        let Some(control) = self.control.take() else {
            return Ok(());
        };
        let stdin = io::stdin();
        let descriptors = [stdin.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        match sendmsg(&control, &[IoSlice::new(gate::OPEN)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
            Err(error) => Err(CommandError::Open(error.into())),
        }
    }

    /// Waits for the end and gives the exit status to pass on: the command's own, or 128 and the signal.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn wait(&mut self) -> Result<u8, CommandError> {
        if let Some(code) = self.ended {
            return Ok(code);
        }
        let code = exit_code(self.child.wait().map_err(CommandError::Wait)?);
        self.ended = Some(code);
        Ok(code)
    }
}

impl Drop for Gate {
    /// A gate that was never opened ends without running the command; nobody is left behind as a zombie.
    fn drop(&mut self) {
        if self.control.take().is_some() && self.ended.is_none() {
            let _ = self.child.wait();
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| EXIT_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(EXIT_WEIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_the_code_or_128_and_the_signal() {
        for (raw, code) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15 | 0x80, 143)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), code, "{raw:#x}");
        }
    }
}
