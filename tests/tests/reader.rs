//! The thread that reads the rings never waits for a file: neither in a call of its own, nor for a thread that is in one. The
//! calls are those that strace sees; the disk that stands still is strace too, which holds up every write or sync.

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use support::delivery::{Markers, collector, has_bpf_fs, settings, wait_for_a_file};
use support::http::{address_in, get};
use support::metrics::Metrics;
use support::program::{Running, command, run, start, weir};
use support::skip::{has, is_root};
use support::strace::{self, Call, What};

/// Files opened at a time: any ring of these tests holds their records.
const PORTION: u64 = 100;
/// Portions of a load that goes on for a while.
const PORTIONS: u64 = 40;
/// A held up call takes longer than any test.
const FOR_EVER: &str = "delay_enter=1000s";
/// Rings that hold some portions, and not all of them.
const SMALL_RINGS: &str = "ring_bytes = \"256KiB\"\n";
/// What every collector here is told: an endpoint, and lanes that are soon full.
const TOP: &str = "classes = [\"file\", \"process\", \"container\"]\nlisten = \"127.0.0.1:0\"\nlane_cuts_max = 4\n";

/// Calls that concern memory, time, other threads and the programs, but no file.
const HARMLESS: &[&str] = &[
    "bpf",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "clone3",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "exit",
    "futex",
    "getrandom",
    "gettid",
    "madvise",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "perf_event_open",
    "restart_syscall",
    "rseq",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
];

/// A broker that takes connections and never says a word.
struct Silent {
    listener: TcpListener,
}

impl Silent {
    fn start() -> Silent {
        Silent { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    fn sink(&self) -> String {
        let address = self.listener.local_addr().expect("its address");
        format!("[[sink]]\ntype = \"nats\"\nservers = [\"nats://{address}\"]\n")
    }
}

fn spool(scratch: &Path, mode: &str) -> String {
    format!("[spool]\ndir = \"{}/spool\"\nmode = \"{mode}\"\nsegment_bytes = \"1MiB\"\n", scratch.display())
}

fn metrics(address: SocketAddr) -> Metrics {
    Metrics::parse(&get(address, "/metrics").body)
}

/// Whether the descriptor of a call is no file: something of the kernel's own, or a socket.
fn is_no_file(descriptor: &str) -> bool {
    let behind = descriptor.split_once('<').map_or("", |(_, behind)| behind);
    descriptor == "-1" || ["anon_inode:", "NETLINK:", "socket:", "UNIX"].iter().any(|kind| behind.starts_with(kind))
}

fn is_harmless(call: &Call) -> bool {
    let descriptor = |at: usize| call.args.get(at).is_some_and(|arg| is_no_file(arg));
    match call.name.as_str() {
        "read" | "write" | "recvfrom" | "sendto" | "close" | "fcntl" | "ioctl" => descriptor(0),
        "mmap" => descriptor(4),
        name => HARMLESS.contains(&name),
    }
}

/// strace at work on a process; it lets go when it is told to.
struct Trace {
    strace: Running,
    log: PathBuf,
}

impl Trace {
    /// Follows the thread that reads the rings, which is the process's first, or with `-f` all of them.
    fn start(of: &Running, scratch: &Path, args: &[&str]) -> Trace {
        let log = scratch.join("strace");
        let pid = of.pid().as_raw_nonzero().to_string();
        let mut strace = command("strace");
        let mut strace = start(strace.args(["-q", "-y", "-o"]).arg(&log).args(args).args(["-p", &pid]));
        let status = format!("/proc/{pid}/status");
        let is_traced = || fs::read_to_string(&status).is_ok_and(|text| !text.contains("TracerPid:\t0\n"));
        assert!(strace.wait_until(is_traced), "{}", strace.stderr_so_far());
        Trace { strace, log }
    }

    /// Lets go, and returns what it saw.
    fn end(&mut self) -> String {
        self.strace.signal(Signal::INT);
        assert!(self.strace.wait_until(|| false) || self.strace.has_ended(), "strace stays");
        fs::read_to_string(&self.log).expect("what strace saw")
    }
}

impl Drop for Trace {
    /// A test that fails leaves no call held up.
    fn drop(&mut self) {
        self.strace.signal(Signal::KILL);
    }
}

/// A new cgroup that looks like a container: somebody has to be asked for its name.
struct Lookalike(PathBuf);

impl Lookalike {
    fn make() -> Option<Lookalike> {
        let name = format!("docker-{:064x}.scope", std::process::id());
        let path = Path::new("/sys/fs/cgroup").join(name);
        fs::create_dir(&path).ok().map(|()| Lookalike(path))
    }
}

impl Drop for Lookalike {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Waits until the reader has seen all that was opened so far.
fn wait_for_records(running: &mut Running, address: SocketAddr, count: f64) {
    let has_read = || metrics(address).sum("weir_records_total") >= count;
    assert!(running.wait_until(has_read), "the reader stands: {}", running.stderr_so_far());
}

/// Takes away what outlives a collector in mode crash.
fn detach(scratch: &Path) {
    run(weir(&["detach", "--spool"]).arg(scratch.join("spool"))).expect_code(0);
}

/// Whether some thread of the process stands in a call that strace holds up.
fn is_held_up(running: &Running) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.pid().as_raw_nonzero()));
    let state = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).unwrap_or_default();
    tasks.into_iter().flatten().flatten().any(|task| state(task).contains("State:\tt"))
}

