//! Kernel time as wall-clock time.

use chrono::DateTime;

use super::report::Moment;

/// Wall clock minus CLOCK_BOOTTIME as the rows themselves give it; the last one seen counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clock {
    offset_ns: Option<i64>,
}

impl Clock {
    /// Learns from a row's `time` (µs since 1970) and `ktime_ns`.
    pub fn sample(&mut self, time_us: i64, ktime_ns: i64) {
        self.offset_ns = time_us.checked_mul(1_000).and_then(|ns| ns.checked_sub(ktime_ns));
    }

    /// Whether any row has told the offset.
    pub fn is_set(&self) -> bool {
        self.offset_ns.is_some()
    }

    /// A kernel time with its wall-clock time.
    pub fn moment(&self, ktime_ns: i64) -> Moment {
        let time = self
            .offset_ns
            .and_then(|offset| ktime_ns.checked_add(offset))
            .map(|ns| DateTime::from_timestamp_nanos(ns).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
        Moment { ktime_ns, time }
    }
}

/// Microseconds since 1970 of an RFC 3339 text.
pub fn parse_us(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_time_is_told_as_wall_clock_time_of_the_rows() {
        let mut clock = Clock::default();
        assert_eq!(clock.moment(5).time, None);
        let us = parse_us("2026-11-20T13:42:07.123456Z").expect("a valid time");
        clock.sample(us, 1_000_000);
        assert_eq!(clock.moment(3_000_000).time.as_deref(), Some("2026-11-20T13:42:07.125456Z"));
    }
}
