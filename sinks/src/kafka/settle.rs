//! The end of a flush: every message acknowledged or refused for ever, and the transaction committed.

use std::time::{Duration, Instant};

use super::link::Outgoing;
use super::meaning::{Trouble, Verdict, meaning};
use super::refused::Rows;
use super::reports::{Failed, Parcel};
use super::{KafkaSink, progress};
use crate::dead_letters::Letter;
use crate::{Progress, SinkError};

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

    /// Waits until every message is acknowledged or refused for ever, and sends again what was not refused itself.
    pub(super) fn settle(&mut self, deadline: Instant) -> Result<(), SinkError> {
        loop {
            self.wait_for_acknowledgements(deadline)?;
            let failed = self.take_failed()?;
            if !failed.is_empty() && self.transaction.is_some() {
                return Err(self.refused_in_transaction(failed));
            }
            if !failed.is_empty() {
                self.came_back(failed);
                continue;
            }
            if self.transaction.is_none() && !self.resend.is_searching() {
                self.end_search();
            }
            if self.resend.is_empty() {
                self.is_unsettled = false;
                return Ok(());
            }
            self.send_again(deadline)?;
        }
    }

    fn take_failed(&mut self) -> Result<Vec<Failed>, SinkError> {
        let link = self.linked()?;
        let failed = {
            let mut told = link.told();
            told.suspected = false;
            std::mem::take(&mut told.failed)
        };
        match link.fatal().filter(|_| failed.is_empty()) {
            None => Ok(failed),
            Some(trouble) => {
                let text = self.say(&trouble, "the producer is broken and replaced");
                Err(self.give_up(text))
            }
        }
    }

    /// Hands over what is next of that which has to go again; what cannot go now stays the first.
    fn send_again(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let patience = self.options.flush_wait;
        let is_search = self.resend.is_searching();
        let mut parcels = self.resend.take();
        let (mut unanswered, batch_bytes) = (0, self.tuning.batch_bytes);
        self.linked()?.mark();
        while let Some(parcel) = parcels.pop_front() {
            let Parcel { topic, key, payload, headers } = &parcel;
            let message = Outgoing { topic, key, payload, headers: headers.clone() };
            let bytes = parcel.bytes();
            let link = self.linked()?;
            let Err((trouble, _)) = link.send(message, patience) else {
                // What comes behind a message that is refused must not be on its way then.
                unanswered += bytes;
                if !is_search && unanswered < batch_bytes {
                    continue;
                }
                unanswered = 0;
                if !link.wait_until_empty(deadline, |told| told.suspected || told.broken) {
                    self.resend.put_back(parcels.into(), is_search);
                    return Ok(());
                }
                continue;
            };
            if meaning(trouble.code).verdict == Verdict::Suspect {
                self.smaller(parcel, &trouble).into_iter().rev().for_each(|part| parcels.push_front(part));
            } else if link.is_stopped() {
                parcels.push_front(parcel);
                self.resend.put_back(parcels.into(), is_search);
                return Ok(());
            } else {
                let text = self.say(&trouble, &format!("could not write to topic {topic}"));
                return Err(self.give_up(text));
            }
        }
        Ok(())
    }

    fn wait_for_acknowledgements(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let transactional = self.transaction.is_some();
        let link = self.linked()?;
        let mut empty = link.wait_until_empty(deadline, |told| told.again.is_some() || told.broken || told.suspected);
        if link.is_stopped() {
            // Of a transaction that has to be given up the library sends nothing more: there is nothing to wait for.
            empty = transactional || link.halt(deadline);
        }
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
        if let Err((trouble, _)) = self.linked()?.send(message, patience) {
            let text = self.say(&trouble, &format!("could not write to topic {topic}"));
            return Err(self.give_up(text));
        }
        self.settle(deadline)?;
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(()) };
        transaction.commit(progress, link, deadline).map_err(|stop| self.stopped(stop, "could not commit"))?;
        self.committed_in_search();
        Ok(())
    }

    /// A commit that was asked for and not confirmed.
    pub(super) fn finish_commit(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let (Some(transaction), Some(link)) = (&mut self.transaction, &self.link) else { return Ok(()) };
        transaction.finish_commit(link, deadline).map_err(|stop| self.stopped(stop, "could not commit"))
    }
}
