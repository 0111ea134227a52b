//! What weir tells its operators while it runs: metrics, health, status, and the service manager.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use support::http::{address_in, get};
use support::metrics::Metrics;
use support::program::{Ended, Running, run, start, weir};
use support::skip::is_root;

/// How long something may take to show.
const SHOWS_MAX: Duration = weir_tests::wait::LIMIT;
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Directories that a command makes.
const MKDIRS: usize = 25;

/// A run with endpoints, which records a shell that makes directories and waits.
struct Operated {
    scratch: tempfile::TempDir,
    weir: Running,
    address: SocketAddr,
}

impl Operated {
    /// `more` are further arguments; `change` sets up how weir is started.
    fn start(more: &[&str], change: impl FnOnce(&mut Command, &tempfile::TempDir)) -> Operated {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let script = format!(
            "for i in $(seq {MKDIRS}); do mkdir d$i; done; touch ready; while [ ! -e go ]; do sleep 0.05; done"
        );
        let line = ["run", "--listen", "127.0.0.1:0", "--status", "never", "--class", "file.mkdir,process.exec"];
        let line: Vec<&str> = line.iter().chain(more).chain(&["--", "sh", "-c", &script]).copied().collect();
        let mut command = weir(&line);
        command.current_dir(scratch.path());
        change(&mut command, &scratch);
        let mut weir = start(&mut command);
        let ready = scratch.path().join("ready");
        assert!(weir.wait_until(|| ready.exists()), "the command did not start:\n{}", weir.stderr_so_far());
        let address = address_in(&weir.stderr_so_far());
        Operated { scratch, weir, address }
    }

    fn metrics(&self) -> Metrics {
        let answer = get(self.address, "/metrics");
        assert_eq!(answer.code, 200, "{}", answer.body);
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        Metrics::parse(&answer.body)
    }

    fn status(&self) -> Value {
        let answer = get(self.address, "/status");
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))
    }

    /// Lets the command end.
    fn go(self) -> Ended {
        fs::write(self.scratch.path().join("go"), "").expect("let it go");
        self.weir.wait()
    }
}

