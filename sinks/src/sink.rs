//! The one trait of all destinations.

use std::time::Instant;

use crate::{Batch, SinkError};

/// A destination. Only [`Sink::flush`] makes rows durable; one thread owns a sink.
///
/// After any error the sink drops what it accepted since the last flush that succeeded: the lane counts those rows as
/// lost, uses the numbers of its own rows among them again, and writes on.
pub trait Sink: Send {
    /// Short name for logs and the ledger, such as `parquet`.
    fn name(&self) -> &str;

    /// Accepts the rows of a batch.
    ///
    /// # Errors
    /// Everything accepted since the last flush counts as lost when this fails.
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Accepts the batches of one cut at once, for a sink that puts rows of several classes in one order.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn write_cut(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        batches.iter().try_for_each(|batch| self.write(batch))
    }

    /// Whether the sink should be flushed now (files full, hour over), asked after every cut and at [`Sink::flush_due`].
    fn wants_flush(&self, now: Instant) -> bool;

    /// When to ask [`Sink::wants_flush`] again without a further cut; `None` while nothing is open, so that an idle
    /// machine has no timer.
    fn flush_due(&self) -> Option<Instant>;

    /// Makes everything accepted so far durable and visible at once.
    ///
    /// # Errors
    /// Everything accepted since the last flush counts as lost.
    fn flush(&mut self) -> Result<(), SinkError>;
}
