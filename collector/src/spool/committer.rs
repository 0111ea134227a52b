//! The thread between the pipeline and the lanes: a cut is in the log, and durable, before any sink has it.
//!
//! Cuts wait for one another up to the commit interval, so that a disk sees few syncs (group commit). What cannot be written
//! stays in memory and is tried again; meanwhile the pipeline waits, and the rings hold what happens.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use weir_sinks::{Cut, Lane, LaneWatch};

use super::log::Log;
use super::room::{Room, WhenFull};
use crate::outlet::{Answer, Boundary, Edit, edit};

/// Cuts between the pipeline and the log.
const CUTS_MAX: usize = 32;
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
    /// Number behind the last durable cut.
    pub durable: AtomicU64,
    /// Syncs of the disk.
    pub syncs: AtomicU64,
    /// Frames, bytes.
    pub bytes: AtomicU64,
    /// Bytes of all segments.
    pub log_bytes: AtomicU64,
    /// Rows that were given up for room.
    pub dropped: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl CommitWatch {
    /// Why the log cannot be written, if so.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
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
        watch.durable.store(log.next(), Ordering::Release);
        let watches = lanes.iter().map(Lane::watch).collect();
        let room = Room::new(options.bytes_max, options.when_full);
        let work = Work { log, room, lanes, steps, interval: options.interval, watch: Arc::clone(&watch) };
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

    /// Hands over a cut; waits while the log cannot take it.
    pub fn send(&self, cut: Arc<Cut>) {
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

struct Work {
    log: Log,
    room: Room,
    lanes: Vec<Lane>,
    steps: Receiver<Step>,
    interval: Duration,
    watch: Arc<CommitWatch>,
}

impl Work {
    fn run(mut self) -> Vec<Lane> {
        let mut group: Vec<Arc<Cut>> = vec![];
        let (mut bytes, mut due) = (0, None);
        loop {
            let step = match due {
                None => self.steps.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.steps.recv_deadline(at),
            };
            match step {
                Ok(Step::Edit(at, change, answer)) => {
                    self.commit(&mut group);
                    (bytes, due) = (0, None);
                    // Who asked may have given up.
                    let _ = answer.send(edit(&mut self.lanes, Some(&self.log), at, change));
                }
                Ok(Step::Cut(cut)) => {
                    bytes += self.append(&cut, &mut group);
                    group.push(cut);
                    due.get_or_insert_with(|| Instant::now() + self.interval);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if bytes >= COMMIT_BYTES || due.is_some_and(|at| Instant::now() >= at) {
                self.commit(&mut group);
                (bytes, due) = (0, None);
            }
        }
        self.commit(&mut group);
        self.lanes
    }

    /// Appends, however long it takes: the ring holds what happens meanwhile.
    fn append(&mut self, cut: &Cut, group: &mut Vec<Arc<Cut>>) -> u64 {
        loop {
            let result = self.room.make(&mut self.log, &self.watch).and_then(|()| self.log.append(cut));
            match result {
                Ok(bytes) => {
                    self.watch.bytes.fetch_add(bytes, Ordering::Relaxed);
                    self.works();
                    return bytes;
                }
                // The sinks may make room, but only by what they have.
                Err(_) if !group.is_empty() => self.commit(group),
                Err(error) => self.fails("write", &error),
            }
        }
    }

    fn commit(&mut self, group: &mut Vec<Arc<Cut>>) {
        if group.is_empty() {
            return;
        }
        while let Err(error) = self.log.publish(true) {
            self.fails("sync", &error);
        }
        self.works();
        self.watch.syncs.fetch_add(1, Ordering::Relaxed);
        self.watch.log_bytes.store(self.log.shared().bytes(), Ordering::Relaxed);
        self.watch.durable.store(self.log.next(), Ordering::Release);
        for cut in group.drain(..) {
            for lane in &mut self.lanes {
                // The log has it: a lane without room reads it there.
                lane.send(&cut);
            }
        }
        self.log.trim();
    }

    fn works(&self) {
        if self.watch.problem().is_some() {
            tracing::info!("the spool can be written again");
            self.watch.set_problem(None);
        }
    }

    fn fails(&mut self, what: &str, error: &io::Error) {
        let text = format!("{what} the spool in {}: {error}", self.log.dir().display());
        if self.watch.problem().is_none() {
            tracing::error!("events wait in the kernel's rings until the spool works again: {text}");
        }
        self.watch.set_problem(Some(text));
        std::thread::sleep(RETRY);
        self.log.trim();
    }
}
