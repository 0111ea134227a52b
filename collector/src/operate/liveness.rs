//! Whether the pipeline stands still: records wait, and the reader does not come round.
//!
//! A reader that sleeps because there is nothing to read is alive, however long it sleeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the reader may leave records unread. Longer than a lane of policy `block` can hold it up.
pub const STALL_MAX: Duration = Duration::from_secs(15);

/// The pipeline stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader has not come round for {} s although {unread} records wait", since.as_secs())]
pub struct Stall {
    /// Records in the rings that it has not looked at.
    pub unread: u64,
    /// For how long.
    pub since: Duration,
}

/// Unread records that were seen while the reader slept: it may be about to wake up.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    rounds: u64,
    at: Instant,
}

/// Told by the reader, asked by others; the reader only stores words.
#[derive(Debug)]
pub struct Liveness {
    began: Instant,
    rounds: AtomicU64,
    /// Since `began`.
    last_round_ms: AtomicU64,
    /// Records that were there when the last round began.
    taken: AtomicU64,
    asleep: AtomicBool,
    suspicion: Mutex<Option<Suspicion>>,
    /// Longest time from the end of a round, or of a sleep, to the end of the next round that found something, ns.
    longest_ns: AtomicU64,
    /// Time in which nothing was read because what was read before had nowhere to go, ns.
    held_up_ns: AtomicU64,
}

impl Liveness {
    /// A reader that begins now.
    pub fn new(began: Instant) -> Liveness {
        Liveness {
            began,
            rounds: AtomicU64::new(0),
            last_round_ms: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            suspicion: Mutex::new(None),
            longest_ns: AtomicU64::new(0),
            held_up_ns: AtomicU64::new(0),
        }
    }

    /// A round has ended; when it began, `produced` records had been written since the load.
    pub fn round(&self, now: Instant, produced: u64) {
        self.taken.store(produced, Ordering::Relaxed);
        self.last_round_ms.store(now.duration_since(self.began).as_millis() as u64, Ordering::Relaxed);
        self.rounds.fetch_add(1, Ordering::Release);
    }

    /// A round that found something ended so long after the reader had looked before.
    pub fn came_round_after(&self, since: Duration) {
        self.longest_ns.fetch_max(since.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The longest of these times.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns.load(Ordering::Relaxed))
    }

    /// For so long nothing was read, because there was no room behind the reader.
    pub fn held_up(&self, lasted: Duration) {
        self.held_up_ns.fetch_add(lasted.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The sum of these times.
    pub fn held_up_for(&self) -> Duration {
        Duration::from_nanos(self.held_up_ns.load(Ordering::Relaxed))
    }

    /// The reader is about to sleep, or awake again.
    pub fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Release);
    }

    /// Rounds so far.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Acquire)
    }

    /// Whether all is well, when `produced` records have been written since the load.
    ///
    /// # Errors
    /// The pipeline stands still for [`STALL_MAX`].
    pub fn look(&self, now: Instant, produced: u64) -> Result<(), Stall> {
        let mut suspicion = self.suspicion.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = self.rounds();
        let unread = produced.saturating_sub(self.taken.load(Ordering::Relaxed));
        if unread == 0 {
            *suspicion = None;
            return Ok(());
        }
        let begun = if self.asleep.load(Ordering::Acquire) {
            // How long the records wait is not known: since they were first seen.
            let known = suspicion.filter(|known| known.rounds == rounds);
            suspicion.insert(known.unwrap_or(Suspicion { rounds, at: now })).at
        } else {
            self.began + Duration::from_millis(self.last_round_ms.load(Ordering::Relaxed))
        };
        let since = now.saturating_duration_since(begun);
        if since > STALL_MAX { Err(Stall { unread, since }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reader() -> (Liveness, Instant) {
        let began = Instant::now();
        (Liveness::new(began), began)
    }

    #[test]
    fn a_reader_that_sleeps_on_empty_rings_is_alive_for_ever() {
        let (live, began) = reader();
        live.round(began + SECOND, 7);
        live.set_asleep(true);
        assert_eq!(live.look(began + 100_000 * SECOND, 7), Ok(()));
    }

    #[test]
    fn a_reader_that_is_held_up_with_records_waiting_stands_still() {
        let (live, began) = reader();
        live.round(began + SECOND, 7);
        assert_eq!(live.look(began + SECOND + STALL_MAX, 9), Ok(()));
        let stall = Stall { unread: 2, since: STALL_MAX + SECOND };
        assert_eq!(live.look(began + 2 * SECOND + STALL_MAX, 9), Err(stall));
        live.round(began + 2 * SECOND + STALL_MAX, 9);
        assert_eq!(live.look(began + 2 * SECOND + STALL_MAX, 10), Ok(()));
    }

    #[test]
    fn records_that_come_while_it_sleeps_leave_it_time_to_wake_up() {
        let (live, began) = reader();
        live.round(began, 7);
        live.set_asleep(true);
        let later = began + 1000 * SECOND;
        assert_eq!(live.look(later, 8), Ok(()), "it was asleep, not held up");
        assert_eq!(live.look(later + STALL_MAX, 8), Ok(()));
        assert!(live.look(later + STALL_MAX + SECOND, 8).is_err(), "the wake-up is lost");
        live.round(later + STALL_MAX + SECOND, 8);
        assert_eq!(live.look(later + STALL_MAX + SECOND, 9), Ok(()), "a new sleep is a new suspicion");
        assert_eq!(live.look(later + STALL_MAX + 2 * SECOND, 8), Ok(()));
    }
}
