//! The threads between the pipeline and the lanes: a cut is in the log, and durable, before any sink has it.
//!
//! One thread writes, another one syncs: a disk that takes seconds for a sync keeps no cut out of the log. Cuts wait for one
//! another up to the commit interval, so that a disk sees few syncs (group commit). What cannot be written stays in memory and
//! is tried again; beyond the limits of the hand-over the reader reads no further, and the rings hold what happens. The reader
//! itself never waits here.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use weir_files::Dir;
use weir_sinks::{Cut, Lane, LaneWatch};

use super::cursor;
use super::log::{Log, Unsynced};
use super::room::{Room, WhenFull};
use crate::outlet::{Answer, Boundary, Edit, edit};

/// Cuts, and changes of the lanes, between the pipeline and the log.
const CUTS_MAX: usize = 256;
/// Of these, what one round of the reader can hand over.
const ROUND_CUTS_MAX: usize = 8;
/// Arrow memory of the cuts between the pipeline and the log, bytes; the last round may exceed it.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Arrow memory of the cuts that are written and not durable yet, bytes; beyond it nothing more is written.
const UNSYNCED_BYTES_MAX: usize = 64 << 20;
/// Bytes of frames that are synced without waiting for the interval.
const COMMIT_BYTES: u64 = 8 << 20;
/// Between attempts to write to a disk that fails or is full.
const RETRY: Duration = Duration::from_millis(500);

/// How the log is written.
#[derive(Debug, Clone, Copy)]
pub struct CommitOptions {
    /// How long the first cut of a group waits for others.
    pub interval: Duration,
    /// Bytes of the whole log.
    pub bytes_max: u64,
    /// What happens beyond them.
    pub when_full: WhenFull,
}

/// What others see of the thread.
#[derive(Debug, Default)]
pub struct CommitWatch {
    /// Number behind the last cut that is written: whoever kills the collector cannot take it away any more.
    pub written: AtomicU64,
    /// Number behind the last durable cut.
    pub durable: AtomicU64,
    /// Arrow memory of the cuts that wait to be written, bytes.
    queued: AtomicUsize,
    /// Syncs of the disk.
    pub syncs: AtomicU64,
    /// Frames, bytes.
    pub bytes: AtomicU64,
    /// Bytes of all segments.
    pub log_bytes: AtomicU64,
    /// Rows that were given up for room.
    pub dropped: AtomicU64,
    /// Of writing, and of syncing.
    problems: Mutex<[Option<String>; 2]>,
}

/// What a thread does with the log, as a place among the problems.
#[derive(Clone, Copy)]
enum Task {
    Write,
    Sync,
}

impl CommitWatch {
    /// Why the log cannot be written, if so.
    pub fn problem(&self) -> Option<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().next().cloned()
    }

    /// Sets the problem of a task, and returns the one that it had.
    fn set_problem(&self, task: Task, problem: Option<String>) -> Option<String> {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut problems[task as usize], problem)
    }

    fn works(&self, task: Task) {
        if self.set_problem(task, None).is_some() && self.problem().is_none() {
            tracing::info!("the spool can be written again");
        }
    }

    fn fails(&self, task: Task, dir: &Dir, error: &io::Error) {
        let what = match task {
            Task::Write => "write",
            Task::Sync => "sync",
        };
        let text = format!("{what} the spool in {}: {error}", dir.path().display());
        if self.set_problem(task, Some(text.clone())).is_none() {
            tracing::error!("events wait in the kernel's rings until the spool works again: {text}");
        }
    }
}

/// What the pipeline hands over.
enum Step {
    Cut(Arc<Cut>),
    Edit(Boundary, Edit, Answer),
}

/// The pipeline's end of the thread.
pub struct Committer {
    queue: Sender<Step>,
    watch: Arc<CommitWatch>,
    lanes: Vec<LaneWatch>,
    thread: JoinHandle<Vec<Lane>>,
}

