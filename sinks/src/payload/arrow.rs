//! Arrow IPC: every message is a stream of its own.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use weir_schema::{CLASSES, Class, SCHEMA_VERSION};

use super::compact::compacted;
use super::{Compression, Message};
use crate::Batch;

/// Key of the class's name in the metadata of the schema.
const CLASS_KEY: &str = "weir.class";
/// Key of the version of the columns.
const VERSION_KEY: &str = "weir.schema_version";

/// Level of zstd: the next ones save little and cost much.
const ZSTD_LEVEL: i32 = 1;
/// Bytes of a row before any was seen.
const ROW_BYTES_FIRST: usize = 256;
/// In messages of fewer rows the padding of the buffers weighs so much that they say nothing about larger ones.
const ROWS_TELLING: usize = 32;
/// Messages are planned to be this much smaller than the largest allowed: rows differ.
const SPARE_DIVISOR: usize = 8;

/// Writes streams, and remembers how large the rows of each class are.
pub(super) struct ArrowWriter {
    options: Result<IpcWriteOptions, String>,
    /// By [`weir_schema::ClassId::index`].
    sizes: Vec<Size>,
}

/// What the messages of a class are made of.
struct Size {
    schema: SchemaRef,
    /// Bytes of a message without any row; 0 before the first.
    empty: usize,
    /// Bytes of a row: grows at once, and shrinks by half of the difference.
    row: usize,
}

impl Size {
    fn of(class: &Class) -> Size {
        let metadata = HashMap::from([
            (CLASS_KEY.to_owned(), class.name.to_owned()),
            (VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string()),
        ]);
        let fields = weir_schema::arrow::schema(class.id).fields().clone();
        Size { schema: Arc::new(Schema::new_with_metadata(fields, metadata)), empty: 0, row: ROW_BYTES_FIRST }
    }

    /// How many rows to try at once, of `left`: parts of the same size.
    fn rows_to_try(&self, left: usize, bytes_max: usize) -> usize {
        let room = bytes_max.saturating_sub(self.empty);
        let fit = ((room - room / SPARE_DIVISOR) / self.row).max(1);
        left.div_ceil(left.div_ceil(fit).max(1))
    }

    fn learn(&mut self, rows: usize, bytes: usize) {
        let row = bytes.saturating_sub(self.empty).div_ceil(rows).max(1);
        if row <= self.row {
            self.row = row.midpoint(self.row);
        } else if rows >= ROWS_TELLING {
            self.row = row;
        }
    }
}

fn options(compression: Compression) -> Result<IpcWriteOptions, ArrowError> {
    let options = IpcWriteOptions::default();
    match compression {
        Compression::None => Ok(options),
        Compression::Lz4 => options.try_with_compression(Some(CompressionType::LZ4_FRAME)),
        Compression::Zstd => options
            .try_with_compression(Some(CompressionType::ZSTD))
            .and_then(|options| options.try_with_compression_level(Some(ZSTD_LEVEL))),
    }
}

impl ArrowWriter {
    pub fn new(compression: Compression) -> ArrowWriter {
        let options = options(compression).map_err(|error| error.to_string());
        ArrowWriter { options, sizes: CLASSES.iter().map(|class| Size::of(class)).collect() }
    }

    /// Streams of as many rows as fit. Returns the row to go on with.
    pub fn streams(
        &mut self,
        batch: &Batch,
        rows: Range<usize>,
        bytes_max: usize,
        buffer_bytes: usize,
        (buffer, messages): (&mut Vec<u8>, &mut Vec<Message>),
    ) -> Result<usize, ArrowError> {
        let options = self.options.as_ref().map_err(|error| ArrowError::IpcError(error.clone()))?;
        let size = &mut self.sizes[batch.class.id.index()];
        if size.empty == 0 {
            let empty = RecordBatch::new_empty(Arc::clone(&size.schema));
            stream(&empty, &size.schema, options, &mut Limited { buffer, end_max: usize::MAX, full: false })?;
            size.empty = buffer.len();
            buffer.clear();
        }
        let mut next = rows.start;
        while next < rows.end && buffer.len() < buffer_bytes {
            let mut n = size.rows_to_try(rows.end - next, bytes_max);
            let start = buffer.len();
            loop {
                // A row that is too large stands alone.
                let end_max = if n == 1 { usize::MAX } else { start.saturating_add(bytes_max) };
                let mut part = batch.rows.slice(next, n);
                if n < batch.rows.num_rows() {
                    part = compacted(&part)?;
                }
                let mut limited = Limited { buffer, end_max, full: false };
                match stream(&part, &size.schema, options, &mut limited) {
                    Ok(()) => break,
                    Err(_) if limited.full => n = n.div_ceil(2),
                    Err(error) => return Err(error),
                }
                buffer.truncate(start);
            }
            size.learn(n, buffer.len() - start);
            messages.push(Message { start, end: buffer.len(), first_row: next, rows: n });
            next += n;
        }
        Ok(next)
    }
}

fn stream(
    rows: &RecordBatch,
    schema: &Schema,
    options: &IpcWriteOptions,
    out: &mut Limited<'_>,
) -> Result<(), ArrowError> {
    let mut writer = StreamWriter::try_new_with_options(out, schema, options.clone())?;
    writer.write(rows)?;
    writer.finish()
}

/// A buffer that takes no byte beyond its end, so that a message that is too large is given up early.
struct Limited<'a> {
    buffer: &'a mut Vec<u8>,
    end_max: usize,
    full: bool,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full = bytes.len() > self.end_max - self.buffer.len();
        if self.full {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the message is full"));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
