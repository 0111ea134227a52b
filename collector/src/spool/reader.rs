//! Reads the log by numbers of cuts, mostly one behind the other.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use weir_sinks::{Backlog, Cut, Progress};

use super::log::{Shared, write_whole};
use super::segment::{Found, SegmentReader};

/// One reader of a log.
pub struct LogReader {
    shared: Arc<Shared>,
    open: Option<(u64, SegmentReader)>,
    /// Number of the cut that the open segment gives next, if it was looked at.
    ahead: Option<u64>,
    /// Number of the cut that was read last from it.
    last: Option<u64>,
}

impl LogReader {
    /// A reader at the beginning.
    pub fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared, open: None, ahead: None, last: None }
    }

    /// The cut with this number; `None` if the log does not have it (yet).
    ///
    /// # Errors
    /// When the log cannot be read, or is damaged there.
    pub fn cut(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>> {
        if number >= self.shared.readable() {
            return Ok(None);
        }
        let Some(segment) = self.shared.segment_of(number) else { return Ok(None) };
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", segment.path.display()));
        let is_behind = self.ahead.is_some_and(|ahead| ahead > number) || self.last.is_some_and(|last| last >= number);
        if self.open.as_ref().is_none_or(|(first, _)| *first != segment.first) || is_behind {
            self.open = Some((segment.first, SegmentReader::open(&segment.path).map_err(at)?));
            (self.ahead, self.last) = (None, None);
        }
        let Some((_, reader)) = &mut self.open else { return Ok(None) };
        loop {
            let found = match self.ahead.take() {
                Some(found) => found,
                None => match reader.advance().map_err(at)? {
                    Found::Cut(found) => found,
                    Found::End => return Ok(None),
                    Found::Torn(why) => {
                        self.open = None;
                        let text = format!("{why}; `weir spool check` says more");
                        return Err(at(io::Error::new(io::ErrorKind::InvalidData, text)));
                    }
                },
            };
            if found == number {
                self.last = Some(number);
                return reader.cut().map(Some).map_err(at);
            }
            if found > number {
                self.ahead = Some(found);
                return Ok(None);
            }
        }
    }
}

/// A sink's part of the log: reads, and keeps the sink's position in a file.
pub struct SinkLog {
    reader: LogReader,
    shared: Arc<Shared>,
    sink: String,
    /// `None`: the position is not kept, because the log does not outlive this run.
    cursor: Option<PathBuf>,
}

impl SinkLog {
    /// Begins at `next_cut`.
    pub fn new(shared: &Arc<Shared>, sink: &str, next_cut: u64, cursor: Option<PathBuf>) -> SinkLog {
        shared.need(sink, next_cut);
        let reader = LogReader::new(Arc::clone(shared));
        SinkLog { reader, shared: Arc::clone(shared), sink: sink.to_owned(), cursor }
    }
}

impl Backlog for SinkLog {
    fn read(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>> {
        self.reader.cut(number)
    }

    fn passed(&mut self, progress: &Progress) -> io::Result<()> {
        if let Some(path) = &self.cursor {
            write_whole(path, &serde_json::to_vec(progress)?)?;
        }
        self.shared.need(&self.sink, progress.next_cut);
        Ok(())
    }
}
