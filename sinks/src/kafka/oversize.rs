//! What is done when a topic takes less at once than weir sends.

use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::meaning::Trouble;
use super::refused::Rows;
use super::reports::{Failed, Parcel};
use super::split::split;
use super::transaction::Transaction;
use super::{KafkaSink, admin};
use crate::SinkError;

/// A search for the messages that are refused among those that travelled together: all travel alone as long as it lasts.
#[derive(Debug)]
pub(super) struct Search {
    /// The topic of the first that was refused.
    topic: String,
    /// Whether one was refused alone since.
    found: bool,
    /// Of a transaction that failed: cuts that are not committed since then, so that it can be among them.
    cuts: u64,
}

impl KafkaSink {
    /// Learns what these topics take, and sees to it that what is sent from here on is not larger.
    pub(super) fn keep_to_limits(&mut self, topics: &[String], deadline: Instant) -> Result<(), SinkError> {
        let unknown: Vec<String> = topics.iter().filter(|topic| !self.limits.is_known(topic)).cloned().collect();
        self.ask_limits(&unknown);
        if self.tuning.does_for(self.limits.tuning(false)) {
            return Ok(());
        }
        if self.transaction.as_ref().is_some_and(Transaction::holds_rows) {
            let error = self.give_up("a topic takes less at once than the transaction before it".to_owned());
            self.drop_link();
            return Err(error);
        }
        self.settle(deadline)?;
        self.drop_link();
        Ok(())
    }

    fn ask_limits(&mut self, topics: &[String]) {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let limits = admin::batch_limits(&self.options, &names);
        let now = Instant::now();
        names.iter().zip(limits).for_each(|(topic, bytes)| self.limits.told(topic, bytes, now));
    }

    /// After a flush: limits that are low may have been raised.
    pub(super) fn look_at_limits(&mut self) {
        let now = Instant::now();
        let topics: Vec<String> = self.limits.to_ask_again(now).into_iter().map(str::to_owned).collect();
        self.ask_limits(&topics);
        self.limits.grow(now);
        self.retune();
    }

    /// Another producer, if the limits ask for one. Nothing is on its way, and no transaction is open.
    pub(super) fn retune(&mut self) {
        let tuning = self.limits.tuning(self.search.is_some());
        if self.link.is_some() && tuning != self.tuning {
            let (sink, bytes) = (&self.options.name, tuning.batch_bytes);
            tracing::info!(sink, bytes, "kafka: batches have another size from here on: topics take so much at once");
            self.drop_link();
        }
    }

    /// Whether it was this message for whose sake a batch was refused: it travelled alone.
    fn is_found(&self, parcel: &Parcel) -> bool {
        self.tuning.alone || parcel.bytes() > self.tuning.batch_bytes
    }

    /// Asks again what the topic takes; whether that explains why a batch was refused.
    fn is_explained(&mut self, topic: &str) -> bool {
        self.ask_limits(&[topic.to_owned()]);
        self.limits.is_below(topic, self.tuning.batch_bytes)
    }

    /// What no broker has goes again, in order, by another producer: in smaller batches if the topic takes less than was
    /// known, or each alone, or without the message that is refused. Nothing is on its way.
    pub(super) fn came_back(&mut self, mut failed: Vec<Failed>) {
        self.is_unsettled = true;
        failed.sort_by_key(|failed| failed.number);
        let refused = failed.iter().filter(|failed| failed.trouble.is_some());
        let topic = refused.clone().next().map(|failed| failed.parcel.topic.clone());
        let is_found = refused.clone().any(|failed| self.is_found(&failed.parcel));
        match topic {
            Some(topic) if !is_found && !self.is_explained(&topic) => {
                self.search = Some(Search { topic, found: false, cuts: 0 });
                self.resend.search(failed);
            }
            _ => {
                let parcels = failed.into_iter().flat_map(|failed| self.without_refused(failed)).collect();
                self.resend.put_back(parcels, self.search.is_some());
            }
        }
        self.drop_link();
    }

