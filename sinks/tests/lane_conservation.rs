//! Whatever a sink does and however full its lane gets: what it shows accounts for every number.

mod lane_common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use lane_common::{Row, batch, class, identity, row};
use proptest::prelude::*;
use weir_schema::{CLASSES, ClassId, Reason};
use weir_sinks::lane::{LaneState, Policy};
use weir_sinks::{
    Backlog, BacklogOptions, Batch, ClassSet, Cut, Lane, LaneOptions, LaneReport, LossAction, LossRow, Position,
    Progress, Receipt, Sent, Sink, SinkError, Tally, Waiting, loss_batch,
};

/// Longest time a test waits for a lane.
const STOP_MAX: Duration = Duration::from_secs(300);

/// What a sink was given, as far as the verifier looks.
#[derive(Debug, Clone)]
struct Seen {
    class: ClassId,
    ktime_ns: i64,
    cpu: i32,
    seq: i64,
    action: String,
    gap_cpu: Option<i32>,
    first_seq: Option<i64>,
    last_seq: Option<i64>,
    count: i64,
    by_action: Option<String>,
    reason: Option<String>,
}

fn int(rows: &RecordBatch, name: &str, i: usize) -> Option<i64> {
    let column = rows.column_by_name(name)?;
    let small = column.as_primitive_opt::<Int32Type>().map(|c| i64::from(c.value(i)));
    column.is_valid(i).then(|| small.unwrap_or_else(|| column.as_primitive::<Int64Type>().value(i)))
}

fn text(rows: &RecordBatch, name: &str, i: usize) -> Option<String> {
    let column = rows.column_by_name(name)?.as_dictionary::<Int32Type>();
    Some(column.values().as_string::<i32>().value(column.key(i)?).to_owned())
}

fn seen(batch: &Batch) -> Vec<Seen> {
    let rows = &batch.rows;
    let one = |i| Seen {
        class: batch.class.id,
        ktime_ns: int(rows, "ktime_ns", i).expect("ktime_ns"),
        cpu: int(rows, "cpu", i).expect("cpu") as i32,
        seq: int(rows, "seq", i).expect("seq"),
        action: text(rows, "action", i).expect("action"),
        gap_cpu: int(rows, "gap_cpu", i).map(|c| c as i32),
        first_seq: int(rows, "first_seq", i),
        last_seq: int(rows, "last_seq", i),
        count: int(rows, "count", i).unwrap_or(0),
        by_action: text(rows, "by_action", i),
        reason: text(rows, "reason", i),
    };
    (0..rows.num_rows()).map(one).collect()
}

/// What the next write or flush of the fake sink does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Works,
    Retry,
    Refused,
    Fatal,
}

/// Rows that a flush made visible; one entry per flush.
type Visible = Arc<Mutex<Vec<Vec<Seen>>>>;
/// While it is closed, the fake sink hangs in its writes.
type Gate = Arc<(Mutex<bool>, Condvar)>;

struct Fake {
    script: VecDeque<Outcome>,
    staged: Vec<Seen>,
    writes: usize,
    writes_per_flush: usize,
    visible: Visible,
    gate: Gate,
}

impl Fake {
    fn next(&mut self) -> Result<(), SinkError> {
        let (closed, opened) = &*self.gate;
        drop(opened.wait_while(closed.lock().expect("gate"), |closed| *closed).expect("gate"));
        let error = match self.script.pop_front().unwrap_or(Outcome::Works) {
            Outcome::Works => return Ok(()),
            Outcome::Retry => SinkError::Retry("scripted: disk full".into()),
            Outcome::Refused => SinkError::Refused("scripted: refused".into()),
            Outcome::Fatal => SinkError::Fatal("scripted: gone".into()),
        };
        self.staged.clear();
        self.writes = 0;
        Err(error)
    }
}

impl Sink for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.next()?;
        self.staged.extend(seen(batch));
        self.writes += 1;
        Ok(())
    }

    fn wants_flush(&self, _: Instant) -> bool {
        self.writes >= self.writes_per_flush
    }

    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        self.next()?;
        self.writes = 0;
        self.visible.lock().expect("visible").push(std::mem::take(&mut self.staged));
        Ok(Receipt::default())
    }
}

/// One attempt on one CPU, or a row that the collector makes.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    /// A row: CPU, position in [`CLASSES`], position of the action.
    Event(i32, usize, usize),
    /// A number without a row.
    Void(i32),
    /// So many numbers that a ring had no room for.
    Gap(i32, i64),
    /// Attempts that took no number.
    Reentered(i32),
    /// A row of process.running.
    Running,
}

