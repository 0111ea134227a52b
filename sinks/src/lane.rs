//! A lane: a bounded queue, a policy and a worker thread for one sink.
//!
//! Limits: cuts and bytes in the queue, the wait of policy `block`, the waits between attempts after a failure; all of
//! them in [`LaneOptions`]. What a lane cannot deliver it counts, and writes as rows of class `loss`:
//!
//! * `not_selected`: numbers that the sink's [`ClassSet`] leaves out, and void ones;
//! * `lane_full`: cuts that found no room;
//! * `sink_refused`: everything since the last flush that succeeded, when a write or a flush fails.
//!
//! Such a row is an aggregate of one CPU: its span may contain rows that were delivered, its `count` is exact. Numbers of
//! an exact gap whose own row got lost are in the `count` too, under the gap's reason in `by_action`.

mod account;
mod backoff;
mod ledger;
mod rows;
mod select;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, bounded};
use weir_schema::Reason;

pub use ledger::{ClassCount, CpuCount, Imbalance, LaneReport, LaneState, Ledger};
pub use select::ClassSet;

use crate::{Cut, Sink};
use account::{Frontier, Split};
use worker::{Item, Missed, Shared, Worker, lock};

/// Default of [`LaneOptions::cuts_max`].
pub const CUTS_MAX: usize = 1_024;
/// Default of [`LaneOptions::bytes_max`]: 32 MiB of Arrow memory.
pub const BYTES_MAX: usize = 32 << 20;
/// Default of [`LaneOptions::block_max`].
pub const BLOCK_MAX: Duration = Duration::from_secs(10);
/// Default of [`LaneOptions::retry_min`].
pub const RETRY_MIN: Duration = Duration::from_millis(250);
/// Default of [`LaneOptions::retry_max`].
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// Shortest wait for a sink that is due but does not want its flush yet: keeps the worker from spinning.
const DUE_WAIT_MIN: Duration = Duration::from_millis(1);

/// What a lane does with a cut when its queue is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// The cut is counted as lost at once.
    #[default]
    Drop,
    /// The sender waits, and with it every other lane; after [`LaneOptions::block_max`] the cut is counted as lost.
    Block,
}

/// Limits and choices of one lane.
#[derive(Debug, Clone)]
pub struct LaneOptions {
    /// Cuts in the queue.
    pub cuts_max: usize,
    /// Arrow memory of the cuts in the queue and in the worker's hands, bytes; a larger cut passes alone.
    pub bytes_max: usize,
    /// What happens when the queue is full.
    pub policy: Policy,
    /// Longest wait of [`Policy::Block`].
    pub block_max: Duration,
    /// Classes that the sink gets.
    pub classes: ClassSet,
    /// First wait after a failure; doubles from attempt to attempt.
    pub retry_min: Duration,
    /// Longest wait after a failure.
    pub retry_max: Duration,
}

impl Default for LaneOptions {
    fn default() -> LaneOptions {
        LaneOptions {
            cuts_max: CUTS_MAX,
            bytes_max: BYTES_MAX,
            policy: Policy::default(),
            block_max: BLOCK_MAX,
            classes: ClassSet::all(),
            retry_min: RETRY_MIN,
            retry_max: RETRY_MAX,
        }
    }
}

/// Reads a lane's counts from any thread.
#[derive(Debug, Clone)]
pub struct LaneWatch {
    name: Arc<str>,
    ledger: Shared,
}

impl LaneWatch {
    /// Name of the sink.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The counts as they are now; they balance.
    pub fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    /// Why the sink cannot go on, if so.
    pub fn fatal(&self) -> Option<String> {
        match &lock(&self.ledger).state {
            LaneState::Fatal(message) => Some(message.clone()),
            _ => None,
        }
    }
}

/// The sending end of a lane.
pub struct Lane {
    options: LaneOptions,
    watch: LaneWatch,
    queue: Sender<Item>,
    /// Bytes in the queue and in the worker's hands.
    held: Arc<AtomicUsize>,
    /// Tells a blocked sender that the worker is done with a cut.
    freed: Receiver<()>,
    done: Receiver<bool>,
    frontier: Option<Frontier>,
    missed: Option<Box<Missed>>,
    /// The last cut, when it found no room: [`Lane::stop`] waits for it.
    tail: Option<Item>,
}

