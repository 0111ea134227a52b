//! The sink for standard output and the like: JSON lines or a table, written out with every cut.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::json::{Page, write_parts};
use crate::table::{Table, TableStyle};
use crate::{Batch, Progress, Receipt, Sink, SinkError};

/// Between two flushes, which put checkpoint rows behind what was written; none while nothing is written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);

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

/// The lines that are being written.
enum Lines {
    Json(Page),
    Table(Table, Vec<u8>),
}

/// Writes rows to a stream. What is written cannot be taken back, so every failure is final.
pub struct StdoutSink {
    name: String,
    stream: Box<dyn Write + Send>,
    lines: Lines,
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
        let lines = match format {
            Format::Json => Lines::Json(Page::default()),
            Format::Table => Lines::Table(Table::new(style), Vec::new()),
        };
        StdoutSink { name: "stdout".to_owned(), stream, lines, closed: Closed::default(), written: None }
    }

    /// With another [`Sink::name`].
    pub fn named(self, name: impl Into<String>) -> StdoutSink {
        StdoutSink { name: name.into(), ..self }
    }

    /// Tells whether the reader is gone, when the sink itself is with its lane.
    pub fn closed(&self) -> Closed {
        self.closed.clone()
    }

    fn failed(&self, error: &std::io::Error) -> SinkError {
        if error.kind() == ErrorKind::BrokenPipe {
            self.closed.0.store(true, Ordering::Release);
            return SinkError::Gone("stdout was closed".into());
        }
        SinkError::Fatal(format!("writing rows to stdout: {error}"))
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
        self.written.get_or_insert_with(Instant::now);
        let stream = &mut self.stream;
        let put = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush());
        let written = match &mut self.lines {
            Lines::Json(page) => write_parts(batches, page, put),
            Lines::Table(table, lines) => table.write_parts(batches, lines, put),
        };
        written.map_err(|error| self.failed(&error))
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
