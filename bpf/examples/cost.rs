//! What a system call pays for the programs: the difference to a bare call, by medians of interleaved rounds.
//!
//! One CPU makes the calls, another drains the ring meanwhile. Needs root and two CPUs; `cargo run --release -p weir-bpf
//! --example cost [ROUNDS]`. On a busy machine look at the spread: the quartiles stand behind each median.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::ffi::{CString, c_long};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_bpf::ring::{Next, Ring};
use weir_bpf::{Filters, Loaded, Selection, Settings};
use weir_schema::CLASSES;

const ROUNDS_DEFAULT: usize = 11;
/// Calls that are timed as one: long against the clock, short against a time slice.
const CALLS_PER_BATCH: usize = 500;
/// Batches of a round; its result is their median.
const BATCHES: usize = 200;
const OPENS_PER_BATCH: usize = 100;
const NAP: Duration = Duration::from_micros(200);

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).expect("pin to a CPU");
}

fn settings(actions: BTreeSet<u16>, calls: &[&'static str]) -> Settings {
    Settings {
        selection: Selection {
            actions,
            calls: calls.iter().copied().collect(),
            timed: false,
        },
        filters: Filters {
            include_self: true,
            ..Filters::default()
        },
        ring_bytes: 8 << 20,
        lifecycle_bytes: 1 << 20,
        args_bytes_max: 4096,
        env: false,
        followed_max: 1024,
        possible_cpus: 2,
        online_cpus: vec![0, 1],
        cgroup_root: None,
    }
}

fn default_classes() -> BTreeSet<u16> {
    let selected = CLASSES
        .iter()
        .filter(|c| c.has_record() && c.default)
        .flat_map(|c| c.actions);
    selected.filter(|a| !a.on_request).map(|a| a.id).collect()
}

/// What is timed: one batch, in ns per call.
type Batch<'a> = &'a dyn Fn() -> f64;

fn calls(nr: c_long) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS_PER_BATCH {
        // SAFETY: calls without arguments that only return a number.
        unsafe { libc::syscall(nr) };
    }
    start.elapsed().as_nanos() as f64 / CALLS_PER_BATCH as f64
}

/// Only the opens are timed, not the closes.
fn opens(path: &CString) -> f64 {
    let mut fds = [0; OPENS_PER_BATCH];
    let start = Instant::now();
    for fd in &mut fds {
        // SAFETY: a NUL-terminated path and no pointer that is kept.
        *fd = unsafe {
            libc::openat(
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::O_RDONLY | libc::O_CLOEXEC,
            )
        };
    }
    let ns = start.elapsed().as_nanos() as f64 / OPENS_PER_BATCH as f64;
    for fd in fds {
        assert!(fd >= 0, "open");
        // SAFETY: opened above, used by nobody else.
        unsafe { libc::close(fd) };
    }
    ns
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q) as usize]
}

fn round(batch: Batch<'_>) -> f64 {
    let mut all: Vec<f64> = (0..BATCHES).map(|_| batch()).collect();
    quantile(&mut all, 0.5)
}

fn drain(rings: &mut [Ring], stop: &AtomicBool) -> u64 {
    let mut read = 0;
    while !stop.load(Ordering::Relaxed) {
        for ring in rings.iter_mut() {
            let (mut at, producer) = (ring.consumer_position(), ring.producer_position());
            while let Next::Record { end, .. } = ring.next(at, producer) {
                at = end;
                read += 1;
            }
            ring.release(at);
        }
        std::thread::sleep(NAP);
    }
    read
}

/// Rounds of bare and attached in turn; prints the difference.
fn measure(name: &str, limit_ns: f64, rounds: usize, settings: &Settings, batch: Batch<'_>) {
    let mut loaded = Loaded::load(settings).expect("load");
    let mut rings: Vec<Ring> = (0..2)
        .map(|cpu| loaded.create_ring(cpu).expect("ring"))
        .collect();
    for (cpu, ring) in rings.iter().enumerate() {
        loaded.install_ring(cpu, ring).expect("install the ring");
    }
    let stop = AtomicBool::new(false);
    let (mut bare, mut over) = (vec![], vec![]);
    let before = loaded.shared.counters(1);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            pin(0);
            drain(&mut rings, &stop)
        });
        for _ in 0..rounds {
            let without = round(batch);
            loaded.attach(None).expect("attach");
            over.push(round(batch) - without);
            bare.push(without);
            loaded.detach();
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("the reader")
    });
    let counters = loaded.shared.counters(1);
    println!(
        "{name:42} bare {:5.0}  over {:5.0} ({:.0}..{:.0}) of {limit_ns:.0} ns, {read} records, {} numbers, {} lost",
        quantile(&mut bare, 0.5),
        quantile(&mut over, 0.5),
        quantile(&mut over, 0.25),
        quantile(&mut over, 0.75),
        counters.seq - before.seq,
        counters.lost - before.lost,
    );
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(ROUNDS_DEFAULT);
    let only = std::env::args().nth(2).unwrap_or_default();
    pin(1);
    let root = std::env::temp_dir().join(format!("weir-cost-{}", std::process::id()));
    let deep = root.join("one/two/three");
    std::fs::create_dir_all(&deep).expect("make directories");
    let file = deep.join("file-of-the-measurement");
    std::fs::write(&file, "").expect("write a file");
    let path = CString::new(file.to_string_lossy().as_bytes()).expect("a path");

    let getppid = || calls(libc::SYS_getppid);
    let getuid = || calls(libc::SYS_getuid);
    let open = || opens(&path);
    let syscall = settings(BTreeSet::new(), &["getppid"]);
    let files = settings(BTreeSet::from([0x0201]), &[]);
    let all = settings(default_classes(), &[]);
    let cases: [(&str, f64, &Settings, Batch<'_>); 4] = [
        ("a kept getppid, class syscall", 150.0, &syscall, &getppid),
        ("an unwanted call, exit only", 45.0, &syscall, &getuid),
        ("an unwanted call, default classes", 80.0, &all, &getuid),
        ("a kept openat of a file five deep", 300.0, &files, &open),
    ];
    for (name, limit, settings, batch) in cases {
        if name.contains(&only) {
            measure(name, limit, rounds, settings, batch);
        }
    }
    std::fs::remove_dir_all(&root).expect("remove the directories");
}