/// Waits until a condition holds, or panics with what was seen last.
fn eventually<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> T, holds: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + SHOWS_MAX;
    loop {
        let seen = look();
        if holds(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what} does not show: {seen:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

#[test]
fn the_metrics_count_what_happened_and_what_each_sink_has() {
    if !is_root("the metrics of a run") {
        return;
    }
    let operated = Operated::start(&["--stdout", "json", "--parquet", "data"], |_, _| {});
    let mkdirs = [("class", "file"), ("action", "mkdir")];
    let count = |metrics: &Metrics| metrics.value("weir_events_total", &mkdirs) == Some(MKDIRS as f64);
    let metrics = eventually("every mkdir", || operated.metrics(), count);
    for (name, kind) in [
        ("weir_build_info", "gauge"),
        ("weir_uptime_seconds", "gauge"),
        ("weir_records_total", "counter"),
        ("weir_processes", "gauge"),
        ("weir_numbers_total", "counter"),
        ("weir_ring_bytes", "gauge"),
        ("weir_ring_fill_bytes", "gauge"),
        ("weir_clock_steps_total", "counter"),
        ("weir_sink_rows_total", "counter"),
        ("weir_sink_pending_rows", "gauge"),
        ("weir_sink_errors_total", "counter"),
        ("weir_sink_retries_total", "counter"),
        ("weir_sink_up", "gauge"),
        ("weir_probe_runs_total", "counter"),
        ("weir_probe_run_seconds_total", "counter"),
    ] {
        assert_eq!(metrics.kinds().get(name).map(String::as_str), Some(kind), "{name}");
    }
    for (name, kind) in metrics.kinds() {
        assert!(name.starts_with("weir_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
    for sink in ["stdout", "parquet"] {
        assert_eq!(metrics.value("weir_sink_up", &[("sink", sink)]), Some(1.0), "{sink}");
    }
    let ring = metrics.value("weir_ring_bytes", &[("cpu", "0")]);
    assert_eq!(ring, Some(f64::from(8 << 20)));
    assert!(metrics.sum("weir_processes") > 1.0);
    assert_eq!(metrics.sum("weir_lost_total"), 0.0);
    let written = |metrics: &Metrics| {
        metrics.value("weir_sink_rows_total", &[("sink", "stdout"), ("class", "file")]) == Some(MKDIRS as f64)
    };
    eventually("every row on standard output", || operated.metrics(), written);
    operated.go().expect_code(0);
}

#[test]
fn a_running_weir_is_alive_and_ready_and_says_what_it_does_without_its_secrets() {
    if !is_root("the status of a run") {
        return;
    }
    let secret = "geheim-geheim";
    let operated = Operated::start(&["--parquet", "data", "--nats", "nats://127.0.0.1:1"], |command, _| {
        command.env("WEIR_NATS_TOKEN", secret);
    });
    for path in ["/livez", "/readyz"] {
        let answer = get(operated.address, path);
        assert_eq!((answer.code, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(get(operated.address, "/").code, 200);
    assert_eq!(get(operated.address, "/nothing").code, 404);
    let status = operated.status();
    assert_eq!(status["ready"], true);
    assert_eq!(status["stalled"], Value::Null);
    assert_eq!(status["config"]["nats.token"], "***");
    assert_eq!(status["config"]["sink"][0]["dir"], "data");
    let sinks: BTreeSet<&str> =
        status["sinks"].as_array().expect("sinks").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(sinks, BTreeSet::from(["nats", "parquet"]));
    assert!(status["probes"].as_array().is_some_and(|probes| probes.iter().any(|p| p["state"] == "runs")));
    assert!(!get(operated.address, "/status").body.contains(secret));
    let ended = operated.go();
    assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
}

/// Holds one thread of another process still, while the others go on.
struct Held(libc::pid_t);

impl Held {
    fn hold(thread: libc::pid_t) -> Held {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: these requests read no memory of ours.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) };
        assert_eq!(seized, 0, "seize the thread: {}", std::io::Error::last_os_error());
        // SAFETY: as above.
        let held = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none) };
        assert_eq!(held, 0, "hold the thread: {}", std::io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: `status` is an int to write to.
        let stopped = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        assert_eq!(stopped, thread, "wait until it is held");
        Held(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the request reads no memory of ours.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

#[test]
fn a_reader_that_is_held_up_while_records_come_is_not_alive_until_it_goes_on() {
    if !is_root("a reader that stands still") {
        return;
    }
    let operated = Operated::start(&["--parquet", "data"], |_, _| {});
    // The shell's `sleep` goes on executing, so records come.
    let reader = operated.weir.pid().as_raw_nonzero().get();
    let held = Held::hold(reader);
    let stalled = eventually("the stall", || get(operated.address, "/livez"), |answer| answer.code == 503);
    assert!(stalled.body.starts_with("the reader has not come round for "), "{}", stalled.body);
    assert_eq!(get(operated.address, "/readyz").code, 200);
    assert!(operated.status()["stalled"].is_string());
    drop(held);
    eventually("life", || get(operated.address, "/livez"), |answer| answer.code == 200);
    operated.go().expect_code(0);
}

/// What a service manager hears.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(scratch: &tempfile::TempDir) -> Manager {
        let path = scratch.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(SHOWS_MAX)).expect("a limit");
        Manager { socket, path }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).expect("a message to the service manager");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }
}

#[test]
fn the_service_manager_hears_that_weir_is_ready_alive_and_about_to_stop() {
    if !is_root("messages to the service manager") {
        return;
    }
    let mut manager = None;
    let operated = Operated::start(&["--parquet", "data"], |command, scratch| {
        let listening = Manager::listen(scratch);
        command.env("NOTIFY_SOCKET", &listening.path).env("WATCHDOG_USEC", "300000");
        manager = Some(listening);
    });
    let manager = manager.expect("it listens");
    let mut heard = vec![];
    while !(heard.iter().any(|m| m == "READY=1\n") && heard.iter().filter(|m| *m == "WATCHDOG=1\n").count() >= 3) {
        heard.push(manager.next());
    }
    operated.weir.signal(Signal::TERM);
    let stopping = loop {
        let message = manager.next();
        if !message.starts_with("WATCHDOG=1") {
            break message;
        }
    };
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    operated.go();
}

/// Ports that a process listens at, of either family.
fn listening(pid: i32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    let inodes: BTreeSet<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|target| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables = ["tcp", "tcp6", "udp", "udp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")));
    let lines = tables.into_iter().flatten().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| line.split_whitespace().nth(9).is_some_and(|inode| inodes.contains(inode))).collect()
}

#[test]
fn nothing_listens_unless_it_is_asked_to() {
    if !is_root("the sockets of a run") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let script = "touch ready; while [ ! -e go ]; do sleep 0.05; done";
    let mut weir = start(
        weir(&["run", "--status", "never", "--class", "process.exec", "--parquet", "data", "--", "sh", "-c", script])
            .current_dir(scratch.path()),
    );
    let ready = scratch.path().join("ready");
    assert!(weir.wait_until(|| ready.exists()), "{}", weir.stderr_so_far());
    assert_eq!(listening(weir.pid().as_raw_nonzero().get()), Vec::<String>::new());
    fs::write(scratch.path().join("go"), "").expect("let it go");
    weir.wait().expect_code(0);
    let operated = Operated::start(&["--parquet", "data"], |_, _| {});
    assert_eq!(listening(operated.weir.pid().as_raw_nonzero().get()).len(), 1, "the look itself finds what listens");
    operated.go().expect_code(0);
}

#[test]
fn an_address_that_is_taken_is_named_at_the_start() {
    if !is_root("an address that is taken") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let line = ["run", "--listen", &address, "--parquet", "data", "--", "true"];
    let ended = run(weir(&line).current_dir(scratch.path())).expect_code(125);
    assert!(ended.stderr.contains(&format!("listen at {address}; choose another address")), "{}", ended.stderr);
}
