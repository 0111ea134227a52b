//! What makes a configuration invalid although every value is readable: a loop over ranges, then the rules between keys.

use std::net::SocketAddr;
use std::time::Duration;

use crate::context::{PROCESS_BYTES, is_container_id};

use super::{Config, FILTER_VALUES_MAX, KEYS, RING_BYTES_MAX, RING_BYTES_MIN, filter, format_size};

/// Ranges of numbers, both ends included; the units are those of the names.
struct Range {
    key: &'static str,
    value: fn(&Config) -> u64,
    least: u64,
    most: u64,
}

const fn range(key: &'static str, value: fn(&Config) -> u64, least: u64, most: u64) -> Range {
    Range { key, value, least, most }
}

/// The kernel's own limit of one argument, and what a variable record can hold beside it.
const ARGS_BYTES_MAX: u64 = 128 << 10;

static RANGES: &[Range] = &[
    range("args_bytes_max", |c| c.args_bytes_max, 256, ARGS_BYTES_MAX),
    range("ring_bytes", |c| c.ring_bytes, RING_BYTES_MIN, RING_BYTES_MAX),
    range("ring_lifecycle_percent", |c| c.ring_lifecycle_percent, 0, 50),
    range("batch_age_ms", |c| c.batch_age_ms, 1, 60_000),
    range("batch_rows_max", |c| c.batch_rows_max as u64, 1, 1 << 20),
    range("batch_bytes_max", |c| c.batch_bytes_max, 64 << 10, 1 << 30),
    range("nap_us", |c| c.nap_us, 50, 1_000_000),
    range("naps_before_sleep", |c| u64::from(c.naps_before_sleep), 0, 1000),
    range("clock_slack_ns", |c| c.clock_slack_ns, 0, 1_000_000_000),
    range("ancestors_max", |c| c.ancestors_max as u64, 0, 64),
    range("container_lookups_per_second_max", |c| u64::from(c.container_lookups_per_second_max), 1, 10_000),
    range("processes_max", |c| c.processes_max as u64, 64, 1 << 22),
    range("context_bytes_max", |c| c.context_bytes_max, 16 << 20, 4 << 30),
    range("followed_max", |c| u64::from(c.followed_max), 64, 1 << 22),
    range("lane_cuts_max", |c| c.lane_cuts_max as u64, 1, 65_536),
    range("lane_bytes_max", |c| c.lane_bytes_max, 64 << 10, 64 << 30),
    range("sink_memory_max", |c| c.sink_memory_max, 64 << 20, 64 << 30),
    range("parquet.file_rows_max", |c| c.parquet.file_rows_max, 1, 1 << 40),
    range("parquet.file_bytes_max", |c| c.parquet.file_bytes_max, 64 << 10, 1 << 40),
    range("parquet.zstd_level", |c| u64::from(c.parquet.zstd_level), 1, 22),
    range("kafka.message_bytes_max", |c| c.kafka.message_bytes_max, 1 << 10, 64 << 20),
    range("kafka.lines_max", |c| c.kafka.lines_max as u64, 1, 1 << 20),
    range("kafka.linger_ms", |c| c.kafka.linger_ms, 0, 60_000),
    range("kafka.queue_bytes_max", |c| c.kafka.queue_bytes_max, 1 << 20, 2 << 30),
    range("kafka.topic_partitions", |c| u64::from(c.kafka.topic_partitions.unwrap_or(1)), 1, 10_000),
    range("kafka.topic_replication", |c| u64::from(c.kafka.topic_replication.unwrap_or(1)), 1, 1000),
    range("nats.message_bytes_max", |c| c.nats.message_bytes_max, 1 << 10, 64 << 20),
    range("nats.lines_max", |c| c.nats.lines_max as u64, 1, 1 << 20),
    range("nats.stream_replicas", |c| u64::from(c.nats.stream_replicas), 1, 5),
    range("nats.window_messages_max", |c| c.nats.window_messages_max as u64, 1, 1 << 20),
    range("nats.window_bytes_max", |c| c.nats.window_bytes_max, 1 << 20, 4 << 30),
    range("spool.bytes_max", |c| c.spool.bytes_max, 1 << 20, 1 << 50),
    range("spool.segment_bytes", |c| c.spool.segment_bytes, 1 << 20, 4 << 30),
    range("spool.commit_ms", |c| c.spool.commit_ms, 1, 60_000),
];

/// Durations that cannot be zero, and why.
struct NotZero {
    key: &'static str,
    value: fn(&Config) -> Duration,
    why: &'static str,
}

const fn not_zero(key: &'static str, value: fn(&Config) -> Duration, why: &'static str) -> NotZero {
    NotZero { key, value, why }
}

