//! A real nats-server with JetStream on files: its configuration, port, store and process.
//!
//! The program is the one that `tests/nats/fetch` builds; `WEIR_TEST_NATS_SERVER` names it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::skip::skipped;

/// Variable that names the program.
pub const PROGRAM: &str = "WEIR_TEST_NATS_SERVER";
/// How long a server may take to answer.
const START_WAIT: Duration = crate::wait::LIMIT;
/// Pause between two questions.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The program; without it says that the test is skipped.
pub fn program(test: &str) -> Option<PathBuf> {
    let program = std::env::var_os(PROGRAM).map(PathBuf::from).filter(|path| path.is_file());
    if program.is_none() {
        skipped(test, &format!("{PROGRAM} names no nats-server: tests/nats/fetch DIR builds one"));
    }
    program
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server on an empty store and waits until it answers. `more` are further lines of its configuration; `None`
    /// if there is no program.
    pub fn start(test: &str, more: &str) -> Option<Server> {
        let mut server = Server::prepare(test, more)?;
        server.run();
        Some(server)
    }

    /// Everything but the start: its address is known, and nobody answers there.
    pub fn prepare(test: &str, more: &str) -> Option<Server> {
        let program = program(test)?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let server = Server { program, dir, port: free_port(), child: None };
        server.configure(more);
        Some(server)
    }

    /// Writes the configuration, which holds from the next start or SIGHUP on.
    pub fn configure(&self, more: &str) {
        let (port, store) = (self.port, self.dir.path().join("store"));
        let text =
            format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{more}\n", store.display());
        fs::write(self.config(), text).expect("the configuration");
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A directory that goes with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same for clients, without credentials.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).expect("the log of the server")
    }

    /// Starts it on the store that is there, and waits until it answers.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.config()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = self.child.insert(command.spawn().expect("nats-server runs"));
        let end = Instant::now() + START_WAIT;
        while !answers(self.port) {
            if child.try_wait().expect("its state").is_some() || Instant::now() > end {
                panic!("nats-server does not start:\n{}", self.log());
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("its own child");
            child.wait().expect("its end");
        }
    }

    /// Sends a signal: SIGSTOP, SIGCONT, SIGHUP to read the configuration again, SIGUSR2 for lame duck mode.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running server");
        kill_process(Pid::from_child(child), signal).expect("its own child");
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) {
        self.child.take().expect("a running server").wait().expect("its end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a server greets who connects.
fn answers(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
}
