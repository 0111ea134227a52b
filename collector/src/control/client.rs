//! Who asks: finds the collectors that run here, makes sure who they are, and asks one.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::geteuid;

use super::directory::{Directory, SUFFIX, all_paths};
use super::name::sweep;
use super::wire::{ControlCommand, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, read_line, write_line};

/// How long a line of the answer may take: a collector that starts listens before it answers.
const LINE_MAX: Duration = Duration::from_secs(30);
/// How long a request may take to go.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Which collector.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// By its socket.
    pub socket: Option<PathBuf>,
    /// By its process.
    pub pid: Option<u32>,
}

/// A connection to a collector that root or this user runs.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    pid: Option<u32>,
}

/// What was found in the run directories.
#[derive(Default)]
struct Found {
    collectors: Vec<Client>,
    /// Sockets that this user may not ask at, and why.
    others: Vec<String>,
}

impl Client {
    /// Connects to the one that is meant; without a word about which, to the one that runs.
    ///
    /// # Errors
    /// There is none, or more than one, or it is not to be trusted.
    pub fn find(selector: &Selector) -> Result<Client> {
        Client::find_in(&all_paths(), selector)
    }

    pub(super) fn find_in(directories: &[PathBuf], selector: &Selector) -> Result<Client> {
        if let Some(socket) = &selector.socket {
            return Client::connect(socket, socket.clone());
        }
        let mut found = Found::default();
        for path in directories.iter().filter(|path| path.exists()) {
            match Directory::open(path) {
                Ok(directory) => found.look(&directory),
                Err(error) => found.others.push(format!("{error:#}")),
            }
        }
        found.choose(selector.pid)
    }

    fn connect(address: &Path, path: PathBuf) -> Result<Client> {
        let stream = UnixStream::connect(address);
        let stream = stream.map_err(|error| explained(&path, error))?;
        let peer =
            getsockopt(&stream, PeerCredentials).with_context(|| format!("ask who listens at {}", path.display()))?;
        let (uid, own) = (peer.uid(), geteuid().as_raw());
        if uid != 0 && uid != own {
            bail!("{} is served by user {uid}, neither you nor root: it was not asked", path.display());
        }
        // 0 stands for a process of another pid namespace.
        Ok(Client { stream, path, pid: u32::try_from(peer.pid()).ok().filter(|pid| *pid != 0) })
    }

    /// The process that listens.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Asks, and waits for the answer as long as the collector says that it is at it.
    ///
    /// # Errors
    /// No answer comes in time, or one that is none.
    pub fn ask(&mut self, command: ControlCommand) -> Result<Reply> {
        let doing = || format!("ask the weir at {}", self.path.display());
        self.stream.set_write_timeout(Some(REQUEST_MAX)).with_context(doing)?;
        self.stream.set_read_timeout(Some(LINE_MAX)).with_context(doing)?;
        write_line(&mut &self.stream, &command, REQUEST_BYTES_MAX).with_context(doing)?;
        let mut lines = BufReader::new(&self.stream);
        loop {
            match read_line(&mut lines, REPLY_BYTES_MAX) {
                Ok(Some(Reply::Working)) => {}
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {
                    let why = "it closed the connection without an answer: it ends, or too many others ask";
                    return Err(anyhow!(why)).with_context(doing);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    let limit = LINE_MAX.as_secs();
                    return Err(anyhow!("it gave no answer for {limit} s; its log says more")).with_context(doing);
                }
                Err(error) => return Err(error).with_context(doing),
            }
        }
    }
}

fn explained(path: &Path, error: io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => "; it belongs to another user: use sudo",
        io::ErrorKind::ConnectionRefused => "; its weir has ended",
        _ => "",
    };
    anyhow!("connect to the control socket {}: {error}{advice}", path.display())
}

impl Found {
    fn look(&mut self, directory: &Directory) {
        sweep(directory);
        let names = match directory.sockets() {
            Ok(names) => names,
            Err(error) => return self.others.push(format!("read {}: {error}", directory.path().display())),
        };
        for name in names {
            match Client::connect(&directory.address(&name), directory.path().join(&name)) {
                Ok(client) => self.collectors.push(client),
                Err(error) => self.others.push(format!("{error:#}")),
            }
        }
    }

    fn choose(mut self, pid: Option<u32>) -> Result<Client> {
        if let Some(pid) = pid {
            // In another pid namespace the name is all there is.
            let named = format!("{pid}{SUFFIX}");
            self.collectors
                .retain(|client| client.pid == Some(pid) || (client.pid.is_none() && client.path.ends_with(&named)));
        }
        let others = self.others.iter().map(|other| format!("\n{other}")).collect::<String>();
        match (self.collectors.len(), pid) {
            (1, _) => self.collectors.pop().context("there is one"),
            (0, Some(pid)) => bail!("no `weir run` with process id {pid} has a control socket here{others}"),
            (0, None) => bail!("no `weir run` is running here{others}"),
            _ => {
                let list = self.collectors.iter().map(Client::shown).collect::<String>();
                bail!("more than one `weir run` is running: choose one with --pid or --socket{list}")
            }
        }
    }
}

impl Client {
    fn shown(&self) -> String {
        let pid = self.pid.map_or_else(String::new, |pid| format!("--pid {pid}  "));
        format!("\n  {pid}--socket {}", self.path.display())
    }
}
