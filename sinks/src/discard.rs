//! A sink that takes everything and keeps nothing: for reading a log to its end, and for measurements.

use crate::{Batch, Progress, Receipt, Sink, SinkError};

/// Name of the sink in reports.
const NAME: &str = "discard";

/// Takes every row and forgets it.
#[derive(Debug, Default)]
pub struct Discard;

impl Sink for Discard {
    fn name(&self) -> &str {
        NAME
    }

    fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Ok(())
    }

    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        Ok(Receipt::default())
    }
}
