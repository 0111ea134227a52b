//! Who the collector's own processes are, when the programs outlive it. Needs root.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use support::delivery::{Markers, collector, config, has_bpf_fs, wait_for_start};
use support::program::Running;
use support::rows::{Row, rows};
use support::skip::{is_root, skip};

/// Others fork too, so the number that was asked for can be gone.
const TRIES: usize = 2_000;
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Lets a shell with this process id open a file; `false` if the kernel does not let one choose.
fn open_as(pid: Pid, file: &Path) -> bool {
    let pid = pid.as_raw_nonzero().get() as u32;
    for _ in 0..TRIES {
        if fs::write(LAST_PID, (pid - 1).to_string()).is_err() {
            return false;
        }
        let script = format!("read go && : > {}", file.display());
        let mut shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().expect("a shell");
        let mut input = shell.stdin.take().expect("a pipe");
        let is_it = shell.id() == pid;
        if is_it {
            std::io::Write::write_all(&mut input, b"go\n").expect("it listens");
        }
        drop(input);
        shell.wait().expect("its end");
        if is_it {
            return true;
        }
    }
    panic!("process id {pid} was never had in {TRIES} tries");
}

/// What a collector with these settings prints from its start until it has printed `path`.
fn rows_until(config: &Path, path: &Path) -> Vec<Row> {
    let mut running = start(config);
    let is_there = running.wait_until_printed(&path.to_string_lossy());
    running.signal(Signal::INT);
    if !is_there {
        let ended = running.wait();
        let printed = String::from_utf8_lossy(&ended.stdout);
        panic!("{} is not printed, but {printed}{}", path.display(), ended.stderr);
    }
    rows(&running.wait().expect_code(0).stdout)
}

fn start(config: &Path) -> Running {
    collector(config, &["--stdout", "json"])
}

#[test]
fn a_process_that_gets_the_pid_of_a_dead_collector_is_recorded() {
    let what = "the pid of a dead collector";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut markers = Markers::new(scratch.path());
    let config = config(scratch.path(), "");
    let mut running = start(&config);
    wait_for_start(&mut running, scratch.path());
    markers.make(1);
    let pid = running.pid();
    running.signal(Signal::KILL);
    running.wait();
    let file = scratch.path().join("markers/heir");
    if !open_as(pid, &file) {
        return skip(what, "the next process id cannot be chosen here");
    }
    let rows = rows_until(&config, &file);
    let heir = rows.iter().find(|row| row.is("file", "open") && row.text("path") == file.to_string_lossy());
    assert_eq!(heir.and_then(|row| row.number("pid")), Some(i64::from(pid.as_raw_nonzero().get())));
}
