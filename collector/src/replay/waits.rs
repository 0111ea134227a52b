//! Says what a replay waits for: a sink that takes nothing and confirms nothing, and why, as far as it says so.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use weir_sinks::{LaneState, LaneWatch, Ledger};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// After so long without anything it is said, and again each time that it has taken twice as long.
const FIRST: Duration = Duration::from_secs(3);
/// Longest time between two words of it.
const LONGEST: Duration = Duration::from_secs(60);

/// A thread that watches lanes; gone when dropped.
pub struct Waits {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waits {
    /// Watches these lanes. One that is `paced` is idle between its cuts, so only its failures are told.
    pub fn start(lanes: Vec<LaneWatch>, paced: bool) -> Waits {
        let (stop, stopped) = bounded(1);
        let mut watched: Vec<Watched> = lanes.into_iter().map(|lane| Watched::new(lane, paced)).collect();
        let look = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                for lane in &mut watched {
                    if let Some(what) = lane.look(Instant::now()) {
                        tracing::warn!(sink = lane.lane.name(), "{what}");
                    }
                }
            }
        };
        Waits { stop: Some(stop), thread: std::thread::Builder::new().name("waits".into()).spawn(look).ok() }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One lane.
struct Watched {
    lane: LaneWatch,
    paced: bool,
    /// Rows taken and flushes done when something last happened, and when that was.
    last: (u64, u64),
    since: Instant,
    /// When it is said next.
    due: Duration,
}

impl Watched {
    fn new(lane: LaneWatch, paced: bool) -> Watched {
        Watched { lane, paced, last: (0, 0), since: Instant::now(), due: FIRST }
    }

    fn look(&mut self, now: Instant) -> Option<String> {
        let ledger = self.lane.ledger();
        let all = (ledger.rows_written(), ledger.flushes);
        if all != self.last {
            (self.last, self.since, self.due) = (all, now, FIRST);
            return None;
        }
        let waited = now.saturating_duration_since(self.since);
        if waited < self.due {
            return None;
        }
        self.due = waited + waited.min(LONGEST);
        why(&ledger, self.paced).map(|why| format!("the replay has waited {} s for this sink: {why}", waited.as_secs()))
    }
}

/// What a lane that stands still waits for; `None` where nothing is wrong with that.
fn why(ledger: &Ledger, paced: bool) -> Option<String> {
    match &ledger.state {
        LaneState::Failing(message) => Some(message.clone()),
        LaneState::Fatal(_) => None,
        LaneState::Working if paced || ledger.pending_total() == 0 => None,
        LaneState::Working => {
            let (taken, confirmed) = (ledger.rows_written(), ledger.rows_delivered());
            Some(format!("it has taken {taken} rows and confirmed {confirmed}; is what it writes to there?"))
        }
    }
}
