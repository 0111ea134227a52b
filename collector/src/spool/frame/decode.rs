//! From frames to cuts.

use std::io;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_buffer::Buffer;
use arrow_schema::DataType;
use weir_sinks::{Batch, Cut, Identity};

use super::ipc::rows_of;
use super::schemas::Known;
use super::{HEADER_BYTES, Header, Meta, Schemas, arrow, bad, u32_at, u64_at};

/// Rows of the arrays that are kept.
const NULL_ROWS_MIN: usize = 8192;
/// Bytes in front of a batch: its schema, its class, its length.
const BATCH_PREFIX_BYTES: usize = 16;
/// Batches of one cut: far more than there are classes.
const BATCHES_MAX: usize = 64;

/// Makes cuts of frames; columns without values are slices of arrays that are kept.
#[derive(Default)]
pub struct Decoder {
    nulls: Vec<(DataType, ArrayRef)>,
}

impl Decoder {
    fn null(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        let known = self.nulls.iter().position(|(ty, _)| ty == data_type);
        let at = known.unwrap_or_else(|| {
            self.nulls.push((data_type.clone(), new_null_array(data_type, rows.max(NULL_ROWS_MIN))));
            self.nulls.len() - 1
        });
        if self.nulls[at].1.len() < rows {
            self.nulls[at].1 = new_null_array(data_type, rows);
        }
        self.nulls[at].1.slice(0, rows)
    }

    /// The cut of a whole frame.
    ///
    /// # Errors
    /// When the body is not what was written.
    pub fn cut(&mut self, header: &Header, frame: &Buffer, identity: &Identity, schemas: &Schemas) -> io::Result<Cut> {
        let (meta, mut at) = Meta::read(header, frame.as_slice())?;
        let stop = frame.len().min(HEADER_BYTES + header.len as usize);
        let mut batches = vec![];
        while at < stop {
            if batches.len() == BATCHES_MAX {
                return Err(bad(format!("frame {} has more batches than there are classes", header.number)));
            }
            let (known, messages, next) = next_batch(header, frame, at, stop, schemas)?;
            batches.push(self.batch(known, messages)?);
            at = next;
        }
        Ok(meta.into_cut(header.number, identity, batches))
    }

    fn batch(&mut self, known: &Known, messages: Buffer) -> io::Result<Batch> {
        let rows = rows_of(messages, known.schema()?)?;
        let full = weir_schema::arrow::schema(known.class.id);
        let mut columns = Vec::with_capacity(full.fields().len());
        for (at, field) in full.fields().iter().enumerate() {
            columns.push(match known.columns.iter().position(|column| *column as usize == at) {
                Some(found) if found < rows.num_columns() => Arc::clone(rows.column(found)),
                _ => self.null(field.data_type(), rows.num_rows()),
            });
        }
        let rows = RecordBatch::try_new(full, columns).map_err(arrow)?;
        Ok(Batch { class: known.class, rows })
    }
}

/// The batch that stands at `at`: its schema, its messages, and where the next one is.
fn next_batch<'a>(
    header: &Header,
    frame: &Buffer,
    at: usize,
    stop: usize,
    schemas: &'a Schemas,
) -> io::Result<(&'a Known, Buffer, usize)> {
    let torn = || bad(format!("frame {} ends too early", header.number));
    let bytes = frame.as_slice();
    let from = at.checked_add(BATCH_PREFIX_BYTES).filter(|from| *from <= stop).ok_or_else(torn)?;
    let (schema, len) = u32_at(bytes, at).zip(u64_at(bytes, at + 8)).ok_or_else(torn)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= stop - from).ok_or_else(torn)?;
    let known = schemas.get(schema).ok_or_else(|| bad("a batch has a schema that nobody wrote"))?;
    Ok((known, frame.slice_with_length(from, len), (from + len).next_multiple_of(8)))
}
