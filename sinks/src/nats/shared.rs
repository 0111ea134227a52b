//! What the sink's thread and the connection's thread share: the messages handed over, and what became of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::answer::End;
use super::options::Window;
use super::outgoing::Outgoing;
use crate::SinkError;

/// Counts of a sink since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NatsCounts {
    /// Messages acknowledged, or confirmed to be read by a server without JetStream.
    pub acknowledged: u64,
    /// Of these, those that the stream had before.
    pub duplicates: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Messages sent once more because it was not known what had become of them.
    pub resent: u64,
    /// Messages that were refused for ever.
    pub refused: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Acknowledgements for nothing that was on its way.
    pub strays: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub acknowledged: AtomicU64,
    pub duplicates: AtomicU64,
    pub bytes: AtomicU64,
    pub resent: AtomicU64,
    pub refused: AtomicU64,
    pub connections: AtomicU64,
    pub strays: AtomicU64,
}

impl Counters {
    pub fn read(&self) -> NatsCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NatsCounts {
            acknowledged: of(&self.acknowledged),
            duplicates: of(&self.duplicates),
            bytes: of(&self.bytes),
            resent: of(&self.resent),
            refused: of(&self.refused),
            connections: of(&self.connections),
            strays: of(&self.strays),
        }
    }
}

/// A message that the server will never take.
pub(super) struct Refused {
    pub message: Outgoing,
    pub reason: String,
}

/// Messages that are done with.
#[derive(Default)]
pub(super) struct Settled {
    pub messages: usize,
    pub bytes: usize,
    pub refused: Vec<Refused>,
}

impl Settled {
    fn add(&mut self, message: &Outgoing) {
        self.messages += 1;
        self.bytes += message.bytes();
    }

    pub fn acknowledged(&mut self, message: &Outgoing, counters: &Counters) {
        self.add(message);
        counters.acknowledged.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
    }

    pub fn refused(&mut self, message: Outgoing, reason: String) {
        self.add(&message);
        self.refused.push(Refused { message, reason });
    }
}

struct State {
    /// Handed over, not yet taken by the connection's thread.
    backlog: VecDeque<Outgoing>,
    /// Handed over and not settled: in the backlog or on their way.
    messages: usize,
    bytes: usize,
    /// Largest message of the server that was connected last, headers included.
    limit: Option<usize>,
    /// Why there is no connection; `None` while there is one.
    down: Option<String>,
    /// What the sink's next call returns.
    failure: Option<String>,
    /// Whether the failure cost messages: then it must be heard.
    dropped: bool,
    refused: Vec<Refused>,
    /// The sink has dropped what it handed over; the other thread has not seen it yet.
    abandoned: bool,
    stop: bool,
}

/// Both threads hold it.
pub(super) struct Shared {
    window: Window,
    state: Mutex<State>,
    /// For the sink's thread.
    changed: Condvar,
    /// For the connection's thread: there is something to do.
    pub wake: Notify,
    /// For the same: the sink is dropped.
    pub halt: Notify,
    pub counters: Counters,
}

