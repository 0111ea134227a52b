//! Kernel time as wall-clock time, and the times of a number's neighbours.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::report::Moment;

/// Numbers that share one entry of [`Times`]: a neighbour is named at most this many numbers too far away.
const BLOCK_BITS: u32 = 6;

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

/// One row's number and kernel time.
#[derive(Debug, Clone, Copy)]
struct At {
    seq: u64,
    ktime_ns: i64,
}

/// The lowest and the highest row of one block of numbers.
#[derive(Debug, Clone, Copy)]
struct Ends {
    low: At,
    high: At,
}

impl Ends {
    fn add(&mut self, at: At) {
        if at.seq < self.low.seq {
            self.low = at;
        }
        if at.seq > self.high.seq {
            self.high = at;
        }
    }
}

/// A sample of the kernel times of one CPU's rows, to say when a missing number must have been.
#[derive(Debug, Default)]
pub struct Times {
    blocks: BTreeMap<u64, Ends>,
    /// The block written last, kept out of the map because the next row is mostly in it too.
    open: Option<(u64, Ends)>,
}

impl Times {
    /// Adds a row.
    pub fn add(&mut self, seq: u64, ktime_ns: i64) {
        let (block, at) = (seq >> BLOCK_BITS, At { seq, ktime_ns });
        match &mut self.open {
            Some((open, ends)) if *open == block => ends.add(at),
            _ => {
                self.close();
                self.open = Some((block, Ends { low: at, high: at }));
            }
        }
    }

    fn close(&mut self) {
        if let Some((block, ends)) = self.open.take() {
            let kept = self.blocks.entry(block).or_insert(ends);
            kept.add(ends.low);
            kept.add(ends.high);
        }
    }

    /// Kernel time of the nearest known row below a number.
    pub fn below(&mut self, seq: u64) -> Option<i64> {
        self.close();
        let mut ends = self.blocks.range(..=seq >> BLOCK_BITS).rev().flat_map(|(_, e)| [e.high, e.low]);
        ends.find(|at| at.seq < seq).map(|at| at.ktime_ns)
    }

    /// Kernel time of the nearest known row above a number.
    pub fn above(&mut self, seq: u64) -> Option<i64> {
        self.close();
        let mut ends = self.blocks.range(seq >> BLOCK_BITS..).flat_map(|(_, e)| [e.low, e.high]);
        ends.find(|at| at.seq > seq).map(|at| at.ktime_ns)
    }
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

    #[test]
    fn neighbours_are_found_across_blocks_in_any_order_of_reading() {
        let mut times = Times::default();
        for seq in [900, 10, 300, 12, 5_000] {
            times.add(seq, seq as i64 * 100);
        }
        assert_eq!(times.below(11), Some(1_000));
        assert_eq!(times.above(11), Some(1_200));
        assert_eq!(times.below(299), Some(1_200));
        assert_eq!(times.above(901), Some(500_000));
        assert_eq!(times.below(10), None);
        assert_eq!(times.above(5_000), None);
    }
}
