//! What is remembered of processes stays within its bound in bytes, whatever they are called.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_collector::assemble;
use weir_collector::context::{Context, Limits};
use weir_collector::pipeline::{Marks, Pace, Pipeline, Selected};
use weir_schema::record::at;
use weir_schema::wire::{CONTEXT_TASK, HEADER_SIZE};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::json::write_merged;
use weir_sinks::{Batch, Identity, Lane, LaneOptions, Policy, Progress, Receipt, Sink, SinkError};

const BYTES_MAX: usize = 64 << 20;
/// Of the batches on their way, of vectors that grow by doubling, and of the test itself.
const SLACK_BYTES: usize = 64 << 20;
const HOSTILE: usize = 12_000;
/// Bytes of each name, path and argument.
const LONG: usize = 4_000;
const QUIET: usize = 200;
const EXEC: u16 = 0x0102;
const EXIT: u16 = 0x0104;

/// The lines of the last cut.
struct Last(Arc<Mutex<Vec<u8>>>);

impl Sink for Last {
    fn name(&self) -> &str {
        "last"
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if batch.class.id == ClassId::Process {
            let mut lines = self.0.lock().expect("lines");
            lines.clear();
            write_merged(&[batch], &mut lines);
        }
        Ok(())
    }

    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        Ok(Receipt::default())
    }
}

/// A record of class process with these tails.
fn record(action: u16, key: i64, parent: i64, seq: i64, tails: &[(&str, &[u8])]) -> Vec<u8> {
    let class = CLASSES[ClassId::Process.index()];
    let layout = class.layout();
    let mut bytes = vec![0; layout.fixed];
    let mut all: Vec<&[u8]> = vec![b""; class.tails.len()];
    for (name, text) in tails {
        all[class.tail(name).expect("a tail")] = text;
    }
    for (i, text) in all.iter().enumerate() {
        bytes[layout.tail_lengths + 2 * i..][..2].copy_from_slice(&(text.len() as u16).to_le_bytes());
    }
    all.iter().for_each(|text| bytes.extend_from_slice(text));
    let size = bytes.len() as u32;
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(at::SIZE, &size.to_le_bytes());
    put(at::ACTION, &action.to_le_bytes());
    put(at::CONTEXT, &CONTEXT_TASK.to_le_bytes());
    put(at::SEQ, &seq.to_le_bytes());
    put(at::KTIME_NS, &(1_000 * seq).to_le_bytes());
    put(at::PROCESS_KEY, &key.to_le_bytes());
    put(at::PARENT_KEY, &parent.to_le_bytes());
    put(at::COMM, b"name");
    assert!(layout.fixed >= HEADER_SIZE);
    bytes
}

struct Stage {
    pipeline: Pipeline,
    lines: Arc<Mutex<Vec<u8>>>,
    seq: i64,
    /// The most that was ever remembered.
    peak: u64,
}

impl Stage {
    fn new() -> Stage {
        let limits = Limits { processes_max: 65_536, grace_ns: i64::MAX, ancestors_max: 16, bytes_max: BYTES_MAX };
        let identity = Identity { host: "h".into(), boot_id: "b".into(), epoch: 1 };
        let selected = Selected { actions: [u64::MAX; 8], ..Selected::default() };
        let mut pipeline = Pipeline::new(identity, selected, Context::new(limits, false));
        let lines = Arc::new(Mutex::new(vec![]));
        let options =
            LaneOptions { policy: Policy::Block, block_max: Duration::from_secs(600), ..LaneOptions::default() };
        let lane = Lane::start(options, Box::new(Last(Arc::clone(&lines)))).expect("a thread");
        let batches = assemble::Limits { rows_max: 8192, bytes_max: 8 << 20 };
        pipeline.add_lanes(Pace::Age(Duration::from_secs(3600)), batches, vec![lane]);
        Stage { pipeline, lines, seq: 0, peak: 0 }
    }

    fn feed(&mut self, action: u16, key: i64, parent: i64, tails: &[(&str, &[u8])]) {
        self.pipeline.record(0, &record(action, key, parent, self.seq, tails));
        self.seq += 1;
        if self.pipeline.is_full() || self.seq % 64 == 0 {
            self.pipeline.close_due(false, Instant::now(), Marks::default);
        }
        self.peak = self.peak.max(self.pipeline.context().bytes);
    }

    /// A process whose program, directory and arguments are these.
    fn start(&mut self, key: i64, parent: i64, exe: &[u8], cwd: &[u8], args: &[u8]) {
        self.feed(EXEC, key, parent, &[("exe", exe), ("cwd", cwd), ("args", args)]);
    }

    /// Ends the stream; the rows of its last cut.
    fn end(self) -> Vec<serde_json::Value> {
        let (lanes, _) = self.pipeline.finish(Marks::default);
        lanes.into_iter().for_each(|lane| drop(lane.stop(Instant::now() + Duration::from_secs(60))));
        let lines = self.lines.lock().expect("lines");
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a row")).collect()
    }
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the resident memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
}

#[test]
fn processes_with_long_names_are_shortened_and_make_nobody_else_forgotten() {
    let mut stage = Stage::new();
    stage.start(1, 0, b"init\0sbin\0", b"/\0", b"init\0");
    for i in 0..QUIET {
        let key = 10 + i as i64;
        stage.start(key, 1, b"daemon\0bin\0", b"srv\0", format!("daemon\0{i}\0").as_bytes());
    }
    let before = resident_bytes();
    for i in 0..HOSTILE {
        let long = |kind: u8| [&[kind], i.to_string().as_bytes(), &[0xff; LONG]].concat();
        stage.start(100_000 + i as i64, 1, &long(b'e'), &long(b'c'), &long(b'a'));
    }
    let (peak, grown) = (stage.peak, resident_bytes().saturating_sub(before));
    let counts = stage.pipeline.context();
    assert!(peak as usize <= BYTES_MAX, "{peak}");
    assert!(grown <= BYTES_MAX + SLACK_BYTES, "{grown}");
    assert_eq!((counts.processes.known, counts.processes.evicted), ((HOSTILE + QUIET + 1) as u64, 0));
    assert!(counts.processes.shortened > HOSTILE as u64 / 2, "{counts:?}");

    // So many turns later everything is known of those who take little, and of the long ones who created them.
    stage.pipeline.close_due(false, Instant::now(), Marks::default);
    for i in 0..QUIET {
        stage.feed(EXIT, 10 + i as i64, 1, &[]);
    }
    stage.feed(EXIT, 103_000, 1, &[]);
    let rows = stage.end();
    let exits: Vec<_> = rows.iter().filter(|row| row["action"] == "exit").collect();
    assert_eq!(exits.len(), QUIET + 1);
    for (i, row) in exits[..QUIET].iter().enumerate() {
        assert_eq!(row["exe"], "/bin/daemon", "{row}");
        assert_eq!(row["cmdline"], format!("daemon {i}"), "{row}");
        assert_eq!((&row["cwd"], &row["parent_exe"]), (&"/srv".into(), &"/sbin/init".into()), "{row}");
        assert_eq!(row["ancestors"], "name", "{row}");
    }
    let hostile = exits[QUIET];
    assert_eq!((&hostile["parent_exe"], &hostile["exe"]), (&"/sbin/init".into(), &serde_json::Value::Null));
}
