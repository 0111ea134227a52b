//! Messages for brokers: the rows of a batch as JSON, JSON lines or Arrow IPC streams, cut to the size that a broker takes.
//!
//! Every message says by itself what it is: class, schema version and the identity of its rows. All messages of a batch
//! stand in one buffer, so that a client library can be handed ranges of it.

mod arrow;
mod compact;
mod identity;
mod lines;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use identity::{RowIdentity, identity_of, tallies};

use crate::json::{JsonRows, Page, Scratch};
use crate::{Batch, SinkError};
use arrow::ArrowWriter;

/// The buffer is given back beyond this many bytes, so that one huge batch does not hold memory for good.
const BUFFER_BYTES_KEPT: usize = 32 << 20;

/// Form of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadFormat {
    /// One event a message: an object, without a line end.
    Json,
    /// Many events a message: an object per line, each ended by `\n`.
    JsonLines,
    /// Many events a message: a whole Arrow IPC stream (schema, dictionaries, one record batch, end).
    Arrow,
}

/// Compression of the buffers of Arrow IPC; JSON is left to the client library, which compresses many messages at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// As they are.
    None,
    /// LZ4 frames.
    Lz4,
    /// zstd, level 1.
    Zstd,
}

/// How messages are made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PayloadOptions {
    /// Form of the messages.
    pub format: PayloadFormat,
    /// Of Arrow IPC alone.
    pub compression: Compression,
    /// Largest message, bytes. A row that is larger by itself is a message of its own, for the destination to refuse.
    pub bytes_max: usize,
    /// JSON lines in a message, at least 1.
    pub lines_max: usize,
}

/// One message: a range of the buffer, and the rows that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// First byte in the buffer.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// First row of the batch.
    pub first_row: usize,
    /// How many rows.
    pub rows: usize,
}

/// Makes messages of batches, in buffers that are used again.
pub struct Payloads {
    options: PayloadOptions,
    out: Messages,
    json: Scratch,
    arrow: ArrowWriter,
}

/// Where to cut.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Of a message.
    bytes_max: usize,
    /// JSON lines of a message.
    lines_max: usize,
    /// No further row is begun when the buffer holds this much.
    buffer_bytes: usize,
}

/// What was made of the last batch.
#[derive(Debug, Default)]
struct Messages {
    page: Page,
    list: Vec<Message>,
}

impl Payloads {
    /// Without any message so far.
    pub fn new(options: PayloadOptions) -> Payloads {
        let arrow = ArrowWriter::new(options.compression);
        Payloads { options, out: Messages::default(), json: Scratch::default(), arrow }
    }

    /// Messages from here on are at most so long.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.options.bytes_max = bytes_max;
    }

    /// Encodes all rows, in place of the messages before. Messages are in row order; every row is in exactly one; each is
    /// at most `bytes_max` long unless a single row is larger.
    ///
    /// # Errors
    /// [`SinkError::Refused`] if the rows cannot be written in this format, whenever tried; there are no messages then.
    pub fn encode(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.encode_rows(batch, 0..batch.rows.num_rows(), usize::MAX).map(|_| ())
    }

    /// Encodes rows from the first of the range on, until the buffer holds `buffer_bytes` or more, and returns the row to
    /// go on with: a bound on memory for rows that are much larger as messages than in the batch, where they share their
    /// texts. At least one message is made of a range that is not empty.
    ///
    /// # Errors
    /// As [`Payloads::encode`].
    pub fn encode_rows(&mut self, batch: &Batch, rows: Range<usize>, buffer_bytes: usize) -> Result<usize, SinkError> {
        self.clear();
        let PayloadOptions { format, bytes_max, lines_max, .. } = self.options;
        let limits = Limits { bytes_max, lines_max, buffer_bytes };
        if format == PayloadFormat::Arrow {
            return self.arrow.streams(batch, rows, limits, &mut self.out).map_err(|error| {
                self.clear();
                let what = format!("{} rows of class {}", batch.rows.num_rows(), batch.class.name);
                SinkError::Refused(format!("writing {what} as Arrow IPC: {error}"))
            });
        }
        let mut json = JsonRows::new(batch, std::mem::take(&mut self.json));
        let next = match format {
            PayloadFormat::Json => lines::events(&mut json, rows, limits, &mut self.out),
            _ => lines::lines(&mut json, rows, limits, &mut self.out),
        };
        self.json = json.into_scratch();
        Ok(next)
    }

    fn clear(&mut self) {
        self.out.page.clear(BUFFER_BYTES_KEPT);
        self.out.list.clear();
    }

    /// The messages of the last batch.
    pub fn messages(&self) -> &[Message] {
        &self.out.list
    }

    /// The bytes of one of them.
    pub fn bytes(&self, message: &Message) -> &[u8] {
        &self.buffer()[message.start..message.end]
    }

    /// The buffer that all messages are ranges of.
    pub fn buffer(&self) -> &[u8] {
        self.out.page.as_bytes()
    }
}
