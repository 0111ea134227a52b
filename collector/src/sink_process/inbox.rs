//! What a process has said so far, as the lane sees it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_sinks::{Progress, Tally};

use super::wire::Failure;

/// The answer to a question.
#[derive(Debug)]
pub enum Answer {
    /// Flushed; these rows were refused for ever.
    Flushed(Vec<Tally>),
    /// The flush is not over.
    NotYet(String),
    /// What the destination holds.
    Holds(Result<Option<Box<Progress>>, Failure>),
}

/// What is known of a process.
#[derive(Debug)]
pub struct Known {
    /// It has become the sink, or could not.
    pub opened: Option<Result<(), Failure>>,
    /// Writes that were sent and are on their way: bytes of each.
    pub on_their_way: VecDeque<usize>,
    /// Bytes of them.
    pub bytes: usize,
    /// Writes that were taken.
    pub taken: u64,
    /// Rows that were sent in all.
    pub rows: u64,
    /// Rows that came back as letters.
    pub rows_refused: u64,
    /// Why the next write is not taken yet.
    pub waits: Option<String>,
    /// The epoch of the last error, and the error until the lane knows it.
    pub epoch: u64,
    /// See above.
    pub failed: Option<Failure>,
    /// The question that waits for its answer.
    pub asked: Option<u64>,
    /// The answer.
    pub answer: Option<Answer>,
    /// When something came last, or went while nothing was on its way.
    pub heard: Instant,
    /// How it ended.
    pub ended: Option<String>,
}

/// Shared by the lane and the listener.
#[derive(Debug)]
pub struct Inbox {
    known: Mutex<Known>,
    changed: Condvar,
}

impl Default for Inbox {
    fn default() -> Inbox {
        let known = Known {
            opened: None,
            on_their_way: VecDeque::new(),
            bytes: 0,
            taken: 0,
            rows: 0,
            rows_refused: 0,
            waits: None,
            epoch: 0,
            failed: None,
            asked: None,
            answer: None,
            heard: Instant::now(),
            ended: None,
        };
        Inbox { known: Mutex::new(known), changed: Condvar::new() }
    }
}

impl Inbox {
    /// What is known.
    pub fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and wakes who waits.
    pub fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `found` finds something; `None` when it is too late.
    pub fn wait<T>(&self, deadline: Instant, mut found: impl FnMut(&mut Known) -> Option<T>) -> Option<T> {
        let mut known = self.lock();
        loop {
            if let Some(found) = found(&mut known) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            known = self.changed.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Known {
    /// Whether anything waits for the process.
    pub fn is_owed(&self) -> bool {
        self.asked.is_some() || !self.on_their_way.is_empty() || self.opened.is_none()
    }

    /// A message went out: silence counts from now if nothing was owed before.
    pub fn goes(&mut self) {
        if !self.is_owed() {
            self.heard = Instant::now();
        }
    }
}
