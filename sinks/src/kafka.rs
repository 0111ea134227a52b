//! Kafka: every batch becomes messages of the topic of its class; a flush waits until the brokers have them.
//!
//! The producer is idempotent and never gives a message up by itself: librdkafka retries without doubling, and how long
//! to wait is the lane's to decide. After a failure that it cannot mend (a topic is gone, a right was taken away, the
//! producer is broken) it is replaced, and the lane writes again what was not flushed.

mod admin;
mod config;
mod keys;
mod limits;
mod link;
mod meaning;
mod options;
mod oversize;
mod progress;
mod quiet;
mod refused;
mod reports;
mod resend;
mod settle;
mod split;
mod topics;
mod transaction;
mod write;

use std::time::{Duration, Instant};

use weir_schema::CLASSES;

use crate::dead_letters::{DeadLetterCounts, DeadLetters};
use crate::payload::Payloads;
use crate::{Batch, Progress, Receipt, Sink, SinkError, Tally};
use config::Tuning;
use limits::Limits;
use link::Link;
use meaning::{Trouble, Verdict, meaning};
pub use options::{
    Acks, KafkaCompression, KafkaOptions, KafkaTls, PasswordMechanism, Sasl, TopicCreation, Transactions,
};
use oversize::Search;
use reports::Reports;
use resend::Resend;
use topics::{Template, Topics};
use transaction::{Stop, Transaction};

/// What a row is taken for before one of its class was seen, bytes.
const ROW_BYTES_FIRST: usize = 1_000;

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
    topics: Topics,
    payloads: Payloads,
    link: Option<Link>,
    /// Of the producer, as it was made.
    tuning: Tuning,
    /// What each topic takes at once.
    limits: Limits,
    /// For the messages that will never be accepted, one by one.
    search: Option<Search>,
    /// What comes before everything else.
    resend: Resend,
    /// Something of that is on its way, by a producer that the broker does not know: nothing may follow it before it has its
    /// answer, since a broker takes any batch as the first of an unknown producer.
    is_unsettled: bool,
    transaction: Option<Transaction>,
    /// Written since the last flush.
    cuts: u64,
    /// Since when others get through to the brokers, while this producer gets no answers.
    led_since: Option<Instant>,
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
        let dead_letters = DeadLetters::new(&options.dead_letters, &options.name, options.dead_letter_bytes_max, owner);
        KafkaSink::open_with(options, host, dead_letters)
    }

    /// The same with dead letters of the caller's.
    ///
    /// # Errors
    /// As [`KafkaSink::open`].
    pub fn open_with(options: KafkaOptions, host: &str, dead_letters: DeadLetters) -> Result<KafkaSink, SinkError> {
        let wrong = |text: String| SinkError::Fatal(format!("kafka sink {}: {text}", options.name));
        config::check(&options).map_err(wrong)?;
        let template = Template::parse(&options.topic).map_err(wrong)?;
        let limits = Limits::new(config::message_bytes(&options));
        let mut sink = KafkaSink {
            topics: Topics::new(template),
            payloads: Payloads::new(options.payload),
            link: None,
            tuning: limits.tuning(false),
            limits,
            search: None,
            resend: Resend::default(),
            is_unsettled: false,
            transaction: options.transactions.as_ref().map(|settings| Transaction::new(settings, host)),
            cuts: 0,
            led_since: None,
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

    fn new_link(&mut self) -> Result<Link, Trouble> {
        self.tuning = self.limits.tuning(self.search.is_some());
        // What was refused once may be refused again.
        self.tuning.one_by_one |= !self.resend.is_empty();
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
        self.resend = Resend::default();
        self.is_unsettled = false;
        if self.transaction.is_none() {
            self.search = None;
        }
        (self.cuts, self.led_since) = (0, None);
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

    /// Looks at what failed in the meantime. A producer that stopped at a refused message is not broken: see
    /// [`KafkaSink::settle`].
    fn check(&mut self) -> Result<(), SinkError> {
        let link = self.linked()?;
        link.pump();
        let again = link.told().again.take();
        let broken = link.fatal().filter(|_| !link.is_stopped());
        let text = match (again, broken) {
            (Some((topic, trouble)), _) => self.say(&trouble, &format!("could not write to topic {topic}")),
            (None, Some(trouble)) => self.say(&trouble, "the producer is broken and replaced"),
            (None, None) => return Ok(()),
        };
        Err(self.give_up(text))
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
        self.cuts += 1;
        self.check()
    }

    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        let deadline = Instant::now() + self.options.flush_wait;
        self.finish_commit(deadline)?;
        self.settle(deadline)?;
        self.commit(progress, deadline)?;
        self.cuts = 0;
        self.look_at_limits();
        Ok(Receipt { refused: std::mem::take(&mut self.refused) })
    }
}