/// Nothing can be waited for in no time.
const TIME: &str = "give it time";

/// Stands for a duration without end.
const TIME_LONGEST: Duration = Duration::MAX;

static NOT_ZERO: &[NotZero] = &[
    not_zero("duration", |c| c.duration.unwrap_or(TIME_LONGEST), "give a time, or leave it out to run until a signal"),
    not_zero("stop_wait", |c| c.stop_wait, "the sinks need time for their last rows"),
    not_zero("parquet.file_age", |c| c.parquet.file_age, "files need time to fill"),
    not_zero("kafka.flush_period", |c| c.kafka.flush_period, TIME),
    not_zero("kafka.write_wait", |c| c.kafka.write_wait, TIME),
    not_zero("kafka.flush_wait", |c| c.kafka.flush_wait, TIME),
    not_zero("nats.flush_period", |c| c.nats.flush_period, TIME),
    not_zero("nats.write_wait", |c| c.nats.write_wait, TIME),
    not_zero("nats.flush_wait", |c| c.nats.flush_wait, TIME),
    not_zero("nats.connect_wait", |c| c.nats.connect_wait, TIME),
    not_zero("nats.ack_wait", |c| c.nats.ack_wait, TIME),
    not_zero("nats.duplicate_window", |c| c.nats.duplicate_window, TIME),
];

/// Each problem with its key; sentences that follow the name of the key.
pub(super) fn problems(config: &Config) -> Vec<(&'static str, String)> {
    let mut found: Vec<_> = RANGES.iter().filter_map(|range| out_of(range, config)).collect();
    if !config.ring_bytes.is_power_of_two() {
        let below = format_size(1 << config.ring_bytes.max(1).ilog2());
        found.push(("ring_bytes", format!("is {}: it must be a power of two, such as {below}", config.ring_bytes)));
    }
    let table = (config.processes_max * PROCESS_BYTES) as u64;
    if table > config.context_bytes_max / 2 {
        let needed = format_size((2 * table).next_power_of_two());
        let what =
            format!("is too little for {} processes: give {needed}, or fewer `processes_max`", config.processes_max);
        found.push(("context_bytes_max", what));
    }
    if config.batch_bytes_max > config.lane_bytes_max {
        found.push(("lane_bytes_max", "is less than `batch_bytes_max`: a sink could never take a batch".into()));
    }
    let zero = NOT_ZERO.iter().filter(|time| (time.value)(config).is_zero());
    found.extend(zero.map(|time| (time.key, format!("is zero: {}", time.why))));
    found.extend(spool(config));
    found.extend(listen(config));
    found.extend(config.selection().err().unwrap_or_default());
    found.extend(filter::problems(&config.filter));
    found.extend(names(config));
    found
}

/// A filter by names of containers needs somebody who asks for them.
fn names(config: &Config) -> Vec<(&'static str, String)> {
    if config.context && config.container_names {
        return Vec::new();
    }
    let lists = [
        ("filter.only_container", &config.filter.only_container),
        ("filter.except_container", &config.filter.except_container),
    ];
    let named = |(key, words): (&'static str, &Vec<String>)| {
        let word = words.iter().find(|word| !is_container_id(word))?;
        let what = "give an id, or leave `context` and `container_names` on";
        Some((key, format!("has the name `{word}`, and names are not asked for: {what}")))
    };
    lists.into_iter().filter_map(named).collect()
}

fn spool(config: &Config) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if config.spool.segment_bytes > config.spool.bytes_max {
        found.push(("spool.segment_bytes", "is more than `spool.bytes_max`: not one segment would fit".into()));
    }
    found
}

/// Only numbers: a name could stand for any address.
fn listen(config: &Config) -> Option<(&'static str, String)> {
    let address = config.listen.as_ref()?;
    address.parse::<SocketAddr>().is_err().then(|| {
        ("listen", format!("is `{address}`: give an address and a port, such as 127.0.0.1:9464 or [::1]:9464"))
    })
}

fn out_of(range: &Range, config: &Config) -> Option<(&'static str, String)> {
    let value = (range.value)(config);
    if (range.least..=range.most).contains(&value) {
        return None;
    }
    let is_size = KEYS.iter().any(|key| key.name == range.key && key.placeholder == "SIZE");
    let show = |number: u64| {
        if is_size { format_size(number) } else { number.to_string() }
    };
    Some((range.key, format!("is {}: it must be {} to {}", show(value), show(range.least), show(range.most))))
}

/// A list filter that holds more than the kernel's table.
pub(super) fn too_many(count: usize) -> Option<String> {
    (count > FILTER_VALUES_MAX).then(|| format!("has {count} values: at most {FILTER_VALUES_MAX} fit"))
}
