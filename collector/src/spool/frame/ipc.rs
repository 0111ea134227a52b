//! Arrow IPC that comes from a file: no place, length or type of it is used before it is held against what is there.
//!
//! The library checks what is in a buffer (lengths of arrays, offsets of texts, keys of dictionaries, UTF-8), but takes places
//! of buffers as they are, copies those that are not aligned, unpacks what says that it is compressed, and makes schemas of any
//! size. So a message is only let through to it if it is like those that the writer makes: nothing compressed, buffers one
//! behind the other and aligned, whole dictionaries, types that the class has.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{Message, Type, root_as_message};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{MESSAGE_PREFIX_BYTES, arrow, bad, u32_at};

/// What every buffer begins at a multiple of.
const ALIGNMENT: usize = 8;

/// Dictionaries and the one record batch that has them. The library's own decoder of streams would parse the schema for every
/// batch, or keep the dictionaries, and the frame with them, until the next.
pub(super) fn rows_of(mut messages: Buffer, schema: &SchemaRef) -> io::Result<RecordBatch> {
    let mut dictionaries = HashMap::new();
    while let Some((head, body)) = next_message(&mut messages)? {
        let message = message(&head)?;
        if let Some(dictionary) = message.header_as_dictionary_batch() {
            let data = dictionary.data().filter(|data| is_plain(data, &body));
            if data.is_none() || dictionary.isDelta() {
                return Err(bad("a dictionary of a batch is not as it was written"));
            }
            read_dictionary(&body, dictionary, schema, &mut dictionaries, &message.version()).map_err(arrow)?;
        } else if let Some(batch) = message.header_as_record_batch() {
            if !is_plain(&batch, &body) {
                return Err(bad("a batch of a frame is not as it was written"));
            }
            let schema = Arc::clone(schema);
            return read_record_batch(&body, batch, schema, &dictionaries, None, &message.version()).map_err(arrow);
        }
    }
    Err(bad("a batch of a frame has no rows"))
}

fn message(head: &[u8]) -> io::Result<Message<'_>> {
    root_as_message(head).map_err(|error| bad(format!("a batch of a frame: {error}")))
}

/// Whether all buffers stand inside of the body, one behind the other, so that all of them together are not more than it is.
fn is_plain(batch: &arrow_ipc::RecordBatch<'_>, body: &Buffer) -> bool {
    let mut end = 0;
    let mut is_next = |buffer: &arrow_ipc::Buffer| {
        let place = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let Some((offset, length)) = place.filter(|(offset, _)| *offset >= end && offset % ALIGNMENT == 0) else {
            return false;
        };
        offset.checked_add(length).filter(|to| *to <= body.len()).is_some_and(|to| {
            end = to;
            true
        })
    };
    batch.compression().is_none()
        && batch.length() >= 0
        && batch.variadicBufferCounts().is_none_or(|counts| counts.is_empty())
        && batch.buffers().is_some_and(|buffers| buffers.iter().all(&mut is_next))
}

/// What an Arrow IPC message says of itself, and its body; `None` behind the last.
fn next_message(messages: &mut Buffer) -> io::Result<Option<(Buffer, Buffer)>> {
    if messages.is_empty() {
        return Ok(None);
    }
    let part = || {
        let (head, body_at) = head_of(messages.as_slice())?;
        let body_len = usize::try_from(root_as_message(head).ok()?.bodyLength()).ok()?;
        let end = body_at.checked_add(body_len).filter(|end| *end <= messages.len())?;
        let head = messages.slice_with_length(MESSAGE_PREFIX_BYTES, head.len());
        Some((head, messages.slice_with_length(body_at, body_len), end))
    };
    let (head, body, end) = part().ok_or_else(|| bad("a batch of a frame ends too early"))?;
    messages.advance(end);
    Ok(Some((head, body)))
}

/// What a message says of itself, and where its body begins.
fn head_of(message: &[u8]) -> Option<(&[u8], usize)> {
    let len = usize::try_from(u32_at(message, 4)?).ok().filter(|len| len % ALIGNMENT == 0)?;
    let body_at = MESSAGE_PREFIX_BYTES.checked_add(len)?;
    Some((message.get(MESSAGE_PREFIX_BYTES..body_at)?, body_at))
}

/// The schema of these columns of a class, with the numbers that the message gives to dictionaries. Everything else it says has
/// to be what the class says.
pub(super) fn schema_of(bytes: &[u8], full: &Schema, columns: &[u32]) -> io::Result<SchemaRef> {
    let read = || {
        let (head, _) = head_of(bytes)?;
        let message = root_as_message(head).ok()?;
        let found = message.header_as_schema()?.fields().filter(|fields| fields.len() == columns.len())?;
        let field = |(at, found): (&u32, arrow_ipc::Field<'_>)| field_of(full.fields().get(*at as usize)?, &found);
        let fields: Option<Vec<Field>> = columns.iter().zip(found.iter()).map(field).collect();
        Some(Arc::new(Schema::new(fields?)))
    };
    read().ok_or_else(|| bad("a schema of a segment is not what was written"))
}

fn field_of(known: &Field, found: &arrow_ipc::Field<'_>) -> Option<Field> {
    if found.name() != Some(known.name()) || !has_type(known.data_type(), found) {
        return None;
    }
    match (known.data_type(), found.dictionary()) {
        (DataType::Dictionary(_, _), Some(dictionary)) => {
            // Batches name their dictionaries by these numbers, and the library offers no other way to say them.
            #[expect(deprecated)]
            let field =
                Field::new_dict(known.name(), known.data_type().clone(), known.is_nullable(), dictionary.id(), false);
            Some(field)
        }
        (DataType::Dictionary(_, _), None) | (_, Some(_)) => None,
        (_, None) => Some(known.clone()),
    }
}

/// Whether a field is of this type, one of those that columns have.
fn has_type(known: &DataType, found: &arrow_ipc::Field<'_>) -> bool {
    let is_int = |bits| found.type_as_int().is_some_and(|int| int.bitWidth() == bits && int.is_signed());
    match known {
        DataType::Boolean => found.type_type() == Type::Bool,
        DataType::Int32 => is_int(i32::BITS as i32),
        DataType::Int64 => is_int(i64::BITS as i32),
        DataType::Timestamp(_, _) => found.type_type() == Type::Timestamp,
        DataType::Utf8 => found.type_type() == Type::Utf8,
        DataType::Dictionary(_, values) => has_type(values, found),
        DataType::List(item) => {
            let child = found.children().filter(|children| children.len() == 1).map(|children| children.get(0));
            found.type_type() == Type::List && child.is_some_and(|child| has_type(item.data_type(), &child))
        }
        _ => false,
    }
}