/// Makes cuts as the sequencer does.
struct Stream {
    ktime_ns: i64,
    cuts: u64,
    next: BTreeMap<i32, (i64, i64)>,
}

impl Default for Stream {
    /// Every CPU has a position from the first cut on.
    fn default() -> Stream {
        Stream { ktime_ns: 0, cuts: 0, next: (-1..3).map(|cpu| (cpu, (0, 0))).collect() }
    }
}

impl Stream {
    fn number(&mut self, cpu: i32, n: i64) -> i64 {
        let (next, ktime_ns) = self.next.entry(cpu).or_default();
        *next += n;
        *ktime_ns = self.ktime_ns;
        *next - n
    }

    fn cut(&mut self, attempts: &[Attempt], last: bool) -> Cut {
        let mut rows: BTreeMap<ClassId, Vec<Row>> = BTreeMap::new();
        let mut losses: Vec<LossRow> = Vec::new();
        let mut tallies: Vec<Tally> = Vec::new();
        let mut tally = |cpu, action, seq| match tallies.iter_mut().find(|t| t.cpu == cpu && t.action == action) {
            Some(t) => (t.last_seq, t.count) = (seq, t.count + 1),
            None => tallies.push(Tally { cpu, action, first_seq: seq, last_seq: seq, count: 1 }),
        };
        for attempt in attempts {
            self.ktime_ns += 10;
            let mut lose = |cpu, first_seq: Option<i64>, count: i64, reason, stream: &mut Stream| {
                let seq = stream.number(-1, 1);
                tally(-1, LossAction::Gap.id(), seq);
                losses.push(LossRow {
                    ktime_ns: stream.ktime_ns,
                    cpu: -1,
                    seq,
                    action: LossAction::Gap,
                    gap_cpu: Some(cpu),
                    first_seq,
                    last_seq: first_seq.map(|f| f + count - 1),
                    first_ktime_ns: None,
                    last_ktime_ns: None,
                    count,
                    by_action: String::new(),
                    reason: Some(reason),
                });
            };
            match *attempt {
                Attempt::Event(cpu, class, action) => {
                    let (class, action) =
                        (CLASSES[class], &CLASSES[class].actions[action % CLASSES[class].actions.len()]);
                    let seq = self.number(cpu, 1);
                    tally(cpu, action.id, seq);
                    rows.entry(class.id).or_default().push(row(self.ktime_ns, cpu, seq, action.name, &[]));
                }
                Attempt::Running => {
                    let seq = self.number(-1, 1);
                    tally(-1, 0x0101, seq);
                    rows.entry(ClassId::Process).or_default().push(row(self.ktime_ns, -1, seq, "running", &[]));
                }
                Attempt::Void(cpu) => {
                    let seq = self.number(cpu, 1);
                    tally(cpu, 0, seq);
                }
                Attempt::Gap(cpu, n) => {
                    let first = self.number(cpu, n);
                    lose(cpu, Some(first), n, Reason::RingFull, self);
                }
                Attempt::Reentered(cpu) => lose(cpu, None, 2, Reason::ProbeReentered, self),
            }
        }
        let mut batches: Vec<Batch> = rows.iter().map(|(id, rows)| batch(*id, rows)).collect();
        if !losses.is_empty() {
            batches.push(loss_batch(&identity(), 1_000, &losses));
        }
        let position = |(cpu, (next_seq, ktime_ns)): (&i32, &(i64, i64))| Position {
            cpu: *cpu,
            next_seq: *next_seq,
            ktime_ns: *ktime_ns,
        };
        let positions = self.next.iter().map(position).collect();
        self.cuts += 1;
        let number = self.cuts - 1;
        Cut {
            number,
            identity: identity(),
            batches,
            tallies,
            positions,
            clock_offset_ns: 1_000,
            last,
            dropped: vec![],
            damaged: false,
            resume: String::new(),
        }
    }
}

