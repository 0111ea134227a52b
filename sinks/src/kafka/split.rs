//! A message that is too large, as several smaller ones with the same rows.

use arrow_ipc::reader::StreamReader;
use weir_schema::class_by_name;

use super::keys::{described, headers};
use super::refused::Rows;
use super::reports::Parcel;
use crate::Batch;
use crate::payload::{PayloadFormat, PayloadOptions, Payloads};

/// Messages of about so many bytes at most, in row order; `None` for a single row, and for what is none of weir's.
pub(super) fn split(parcel: &Parcel, options: PayloadOptions, bytes_max: usize) -> Option<Vec<Parcel>> {
    // At most half: so it comes to an end, whatever the destination thinks.
    let bytes_max = bytes_max.min(parcel.payload.len() / 2);
    match options.format {
        PayloadFormat::Json => None,
        PayloadFormat::JsonLines => split_lines(parcel, bytes_max),
        PayloadFormat::Arrow => split_stream(parcel, PayloadOptions { bytes_max, ..options }),
    }
}

fn split_lines(parcel: &Parcel, bytes_max: usize) -> Option<Vec<Parcel>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for line in parcel.payload.split_inclusive(|byte| *byte == b'\n') {
        match parts.last_mut().filter(|part| part.len() + line.len() <= bytes_max) {
            Some(part) => part.extend_from_slice(line),
            None => parts.push(line.to_vec()),
        }
    }
    if parts.len() < 2 {
        return None;
    }
    let part = |payload: Vec<u8>| {
        let rows = Rows::read(&payload, PayloadFormat::JsonLines)?;
        let headers = Some(described(rows.class.name, rows.first(), rows.rows));
        Some(Parcel { topic: parcel.topic.clone(), key: parcel.key.clone(), payload, headers })
    };
    parts.into_iter().map(part).collect()
}

fn split_stream(parcel: &Parcel, options: PayloadOptions) -> Option<Vec<Parcel>> {
    let mut stream = StreamReader::try_new(&parcel.payload[..], None).ok()?;
    let class = class_by_name(stream.schema().metadata().get("weir.class")?)?;
    let rows = stream.next()?.ok()?;
    if rows.num_rows() < 2 {
        return None;
    }
    let batch = Batch { class, rows };
    let mut payloads = Payloads::new(options);
    payloads.encode(&batch).ok()?;
    let part = |message| Parcel {
        topic: parcel.topic.clone(),
        key: parcel.key.clone(),
        payload: payloads.bytes(message).to_vec(),
        headers: headers(&batch, options.format, message),
    };
    Some(payloads.messages().iter().map(part).collect())
}
