//! The spool: cuts on disk, so that a sink that lags or is away loses nothing, and a killed collector goes on where it stopped.
//!
//! A log is a directory of segments ([`segment`]), each a header and frames ([`frame`]). One thread writes it ([`committer`], [`overflow`]);
//! every sink reads it by numbers of cuts ([`reader`]) and keeps its position in a small file ([`cursor`]). A capture is the
//! same directory, kept.

mod bridge;
pub mod committer;
pub mod cursor;
pub mod edit;
pub mod frame;
pub mod info;
pub mod log;
pub mod mend;
pub mod overflow;
pub mod reader;
mod recover;
pub mod room;
pub mod segment;

pub use committer::{CommitOptions, CommitWatch, Committer};
pub use log::{Log, LogOptions, Recovered};
pub use overflow::Overflow;
pub use reader::{LogReader, SinkLog};
pub use room::WhenFull;

use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What others see of a run's log.
#[derive(Clone)]
pub struct Spooled {
    /// Its segments.
    pub shared: Arc<log::Shared>,
    /// Its commits, if every cut goes through it.
    pub commits: Option<Arc<CommitWatch>>,
}

impl Spooled {
    /// Bytes of all segments, syncs, rows given up, and 1 while it can be written.
    pub fn counts(&self) -> [f64; 4] {
        let count = |value: fn(&CommitWatch) -> u64| self.commits.as_ref().map_or(0, |c| value(c)) as f64;
        let up = self.commits.as_ref().is_none_or(|commits| commits.problem().is_none());
        [
            self.shared.bytes() as f64,
            count(|c| c.syncs.load(Ordering::Relaxed)),
            count(|c| c.dropped.load(Ordering::Relaxed)),
            f64::from(u8::from(up)),
        ]
    }
}

#[cfg(test)]
mod tests;