/// Proves what a reader can prove from the visible rows alone; returns what they say is lost, by reason.
fn verify(generations: &[Vec<Seen>], ended: bool) -> BTreeMap<String, i64> {
    let mut numbers: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    let mut aggregates: BTreeMap<i32, i64> = BTreeMap::new();
    let mut lost: BTreeMap<String, i64> = BTreeMap::new();
    let mut ktime: BTreeMap<ClassId, i64> = BTreeMap::new();
    let mut own = 0;
    for (g, generation) in generations.iter().enumerate() {
        for row in generation {
            assert!(numbers.entry(row.cpu).or_default().insert(row.seq), "twice: {row:?}");
            let before = ktime.insert(row.class, row.ktime_ns).unwrap_or(0);
            assert!(before <= row.ktime_ns, "inverted: {row:?}");
            if row.cpu == -2 {
                assert_eq!(row.seq, own, "the lane's own numbers have no hole");
                own += 1;
            }
            let (Some(cpu), Some(reason), "gap") = (row.gap_cpu, &row.reason, row.action.as_str()) else { continue };
            let (Some(first), Some(last)) = (row.first_seq, row.last_seq) else { continue };
            *lost.entry(reason.clone()).or_default() += row.count;
            if row.cpu == -1 {
                assert_eq!(row.count, last - first + 1, "exact: {row:?}");
                for seq in first..=last {
                    assert!(numbers.entry(cpu).or_default().insert(seq), "a row inside an exact gap: {row:?}");
                }
            } else {
                assert!(row.count > 0 && row.count <= last - first + 1, "{row:?}");
                let by_action = row.by_action.as_deref().unwrap_or_default();
                let counts = by_action.split(',').map(|p| p.rsplit_once('=').expect("name=count").1);
                assert_eq!(counts.map(|n| n.parse::<i64>().expect("a count")).sum::<i64>(), row.count, "{row:?}");
                *aggregates.entry(cpu).or_default() += row.count;
            }
        }
        let is_last = ended && g + 1 == generations.len();
        let marks: Vec<&Seen> = generation.iter().filter(|r| r.cpu == -2 && r.action != "gap").collect();
        assert!(!marks.is_empty(), "a flush has checkpoints");
        for mark in &marks {
            assert_eq!(mark.action, if is_last { "end" } else { "checkpoint" });
            let cpu = mark.gap_cpu.expect("a mark names its CPU");
            let rows = numbers.get(&cpu).map_or(0, |n| n.len() as i64);
            let found = rows + aggregates.get(&cpu).copied().unwrap_or(0);
            assert_eq!(mark.first_seq, Some(found), "flush {g}: {mark:?}: {rows} rows and exact gaps");
        }
        assert_eq!(
            generation.last().map(|r| r.gap_cpu == Some(-2)),
            Some(is_last),
            "the last row of all is the lane's end"
        );
    }
    lost
}

