//! Starts processes of sinks.
//!
//! A process is told to die with the *thread* that made it. Lanes and reloads come and go, so one thread that stays makes them
//! all. It has no capability: what it starts can have none either.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use caps::CapSet;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::privilege::{self, Role};

/// Variables that the client libraries read; secrets of the collector stand in others.
const VARIABLES: &[&str] = &[
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LD_LIBRARY_PATH",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "TZ",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// The program that has the command `sink`.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// This one.
    pub fn own() -> Program {
        Program(PathBuf::from("/proc/self/exe"))
    }

    /// The one at this path.
    pub fn at(path: &Path) -> Program {
        Program(path.to_owned())
    }
}

/// A process that waits to be told which sink it is.
#[derive(Debug)]
pub struct Spawned {
    /// The process; its standard error is a pipe.
    pub child: Child,
    /// The other end of its standard input.
    pub socket: OwnedFd,
}

struct Wanted {
    program: Program,
    answer: Sender<io::Result<Spawned>>,
}

/// Starts a process.
///
/// # Errors
/// When the system refuses.
pub fn spawn(program: &Program) -> io::Result<Spawned> {
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, answered) = bounded(1);
    spawner()?.send(Wanted { program: program.clone(), answer }).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn spawner() -> io::Result<&'static Sender<Wanted>> {
    static SPAWNER: OnceLock<Sender<Wanted>> = OnceLock::new();
    if let Some(spawner) = SPAWNER.get() {
        return Ok(spawner);
    }
    let (wanted, inbox) = bounded(1);
    let work = || thread::Builder::new().name("sink-spawner".into()).spawn(|| run(inbox));
    privilege::start_as(Role::Confined, work).map_err(io::Error::other)??;
    // Of two who come first at once one is dropped, and its thread ends.
    Ok(SPAWNER.get_or_init(|| wanted))
}

fn run(inbox: Receiver<Wanted>) {
    // The process gives up what it has by itself, too.
    let _ = caps::clear(None, CapSet::Effective).and_then(|()| caps::clear(None, CapSet::Permitted));
    for Wanted { program, answer } in inbox {
        let _ = answer.send(start(&program));
    }
}

fn start(Program(path): &Program) -> io::Result<Spawned> {
    let (socket, inner) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let variables = VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(path)
        .arg0("weir")
        .arg("sink")
        .env_clear()
        .envs(variables)
        .stdin(Stdio::from(inner))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C is for the collector, which ends its sinks in order.
        .process_group(0)
        .spawn()?;
    Ok(Spawned { child, socket })
}
