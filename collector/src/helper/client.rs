//! The collector's end of the helper.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::wire::{Message, receive, send};
use crate::config::CONFIG_BYTES_MAX;
use crate::privilege::{self, Role};

/// How long one message may take: directories can be on file systems that are slow, and no sink waits for this.
const MESSAGE_MAX: Duration = Duration::from_secs(60);
/// Files that one configuration can name.
const FILES_MAX: usize = 1024;

/// What the helper opened for one reload.
#[derive(Debug, Default)]
pub struct Given {
    /// The text of the configuration's file, if there is one.
    pub text: Option<String>,
    /// Files that the configuration names, to read.
    pub files: HashMap<PathBuf, File>,
}

/// A helper that waits.
pub struct Helper {
    socket: OwnedFd,
    child: Child,
}

impl Helper {
    /// Starts one, if this process has rights that a reload could need.
    ///
    /// # Errors
    /// The system gives no process.
    pub fn start_if_needed() -> Result<Option<Helper>> {
        privilege::has_any(Role::Helper).then(Helper::start).transpose()
    }

    /// Starts one, with this process' own flags. What rights it has it inherits, so it is started before they are given up.
    ///
    /// # Errors
    /// The system gives no process.
    pub fn start() -> Result<Helper> {
        let doing = "start the helper of reloads; `reload = false` does without";
        let (socket, inner) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).context(doing)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(MESSAGE_MAX)).context(doing)?;
        let child = Command::new("/proc/self/exe")
            .arg0("weir")
            .arg("helper")
            .args(flags(env::args_os()))
            .stdin(Stdio::from(inner))
            .stdout(Stdio::null())
            // A Ctrl-C is for the collector; the helper ends with it.
            .process_group(0)
            .spawn()
            .context(doing)?;
        Ok(Helper { socket, child })
    }

    /// Has everything read and opened again.
    ///
    /// # Errors
    /// What is wrong with the configuration, what cannot be opened, and that the helper has ended.
    pub fn read(&mut self) -> Result<Given> {
        let gone = "the helper that opens what a reload needs has ended: restart weir";
        send(self.socket.as_fd(), &Message::Read, None).context(gone)?;
        let mut given = Given::default();
        loop {
            let (message, descriptor) = receive(&self.socket).context("wait for the helper")?.context(gone)?;
            match (message, descriptor) {
                (Message::Config, Some(text)) => given.text = Some(read(text)?),
                (Message::File { path }, Some(file)) if given.files.len() < FILES_MAX => {
                    given.files.insert(path, file.into());
                }
                (Message::Done, None) => return Ok(given),
                (Message::Failed { error }, None) => bail!(error),
                _ => bail!("the helper answered what it was not asked"),
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn read(text: OwnedFd) -> Result<String> {
    let mut read = String::new();
    File::from(text).take(CONFIG_BYTES_MAX).read_to_string(&mut read).context("read what the helper read")?;
    Ok(read)
}

/// The flags of `weir run`, without its command.
fn flags(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.skip(2).take_while(|argument| argument != "--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_gets_the_flags_and_not_the_command() {
        let all = ["weir", "run", "--config", "a", "--host=b", "--", "make", "--", "-j"].map(OsString::from);
        assert_eq!(flags(all.into_iter()).collect::<Vec<_>>(), ["--config", "a", "--host=b"]);
    }
}
