//! One cut as bytes: what stands in a segment between its header and its end.
//!
//! All numbers are little-endian, and every part begins at a multiple of 8 bytes. A frame is
//!
//! ```text
//! 0  magic    u32   "FRAM"
//! 4  kind     u32   1: a schema, 2: a cut
//! 8  number   u64   of the cut, or of the schema inside its segment
//! 16 length   u32   bytes of the body
//! 20 checksum u32   CRC32C of the 20 bytes before and of the body
//! 24 body
//! ```
//!
//! The body of a schema is its class (u32), the columns that are there (u32 how many, then u32 each), and the Arrow IPC message
//! of that schema. The body of a cut is a JSON object ([`Meta`]; u32 length first) and its batches: number of the schema
//! (u32), class (u32), bytes (u64), Arrow IPC messages (dictionaries, one record batch). A column without any value is not in a
//! batch: schemas are those of the columns that are there, and stand in a segment before the first batch that has them.

use std::io;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};
use weir_schema::{CLASSES, Class};
use weir_sinks::{Batch, Cut, Identity, Position, Tally};

/// Bytes before the body.
pub const HEADER_BYTES: usize = 24;
/// Longest body that is believed: a batch has at most `batch_bytes_max` of a GiB.
pub const BODY_BYTES_MAX: u32 = 3 << 30;
/// Schemas of one segment: far more than the sets of columns that cuts have.
const SCHEMAS_MAX: usize = 1 << 16;
const MAGIC: u32 = u32::from_le_bytes(*b"FRAM");

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A schema of batches.
    Schema = 1,
    /// A cut.
    Cut = 2,
}

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Number of the cut or the schema.
    pub number: u64,
    /// Bytes of the body.
    pub len: u32,
    checksum: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

fn bad(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

impl Header {
    /// The header at the beginning of `bytes`; `None` if there is none.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        if u32_at(bytes, 0)? != MAGIC {
            return None;
        }
        let kind = match u32_at(bytes, 4)? {
            1 => Kind::Schema,
            2 => Kind::Cut,
            _ => return None,
        };
        let len = u32_at(bytes, 16).filter(|len| *len <= BODY_BYTES_MAX)?;
        Some(Header { kind, number: u64_at(bytes, 8)?, len, checksum: u32_at(bytes, 20)? })
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.len).next_multiple_of(8)
    }

    /// Whether the bytes of the frame are those that were written.
    pub fn is_whole(&self, frame: &[u8]) -> bool {
        let body = frame.get(HEADER_BYTES..HEADER_BYTES + self.len as usize);
        let sum = |body| crc32c::crc32c_append(crc32c::crc32c(&frame[..HEADER_BYTES - 4]), body);
        body.is_some_and(|body| sum(body) == self.checksum)
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Begins a frame; returns where.
fn begin(kind: Kind, number: u64, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&(kind as u32).to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    start
}

/// Ends the frame that began at `start`: length, checksum, padding.
fn end(start: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let body = start + HEADER_BYTES;
    let len = u32::try_from(out.len() - body).ok().filter(|len| *len <= BODY_BYTES_MAX);
    let len = len.ok_or_else(|| bad("a cut is larger than a frame can be"))?;
    out[start + 16..start + 20].copy_from_slice(&len.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&out[start..start + 20]), &out[body..]);
    out[start + 20..start + 24].copy_from_slice(&sum.to_le_bytes());
    pad(out);
    Ok(())
}

