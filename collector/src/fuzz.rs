//! Entry points of the fuzzers (`fuzz/`), which a test also plays its corpus and changes of it on: any bytes give rows or an
//! error, and take no more memory than a small part of what they say.

use std::fs::File;
use std::io::Write;

use weir_schema::record::Record;

use crate::order::RingState;
use crate::run::resume::Pinned;
use crate::spool::frame::{HEADER_BYTES, Header, SUMMED_BYTES};
use crate::spool::segment::SegmentReader;
use crate::spool::{cursor, log};
use crate::verify::bytes;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Names of the targets, as those of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("record", record),
    ("segment", segment),
    ("frame", frame),
    ("state", state),
    ("lines", lines),
    ("notes", notes),
    ("parquet", parquet),
    ("config", config),
];

/// A record of the kernel.
pub fn record(input: &[u8]) {
    if let Ok(record) = Record::parse(input) {
        let tails: usize = (0..record.class.tails.len()).map(|i| record.tail(i).len()).sum();
        assert_eq!(record.fixed.len(), record.class.layout().fixed);
        assert!(record.fixed.len() + tails <= input.len());
    }
}

/// A file in memory.
fn file(input: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(input)?;
    Ok(file)
}

/// A segment of the spool.
pub fn segment(input: &[u8]) {
    if let Ok(reader) = file(input).and_then(SegmentReader::read) {
        let _ = bytes::segment(reader);
    }
}

/// A segment whose frames all have the right checksum: what changes meet is what stands behind it.
pub fn frame(input: &[u8]) {
    let mut input = input.to_vec();
    sum_frames(&mut input);
    segment(&input);
}

/// Gives every frame of a segment the checksum of what it has.
pub fn sum_frames(segment: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = segment.get_mut(at..) {
        let Some(header) = Header::read(rest) else {
            if rest.len() < HEADER_BYTES {
                return;
            }
            at += 8;
            continue;
        };
        let end = HEADER_BYTES + header.len as usize;
        if let (Some(head), Some(body)) = (rest.get(..SUMMED_BYTES), rest.get(HEADER_BYTES..end)) {
            let sum = crc32c::crc32c_append(crc32c::crc32c(head), body).to_le_bytes();
            rest[SUMMED_BYTES..HEADER_BYTES].copy_from_slice(&sum);
            at += end.next_multiple_of(8);
        } else {
            at += 8;
        }
    }
}

/// A state file of a spool: a cursor, `log.json`, `pinned.json`, or what a cut says to a restart.
pub fn state(input: &[u8]) {
    if let Ok(progress) = cursor::parse(input) {
        let _ = bytes::cursor(progress);
    }
    log::try_log_file(input);
    let _ = serde_json::from_slice::<Pinned>(input);
    if let Ok(rings) = serde_json::from_slice::<Vec<RingState>>(input) {
        for ring in rings.iter().filter(|ring| ring.numbers.are_possible()) {
            let _ = (ring.numbers.seen(), ring.numbers.accounted());
        }
    }
}

/// JSON lines.
pub fn lines(input: &[u8]) {
    bytes::lines(input);
}

/// The list of removed files of a Parquet directory.
pub fn notes(input: &[u8]) {
    bytes::notes(input);
}

/// A Parquet file.
pub fn parquet(input: &[u8]) {
    if let Ok(file) = file(input) {
        bytes::parquet_file(file);
    }
}

/// A configuration.
pub fn config(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = crate::config::of_text(text).map_err(|error| error.to_string());
    }
}
