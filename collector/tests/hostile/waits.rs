//! A replay to nobody says what it waits for.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::made::capture;

/// Seconds of the life of a replay that says nothing.
const LIFE_MAX: &str = "60";

/// The first line of a replay to this address that says that it waits; `None` if it ends without one.
fn first_word(dir: &Path, address: &str) -> Option<String> {
    let mut command = Command::new("timeout");
    command.args([LIFE_MAX, env!("CARGO_BIN_EXE_weir"), "replay"]).arg(dir).args(["--kafka", address]);
    let mut child = command.env_remove("WEIR_CONFIG").stderr(Stdio::piped()).spawn().expect("weir starts");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let word = lines.map_while(Result::ok).find(|line| line.contains("the replay has waited"));
    // It ends with `timeout`, which hands the signal on.
    let pid = rustix::process::Pid::from_child(&child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let _ = child.wait();
    word
}

#[test]
fn a_replay_to_nobody_says_what_it_waits_for() {
    let dir = tempfile::tempdir().expect("a directory");
    capture(dir.path(), 2, 3);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let refused = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a port");
    for address in [refused, silent.local_addr().expect("its address")] {
        let word = first_word(dir.path(), &address.to_string());
        assert!(word.as_ref().is_some_and(|word| word.contains("kafka")), "{address}: {word:?}");
    }
}
