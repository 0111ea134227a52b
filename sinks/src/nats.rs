//! The NATS sink: messages into a JetStream stream, or plain NATS.
//!
//! **JetStream.** Messages are published with a bounded window of outstanding acknowledgements. Each carries
//! `Nats-Msg-Id: <host>:<boot id>:<epoch>:<class>:<cpu>:<seq>:<rows>` of its first row, the same whenever the same rows are
//! sent; the server drops what it has by its id, for as long as the stream's duplicate window says (2 minutes by default).
//! What is sent again later than that is stored twice; a consumer drops it by the identity of the rows. Messages of many
//! rows say what they hold in headers, too: `weir-class`, `weir-schema-version`, `weir-first` (`<cpu>:<seq>`), `weir-rows`.
//!
//! A receipt of a flush means that every message since the one before is acknowledged. What that is worth is the server's
//! to say: by default it acknowledges when its own file system has the message and syncs its files every two minutes
//! (`sync_interval`), so a receipt survives the death of the server but not that of its machine. `sync_interval: always`
//! makes it survive a power cut, at the price of a sync per message; a stream with three replicas acknowledges when two
//! servers have it, which survives the loss of one machine. Storage `memory` survives nothing.
//!
//! A connection that breaks, or does not acknowledge in time, leaves unknown what arrived: the next one sends from the
//! first message that was not acknowledged on, in order, under the same ids.
//!
//! With `read_back`, each flush also publishes its [`Progress`] as JSON, behind the rows, and [`Sink::read_back`] gives the
//! last one of the stream. There are no transactions: rows behind that progress may be there already, and are dropped by
//! their ids or by the consumer.
//!
//! **Plain NATS** (`jetstream: false`): at most once. A receipt means that a server has read everything and passed it on to
//! whoever was subscribed at that moment; nobody keeps anything. After a broken connection what was not confirmed is sent
//! again, so a subscriber may see it twice.
//!
//! Threads: the lane's thread encodes; a thread of the sink's own drives the connection, so that the server's pings are
//! answered, acknowledgements read and messages sent again while the lane has nothing to write, and encoding and sending
//! overlap.
//!
//! Limits: [`Window`], [`NatsOptions::write_wait`], [`NatsOptions::flush_wait`], [`NatsOptions::connect_wait`]. Twice the
//! window and one cut are in memory at most; of a cut beyond 64 MiB of messages the rest waits for room.

mod answer;
mod connect;
mod flight;
mod link;
mod options;
mod outgoing;
mod position;
mod shared;
mod subject;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_nats::Subject;

pub use options::{Credentials, NatsOptions, Storage, StreamOptions, TlsOptions, Window};
pub use shared::NatsCounts;

use self::connect::Target;
use self::link::{Link, too_large};
use self::outgoing::{Encoder, Origin, Outgoing};
use self::shared::{Refused, Shared};
use self::subject::Names;
use crate::dead_letters::{DeadLetters, Letter};
use crate::payload::{identity_of, tallies};
use crate::{Batch, Progress, Receipt, Sink, SinkError, Tally};

/// A cut that was begun is taken whole up to here, whatever the window, so that an outage does not tear it; bytes.
const CUT_BYTES_MAX: usize = 64 << 20;

/// Writes batches to NATS.
pub struct NatsSink {
    target: Target,
    /// Host of the progress.
    host: String,
    progress_subject: Subject,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    encoder: Encoder,
    /// Messages that this server takes at most, with headers; 0 before the first connection.
    limit: usize,
    dead_letters: DeadLetters,
    /// Rows refused since the last flush that succeeded.
    refused: Vec<Tally>,
    /// The progress that was handed over by a flush that had to wait.
    waiting: Option<Progress>,
}

impl NatsSink {
    /// Starts to connect, and returns at once: whether a server is there shows at the first write. `host` is column `host`
    /// of the rows; dead letters are given to `owner`.
    ///
    /// # Errors
    /// [`SinkError::Fatal`] for options that can never work.
    pub fn open(options: NatsOptions, host: &str, owner: Option<(u32, u32)>) -> Result<NatsSink, SinkError> {
        let NatsOptions { name, dead_letters, dead_letter_bytes_max, .. } = &options;
        let dead_letters = DeadLetters::new(dead_letters, name, *dead_letter_bytes_max, owner);
        NatsSink::open_with(options, host, dead_letters)
    }

