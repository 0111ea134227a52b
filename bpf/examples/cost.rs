//! What a system call pays for the programs: the difference to a bare call, by medians of interleaved rounds.
//!
//! Beside each stands what programs pay that do nothing, or only reserve and submit 64 bytes, on the same hooks, in the
//! same rounds: that part belongs to the machine. One CPU makes the calls, another drains the ring meanwhile. Needs root and two CPUs; `cargo run --release -p weir-bpf
//! --example cost [ROUNDS | --json]`. On a busy machine look at the spread: the quartiles stand behind each median.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_long};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_bpf::ring::{Next, Ring};
use weir_bpf::{ContainerHierarchy, Filters, Loaded, Selection, Settings};
use weir_schema::CLASSES;

const ROUNDS_DEFAULT: usize = 11;
/// Calls that are timed as one: long against the clock, short against a time slice.
const CALLS_PER_BATCH: usize = 500;
/// Batches of a round; its result is their median.
const BATCHES: usize = 200;
const OPENS_PER_BATCH: usize = 100;
const RING_BYTES: u32 = 8 << 20;
const NAP: Duration = Duration::from_micros(200);

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).expect("pin to a CPU");
}

fn settings(actions: BTreeSet<u16>, calls: &[&'static str]) -> Settings {
    Settings {
        selection: Selection { actions, calls: calls.iter().copied().collect(), ..Selection::default() },
        filters: Filters { include_self: true, ..Filters::default() },
        ring_bytes: RING_BYTES,
        lifecycle_bytes: 1 << 20,
        args_bytes_max: 4096,
        env: false,
        followed_max: 1024,
        possible_cpus: 2,
        online_cpus: vec![0, 1],
        cgroup_root: None,
        containers: ContainerHierarchy::V2,
    }
}

fn default_classes() -> BTreeSet<u16> {
    let selected = CLASSES.iter().filter(|c| c.has_record() && c.default).flat_map(|c| c.actions);
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
        *fd = unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
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

/// A program of a few instructions on tracepoints: what weir's are compared with.
struct Null {
    _links: Vec<OwnedFd>,
}

impl Null {
    fn attach(tracepoints: &[&CStr], instructions: &[u64]) -> Null {
        let link = |tracepoint: &&CStr| {
            use libbpf_rs::libbpf_sys as sys;
            // SAFETY: NUL-terminated names, and options and instructions that live through the calls.
            unsafe {
                let id = sys::libbpf_find_vmlinux_btf_id(tracepoint.as_ptr(), sys::BPF_TRACE_RAW_TP);
                let mut options = sys::bpf_prog_load_opts {
                    sz: size_of::<sys::bpf_prog_load_opts>() as _,
                    expected_attach_type: sys::BPF_TRACE_RAW_TP,
                    attach_btf_id: id as u32,
                    ..Default::default()
                };
                let (kind, name) = (sys::BPF_PROG_TYPE_TRACING, c"null".as_ptr());
                let code = instructions.as_ptr().cast();
                let program =
                    sys::bpf_prog_load(kind, name, c"GPL".as_ptr(), code, instructions.len() as _, &mut options);
                assert!(program >= 0, "load a null program: {program}");
                let program = OwnedFd::from_raw_fd(program);
                let link = sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd());
                assert!(link >= 0, "attach a null program: {link}");
                OwnedFd::from_raw_fd(link)
            }
        };
        Null { _links: tracepoints.iter().map(link).collect() }
    }
}

/// r0 = 0; exit
const NOTHING: &[u64] = &[0xb7, 0x95];

/// Reserves 64 bytes in this ring and submits them without a wake-up.
fn reserve_and_submit(ring: i32) -> Vec<u64> {
    let map = 0x1118 | (ring as u64) << 32; // r1 = ring
    let (reserve, submit) = (0x85 | 131 << 32, 0x85 | 132 << 32);
    let room = [0x40_0000_02b7, 0x03b7, reserve, 0x0003_0015]; // r2 = 64; r3 = 0; call; no room: to the end
    let given = [0x01bf, 0x1_0000_02b7, submit]; // r1 = r0; r2 = BPF_RB_NO_WAKEUP; call
    [&[map, 0], &room[..], &given, NOTHING].concat()
}

/// What is measured.
struct Case<'a> {
    name: &'static str,
    limit_ns: f64,
    settings: &'a Settings,
    /// Hooks of the null program.
    hooks: &'static [&'static CStr],
    /// Whether the null program reserves and submits.
    reserves: bool,
    batch: Batch<'a>,
}

