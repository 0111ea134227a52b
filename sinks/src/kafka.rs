//! Kafka: every batch becomes messages of the topic of its class; a flush waits until the brokers have them.
//!
//! The producer is idempotent and never gives a message up by itself: librdkafka retries without doubling, and how long
//! to wait is the lane's to decide. After a failure that it cannot mend (a topic is gone, a right was taken away, the
//! producer is broken) it is replaced, and the lane writes again what was not flushed.

mod config;
mod isolate;
mod keys;
mod link;
mod meaning;
mod options;
mod progress;
mod quiet;
mod refused;
mod reports;
mod topics;
mod transaction;

use std::time::{Duration, Instant};

use weir_schema::CLASSES;

use crate::dead_letters::{DeadLetterCounts, DeadLetters, Letter};
use crate::payload::{Payloads, identity_of};
use crate::{Batch, Progress, Receipt, Sink, SinkError, Tally};
use config::Tuning;
use isolate::Isolation;
use link::{Link, Outgoing};
use meaning::{Trouble, Verdict, meaning};
pub use options::{
    Acks, KafkaCompression, KafkaOptions, KafkaTls, PasswordMechanism, Sasl, TopicCreation, Transactions,
};
use refused::Rows;
use reports::{Parcel, Reports};
use topics::{Template, Topics, Unready};
use transaction::{Stop, Transaction};

/// Encoded bytes that stand beside librdkafka's queue at most, but for one row.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Messages handed over between two looks at what librdkafka has to tell.
const MESSAGES_PER_LOOK: usize = 1_000;
/// What a row is taken for before one of its class was seen, bytes.
const ROW_BYTES_FIRST: usize = 1_000;
/// Pause between two looks for room.
const ROOM_STEP: Duration = Duration::from_millis(1);
/// Bytes that travel together are not lowered below this.
const BATCH_BYTES_MIN: usize = 16 * 1024;
/// Bytes that travel together by default (librdkafka's `batch.size`).
const BATCH_BYTES: usize = 1_000_000;

/// What a sink has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KafkaCounts {
    /// Messages handed to librdkafka.
    pub messages: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
    /// Messages without an answer at the moment.
    pub outstanding: u64,
    /// Producers that were given up.
    pub renewals: u64,
    /// What became of refused messages.
    pub dead_letters: DeadLetterCounts,
}

/// The sink.
pub struct KafkaSink {
    options: KafkaOptions,
    host: String,
    topics: Topics,
    payloads: Payloads,
    link: Option<Link>,
    tuning: Tuning,
    transaction: Option<Transaction>,
    isolation: Isolation,
    /// Numbers of rows refused since the last flush.
    refused: Vec<Tally>,
    dead_letters: DeadLetters,
    /// Bytes of a row's message, by class.
    row_bytes: [usize; CLASSES.len()],
    /// Of the producers before.
    counts: KafkaCounts,
}

impl KafkaSink {
    /// Checks the settings and makes a producer, which connects by itself: brokers may be away. `host` is column `host`
    /// of the rows; dead letters are given to `owner`.
    ///
    /// # Errors
    /// [`SinkError::Fatal`] if the settings contradict each other or librdkafka does not accept them.
    pub fn open(options: KafkaOptions, host: &str, owner: Option<(u32, u32)>) -> Result<KafkaSink, SinkError> {
        let wrong = |text: String| SinkError::Fatal(format!("kafka sink {}: {text}", options.name));
        config::check(&options).map_err(wrong)?;
        let template = Template::parse(&options.topic).map_err(wrong)?;
        let dead_letters =
            DeadLetters::new(&options.dead_letters, &options.name, options.dead_letter_bytes_max, owner);
        let mut sink = KafkaSink {
            host: host.to_owned(),
            topics: Topics::new(template),
            payloads: Payloads::new(options.payload),
            link: None,
            tuning: Tuning::default(),
            transaction: options.transactions.as_ref().map(|settings| Transaction::new(settings, host)),
            isolation: Isolation::default(),
            refused: Vec::new(),
            dead_letters,
            row_bytes: [ROW_BYTES_FIRST; CLASSES.len()],
            counts: KafkaCounts::default(),
            options,
        };
        let link = sink.new_link();
        sink.link = Some(link.map_err(|trouble| SinkError::Fatal(sink.say(&trouble, "could not make a producer")))?);
        Ok(sink)
    }

    /// What it has done so far.
    pub fn counts(&self) -> KafkaCounts {
        let (messages, bytes) = self.link.as_ref().map_or((0, 0), Link::total);
        KafkaCounts {
            messages: self.counts.messages + messages,
            bytes: self.counts.bytes + bytes,
            outstanding: self.link.as_ref().map_or(0, Link::outstanding),
            renewals: self.counts.renewals,
            dead_letters: self.dead_letters.counts(),
        }
    }

