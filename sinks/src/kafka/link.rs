//! One producer, and how much it still holds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::OwnedHeaders;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};

use super::meaning::Trouble;
use super::reports::{Parcel, Reports, Told};

/// Pause between two looks for events; a wait for acknowledgements ends at most this late.
const STEP: Duration = Duration::from_millis(1);
/// Events handled in one look.
const EVENTS_MAX: usize = 1_000;

/// A message on its way out.
pub(super) struct Outgoing<'a> {
    pub topic: &'a str,
    pub key: &'a [u8],
    pub payload: &'a [u8],
    pub headers: Option<OwnedHeaders>,
}

impl From<Outgoing<'_>> for Parcel {
    fn from(Outgoing { topic, key, payload, headers }: Outgoing<'_>) -> Parcel {
        Parcel { topic: topic.to_owned(), key: key.to_vec(), payload: payload.to_vec(), headers }
    }
}

/// Connection, queue and ear of one producer. Dropping it forgets what is not acknowledged.
pub(super) struct Link {
    producer: BaseProducer<Reports>,
    sent: Sent,
    opened: Instant,
    /// When acknowledgements were last seen to come, and how many messages had an answer then.
    moved: (Instant, u64),
}

impl Link {
    /// Makes a producer; it connects by itself.
    pub fn open(config: &ClientConfig, reports: Reports) -> Result<Link, Trouble> {
        let producer =
            BaseProducer::from_config_and_context(config, reports).map_err(|error| Trouble::from_error(&error))?;
        Ok(Link { producer, sent: Sent::default(), opened: Instant::now(), moved: (Instant::now(), 0) })
    }

    /// For transactions.
    pub fn producer(&self) -> &BaseProducer<Reports> {
        &self.producer
    }

