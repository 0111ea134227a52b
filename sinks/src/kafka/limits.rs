//! How much each topic takes at once: what its settings say, and what it was seen to refuse.
//!
//! A broker holds the whole batch of a request against `max.message.bytes` of the topic, after compression. Nothing that
//! weir sends is larger than the smallest of the limits before compression, so nothing is refused for its size, except a
//! single row, and after a limit was lowered. Where nobody may ask for the settings, the limit is found by what is refused.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::config::Tuning;

/// Bytes that travel together by default (librdkafka's `batch.size`).
const BATCH_BYTES: usize = 1_000_000;
/// A limit that was found by refusals is not taken for smaller than this, bytes.
const FOUND_BYTES_MIN: usize = 1_024;
/// Room in a batch for what is around one payload: the batch's own head, the key and the headers, bytes.
const AROUND_PAYLOAD_BYTES: usize = 2_048;
/// A limit that was found by refusals is tried at twice the size after this time without one.
const GROWS_AFTER: Duration = Duration::from_secs(300);
/// The time doubles each time that the larger size is refused again, up to this.
const GROWS_AFTER_MAX: Duration = Duration::from_secs(4 * 3_600);
/// The settings of topics with a low limit are asked for again after this time: somebody may have raised it.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Topics that are remembered; beyond it all are forgotten, and asked for again.
const TOPICS_MAX: usize = 1_024;

/// The limits of one sink.
#[derive(Debug)]
pub(super) struct Limits {
    /// What no topic has to take, whatever its settings say: the largest message that the sink makes, bytes.
    message_bytes: usize,
    topics: HashMap<String, Limit>,
}

/// Of one topic.
#[derive(Debug)]
struct Limit {
    /// What its settings say; nothing if nobody told.
    told: Option<usize>,
    told_at: Instant,
    found: Option<Found>,
}

/// By refusals.
#[derive(Debug)]
struct Found {
    bytes: usize,
    /// When it was found, or made larger.
    since: Instant,
    grows_after: Duration,
}

impl Limits {
    /// Nothing is known of any topic; messages are of so many bytes at most.
    pub fn new(message_bytes: usize) -> Limits {
        Limits { message_bytes, topics: HashMap::new() }
    }

    /// Whether the settings of the topic were asked for.
    pub fn is_known(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// What the settings say.
    pub fn told(&mut self, topic: &str, bytes: Option<usize>, now: Instant) {
        if self.topics.len() >= TOPICS_MAX && !self.is_known(topic) {
            self.topics.clear();
        }
        let limit = self.topics.entry(topic.to_owned()).or_insert(Limit { told: None, told_at: now, found: None });
        // An answer that did not come makes what was told before no less true.
        (limit.told, limit.told_at) = (bytes.or(limit.told), now);
    }

    /// Topics whose settings are worth another question.
    pub fn to_ask_again(&self, now: Instant) -> Vec<&str> {
        let old = |limit: &Limit| now.saturating_duration_since(limit.told_at) >= ASKED_AGAIN_AFTER;
        let low = |limit: &Limit| limit.bytes().is_some_and(|bytes| bytes < self.message_bytes.max(BATCH_BYTES));
        self.topics.iter().filter(|(_, limit)| old(limit) && low(limit)).map(|(topic, _)| topic.as_str()).collect()
    }

    /// The largest batch that the topic takes; nothing while it is not known to take less than anybody sends.
    fn of(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).and_then(Limit::bytes)
    }

    /// Whether the topic takes less than this at once.
    pub fn is_below(&self, topic: &str, bytes: usize) -> bool {
        self.of(topic).is_some_and(|limit| limit < bytes)
    }

    /// Whether a payload of this size is too large for the topic's own settings, unless compression makes it smaller.
    pub fn is_too_large(&self, topic: &str, payload_bytes: usize) -> bool {
        let told = self.topics.get(topic).and_then(|limit| limit.told);
        told.is_some_and(|told| payload_bytes > told)
    }

    /// Bytes of a payload that fits with all that is around it, at most so many.
    pub fn payload_bytes(&self, topic: &str, bytes_max: usize) -> usize {
        let fits = self.of(topic).map_or(bytes_max, |limit| limit.saturating_sub(AROUND_PAYLOAD_BYTES).max(1));
        fits.min(bytes_max)
    }

    /// Bytes that may travel together, whatever the topic: librdkafka has one setting for all.
    fn batch_bytes(&self) -> usize {
        self.topics.values().filter_map(Limit::bytes).min().map_or(BATCH_BYTES, |bytes| bytes.min(BATCH_BYTES))
    }

    /// How a producer is made that keeps to it. Where a topic does not tell its limit, the first batch can be refused.
    pub fn tuning(&self, alone: bool) -> Tuning {
        let one_by_one = alone || self.topics.values().any(|limit| limit.told.is_none());
        Tuning { alone, batch_bytes: self.batch_bytes(), one_by_one }
    }

