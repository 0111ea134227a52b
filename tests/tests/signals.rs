//! Signals while weir runs a command: who gets them, what is still recorded, and how it ends.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::program::{Ended, Running, start, weir};
use support::rows::rows;
use support::skip::{has, is_root, skip};
use support::verified::verify;

/// Ctrl-C, as a terminal's keyboard sends it.
const CTRL_C: u8 = 3;
/// A turn of a command that waits; its own child ends soon, whoever kills the shell.
const TURN: &str = "sleep 0.05";

/// A command under `weir run`, in a directory of its own.
struct Commanded {
    scratch: tempfile::TempDir,
    weir: Running,
}

impl Commanded {
    /// Starts `sh -c SCRIPT`, which makes `ready` first; `change` sets up how weir is started.
    fn start(script: &str, change: impl FnOnce(Vec<String>) -> std::process::Command) -> Commanded {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let data = scratch.path().join("data").display().to_string();
        let script = format!("echo $$ >pid; {script}");
        let line =
            ["run", "--status", "never", "--class", "file.mkdir,process", "--stdout", "json", "--parquet", &data];
        let line = line.into_iter().chain(["--", "sh", "-c", &script]).map(str::to_owned).collect();
        let weir = start(change(line).current_dir(scratch.path()));
        let mut commanded = Commanded { scratch, weir };
        let ready = commanded.path("ready");
        assert!(commanded.weir.wait_until(|| ready.exists()), "the command did not start");
        commanded
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn wait_for(&mut self, name: &str) {
        let path = self.path(name);
        assert!(self.weir.wait_until(|| path.exists()), "no {name}");
    }

    /// The shell's process.
    fn command(&self) -> Pid {
        let text = fs::read_to_string(self.path("pid")).expect("the command's pid");
        text.trim().parse().ok().and_then(Pid::from_raw).expect("a pid")
    }

    /// Waits for weir's end with this status, and looks at what was recorded: complete, with these directories made.
    fn end(self, code: i32, made: &[&str]) -> (tempfile::TempDir, Ended) {
        let ended = self.weir.wait().expect_code(code);
        verify(&self.scratch.path().join("data")).expect_code(0);
        let rows = rows(&ended.stdout);
        for name in made {
            let row = rows.iter().any(|row| row.is("file", "mkdir") && row.text("path_raw") == *name);
            assert!(row, "no row of mkdir {name}");
        }
        (self.scratch, ended)
    }
}

fn plainly(line: Vec<String>) -> std::process::Command {
    weir(&line)
}

#[test]
fn a_signal_to_weir_reaches_the_command_and_what_it_does_about_it_is_recorded() {
    if !is_root("signals to weir") {
        return;
    }
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT")] {
        let script = format!("trap 'mkdir heard; exit 9' {name}; mkdir ready; while :; do {TURN}; done");
        let commanded = Commanded::start(&script, plainly);
        commanded.weir.signal(signal);
        commanded.end(9, &["ready", "heard"]);
    }
}

#[test]
fn a_command_that_the_signal_ends_gives_its_status() {
    if !is_root("a command that a signal ends") {
        return;
    }
    let commanded = Commanded::start("mkdir ready; exec sleep 600", plainly);
    commanded.weir.signal(Signal::TERM);
    commanded.end(128 + 15, &["ready"]);
}

#[test]
fn weir_stops_in_order_without_a_command_that_does_not_end() {
    if !is_root("a command that does not end") {
        return;
    }
    let script = format!("trap '' TERM; mkdir ready; until [ -e done ]; do {TURN}; done; mkdir over");
    let commanded = Commanded::start(&script, plainly);
    let command = commanded.command();
    commanded.weir.signal(Signal::TERM);
    let (scratch, ended) = commanded.end(128 + 15, &["ready"]);
    assert!(ended.stderr.contains("stopping without it"), "{}", ended.stderr);
    expect_alive_and_end(command, scratch.path());
}

