//! From cuts to frames.

use std::io;
use std::ops::Range;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamEncoder;
use weir_schema::Class;
use weir_sinks::{Batch, Cut};

use super::{Kind, MESSAGE_PREFIX_BYTES, Meta, Schemas, arrow, bad, begin, end, pad, u32_at};

/// A batch as Arrow IPC, in pieces that are still those of its columns: nothing is copied before the frame.
struct Encoded {
    class: &'static Class,
    columns: Vec<u32>,
    pieces: Vec<Buffer>,
    /// Of the message of the schema, which comes first.
    schema_bytes: usize,
}

impl Encoded {
    fn of(batch: &Batch) -> io::Result<Encoded> {
        let has_values = |(_, column): &(usize, &ArrayRef)| column.null_count() < column.len();
        let columns: Vec<usize> =
            batch.rows.columns().iter().enumerate().filter(has_values).map(|(at, _)| at).collect();
        let rows = batch.rows.project(&columns).map_err(arrow)?;
        let pieces = StreamEncoder::try_new(rows.schema_ref()).and_then(|mut encoder| encoder.encode(&rows));
        let mut encoded = Encoded {
            class: batch.class,
            columns: columns.into_iter().map(|at| at as u32).collect(),
            pieces: pieces.map_err(arrow)?,
            schema_bytes: 0,
        };
        let first = encoded.bytes(0..MESSAGE_PREFIX_BYTES);
        let len = u32_at(&first, 4).ok_or_else(|| bad("Arrow IPC begins without a schema"))?;
        encoded.schema_bytes = MESSAGE_PREFIX_BYTES + len as usize;
        Ok(encoded)
    }

    /// Calls `out` with the bytes of this range, piece by piece.
    fn for_each(&self, range: Range<usize>, mut out: impl FnMut(&[u8])) {
        let mut at = 0;
        for piece in &self.pieces {
            let (from, to) = (range.start.max(at), range.end.min(at + piece.len()));
            if from < to {
                out(&piece.as_slice()[from - at..to - at]);
            }
            at += piece.len();
        }
    }

    fn bytes(&self, range: Range<usize>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(range.len());
        self.for_each(range, |piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Bytes behind the schema.
    fn len(&self) -> usize {
        self.pieces.iter().map(Buffer::len).sum::<usize>() - self.schema_bytes
    }
}

/// Appends the frame of `cut`, and those of schemas that the segment does not have yet in front of it.
///
/// # Errors
/// When the cut is larger than a frame can be.
pub fn encode(cut: &Cut, schemas: &mut Schemas, out: &mut Vec<u8>) -> io::Result<()> {
    let mut batches = Vec::with_capacity(cut.batches.len());
    for batch in cut.batches.iter().filter(|batch| batch.rows.num_rows() > 0) {
        let encoded = Encoded::of(batch)?;
        let schema = encoded.bytes(0..encoded.schema_bytes);
        let number = schemas.number(encoded.class, &encoded.columns, &schema, out)?;
        batches.push((number, encoded));
    }
    let start = begin(Kind::Cut, cut.number, out);
    Meta::of(cut).write(out)?;
    pad(out);
    for (number, encoded) in &batches {
        let len = encoded.len();
        out.reserve(len + 2 * size_of::<u64>());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&(encoded.class.id as u32).to_le_bytes());
        out.extend_from_slice(&(len as u64).to_le_bytes());
        encoded.for_each(encoded.schema_bytes..encoded.schema_bytes + len, |piece| out.extend_from_slice(piece));
        pad(out);
    }
    end(start, out)
}