    /// What librdkafka told.
    pub fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.producer.context().told()
    }

    /// Why the producer is broken for good, if it is.
    pub fn fatal(&self) -> Option<Trouble> {
        self.producer.client().fatal_error().map(|(code, text)| Trouble::with(code, &text))
    }

    /// Whether it stopped because a message was refused for ever.
    pub fn is_stopped(&self) -> bool {
        self.told().suspected || self.fatal().is_some_and(|trouble| trouble.code == Code::GaplessGuarantee)
    }

    /// What the brokers say about a topic.
    pub fn metadata(&self, topic: &str, wait: Duration) -> Result<Metadata, Trouble> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), wait);
        metadata.map_err(|error| {
            self.pump();
            // Why nobody answers is told as an event; the call itself only says that nobody did.
            self.told().trouble.clone().unwrap_or_else(|| Trouble::from_error(&error))
        })
    }

    /// Hands a message over; waits while the queue is full, as long as it moves at least once in `patience`. What was not
    /// taken comes back.
    pub fn send<'a>(&mut self, message: Outgoing<'a>, patience: Duration) -> Result<(), (Trouble, Outgoing<'a>)> {
        let Outgoing { topic, key, payload, headers } = message;
        let bytes = (key.len() + payload.len()) as u64;
        let number = self.sent.messages as usize;
        let mut record = BaseRecord::with_opaque_to(topic, number).key(key).payload(payload);
        record.headers = headers;
        let mut moved = (Instant::now(), None);
        loop {
            let trouble = match self.producer.send(record) {
                Ok(()) => {
                    self.sent.messages += 1;
                    self.sent.bytes += bytes;
                    return Ok(());
                }
                Err((error, back)) => {
                    record = back;
                    Trouble::from_error(&error)
                }
            };
            let outstanding = self.outstanding();
            if moved.1 != Some(outstanding) {
                moved = (Instant::now(), Some(outstanding));
            }
            let is_late = moved.0.elapsed() >= patience;
            let message = |headers| Outgoing { topic, key, payload, headers };
            if trouble.code != Code::QueueFull {
                // The call says that the producer has stopped a moment before it is told why.
                self.wait(STEP);
                return Err((trouble, message(record.headers)));
            }
            if is_late {
                let known = self.told().trouble.clone();
                return Err((known.unwrap_or(trouble), message(record.headers)));
            }
            self.wait(STEP);
        }
    }

    /// Handles what librdkafka has to tell, without waiting.
    pub fn pump(&self) {
        for _ in 0..EVENTS_MAX {
            let before = self.producer.context().heard();
            self.producer.poll(Duration::ZERO);
            if self.producer.context().heard() == before {
                return;
            }
        }
    }

    /// Handles what librdkafka has told after this time. A sleep, since the library's own wait asks the clock without
    /// a pause during its last millisecond, and takes the CPU from a broker on the same machine.
    pub fn wait(&self, time: Duration) {
        std::thread::sleep(time);
        self.pump();
    }

    /// Waits until everything is acknowledged or has failed, at most until `deadline`, and not once `stop` says so.
    pub fn wait_until_empty(&self, deadline: Instant, stop: impl Fn(&Told) -> bool) -> bool {
        loop {
            self.pump();
            if stop(&self.told()) {
                return false;
            }
            match self.producer.in_flight_count() {
                0 => {
                    self.told().trouble = None;
                    return true;
                }
                _ if Instant::now() >= deadline => return false,
                _ => self.wait(STEP),
            }
        }
    }

    /// Takes back what is not on its way, and waits for the answers to the rest, at most until `deadline`.
    pub fn halt(&self, deadline: Instant) -> bool {
        loop {
            // Again and again: what is refused because of the one before it goes back into the queue.
            self.producer.purge(PurgeConfig::default().queue());
            self.pump();
            match self.producer.in_flight_count() {
                0 => return true,
                _ if Instant::now() >= deadline => return false,
                _ => self.wait(STEP),
            }
        }
    }

    /// Messages that are neither acknowledged nor known to have failed.
    pub fn outstanding(&self) -> u64 {
        self.producer.in_flight_count().max(0) as u64
    }

    /// Since it was made.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// For how long messages have waited without any answer to one of them, as far as this was asked.
    pub fn still_for(&mut self) -> Duration {
        let outstanding = self.outstanding();
        let answered = self.sent.messages.saturating_sub(outstanding);
        if outstanding == 0 || answered != self.moved.1 {
            self.moved = (Instant::now(), answered);
        }
        self.moved.0.elapsed()
    }

    /// Their bytes: an estimate between two marks, since acknowledgements come per partition.
    pub fn outstanding_bytes(&mut self) -> u64 {
        let outstanding = self.outstanding();
        self.sent.bytes_of_last(outstanding)
    }

    /// Remembers how many bytes came before what follows.
    pub fn mark(&mut self) {
        self.sent.marks.push_back((self.sent.messages, self.sent.bytes));
        self.outstanding_bytes();
    }

    /// Messages and bytes handed over so far.
    pub fn total(&self) -> (u64, u64) {
        (self.sent.messages, self.sent.bytes)
    }

    /// Forgets what is not acknowledged yet.
    pub fn purge(&self) {
        self.told().discards = true;
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The library gives back what it still has.
        self.told().discards = true;
    }
}

/// What went into the queue.
#[derive(Debug, Default)]
struct Sent {
    messages: u64,
    bytes: u64,
    /// Messages and bytes before some point, ascending; those that are still in the queue.
    marks: VecDeque<(u64, u64)>,
}

impl Sent {
    /// Bytes of the last `count` messages, and of those before them up to a mark.
    fn bytes_of_last(&mut self, count: u64) -> u64 {
        let gone = self.messages.saturating_sub(count);
        while self.marks.get(1).is_some_and(|(messages, _)| *messages <= gone) {
            self.marks.pop_front();
        }
        if count == 0 {
            return 0;
        }
        self.bytes - self.marks.front().filter(|(messages, _)| *messages <= gone).map_or(0, |(_, bytes)| *bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_the_queue_are_known_from_the_number_of_messages() {
        let mut sent = Sent::default();
        for _ in 0..3 {
            sent.marks.push_back((sent.messages, sent.bytes));
            sent.messages += 10;
            sent.bytes += 1_000;
        }
        assert_eq!(sent.bytes_of_last(30), 3_000);
        assert_eq!(sent.bytes_of_last(25), 3_000);
        assert_eq!(sent.bytes_of_last(20), 2_000);
        assert_eq!(sent.bytes_of_last(1), 1_000);
        assert_eq!(sent.bytes_of_last(0), 0);
        assert!(sent.marks.len() <= 1);
    }
}