/// Opens files, a portion at a time, until something holds.
fn make_until(
    running: &mut Running,
    markers: &mut Markers,
    address: SocketAddr,
    holds: impl Fn(&Running, &Metrics) -> bool,
) {
    let mut limit = 0;
    while !holds(running, &metrics(address)) {
        limit += 1;
        assert!(limit < 10_000 && !running.has_ended(), "{}", running.stderr_so_far());
        markers.make(PORTION);
    }
}

/// All calls of the reader while events come, sinks have no room, users, containers, filters and sinks change.
fn calls_of_the_reader(spool_mode: Option<&str>) -> Vec<Call> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let scratch = scratch.path();
    let silent = Silent::start();
    let spool = spool_mode.map_or_else(String::new, |mode| spool(scratch, mode));
    let config = settings(scratch, TOP, &spool, &silent.sink());
    let mut markers = Markers::new(scratch);
    let mut running = collector(&config, &[]);
    wait_for_a_file(&mut running, &scratch.join("parquet"), &markers);
    let address = address_in(&running.stderr_so_far());
    let mut trace = Trace::start(&running, scratch, &[]);
    let lookalike = Lookalike::make();
    let read = metrics(address).sum("weir_records_total");
    for n in 1..=PORTIONS {
        markers.make(PORTION);
        wait_for_records(&mut running, address, read + (n * PORTION) as f64);
    }
    drop(lookalike);
    let other = fs::read_to_string(&config)
        .expect("the settings")
        .replace("[filter]\n", "[filter]\nexcept_comm = [\"nobody\"]\n");
    fs::write(&config, other + "[[sink]]\ntype = \"stdout\"\nformat = \"json\"\n").expect("other settings");
    running.signal(Signal::HUP);
    let reloaded = || metrics(address).sum("weir_reloads_total") > 0.0;
    let done =
        running.wait_until(reloaded) && metrics(address).value("weir_reloads_total", &[("result", "ok")]) == Some(1.0);
    assert!(done, "{}", running.stderr_so_far());
    markers.make(PORTION);
    wait_for_records(&mut running, address, read + ((PORTIONS + 1) * PORTION) as f64);
    let seen = trace.end();
    running.signal(Signal::KILL);
    running.wait();
    if spool_mode == Some("crash") {
        detach(scratch);
    }
    // The call that it stood in when strace let go has no end.
    let whole = seen.lines().filter(|line| !line.ends_with("<detached ...>"));
    let lines = whole.map(|line| format!("0 {line}\n")).collect::<String>();
    let calls = strace::lines(&lines).into_iter().filter_map(|line| match line.what {
        What::Call(call) => Some(call),
        _ => None,
    });
    calls.collect()
}