impl Committer {
    /// Starts the thread, which feeds the lanes from here on.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(log: Log, options: CommitOptions, lanes: Vec<Lane>) -> io::Result<Committer> {
        let (queue, steps) = bounded(CUTS_MAX);
        let watch = Arc::new(CommitWatch::default());
        watch.written.store(log.next(), Ordering::Release);
        watch.durable.store(log.next(), Ordering::Release);
        let watches = lanes.iter().map(Lane::watch).collect();
        let room = Room::new(options.bytes_max, options.when_full);
        let sync = Syncer::start(log.dir().clone(), Arc::clone(&watch))?;
        let work = Work {
            log,
            room,
            lanes,
            steps,
            sync,
            interval: options.interval,
            watch: Arc::clone(&watch),
            unsynced: VecDeque::new(),
            unsynced_bytes: 0,
            new_bytes: 0,
            due: None,
        };
        let thread = std::thread::Builder::new().name("spool".into()).spawn(move || work.run())?;
        Ok(Committer { queue, watch, lanes: watches, thread })
    }

    /// Counts and state.
    pub fn watch(&self) -> &Arc<CommitWatch> {
        &self.watch
    }

    /// The ledgers of the lanes that it feeds.
    pub fn lanes(&self) -> &[LaneWatch] {
        &self.lanes
    }

    /// Whether it takes what another round may give it. Otherwise nothing more may be read: the rings hold it.
    pub fn has_room(&self) -> bool {
        self.queue.len() + ROUND_CUTS_MAX <= CUTS_MAX && self.watch.queued.load(Ordering::Acquire) < QUEUE_BYTES_MAX
    }

    /// Hands over a cut; never waits as long as it is asked for room before.
    pub fn send(&self, cut: Arc<Cut>) {
        self.watch.queued.fetch_add(cut.bytes(), Ordering::AcqRel);
        self.hand_over(Step::Cut(cut));
    }

    /// Changes the lanes behind all cuts so far.
    pub fn edit(&self, at: Boundary, edit: Edit, answer: Answer) {
        self.hand_over(Step::Edit(at, edit, answer));
    }

    fn hand_over(&self, step: Step) {
        if self.queue.send(step).is_err() {
            tracing::error!("the thread of the spool is gone, which is a bug");
        }
    }

    /// Commits what is there and gives the lanes back.
    pub fn finish(self) -> Vec<Lane> {
        drop(self.queue);
        self.thread.join().unwrap_or_default()
    }
}

/// The thread that syncs.
struct Syncer {
    jobs: Sender<Unsynced>,
    /// Number behind the last cut that is durable now.
    done: Receiver<u64>,
    is_busy: bool,
}

impl Syncer {
    fn start(dir: Dir, watch: Arc<CommitWatch>) -> io::Result<Syncer> {
        let (jobs, received) = bounded::<Unsynced>(1);
        let (answer, done) = bounded(1);
        std::thread::Builder::new().name("spool-sync".into()).spawn(move || {
            for job in received {
                while let Err(error) = job.sync() {
                    watch.fails(Task::Sync, &dir, &error);
                    std::thread::sleep(RETRY);
                }
                watch.works(Task::Sync);
                watch.syncs.fetch_add(1, Ordering::Relaxed);
                if answer.send(job.next).is_err() {
                    return;
                }
            }
        })?;
        Ok(Syncer { jobs, done, is_busy: false })
    }
}

/// What there is to do.
enum Turn {
    Step(Step),
    Durable(u64),
    Timeout,
    Closed,
}

struct Work {
    log: Log,
    room: Room,
    lanes: Vec<Lane>,
    steps: Receiver<Step>,
    sync: Syncer,
    interval: Duration,
    watch: Arc<CommitWatch>,
    /// Written and not durable yet.
    unsynced: VecDeque<Arc<Cut>>,
    /// Their Arrow memory.
    unsynced_bytes: usize,
    /// Bytes of frames since the last sync began.
    new_bytes: u64,
    /// When the next sync begins.
    due: Option<Instant>,
}