#[derive(Debug, Clone)]
struct Case {
    cuts: Vec<Vec<Attempt>>,
    script: Vec<Outcome>,
    classes: Vec<ClassId>,
    writes_per_flush: usize,
    cuts_max: usize,
    bytes_max: usize,
    policy: Policy,
    retry_min: Duration,
    /// At these cuts the gate closes, and opens again.
    hangs: Vec<bool>,
    with_last: bool,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![
        12 => (0..3i32, 0..6usize, 0..20usize).prop_map(|(cpu, class, action)| Attempt::Event(cpu, class, action)),
        2 => (0..3i32).prop_map(Attempt::Void),
        2 => (0..3i32, 1..50i64).prop_map(|(cpu, n)| Attempt::Gap(cpu, n)),
        1 => (0..3i32).prop_map(Attempt::Reentered),
        1 => Just(Attempt::Running),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        60 => Just(Outcome::Works),
        12 => Just(Outcome::Retry),
        6 => Just(Outcome::Refused),
        1 => Just(Outcome::Fatal),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let ids: Vec<ClassId> = CLASSES.iter().map(|c| c.id).collect();
    let stream = (
        prop::collection::vec(prop::collection::vec(attempt(), 0..12), 1..20),
        prop::collection::vec(outcome(), 0..30),
        prop::sample::subsequence(ids, 0..=7),
    );
    let limits = (
        1..5usize,
        1..6usize,
        prop_oneof![Just(usize::MAX), Just(1usize), Just(60_000)],
        prop_oneof![3 => Just(Policy::Drop), 1 => Just(Policy::Block)],
        prop_oneof![3 => Just(Duration::ZERO), 1 => Just(Duration::from_secs(3600))],
        prop::collection::vec(prop::bool::weighted(0.2), 20),
        prop::bool::weighted(0.8),
    );
    (stream, limits).prop_map(
        |((cuts, script, classes), (writes_per_flush, cuts_max, bytes_max, policy, retry_min, hangs, with_last))| {
            Case { cuts, script, classes, writes_per_flush, cuts_max, bytes_max, policy, retry_min, hangs, with_last }
        },
    )
}

fn set_gate(gate: &Gate, closed: bool) {
    *gate.0.lock().expect("gate") = closed;
    gate.1.notify_all();
}

fn lane(case: &Case, visible: &Visible, gate: &Gate) -> Lane {
    lane_with(case, visible, gate, None)
}

fn lane_with(case: &Case, visible: &Visible, gate: &Gate, log: Option<BacklogOptions>) -> Lane {
    let options = LaneOptions {
        cuts_max: case.cuts_max,
        bytes_max: case.bytes_max,
        policy: case.policy,
        // A hanging sink must not hang the test.
        block_max: Duration::from_millis(2),
        classes: ClassSet::of(case.classes.iter().copied()),
        retry_min: case.retry_min,
        retry_max: case.retry_min,
    };
    let sink = Fake {
        script: case.script.iter().copied().collect(),
        staged: Vec::new(),
        writes: 0,
        writes_per_flush: case.writes_per_flush,
        visible: Arc::clone(visible),
        gate: Arc::clone(gate),
    };
    Lane::start_with(options, Box::new(sink), log).expect("a thread")
}

/// A log in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<u64, Arc<Cut>>>>);

impl Backlog for Memory {
    fn read(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>> {
        Ok(self.0.lock().expect("log").get(&number).cloned())
    }

    fn passed(&mut self, _: &Progress) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn options(&self) -> BacklogOptions {
        BacklogOptions {
            log: Box::new(self.clone()),
            log_id: String::new(),
            progress: None,
            first: 0,
            first_sent: 0,
            skipped: false,
            complete: false,
        }
    }
}

/// What becomes of the cuts on their way to the log, before another one is sent.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// So many come to their end.
    cuts: usize,
    /// The log cannot be written.
    fails: bool,
    /// The sender looks what became of them.
    looks: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (0..4usize, prop::bool::weighted(0.2), prop::bool::weighted(0.7)).prop_map(|(cuts, fails, looks)| Turn {
        cuts,
        fails,
        looks,
    })
}

/// Cuts on their way to a log, at most.
const UNDER_WAY_MAX: usize = 3;

/// A log that is written elsewhere, later, and not always; the protocol is that of the collector's overflow.
#[derive(Default)]
struct Elsewhere {
    log: Memory,
    under_way: VecDeque<(Arc<Cut>, Waiting, u32)>,
    done: VecDeque<(u64, Option<Arc<Cut>>)>,
    attempt: u32,
    failed: Option<u32>,
}

impl Elsewhere {
    fn work(&mut self, turn: Turn) {
        for _ in 0..turn.cuts {
            let Some((cut, waiting, attempt)) = self.under_way.pop_front() else { return };
            let number = cut.number;
            if turn.fails || self.failed == Some(attempt) {
                self.failed = Some(attempt);
                self.done.push_back((number, Some(cut)));
            } else {
                self.log.0.lock().expect("log").insert(number, cut);
                waiting.wake();
                self.done.push_back((number, None));
            }
        }
    }

    fn tell(&mut self, lane: &mut Lane) {
        let mut has_failed = false;
        for (number, lost) in self.done.drain(..) {
            has_failed |= lost.is_some();
            lost.iter().for_each(|cut| lane.not_logged(cut));
            lane.settled(number);
        }
        self.attempt += u32::from(has_failed);
    }

