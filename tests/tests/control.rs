//! The control socket of a running weir: who finds it, who may ask, and that nobody else is asked or signalled.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use support::program::{Ended, Running, binary, command, run, start, weir};
use support::skip::{has, is_root};

/// A weir with a control socket of its own.
struct Controlled {
    scratch: tempfile::TempDir,
    weir: Option<Running>,
}

impl Drop for Controlled {
    fn drop(&mut self) {
        self.weir.iter().for_each(|weir| weir.signal(Signal::KILL));
    }
}

impl Controlled {
    fn start(more: &[&str]) -> Controlled {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        fs::write(scratch.path().join("weir.toml"), "classes = [\"file.mkdir\"]\n").expect("the settings");
        let line =
            ["run", "--config", "weir.toml", "--control", "./control.sock", "--parquet", "data", "--status", "never"];
        let mut weir = start(weir(&line).args(more).current_dir(scratch.path()));
        let socket = scratch.path().join("control.sock");
        let says = || run(&mut ask(&["status", "--json"], &socket)).stdout;
        let is_ready = || serde_json::from_slice::<Value>(&says()).is_ok_and(|status| status["ready"] == true);
        assert!(weir.wait_until(|| socket.exists() && is_ready()), "{}", weir.stderr_so_far());
        Controlled { scratch, weir: Some(weir) }
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path().join("control.sock")
    }

    fn ask(&self, line: &[&str]) -> Ended {
        run(&mut ask(line, &self.socket()))
    }

    fn pid(&self) -> i32 {
        self.weir.as_ref().map_or(0, |weir| weir.pid().as_raw_nonzero().get())
    }

    fn stop(self) -> Ended {
        self.stop_with(0)
    }

    fn stop_with(mut self, code: i32) -> Ended {
        let weir = self.weir.take().expect("it runs");
        weir.signal(Signal::TERM);
        weir.wait().expect_code(code)
    }
}

