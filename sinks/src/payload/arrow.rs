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
use super::{Compression, Limits, Message, Messages};
use crate::Batch;
use crate::json::Page;

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
        limits: Limits,
        out: &mut Messages,
    ) -> Result<usize, ArrowError> {
        let options = self.options.as_ref().map_err(|error| ArrowError::IpcError(error.clone()))?;
        let size = &mut self.sizes[batch.class.id.index()];
        let stream = Stream { schema: Arc::clone(&size.schema), options };
        if size.empty == 0 {
            stream.write(&RecordBatch::new_empty(Arc::clone(&size.schema)), usize::MAX, &mut out.page)?;
            size.empty = out.page.len();
            out.page.truncate(0);
        }
        let mut next = rows.start;
        while next < rows.end && out.page.len() < limits.buffer_bytes {
            let start = out.page.len();
            let mut n = size.rows_to_try(rows.end - next, limits.bytes_max);
            while !stream.write(&part(batch, next, n)?, bytes_max(n, limits), &mut out.page)? {
                n = n.div_ceil(2);
            }
            size.learn(n, out.page.len() - start);
            out.list.push(Message { start, end: out.page.len(), first_row: next, rows: n });
            next += n;
        }
        Ok(next)
    }
}

/// Some rows of the batch, without what only others need.
fn part(batch: &Batch, first_row: usize, rows: usize) -> Result<RecordBatch, ArrowError> {
    if rows == batch.rows.num_rows() {
        return Ok(batch.rows.clone());
    }
    compacted(&batch.rows.slice(first_row, rows))
}

/// A row that is too large stands alone.
fn bytes_max(rows: usize, limits: Limits) -> usize {
    if rows == 1 { usize::MAX } else { limits.bytes_max }
}

/// How streams of one class are written.
struct Stream<'a> {
    schema: SchemaRef,
    options: &'a IpcWriteOptions,
}

impl Stream<'_> {
    /// Appends a stream of at most `bytes_max` bytes; else false, and the page is as before.
    fn write(&self, rows: &RecordBatch, bytes_max: usize, page: &mut Page) -> Result<bool, ArrowError> {
        let start = page.len();
        let mut out = Limited { end_max: start.saturating_add(bytes_max), full: false, page };
        let written = self.write_all(rows, &mut out);
        if out.full {
            page.truncate(start);
            return Ok(false);
        }
        written.map(|()| true)
    }

    fn write_all(&self, rows: &RecordBatch, out: &mut Limited<'_>) -> Result<(), ArrowError> {
        let mut writer = StreamWriter::try_new_with_options(out, &self.schema, self.options.clone())?;
        writer.write(rows)?;
        writer.finish()
    }
}

/// A buffer that takes no byte beyond its end, so that a message that is too large is given up early.
struct Limited<'a> {
    page: &'a mut Page,
    end_max: usize,
    full: bool,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full = bytes.len() > self.end_max - self.page.len();
        if self.full {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the message is full"));
        }
        self.page.push_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