fn expect_no_file(what: &str, spool_mode: Option<&str>) {
    if !is_root(what) || !has(what, "strace", "-V") || spool_mode == Some("crash") && !has_bpf_fs(what) {
        return;
    }
    let calls = calls_of_the_reader(spool_mode);
    assert!(
        calls.iter().any(|call| call.name.contains("nanosleep") || call.name.starts_with("epoll")),
        "no call was seen"
    );
    let wrong: Vec<&Call> = calls.iter().filter(|call| !is_harmless(call)).collect();
    assert!(wrong.is_empty(), "{} calls on files: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}

#[test]
fn the_reader_makes_no_call_on_a_file_without_a_spool() {
    expect_no_file("the reader without a spool", None);
}

#[test]
fn the_reader_makes_no_call_on_a_file_when_sinks_overflow_into_a_spool() {
    expect_no_file("the reader with an overflow", Some("none"));
}

#[test]
fn the_reader_makes_no_call_on_a_file_when_all_goes_through_the_spool() {
    expect_no_file("the reader in mode crash", Some("crash"));
}

#[test]
fn a_write_of_the_spool_that_stands_still_holds_up_only_who_needs_it() {
    let what = "a write of the spool that stands still";
    if !is_root(what) || !has(what, "strace", "-V") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let scratch = scratch.path();
    let silent = Silent::start();
    // Standard output has no part in the spool; the Parquet files may have, on a machine that is slow for a moment.
    let sinks = silent.sink() + "[[sink]]\ntype = \"stdout\"\nformat = \"json\"\n";
    let config = settings(scratch, TOP, &spool(scratch, "none"), &sinks);
    let mut markers = Markers::new(scratch);
    let mut running = collector(&config, &[]);
    wait_for_a_file(&mut running, &scratch.join("parquet"), &markers);
    let address = address_in(&running.stderr_so_far());
    // Only the spool writes at places of its own choice.
    let inject = format!("inject=pwrite64:{FOR_EVER}");
    let mut trace = Trace::start(&running, scratch, &["-f", "-e", "trace=pwrite64", "-e", &inject]);
    make_until(&mut running, &mut markers, address, |running, _| is_held_up(running));
    let rounds = metrics(address).sum("weir_reader_rounds_total");
    let rows = |metrics: &Metrics| metrics.value("weir_sink_rows_total", &[("sink", "stdout"), ("class", "file")]);
    let before = rows(&metrics(address)).unwrap_or(0.0);
    // Far more than what may already have been on its way.
    make_until(&mut running, &mut markers, address, |_, now| {
        rows(now).unwrap_or(0.0) > before + (PORTIONS * PORTION) as f64
    });
    assert!(is_held_up(&running) && metrics(address).sum("weir_reader_rounds_total") > rounds);
    drop(trace.end());
    running.signal(Signal::KILL);
    running.wait();
}

#[test]
fn a_sync_of_the_spool_that_takes_long_keeps_no_room_of_the_rings() {
    let what = "a sync of the spool that takes long";
    if !is_root(what) || !has(what, "strace", "-V") || !has_bpf_fs(what) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let scratch = scratch.path();
    let top = TOP.replace(", \"process\", \"container\"", "") + SMALL_RINGS;
    let config = settings(scratch, &top, &spool(scratch, "crash"), "");
    let mut markers = Markers::new(scratch);
    let mut running = collector(&config, &[]);
    wait_for_a_file(&mut running, &scratch.join("parquet"), &markers);
    let address = address_in(&running.stderr_so_far());
    let inject = format!("inject=fdatasync,fsync:{FOR_EVER}");
    let mut trace = Trace::start(&running, scratch, &["-f", "-e", "trace=fdatasync,fsync", "-e", &inject]);
    make_until(&mut running, &mut markers, address, |running, _| is_held_up(running));
    let (read, lost) = (metrics(address).sum("weir_records_total"), metrics(address).sum("weir_lost_total"));
    for n in 1..=PORTIONS {
        markers.make(PORTION);
        wait_for_records(&mut running, address, read + (n * PORTION) as f64);
    }
    let now = metrics(address);
    assert!(is_held_up(&running));
    assert_eq!(now.sum("weir_lost_total"), lost, "full rings lost what the spool had");
    drop(trace.end());
    running.signal(Signal::TERM);
    running.wait().expect_code(0);
    detach(scratch);
}
