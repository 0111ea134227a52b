//! List columns: texts separated by NUL, as `argv` and the environment stand in memory.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StringArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
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
        let mut texts: Vec<String> = vec![];
        let mut offsets = vec![0i32];
        let mut start = 0;
        for end in self.ends.drain(..) {
            let list = &self.bytes[start..end];
            if !list.is_empty() {
                for text in list.strip_suffix(b"\0").unwrap_or(list).split(|b| *b == 0) {
                    let mut out = String::with_capacity(text.len());
                    push_bytes(text, &mut out);
                    texts.push(out);
                }
            }
            offsets.push(texts.len() as i32);
            start = end;
        }
        self.bytes.clear();
        let nulls = NullBuffer::from_iter(self.nulls.drain(..));
        let DataType::List(field) = weir_schema::arrow::data_type(ColumnType::TextList) else {
            unreachable!("lists of text are lists")
        };
        let values = Arc::new(StringArray::from_iter_values(texts));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Arc::new(ListArray::new(field, offsets, values, (nulls.null_count() > 0).then_some(nulls)))
    }
}
