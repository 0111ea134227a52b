//! The connection's thread: connects, sends what was handed over, and reads acknowledgements, until the sink is dropped.
//!
//! A connection that breaks is given up with all its buffers, and another one sends from the first message that was not
//! acknowledged on, in order. What a server got by the old connection is a beginning of what the new one sends, so the
//! order in the stream stays, whatever arrived.

mod serve;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{Client, Event, Subject, Subscriber};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::answer::End;
use super::connect::Target;
use super::flight::Flight;
use super::outgoing::Outgoing;
use super::shared::Shared;

pub(super) use serve::too_large;

/// First pause between two connections; doubles from failure to failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Events of the library that may wait to be looked at.
const EVENTS_MAX: usize = 64;

/// A runtime for one thread.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

/// The end of a connection that ours is.
struct Wire {
    client: Client,
    events: mpsc::Receiver<Event>,
    inbox: Subscriber,
    /// Where the answer to the message with this token goes.
    replies: Vec<Subject>,
    /// Largest message, headers included.
    limit: usize,
    /// The server will stop: nothing more is sent, and what is on its way is waited for.
    leaving: bool,
}

/// The state of the thread.
pub(super) struct Link {
    target: Target,
    shared: Arc<Shared>,
    /// Next to be sent.
    ready: VecDeque<Outgoing>,
    flight: Flight<Outgoing>,
    /// Without JetStream: token of the last message that no confirmation was asked for yet.
    unconfirmed: Option<usize>,
    /// Since when nobody listens to the subjects.
    no_stream: Option<Instant>,
    /// Connections in a row that did not come to an acknowledgement.
    failures: u32,
}

impl Link {
    pub fn new(target: Target, shared: Arc<Shared>) -> Link {
        let flight = Flight::new(target.options.window);
        Link { target, shared, ready: VecDeque::new(), flight, unconfirmed: None, no_stream: None, failures: 0 }
    }

    /// Until the sink is dropped.
    pub fn run(mut self) {
        loop {
            let end = match runtime() {
                Ok(runtime) => {
                    let end = runtime.block_on(self.until_stopped());
                    // Whatever the library still holds goes with its tasks; name look-ups may take their time elsewhere.
                    runtime.shutdown_background();
                    end
                }
                Err(error) => End::Unknown(format!("no runtime for the connection: {error}")),
            };
            let pause = self.pause();
            if !self.ended(end) || self.shared.pause(pause) {
                return;
            }
        }
    }

    async fn until_stopped(&mut self) -> End {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = shared.stopped() => End::Stop,
            end = self.connection() => end,
        }
    }

    /// Half of the pause is by chance, so that many collectors do not knock at once.
    fn pause(&mut self) -> Duration {
        let full = PAUSE_MIN.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
        self.failures += 1;
        full.mul_f64(0.5 + (RandomState::new().hash_one(0) % 512) as f64 / 1_024.0)
    }

    /// What the end of a connection means for the messages; whether there is to be another one.
    fn ended(&mut self, end: End) -> bool {
        let sink = &self.target.options.name;
        self.unconfirmed = None;
        match end {
            End::Stop => return false,
            End::Abandoned => self.drop_all(),
            End::Unknown(reason) => {
                let again = self.flight.take_unsettled().rev();
                let before = self.ready.len();
                again.for_each(|message| self.ready.push_front(message));
                let again = self.ready.len() - before;
                self.shared.counters.resent.fetch_add(again as u64, Ordering::Relaxed);
                if self.shared.down(&reason) {
                    tracing::warn!(sink, again, "nats: {reason}; trying again");
                }
            }
            End::Failed(message) => {
                if self.shared.fail(&message) {
                    tracing::warn!(sink, "nats: {message}");
                }
                self.drop_all();
            }
        }
        true
    }

    fn drop_all(&mut self) {
        self.ready.clear();
        self.flight.take_unsettled().for_each(drop);
    }

    async fn connection(&mut self) -> End {
        match self.wire().await {
            Ok(mut wire) => {
                tracing::info!(sink = self.target.options.name, servers = self.target.names(), "nats: connected");
                self.shared.up(wire.limit);
                self.serve(&mut wire).await
            }
            Err(end) => end,
        }
    }

    async fn wire(&self) -> Result<Wire, End> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let client = self.target.connect(sender).await?;
        let limit = self.target.limit(&client).await?;
        let name = client.new_inbox();
        let inbox = client.subscribe(format!("{name}.*")).await;
        let inbox = inbox.map_err(|error| End::Unknown(format!("subscribing to acknowledgements: {error}")))?;
        let replies = (0..self.flight.tokens()).map(|token| Subject::from(format!("{name}.{token}"))).collect();
        Ok(Wire { client, events, inbox, replies, limit, leaving: false })
    }
}
