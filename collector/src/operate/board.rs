//! Where the reader leaves what others ask for, without waiting for any of them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use weir_bpf::ProgramCounters;
use weir_bpf::shared::{CpuCounters, Shared};
use weir_sinks::{Identity, LaneWatch};

use super::liveness::{Liveness, Stall};
use crate::check::Probe;
use crate::context;
use crate::names;
use crate::order::OrderCounters;
use crate::pipeline::{Counts, Tallies};
use crate::spool::Spooled;

/// Between two publications while records come.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What does not change while weir runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whose rows.
    pub identity: Identity,
    /// The settings in force, without secrets.
    pub config: Value,
    /// Classes with at least one action that is recorded.
    pub classes: Vec<&'static str>,
    /// What is attached.
    pub probes: Vec<Probe>,
    /// Bytes that may wait for each sink.
    pub queue_bytes_max: u64,
    /// Bytes of each CPU's ring.
    pub ring_bytes: u64,
    /// Places of CPUs, whether they are there or not.
    pub cpus: usize,
}

/// How full one ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingFill {
    /// The CPU.
    pub cpu: usize,
    /// Bytes that wait to be read.
    pub bytes: u64,
}

/// The reader's counts at one moment.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Of the pipeline.
    pub counts: Counts,
    /// Of the pipeline, by action and by reason.
    pub tallies: Tallies,
    /// Of the order.
    pub order: OrderCounters,
    /// Processes that are known.
    pub context: context::Counts,
    /// Look-ups of names at container runtimes.
    pub names: names::Counts,
    /// By CPU.
    pub rings: Vec<RingFill>,
    /// What the kernel counted, as it was read last.
    pub programs: Arc<Vec<ProgramCounters>>,
}

/// What kept the reader from reading, so that events which full rings lost have a cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stalls {
    /// Longest time from one look at the rings to the end of the next round that found something.
    pub longest: Duration,
    /// Sum of the times in which it did not read because what it had read had nowhere to go.
    pub held_up: Duration,
    /// Time in which it could have run and had no CPU; `None` where the kernel does not count it.
    pub run_queue: Option<Duration>,
}

