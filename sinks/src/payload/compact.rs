//! Dictionaries without what a slice of rows does not use.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

/// An entry that no row so far has.
const UNUSED: i32 = -1;

/// The same rows; dictionaries that are larger than the keys of these rows hold only what the rows use, in the order of
/// first use.
pub(super) fn compacted(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(compact).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(rows.schema(), columns)
}

fn compact(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let array = column.as_dictionary_opt::<Int32Type>();
    let Some((array, values)) = array.and_then(|a| Some((a, a.values().as_string_opt::<i32>()?))) else {
        return Ok(Arc::clone(column));
    };
    let value_bytes = values.value_offsets()[values.len()] as usize + size_of_val(values.value_offsets());
    if value_bytes <= size_of::<i32>() * array.len() {
        return Ok(Arc::clone(column));
    }
    let mut used = Used { key_of: vec![UNUSED; values.len()], offsets: vec![0], bytes: Vec::new() };
    let keys: Int32Array = match array.nulls() {
        None => array.keys().values().iter().map(|key| used.key(values, *key)).collect::<Vec<_>>().into(),
        Some(nulls) => {
            let keys = array.keys().values().iter().zip(nulls);
            let keys = keys.map(|(key, valid)| if valid { used.key(values, *key) } else { 0 }).collect::<Vec<_>>();
            Int32Array::new(ScalarBuffer::from(keys), Some(nulls.clone()))
        }
    };
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(used.finish()))?))
}

/// The entries that rows have.
struct Used {
    /// New key by old one.
    key_of: Vec<i32>,
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Used {
    fn key(&mut self, values: &StringArray, old: i32) -> i32 {
        let key = &mut self.key_of[old as usize];
        if *key == UNUSED {
            *key = self.offsets.len() as i32 - 1;
            self.bytes.extend_from_slice(values.value(old as usize).as_bytes());
            self.offsets.push(self.bytes.len() as i32);
        }
        *key
    }

    fn finish(self) -> StringArray {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::new(offsets, Buffer::from_vec(self.bytes), None)
    }
}
