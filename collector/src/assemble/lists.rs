//! List columns: texts separated by NUL, as `argv` and the environment stand in memory.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringBuilder};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use weir_schema::ColumnType;

use crate::escape::{Pushed, push_at_most};

/// Text of one list in bytes, at most, unless its bytes are more: valid text is kept whole whatever the record has, and bytes
/// that are longer as text cost no more than as many that are not.
pub const LIST_TEXT_BYTES_MAX: usize = 32 << 10;

/// The lists of one column.
#[derive(Default)]
pub struct ListColumn {
    /// What a builder has was text when it came: the array is made without another look at it.
    texts: StringBuilder,
    ends: Vec<i32>,
    nulls: Vec<bool>,
}

impl ListColumn {
    /// Appends a list, or null.
    pub fn push(&mut self, list: Option<&[u8]>) -> Pushed {
        let pushed = list.map(|list| self.push_texts(list.strip_suffix(b"\0").unwrap_or(list)));
        self.ends.push(self.texts.len() as i32);
        self.nulls.push(list.is_some());
        pushed.unwrap_or_default()
    }

    fn push_texts(&mut self, list: &[u8]) -> Pushed {
        if let Ok(text) = simdutf8::basic::from_utf8(list) {
            let mut start = 0;
            for end in memchr::memchr_iter(0, list).chain([list.len()]) {
                self.texts.append_value(&text[start..end]);
                start = end + 1;
            }
            return Pushed::default();
        }
        let mut room = list.len().max(LIST_TEXT_BYTES_MAX);
        for bytes in list.split(|byte| *byte == 0) {
            let before = self.bytes();
            let pushed = push_at_most(bytes, room, &mut self.texts);
            self.texts.append_value("");
            room -= self.bytes() - before;
            if pushed.is_cut {
                return Pushed { is_escaped: true, is_cut: true };
            }
        }
        Pushed { is_escaped: true, is_cut: false }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.texts.values_slice().len()
    }

    /// The column.
    pub fn close(&mut self) -> ArrayRef {
        // The next batch has about as much.
        let room = StringBuilder::with_capacity(self.texts.offsets_slice().len(), self.bytes());
        let texts = std::mem::replace(&mut self.texts, room).finish();
        let mut ends = Vec::with_capacity(self.ends.len() + 1);
        ends.push(0);
        ends.append(&mut self.ends);
        let nulls = NullBuffer::from_iter(self.nulls.drain(..));
        let DataType::List(field) = weir_schema::arrow::data_type(ColumnType::TextList) else {
            unreachable!("lists of text are lists")
        };
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        Arc::new(ListArray::new(field, ends, Arc::new(texts), (nulls.null_count() > 0).then_some(nulls)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    fn texts(column: &ArrayRef, row: usize) -> Vec<String> {
        let list = column.as_list::<i32>().value(row);
        list.as_string::<i32>().iter().map(|text| text.expect("a text").to_owned()).collect()
    }

    #[test]
    fn each_text_of_a_list_is_escaped_by_itself() {
        let mut column = ListColumn::default();
        assert_eq!(column.push(Some(b"a\\b\0\0c\\\xff\0")), Pushed { is_escaped: true, is_cut: false });
        assert_eq!(column.push(None), Pushed::default());
        assert_eq!(column.push(Some("ü\0\0".as_bytes())), Pushed::default());
        let closed = column.close();
        assert_eq!(texts(&closed, 0), ["a\\b", "", "c\\\\\\xff"]);
        assert!(closed.is_null(1));
        assert_eq!(texts(&closed, 2), ["ü", ""]);
        assert_eq!(column.bytes(), 0);
        assert_eq!(column.close().len(), 0);
    }

    #[test]
    fn bytes_that_are_longer_as_text_make_no_more_of_it_than_others() {
        let mut column = ListColumn::default();
        let valid = vec![b'a'; 60_000];
        assert_eq!(column.push(Some(&valid)), Pushed::default());
        assert_eq!(column.bytes(), 60_000);
        for byte in [0xff, b'\\'] {
            let mut list = vec![byte; 32_000];
            list[0] = 0xff;
            list[20_000] = 0;
            let before = column.bytes();
            assert_eq!(column.push(Some(&list)), Pushed { is_escaped: true, is_cut: true });
            assert!((LIST_TEXT_BYTES_MAX - 3..=LIST_TEXT_BYTES_MAX).contains(&(column.bytes() - before)));
        }
        // What is short is whole whatever it is.
        let before = column.bytes();
        assert_eq!(column.push(Some(&[0xff; 8_000])), Pushed { is_escaped: true, is_cut: false });
        assert_eq!(column.bytes() - before, 32_000);
    }
}