    fn say(&self, trouble: &Trouble, what: &str) -> String {
        trouble.sentence(&format!("{what} (kafka at {})", self.options.brokers))
    }

    fn new_link(&self) -> Result<Link, Trouble> {
        Link::open(&config::producer(&self.options, self.tuning), Reports::new(&self.options))
    }

    /// Ends the producer; the next write makes another.
    fn drop_link(&mut self) {
        let counts = self.counts();
        self.link = None;
        (self.counts.messages, self.counts.bytes) = (counts.messages, counts.bytes);
        if let Some(transaction) = &mut self.transaction {
            transaction.reset();
        }
    }

    /// Everything since the last flush is to be written again.
    fn give_up(&mut self, error: String) -> SinkError {
        let keep = match (&mut self.transaction, &self.link) {
            (Some(transaction), Some(link)) => transaction.abort(link),
            _ => false,
        };
        if !keep {
            self.drop_link();
            self.counts.renewals += 1;
        }
        if let Some(link) = &self.link {
            *link.told() = reports::Told::default();
        }
        self.isolation = Isolation::default();
        self.refused.clear();
        self.topics.forget();
        SinkError::Retry(error)
    }

    /// Nobody answers: what was accepted stays in the queue, unless the brokers do not know us, which is for people to
    /// see at once.
    fn not_now(&mut self, trouble: &Trouble, what: &str) -> SinkError {
        let text = self.say(trouble, what);
        if meaning(trouble.code).verdict == Verdict::Stranger { self.give_up(text) } else { SinkError::Wait(text) }
    }

    fn stopped(&mut self, stop: Stop, what: &str) -> SinkError {
        match stop {
            Stop::Wait(trouble) => SinkError::Wait(self.say(&trouble, what)),
            Stop::Over(trouble) => {
                let text = self.say(&trouble, what);
                self.give_up(text)
            }
        }
    }

    /// The producer, made anew if need be.
    fn linked(&mut self) -> Result<&mut Link, SinkError> {
        if self.link.is_none() {
            let link = self.new_link();
            let link = link.map_err(|trouble| SinkError::Retry(self.say(&trouble, "could not make a producer")))?;
            self.link = Some(link);
        }
        self.link.as_mut().ok_or_else(|| SinkError::Retry("there is no producer".to_owned()))
    }

    /// Looks at what failed in the meantime.
    fn check(&mut self) -> Result<(), SinkError> {
        let link = self.linked()?;
        link.pump();
        let again = link.told().again.take();
        let broken = link.fatal();
        let text = match (broken, again) {
            (Some(trouble), _) => self.say(&trouble, "the producer is broken and replaced"),
            (None, Some((topic, trouble))) => self.say(&trouble, &format!("could not write to topic {topic}")),
            (None, None) => return Ok(()),
        };
        Err(self.give_up(text))
    }

    /// Everything that a cut needs before any of it is taken.
    fn make_ready(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.options.write_wait;
        self.check()?;
        if !self.isolation.is_idle() || !self.linked()?.told().suspects.is_empty() {
            self.settle(deadline)?;
        }
        for batch in batches {
            let host = identity_of(batch, 0).host.to_owned();
            let topic = self.topics.name(batch.class, &host).to_owned();
            self.ensure(&topic, &[])?;
        }
        self.wait_for_room(batches, deadline)?;
        self.begin(deadline)
    }

    fn ensure(&mut self, topic: &str, settings: &[(&str, &str)]) -> Result<(), SinkError> {
        self.linked()?;
        let Some(link) = &self.link else { return Ok(()) };
        match self.topics.ensure(topic, settings, link, &self.options) {
            Ok(()) => Ok(()),
            Err(Unready::Unreachable(trouble)) => Err(self.not_now(&trouble, &format!("could not ask for topic {topic}"))),
            Err(Unready::Refused(text)) => Err(self.give_up(format!("{text} (kafka at {})", self.options.brokers))),
        }
    }

