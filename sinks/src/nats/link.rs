//! The connection's thread: connects, sends what was handed over, and reads acknowledgements, until the sink is dropped.
//!
//! A connection that breaks is given up with all its buffers, and another one sends from the first message that was not
//! acknowledged on, in order. What a server got by the old connection is a beginning of what the new one sends, so the
//! order in the stream stays, whatever arrived.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::{Client, Event, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::Stream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::answer::{End, Verdict, server_error, verdict};
use super::connect::Target;
use super::flight::Flight;
use super::outgoing::Outgoing;
use super::shared::{Settled, Shared};

/// First pause between two connections; doubles from failure to failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Events of the library that may wait to be looked at.
const EVENTS_MAX: usize = 64;
/// Acknowledgements that are looked at together.
const ANSWERS_MAX: usize = 512;
/// Messages that are sent before answers are looked at again.
const BURST: usize = 128;
/// For so long nobody may listen to the subjects, as after the start of a server, before that counts as a failure.
const NO_STREAM_GRACE: Duration = Duration::from_secs(2);

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

    async fn serve(&mut self, wire: &mut Wire) -> End {
        let shared = Arc::clone(&self.shared);
        let mut answers = Vec::with_capacity(ANSWERS_MAX);
        loop {
            let more = match self.send(wire).await {
                Ok(more) => more,
                Err(end) => return end,
            };
            if wire.leaving && self.flight.is_empty() {
                return End::Unknown("the server is about to stop (lame duck mode)".to_owned());
            }
            let ack_wait = self.target.options.ack_wait;
            let oldest = self.flight.oldest();
            let overdue = async {
                match oldest {
                    Some(sent) => tokio::time::sleep_until((sent + ack_wait).into()).await,
                    None => std::future::pending().await,
                }
            };
            let end = tokio::select! {
                biased;
                event = wire.events.recv() => Self::event(event, &mut wire.leaving),
                open = answers_of(&mut wire.inbox, &mut answers) => match open {
                    true => self.answered(&mut answers),
                    false => Some(End::Unknown("the connection is closed".to_owned())),
                },
                () = tokio::task::yield_now(), if more => None,
                () = shared.wake.notified() => None,
                () = overdue => {
                    let waiting = ack_wait.as_secs_f64();
                    Some(End::Unknown(format!("{} does not acknowledge within {waiting} s", self.target.names())))
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Sends what has room, at most a burst; whether there is more to be sent at once.
    async fn send(&mut self, wire: &Wire) -> Result<bool, End> {
        // Also when there is enough to be sent: this is where an abandoned backlog shows.
        self.shared.take_backlog(&mut self.ready)?;
        let now = Instant::now();
        for _ in 0..BURST {
            let fits = |next: &Outgoing| self.flight.has_room(next.bytes());
            if wire.leaving || !self.ready.front().is_some_and(fits) {
                self.ask_for_confirmation(wire).await?;
                return Ok(false);
            }
            if let Some(next) = self.ready.pop_front() {
                self.publish(wire, next, now).await?;
            }
        }
        Ok(true)
    }

    async fn publish(&mut self, wire: &Wire, message: Outgoing, now: Instant) -> Result<(), End> {
        if !message.fits(wire.limit) {
            return self.too_large(message, wire.limit);
        }
        let (subject, headers, payload) = (message.subject.clone(), message.headers(), message.payload.clone());
        let bytes = message.bytes();
        let token = self.flight.push(message, bytes, now);
        let sent = if self.target.options.jetstream {
            let reply = wire.replies[token].clone();
            wire.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
        } else {
            self.unconfirmed = Some(token);
            wire.client.publish_with_headers(subject, headers, payload).await
        };
        sent.map_err(|error| End::Unknown(format!("handing a message to the connection: {error}")))
    }

    /// The limit is smaller than the message: one row is refused, several are encoded again.
    fn too_large(&mut self, message: Outgoing, limit: usize) -> Result<(), End> {
        if message.rows() > 1 {
            // The sink's thread knows the new limit when it encodes them again.
            return Err(End::Failed(format!("the server takes messages of {limit} bytes now, less than before")));
        }
        let reason = too_large(&message, limit);
        let mut settled = Settled::default();
        settled.refused(message, reason);
        self.shared.settle(settled);
        Ok(())
    }

    /// Without JetStream: a message to ourselves comes back when the server has read everything before it.
    async fn ask_for_confirmation(&mut self, wire: &Wire) -> Result<(), End> {
        let Some(token) = self.unconfirmed.take() else { return Ok(()) };
        let sent = wire.client.publish(wire.replies[token].clone(), Bytes::new()).await;
        sent.map_err(|error| End::Unknown(format!("asking the server for a confirmation: {error}")))
    }

    fn event(event: Option<Event>, leaving: &mut bool) -> Option<End> {
        match event {
            None | Some(Event::Closed) => Some(End::Unknown("the connection is closed".to_owned())),
            Some(Event::Disconnected) => Some(End::Unknown("the connection broke".to_owned())),
            Some(Event::ServerError(error)) => server_error(&error),
            Some(Event::ClientError(error)) => Some(End::Unknown(error.to_string())),
            Some(Event::SlowConsumer(_)) => {
                Some(End::Unknown("acknowledgements came faster than they were read".into()))
            }
            Some(Event::LameDuckMode) => {
                *leaving = true;
                None
            }
            Some(Event::Connected | Event::Draining) => None,
        }
    }

    /// Looks at every acknowledgement, also behind one that ends the connection.
    fn answered(&mut self, answers: &mut Vec<Message>) -> Option<End> {
        let mut settled = Settled::default();
        let mut end = None;
        for message in answers.drain(..) {
            let token = message.subject.rsplit_once('.').and_then(|(_, token)| token.parse().ok());
            match token.map_or(Ok(false), |token| self.answer(token, &message, &mut settled)) {
                Ok(true) => {}
                Ok(false) => drop(self.shared.counters.strays.fetch_add(1, Ordering::Relaxed)),
                Err(bad) => drop(end.get_or_insert(bad)),
            }
        }
        if settled.messages > 0 {
            (self.failures, self.no_stream) = (0, None);
        }
        self.shared.settle(settled);
        end
    }

    /// Whether the answer is for something that is on its way.
    fn answer(&mut self, token: usize, message: &Message, settled: &mut Settled) -> Result<bool, End> {
        let counters = &self.shared.counters;
        if !self.target.options.jetstream {
            let before = settled.messages;
            self.flight.settle_through(token).for_each(|done| settled.acknowledged(&done, counters));
            return Ok(settled.messages > before);
        }
        let verdict = match verdict(message, &self.target.options.stream) {
            Verdict::NoStream => return Err(self.nobody_listens()),
            Verdict::End(end) => return Err(end),
            other => other,
        };
        let Some(done) = self.flight.settle(token) else { return Ok(false) };
        match verdict {
            Verdict::Refused(reason) => settled.refused(done, reason),
            verdict => {
                let again = u64::from(verdict == Verdict::Stored { duplicate: true });
                counters.duplicates.fetch_add(again, Ordering::Relaxed);
                settled.acknowledged(&done, counters);
            }
        }
        Ok(true)
    }

    /// For a moment after its start a server has no streams yet; then it is for somebody to make one.
    fn nobody_listens(&mut self) -> End {
        let since = *self.no_stream.get_or_insert_with(Instant::now);
        let missing = self.target.missing();
        match since.elapsed() < NO_STREAM_GRACE {
            true => End::Unknown(missing),
            false => End::Failed(missing),
        }
    }
}

/// Why a message is refused before it is sent.
pub(super) fn too_large(message: &Outgoing, limit: usize) -> String {
    let bytes = message.payload.len();
    format!("the message has {bytes} bytes, and server and stream take {limit} with headers: raise max_payload")
}

/// Waits for at least one answer and takes all that are there; whether the subscription is open.
async fn answers_of(inbox: &mut Subscriber, into: &mut Vec<Message>) -> bool {
    poll_fn(|context| {
        while into.len() < ANSWERS_MAX {
            match Pin::new(&mut *inbox).poll_next(context) {
                Poll::Ready(Some(message)) => into.push(message),
                Poll::Ready(None) => return Poll::Ready(!into.is_empty()),
                Poll::Pending if into.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(true)
    })
    .await
}
