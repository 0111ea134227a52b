//! Losses of the collector and of sinks, in every order in which they can come: the verifier finds nothing in what a sink has.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use weir_collector::assemble;
use weir_collector::context::{self, Context};
use weir_collector::numbers::{LostLog, Numbers};
use weir_collector::pipeline::{Marks, Pace, Pipeline, Selected};
use weir_collector::verify::{Input, Options, verify};
use weir_schema::record::at;
use weir_schema::{CLASSES, ClassId};
use weir_sinks::json::write_merged;
use weir_sinks::{Batch, Identity, Lane, LaneOptions, Position, Progress, Receipt, Sink, SinkError};

const CPUS: usize = 3;
const EXIT: u16 = 0x0104;
/// Longest time a test waits for a lane.
const STOP_MAX: Duration = Duration::from_secs(60);

/// While it is closed, the sink hangs in its writes, and its queue fills.
type Gate = Arc<(Mutex<bool>, Condvar)>;

fn set_gate(gate: &Gate, closed: bool) {
    *gate.0.lock().expect("gate") = closed;
    gate.1.notify_all();
}

/// What the next write or flush does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Works,
    /// What came since the last flush is dropped.
    Drops,
    /// It is to be asked again; for sinks that are handed in again what they drop.
    Waits,
}

/// Lines that a flush made visible.
struct Lines {
    script: VecDeque<Outcome>,
    staged: Vec<u8>,
    visible: Arc<Mutex<Vec<u8>>>,
    gate: Gate,
    period: Option<Duration>,
    writes: usize,
    writes_per_flush: usize,
}

impl Lines {
    fn next(&mut self) -> Result<(), SinkError> {
        let (closed, opened) = &*self.gate;
        drop(opened.wait_while(closed.lock().expect("gate"), |closed| *closed).expect("gate"));
        match self.script.pop_front().unwrap_or(Outcome::Works) {
            Outcome::Works => return Ok(()),
            Outcome::Waits if self.period.is_some() => return Err(SinkError::Wait("scripted: busy".into())),
            Outcome::Waits | Outcome::Drops => {}
        }
        self.staged.clear();
        self.writes = 0;
        Err(SinkError::Retry("scripted: disk full".into()))
    }
}

impl Sink for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    fn flush_period(&self) -> Option<Duration> {
        self.period
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.write_cut(&[batch])
    }

    fn write_cut(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        self.next()?;
        write_merged(batches, &mut self.staged);
        self.writes += 1;
        Ok(())
    }

    fn wants_flush(&self, _: Instant) -> bool {
        self.writes >= self.writes_per_flush
    }

    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        self.next()?;
        self.writes = 0;
        self.visible.lock().expect("visible").append(&mut self.staged);
        Ok(Receipt::default())
    }
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many numbers of a CPU are lost, then it has a record. What is lost is certain so many records of that CPU later.
    Record { cpu: usize, lost: u64, certain_after: u64 },
    /// Gaps that are certain by now are told.
    Gaps,
    /// A cut closes.
    Cut,
    /// The sinks hang, or go on.
    Gate,
    /// Attempts that took no number.
    Unnumbered,
}

#[derive(Debug, Clone)]
struct Case {
    steps: Vec<Step>,
    script: Vec<Outcome>,
    period: Option<Duration>,
    writes_per_flush: usize,
    cuts_max: usize,
}

/// The kernel's log of losses: all for full rings.
struct Log(u64);

impl LostLog for Log {
    fn lost(&self) -> u64 {
        self.0
    }
    fn entry(&self, _: u64) -> (u16, u8) {
        (EXIT, 1)
    }
    fn kept(&self) -> u64 {
        u64::MAX
    }
}

/// One CPU: its numbers as the sequencer keeps them.
#[derive(Default)]
struct Cpu {
    numbers: Numbers,
    next: u64,
    lost: u64,
    records: u64,
}

struct Stream {
    cpus: [Cpu; CPUS],
    ktime_ns: i64,
    pipeline: Pipeline,
}

fn record(cpu: usize, seq: u64, ktime_ns: i64) -> Vec<u8> {
    let mut bytes = vec![0; CLASSES[ClassId::Process.index()].layout().fixed];
    let size = bytes.len() as u32;
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(at::SIZE, &size.to_le_bytes());
    put(at::ACTION, &EXIT.to_le_bytes());
    put(at::CPU, &(cpu as u32).to_le_bytes());
    put(at::SEQ, &seq.to_le_bytes());
    put(at::KTIME_NS, &ktime_ns.to_le_bytes());
    bytes
}

impl Stream {
    fn new(lanes: Vec<Lane>) -> Stream {
        let identity = Identity { host: "h".into(), boot_id: "b".into(), epoch: 1 };
        let limits = context::Limits { processes_max: 64, grace_ns: 0, ancestors_max: 0, bytes_max: 64 << 20 };
        let selected = Selected { actions: [u64::MAX; 8], ..Selected::default() };
        let mut pipeline = Pipeline::new(identity, selected, Context::new(limits, true));
        let batches = assemble::Limits { rows_max: 1 << 20, bytes_max: 1 << 30 };
        pipeline.add_lanes(Pace::Drain, batches, lanes);
        Stream { cpus: Default::default(), ktime_ns: 1_000, pipeline }
    }

