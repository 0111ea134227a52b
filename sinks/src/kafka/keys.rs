//! Keys and headers: what keeps the events of one process in one partition, and what says what a message of many rows is.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array};
use rdkafka::message::{Header, OwnedHeaders};
use weir_schema::SCHEMA_VERSION;

use crate::Batch;
use crate::payload::{Message, PayloadFormat, RowIdentity, identity_of};

/// Keys of the messages of one batch.
pub(super) struct Keys<'a> {
    /// Only for one event a message.
    processes: Option<&'a Int64Array>,
    key: Vec<u8>,
    /// Bytes of the key that are the same for all.
    fixed: usize,
}

impl<'a> Keys<'a> {
    /// `<host>/<process key>` for single events, `<host>` if no process is known; `<class>/<host>` for many.
    pub fn new(batch: &'a Batch, format: PayloadFormat, host: &str) -> Keys<'a> {
        let single = format == PayloadFormat::Json;
        let processes = batch.rows.column_by_name("process_key").filter(|_| single);
        let processes = processes.and_then(|array| array.as_primitive_opt::<Int64Type>());
        let key = if single { host.to_owned() } else { format!("{}/{host}", batch.class.name) };
        Keys { processes, fixed: key.len(), key: key.into_bytes() }
    }

    /// The key of a message that starts with this row.
    pub fn of(&mut self, row: usize) -> &[u8] {
        self.key.truncate(self.fixed);
        if let Some(processes) = self.processes.filter(|p| p.is_valid(row)) {
            self.key.push(b'/');
            self.key.extend_from_slice(itoa::Buffer::new().format(processes.value(row)).as_bytes());
        }
        &self.key
    }
}

/// What stands beside a message of many rows; none for single events, where three headers cost half the throughput.
pub(super) fn headers(batch: &Batch, format: PayloadFormat, message: &Message) -> Option<OwnedHeaders> {
    if format == PayloadFormat::Json {
        return None;
    }
    Some(described(batch.class.name, identity_of(batch, message.first_row), message.rows))
}

/// The headers of a message with so many rows of a class, from this one on.
pub(super) fn described(class: &str, first: RowIdentity<'_>, rows: usize) -> OwnedHeaders {
    let RowIdentity { host, boot_id, epoch, cpu, seq } = first;
    let mut first = Vec::new();
    // Writing to memory cannot fail.
    write!(first, "{host}/{boot_id}/{epoch}/{cpu}/{seq}").unwrap_or_default();
    let header = |key, value| Header { key, value: Some(value) };
    let (version, rows) = (SCHEMA_VERSION.to_string(), rows.to_string());
    OwnedHeaders::new_with_capacity(4)
        .insert(header("weir-class", class.as_bytes()))
        .insert(header("weir-schema-version", version.as_bytes()))
        .insert(header("weir-first", &first))
        .insert(header("weir-rows", rows.as_bytes()))
}
