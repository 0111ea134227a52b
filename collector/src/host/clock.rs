//! The two clocks: CLOCK_BOOTTIME, which the probes stamp, and the wall clock, which people read.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Samples of which the one that took the least time counts.
const SAMPLES: usize = 5;

const NS_PER_S: i64 = 1_000_000_000;

/// CLOCK_BOOTTIME, ns.
pub fn boottime_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

/// Wall clock minus CLOCK_BOOTTIME, ns: what to add to a kernel time. Right to half the time between two readings of
/// one clock, well below a microsecond.
pub fn wall_offset_ns() -> i64 {
    let sample = || {
        let before = boottime_ns();
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        let after = boottime_ns();
        (after - before, wall - before - (after - before) / 2)
    };
    (0..SAMPLES).map(|_| sample()).min_by_key(|(width, _)| *width).map_or(0, |(_, offset)| offset)
}

/// What the time namespace of this process adds to CLOCK_BOOTTIME, ns; 0 in the initial one and where there are none.
pub(super) fn namespace_offset_ns() -> i64 {
    super::optional("/proc/self/timens_offsets").map_or(0, |text| parse_offsets(&text))
}

/// The form is `clock seconds nanoseconds`, a line per clock.
fn parse_offsets(text: &str) -> i64 {
    let offset = |line: &str| -> Option<i64> {
        let mut fields = line.split_whitespace();
        let clock = fields.next().filter(|clock| *clock == "boottime" || *clock == "7")?;
        let _ = clock;
        let (seconds, ns): (i64, i64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(seconds.saturating_mul(NS_PER_S).saturating_add(ns))
    };
    text.lines().find_map(offset).unwrap_or(0)
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(NS_PER_S).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_a_time_namespace_are_read() {
        assert_eq!(parse_offsets("monotonic           0         0\nboottime            0         0\n"), 0);
        assert_eq!(parse_offsets("monotonic 1 0\nboottime -2 500\n"), -2 * NS_PER_S + 500);
        assert_eq!(parse_offsets(""), 0);
    }

    #[test]
    fn kernel_time_plus_the_offset_is_the_wall_clock() {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let by_offset = boottime_ns() + wall_offset_ns();
        let difference = i128::from(by_offset) - wall.as_nanos() as i128;
        // A second is far more than a busy machine needs between the lines, and far less than a wrong clock is off.
        assert!((0..i128::from(NS_PER_S)).contains(&difference), "{difference} ns");
    }
}
