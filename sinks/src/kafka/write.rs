//! A cut on its way into the producer's queue: first everything it needs, then all of it.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::keys::{Keys, headers};
use super::link::Outgoing;
use super::meaning::{Trouble, Verdict, meaning};
use super::refused::Rows;
use super::topics::Unready;
use super::transaction::Transaction;
use super::{KafkaSink, config};
use crate::payload::{Message, identity_of};
use crate::{Batch, SinkError};

/// Encoded bytes that stand beside librdkafka's queue at most, but for one row.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Messages handed over between two looks at what librdkafka has to tell.
const MESSAGES_PER_LOOK: usize = 1_000;
/// How old a producer is before it may be replaced for reaching nobody.
const REFRESH_AFTER: Duration = Duration::from_secs(10);
/// Pause between two looks for room.
const ROOM_STEP: Duration = Duration::from_millis(1);

impl KafkaSink {
    /// Everything that a cut needs before any of it is taken.
    pub(super) fn make_ready(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.options.write_wait;
        self.check()?;
        if self.is_unsettled || !self.resend.is_empty() || self.linked()?.is_stopped() {
            self.settle(deadline)?;
        }
        let mut topics = Vec::new();
        for batch in batches {
            let host = identity_of(batch, 0).host.to_owned();
            let topic = self.topics.name(batch.class, &host).to_owned();
            self.ensure(&topic, &[])?;
            topics.push(topic);
        }
        self.keep_to_limits(&topics, deadline)?;
        self.wait_for_room(batches, deadline)?;
        self.begin_transaction(deadline)
    }

    pub(super) fn ensure(&mut self, topic: &str, settings: &[(&str, &str)]) -> Result<(), SinkError> {
        self.linked()?;
        let Some(link) = &self.link else { return Ok(()) };
        match self.topics.ensure(topic, settings, link, &self.options) {
            Ok(()) => Ok(()),
            Err(Unready::Unreachable(trouble)) => {
                let error = self.not_now(&trouble, &format!("could not ask for topic {topic}"));
                self.refresh_if_empty();
                Err(error)
            }
            Err(Unready::Refused(text)) => Err(self.give_up(format!("{text} (kafka at {})", self.options.brokers))),
        }
    }

    /// A producer that holds nothing and reaches nobody is replaced now and then: a new one looks for the brokers by the
    /// names in the settings, whatever the old one believes. What it has told and nobody has looked at yet, such as a message
    /// that failed while it was asked for a topic, would go with it: then it stays.
    fn refresh_if_empty(&mut self) {
        let holds_rows = self.transaction.as_ref().is_some_and(Transaction::holds_rows) || !self.resend.is_empty();
        let empty = self
            .link
            .as_ref()
            .is_some_and(|link| link.outstanding() == 0 && link.age() >= REFRESH_AFTER && link.told().failed_nothing());
        if empty && !holds_rows {
            self.drop_link();
        }
    }

    pub(super) fn begin_transaction(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(()) };
        transaction.begin(link, deadline).map_err(|stop| self.stopped(stop, "could not begin a transaction"))
    }

    /// Room for all of the cut, as far as its size is known from the rows before; or an empty queue.
    fn wait_for_room(&mut self, batches: &[&Batch], deadline: Instant) -> Result<(), SinkError> {
        let rows: usize = batches.iter().map(|b| b.rows.num_rows()).sum();
        let bytes: usize = batches.iter().map(|b| b.rows.num_rows() * self.row_bytes[b.class.id.index()]).sum();
        // A quarter more, since rows differ.
        let (bytes, queue) = ((bytes + bytes / 4) as u64, self.options.queue_bytes as u64);
        let queue_messages = config::queue_messages(&self.options) as u64;
        loop {
            self.check()?;
            if self.linked()?.is_stopped() {
                self.settle(deadline)?;
            }
            let link = self.linked()?;
            let (waiting, waiting_bytes) = (link.outstanding(), link.outstanding_bytes());
            if waiting == 0 || (waiting_bytes + bytes <= queue && waiting + rows as u64 <= queue_messages) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.late(&format!("{waiting} messages wait for their acknowledgement, the queue is full")));
            }
            link.wait(ROOM_STEP);
        }
    }

    /// Hands all rows over.
    pub(super) fn send(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let rows = batch.rows.num_rows();
        let topic = self.topics.name(batch.class, identity_of(batch, 0).host).to_owned();
        self.payloads.set_bytes_max(self.limits.payload_bytes(&topic, self.options.payload.bytes_max));
        let (mut row, mut bytes) = (0, 0);
        while row < rows {
            row = match self.payloads.encode_rows(batch, row..rows, CHUNK_BYTES) {
                Ok(next) => next,
                Err(error) => {
                    self.give_up(String::new());
                    return Err(error);
                }
            };
            bytes += self.payloads.buffer().len();
            let refused = self.send_messages(batch, &topic).map_err(|trouble| {
                let text = self.say(&trouble, &format!("could not write to topic {topic}"));
                self.give_up(text)
            })?;
            for (message, trouble) in refused {
                let rows = Rows::of(batch, message.first_row, message.rows);
                let payload = self.payloads.bytes(&message).to_vec();
                self.refuse(&topic, &payload, Some(rows), &trouble);
            }
        }
        self.row_bytes[batch.class.id.index()] = bytes.div_ceil(rows.max(1));
        Ok(())
    }

    /// Hands the encoded messages over; gives back the single rows that are known to be too large.
    fn send_messages(&mut self, batch: &Batch, topic: &str) -> Result<Vec<(Message, Trouble)>, Trouble> {
        let format = self.options.payload.format;
        let Some(link) = &mut self.link else {
            return Err(Trouble::with(Code::State, "there is no producer"));
        };
        let compresses = config::compresses(&self.options);
        let mut keys = Keys::new(batch, format, identity_of(batch, 0).host);
        let mut refused = Vec::new();
        link.mark();
        for (n, message) in self.payloads.messages().iter().enumerate() {
            let payload = self.payloads.bytes(message);
            if self.transaction.as_ref().is_some_and(|transaction| transaction.is_refused(topic, payload)) {
                let rows = Rows::of(batch, message.first_row, message.rows);
                rows.tallies.iter().for_each(|tally| tally.add_to(&mut self.refused));
                continue;
            }
            if message.rows == 1 && !compresses && self.limits.is_too_large(topic, payload.len()) {
                refused.push((*message, Trouble::of(Code::MessageSizeTooLarge)));
                continue;
            }
            let outgoing =
                Outgoing { topic, key: keys.of(message.first_row), payload, headers: headers(batch, format, message) };
            if !self.resend.is_empty() {
                self.resend.push(outgoing.into());
                continue;
            }
            match link.send(outgoing, self.options.flush_wait) {
                Ok(()) => {}
                Err((trouble, outgoing)) if meaning(trouble.code).verdict == Verdict::Suspect => match message.rows {
                    1 => refused.push((*message, trouble)),
                    // Parts of it go in its place, before what follows.
                    _ => self.resend.push(outgoing.into()),
                },
                Err((_, outgoing)) if link.is_stopped() => self.resend.push(outgoing.into()),
                Err((trouble, _)) => return Err(trouble),
            }
            if n % MESSAGES_PER_LOOK == MESSAGES_PER_LOOK - 1 {
                link.pump();
            }
        }
        Ok(refused)
    }
}
