//! List columns: texts separated by NUL, as `argv` and the environment stand in memory.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use weir_schema::ColumnType;

use crate::texts::push_bytes;

/// The lists of one column, as bytes until the batch closes.
#[derive(Default)]
pub struct ListColumn {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    nulls: Vec<bool>,
}

impl ListColumn {
    /// Appends a list, or null.
    pub fn push(&mut self, list: Option<&[u8]>) {
        self.bytes.extend_from_slice(list.unwrap_or_default());
        self.ends.push(self.bytes.len());
        self.nulls.push(list.is_some());
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The column.
    pub fn close(&mut self) -> ArrayRef {
        let mut text = String::with_capacity(self.bytes.len());
        let (mut text_ends, mut list_ends) = (vec![0i32], vec![0i32]);
        let mut start = 0;
        for end in self.ends.drain(..) {
            let list = &self.bytes[start..end];
            if !list.is_empty() {
                for bytes in list.strip_suffix(b"\0").unwrap_or(list).split(|b| *b == 0) {
                    push_bytes(bytes, &mut text);
                    text_ends.push(text.len() as i32);
                }
            }
            list_ends.push(text_ends.len() as i32 - 1);
            start = end;
        }
        self.bytes.clear();
        let nulls = NullBuffer::from_iter(self.nulls.drain(..));
        let DataType::List(field) = weir_schema::arrow::data_type(ColumnType::TextList) else {
            unreachable!("lists of text are lists")
        };
        let values = StringArray::new(offsets(text_ends), Buffer::from_vec(text.into_bytes()), None);
        Arc::new(ListArray::new(field, offsets(list_ends), Arc::new(values), (nulls.null_count() > 0).then_some(nulls)))
    }
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}
