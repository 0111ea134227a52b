//! The worker with the time passed in.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_schema::{ClassId, Reason};

use super::account::{Frontier, Split};
use super::worker::{Item, Setup, Shared, Worker};
use super::{ClassSet, LaneState, lock};
use crate::progress::Stand;
use crate::{
    Batch, Cut, Identity, LossAction, LossRow, Position, Progress, Receipt, Sink, SinkError, Tally, loss_batch,
};

const WAIT: Duration = Duration::from_secs(4);
const SECOND: Duration = Duration::from_secs(1);

/// What the test tells the sink, and what it sees of it.
#[derive(Default)]
struct Script {
    fails: bool,
    due: Option<Instant>,
    written: usize,
    flushes: usize,
    /// Rows that the failing sink was offered.
    offered: usize,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn result(&self) -> Result<(), SinkError> {
        if self.0.lock().unwrap().fails { Err(SinkError::Retry("no room".into())) } else { Ok(()) }
    }
}

impl Sink for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.0.lock().unwrap().offered += batch.rows.num_rows();
        self.result()?;
        self.0.lock().unwrap().written += batch.rows.num_rows();
        Ok(())
    }
    fn wants_flush(&self, now: Instant) -> bool {
        self.0.lock().unwrap().due.is_some_and(|due| now >= due)
    }
    fn flush_due(&self) -> Option<Instant> {
        self.0.lock().unwrap().due
    }
    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        self.result()?;
        let mut script = self.0.lock().unwrap();
        (script.flushes, script.due) = (script.flushes + 1, None);
        Ok(Receipt::default())
    }
}

/// A cut whose only row is number `seq` of the collector: a gap without numbers.
fn item(ledger: &Shared, seq: i64, last: bool) -> Item {
    let identity = Identity { host: "h".into(), boot_id: "b".into(), epoch: 1 };
    let row = LossRow {
        ktime_ns: 100 + seq,
        cpu: -1,
        seq,
        action: LossAction::Gap,
        gap_cpu: Some(0),
        first_seq: None,
        last_seq: None,
        first_ktime_ns: None,
        last_ktime_ns: None,
        count: 3,
        by_action: String::new(),
        reason: Some(Reason::ProbeReentered),
    };
    let cut = Cut {
        number: seq as u64,
        batches: vec![loss_batch(&identity, 0, &[row])],
        identity,
        tallies: vec![Tally { cpu: -1, action: LossAction::Gap.id(), first_seq: seq, last_seq: seq, count: 1 }],
        positions: vec![Position { cpu: -1, next_seq: seq + 1, ktime_ns: 100 + seq }],
        clock_offset_ns: 0,
        last,
        dropped: vec![],
        damaged: false,
        resume: String::new(),
    };
    let split = Split::of(&cut, ClassSet::all(), None);
    let before = (seq > 0).then(|| {
        let position = Position { cpu: -1, next_seq: seq, ktime_ns: 99 + seq };
        Frontier::at(cut.identity.clone(), 0, 99 + seq, vec![position])
    });
    lock(ledger).offered(&cut, &split, before.as_ref(), false);
    Item::new(None, Some(Arc::new(cut)), 0)
}

fn worker() -> (Scripted, Shared, Worker) {
    worker_that(false)
}

fn worker_that(rewinds: bool) -> (Scripted, Shared, Worker) {
    let (sink, ledger) = (Scripted::default(), Shared::default());
    let setup = Setup {
        classes: ClassSet::of([ClassId::File]),
        ledger: Arc::clone(&ledger),
        retry: (WAIT, WAIT),
        rewinds,
        log_id: String::new(),
        next_cut: 0,
        stand: Stand::default(),
        first_sent: 0,
        joined: None,
    };
    let worker = Worker::new(Box::new(sink.clone()), setup);
    (sink, ledger, worker)
}

#[test]
fn an_idle_lane_has_no_timer() {
    let (sink, ledger, mut worker) = worker();
    let now = Instant::now();
    assert_eq!(worker.deadline(), None, "before the first cut");
    sink.0.lock().unwrap().due = Some(now + SECOND);
    worker.handle(&item(&ledger, 0, false), now);
    assert_eq!(worker.deadline(), Some(now + SECOND), "while something is open");
    worker.tick(now + SECOND);
    assert_eq!(sink.0.lock().unwrap().flushes, 1);
    assert_eq!(worker.deadline(), None, "when everything is flushed");
    assert_eq!(lock(&ledger).balance(), []);
}

