//! From frames to cuts.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::root_as_message;
use arrow_schema::SchemaRef;
use weir_sinks::{Batch, Cut, Identity, Position, Tally};

use super::schemas::Known;
use super::{HEADER_BYTES, Header, MESSAGE_PREFIX_BYTES, Meta, Schemas, arrow, bad, u32_at, u64_at};

fn unpacked(tallies: Vec<(i32, u16, i64, i64, i64)>) -> Vec<Tally> {
    let tally = |(cpu, action, first_seq, last_seq, count)| Tally { cpu, action, first_seq, last_seq, count };
    tallies.into_iter().map(tally).collect()
}

impl Meta {
    fn into_cut(self, number: u64, identity: &Identity, batches: Vec<Batch>) -> Cut {
        let position = |(cpu, next_seq, ktime_ns)| Position { cpu, next_seq, ktime_ns };
        Cut {
            number,
            identity: identity.clone(),
            batches,
            tallies: unpacked(self.tallies),
            dropped: unpacked(self.dropped),
            damaged: self.damaged,
            positions: self.positions.into_iter().map(position).collect(),
            clock_offset_ns: self.clock_offset_ns,
            last: self.last,
            resume: self.resume,
        }
    }
}

/// What the frame of a cut says besides its rows, and where its batches begin.
fn meta(header: &Header, frame: &[u8]) -> io::Result<(Meta, usize)> {
    let torn = || bad(format!("frame {} ends too early", header.number));
    let from = HEADER_BYTES + 4;
    let to = from + u32_at(frame, HEADER_BYTES).ok_or_else(torn)? as usize;
    let meta = serde_json::from_slice(frame.get(from..to).ok_or_else(torn)?)?;
    Ok((meta, to.next_multiple_of(8)))
}

/// A cut that stands for the one of this frame, whose rows cannot be read.
///
/// # Errors
/// When the body is not what was written.
pub fn stand_in(header: &Header, frame: &[u8], identity: &Identity) -> io::Result<Cut> {
    let (meta, _) = meta(header, frame)?;
    let meta = Meta { tallies: vec![], dropped: vec![], damaged: true, ..meta };
    Ok(meta.into_cut(header.number, identity, vec![]))
}

/// Makes cuts of frames; columns without values are slices of arrays that are kept.
#[derive(Default)]
pub struct Decoder {
    nulls: Vec<(arrow_schema::DataType, ArrayRef)>,
}

/// Rows of the arrays that are kept.
const NULL_ROWS_MIN: usize = 8192;

impl Decoder {
    fn null(&mut self, data_type: &arrow_schema::DataType, rows: usize) -> ArrayRef {
        let known = self.nulls.iter().position(|(ty, array)| ty == data_type && array.len() >= rows);
        let at = known.unwrap_or_else(|| {
            self.nulls.push((data_type.clone(), new_null_array(data_type, rows.max(NULL_ROWS_MIN))));
            self.nulls.len() - 1
        });
        self.nulls[at].1.slice(0, rows)
    }

    /// The cut of a whole frame.
    ///
    /// # Errors
    /// When the body is not what was written.
    pub fn cut(&mut self, header: &Header, frame: &Buffer, identity: &Identity, schemas: &Schemas) -> io::Result<Cut> {
        let bytes = frame.as_slice();
        let stop = HEADER_BYTES + header.len as usize;
        let torn = || bad(format!("frame {} ends too early", header.number));
        let (meta, mut at) = meta(header, bytes)?;
        let mut batches = vec![];
        while at < stop {
            let (schema, len) = u32_at(bytes, at).zip(u64_at(bytes, at + 8)).ok_or_else(torn)?;
            let len = usize::try_from(len).ok().filter(|len| at + 16 + len <= stop).ok_or_else(torn)?;
            let known = schemas.get(schema).ok_or_else(|| bad("a batch has a schema that nobody wrote"))?;
            batches.push(self.batch(known, frame.slice_with_length(at + 16, len))?);
            at = (at + 16 + len).next_multiple_of(8);
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

/// Dictionaries and the one record batch that has them. The library's own decoder of streams would parse the schema for every
/// batch, or keep the dictionaries, and the frame with them, until the next.
fn rows_of(mut messages: Buffer, schema: &SchemaRef) -> io::Result<RecordBatch> {
    let mut dictionaries = HashMap::new();
    while let Some((head, body)) = next_message(&mut messages)? {
        let message = root_as_message(&head).map_err(|error| bad(format!("a batch of a frame: {error}")))?;
        if let Some(dictionary) = message.header_as_dictionary_batch() {
            read_dictionary(&body, dictionary, schema, &mut dictionaries, &message.version()).map_err(arrow)?;
        } else if let Some(batch) = message.header_as_record_batch() {
            let schema = Arc::clone(schema);
            return read_record_batch(&body, batch, schema, &dictionaries, None, &message.version()).map_err(arrow);
        }
    }
    Err(bad("a batch of a frame has no rows"))
}

/// What an Arrow IPC message says of itself, and its body; `None` behind the last.
fn next_message(messages: &mut Buffer) -> io::Result<Option<(Buffer, Buffer)>> {
    if messages.is_empty() {
        return Ok(None);
    }
    let part = || {
        let len = u32_at(messages, 4)? as usize;
        let body_at = MESSAGE_PREFIX_BYTES.checked_add(len).filter(|at| *at <= messages.len())?;
        let head = messages.slice_with_length(MESSAGE_PREFIX_BYTES, len);
        let body_len = usize::try_from(root_as_message(&head).ok()?.bodyLength()).ok()?;
        let end = body_at.checked_add(body_len).filter(|end| *end <= messages.len())?;
        Some((head, messages.slice_with_length(body_at, body_len), end))
    };
    let (head, body, end) = part().ok_or_else(|| bad("a batch of a frame ends too early"))?;
    messages.advance(end);
    Ok(Some((head, body)))
}
