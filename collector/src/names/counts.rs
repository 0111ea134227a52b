//! What became of the ids.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start. `asked` is the sum of `found`, `unknown`, `failed` and what is still under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Look-ups taken on.
    pub asked: u64,
    /// A runtime knew the container.
    pub found: u64,
    /// All runtimes answered, and none knew it.
    pub unknown: u64,
    /// A runtime could not be asked, or refused.
    pub failed: u64,
    /// Not taken on, as too many were waiting.
    pub dropped: u64,
}

/// The counts while they grow.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub asked: Count,
    pub found: Count,
    pub unknown: Count,
    pub failed: Count,
    pub dropped: Count,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            asked: self.asked.get(),
            found: self.found.get(),
            unknown: self.unknown.get(),
            failed: self.failed.get(),
            dropped: self.dropped.get(),
        }
    }
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