    fn send(&mut self, lane: &mut Lane, cut: &Arc<Cut>) {
        match lane.send(cut) {
            Sent::Done => {}
            Sent::ToLog if self.under_way.len() + self.done.len() >= UNDER_WAY_MAX => lane.not_logged(cut),
            Sent::ToLog => {
                let waiting = lane.waits_for(cut.number);
                assert!(lane.is(&waiting));
                self.under_way.push_back((Arc::clone(cut), waiting, self.attempt));
            }
        }
    }
}

/// The same as [`run`], of a lane whose overflow is written elsewhere.
fn overflow(case: &Case, turns: &[Turn]) {
    let (visible, gate) = (Visible::default(), Gate::default());
    let mut elsewhere = Elsewhere::default();
    let mut lane = lane_with(case, &visible, &gate, Some(elsewhere.log.options()));
    let watch = lane.watch();
    let mut stream = Stream::default();
    for (i, attempts) in case.cuts.iter().enumerate() {
        if case.hangs[i] {
            let closed = *gate.0.lock().expect("gate");
            set_gate(&gate, !closed);
        }
        elsewhere.work(turns[i]);
        if turns[i].looks {
            elsewhere.tell(&mut lane);
        }
        elsewhere.send(&mut lane, &Arc::new(stream.cut(attempts, false)));
        assert_eq!(watch.ledger().balance(), [], "at any moment");
    }
    if case.with_last {
        elsewhere.send(&mut lane, &Arc::new(stream.cut(&[], true)));
    }
    elsewhere.work(Turn { cuts: usize::MAX, ..turns[0] });
    elsewhere.tell(&mut lane);
    set_gate(&gate, false);
    let report = lane.stop(Instant::now() + STOP_MAX);
    expect_all_accounted(case, &report, &visible.lock().expect("visible"));
}

fn run(case: &Case) {
    let (visible, gate) = (Visible::default(), Gate::default());
    let mut lane = lane(case, &visible, &gate);
    let watch = lane.watch();
    let mut stream = Stream::default();
    for (i, attempts) in case.cuts.iter().enumerate() {
        if case.hangs[i] {
            let closed = *gate.0.lock().expect("gate");
            set_gate(&gate, !closed);
        }
        lane.send(&Arc::new(stream.cut(attempts, false)));
        assert_eq!(watch.ledger().balance(), [], "at any moment");
    }
    if case.with_last {
        lane.send(&Arc::new(stream.cut(&[], true)));
    }
    set_gate(&gate, false);
    let report = lane.stop(Instant::now() + STOP_MAX);
    expect_all_accounted(case, &report, &visible.lock().expect("visible"));
}

/// The sink's rows and the lane's ledger account for every number, and say the same.
fn expect_all_accounted(case: &Case, report: &LaneReport, generations: &[Vec<Seen>]) {
    assert!(report.finished, "{report:?}");
    assert_eq!(report.ledger.balance(), []);
    assert!(case.with_last || !report.ended);
    let shown = verify(generations, report.ended);
    let rows: usize = generations.iter().map(Vec::len).sum();
    assert_eq!(report.ledger.rows_delivered(), rows as u64);
    let pending: i64 = report.ledger.cpus.values().map(|c| c.pending).sum();
    assert_eq!(pending, 0, "nothing is pending after a stop: {report:?}");
    for row in generations.iter().flatten() {
        assert!(row.class == ClassId::Loss || case.classes.contains(&row.class), "not selected: {row:?}");
    }
    if report.ledger.state == LaneState::Working {
        // The last flush worked, so the data names every loss that the ledger counts, and no other.
        for reason in [Reason::LaneFull, Reason::SinkRefused, Reason::RingFull] {
            let said = shown.get(reason.name()).copied().unwrap_or(0);
            assert_eq!(said, report.ledger.lost_for(reason), "{}", reason.name());
        }
        assert_eq!(shown.get("not_selected").copied().unwrap_or(0), report.ledger.withheld_total());
        assert_eq!(report.ended, case.with_last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_gaps_and_aggregates_are_all_numbers_whatever_the_sink_does(case in case()) {
        run(&case);
    }

    #[test]
    fn no_number_is_without_an_account_whatever_becomes_of_an_overflow(
        case in case(), turns in prop::collection::vec(turn(), 20)
    ) {
        overflow(&case, &turns);
    }
}

fn simple(script: &[Outcome]) -> Case {
    let event = |cpu| Attempt::Event(cpu, ClassId::File.index(), 0);
    Case {
        cuts: vec![vec![event(0), event(1)]; 6],
        script: script.to_vec(),
        classes: vec![ClassId::File],
        writes_per_flush: 1,
        cuts_max: 100,
        bytes_max: usize::MAX,
        policy: Policy::Drop,
        retry_min: Duration::from_secs(3600),
        hangs: vec![false; 20],
        with_last: true,
    }
}

/// Sends all cuts of the case and stops; returns the report and the visible rows.
fn drive(case: &Case) -> (weir_sinks::LaneReport, Vec<Seen>) {
    let (visible, gate) = (Visible::default(), Gate::default());
    let mut lane = lane(case, &visible, &gate);
    let mut stream = Stream::default();
    for attempts in &case.cuts {
        lane.send(&Arc::new(stream.cut(attempts, false)));
    }
    lane.send(&Arc::new(stream.cut(&[], true)));
    let report = lane.stop(Instant::now() + STOP_MAX);
    let rows = visible.lock().expect("visible").concat();
    (report, rows)
}

#[test]
fn a_failing_sink_loses_until_it_works_again_and_its_data_says_how_much() {
    use Outcome::*;
    // The second cut's write fails, the wait is long, so that the next attempt is the one at the stop.
    let (report, rows) = drive(&simple(&[Works, Works, Works, Retry]));
    assert!(report.ended && report.fatal().is_none());
    let refused: Vec<&Seen> = rows.iter().filter(|r| r.reason.as_deref() == Some("sink_refused")).collect();
    assert_eq!(refused.len(), 2, "one aggregate per CPU");
    assert!(refused.iter().all(|r| r.count == 5 && r.by_action.as_deref() == Some("open=5")), "{refused:?}");
    assert_eq!((report.ledger.errors, report.ledger.lost_for(Reason::SinkRefused)), (1, 10));
}

#[test]
fn a_fatal_error_is_in_the_report_and_nothing_is_written_behind_it() {
    use Outcome::*;
    let (report, rows) = drive(&simple(&[Works, Works, Works, Fatal]));
    assert_eq!(report.fatal(), Some("scripted: gone"));
    assert!(!report.ended && report.finished);
    assert_eq!(rows.iter().filter(|r| r.class == ClassId::File).count(), 2);
    assert_eq!(report.ledger.lost_for(Reason::SinkRefused), 10);
    assert_eq!(report.to_json()["state"], "fatal");
}

#[test]
fn policy_block_loses_nothing_where_policy_drop_does() {
    for (policy, lost) in [(Policy::Block, false), (Policy::Drop, true)] {
        let (visible, gate) = (Visible::default(), Gate::default());
        let case = Case { policy, cuts_max: 1, ..simple(&[]) };
        let options = LaneOptions { cuts_max: 1, policy, ..LaneOptions::default() };
        let sink = Fake {
            script: VecDeque::new(),
            staged: Vec::new(),
            writes: 0,
            writes_per_flush: 1,
            visible: Arc::clone(&visible),
            gate: Arc::clone(&gate),
        };
        let mut lane = Lane::start(options, Box::new(sink)).expect("a thread");
        set_gate(&gate, true);
        let opener = (policy == Policy::Block).then(|| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50)); // the sender waits for at least this long
                set_gate(&gate, false);
            })
        });
        let mut stream = Stream::default();
        for attempts in &case.cuts {
            lane.send(&Arc::new(stream.cut(attempts, false)));
        }
        lane.send(&Arc::new(stream.cut(&[], true)));
        set_gate(&gate, false);
        if let Some(opener) = opener {
            opener.join().expect("opener");
        }
        let report = lane.stop(Instant::now() + STOP_MAX);
        assert!(report.ended, "the last cut is never refused");
        assert_eq!(report.ledger.lost_for(Reason::LaneFull) > 0, lost, "{policy:?}");
        assert_eq!(report.ledger.cuts_refused > 0, lost);
        verify(&visible.lock().expect("visible"), true);
    }
}