    /// The topic has refused a batch or a message of this size. Worth nothing where its settings say less, or that it is
    /// not the size.
    pub fn refused(&mut self, topic: &str, bytes: usize, now: Instant) {
        let Some(limit) = self.topics.get_mut(topic).filter(|limit| limit.bytes().is_none_or(|known| known >= bytes))
        else {
            return;
        };
        let bytes = bytes.saturating_sub(1);
        let grows_after = match &limit.found {
            Some(before) => (before.grows_after * 2).min(GROWS_AFTER_MAX),
            None => GROWS_AFTER,
        };
        limit.found = Some(Found { bytes: bytes.max(FOUND_BYTES_MIN), since: now, grows_after });
    }

    /// What was found by refusals may be over: it is tried at twice the size after a while.
    pub fn grow(&mut self, now: Instant) {
        for found in self.topics.values_mut().filter_map(|limit| limit.found.as_mut()) {
            if found.bytes < BATCH_BYTES && now.saturating_duration_since(found.since) >= found.grows_after {
                (found.bytes, found.since) = (found.bytes * 2, now);
            }
        }
    }
}

impl Limit {
    fn bytes(&self) -> Option<usize> {
        self.told.into_iter().chain(self.found.as_ref().map(|found| found.bytes)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> (Limits, Instant) {
        (Limits::new(1_000_000), Instant::now())
    }

    #[test]
    fn all_travel_in_the_smallest_batch_and_messages_fit_their_own_topic() {
        let (mut limits, now) = limits();
        assert_eq!((limits.batch_bytes(), limits.payload_bytes("a", 900_000)), (BATCH_BYTES, 900_000));
        limits.told("a", Some(1_048_588), now);
        assert_eq!((limits.batch_bytes(), limits.payload_bytes("a", 900_000)), (BATCH_BYTES, 900_000));
        limits.told("b", Some(262_144), now);
        assert_eq!((limits.batch_bytes(), limits.payload_bytes("a", 900_000)), (262_144, 900_000));
        assert_eq!(limits.payload_bytes("b", 900_000), 262_144 - AROUND_PAYLOAD_BYTES);
        assert!(limits.is_below("b", 262_145) && !limits.is_below("b", 262_144) && !limits.is_below("c", 262_145));
        assert!(limits.is_too_large("b", 262_145) && !limits.is_too_large("b", 262_144));
    }

    #[test]
    fn a_question_without_an_answer_changes_nothing() {
        let (mut limits, now) = limits();
        limits.told("a", None, now);
        assert!(limits.is_known("a"));
        assert_eq!(limits.batch_bytes(), BATCH_BYTES);
        limits.told("a", Some(50_000), now);
        limits.told("a", None, now);
        assert_eq!(limits.batch_bytes(), 50_000);
    }

    #[test]
    fn a_limit_found_by_refusals_grows_again_and_more_slowly_each_time_that_it_was_right() {
        let (mut limits, start) = limits();
        limits.told("a", None, start);
        limits.refused("a", 300_001, start);
        limits.grow(start + GROWS_AFTER - Duration::from_millis(1));
        assert_eq!(limits.batch_bytes(), 300_000);
        limits.grow(start + GROWS_AFTER);
        assert_eq!(limits.batch_bytes(), 600_000);
        let refused = start + GROWS_AFTER;
        limits.refused("a", 300_001, refused);
        limits.grow(refused + GROWS_AFTER);
        assert_eq!(limits.batch_bytes(), 300_000, "twice as long now");
        limits.grow(refused + GROWS_AFTER * 2);
        limits.grow(refused + GROWS_AFTER * 4);
        assert_eq!(limits.batch_bytes(), BATCH_BYTES);
        for _ in 0..30 {
            limits.refused("a", limits.batch_bytes() / 2, refused);
        }
        assert_eq!(limits.batch_bytes(), FOUND_BYTES_MIN);
        limits.grow(refused + GROWS_AFTER_MAX);
        assert_eq!(limits.batch_bytes(), FOUND_BYTES_MIN * 2);
    }

    #[test]
    fn low_limits_are_asked_for_again_and_others_are_not() {
        let (mut limits, now) = limits();
        limits.told("low", Some(50_000), now);
        limits.told("usual", Some(1_048_588), now);
        limits.told("untold", None, now);
        assert_eq!(limits.to_ask_again(now), Vec::<&str>::new());
        assert_eq!(limits.to_ask_again(now + ASKED_AGAIN_AFTER), ["low"]);
    }

    #[test]
    fn topics_without_end_take_no_memory_without_end() {
        let (mut limits, now) = limits();
        for n in 0..3 * TOPICS_MAX {
            limits.told(&n.to_string(), Some(50_000), now);
        }
        assert!(limits.topics.len() <= TOPICS_MAX);
    }
}