    fn record(&mut self, cpu: usize, lost: u64, certain_after: u64) {
        self.ktime_ns += 10;
        let state = &mut self.cpus[cpu];
        state.lost += lost;
        let seq = state.next + lost;
        state.next = seq + 1;
        state.records += 1;
        state.numbers.see(seq, self.ktime_ns, state.records + certain_after);
        self.pipeline.record(cpu, &record(cpu, seq, self.ktime_ns));
    }

    fn gaps(&mut self, is_end: bool) {
        let mut gaps = vec![];
        for (cpu, state) in self.cpus.iter_mut().enumerate() {
            let emitted = if is_end { u64::MAX } else { state.records };
            state.numbers.take_gaps(cpu, emitted, None, &Log(state.lost), &mut gaps);
        }
        gaps.iter().for_each(|gap| self.pipeline.gap(gap));
    }

    fn step(&mut self, step: Step, gate: &Gate) {
        match step {
            Step::Record { cpu, lost, certain_after } => self.record(cpu, lost, certain_after),
            Step::Gaps => self.gaps(false),
            Step::Cut => {
                let marks = marks(&self.cpus);
                self.pipeline.close_due(true, Instant::now(), || marks.clone());
            }
            Step::Gate => {
                let closed = *gate.0.lock().expect("gate");
                set_gate(gate, !closed);
            }
            Step::Unnumbered => {
                self.pipeline.unnumbered(2, "probe", weir_schema::Reason::ProbeReentered, self.ktime_ns);
            }
        }
    }
}

fn marks(cpus: &[Cpu]) -> Marks {
    let position = |(cpu, state): (usize, &Cpu)| Position {
        cpu: cpu as i32,
        next_seq: state.numbers.accounted() as i64,
        ktime_ns: state.numbers.last_ns(),
    };
    Marks { positions: cpus.iter().enumerate().map(position).collect(), resume: String::new() }
}

/// Everything that the verifier holds against what a sink was given.
fn problems_of(case: &Case) -> Vec<String> {
    let (visible, gate) = (Arc::new(Mutex::new(Vec::new())), Gate::default());
    let retry = Duration::from_micros(50);
    let options = LaneOptions { cuts_max: case.cuts_max, retry_min: retry, retry_max: retry, ..LaneOptions::default() };
    let sink = Lines {
        script: case.script.iter().copied().collect(),
        staged: vec![],
        visible: Arc::clone(&visible),
        gate: Arc::clone(&gate),
        period: case.period,
        writes: 0,
        writes_per_flush: case.writes_per_flush,
    };
    let mut stream = Stream::new(vec![Lane::start(options, Box::new(sink)).expect("a thread")]);
    case.steps.iter().for_each(|step| stream.step(*step, &gate));
    stream.gaps(true);
    let last = marks(&stream.cpus);
    let (lanes, _) = stream.pipeline.finish(|| last.clone());
    set_gate(&gate, false);
    for lane in lanes {
        let report = lane.stop(Instant::now() + STOP_MAX);
        assert!(report.finished && report.ledger.balance().is_empty(), "{report:?}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &*visible.lock().expect("visible")).expect("the lines");
    let report = verify(&[Input::from(file.path().as_os_str().to_owned())], &Options::default()).expect("an input");
    let found = report.sinks.iter().flat_map(|sink| &sink.runs).filter(|run| !run.problems.is_empty());
    found.map(|run| format!("{:#?}", run.problems)).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0..CPUS, prop_oneof![2 => Just(0u64), 1 => 1..20u64], 0..6u64);
    prop_oneof![
        8 => record.prop_map(|(cpu, lost, certain_after)| Step::Record { cpu, lost, certain_after }),
        3 => Just(Step::Gaps),
        3 => Just(Step::Cut),
        1 => Just(Step::Gate),
        1 => Just(Step::Unnumbered),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![6 => Just(Outcome::Works), 1 => Just(Outcome::Drops), 1 => Just(Outcome::Waits)]
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(step(), 1..80),
        prop::collection::vec(outcome(), 0..30),
        prop_oneof![3 => Just(None), 1 => Just(Some(Duration::from_nanos(100)))],
        1..4usize,
        1..4usize,
    )
        .prop_map(|(steps, script, period, writes_per_flush, cuts_max)| Case {
            steps,
            script,
            period,
            writes_per_flush,
            cuts_max,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn losses_of_collector_and_sink_are_in_order_however_they_meet(case in case()) {
        prop_assert_eq!(problems_of(&case), Vec::<String>::new());
    }
}

#[test]
fn a_gap_that_is_certain_late_is_not_dated_before_a_checkpoint() {
    let record = |cpu, lost, certain_after| Step::Record { cpu, lost, certain_after };
    // The gap of CPU 0 lies before the record of CPU 1, whose cut is closed and flushed when the gap is certain.
    let steps =
        vec![record(0, 0, 0), record(0, 3, 1), record(1, 0, 0), Step::Cut, record(0, 0, 0), Step::Gaps, Step::Cut];
    for period in [None, Some(Duration::from_nanos(1))] {
        let case = Case { steps: steps.clone(), script: vec![], period, writes_per_flush: 1, cuts_max: 100 };
        assert_eq!(problems_of(&case), Vec::<String>::new());
    }
}