impl Shared {
    pub fn new(window: Window) -> Shared {
        let state = State {
            backlog: VecDeque::new(),
            messages: 0,
            bytes: 0,
            limit: None,
            down: Some("the first connection is not there yet".to_owned()),
            failure: None,
            dropped: false,
            refused: Vec::new(),
            abandoned: false,
            stop: false,
        };
        let (changed, wake, halt) = (Condvar::new(), Notify::new(), Notify::new());
        Shared { window, state: Mutex::new(state), changed, wake, halt, counters: Counters::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the condition holds, a failure is there, or the time is over.
    fn wait(&self, time: Duration, until: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, SinkError> {
        let waiting = |state: &mut State| state.failure.is_none() && !until(state);
        let waited = self.changed.wait_timeout_while(self.lock(), time, waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = state.failure.take() {
            state.dropped = false;
            return Err(SinkError::Retry(failure));
        }
        if until(&state) {
            return Ok(state);
        }
        let reason = state.down.as_deref().unwrap_or("the server does not acknowledge");
        Err(SinkError::Wait(format!("{reason}; {} messages wait", state.messages)))
    }

    /// Waits until a server has been there and there is room: less than two windows wait, or, for the rest of a cut that has
    /// begun, so many bytes more. Gives the server's limit.
    pub fn room(&self, time: Duration, more_bytes: Option<usize>) -> Result<usize, SinkError> {
        let bytes = self.window.bytes.saturating_mul(2).saturating_add(more_bytes.unwrap_or_default());
        let messages = more_bytes.map_or(self.window.messages.saturating_mul(2), |_| usize::MAX);
        let has_room = |s: &State| s.messages == 0 || (s.messages < messages && s.bytes < bytes);
        let state = self.wait(time, |s| s.limit.is_some() && has_room(s))?;
        Ok(state.limit.unwrap_or_default())
    }

    /// Hands messages over, whatever the room.
    pub fn hand_over(&self, messages: Vec<Outgoing>) -> Result<(), SinkError> {
        let mut state = self.wait(Duration::ZERO, |_| true)?;
        state.messages += messages.len();
        state.bytes += messages.iter().map(Outgoing::bytes).sum::<usize>();
        state.backlog.extend(messages);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits until nothing is under way.
    pub fn settled(&self, time: Duration) -> Result<(), SinkError> {
        self.wait(time, |s| s.messages == 0).map(|_| ())
    }

    pub fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut self.lock().refused)
    }

    /// Drops everything that was handed over.
    pub fn abandon(&self) {
        let mut state = self.lock();
        if state.messages == 0 {
            return;
        }
        state.clear();
        state.abandoned = true;
        drop(state);
        self.wake.notify_one();
    }

    pub fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
        self.halt.notify_one();
    }

    /// Takes the whole backlog.
    pub fn take_backlog(&self, into: &mut VecDeque<Outgoing>) -> Result<(), End> {
        let mut state = self.lock();
        if std::mem::take(&mut state.abandoned) {
            return Err(End::Abandoned);
        }
        into.append(&mut state.backlog);
        Ok(())
    }

    /// Messages are done with. The sink's thread is woken when it can do something, not at every acknowledgement.
    pub fn settle(&self, settled: Settled) {
        let mut state = self.lock();
        if state.abandoned || settled.messages == 0 {
            return;
        }
        let was_full = state.is_over(self.window);
        state.messages = state.messages.saturating_sub(settled.messages);
        state.bytes = state.bytes.saturating_sub(settled.bytes);
        self.counters.refused.fetch_add(settled.refused.len() as u64, Ordering::Relaxed);
        state.refused.extend(settled.refused);
        if state.messages == 0 || (was_full && !state.is_over(self.window)) {
            self.changed.notify_all();
        }
    }

    /// These go in place of one that was handed over.
    pub fn replaced(&self, whole: &Outgoing, parts: &[Outgoing]) {
        let mut state = self.lock();
        if state.abandoned {
            return;
        }
        state.messages = state.messages.saturating_sub(1) + parts.len();
        state.bytes = state.bytes.saturating_sub(whole.bytes()) + parts.iter().map(Outgoing::bytes).sum::<usize>();
    }

    /// There is a connection to a server that takes messages of so many bytes.
    pub fn up(&self, limit: usize) {
        let mut state = self.lock();
        (state.limit, state.down) = (Some(limit), None);
        if !state.dropped {
            state.failure = None;
        }
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// There is none; what was handed over stays. Returns whether this is news.
    pub fn down(&self, reason: &str) -> bool {
        let mut state = self.lock();
        let news = state.down.as_deref() != Some(reason);
        state.down = Some(reason.to_owned());
        news
    }

    /// What was handed over is dropped, and the sink's next call fails. Returns whether this is news.
    pub fn fail(&self, message: &str) -> bool {
        let mut state = self.lock();
        let news = state.down.as_deref() != Some(message);
        state.dropped |= state.messages > 0;
        state.clear();
        (state.down, state.failure) = (Some(message.to_owned()), Some(message.to_owned()));
        // Both threads have dropped the same now.
        state.abandoned = false;
        self.changed.notify_all();
        news
    }

    /// Waits, and says whether the sink is dropped.
    pub fn pause(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| !state.stop);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// Ends once the sink is dropped.
    pub async fn stopped(&self) {
        while !self.lock().stop {
            self.halt.notified().await;
        }
    }
}

impl State {
    fn is_over(&self, window: Window) -> bool {
        self.messages >= window.messages || self.bytes >= window.bytes
    }

    fn clear(&mut self) {
        self.backlog.clear();
        self.refused.clear();
        (self.messages, self.bytes) = (0, 0);
    }
}
