//! Reads a topic of JSON rows back: which numbers are there, how often, and in which order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Without a message for so long, the reading is given up.
const QUIET_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// What a topic holds.
#[derive(Debug, Default)]
pub struct Kept {
    /// Distinct pairs of CPU and number.
    pub numbers: u64,
    /// Rows whose number was there already.
    pub repeated: u64,
    /// Rows that came for the first time, behind a later one of their CPU in the same partition.
    pub disordered: u64,
}

/// Numbers seen of one CPU, a bit each.
#[derive(Default)]
struct Seen(Vec<u64>);

impl Seen {
    /// Whether it was not there before.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}

/// A whole number in a JSON row.
fn number(row: &str, key: &str) -> Option<u64> {
    let rest = &row[row.find(key)? + key.len()..];
    rest[..rest.find([',', '}'])?].parse().ok()
}

/// Takes in rows as they come.
#[derive(Default)]
struct Judge {
    kept: Kept,
    seen: BTreeMap<u64, Seen>,
    /// Largest number by partition and CPU.
    last: BTreeMap<(i32, u64), u64>,
}

impl Judge {
    fn row(&mut self, partition: i32, row: &str) -> Result<()> {
        let found = number(row, "\"cpu\":").zip(number(row, "\"seq\":"));
        let (cpu, seq) = found.with_context(|| format!("no number of a CPU in the row {row}"))?;
        if !self.seen.entry(cpu).or_default().insert(seq) {
            self.kept.repeated += 1;
            return Ok(());
        }
        self.kept.numbers += 1;
        let last = self.last.entry((partition, cpu)).or_default();
        self.kept.disordered += u64::from(seq < *last);
        *last = seq.max(*last);
        Ok(())
    }
}

/// Reads everything that a topic has now.
pub fn read_back(brokers: &str, topic: &str) -> Result<Kept> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "weir-bench")
        .set("enable.auto.commit", "false")
        .create()
        .context("make a consumer")?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WAIT).with_context(|| format!("ask for {topic}"))?;
    let (mut from, mut left) = (TopicPartitionList::new(), 0i64);
    for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ANSWER_WAIT)?;
        from.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        left += high - low;
    }
    consumer.assign(&from).with_context(|| format!("read {topic}"))?;
    let (mut judge, mut last) = (Judge::default(), Instant::now());
    while left > 0 {
        ensure!(last.elapsed() < QUIET_MAX, "{left} messages of {topic} did not come");
        let Some(message) = consumer.poll(POLL) else { continue };
        let message = message.with_context(|| format!("read {topic}"))?;
        let text = std::str::from_utf8(message.payload().unwrap_or_default())?;
        text.lines().try_for_each(|row| judge.row(message.partition(), row))?;
        (left, last) = (left - 1, Instant::now());
    }
    Ok(judge.kept)
}