impl Work {
    fn run(mut self) -> Vec<Lane> {
        loop {
            match self.turn() {
                Turn::Step(Step::Edit(at, change, answer)) => {
                    self.settle();
                    let log = &self.log;
                    let backlog = |sink: &str, start| cursor::backlog(log, sink, start, at.next).map(Some);
                    // Who asked may have given up.
                    let _ = answer.send(edit(&mut self.lanes, backlog, at.positions, change));
                }
                Turn::Step(Step::Cut(cut)) => self.write(cut),
                Turn::Durable(next) => self.durable(next),
                Turn::Timeout => {}
                Turn::Closed => break,
            }
            if self.new_bytes >= COMMIT_BYTES || self.due.is_some_and(|at| Instant::now() >= at) {
                self.begin_sync();
            }
        }
        self.settle();
        self.lanes
    }

    /// What comes next. Nothing more is taken while too much is not durable yet.
    fn turn(&self) -> Turn {
        let none = never();
        let takes = self.unsynced.is_empty() || self.unsynced_bytes < UNSYNCED_BYTES_MAX;
        let steps = if takes { &self.steps } else { &none };
        // While a sync is under way nothing is due.
        let until = self.due.filter(|_| !self.sync.is_busy);
        let timeout = until.map_or_else(never, crossbeam_channel::at);
        select! {
            recv(steps) -> step => step.map_or(Turn::Closed, Turn::Step),
            recv(self.sync.done) -> next => next.map_or(Turn::Closed, Turn::Durable),
            recv(timeout) -> _ => Turn::Timeout,
        }
    }

    /// Writes a cut, however long it takes: the ring holds what happens meanwhile.
    fn write(&mut self, cut: Arc<Cut>) {
        let bytes = loop {
            let result = self.room.make(&mut self.log, &self.watch).and_then(|()| self.log.append(&cut));
            match result {
                Ok(bytes) => break bytes,
                // The sinks may make room, but only by what they have.
                Err(_) if !self.unsynced.is_empty() => self.settle(),
                Err(error) => {
                    self.watch.fails(Task::Write, self.log.dir(), &error);
                    std::thread::sleep(RETRY);
                    self.log.trim();
                }
            }
        };
        self.watch.works(Task::Write);
        self.watch.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.watch.written.store(self.log.next(), Ordering::Release);
        self.watch.queued.fetch_sub(cut.bytes(), Ordering::AcqRel);
        self.unsynced_bytes += cut.bytes();
        self.unsynced.push_back(cut);
        self.new_bytes += bytes;
        self.due.get_or_insert_with(|| Instant::now() + self.interval);
    }

    /// Everything that is written is to become durable, if nothing else is about to.
    fn begin_sync(&mut self) {
        if self.sync.is_busy || self.unsynced.is_empty() {
            return;
        }
        (self.new_bytes, self.due) = (0, None);
        // The thread waits for it: it ends only with this one.
        self.sync.is_busy = self.sync.jobs.send(self.log.unsynced()).is_ok();
    }

    /// What is durable goes to the lanes.
    fn durable(&mut self, next: u64) {
        self.sync.is_busy = false;
        self.log.show(next);
        self.watch.log_bytes.store(self.log.shared().bytes(), Ordering::Relaxed);
        self.watch.durable.store(next, Ordering::Release);
        let count = self.unsynced.partition_point(|cut| cut.number < next);
        for cut in self.unsynced.drain(..count) {
            self.unsynced_bytes -= cut.bytes();
            for lane in &mut self.lanes {
                // The log has it: a lane without room reads it there.
                lane.send(&cut);
            }
        }
        self.log.trim();
    }

    /// Waits until everything that is written is durable and with the lanes.
    fn settle(&mut self) {
        while !self.unsynced.is_empty() {
            self.begin_sync();
            match self.sync.done.recv() {
                Ok(next) => self.durable(next),
                Err(_) => return,
            }
        }
    }
}
