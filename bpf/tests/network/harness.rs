//! The real probes of class network, for this process alone: what a closure does comes back as decoded rows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use weir_bpf::plan::State;
use weir_bpf::ring::{Next, Ring};
use weir_bpf::{Filters, Lists, Loaded, Selection, Settings};
use weir_schema::wire::{HEADER, HEADER_SIZE, offset_of};
use weir_schema::{CLASSES, Class, ClassId, action_by_id, column::read_int};

/// How long a row may take to come: those of interrupts are not there when the call returns.
const PATIENCE: Duration = Duration::from_secs(300);
const RING_BYTES: u32 = 1 << 20;

fn class() -> &'static Class {
    CLASSES[ClassId::Network.index()]
}

/// One decoded record.
#[derive(Debug, Clone)]
pub struct Row {
    pub action: &'static str,
    pub numbers: BTreeMap<&'static str, i64>,
    local_ip: [u8; 16],
    remote_ip: [u8; 16],
    pub unix_path: Vec<u8>,
    pub unix_peer_path: Vec<u8>,
}

impl Row {
    fn decode(record: &[u8]) -> Option<Row> {
        let action = read_int(record, offset_of(HEADER, "action"), weir_schema::Wire::U16)?;
        let (class, action) = action_by_id(action as u16)?;
        if class.id != ClassId::Network {
            return None;
        }
        let head = HEADER.iter().map(|f| (f, offset_of(HEADER, f.name)));
        let own = class.fields.iter().map(|f| (f, HEADER_SIZE + offset_of(class.fields, f.name)));
        let numbers = head.chain(own).filter_map(|(f, at)| Some((f.name, read_int(record, at, f.wire)?))).collect();
        let bytes = |name| {
            let at = HEADER_SIZE + offset_of(class.fields, name);
            <[u8; 16]>::try_from(&record[at..at + 16]).expect("16 bytes")
        };
        let layout = class.layout();
        let len = |i: usize| {
            let at = layout.tail_lengths + 2 * i;
            usize::from(u16::from_le_bytes([record[at], record[at + 1]]))
        };
        let (first, second) = (len(0), len(1));
        Some(Row {
            action: action.name,
            numbers,
            local_ip: bytes("local_ip"),
            remote_ip: bytes("remote_ip"),
            unix_path: record[layout.fixed..layout.fixed + first].to_vec(),
            unix_peer_path: record[layout.fixed + first..layout.fixed + first + second].to_vec(),
        })
    }

    pub fn get(&self, field: &str) -> i64 {
        *self.numbers.get(field).unwrap_or_else(|| panic!("no field {field}"))
    }

    fn end(&self, bit: i64, ip: [u8; 16], port: &str) -> Option<SocketAddr> {
        let known = self.get("ends") & bit != 0;
        let ip = match self.get("family") as i32 {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3])),
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(ip)),
            _ => return None,
        };
        known.then(|| SocketAddr::new(ip, u16::try_from(self.get(port)).unwrap_or(0)))
    }

    pub fn local(&self) -> Option<SocketAddr> {
        self.end(1, self.local_ip, "local_port")
    }

    pub fn remote(&self) -> Option<SocketAddr> {
        self.end(2, self.remote_ip, "remote_port")
    }

    /// Asserts that the row names this process.
    pub fn is_ours(&self) -> &Row {
        assert_eq!(self.get("context"), 1, "{self:#?}");
        assert_eq!(self.get("pid"), i64::from(std::process::id()), "{self:#?}");
        assert_ne!(self.get("process_key"), 0);
        assert_ne!(self.get("cgroup_id"), 0);
        self
    }
}

/// The rows of one closure.
#[derive(Debug)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// The rows of an action.
    pub fn of(&self, action: &str) -> Vec<&Row> {
        self.0.iter().filter(|r| r.action == action).collect()
    }

    /// The only row of an action, which must name this process.
    pub fn one(&self, action: &str) -> &Row {
        let found = self.of(action);
        assert_eq!(found.len(), 1, "{action} in {self:#?}");
        found[0].is_ours()
    }
}

pub struct Harness {
    loaded: Loaded,
    rings: Vec<Ring>,
}

impl Harness {
    fn new() -> Harness {
        let cpus = std::thread::available_parallelism().expect("CPUs").get();
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        let root = roots.into_iter().find(|r| r.join("cgroup.controllers").exists());
        let settings = Settings {
            selection: Selection { actions: class().actions.iter().map(|a| a.id).collect(), ..Selection::default() },
            filters: Filters {
                trees: Lists { only: vec![std::process::id()], except: vec![] },
                include_self: true,
                ..Filters::default()
            },
            ring_bytes: RING_BYTES,
            lifecycle_bytes: RING_BYTES / 8,
            args_bytes_max: 1024,
            env: false,
            followed_max: 1024,
            possible_cpus: cpus,
            online_cpus: (0..cpus).collect(),
            cgroup_root: root.clone(),
            containers: weir_bpf::ContainerHierarchy::V2,
        };
        let mut loaded = Loaded::load(&settings).expect("load");
        assert!(loaded.refused.is_empty(), "refused: {:#?}", loaded.refused);
        let rings: Vec<Ring> = (0..cpus).map(|cpu| loaded.create_ring(cpu).expect("ring")).collect();
        for (cpu, ring) in rings.iter().enumerate() {
            loaded.install_ring(cpu, ring).expect("install");
        }
        loaded.attach(root.as_deref()).expect("attach");
        Harness { loaded, rings }
    }

    /// Whether this kernel tells the bytes of UDP and Unix sockets.
    pub fn counts(&self) -> bool {
        let mut probes = self.loaded.plan.probes.iter();
        probes.any(|p| p.program == "weir_socket_sent" && p.state == State::Runs)
    }

    fn drain(&mut self, rows: &mut Vec<Row>) {
        for ring in &mut self.rings {
            let producer = ring.producer_position();
            let mut position = ring.consumer_position();
            loop {
                match ring.next(position, producer) {
                    Next::Record { start, len, end } => {
                        rows.extend(Row::decode(ring.record(start, len)));
                        position = end;
                    }
                    Next::Busy => std::hint::spin_loop(),
                    Next::Empty => break,
                }
            }
            ring.release(producer);
        }
        rows.sort_by_key(|r| r.get("ktime_ns"));
    }

    /// What `act` makes, once `last` is among it.
    pub fn rows<T>(&mut self, last: impl Fn(&Rows) -> bool, act: impl FnOnce() -> T) -> (T, Rows) {
        self.drain(&mut vec![]);
        let result = act();
        let mut rows = Rows(vec![]);
        let start = Instant::now();
        loop {
            self.drain(&mut rows.0);
            if last(&rows) {
                return (result, rows);
            }
            assert!(start.elapsed() < PATIENCE, "did not come; came: {rows:#?}");
            std::thread::yield_now();
        }
    }
}

/// The one harness of this test binary: its tests take turns.
pub fn harness() -> MutexGuard<'static, Harness> {
    static HARNESS: OnceLock<Mutex<Harness>> = OnceLock::new();
    HARNESS.get_or_init(|| Mutex::new(Harness::new())).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for `n` rows of an action.
pub fn until(action: &'static str, n: usize) -> impl Fn(&Rows) -> bool {
    move |rows| rows.of(action).len() >= n
}
