//! A nats-server of the test's own: its configuration, port, store and process.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// The program, by WEIR_TEST_NATS_SERVER; without it the line that `./x test` counts.
pub fn program(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("WEIR_TEST_NATS_SERVER").map(PathBuf::from);
    if path.is_none() {
        let line = format!("SKIPPED: {test}: WEIR_TEST_NATS_SERVER is not set (tests/nats/fetch DIR gives it)\n");
        // One write to the real stderr, which libtest does not capture.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    path
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Killed when dropped.
pub struct Server {
    program: PathBuf,
    dir: tempfile::TempDir,
    pub port: u16,
    process: Option<Child>,
}

impl Server {
    /// With JetStream on files and whatever else the configuration says; `None` if the program is not known.
    pub fn start(test: &str, more: &str) -> Option<Server> {
        let mut server = Server::prepare(test, free_port(), more)?;
        server.run();
        Some(server)
    }

    /// Not running yet.
    pub fn prepare(test: &str, port: u16, more: &str) -> Option<Server> {
        let program = program(test)?;
        let dir = tempfile::tempdir().unwrap();
        let server = Server { program, dir, port, process: None };
        server.configure(more);
        Some(server)
    }

    /// Writes the configuration; it holds from the next start on.
    pub fn configure(&self, more: &str) {
        let store = self.dir.path().join("store");
        let text = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\" }}\n{more}\n",
            self.port,
            store.display()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    /// A directory that goes with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Without credentials.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, on the store that is there, and waits until it answers.
    pub fn run(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.config()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        until("the server's first answer", || {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            assert!(ended.is_none(), "nats-server ended:\n{}", self.log());
            let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok().filter(|_| line.starts_with("INFO "))
        });
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.process.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) {
        self.process.take().unwrap().wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