    /// What is sent in place of a message.
    fn without_refused(&mut self, Failed { parcel, trouble, .. }: Failed) -> Vec<Parcel> {
        match trouble.filter(|_| self.is_found(&parcel)) {
            Some(trouble) => self.smaller(parcel, &trouble),
            None => vec![parcel],
        }
    }

    /// The parts of a message that was refused alone; a single row goes to the dead letters.
    pub(super) fn smaller(&mut self, parcel: Parcel, trouble: &Trouble) -> Vec<Parcel> {
        let payload = self.options.payload;
        let bytes_max = self.limits.payload_bytes(&parcel.topic, payload.bytes_max);
        let parts = split(&parcel, payload, bytes_max).unwrap_or_default();
        if parts.is_empty() {
            let rows = Rows::read(&parcel.payload, payload.format);
            self.refuse(&parcel.topic, &parcel.payload, rows, trouble);
        }
        self.found_alone(&parcel, trouble);
        parts
    }

    fn found_alone(&mut self, parcel: &Parcel, trouble: &Trouble) {
        if let Some(search) = &mut self.search {
            search.found = true;
        }
        if trouble.code == Code::MessageSizeTooLarge {
            self.limits.refused(&parcel.topic, parcel.bytes(), Instant::now());
        }
    }

    /// A transaction is committed: the search goes on until all that was written before it began is.
    pub(super) fn committed_in_search(&mut self) {
        if let Some(search) = &mut self.search {
            search.cuts = search.cuts.saturating_sub(self.cuts);
            if search.cuts == 0 {
                self.end_search();
            }
        }
    }

    /// All that was searched is accepted or refused. If all was accepted, it was too large together.
    pub(super) fn end_search(&mut self) {
        let Some(Search { topic, found, .. }) = self.search.take() else { return };
        if !found {
            let (sink, bytes) = (&self.options.name, self.tuning.batch_bytes / 2);
            tracing::warn!(
                sink,
                topic,
                bytes,
                "the topic takes less at once than weir sends: max.message.bytes is low there"
            );
            self.limits.refused(&topic, bytes + 1, Instant::now());
        }
        self.retune();
    }

    /// A refused message costs the transaction: the lane writes all of it again. Batches are smaller then, or every message
    /// travels alone; and those that were refused alone are left out, or cut smaller.
    pub(super) fn refused_in_transaction(&mut self, failed: Vec<Failed>) -> SinkError {
        let mut refused: Vec<(Parcel, Trouble)> =
            failed.into_iter().filter_map(|failed| Some((failed.parcel, failed.trouble?))).collect();
        let Some((parcel, trouble)) = refused.first() else { return self.give_up("a transaction failed".to_owned()) };
        let (topic, trouble) = (parcel.topic.clone(), trouble.clone());
        refused.retain(|(parcel, _)| self.is_found(parcel));
        let what = if !refused.is_empty() {
            refused.into_iter().for_each(|(parcel, trouble)| self.leave_out(parcel, &trouble));
            "left out, or cut smaller"
        } else if self.is_explained(&topic) {
            "sent again in smaller batches"
        } else {
            self.search = Some(Search { topic: topic.clone(), found: false, cuts: 0 });
            "looked for"
        };
        if let Some(search) = &mut self.search {
            search.cuts = search.cuts.max(self.cuts + 1);
        }
        let text = self.say(&trouble, &format!("a message for topic {topic} was refused and is {what}"));
        let error = self.give_up(text);
        self.drop_link();
        error
    }

    fn leave_out(&mut self, parcel: Parcel, trouble: &Trouble) {
        let rows = Rows::read(&parcel.payload, self.options.payload.format);
        if rows.as_ref().is_some_and(|rows| rows.rows > 1) {
            self.limits.refused(&parcel.topic, parcel.payload.len() / 2, Instant::now());
        } else {
            if let Some(transaction) = &mut self.transaction {
                transaction.refuse(&parcel.topic, &parcel.payload);
            }
            self.refuse(&parcel.topic, &parcel.payload, rows, trouble);
        }
        self.found_alone(&parcel, trouble);
    }
}
