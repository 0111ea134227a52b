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

mod decode;
mod encode;
mod ipc;
mod meta;
mod schemas;

use std::io;

use arrow_schema::ArrowError;

pub use decode::Decoder;
pub use encode::encode;
use meta::Meta;
pub use meta::{is_stand_in, stand_in};
pub use schemas::Schemas;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the header that its checksum covers.
pub const SUMMED_BYTES: usize = 20;
/// Longest body that is believed: a batch has at most `batch_bytes_max` of a GiB.
pub const BODY_BYTES_MAX: u32 = 3 << 30;
/// Numbers of cuts are below: a million a second for 100,000 years.
pub const NUMBER_MAX: u64 = 1 << 62;
/// Longest metadata of a cut: every action on some thousand CPUs. What is made of it takes four times its bytes.
const META_BYTES_MAX: usize = 16 << 20;
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
        let number = u64_at(bytes, 8).filter(|number| *number < NUMBER_MAX)?;
        Some(Header { kind, number, len, checksum: u32_at(bytes, 20)? })
    }

    /// CRC32C of header and body.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.len).next_multiple_of(8)
    }

    /// Whether the bytes of the frame are those that were written.
    pub fn is_whole(&self, frame: &[u8]) -> bool {
        let parts = frame.get(..SUMMED_BYTES).zip(frame.get(HEADER_BYTES..HEADER_BYTES + self.len as usize));
        parts.is_some_and(|(head, body)| crc32c::crc32c_append(crc32c::crc32c(head), body) == self.checksum)
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

/// Bytes in front of the metadata of an Arrow IPC message: a mark, and how long it is.
const MESSAGE_PREFIX_BYTES: usize = 8;

fn arrow(error: ArrowError) -> io::Error {
    bad(format!("write or read a batch as Arrow IPC: {error}"))
}
