//! The real probes for this process alone: what a closure does comes back as decoded records.
#![allow(dead_code, reason = "compiled into several test programs, of which each asks for its part")]

use std::collections::{BTreeMap, BTreeSet};

use weir_bpf::ring::{Next, Ring};
use weir_bpf::{Filters, Lists, Loaded, Selection, Settings};
use weir_schema::column::read_int;
use weir_schema::wire::{HEADER, HEADER_SIZE, offset_of};
use weir_schema::{Wire, action_by_id};

const RING_BYTES: u32 = 1 << 20;

/// One decoded record.
#[derive(Debug, Clone)]
pub struct Row {
    pub action: &'static str,
    pub numbers: BTreeMap<&'static str, i64>,
    pub texts: BTreeMap<&'static str, String>,
}

impl Row {
    fn decode(record: &[u8]) -> Option<Row> {
        let id = read_int(record, offset_of(HEADER, "action"), Wire::U16)?;
        let (class, action) = action_by_id(id as u16)?;
        let head = HEADER.iter().map(|f| (f, offset_of(HEADER, f.name)));
        let own = class.fields.iter().map(|f| (f, HEADER_SIZE + offset_of(class.fields, f.name)));
        let numbers = head.chain(own).filter_map(|(f, at)| Some((f.name, read_int(record, at, f.wire)?))).collect();
        let layout = class.layout();
        let mut at = layout.fixed;
        let mut texts = BTreeMap::new();
        for (i, name) in class.tails.iter().enumerate() {
            let len = read_int(record, layout.tail_lengths + 2 * i, Wire::U16)? as usize;
            texts.insert(*name, String::from_utf8_lossy(&record[at..at + len]).into_owned());
            at += len;
        }
        Some(Row { action: action.name, numbers, texts })
    }

    pub fn get(&self, field: &str) -> i64 {
        *self.numbers.get(field).unwrap_or_else(|| panic!("no field {field}"))
    }

    pub fn text(&self, tail: &str) -> &str {
        self.texts.get(tail).unwrap_or_else(|| panic!("no tail {tail}"))
    }

    /// A walk of the kernel, turned round.
    pub fn walked(&self, tail: &str) -> String {
        let names = self.text(tail).split_terminator('\0').rev();
        names.map(|name| format!("/{name}")).collect()
    }
}

/// Attached probes and their rings.
pub struct Capture {
    // Dropped first: nothing writes into a ring that is gone.
    loaded: Loaded,
    rings: Vec<Ring>,
}

impl Capture {
    /// These actions, with these path prefixes, of this process and its children.
    pub fn start(actions: &[u16], paths: Lists<String>) -> Capture {
        let only = vec![std::process::id()];
        let trees = Lists { only, except: vec![] };
        Capture::with(actions, Filters { trees, paths, include_self: true, ..Filters::default() })
    }

    /// These actions, of whatever the filters keep.
    pub fn with(actions: &[u16], filters: Filters) -> Capture {
        let cpus = std::thread::available_parallelism().expect("CPUs").get();
        let settings = Settings {
            selection: Selection { actions: BTreeSet::from_iter(actions.iter().copied()), ..Selection::default() },
            filters,
            ring_bytes: RING_BYTES,
            lifecycle_bytes: RING_BYTES / 8,
            args_bytes_max: 1024,
            env: false,
            followed_max: 1024,
            possible_cpus: cpus,
            online_cpus: (0..cpus).collect(),
            cgroup_root: None,
            containers: weir_bpf::ContainerHierarchy::V2,
        };
        let mut loaded = Loaded::load(&settings).expect("load");
        assert!(loaded.refused.is_empty(), "refused: {:#?}", loaded.refused);
        let rings: Vec<Ring> = (0..cpus).map(|cpu| loaded.create_ring(cpu).expect("ring")).collect();
        for (cpu, ring) in rings.iter().enumerate() {
            loaded.install_ring(cpu, ring).expect("install");
        }
        loaded.attach(None).expect("attach");
        Capture { loaded, rings }
    }

    /// The probes.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The records of this thread that `act` makes; those of system calls are there when the call returns.
    pub fn rows(&mut self, act: impl FnOnce()) -> Vec<Row> {
        self.drain();
        act();
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let mut rows = self.drain();
        rows.retain(|r| r.get("tid") == i64::from(own));
        rows
    }

    /// All records that have come since the last call.
    pub fn drain(&mut self) -> Vec<Row> {
        let mut rows = vec![];
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
        rows
    }
}
