//! The end of a flush: every message acknowledged or refused for ever, and the transaction committed.

use std::time::{Duration, Instant};

use super::config::Tuning;
use super::link::Outgoing;
use super::meaning::Trouble;
use super::refused::Rows;
use super::reports::Parcel;
use super::{KafkaSink, progress};
use crate::dead_letters::Letter;
use crate::{Progress, SinkError};

/// Bytes that travel together are not lowered below this.
const BATCH_BYTES_MIN: usize = 16 * 1024;
/// Bytes that travel together by default (librdkafka's `batch.size`).
const BATCH_BYTES: usize = 1_000_000;

/// After how long without any answer others are asked whether they get through to the brokers.
const STILL_MAX: Duration = Duration::from_secs(10);
/// A producer without any answer while others get through all this time has lost the brokers out of sight. While nobody
/// gets through it keeps what it holds, however long that takes.
const LOST_MAX: Duration = Duration::from_secs(30);

impl KafkaSink {
    /// A message that will never be accepted: to the dead letters, and into the receipt.
    pub(super) fn refuse(&mut self, topic: &str, payload: &[u8], rows: Option<Rows>, trouble: &Trouble) {
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
        rows.tallies.iter().for_each(|tally| tally.add_to(&mut self.refused));
    }

    /// Waits until every message is acknowledged or refused for ever.
    pub(super) fn settle(&mut self, deadline: Instant) -> Result<(), SinkError> {
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
        let waiting = self.linked()?.outstanding();
        Err(self.late(&format!("{waiting} messages wait for their acknowledgement")))
    }

    /// The brokers have not answered in time: what was accepted stays in the queue, unless only this producer waits.
    pub(super) fn late(&mut self, what: &str) -> SinkError {
        let here = format!("{what} (kafka at {})", self.options.brokers);
        if self.is_lost() {
            return self.give_up(format!("{here}, although the brokers answer others: the producer is replaced"));
        }
        let trouble = self.link.as_ref().and_then(|link| link.told().trouble.clone());
        trouble.map_or(SinkError::Wait(here), |trouble| self.not_now(&trouble, what))
    }

    /// Whether only this producer gets no answers.
    fn is_lost(&mut self) -> bool {
        let still = self.link.as_mut().is_some_and(|link| link.still_for() >= STILL_MAX);
        if !still || !self.topics.are_led(&self.options) {
            self.led_since = None;
            return false;
        }
        self.led_since.get_or_insert_with(Instant::now).elapsed() >= LOST_MAX
    }

    /// Puts the progress into the transaction and commits it.
    pub(super) fn commit(&mut self, progress: &Progress, deadline: Instant) -> Result<(), SinkError> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        if transaction.has_committed(progress) {
            return Ok(());
        }
        let (topic, key) = (transaction.topic.clone(), transaction.key.clone());
        self.ensure(&topic, &[("cleanup.policy", "compact")])?;
        self.begin_transaction(deadline)?;
        let record = progress::record(progress, &self.options.name)
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
    pub(super) fn finish_commit(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(()) };
        transaction.finish_commit(link, deadline).map_err(|stop| self.stopped(stop, "could not commit"))
    }
}
