//! What happens on one connection: messages go, answers come, and something ends it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::{Event, Message, Subscriber};
use bytes::Bytes;
use futures_util::Stream;

use super::{Link, Wire};
use crate::nats::answer::{End, Verdict, server_error, verdict};
use crate::nats::outgoing::{Outgoing, parts};
use crate::nats::shared::Settled;

/// Answers that are looked at together.
const ANSWERS_MAX: usize = 512;
/// Messages that are sent before answers are looked at again.
const BURST: usize = 128;
/// For so long nobody may listen to the subjects, as after the start of a server, before that counts as a failure.
const NO_STREAM_GRACE: Duration = Duration::from_secs(2);

impl Link {
    /// Until the connection ends.
    pub(super) async fn serve(&mut self, wire: &mut Wire) -> End {
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
        if message.refused || !message.fits(wire.limit) {
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

    /// The limit is smaller than the message: several rows go in parts, in its place; one is refused.
    fn too_large(&mut self, message: Outgoing, limit: usize) -> Result<(), End> {
        let parts = parts(&message, &self.target.options, self.target.subject.clone(), limit);
        if let Some(parts) = parts.map_err(|error| End::Failed(error.to_string()))? {
            self.shared.replaced(&message, &parts);
            parts.into_iter().rev().for_each(|part| self.ready.push_front(part));
            return Ok(());
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
        if let Verdict::Refused(reason) = &verdict
            && let Some(several) = self.flight.entry_mut(token).filter(|message| message.rows() > 1)
        {
            // Only what is sent from here on can come behind its parts: all that is on its way goes again, in order, and what
            // the stream has of it is dropped there by its id.
            several.refused = true;
            return Err(End::Unknown(format!("{reason}; the message goes again in parts")));
        }
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
pub(in crate::nats) fn too_large(message: &Outgoing, limit: usize) -> String {
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
