//! A lane: a bounded queue, a policy and a worker thread for one sink.
//!
//! Limits: cuts and bytes in the queue, the wait of policy `block`, the waits between attempts after a failure; all of
//! them in [`LaneOptions`]. What a lane cannot deliver it counts, and writes as rows of class `loss`:
//!
//! * `not_selected`: numbers that the sink's [`ClassSet`] leaves out, and void ones;
//! * `lane_full`: cuts that found no room;
//! * `sink_refused`: everything since the last flush that succeeded, when a write or a flush fails; or single messages
//!   that the destination refuses for ever;
//! * `spool_full`: what the spool gave up.
//!
//! A lane with a log of all cuts loses nothing to a full queue or a failing sink: it reads the log instead, in order, until it
//! has caught up. A lane whose log has only what found no room keeps the rest in memory until a flush.
//!
//! Such a row is an aggregate of one CPU: its span may contain rows that were delivered, its `count` is exact. Numbers of
//! an exact gap whose own row got lost are in the `count` too, under the gap's reason in `by_action`.

pub(crate) mod account;
mod backoff;
mod feed;
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

use crate::progress::Stand;
use crate::{BacklogOptions, Cut, Position, Progress, Sink};
use account::{Frontier, Split};
use feed::{Feed, Turn};
use worker::{After, Item, Missed, Setup, Shared, Worker, lock};

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

/// What a worker may take longer than the deadline of its stop, to come back from a call of its sink.
const STOP_GRACE: Duration = Duration::from_secs(2);

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

/// What became of a cut that was handed to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the queue, or counted as lost, or in the lane's log.
    Done,
    /// It found no room: either the lane's log gets it ([`Lane::waits_for`]), or it is lost ([`Lane::not_logged`]).
    ToLog,
}

/// The sending end of a lane.
pub struct Lane {
    options: LaneOptions,
    watch: LaneWatch,
    queue: Sender<Item>,
    /// Bytes in the queue, in the worker's hands, and kept until a flush.
    held: Arc<AtomicUsize>,
    /// Tells a blocked sender that there may be room.
    freed: Receiver<()>,
    /// Tells the worker that it has to come to an end until then.
    stopping: Sender<Instant>,
    done: Receiver<Ended>,
    frontier: Option<Frontier>,
    /// The next cut is not where its stream begins.
    joins: bool,
    missed: Option<Box<Missed>>,
    /// The last cut, when it found no room: [`Lane::stop`] waits for it.
    tail: Option<Item>,
    log: Log,
    /// Number of the last cut that is on its way to an overflow log: none may overtake it.
    under_way: Option<u64>,
}

/// A lane that had no room for a cut, as whoever writes its log knows it.
#[derive(Debug)]
pub struct Waiting {
    watch: LaneWatch,
    queue: Sender<Item>,
}

impl Waiting {
    /// The log has the cut.
    pub fn wake(&self) {
        // A worker with a full queue looks by itself.
        let _ = self.queue.try_send(Item::new(None, None, 0));
    }
}

/// What the log of a lane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    /// There is none.
    None,
    /// Cuts that found no room.
    Overflow,
    /// Every cut, before it is sent.
    Complete,
}