#[test]
fn a_stop_does_not_wait_longer_than_its_deadline_for_a_sink_that_hangs() {
    let (visible, gate) = (Visible::default(), Gate::default());
    set_gate(&gate, true);
    let case = simple(&[]);
    let mut lane = lane(&case, &visible, &gate);
    let mut stream = Stream::default();
    lane.send(&Arc::new(stream.cut(&case.cuts[0], true)));
    let report = lane.stop(Instant::now() + Duration::from_millis(20));
    assert!(!report.finished && !report.ended);
    assert_eq!(report.ledger.balance(), [], "what is pending is counted as pending");
    set_gate(&gate, false);
}

struct Panics;

impl Sink for Panics {
    fn name(&self) -> &str {
        "panics"
    }
    fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        panic!("on purpose")
    }
    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        Ok(Receipt::default())
    }
}

#[test]
fn a_sink_that_panics_ends_its_own_lane_only() {
    let mut lane = Lane::start(LaneOptions::default(), Box::new(Panics)).expect("a thread");
    let watch = lane.watch();
    let mut stream = Stream::default();
    let deadline = Instant::now() + STOP_MAX;
    while watch.fatal().is_none() {
        assert!(Instant::now() < deadline, "the panic is noticed");
        lane.send(&Arc::new(stream.cut(&[Attempt::Event(0, class(ClassId::File).id.index(), 0)], false)));
        std::thread::yield_now();
    }
    assert_eq!(watch.ledger().balance(), []);
    let report = lane.stop(deadline);
    assert!(!report.finished && report.fatal().is_some());
}