fn ask(line: &[&str], socket: &Path) -> std::process::Command {
    let mut weir = weir(line);
    weir.arg("--socket").arg(socket);
    weir
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_status_says_what_runs_how_far_behind_it_is_and_what_it_may_do() {
    if !is_root("the status of a run") {
        return;
    }
    let controlled = Controlled::start(&["--nats", "nats://127.0.0.1:1", "--stop-wait", "1s"]);
    fs::create_dir(controlled.scratch.path().join("made")).expect("an event");
    let socket = fs::symlink_metadata(controlled.socket()).expect("the socket");
    assert_eq!((socket.mode() & 0o777, socket.uid()), (0o600, 0));
    let status: Value =
        serde_json::from_slice(&controlled.ask(&["status", "--json"]).expect_code(0).stdout).expect("JSON");
    assert_eq!(status["pid"], controlled.pid());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["classes"], serde_json::json!(["file", "loss"]));
    assert!(status["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{}", status["since"]);
    for key in ["resident_bytes", "resident_bytes_max", "rings_bytes", "queues_bytes_max"] {
        assert!(status["memory"][key].as_u64().is_some_and(|bytes| bytes > 0), "{key}: {}", status["memory"]);
    }
    let sinks = status["sinks"].as_array().expect("sinks");
    for sink in sinks {
        for key in ["name", "state", "pending_rows", "lag_seconds", "lost_by_reason"] {
            assert!(!sink[key].is_null(), "{key}: {sink}");
        }
    }
    let threads: Vec<&str> =
        status["rights"]["threads"].as_array().expect("threads").iter().filter_map(|t| t["thread"].as_str()).collect();
    for thread in ["weir", "control", "signals", "reload"] {
        assert!(threads.contains(&thread), "{threads:?}");
    }
    let shown = text(&controlled.ask(&["status"]).expect_code(0).stdout);
    assert!(
        shown.starts_with(&format!("weir {} (process {})", env!("CARGO_PKG_VERSION"), controlled.pid())),
        "{shown}"
    );
    for part in ["sink        parquet: ", "sink        nats: ", "memory", "rights      control: "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let socket = controlled.socket();
    // What nobody took at 127.0.0.1:1 is not delivered.
    controlled.stop_with(125);
    assert!(!socket.exists(), "the socket goes with the run");
}

#[test]
fn a_process_that_calls_itself_weir_run_is_neither_asked_nor_signalled() {
    if !is_root("a reload beside an impostor") {
        return;
    }
    let controlled = Controlled::start(&[]);
    let dir = controlled.scratch.path();
    let script = "trap 'touch hup' HUP; touch ready; while [ ! -e go ]; do sleep 0.02; done";
    fs::write(dir.join("run"), script).expect("a script");
    let mut impostor = start(command("sh").arg0("weir").arg("run").current_dir(dir));
    assert!(impostor.wait_until(|| dir.join("ready").exists()));
    let pid = impostor.pid().as_raw_nonzero().to_string();
    let done = controlled.ask(&["reload"]).expect_code(0);
    assert!(text(&done.stdout).contains("nothing has changed"), "{}", text(&done.stdout));
    let refused = run(&mut weir(&["reload", "--pid", &pid])).expect_code(1);
    assert!(refused.stderr.contains(&format!("no `weir run` with process id {pid}")), "{}", refused.stderr);
    fs::write(dir.join("weir.toml"), "classes = [\"file.mkdir\"]\n[filter]\nexcept_comm = [\"x\"]\n")
        .expect("the settings");
    let done = controlled.ask(&["reload"]).expect_code(0);
    assert!(text(&done.stdout).contains("the filters have changed"), "{}", text(&done.stdout));
    fs::write(dir.join("weir.toml"), "classes = [\"fil\"]\n").expect("the settings");
    let wrong = controlled.ask(&["reload"]).expect_code(1);
    assert!(wrong.stderr.contains("was not put in force"), "{}", wrong.stderr);
    fs::write(dir.join("go"), "").expect("let it go");
    impostor.wait().expect_code(0);
    assert!(!dir.join("hup").exists(), "it was signalled");
    controlled.stop();
}

/// In a mount namespace with an empty /run: nobody else's collectors are there.
const ALONE: &str = r#"
mount -t tmpfs none /run
one() { "$WEIR" run --class file.mkdir --status never --log-level error --parquet "$1" & }
until_there() { until [ "$("$WEIR" status --json 2>/dev/null | grep -c '"ready": true')" = 1 ] || ! kill -0 "$1"; do sleep 0.02; done; }
"$WEIR" status && exit 10
one a; first=$!; until_there $first
"$WEIR" reload || exit 11
one b; second=$!
until [ -S /run/weir/$second.sock ] || ! kill -0 $second; do sleep 0.02; done
"$WEIR" reload && exit 12
"$WEIR" reload --pid $second || exit 13
kill -KILL $second; wait $second
"$WEIR" status || exit 14
[ ! -e /run/weir/$second.sock ] || exit 15
kill $first; wait $first || exit 16
ls -A /run/weir
"#;

#[test]
fn one_is_found_without_an_argument_two_are_listed_and_the_dead_forgotten() {
    let what = "collectors in a run directory of their own";
    if !is_root(what) || !has(what, "unshare", "--version") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut shell = command("unshare");
    shell.args(["--mount", "sh", "-c", ALONE]).env("WEIR", binary()).current_dir(scratch.path());
    let ended = run(&mut shell);
    let out = text(&ended.stdout);
    let ended = ended.expect_code(0);
    assert!(ended.stderr.contains("no `weir run` is running here"), "{}", ended.stderr);
    assert!(ended.stderr.contains("more than one `weir run` is running: choose one"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("/run/weir/").count(), 2, "both are listed: {}", ended.stderr);
    assert_eq!(out.matches(": nothing has changed").count(), 2, "{out}");
    assert!(out.ends_with(".lock\n"), "nothing else is left: {out}");
}
