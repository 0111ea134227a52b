//! The sink for standard output and the like: JSON lines or a table, written out with every cut.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::table::{Table, TableStyle};
use crate::{Batch, Progress, Receipt, Sink, SinkError, json};

/// Between two flushes, which put checkpoint rows behind what was written; none while nothing is written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);

/// The buffer of lines is given back beyond this many bytes, so that one huge cut does not hold memory for good.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object per line.
    Json,
    /// Columns for people, without checkpoints and ends.
    Table,
}

/// Says from another thread whether the reader is gone.
#[derive(Debug, Clone, Default)]
pub struct Closed(Arc<AtomicBool>);

impl Closed {
    /// Whether a write found the stream closed (`EPIPE`): the run should end without an error of its own.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Writes rows to a stream. What is written cannot be taken back, so every failure is final.
pub struct StdoutSink {
    name: String,
    stream: Box<dyn Write + Send>,
    table: Option<Table>,
    buffer: Vec<u8>,
    closed: Closed,
    /// Since when there are rows without a checkpoint behind them.
    written: Option<Instant>,
}

impl StdoutSink {
    /// For a pipe or a file: tables neither coloured nor cut.
    pub fn new(format: Format, stream: Box<dyn Write + Send>) -> StdoutSink {
        StdoutSink::with_style(format, TableStyle::default(), stream)
    }

    /// With the style of a table.
    pub fn with_style(format: Format, style: TableStyle, stream: Box<dyn Write + Send>) -> StdoutSink {
        let table = (format == Format::Table).then(|| Table::new(style));
        StdoutSink {
            name: "stdout".to_owned(),
            stream,
            table,
            buffer: Vec::new(),
            closed: Closed::default(),
            written: None,
        }
    }

    /// With another [`Sink::name`].
    pub fn named(self, name: impl Into<String>) -> StdoutSink {
        StdoutSink { name: name.into(), ..self }
    }

    /// Tells whether the reader is gone, when the sink itself is with its lane.
    pub fn closed(&self) -> Closed {
        self.closed.clone()
    }

    fn put(&mut self) -> Result<(), SinkError> {
        let result = self.stream.write_all(&self.buffer).and_then(|()| self.stream.flush());
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_MAX);
        result.map_err(|error| {
            if error.kind() == ErrorKind::BrokenPipe {
                self.closed.0.store(true, Ordering::Release);
                return SinkError::Gone("stdout was closed".into());
            }
            SinkError::Fatal(format!("writing rows to stdout: {error}"))
        })
    }
}

impl Sink for StdoutSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.write_cut(&[batch])
    }

    fn write_cut(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        match &mut self.table {
            Some(table) => table.write(batches, &mut self.buffer),
            None => json::write_merged(batches, &mut self.buffer),
        }
        self.written.get_or_insert_with(Instant::now);
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.put()
    }

    fn wants_flush(&self, now: Instant) -> bool {
        self.flush_due().is_some_and(|due| now >= due)
    }

    fn flush_due(&self) -> Option<Instant> {
        self.written.map(|at| at + FLUSH_INTERVAL)
    }

    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        self.written = None;
        Ok(Receipt::default())
    }
}
