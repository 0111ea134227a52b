//! Batches as messages with subject, id and headers.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, HeaderName, Subject};
use bytes::Bytes;
use weir_schema::SCHEMA_VERSION;

use super::options::NatsOptions;
use super::subject::{Names, Template, token};
use crate::payload::{PayloadFormat, PayloadOptions, Payloads, identity_of};
use crate::{Batch, Progress, SinkError};

/// Kept free in every message for headers: names, an id with host and boot id, and what a batch message says of itself.
pub(super) const HEADER_BYTES: usize = 1_024;
/// Memory of a message beside its payload, about.
const OVERHEAD_BYTES: usize = 256;
/// Rows are encoded in pieces of about this many bytes: most cuts are one piece.
const PIECE_BYTES: usize = 8 << 20;

const CLASS: HeaderName = HeaderName::from_static("weir-class");
const VERSION: HeaderName = HeaderName::from_static("weir-schema-version");
const FIRST: HeaderName = HeaderName::from_static("weir-first");
const ROWS: HeaderName = HeaderName::from_static("weir-rows");

/// The rows of a message.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub batch: Arc<Batch>,
    pub first_row: usize,
    pub rows: usize,
}

/// One message.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub subject: Subject,
    /// `Nats-Msg-Id`: the same whenever the same rows are sent.
    pub id: String,
    pub payload: Bytes,
    /// Whether the headers describe the rows too.
    pub described: bool,
    /// `None` for a progress.
    pub origin: Option<Origin>,
    /// The stream did not take it for its size: it goes in parts.
    pub refused: bool,
}

impl Outgoing {
    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        self.payload.len() + OVERHEAD_BYTES
    }

    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.origin.as_ref().map_or(0, |origin| origin.rows)
    }

    /// Whether a server with this limit takes it.
    pub fn fits(&self, limit: usize) -> bool {
        self.payload.len() <= payload_max(limit)
    }

    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, self.id.as_str());
        if let Some(Origin { batch, first_row, rows }) = self.origin.as_ref().filter(|_| self.described) {
            let first = identity_of(batch, *first_row);
            headers.insert(CLASS, batch.class.name);
            headers.insert(VERSION, SCHEMA_VERSION.to_string().as_str());
            headers.insert(FIRST, format!("{}:{}", first.cpu, first.seq).as_str());
            headers.insert(ROWS, rows.to_string().as_str());
        }
        headers
    }

    /// The progress of a flush.
    pub fn progress(subject: Subject, host: &str, progress: &Progress) -> Result<Outgoing, SinkError> {
        let Progress { log_id, boot_id, epoch, next_cut, own_seq, .. } = progress;
        let id = format!("{}:{boot_id}:{epoch}:progress:{log_id}:{next_cut}:{own_seq}", token(host));
        let payload = serde_json::to_vec(progress)
            .map_err(|error| SinkError::Fatal(format!("writing the progress as JSON: {error}")))?;
        Ok(Outgoing { subject, id, payload: payload.into(), described: false, origin: None, refused: false })
    }
}

/// Bytes of the largest payload for a server that takes messages of `limit` bytes, headers included.
pub(super) fn payload_max(limit: usize) -> usize {
    limit.saturating_sub(HEADER_BYTES).max(1)
}

/// Makes messages.
pub(super) struct Encoder {
    sink: String,
    template: Template,
    options: PayloadOptions,
    payloads: Payloads,
    /// Payload limit that `payloads` works to.
    bytes_max: usize,
}

impl Encoder {
    pub fn new(options: &NatsOptions, template: Template) -> Encoder {
        let payload = options.payload;
        let payloads = Payloads::new(payload);
        Encoder { sink: options.name.clone(), template, options: payload, payloads, bytes_max: payload.bytes_max }
    }

    /// The server takes messages of so many bytes.
    pub fn set_limit(&mut self, limit: usize) {
        let bytes_max = self.options.bytes_max.min(payload_max(limit));
        if bytes_max != self.bytes_max {
            self.bytes_max = bytes_max;
            self.payloads = Payloads::new(PayloadOptions { bytes_max, ..self.options });
        }
    }

