//! Dictionary columns: each text of a batch once, and a key per row.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use foldhash::fast::FixedState;

use crate::texts::{TextId, Texts};

/// The distinct texts of one column of one batch.
#[derive(Default)]
struct Values {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Values {
    fn push(&mut self, text: &str) -> i32 {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(self.bytes.len() as i32);
        self.offsets.len() as i32 - 2
    }

    fn finish(&mut self) -> StringArray {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::take(&mut self.offsets)));
        StringArray::new(offsets, Buffer::from_vec(std::mem::take(&mut self.bytes)), None)
    }
}

fn column(keys: Vec<i32>, nulls: Option<NullBuffer>, values: StringArray) -> ArrayRef {
    let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
    Arc::new(
        DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values)).expect("every key was given out by its values"),
    )
}

/// A column whose rows all have the same text.
pub fn constant(text: &str, rows: usize) -> ArrayRef {
    column(vec![0; rows], None, StringArray::from(vec![text]))
}

/// A column of texts from the table of texts.
#[derive(Default)]
pub struct TextColumn {
    /// Key + 1 of each text that this batch has, by its number.
    key_of: Vec<i32>,
    used: Vec<u32>,
    values: Values,
}

impl TextColumn {
    /// The column of these texts, one per row; [`TextId::NONE`] is null.
    pub fn close(&mut self, ids: impl Iterator<Item = TextId>, texts: &Texts) -> ArrayRef {
        self.key_of.resize(texts.len(), 0);
        let mut keys = Vec::with_capacity(ids.size_hint().0);
        let mut none = 0;
        for id in ids {
            let mut key = self.key_of[id.index()];
            if key == 0 && !id.is_none() {
                key = self.values.push(texts.get(id)) + 1;
                self.key_of[id.index()] = key;
                self.used.push(id.index() as u32);
            }
            none += usize::from(key == 0);
            keys.push(key - 1);
        }
        let nulls = (none > 0).then(|| {
            let nulls = NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), |i| keys[i] >= 0));
            keys.iter_mut().for_each(|k| *k = (*k).max(0));
            nulls
        });
        self.used.drain(..).for_each(|i| self.key_of[i as usize] = 0);
        let values = self.values.finish();
        if none == keys.len() {
            return arrow_array::new_null_array(
                &weir_schema::arrow::data_type(weir_schema::ColumnType::Text),
                keys.len(),
            );
        }
        column(keys, nulls, values)
    }
}

/// A column of texts that are made of a small value (a number of an error, flags).
pub struct LabelColumn<K> {
    keys: Vec<i32>,
    key_of: HashMap<K, i32, FixedState>,
    last: Option<(K, i32)>,
    values: Values,
    nulls: usize,
}

impl<K: Copy + Eq + Hash> LabelColumn<K> {
    /// An empty column for this many rows.
    pub fn new(rows: usize) -> LabelColumn<K> {
        let keys = Vec::with_capacity(rows);
        LabelColumn { keys, key_of: HashMap::default(), last: None, values: Values::default(), nulls: 0 }
    }

    /// A row without text.
    pub fn push_null(&mut self) {
        self.nulls += 1;
        self.keys.push(-1);
    }

    /// A row with the text of `label`, made by `make` the first time.
    pub fn push(&mut self, label: K, make: impl FnOnce(&mut String)) {
        if let Some((last, key)) = self.last
            && last == label
        {
            self.keys.push(key);
            return;
        }
        let key = *self.key_of.entry(label).or_insert_with(|| {
            let mut text = String::new();
            make(&mut text);
            self.values.push(&text)
        });
        self.last = Some((label, key));
        self.keys.push(key);
    }

    /// The column.
    pub fn finish(mut self) -> ArrayRef {
        let rows = self.keys.len();
        if self.nulls == rows {
            return arrow_array::new_null_array(&weir_schema::arrow::data_type(weir_schema::ColumnType::Text), rows);
        }
        let nulls = (self.nulls > 0).then(|| {
            let nulls = NullBuffer::new(BooleanBuffer::collect_bool(rows, |i| self.keys[i] >= 0));
            self.keys.iter_mut().for_each(|k| *k = (*k).max(0));
            nulls
        });
        column(self.keys, nulls, self.values.finish())
    }
}