    /// The same with dead letters of the caller's.
    ///
    /// # Errors
    /// As [`NatsSink::open`].
    pub fn open_with(options: NatsOptions, host: &str, dead_letters: DeadLetters) -> Result<NatsSink, SinkError> {
        let target = Target::new(options)?;
        let NatsOptions { name, window, .. } = &target.options;
        let names = Names { class: "progress", host, sink: name };
        let shared = Arc::new(Shared::new(*window));
        let link = Link::new(target.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new().name(format!("nats-{name}")).spawn(move || link.run());
        let thread = thread.map_err(|error| SinkError::Fatal(format!("starting the thread of {name}: {error}")))?;
        Ok(NatsSink {
            host: host.to_owned(),
            progress_subject: target.progress.subject(names),
            shared,
            thread: Some(thread),
            encoder: Encoder::new(&target.options, target.subject.clone()),
            limit: 0,
            dead_letters,
            refused: Vec::new(),
            waiting: None,
            target,
        })
    }

    /// What became of the messages so far.
    pub fn counts(&self) -> NatsCounts {
        self.shared.counters.read()
    }

    /// Takes the rows of a cut; only before the first message it says that there is no room.
    fn take(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        let mut begun = false;
        for batch in batches.iter().filter(|batch| batch.rows.num_rows() > 0) {
            let batch = Arc::new(Batch::clone(batch));
            let (mut row, rows) = (0, batch.rows.num_rows());
            while row < rows {
                self.wait_for_room(begun)?;
                begun = true;
                let (messages, next) = self.encoder.encode(&batch, row..rows)?;
                let messages = self.without_too_large(messages);
                self.shared.hand_over(messages)?;
                row = next;
            }
        }
        self.bury();
        Ok(())
    }

    fn wait_for_room(&mut self, begun: bool) -> Result<(), SinkError> {
        let more = begun.then_some(CUT_BYTES_MAX);
        let limit = match self.shared.room(self.target.options.write_wait, more) {
            // A part of the cut is on its way: the whole of it is written again.
            Err(SinkError::Wait(reason)) if begun => return Err(SinkError::Retry(reason)),
            other => other?,
        };
        if limit != self.limit {
            self.limit = limit;
            self.encoder.set_limit(limit);
        }
        Ok(())
    }

    /// Rows that no server with this limit takes are refused here.
    fn without_too_large(&mut self, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        if messages.iter().all(|message| message.fits(self.limit)) {
            return messages;
        }
        let (fit, large): (Vec<Outgoing>, Vec<Outgoing>) = messages.into_iter().partition(|m| m.fits(self.limit));
        for message in large {
            let reason = too_large(&message, self.limit);
            self.bury_one(&Refused { message, reason });
        }
        fit
    }

    /// Keeps what the server refused for ever, and remembers which rows it was.
    fn bury(&mut self) {
        let refused = self.shared.take_refused();
        refused.iter().for_each(|refused| self.bury_one(refused));
    }

    fn bury_one(&mut self, Refused { message, reason }: &Refused) {
        let Some(Origin { batch, first_row, rows }) = &message.origin else {
            tracing::error!(sink = self.target.options.name, "nats: the progress was refused: {reason}");
            return;
        };
        self.refused.extend(tallies(batch, *first_row, *rows));
        self.dead_letters.put(&Letter {
            class: batch.class.name,
            first: identity_of(batch, *first_row),
            rows: *rows,
            format: self.target.options.payload.format,
            bytes: &message.payload,
            destination: &message.subject,
            reason,
        });
    }

    fn settle(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        let wait = self.target.options.flush_wait;
        self.shared.settled(wait)?;
        if self.target.options.read_back && self.target.options.jetstream && self.waiting.as_ref() != Some(progress) {
            let message = Outgoing::progress(self.progress_subject.clone(), &self.host, progress)?;
            self.shared.hand_over(vec![message])?;
            self.waiting = Some(progress.clone());
            self.shared.settled(wait)?;
        }
        self.bury();
        self.waiting = None;
        Ok(Receipt { refused: std::mem::take(&mut self.refused) })
    }

    /// After an error that is not a wait, nothing of what was accepted is kept.
    fn dropping<T>(&mut self, result: Result<T, SinkError>) -> Result<T, SinkError> {
        if result.as_ref().is_err_and(|error| !matches!(error, SinkError::Wait(_))) {
            self.shared.abandon();
            self.refused.clear();
            self.waiting = None;
        }
        result
    }
}

impl Sink for NatsSink {
    fn name(&self) -> &str {
        &self.target.options.name
    }

    fn read_back(&mut self) -> Result<Option<Progress>, SinkError> {
        match self.target.options.read_back && self.target.options.jetstream {
            true => position::last(&self.target, &self.progress_subject),
            false => Ok(None),
        }
    }

    fn flush_period(&self) -> Option<Duration> {
        Some(self.target.options.flush_period)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.write_cut(&[batch])
    }

    fn write_cut(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        let taken = self.take(batches);
        self.dropping(taken)
    }

    /// The lane flushes by stream time.
    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        let settled = self.settle(progress);
        self.dropping(settled)
    }
}

impl Drop for NatsSink {
    fn drop(&mut self) {
        self.shared.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(sink = self.target.options.name, "nats: the thread of the connection panicked");
        }
    }
}