    fn begin(&mut self, deadline: Instant) -> Result<(), SinkError> {
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
            let link = self.linked()?;
            let (waiting, waiting_bytes) = (link.outstanding(), link.outstanding_bytes());
            if waiting == 0 || (waiting_bytes + bytes <= queue && waiting + rows as u64 <= queue_messages) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let trouble = link.told().trouble.clone();
                let what = format!("{waiting} messages wait for their acknowledgement, the queue is full");
                return Err(match trouble {
                    Some(trouble) => self.not_now(&trouble, &what),
                    None => SinkError::Wait(format!("{what} (kafka at {})", self.options.brokers)),
                });
            }
            link.wait(ROOM_STEP);
        }
    }

    /// Hands all rows over.
    fn send(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let rows = batch.rows.num_rows();
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
            let refused = self.send_messages(batch).map_err(|(topic, trouble)| {
                let text = self.say(&trouble, &format!("could not write to topic {topic}"));
                self.give_up(text)
            })?;
            for (message, trouble) in refused {
                let topic = self.topics.name(batch.class, identity_of(batch, 0).host).to_owned();
                let rows = Rows::of(batch, message.first_row, message.rows);
                let payload = self.payloads.bytes(&message).to_vec();
                self.refuse(&topic, &payload, Some(rows), &trouble);
            }
        }
        self.row_bytes[batch.class.id.index()] = bytes.div_ceil(rows.max(1));
        Ok(())
    }

    /// Hands the encoded messages over; gives back those that librdkafka itself says are too large for ever.
    fn send_messages(
        &mut self,
        batch: &Batch,
    ) -> Result<Vec<(crate::payload::Message, Trouble)>, (String, Trouble)> {
        let format = self.options.payload.format;
        let host = identity_of(batch, 0).host;
        let topic = self.topics.name(batch.class, host);
        let Some(link) = &mut self.link else { return Ok(Vec::new()) };
        let mut keys = keys::Keys::new(batch, format, host);
        let mut refused = Vec::new();
        link.mark();
        for (n, message) in self.payloads.messages().iter().enumerate() {
            let payload = self.payloads.bytes(message);
            if self.transaction.as_ref().is_some_and(|transaction| transaction.is_refused(topic, payload)) {
                let rows = Rows::of(batch, message.first_row, message.rows);
                rows.tallies.iter().for_each(|tally| refused::add(&mut self.refused, *tally));
                continue;
            }
            let headers = keys::headers(batch, format, message);
            let key = keys.of(message.first_row);
            match link.send(Outgoing { topic, key, payload, headers }, self.options.flush_wait) {
                Ok(()) => {}
                Err(trouble) if meaning(trouble.code).verdict == Verdict::Suspect => refused.push((*message, trouble)),
                Err(trouble) => return Err((topic.to_owned(), trouble)),
            }
            if n % MESSAGES_PER_LOOK == MESSAGES_PER_LOOK - 1 {
                link.pump();
            }
        }
        Ok(refused)
    }

    /// A message that will never be accepted: to the dead letters, and into the receipt.
    fn refuse(&mut self, topic: &str, payload: &[u8], rows: Option<Rows>, trouble: &Trouble) {
        let reason = trouble.sentence(&format!("{} bytes for topic {topic}", payload.len()));
        let Some(rows) = rows else {
            tracing::error!(sink = self.options.name, "a refused message is none of weir's: {reason}");
            return;
        };
        self.dead_letters.put(&Letter {
            class: rows.class.name,
            first: rows.first(),
            rows: rows.rows,
            format: self.options.payload.format,
            bytes: payload,
            destination: topic,
            reason: &reason,
        });
        rows.tallies.iter().for_each(|tally| refused::add(&mut self.refused, *tally));
    }

    /// Waits until every message is acknowledged or refused for ever.
    fn settle(&mut self, deadline: Instant) -> Result<(), SinkError> {
        loop {
            self.wait_for_acknowledgements(deadline)?;
            let failed = std::mem::take(&mut self.linked()?.told().suspects);
            if self.transaction.is_some() && !failed.is_empty() {
                return Err(self.refused_in_transaction(failed));
            }
            if let Some((Parcel { topic, payload, .. }, trouble)) = self.isolation.returned(failed) {
                let rows = Rows::read(&payload, self.options.payload.format);
                self.refuse(&topic, &payload, rows, &trouble);
            }
            let Some(group) = self.isolation.next() else { break };
            self.resend(&group)?;
        }
        if self.isolation.finish() {
            self.shrink();
        }
        Ok(())
    }

    fn resend(&mut self, group: &[Parcel]) -> Result<(), SinkError> {
        let patience = self.options.flush_wait;
        let link = self.linked()?;
        link.mark();
        for Parcel { topic, key, payload, headers } in group {
            let message = Outgoing { topic, key, payload, headers: headers.clone() };
            if let Err(trouble) = link.send(message, patience) {
                let text = self.say(&trouble, &format!("could not write to topic {topic}"));
                return Err(self.give_up(text));
            }
        }
        Ok(())
    }

    /// All were accepted, only not together: less travels together from now on. Nothing is on its way.
    fn shrink(&mut self) {
        let bytes = (self.tuning.batch_bytes.unwrap_or(BATCH_BYTES) / 2).max(BATCH_BYTES_MIN);
        let before = std::mem::replace(&mut self.tuning, Tuning { alone: false, batch_bytes: Some(bytes) });
        if before != self.tuning {
            let sink = &self.options.name;
            tracing::warn!(sink, bytes, "a topic takes less at once than weir sends: max.message.bytes is low there");
            self.drop_link();
        }
    }

    /// A refused message costs the transaction. Next time every message travels alone; the time after, those that were
    /// refused alone are left out.
    fn refused_in_transaction(&mut self, failed: Vec<(Parcel, Trouble)>) -> SinkError {
        let alone = self.tuning.alone;
        for (Parcel { topic, payload, .. }, trouble) in failed.iter().filter(|_| alone) {
            if let Some(transaction) = &mut self.transaction {
                transaction.refuse(topic, payload);
            }
            let rows = Rows::read(payload, self.options.payload.format);
            self.refuse(topic, payload, rows, trouble);
        }
        let what = if alone { "left out" } else { "looked for" };
        let text = failed.first().map_or_else(String::new, |(parcel, trouble)| {
            self.say(trouble, &format!("a message for topic {} was refused and is {what}", parcel.topic))
        });
        self.tuning.alone = true;
        let error = self.give_up(text);
        self.drop_link();
        error
    }

    fn wait_for_acknowledgements(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let empty = self.linked()?.wait_until_empty(deadline, |told| told.again.is_some() || told.broken);
        self.check()?;
        if empty {
            return Ok(());
        }
        let link = self.linked()?;
        let what = format!("{} messages wait for their acknowledgement", link.outstanding());
        let trouble = link.told().trouble.clone();
        Err(match trouble {
            Some(trouble) => self.not_now(&trouble, &what),
            None => SinkError::Wait(format!("{what} (kafka at {})", self.options.brokers)),
        })
    }

    /// Puts the progress into the transaction and commits it.
    fn commit(&mut self, progress: &Progress, deadline: Instant) -> Result<(), SinkError> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        if transaction.has_committed(progress) {
            return Ok(());
        }
        let (topic, key) = (transaction.topic.clone(), transaction.key.clone());
        self.ensure(&topic, &[("cleanup.policy", "compact")])?;
        self.begin(deadline)?;
        let record = progress::record(progress, &self.options.name, &self.host)
            .map_err(|error| SinkError::Fatal(format!("writing the progress as JSON: {error}")))?;
        let message = Outgoing { topic: &topic, key: key.as_bytes(), payload: &record, headers: None };
        let patience = self.options.flush_wait;
        if let Err(trouble) = self.linked()?.send(message, patience) {
            let text = self.say(&trouble, &format!("could not write to topic {topic}"));
            return Err(self.give_up(text));
        }
        self.settle(deadline)?;
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(()) };
        transaction.commit(progress, link, deadline).map_err(|stop| self.stopped(stop, "could not commit"))?;
        if self.tuning.alone {
            self.tuning.alone = false;
            self.drop_link();
        }
        Ok(())
    }

    /// A commit that was asked for and not confirmed.
    fn finish_commit(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(()) };
        transaction.finish_commit(link, deadline).map_err(|stop| self.stopped(stop, "could not commit"))
    }
}

