//! The program `weir`, started with a clean environment and never waited for without a limit.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use weir_tests::wait::{LIMIT, LOOK_EVERY};

/// How long any run may take before the test gives up on it.
const RUN_MAX: Duration = LIMIT;

/// Where the program is: `WEIR_BIN`, else what a build of the workspace made.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return PathBuf::from(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let path = target.join("debug/weir");
    assert!(path.exists(), "{} is missing: run `cargo build -p weir-collector`, or set WEIR_BIN", path.display());
    path
}

/// A command without any setting of weir in its environment.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command.env_remove("SUDO_USER").env_remove("SUDO_UID").env_remove("SUDO_GID").env("NO_COLOR", "1");
    command.stdin(Stdio::null());
    command
}

/// `weir ARGS..`
pub fn weir<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut weir = command(binary());
    weir.args(args);
    weir
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ended {
    /// The exit status.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Panics with what the program said unless it ended with this status.
    pub fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.code(), Some(code), "{}\n{}", self.status, self.stderr);
        self
    }

    /// The lines on standard output.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }
}

/// A program that runs; what it prints goes to files, so that it never waits for a reader.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
}

/// Starts a command.
pub fn start(command: &mut Command) -> Running {
    let stdout = tempfile::tempfile().expect("a file for standard output");
    let stderr = tempfile::tempfile().expect("a file for standard error");
    command.stdout(stdout.try_clone().expect("the same file again"));
    start_with_stdout(command, stdout, stderr)
}

fn start_with_stdout(command: &mut Command, stdout: File, stderr: File) -> Running {
    command.stderr(stderr.try_clone().expect("the same file again"));
    let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    Running { child, stdout, stderr }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ended {
    start(command).wait()
}

/// Runs a command whose standard output is `stdout`.
pub fn run_into(command: &mut Command, stdout: impl Into<Stdio>) -> Ended {
    command.stdout(stdout);
    let none = tempfile::tempfile().expect("a file for standard output");
    let stderr = tempfile::tempfile().expect("a file for standard error");
    start_with_stdout(command, none, stderr).wait()
}

fn all_of(mut file: &File) -> Vec<u8> {
    let mut bytes = vec![];
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read what the program printed");
    bytes
}

impl Drop for Running {
    /// A test that fails leaves nothing running that could disturb the next one.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal; a process that has ended is no error.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// What it has said on standard error so far. It goes on writing at the file's end, so the place is not moved.
    pub fn stderr_so_far(&self) -> String {
        so_far(&self.stderr)
    }

    /// Processes that its threads started and that have not ended, with their names.
    pub fn children(&self) -> Vec<(Pid, String)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads").flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let pids: Vec<i32> =
            lists.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
        let named = |pid: i32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some((Pid::from_raw(pid)?, name.trim().to_owned()))
        };
        pids.into_iter().filter_map(named).collect()
    }

    /// Whether it has ended already.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("ask for the end").is_some()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + RUN_MAX;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait for the end") {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("no end after {RUN_MAX:?}:\n{}", String::from_utf8_lossy(&all_of(&self.stderr)));
            }
            thread::sleep(LOOK_EVERY);
        };
        let stderr = String::from_utf8_lossy(&all_of(&self.stderr)).into_owned();
        Ended { status, stdout: all_of(&self.stdout), stderr }
    }

    /// Waits until the program has said something on standard error, or has ended; returns whether it has said it.
    pub fn wait_until_said(&mut self, text: &str) -> bool {
        let stderr = self.stderr.try_clone().expect("the same file again");
        self.wait_until(|| so_far(&stderr).contains(text))
    }

    /// The same for standard output.
    pub fn wait_until_printed(&mut self, text: &str) -> bool {
        let stdout = self.stdout.try_clone().expect("the same file again");
        self.wait_until(|| so_far(&stdout).contains(text))
    }

    /// Waits until something is there, or the program has ended; returns whether it is there.
    pub fn wait_until(&mut self, mut there: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + RUN_MAX;
        while !there() {
            if self.has_ended() || Instant::now() > deadline {
                return there();
            }
            thread::sleep(LOOK_EVERY);
        }
        true
    }
}

fn so_far(file: &File) -> String {
    let size = file.metadata().expect("the size of what was said").len();
    let mut bytes = vec![0; size as usize];
    let count = file.read_at(&mut bytes, 0).expect("read what the program said");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// Every file below a directory whose name ends so.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        // A directory can vanish while it is looked at.
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(path),
                _ if path.to_string_lossy().ends_with(ending) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The Parquet files below a directory.
pub fn parquet_files(dir: &Path) -> Vec<PathBuf> {
    files(dir, ".parquet")
}