/// The second number of `schedstat`: nanoseconds on a run queue. Never called by the thread itself, because it is a file.
fn run_queue_of(tid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// The reader writes, all others read.
pub struct Board {
    began: Instant,
    since: DateTime<Utc>,
    shared: Arc<Shared>,
    /// Places of CPUs.
    places: usize,
    facts: Mutex<Arc<Facts>>,
    published: Mutex<Arc<Published>>,
    /// When the reader published last, ms since `began`; only the reader reads it.
    published_ms: AtomicU64,
    lanes: Mutex<Vec<LaneWatch>>,
    spool: Option<Spooled>,
    liveness: Liveness,
    /// Reloads that were put in force, and those that were not.
    reloads: [AtomicU64; 2],
    ready: AtomicBool,
    stopping: AtomicBool,
    /// Id of the reader's thread; 0 before it reads.
    reader: AtomicU32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// Before the first round.
    pub fn new(shared: Arc<Shared>, facts: Facts, lanes: Vec<LaneWatch>, spool: Option<Spooled>) -> Board {
        let began = Instant::now();
        Board {
            began,
            since: Utc::now(),
            shared,
            places: facts.cpus,
            facts: Mutex::new(Arc::new(facts)),
            published: Mutex::default(),
            published_ms: AtomicU64::new(0),
            lanes: Mutex::new(lanes),
            spool,
            liveness: Liveness::new(began),
            reloads: Default::default(),
            ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            reader: AtomicU32::new(0),
        }
    }

    /// Records written since the load: numbers given out, without those that found no room.
    pub fn produced(&self) -> u64 {
        self.cpus().map(|(_, counters)| counters.seq.saturating_sub(counters.lost)).sum()
    }

    /// What the programs counted, by CPU.
    pub fn cpus(&self) -> impl Iterator<Item = (usize, CpuCounters)> {
        (0..self.places).map(|cpu| (cpu, self.shared.counters(cpu)))
    }

    /// For the reader: a round has ended; `produced` is [`Board::produced`] from before it.
    pub fn round(&self, now: Instant, produced: u64) {
        self.liveness.round(now, produced);
    }

    /// For the reader: it is the thread that reads from here on.
    pub fn reads_here(&self) {
        self.reader.store(rustix::thread::gettid().as_raw_pid() as u32, Ordering::Relaxed);
    }

    /// For the reader: a round that found something ended so long after it had looked before.
    pub fn came_round_after(&self, since: Duration) {
        self.liveness.came_round_after(since);
    }

    /// For the reader: for so long it read nothing, because there was no room behind it.
    pub fn held_up(&self, lasted: Duration) {
        self.liveness.held_up(lasted);
    }

    /// What kept the reader from reading.
    pub fn stalls(&self) -> Stalls {
        Stalls {
            longest: self.liveness.longest(),
            held_up: self.liveness.held_up_for(),
            run_queue: run_queue_of(self.reader.load(Ordering::Relaxed)),
        }
    }

    /// For the reader, around its sleep.
    pub fn set_asleep(&self, asleep: bool) {
        self.liveness.set_asleep(asleep);
    }

    /// For the reader: whether it is time to publish again.
    pub fn is_due(&self, now: Instant) -> bool {
        let now_ms = now.duration_since(self.began).as_millis() as u64;
        now_ms.saturating_sub(self.published_ms.load(Ordering::Relaxed)) >= PUBLISH_EVERY.as_millis() as u64
    }

    /// For the reader: leaves its counts.
    pub fn publish(&self, now: Instant, published: Published) {
        self.published_ms.store(now.duration_since(self.began).as_millis() as u64, Ordering::Relaxed);
        let published = Arc::new(published);
        *lock(&self.published) = published;
    }

    /// Records are read from now on.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The run ends: nothing new comes.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether records are read.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.stopping.load(Ordering::Acquire)
    }

    /// Whether the pipeline moves. While it stops, the limits of the stop hold instead.
    ///
    /// # Errors
    /// It stands still.
    pub fn look(&self) -> Result<(), Stall> {
        if self.stopping.load(Ordering::Acquire) || !self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        self.liveness.look(Instant::now(), self.produced())
    }

    /// Rounds of the reader.
    pub fn rounds(&self) -> u64 {
        self.liveness.rounds()
    }

    /// Since the start.
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Calendar time of the start, RFC 3339.
    pub fn since(&self) -> String {
        self.since.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// What does not change.
    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&lock(&self.facts))
    }

    /// What the reader left last.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&lock(&self.published))
    }

    /// The spool, if there is one.
    pub fn spool(&self) -> Option<&Spooled> {
        self.spool.as_ref()
    }

    /// The lanes.
    pub fn lanes(&self) -> Vec<LaneWatch> {
        lock(&self.lanes).clone()
    }

    /// A sink came.
    pub fn add_lane(&self, lane: LaneWatch) {
        lock(&self.lanes).push(lane);
    }

    /// A sink went.
    pub fn remove_lane(&self, name: &str) {
        lock(&self.lanes).retain(|lane| lane.name() != name);
    }

    /// Other settings are in force.
    pub fn set_config(&self, config: Value) {
        let mut facts = lock(&self.facts);
        *facts = Arc::new(Facts { config, ..(**facts).clone() });
    }

    /// The configuration was read again, and put in force or not.
    pub fn reloaded(&self, in_force: bool) {
        self.reloads[usize::from(!in_force)].fetch_add(1, Ordering::Relaxed);
    }

    /// Reloads that were put in force, and those that were not.
    pub fn reloads(&self) -> [u64; 2] {
        [self.reloads[0].load(Ordering::Relaxed), self.reloads[1].load(Ordering::Relaxed)]
    }
}
