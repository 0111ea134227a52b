//! The progress record: written inside the transaction, read back at the start.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::config;
use super::meaning::Trouble;
use super::options::KafkaOptions;
use super::reports::Reports;
use crate::Progress;

/// How long reading may take in all.
const READ_WAIT: Duration = Duration::from_secs(10);
/// How long one question may take.
const ASK_WAIT: Duration = Duration::from_secs(2);
/// How long a broker holds a fetch that has nothing: the end of a partition is said only then.
const FETCH_WAIT: Duration = Duration::from_millis(5);
/// Records read from the end of each partition at first; eight times as many each time that the key is not among them.
const WINDOW: i64 = 1_000;
const WINDOW_GROWTH: i64 = 8;

/// What stands in the record.
#[derive(Debug, Serialize, Deserialize)]
struct Record<'a> {
    /// Who wrote it, for people who read the topic.
    #[serde(borrow)]
    sink: Cow<'a, str>,
    #[serde(flatten)]
    progress: Progress,
}

/// The record as it is written.
pub(super) fn record(progress: &Progress, sink: &str) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Record { sink: sink.into(), progress: progress.clone() })
}

/// The last committed record of this key; nothing if there is none, or no such topic.
pub(super) fn read(options: &KafkaOptions, topic: &str, key: &str) -> Result<Option<Progress>, Trouble> {
    let deadline = Instant::now() + READ_WAIT;
    let consumer: BaseConsumer<Reports> =
        BaseConsumer::from_config_and_context(&config::progress_consumer(options, FETCH_WAIT), Reports::new(options))
            .map_err(|error| Trouble::from_error(&error))?;
    // A token is asked for as an event; without it no question is answered. There are no messages yet.
    drop(consumer.poll(FETCH_WAIT * 2));
    let ranges = ranges(&consumer, topic)?;
    let mut window = WINDOW;
    loop {
        let found = last_in(&consumer, topic, &ranges, window, key, deadline)?;
        let whole = ranges.iter().all(|(_, low, high)| high - low <= window);
        match found {
            Some(payload) => return parse(&payload).map(Some),
            None if whole => return Ok(None),
            None => window = window.saturating_mul(WINDOW_GROWTH),
        }
    }
}

fn parse(payload: &[u8]) -> Result<Progress, Trouble> {
    let record = serde_json::from_slice::<Record<'_>>(payload);
    record.map(|record| record.progress).map_err(|error| {
        let text =
            format!("the progress record is not one of weir's ({error}); choose another transactional id or topic");
        Trouble { code: Code::Fail, text }
    })
}

/// Partitions with their first and next offset; none without the topic.
fn ranges(consumer: &BaseConsumer<Reports>, topic: &str) -> Result<Vec<(i32, i64, i64)>, Trouble> {
    let error = |error: KafkaError| Trouble::from_error(&error);
    let metadata = consumer.fetch_metadata(Some(topic), ASK_WAIT).map_err(error)?;
    let Some(found) = metadata.topics().first() else { return Ok(Vec::new()) };
    match found.error().map(Code::from) {
        None | Some(Code::LeaderNotAvailable) => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(Vec::new()),
        Some(code) => return Err(Trouble::of(code)),
    }
    let ids = found.partitions().iter().map(|partition| partition.id());
    ids.map(|id| {
        let (low, high) = consumer.fetch_watermarks(topic, id, ASK_WAIT).map_err(error)?;
        Ok((id, low, high))
    })
    .collect()
}

/// The last record of the key among the last `window` of each partition.
fn last_in(
    consumer: &BaseConsumer<Reports>,
    topic: &str,
    ranges: &[(i32, i64, i64)],
    window: i64,
    key: &str,
    deadline: Instant,
) -> Result<Option<Vec<u8>>, Trouble> {
    let error = |error: KafkaError| Trouble::from_error(&error);
    let mut assignment = TopicPartitionList::new();
    for (id, low, high) in ranges.iter().filter(|(_, low, high)| low < high) {
        let start = Offset::Offset((high - window).max(*low));
        assignment.add_partition_offset(topic, *id, start).map_err(error)?;
    }
    let mut open = assignment.count();
    if open == 0 {
        return Ok(None);
    }
    consumer.assign(&assignment).map_err(error)?;
    let mut last = None;
    while open > 0 {
        if Instant::now() >= deadline {
            return Err(Trouble::of(Code::OperationTimedOut));
        }
        match consumer.poll(FETCH_WAIT * 2) {
            None => {}
            Some(Ok(message)) if message.key() == Some(key.as_bytes()) => {
                last = message.payload().map(<[u8]>::to_vec);
            }
            Some(Ok(_)) => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(KafkaError::MessageConsumption(Code::AllBrokersDown | Code::BrokerTransportFailure))) => {}
            Some(Err(other)) => return Err(error(other)),
        }
    }
    consumer.unassign().map_err(error)?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut progress = Progress::default();
        (progress.host, progress.boot_id, progress.next_cut) = ("web \"1\"\n".into(), "b".into(), 7);
        let text = record(&progress, "kafka").unwrap();
        assert_eq!(parse(&text).unwrap(), progress);
        assert!(parse(b"{\"next_cut\":1}").unwrap_err().text.contains("not one of weir's"));
    }
}