impl Lane {
    /// Starts the worker.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(options: LaneOptions, sink: Box<dyn Sink>) -> io::Result<Lane> {
        let ledger = Shared::default();
        let watch = LaneWatch { name: sink.name().into(), ledger: Arc::clone(&ledger) };
        let (queue, items) = bounded(options.cuts_max.max(1));
        let (free, freed) = bounded(1);
        let (report, done) = bounded(1);
        let held = Arc::new(AtomicUsize::new(0));
        let worker = Worker::new(sink, options.classes, ledger, (options.retry_min, options.retry_max));
        let work = Work { worker, items, held: Arc::clone(&held), free };
        thread::Builder::new().name(format!("lane-{}", watch.name)).spawn(move || {
            // Nobody listens when the stop ran out of time.
            let _ = report.send(work.run());
        })?;
        Ok(Lane { options, watch, queue, held, freed, done, frontier: None, missed: None, tail: None })
    }

    /// For other threads.
    pub fn watch(&self) -> LaneWatch {
        self.watch.clone()
    }

    /// Hands the next cut to the lane; with [`Policy::Drop`] this never waits.
    pub fn send(&mut self, cut: Arc<Cut>) {
        let split = Split::of(&cut, self.options.classes, self.frontier.as_ref());
        lock(&self.watch.ledger).offered(&cut, &split);
        self.frontier = Some(Frontier::behind(&cut, self.frontier.take()));
        if self.freed.try_recv() == Err(TryRecvError::Disconnected) {
            return self.worker_is_gone(&split);
        }
        let bytes = cut.bytes();
        let until = match self.options.policy {
            Policy::Drop => None,
            Policy::Block => Some(Instant::now() + self.options.block_max),
        };
        let room = self.has_room(bytes, until);
        if !room && !cut.last {
            return self.miss(&split);
        }
        let item = Item { missed: self.missed.take(), cut: Some((cut, split)), bytes };
        if room {
            self.push(item);
        } else {
            self.tail = Some(item);
        }
    }

    /// Whether a cut of this size fits, now or until then.
    fn has_room(&self, bytes: usize, until: Option<Instant>) -> bool {
        loop {
            let held = self.held.load(Ordering::Acquire);
            if self.queue.len() < self.options.cuts_max.max(1)
                && (held == 0 || held.saturating_add(bytes) <= self.options.bytes_max)
            {
                return true;
            }
            let waited = until.map(|until| self.freed.recv_deadline(until));
            if !matches!(waited, Some(Ok(()))) {
                return false;
            }
        }
    }

    /// Queues an item that has room: this is the only sender, so it does not wait.
    fn push(&self, item: Item) {
        self.held.fetch_add(item.bytes, Ordering::AcqRel);
        if let Err(SendError(Item { cut: Some((_, split)), .. })) = self.queue.send(item) {
            self.worker_is_gone(&split);
        }
    }

    /// Accounts a cut that found no room; the next one that does takes the account along.
    fn miss(&mut self, split: &Split) {
        let Some(frontier) = self.frontier.clone() else { return };
        let mut ledger = lock(&self.watch.ledger);
        ledger.cuts_refused += 1;
        ledger.lost(&split.selected, Reason::LaneFull);
        ledger.withheld(&split.withheld);
        drop(ledger);
        let missed = self.missed.get_or_insert_with(|| {
            Box::new(Missed { selected: Default::default(), withheld: Default::default(), frontier: frontier.clone() })
        });
        missed.selected.merge(&split.selected);
        missed.withheld.merge(&split.withheld);
        missed.frontier = frontier;
    }

    /// The worker panicked, which only a sink's own fault can bring about: nothing will be delivered any more.
    fn worker_is_gone(&self, split: &Split) {
        let mut ledger = lock(&self.watch.ledger);
        ledger.lost(&split.selected, Reason::SinkRefused);
        ledger.withheld(&split.withheld);
        if !matches!(ledger.state, LaneState::Fatal(_)) {
            let message = "its worker panicked, which is a bug in the sink".to_owned();
            tracing::error!(sink = self.watch.name(), "the sink cannot go on: {message}");
            ledger.state = LaneState::Fatal(message);
        }
    }

    /// Waits until the worker has written everything, the last cut included, but not longer than the deadline.
    pub fn stop(mut self, deadline: Instant) -> LaneReport {
        let last = self.tail.take().or_else(|| {
            let missed = self.missed.take()?;
            Some(Item { missed: Some(missed), cut: None, bytes: 0 })
        });
        let sent = last.is_none_or(|item| {
            let room = self.has_room(item.bytes, Some(deadline));
            if room {
                self.push(item);
            }
            room
        });
        drop(self.queue);
        let ended = self.done.recv_deadline(deadline);
        let report = |finished, ended| LaneReport {
            name: self.watch.name().to_owned(),
            ledger: self.watch.ledger(),
            finished,
            ended,
        };
        match ended {
            Ok(ended) => report(sent, ended),
            Err(error) => {
                if error == RecvTimeoutError::Timeout {
                    tracing::error!(
                        sink = self.watch.name(),
                        "the sink did not finish in time; its end is not written"
                    );
                }
                report(false, false)
            }
        }
    }
}

/// The worker's thread.
struct Work {
    worker: Worker,
    items: Receiver<Item>,
    held: Arc<AtomicUsize>,
    free: Sender<()>,
}

impl Work {
    /// Runs until the sender is gone; returns whether the data has its end rows.
    fn run(mut self) -> bool {
        loop {
            let item = match self.worker.deadline() {
                // No timer: an idle machine is not woken.
                None => self.items.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.items.recv_deadline(at.max(Instant::now() + DUE_WAIT_MIN)),
            };
            match item {
                Ok(item) => self.take(item),
                Err(RecvTimeoutError::Timeout) => self.worker.tick(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.worker.finish(Instant::now());
        self.worker.ended()
    }

    fn take(&mut self, item: Item) {
        let bytes = item.bytes;
        self.worker.handle(item, Instant::now());
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        // One token is enough: the sender looks again after each.
        let _ = self.free.try_send(());
    }
}

#[cfg(test)]
mod tests;
