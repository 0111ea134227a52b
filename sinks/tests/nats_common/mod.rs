//! A real nats-server for the tests of the NATS sink, and what they need around it.
#![allow(dead_code, unused_imports, reason = "every test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "../parquet_common/mod.rs"]
pub mod rows;

mod proxy;
mod stored;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
pub use proxy::Proxy;
pub use stored::{Stored, json_of, lines_of};
use weir_sinks::nats::{NatsOptions, Window};
use weir_sinks::payload::{Compression, PayloadFormat, PayloadOptions};
use weir_sinks::{Batch, NatsSink, Progress, Receipt, Sink, SinkError};
pub use weir_tests::brokers::nats::Server;

/// `count` rows of class `file` from row `first` on, as a build makes them, with numbers that no other row has.
pub fn file_batch(first: usize, count: usize) -> Batch {
    let Batch { class, rows } = rows::file_rows(&mut rows::Random(first as u64 + 1), first as i64, count);
    let numbers = Int64Array::from_iter_values(first as i64..(first + count) as i64);
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of("seq").unwrap()] = Arc::new(numbers);
    Batch { class, rows: RecordBatch::try_new(rows.schema(), columns).unwrap() }
}

/// Longest that anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at something that cannot be waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Repeats until there is a result; the machine may be slow, but not for ever.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not happen within {PATIENCE:?}");
        thread::sleep(LOOK);
    }
}

/// Options for a server, with short waits.
pub fn options(url: &str, dir: &std::path::Path, format: PayloadFormat) -> NatsOptions {
    NatsOptions {
        servers: vec![url.to_owned()],
        payload: PayloadOptions { format, compression: Compression::Lz4, bytes_max: 1 << 20, lines_max: 100 },
        window: Window { messages: 256, bytes: 4 << 20 },
        ack_wait: Duration::from_secs(1),
        write_wait: Duration::from_millis(200),
        flush_wait: Duration::from_millis(500),
        connect_wait: Duration::from_millis(500),
        create_stream: Some(Default::default()),
        dead_letters: dir.join("dead"),
        ..NatsOptions::default()
    }
}

/// Opens a sink for the rows of [`rows`].
pub fn open(options: NatsOptions) -> NatsSink {
    NatsSink::open(options, &rows::identity().host, None).unwrap()
}

/// What a lane with a spool does: it holds what is not flushed, and writes it again when the sink has dropped it.
pub struct Writer {
    pub sink: NatsSink,
    held: Vec<Batch>,
    cuts: u64,
    /// Every error that was not a wait.
    pub errors: Vec<String>,
    /// How often the sink asked to wait.
    pub waits: usize,
}

impl Writer {
    pub fn new(sink: NatsSink) -> Writer {
        Writer { sink, held: Vec::new(), cuts: 0, errors: Vec::new(), waits: 0 }
    }

    /// One attempt to write a cut of one batch.
    pub fn try_write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.sink.write_cut(&[batch])?;
        self.held.push(batch.clone());
        self.cuts += 1;
        Ok(())
    }

    /// Writes until the sink has taken it.
    pub fn write(&mut self, batch: &Batch) {
        until("the write", || {
            let written = self.try_write(batch);
            self.noted(written)
        });
    }

    /// Flushes until that succeeds.
    pub fn flush(&mut self) -> Receipt {
        let receipt = until("the flush", || {
            let flushed = self.sink.flush(&self.progress());
            self.noted(flushed)
        });
        self.held.clear();
        receipt
    }

    /// Writes until the sink says, with these words, why that has to wait.
    pub fn waits_for(&mut self, batch: &Batch, words: &str) -> String {
        until(words, || match self.try_write(batch) {
            Err(SinkError::Wait(reason)) => reason.to_lowercase().contains(words).then_some(reason),
            other => panic!("{other:?} where \"{words}\" was to be waited for"),
        })
    }

    /// One attempt to flush.
    pub fn sink_flush(&mut self) -> Result<(), SinkError> {
        self.sink.flush(&self.progress()).map(|_| ())
    }

    pub fn progress(&self) -> Progress {
        let who = rows::identity();
        let mut progress = Progress::begins("", self.cuts);
        (progress.boot_id, progress.epoch, progress.own_seq) = (who.boot_id.to_string(), who.epoch, 3);
        progress
    }

    fn noted<T>(&mut self, result: Result<T, SinkError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(SinkError::Wait(_)) => {
                self.waits += 1;
                None
            }
            Err(SinkError::Retry(reason)) => {
                self.errors.push(reason);
                self.write_again();
                None
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn write_again(&mut self) {
        let mut next = 0;
        until("writing again", || {
            while let Some(batch) = self.held.get(next) {
                match self.sink.write_cut(&[batch]) {
                    Ok(()) => next += 1,
                    Err(SinkError::Wait(_)) => return None,
                    Err(SinkError::Retry(reason)) => {
                        self.errors.push(reason);
                        next = 0;
                        return None;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Some(())
        });
    }
}