impl Sink for KafkaSink {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn read_back(&mut self) -> Result<Option<Progress>, SinkError> {
        self.linked()?;
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(None) };
        let (topic, key) = (transaction.topic.clone(), transaction.key.clone());
        // What a producer before left open must be over, or the last word is not spoken.
        if let Err(stop) = transaction.init(link) {
            return Err(match self.stopped(stop, "could not begin") {
                SinkError::Wait(text) => SinkError::Retry(text),
                other => other,
            });
        }
        let read = progress::read(&self.options, &topic, &key);
        read.map_err(|trouble| SinkError::Retry(self.say(&trouble, &format!("could not read topic {topic} back"))))
    }

    fn flush_period(&self) -> Option<Duration> {
        Some(self.options.flush_period)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.write_cut(&[batch])
    }

    fn write_cut(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        let batches: Vec<&Batch> = batches.iter().copied().filter(|batch| batch.rows.num_rows() > 0).collect();
        self.make_ready(&batches)?;
        batches.into_iter().try_for_each(|batch| self.send(batch))?;
        self.check()
    }

    fn wants_flush(&self, _: Instant) -> bool {
        false // by stream time: `flush_period`
    }

    fn flush_due(&self) -> Option<Instant> {
        None
    }

    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        let deadline = Instant::now() + self.options.flush_wait;
        self.finish_commit(deadline)?;
        self.settle(deadline)?;
        self.commit(progress, deadline)?;
        Ok(Receipt { refused: std::mem::take(&mut self.refused) })
    }
}