/// What a cut says besides its rows; lists instead of objects, because it is written 40 times a second.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// cpu, action, first, last, count
    tallies: Vec<(i32, u16, i64, i64, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<(i32, u16, i64, i64, i64)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    damaged: bool,
    /// cpu, next number, kernel time
    positions: Vec<(i32, i64, i64)>,
    clock_offset_ns: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    resume: String,
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

fn packed(tallies: &[Tally]) -> Vec<(i32, u16, i64, i64, i64)> {
    tallies.iter().map(|t| (t.cpu, t.action, t.first_seq, t.last_seq, t.count)).collect()
}

fn unpacked(tallies: Vec<(i32, u16, i64, i64, i64)>) -> Vec<Tally> {
    let tally = |(cpu, action, first_seq, last_seq, count)| Tally { cpu, action, first_seq, last_seq, count };
    tallies.into_iter().map(tally).collect()
}

/// A schema that a segment has.
struct Known {
    class: &'static Class,
    columns: Vec<u32>,
    message: Buffer,
}

/// The schemas of one segment by their numbers; one that damage took is missing.
#[derive(Default)]
pub struct Schemas(Vec<Option<Known>>);

impl Schemas {
    /// Number of the schema with these columns; a new one is written in front.
    fn number(&mut self, class: &'static Class, columns: &[u32], message: &[u8], out: &mut Vec<u8>) -> io::Result<u32> {
        let is_it = |known: &Known| known.class.id == class.id && known.columns == columns;
        if let Some(at) = self.0.iter().position(|known| known.as_ref().is_some_and(is_it)) {
            return Ok(at as u32);
        }
        let start = begin(Kind::Schema, self.0.len() as u64, out);
        out.extend_from_slice(&(class.id as u32).to_le_bytes());
        out.extend_from_slice(&(columns.len() as u32).to_le_bytes());
        columns.iter().for_each(|column| out.extend_from_slice(&column.to_le_bytes()));
        pad(out);
        out.extend_from_slice(message);
        end(start, out)?;
        self.0.push(Some(Known { class, columns: columns.to_vec(), message: Buffer::from(message) }));
        Ok(self.0.len() as u32 - 1)
    }

    /// Takes in the body of a frame of kind schema.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(&mut self, number: u64, body: &[u8]) -> io::Result<()> {
        let part = || {
            let class = CLASSES.iter().find(|class| class.id as u32 == u32_at(body, 0).unwrap_or(u32::MAX))?;
            let count = u32_at(body, 4)? as usize;
            let columns: Option<Vec<u32>> = (0..count).map(|i| u32_at(body, 8 + 4 * i)).collect();
            let columns = columns.filter(|c| c.iter().all(|c| (*c as usize) < class.all_columns().count()))?;
            let message = body.get((8 + 4 * count).next_multiple_of(8)..)?;
            Some(Known { class, columns, message: Buffer::from(message) })
        };
        let known = part().ok_or_else(|| bad("a schema of a segment is not what was written"))?;
        let at = usize::try_from(number).ok().filter(|at| *at < SCHEMAS_MAX);
        let at = at.ok_or_else(|| bad("a segment has more schemas than there can be"))?;
        if self.0.len() <= at {
            // Those between are lost by damage.
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert(known);
        Ok(())
    }
}

/// Turns cuts into frames, in buffers that are used again.
#[derive(Default)]
pub struct Encoder {
    stream: Vec<u8>,
    batches: Vec<u8>,
}

fn arrow(error: ArrowError) -> io::Error {
    bad(format!("write or read a batch as Arrow IPC: {error}"))
}

impl Encoder {
    /// Appends the frame of `cut`, and those of schemas that the segment does not have yet in front of it.
    ///
    /// # Errors
    /// When the cut is larger than a frame can be.
    pub fn encode(&mut self, cut: &Cut, schemas: &mut Schemas, out: &mut Vec<u8>) -> io::Result<()> {
        self.batches.clear();
        for batch in cut.batches.iter().filter(|batch| batch.rows.num_rows() > 0) {
            self.batch(batch, schemas, out)?;
        }
        let meta = Meta {
            tallies: packed(&cut.tallies),
            dropped: packed(&cut.dropped),
            damaged: cut.damaged,
            positions: cut.positions.iter().map(|p| (p.cpu, p.next_seq, p.ktime_ns)).collect(),
            clock_offset_ns: cut.clock_offset_ns,
            last: cut.last,
            resume: cut.resume.clone(),
        };
        let meta = serde_json::to_vec(&meta)?;
        let start = begin(Kind::Cut, cut.number, out);
        out.extend_from_slice(&(meta.len() as u32).to_le_bytes());
        out.extend_from_slice(&meta);
        pad(out);
        out.extend_from_slice(&self.batches);
        end(start, out)
    }

    /// Appends one batch to `self.batches`.
    fn batch(&mut self, batch: &Batch, schemas: &mut Schemas, out: &mut Vec<u8>) -> io::Result<()> {
        let has_values = |(_, column): &(usize, &ArrayRef)| column.null_count() < column.len();
        let columns: Vec<usize> =
            batch.rows.columns().iter().enumerate().filter(has_values).map(|(at, _)| at).collect();
        let rows = batch.rows.project(&columns).map_err(arrow)?;
        self.stream.clear();
        let mut writer = StreamWriter::try_new(&mut self.stream, rows.schema_ref()).map_err(arrow)?;
        let schema_bytes = writer.get_ref().len();
        writer.write(&rows).map_err(arrow)?;
        drop(writer);
        let columns: Vec<u32> = columns.into_iter().map(|at| at as u32).collect();
        let schema = schemas.number(batch.class, &columns, &self.stream[..schema_bytes], out)?;
        let messages = &self.stream[schema_bytes..];
        self.batches.extend_from_slice(&schema.to_le_bytes());
        self.batches.extend_from_slice(&(batch.class.id as u32).to_le_bytes());
        self.batches.extend_from_slice(&(messages.len() as u64).to_le_bytes());
        self.batches.extend_from_slice(messages);
        pad(&mut self.batches);
        Ok(())
    }
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
            let known = schemas
                .0
                .get(schema as usize)
                .and_then(Option::as_ref)
                .ok_or_else(|| bad("a batch has a schema that nobody wrote"))?;
            batches.push(self.batch(known, frame.slice_with_length(at + 16, len))?);
            at = (at + 16 + len).next_multiple_of(8);
        }
        Ok(meta.into_cut(header.number, identity, batches))
    }

    fn batch(&mut self, known: &Known, mut messages: Buffer) -> io::Result<Batch> {
        let mut decoder = StreamDecoder::new();
        let mut schema = known.message.clone();
        decoder.decode(&mut schema).map_err(arrow)?;
        let rows = decoder.decode(&mut messages).map_err(arrow)?;
        let rows = rows.ok_or_else(|| bad("a batch of a frame has no rows"))?;
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
