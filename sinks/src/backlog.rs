//! Where a lane finds cuts that it had no room for, and those that it has to write again: the spool, or a capture.

use std::io;
use std::sync::Arc;

use crate::{Cut, Progress};

/// The log of cuts as one lane sees it.
pub trait Backlog: Send {
    /// The cut with this number, or a later one that stands for it and all between ([`Cut::damaged`]); `None` while it is not
    /// there.
    ///
    /// # Errors
    /// When the log cannot be read now; the lane tries again. Of kind [`io::ErrorKind::InvalidData`] when it never can: the lane
    /// ends there.
    fn read(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>>;

    /// Everything below `progress.next_cut` is durable at the destination: the log may forget it once all lanes say so, and
    /// a restart goes on there.
    ///
    /// # Errors
    /// When the position cannot be stored; what is delivered then may be delivered once more after a restart.
    fn passed(&mut self, progress: &Progress) -> io::Result<()>;
}

/// A lane's part of a log.
pub struct BacklogOptions {
    /// The log.
    pub log: Box<dyn Backlog>,
    /// Names the log: a position of another log means nothing.
    pub log_id: String,
    /// Where the lane stood when it was stopped or killed; `None` for a lane that begins.
    pub progress: Option<Progress>,
    /// Number of the first cut that the lane is to have, without a `progress`.
    pub first: u64,
    /// Number of the first cut that will be sent: those below come from the log.
    pub first_sent: u64,
    /// The log no longer has what came behind `progress` as it was stored: it begins later.
    pub skipped: bool,
    /// Every cut is in the log before it is sent; else only those are that found no room in the queue.
    pub complete: bool,
}