#[test]
fn a_second_signal_stops_weir_at_once_and_kills_nobody() {
    if !is_root("a second signal with a command") {
        return;
    }
    let script = format!("trap '' TERM INT; mkdir ready; until [ -e done ]; do {TURN}; done; mkdir over");
    let commanded = Commanded::start(&script, plainly);
    let command = commanded.command();
    commanded.weir.signal(Signal::TERM);
    commanded.weir.signal(Signal::INT);
    let scratch = commanded.scratch;
    commanded.weir.wait().expect_code(130);
    expect_alive_and_end(command, scratch.path());
}

/// The command was left alone: it ends when it is told to, and not before.
fn expect_alive_and_end(command: Pid, dir: &Path) {
    test_kill_process(command).expect("the command lives");
    assert!(!dir.join("over").exists());
    File::create(dir.join("done")).expect("a mark");
    while test_kill_process(command).is_ok() && !dir.join("over").exists() {
        std::thread::yield_now();
    }
    assert!(dir.join("over").exists(), "the command was killed");
}

#[test]
fn a_signal_before_the_command_runs_keeps_it_from_running() {
    if !is_root("an early signal") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mark = scratch.path().join("ran");
    let line = ["run", "--status", "never", "--stdout", "json", "--", "sh", "-c", ": >\"$0\"; exec sleep 600"];
    let mut weir = start(weir(&line).arg(&mark));
    // The handlers are set before the gate is there.
    let children = format!("/proc/{0}/task/{0}/children", weir.pid());
    if !Path::new(&children).exists() {
        return skip("an early signal", format_args!("this kernel has no {children}"));
    }
    weir.wait_until(|| fs::read_to_string(&children).is_ok_and(|pids| !pids.is_empty()));
    weir.signal(Signal::TERM);
    let ended = weir.wait();
    assert_eq!(ended.code(), Some(128 + 15), "{}", ended.stderr);
    assert!(!mark.exists());
}

/// weir in a session of its own at a new terminal, whose keyboard is the other end.
fn at_terminal(terminal: OwnedFd) -> impl FnOnce(Vec<String>) -> std::process::Command {
    move |line| {
        let mut session = support::program::command("setsid");
        session.arg("--ctty").arg("--wait").arg(support::program::binary()).args(line);
        session.stdin(Stdio::from(terminal));
        session
    }
}

#[test]
fn a_ctrl_c_at_the_terminal_is_the_commands_own_and_comes_to_it_once() {
    if !is_root("Ctrl-C at a terminal") || !has("Ctrl-C at a terminal", "setsid", "--version") {
        return;
    }
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a terminal that can be used");
    let name = ptsname(&keyboard, vec![]).expect("its name");
    let terminal = File::options().read(true).write(true).open(Path::new(name.to_str().expect("a name in ASCII")));
    let script = format!(
        "trap 'echo heard >>signals; mkdir heard' INT; mkdir ready; until [ -e done ]; do {TURN}; done; mkdir over; exit 3"
    );
    let mut commanded = Commanded::start(&script, at_terminal(terminal.expect("the terminal").into()));
    File::from(keyboard.try_clone().expect("the keyboard again")).write_all(&[CTRL_C]).expect("Ctrl-C");
    commanded.wait_for("heard");
    File::create(commanded.path("done")).expect("a mark");
    let (scratch, _) = commanded.end(3, &["ready", "heard", "over"]);
    assert_eq!(fs::read_to_string(scratch.path().join("signals")).expect("what was heard"), "heard\n");
}

#[test]
fn a_command_in_a_group_that_is_told_to_stop_ends_in_order() {
    if !is_root("timeout") || !has("timeout", "timeout", "--version") {
        return;
    }
    // timeout(1) tells its child, and then everybody in its group, the child included: that is one signal.
    let commanded = Commanded::start("mkdir ready; exec sleep 600", |line| {
        let mut timeout = support::program::command("timeout");
        timeout.arg("600").arg(support::program::binary()).args(line);
        timeout
    });
    let _ = kill_process(commanded.weir.pid(), Signal::TERM);
    commanded.end(128 + 15, &["ready"]);
}
