//! What makes a configuration invalid although every value is readable: a loop over ranges, then the rules between keys.

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
    range("processes_max", |c| c.processes_max as u64, 64, 1 << 22),
    range("followed_max", |c| u64::from(c.followed_max), 64, 1 << 22),
    range("lane_cuts_max", |c| c.lane_cuts_max as u64, 1, 65_536),
    range("lane_bytes_max", |c| c.lane_bytes_max, 64 << 10, 64 << 30),
    range("parquet.file_rows_max", |c| c.parquet.file_rows_max, 1, 1 << 40),
    range("parquet.file_bytes_max", |c| c.parquet.file_bytes_max, 64 << 10, 1 << 40),
    range("parquet.zstd_level", |c| u64::from(c.parquet.zstd_level), 1, 22),
];

/// Each problem with its key; sentences that follow the name of the key.
pub(super) fn problems(config: &Config) -> Vec<(&'static str, String)> {
    let mut found: Vec<_> = RANGES.iter().filter_map(|range| out_of(range, config)).collect();
    if !config.ring_bytes.is_power_of_two() {
        let below = format_size(1 << config.ring_bytes.max(1).ilog2());
        found.push(("ring_bytes", format!("is {}: it must be a power of two, such as {below}", config.ring_bytes)));
    }
    if config.batch_bytes_max > config.lane_bytes_max {
        found.push(("lane_bytes_max", "is less than `batch_bytes_max`: a sink could never take a batch".into()));
    }
    if config.duration.is_some_and(|duration| duration.is_zero()) {
        found.push(("duration", "is zero: give a time, or leave it out to run until a signal".into()));
    }
    if config.parquet.file_age.is_zero() {
        found.push(("parquet.file_age", "is zero: files need time to fill".into()));
    }
    found.extend(config.selection().err().unwrap_or_default());
    found.extend(filter::problems(&config.filter));
    found
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