    /// Messages of some rows from the first of the range on, and the row to go on with.
    ///
    /// # Errors
    /// As [`Payloads::encode_rows`].
    pub fn encode(&mut self, batch: &Arc<Batch>, rows: Range<usize>) -> Result<(Vec<Outgoing>, usize), SinkError> {
        if rows.start == 0 && self.options.format == PayloadFormat::Arrow {
            // What was learned from other batches would cut the same rows in another way next time, and change their ids.
            self.payloads = Payloads::new(PayloadOptions { bytes_max: self.bytes_max, ..self.options });
        }
        let next = self.payloads.encode_rows(batch, rows.clone(), PIECE_BYTES)?;
        let first = identity_of(batch, rows.start);
        let class = batch.class.name;
        let subject = self.template.subject(Names { class, host: first.host, sink: &self.sink });
        let ids = Ids::new(batch, format!("{}:{}:{}:{class}:", token(first.host), first.boot_id, first.epoch));
        // One allocation for all messages: each holds a part of it.
        let buffer = Bytes::copy_from_slice(self.payloads.buffer());
        let described = self.options.format != PayloadFormat::Json;
        let outgoing = |message: &crate::Message| Outgoing {
            subject: subject.clone(),
            id: ids.of(message.first_row, message.rows),
            payload: buffer.slice(message.start..message.end),
            described,
            origin: Some(Origin { batch: Arc::clone(batch), first_row: message.first_row, rows: message.rows }),
            refused: false,
        };
        Ok((self.payloads.messages().iter().map(outgoing).collect(), next))
    }
}

/// The rows of a message in smaller ones, in order, for a server that takes messages of `limit` bytes; `None` for a single
/// row, and for a progress.
///
/// # Errors
/// As [`Encoder::encode`].
pub(super) fn parts(
    message: &Outgoing,
    options: &NatsOptions,
    template: Template,
    limit: usize,
) -> Result<Option<Vec<Outgoing>>, SinkError> {
    let Some(Origin { batch, first_row, rows }) = message.origin.as_ref().filter(|origin| origin.rows > 1) else {
        return Ok(None);
    };
    let mut encoder = Encoder::new(options, template);
    // At most half: so it comes to an end, whatever the server says of itself.
    encoder.set_limit(limit.min(message.payload.len() / 2 + HEADER_BYTES));
    let (mut row, end, mut parts) = (*first_row, first_row + rows, Vec::new());
    while row < end {
        let (messages, next) = encoder.encode(batch, row..end)?;
        parts.extend(messages);
        row = next;
    }
    Ok(Some(parts))
}

/// Ids of a batch's messages.
struct Ids<'a> {
    batch: &'a Batch,
    /// Host, boot, epoch and class: the same in all rows of a batch.
    prefix: String,
}

impl<'a> Ids<'a> {
    fn new(batch: &'a Batch, prefix: String) -> Ids<'a> {
        Ids { batch, prefix }
    }

    /// `<host>:<boot id>:<epoch>:<class>:<cpu>:<seq>:<rows>` of the first row.
    fn of(&self, row: usize, rows: usize) -> String {
        let column = |name: &str| self.batch.rows.column_by_name(name);
        let cpu = column("cpu").and_then(|array| array.as_primitive_opt::<Int32Type>()).map_or(-1, |a| a.value(row));
        let seq = column("seq").and_then(|array| array.as_primitive_opt::<Int64Type>()).map_or(-1, |a| a.value(row));
        let mut id = String::with_capacity(self.prefix.len() + 32);
        id.push_str(&self.prefix);
        let mut digits = itoa::Buffer::new();
        id.push_str(digits.format(cpu));
        id.push(':');
        id.push_str(digits.format(seq));
        id.push(':');
        id.push_str(digits.format(rows));
        id
    }
}