#[test]
fn a_failing_sink_is_left_alone_for_the_wait_and_then_tried_with_a_flush_at_once() {
    let (sink, ledger, mut worker) = worker();
    let now = Instant::now();
    sink.0.lock().unwrap().fails = true;
    worker.handle(&item(&ledger, 0, false), now);
    let retry_at = worker.deadline().expect("a time to try again");
    assert!(retry_at >= now + WAIT / 2 && retry_at <= now + WAIT);
    let offered = sink.0.lock().unwrap().offered;
    worker.handle(&item(&ledger, 1, false), now + SECOND);
    assert_eq!(sink.0.lock().unwrap().offered, offered, "drained and counted without an attempt");
    assert!(matches!(&lock(&ledger).state, LaneState::Failing(message) if message == "no room"));

    sink.0.lock().unwrap().fails = false;
    worker.handle(&item(&ledger, 2, false), retry_at);
    assert_eq!(sink.0.lock().unwrap().flushes, 1, "only a flush shows that it works again");
    let ledger = lock(&ledger);
    assert_eq!((ledger.errors, ledger.retries, &ledger.state), (1, 1, &LaneState::Working));
    assert_eq!((ledger.cpus[&-1].lost_total(), ledger.cpus[&-1].delivered), (2, 1));
    assert_eq!(ledger.balance(), []);
}

#[test]
fn losses_reach_a_sink_that_works_again_even_if_no_cut_comes() {
    let (sink, ledger, mut worker) = worker();
    let now = Instant::now();
    sink.0.lock().unwrap().fails = true;
    worker.handle(&item(&ledger, 0, false), now);
    let first = worker.deadline().expect("a time to try again");
    worker.tick(first);
    let second = worker.deadline().expect("another one");
    assert!(second > first, "it failed again");
    sink.0.lock().unwrap().fails = false;
    worker.tick(second);
    assert_eq!(worker.deadline(), None);
    let script = sink.0.lock().unwrap();
    assert_eq!((script.flushes, script.written), (1, 2), "the gap and the checkpoint");
}

#[test]
fn the_last_cut_is_tried_although_the_wait_is_not_over() {
    let (sink, ledger, mut worker) = worker();
    let now = Instant::now();
    sink.0.lock().unwrap().fails = true;
    worker.handle(&item(&ledger, 0, false), now);
    sink.0.lock().unwrap().fails = false;
    worker.handle(&item(&ledger, 1, true), now);
    assert!(worker.ended());
    assert_eq!(worker.deadline(), None);
}

#[test]
fn a_stop_without_a_last_cut_flushes_and_writes_no_end() {
    let (sink, ledger, mut worker) = worker();
    let now = Instant::now();
    worker.finish(now);
    assert_eq!(sink.0.lock().unwrap().flushes, 0, "nothing was open");
    worker.handle(&item(&ledger, 0, false), now);
    worker.finish(now);
    assert_eq!(sink.0.lock().unwrap().flushes, 1);
    assert!(!worker.ended());
}

#[test]
fn numbers_that_damage_of_the_log_took_are_lost_from_where_the_lane_stood() {
    let (sink, ledger, mut worker) = worker_that(true);
    let now = Instant::now();
    let first = item(&ledger, 0, false);
    let cut = first.cut.clone().expect("a cut");
    worker.handle(&Item::new(None, Some(Arc::clone(&cut)), 0), now);
    let before = Frontier::behind(&cut, None);
    let damaged = Cut {
        number: 1,
        identity: cut.identity.clone(),
        batches: vec![],
        tallies: vec![],
        dropped: vec![],
        damaged: true,
        positions: vec![Position { cpu: -1, next_seq: 7, ktime_ns: 101 }],
        clock_offset_ns: 0,
        last: false,
        resume: String::new(),
    };
    lock(&ledger).offered(&damaged, &Split::of(&damaged, ClassSet::all(), Some(&before)), Some(&before), false);
    worker.handle(&Item::new(None, Some(Arc::new(damaged)), 0), now);
    worker.handle(&item(&ledger, 7, false), now);
    worker.finish(now);
    let written = sink.0.lock().unwrap().written;
    let ledger = lock(&ledger);
    assert_eq!((ledger.lost_for(Reason::SpoolDamaged), ledger.cpus[&-1].delivered, ledger.pending_total()), (6, 2, 0));
    assert!(written > 3, "the gap, and a checkpoint");
    assert_eq!(ledger.balance(), []);
}
