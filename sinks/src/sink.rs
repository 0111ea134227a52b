//! The one trait of all destinations.

use std::time::{Duration, Instant};

use crate::{Batch, Identity, Progress, SinkError, Tally};

/// What a flush has to say besides success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Rows that the destination refused for ever, one by one or in messages; they are in the dead letters, and the lane
    /// counts them as lost. All other rows accepted before the flush are durable.
    pub refused: Vec<Tally>,
}

/// A destination. Only [`Sink::flush`] makes rows durable; one thread owns a sink.
///
/// After any error but [`SinkError::Wait`] the sink drops what it accepted since the last flush that succeeded. The lane
/// writes it again if it still has it; else it counts those rows as lost, uses the numbers of its own rows among them
/// again, and writes on.
pub trait Sink: Send {
    /// Short name for logs and the ledger, such as `parquet`.
    fn name(&self) -> &str;

    /// How far the destination says that its data goes, for sinks that store the progress with the data; asked once,
    /// before the first write.
    ///
    /// # Errors
    /// [`SinkError::Retry`] when the destination cannot be asked now.
    fn read_back(&mut self) -> Result<Option<Progress>, SinkError> {
        Ok(None)
    }

    /// The rows from here on are of this stream, which is never called with anything open; before the first write too.
    ///
    /// # Errors
    /// When the sink cannot take rows of it.
    fn begin(&mut self, stream: &Identity) -> Result<(), SinkError> {
        let _ = stream;
        Ok(())
    }

    /// For sinks whose rows others see before the flush: how often the lane flushes, and, in stream time, how often it writes
    /// rows of its own. So what is written again after a failure is the same, the lane's own rows included.
    /// `None`: nobody sees anything before the flush, for which the sink asks itself.
    fn flush_period(&self) -> Option<Duration> {
        None
    }

    /// How many times a process of the sink's own died and another took its place.
    fn process_restarts(&self) -> u64 {
        0
    }

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
    /// Sinks with a [`Sink::flush_period`], or with nothing to make durable, never ask.
    fn wants_flush(&self, _now: Instant) -> bool {
        false
    }

    /// When to ask [`Sink::wants_flush`] again without a further cut; `None` while nothing is open, so that an idle
    /// machine has no timer.
    fn flush_due(&self) -> Option<Instant> {
        None
    }

    /// Makes everything accepted so far durable and visible, and `progress` with it where the destination can hold it.
    ///
    /// # Errors
    /// Everything accepted since the last flush is dropped, except after [`SinkError::Wait`].
    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError>;
}