impl Lane {
    /// Starts the worker of a lane without a log.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(options: LaneOptions, sink: Box<dyn Sink>) -> io::Result<Lane> {
        Lane::start_with(options, sink, None)
    }

    /// Starts the worker; with a log, where it stood.
    ///
    /// # Errors
    /// When the system refuses a thread, or the log cannot be read.
    pub fn start_with(options: LaneOptions, sink: Box<dyn Sink>, backlog: Option<BacklogOptions>) -> io::Result<Lane> {
        let (lane, seat) = Lane::reserve(options, sink.name(), backlog, vec![])?;
        seat.take(sink, None)?;
        Ok(Lane { joins: false, ..lane })
    }

    /// A lane that joins a stream and takes its cuts already, for a sink that comes later. `stream` is where the stream stands.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn reserve(
        options: LaneOptions,
        name: &str,
        backlog: Option<BacklogOptions>,
        stream: Vec<Position>,
    ) -> io::Result<(Lane, Seat)> {
        let watch = LaneWatch { name: name.into(), ledger: Shared::default() };
        let (queue, items) = bounded(options.cuts_max.max(1));
        let (free, freed) = bounded(1);
        let (report, done) = bounded(1);
        let (stopping, stops) = bounded(1);
        let held = Arc::new(AtomicUsize::new(0));
        let log = backlog.as_ref().map_or(Log::None, |b| if b.complete { Log::Complete } else { Log::Overflow });
        let mut begin = Begin::of(backlog)?;
        let frontier = begin.sent_behind.take();
        let seat = Seat {
            options: options.clone(),
            watch: watch.clone(),
            items,
            held: Arc::clone(&held),
            free,
            report,
            stops,
            log,
            begin,
            stream,
        };
        let lane = Lane {
            options,
            watch,
            queue,
            held,
            freed,
            stopping,
            done,
            frontier,
            joins: true,
            missed: None,
            tail: None,
            log,
            under_way: None,
        };
        Ok((lane, seat))
    }

    /// For other threads.
    pub fn watch(&self) -> LaneWatch {
        self.watch.clone()
    }

    /// Hands the next cut to the lane; with [`Policy::Drop`] this never waits.
    pub fn send(&mut self, cut: &Arc<Cut>) -> Sent {
        let before = self.frontier.take().filter(|f| f.identity == cut.identity);
        let split = Split::of(cut, self.options.classes, before.as_ref());
        lock(&self.watch.ledger).offered(cut, &split, before.as_ref(), std::mem::take(&mut self.joins));
        self.frontier = Some(Frontier::behind(cut, before));
        if self.freed.try_recv() == Err(TryRecvError::Disconnected) {
            self.worker_is_gone(&split);
            return Sent::Done;
        }
        let bytes = cut.bytes();
        let until = match self.options.policy {
            Policy::Drop => None,
            Policy::Block => Some(Instant::now() + self.options.block_max),
        };
        // With a log nothing waits: what finds no room is in it, or goes there.
        let room = self.under_way.is_none() && self.has_room(bytes, until.filter(|_| self.log == Log::None));
        match (room, self.log) {
            (true, _) => {
                let missed = self.missed.take();
                self.push(Item::new(missed, Some(Arc::clone(cut)), bytes), &split);
            }
            // The worker finds it in the log.
            (false, Log::Complete) => {}
            // Behind a cut that is lost none goes to the log: the worker would not know where to look for the next.
            (false, Log::Overflow) if self.missed.is_none() => return Sent::ToLog,
            (false, _) => self.lose(cut, &split),
        }
        Sent::Done
    }

    /// A cut that found no room goes to the log.
    pub fn waits_for(&mut self, number: u64) -> Waiting {
        self.under_way = Some(number);
        Waiting { watch: self.watch(), queue: self.queue.clone() }
    }

    /// Whether it was this lane that waits.
    pub fn is(&self, waiting: &Waiting) -> bool {
        Arc::ptr_eq(&self.watch.ledger, &waiting.watch.ledger)
    }

    /// The log has all cuts up to this one, or they were told to be lost.
    pub fn settled(&mut self, number: u64) {
        self.under_way = self.under_way.filter(|last| *last > number);
    }

    /// The log could not take a cut that found no room: it is lost.
    pub fn not_logged(&mut self, cut: &Arc<Cut>) {
        let split = Split::of(cut, self.options.classes, None);
        self.lose(cut, &split);
    }

    /// The last cut is kept for the stop, which waits for it.
    fn lose(&mut self, cut: &Arc<Cut>, split: &Split) {
        if cut.last {
            self.tail = Some(Item::new(None, Some(Arc::clone(cut)), cut.bytes()));
        } else {
            self.miss(cut.number, split);
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
    fn push(&self, item: Item, split: &Split) {
        self.held.fetch_add(item.bytes, Ordering::AcqRel);
        if let Err(SendError(_)) = self.queue.send(item) {
            self.worker_is_gone(split);
        }
    }

    /// Accounts a cut that found no room; the next one that does takes the account along.
    fn miss(&mut self, number: u64, split: &Split) {
        let Some(frontier) = self.frontier.clone() else { return };
        let mut ledger = lock(&self.watch.ledger);
        ledger.cuts_refused += 1;
        ledger.lost(&split.selected, Reason::LaneFull);
        ledger.withheld(&split.withheld);
        drop(ledger);
        let missed = self.missed.get_or_insert_with(|| {
            let (selected, withheld) = Default::default();
            Box::new(Missed { first: number, selected, withheld, frontier: frontier.clone() })
        });
        missed.first = missed.first.min(number);
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

    /// Waits until the worker has written everything, the last cut included, but not longer than the deadline. What a log
    /// has then is not lost: the next start goes on with it.
    pub fn stop(mut self, deadline: Instant) -> LaneReport {
        let missed = self.missed.take();
        let last = match self.tail.take() {
            Some(tail) => Some(Item { missed, ..tail }),
            None => missed.map(|missed| Item::new(Some(missed), None, 0)),
        };
        let sent = last.is_none_or(|item| {
            let room = self.has_room(item.bytes, Some(deadline));
            if room {
                let split = item.cut.as_ref().map(|cut| Split::of(cut, self.options.classes, None));
                self.push(item, &split.unwrap_or_default());
            }
            room
        });
        // There is room for one, and this is the one.
        let _ = self.stopping.try_send(deadline);
        drop(self.queue);
        let ended = self.done.recv_deadline(deadline + STOP_GRACE);
        let report = |finished, ended: Ended| LaneReport {
            name: self.watch.name().to_owned(),
            ledger: self.watch.ledger(),
            finished,
            ended: ended.has_end_rows,
            kept: self.log == Log::Complete,
            stands: ended.stands,
        };
        match ended {
            Ok(ended) => report(sent, ended),
            Err(error) => {
                if error == RecvTimeoutError::Timeout && self.log != Log::Complete {
                    tracing::error!(
                        sink = self.watch.name(),
                        "the sink did not finish in time; its end is not written"
                    );
                }
                report(false, Ended::default())
            }
        }
    }
}

/// How a worker ended.
#[derive(Default)]
struct Ended {
    /// Rows of action `end` are durable.
    has_end_rows: bool,
    /// What is durable; `None` if the worker did not come to its end.
    stands: Option<Box<Progress>>,
}

/// The place of a lane's sink, which is still to come.
pub struct Seat {
    options: LaneOptions,
    watch: LaneWatch,
    items: Receiver<Item>,
    held: Arc<AtomicUsize>,
    free: Sender<()>,
    report: Sender<Ended>,
    stops: Receiver<Instant>,
    log: Log,
    begin: Begin,
    stream: Vec<Position>,
}

impl Seat {
    /// The sink is there: its worker starts. `stands` is what a lane of the same stream before it left in the destination,
    /// whose own rows it continues.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn take(self, sink: Box<dyn Sink>, stands: Option<&Progress>) -> io::Result<()> {
        let (options, begin) = (self.options, self.begin);
        let joined = if self.log != Log::Complete {
            Some(self.stream).filter(|stream| !stream.is_empty())
        } else if begin.stand.frontier.is_none() && begin.next_cut == begin.first_sent && !self.stream.is_empty() {
            Some(self.stream)
        } else {
            (begin.skipped || begin.stand.frontier.is_none() && begin.next_cut > 0).then(Vec::new)
        };
        // Others see the rows of such a sink before a flush, and it can be given them again.
        let keeps = sink.flush_period().is_some() && self.log != Log::Complete;
        let setup = Setup {
            classes: options.classes,
            ledger: Arc::clone(&self.watch.ledger),
            retry: (options.retry_min, options.retry_max),
            rewinds: keeps || self.log == Log::Complete,
            log_id: begin.log_id,
            next_cut: begin.next_cut,
            stand: stands.map_or(begin.stand, Progress::stand),
            first_sent: begin.first_sent,
            joined,
        };
        let feed = Feed::new(self.items, self.held, self.free, begin.log, keeps, begin.next_cut);
        let worker = Worker::new(sink, setup);
        let work = Work { worker, feed, stops: self.stops, stop_at: None, kept_max: options.bytes_max / 2 };
        thread::Builder::new().name(format!("lane-{}", self.watch.name)).spawn(move || {
            // Nobody listens when the stop ran out of time.
            let _ = self.report.send(work.run());
        })?;
        Ok(())
    }

    /// The sink does not come: what the lane has and gets is lost.
    pub fn give_up(self, why: &str) {
        lock(&self.watch.ledger).state = LaneState::Fatal(why.to_owned());
        for item in self.items.try_iter() {
            let cut = item.cut.map(|cut| Split::of(&cut, self.options.classes, None)).unwrap_or_default();
            let mut ledger = lock(&self.watch.ledger);
            ledger.lost(&cut.selected, Reason::SinkRefused);
            ledger.withheld(&cut.withheld);
        }
    }
}

/// Where a lane begins.
struct Begin {
    log: Option<Box<dyn crate::Backlog>>,
    log_id: String,
    next_cut: u64,
    stand: Stand,
    first_sent: u64,
    /// The log no longer has all that was to come next.
    skipped: bool,
    /// Where the stream stands before the first cut that will be sent.
    sent_behind: Option<Frontier>,
}

impl Begin {
    fn of(backlog: Option<BacklogOptions>) -> io::Result<Begin> {
        let Some(mut backlog) = backlog else {
            let (log_id, stand) = (String::new(), Stand::default());
            return Ok(Begin {
                log: None,
                log_id,
                next_cut: 0,
                stand,
                first_sent: 0,
                skipped: false,
                sent_behind: None,
            });
        };
        let progress = backlog.progress.filter(|p| p.log_id == backlog.log_id);
        let next_cut = progress.as_ref().map_or(backlog.first, |p| p.next_cut);
        // An overflow knows only what found no room, and it is not asked: the caller may not wait for a file.
        let before = backlog.first_sent.checked_sub(1).filter(|_| backlog.complete);
        let before = before.map(|number| backlog.log.read(number)).transpose()?.flatten();
        Ok(Begin {
            log: Some(backlog.log),
            log_id: backlog.log_id,
            next_cut,
            stand: progress.as_ref().map(Progress::stand).unwrap_or_default(),
            first_sent: backlog.first_sent,
            skipped: backlog.skipped,
            sent_behind: before.map(|cut| Frontier::behind(&cut, None)),
        })
    }
}

/// The worker's thread.
struct Work {
    worker: Worker,
    feed: Feed,
    stops: Receiver<Instant>,
    stop_at: Option<Instant>,
    /// Kept bytes beyond which the sink is flushed.
    kept_max: usize,
}

impl Work {
    /// Runs until the sender is gone.
    fn run(mut self) -> Ended {
        while self.step() {}
        while !self.given_up() {
            let after = self.worker.finish(Instant::now());
            self.settle(after, None);
            if self.worker.is_settled() || self.worker.waits_until().is_none() {
                break;
            }
            // What the sink dropped is handed in again.
            while self.step() {}
        }
        Ended { has_end_rows: self.worker.ended(), stands: Some(Box::new(self.worker.stands())) }
    }

    /// One turn; false at the end.
    fn step(&mut self) -> bool {
        if let Some(at) = self.worker.waits_until() {
            if !self.pause(at) {
                return false;
            }
            let after = self.worker.retry(Instant::now());
            self.settle(after, None);
            return true;
        }
        let until = self.worker.deadline().map(|at| at.max(Instant::now() + DUE_WAIT_MIN));
        match self.feed.next(until) {
            Turn::Item(item) => {
                let after = self.worker.handle(&item, Instant::now());
                self.settle(after, Some(item));
            }
            Turn::Timeout => {
                let after = self.worker.tick(Instant::now());
                self.settle(after, None);
            }
            Turn::Unreadable(error) if error.kind() == io::ErrorKind::InvalidData => {
                let after = self.worker.flush(Instant::now());
                self.settle(after, None);
                self.worker.ends_at_damage(&error);
                return false;
            }
            Turn::Unreadable(error) => self.worker.unreadable(&error, Instant::now()),
            Turn::Closed => return false,
        }
        if self.feed.kept_bytes() > self.kept_max {
            let after = self.worker.flush(Instant::now());
            self.settle(after, None);
        }
        true
    }

    /// Does to the feed what the worker's step asks for.
    fn settle(&mut self, after: After, item: Option<Item>) {
        let (again, rewind, flushed) = match after {
            After::Done => (false, None, None),
            After::Flushed(progress) => (false, None, Some(progress)),
            After::FlushedAgain(progress) => (true, None, Some(progress)),
            After::Again => (true, None, None),
            After::Rewind(number) => (false, Some(number), None),
        };
        match item {
            Some(item) if again => self.feed.put_back(item),
            Some(item) => self.feed.done(item),
            None => {}
        }
        if let Some(number) = rewind {
            self.feed.rewind(number);
        }
        if let Some(progress) = flushed
            && let Err(error) = self.feed.flushed(&progress)
        {
            tracing::warn!(cut = progress.next_cut, "the position of a sink could not be stored: {error}");
        }
    }

    /// Waits for another attempt; false when there is no time left for one.
    fn pause(&mut self, at: Instant) -> bool {
        if self.stop_at.is_none() {
            match self.stops.recv_deadline(at) {
                // One attempt at once: it may be the last one.
                Ok(stop_at) => self.stop_at = Some(stop_at),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.stop_at = Some(Instant::now()),
            }
            return true;
        }
        thread::sleep(at.min(self.stop_at.unwrap_or(at)).saturating_duration_since(Instant::now()));
        !self.given_up()
    }

    fn given_up(&self) -> bool {
        self.stop_at.is_some_and(|at| Instant::now() >= at)
    }
}

#[cfg(test)]
mod tests;