/// Rounds of bare, null and weir in turn; prints the differences.
fn measure(rounds: usize, case: &Case<'_>) {
    let mut loaded = Loaded::load(case.settings).expect("load");
    let mut rings: Vec<Ring> = (0..2).map(|cpu| loaded.create_ring(cpu).expect("ring")).collect();
    for (cpu, ring) in rings.iter().enumerate() {
        loaded.install_ring(cpu, ring).expect("install the ring");
    }
    let spare = weir_bpf::ring::create("null", RING_BYTES).expect("ring");
    let null = if case.reserves { reserve_and_submit(spare.as_raw_fd()) } else { NOTHING.to_vec() };
    rings.push(Ring::map(spare, RING_BYTES as usize).expect("map the ring"));
    let stop = AtomicBool::new(false);
    let (mut bare, mut nulls, mut over) = (vec![], vec![], vec![]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            pin(0);
            drain(&mut rings, &stop)
        });
        for _ in 0..rounds {
            let without = round(case.batch);
            let attached = Null::attach(case.hooks, &null);
            nulls.push(round(case.batch) - without);
            drop(attached);
            loaded.attach(None).expect("attach");
            over.push(round(case.batch) - without);
            bare.push(without);
            loaded.detach();
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("the reader")
    });
    let counters = loaded.shared.counters(1);
    if std::env::args().any(|argument| argument == "--json") {
        let (bare, over, null) = (quantile(&mut bare, 0.5), quantile(&mut over, 0.5), quantile(&mut nulls, 0.5));
        let note = format!("bare {bare:.0}, null program {null:.0}: {:.2} times; {} lost", over / null, counters.lost);
        let (name, limit) = (case.name, case.limit_ns);
        println!(r#"{{"name":"{name}","over_ns":{over:.1},"limit_ns":{limit},"null_ns":{null:.1},"note":"{note}"}}"#);
        return;
    }
    println!(
        "{:36} bare {:5.0}, over {:4.0} ({:.0}..{:.0}) of {:3.0} ns, null {:4.0}: {:.2} times; {} numbers, {} lost",
        case.name,
        quantile(&mut bare, 0.5),
        quantile(&mut over, 0.5),
        quantile(&mut over, 0.25),
        quantile(&mut over, 0.75),
        case.limit_ns,
        quantile(&mut nulls, 0.5),
        quantile(&mut over, 0.5) / quantile(&mut nulls, 0.5),
        counters.seq,
        counters.lost,
    );
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS_DEFAULT);
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
    let (exit, both): (&[&CStr], &[&CStr]) = (&[c"sys_exit"], &[c"sys_enter", c"sys_exit"]);
    let case =
        |name, limit_ns, settings, hooks, reserves, batch| Case { name, limit_ns, settings, hooks, reserves, batch };
    let cases: [Case<'_>; 4] = [
        case("a kept getppid, class syscall", 150.0, &syscall, exit, true, &getppid),
        case("an unwanted call, exit only", 45.0, &syscall, exit, false, &getuid),
        case("an unwanted call, default classes", 80.0, &all, both, false, &getuid),
        case("a kept openat of a file five deep", 300.0, &files, exit, true, &open),
    ];
    for case in cases.iter().filter(|c| c.name.contains(&only)) {
        measure(rounds, case);
    }
    std::fs::remove_dir_all(&root).expect("remove the directories");
}
