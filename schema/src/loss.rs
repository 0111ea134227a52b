//! Why a number has no row: the reasons of class `loss`.

/// Value of column `cpu` in rows that the collector makes: the same in every sink.
pub const CPU_COLLECTOR: i32 = -1;

/// Value of column `cpu` in rows that a sink's lane makes: numbered per sink.
pub const CPU_SINK: i32 = -2;

/// Reason of a gap. Numbers that were given once are not given again: positions of sinks have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The ring gave no room: it was full (for lesser records: full outside of what is kept for process records), or a probe in
    /// a non-maskable interrupt met the ring's own lock, which the kernel does not tell apart.
    RingFull = 1,
    /// The kernel skipped a probe that was interrupted by itself; such an attempt took no number.
    ProbeReentered = 4,
    /// The bytes of the record do not fit its definition.
    BadRecord = 5,
    /// The sink's queue was full.
    LaneFull = 6,
    /// The sink refused the rows or failed for good.
    SinkRefused = 7,
    /// The spool had no room.
    SpoolFull = 8,
    /// The collector stopped: with `count` 0 the end of the sequence, complete up to here.
    Shutdown = 9,
    /// The sink's class selection or a filter left the rows out.
    NotSelected = 10,
    /// The CPU had no ring (it came online a moment ago).
    NoRing = 11,
    /// A filter's table was full, so a child process could not be followed.
    FilterFull = 12,
    /// The spool's files were damaged, and what the rows were cannot be read.
    SpoolDamaged = 13,
}

/// Reasons and their names in column `reason`.
pub static REASONS: &[(Reason, &str)] = &[
    (Reason::RingFull, "ring_full"),
    (Reason::ProbeReentered, "probe_reentered"),
    (Reason::BadRecord, "bad_record"),
    (Reason::LaneFull, "lane_full"),
    (Reason::SinkRefused, "sink_refused"),
    (Reason::SpoolFull, "spool_full"),
    (Reason::Shutdown, "shutdown"),
    (Reason::NotSelected, "not_selected"),
    (Reason::NoRing, "no_ring"),
    (Reason::FilterFull, "filter_full"),
    (Reason::SpoolDamaged, "spool_damaged"),
];

impl Reason {
    /// Position in [`REASONS`].
    pub fn index(self) -> usize {
        REASONS.iter().position(|(reason, _)| *reason == self).unwrap_or_default()
    }

    /// Name in column `reason`.
    pub fn name(self) -> &'static str {
        REASONS[self.index()].1
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Reason> {
        REASONS.iter().find(|(reason, _)| *reason as u8 == number).map(|(reason, _)| *reason)
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Reason> {
        REASONS.iter().find(|(_, n)| *n == name).map(|(reason, _)| *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_by_number_and_name() {
        for (i, (reason, name)) in REASONS.iter().enumerate() {
            assert_eq!(reason.index(), i);
            assert_eq!(Reason::from_number(*reason as u8), Some(*reason));
            assert_eq!(Reason::from_name(name), Some(*reason));
        }
    }
}
