//! Columns of whole numbers: by key while values repeat, as packed differences otherwise.

use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use parquet::basic::{Encoding, Type};
use parquet::bloom_filter::Sbbf;
use parquet::errors::Result;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, Codec, DictionaryPage, Finished};
use super::delta::{Width, put_delta};
use super::int_table::IntTable;
use super::keys::Keys;
use super::row_group::{BLOOM_FALSE_POSITIVES, mismatch};
use super::{KEYED_PAGE_ROWS, PAGE_ROWS};

/// Rows with a value per distinct value below which a dictionary costs more than it saves.
const REPEATS_MIN: usize = 2;
/// Rows per run of equal values from which on a look-up per run is worth finding the runs.
const RUN_ROWS_MIN: usize = 4;
/// Distinct values from which on the dictionary is sorted: the bytes of neighbours are alike then, and a dictionary of
/// addresses takes two thirds. A smaller one is not worth the second look at every key.
const SORTED_MIN: usize = 257;

/// A number of a column.
pub(super) trait Number: Copy + PartialEq + Into<i64> {}

impl<T: Copy + PartialEq + Into<i64>> Number for T {}

/// One column of INT32 or INT64.
pub(super) struct IntColumn {
    chunk: Chunk,
    width: Width,
    bloom: bool,
    table: IntTable,
    /// Values with a key so far, of the whole row group.
    keyed: usize,
    keys: Keys,
    /// Values of the open page once there is no dictionary any more.
    delta: Option<Vec<i64>>,
    /// Of the values in `delta` pages.
    range: Option<(i64, i64)>,
}

impl IntColumn {
    /// An empty column; `grows` says that values do not repeat, `bloom` asks for a filter (and keeps the dictionary).
    pub(super) fn new(column: ColumnDescPtr, grows: bool, bloom: bool) -> IntColumn {
        let width = if column.physical_type() == Type::INT32 { Width::W32 } else { Width::W64 };
        IntColumn {
            chunk: Chunk::new(column),
            width,
            bloom,
            table: IntTable::new(),
            keyed: 0,
            keys: Keys::default(),
            delta: grows.then(Vec::new),
            range: None,
        }
    }

    /// Adds the rows of an array, at most [`PAGE_ROWS`].
    pub(super) fn append(&mut self, array: &ArrayRef, codec: &mut Codec) -> Result<()> {
        let nulls = array.nulls();
        match array.data_type() {
            DataType::Int32 => self.append_values(array.as_primitive::<Int32Type>().values(), nulls, codec),
            DataType::Int64 => self.append_values(array.as_primitive::<Int64Type>().values(), nulls, codec),
            DataType::Timestamp(..) => match array.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(array) => self.append_values(array.values(), nulls, codec),
                None => return Err(mismatch(array)),
            },
            _ => return Err(mismatch(array)),
        }
        self.chunk.append(array.len(), nulls);
        if self.keys.len() >= PAGE_ROWS && self.dictionary_is_vain() {
            self.leave_dictionary();
        }
        let is_full = match self.delta {
            Some(_) => self.chunk.open_rows() >= PAGE_ROWS,
            None => self.chunk.open_rows() > KEYED_PAGE_ROWS && !self.keys.is_uniform(),
        };
        if is_full { self.write_page(codec) } else { Ok(()) }
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let delta = self.delta.as_ref().map_or(0, |values| values.capacity() * size_of::<i64>());
        self.chunk.bytes() + self.table.bytes() + self.keys.bytes() + delta
    }

    fn append_values<T: Number>(&mut self, values: &[T], nulls: Option<&NullBuffer>, codec: &mut Codec) {
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            return self.append_dense(values, &mut codec.keys);
        };
        if nulls.null_count() < values.len() {
            codec.values.clear();
            codec.values.extend(nulls.valid_indices().map(|row| values[row].into()));
            self.append_dense(&codec.values, &mut codec.keys);
        }
    }

    fn append_dense<T: Number>(&mut self, values: &[T], keys: &mut Vec<u32>) {
        if self.delta.is_none() && !self.append_keys(values, keys) {
            self.leave_dictionary();
        }
        if let Some(delta) = &mut self.delta {
            delta.extend(values.iter().map(|v| (*v).into()));
        }
    }

    /// Whether the dictionary took the values.
    fn append_keys<T: Number>(&mut self, values: &[T], keys: &mut Vec<u32>) -> bool {
        let changes = values.iter().zip(values.iter().skip(1)).filter(|(a, b)| a != b).count();
        if let (0, [first, ..]) = (changes, values) {
            let Some(key) = self.table.key((*first).into()) else { return false };
            self.keys.push_run(key, values.len(), self.table.values().len());
        } else {
            let known = match changes * RUN_ROWS_MIN < values.len() {
                true => self.table.keys_of_runs(values, keys),
                false => self.table.keys(values, keys),
            };
            if !known {
                return false;
            }
            self.keys.extend(keys, self.table.values().len());
        }
        self.keyed += values.len();
        true
    }

    /// Turns the keys of the open page back into values; finished pages keep their dictionary.
    fn leave_dictionary(&mut self) {
        self.delta = Some(std::mem::take(&mut self.keys).resolve(self.table.values()));
        if self.chunk.is_first_page() {
            self.table.clear();
        }
    }

    /// Whether values repeat too rarely for a dictionary.
    fn dictionary_is_vain(&self) -> bool {
        self.delta.is_none() && !self.bloom && self.keyed < self.table.values().len() * REPEATS_MIN
    }

    fn write_page(&mut self, codec: &mut Codec) -> Result<()> {
        let Some(values) = &mut self.delta else {
            let (keys, distinct) = (&mut self.keys, self.table.values().len());
            if distinct == 0 {
                return self.chunk.write_page(codec, Encoding::PLAIN, |_| ());
            }
            return self.chunk.write_page(codec, Encoding::RLE_DICTIONARY, |page| keys.put(page, distinct));
        };
        let width = self.width;
        self.range = wider(self.range, range(values));
        self.chunk.write_page(codec, Encoding::DELTA_BINARY_PACKED, |page| put_delta(page, values, width))?;
        values.clear();
        Ok(())
    }

    /// The whole column chunk.
    pub(super) fn finish(mut self, codec: &mut Codec) -> Result<Finished> {
        if self.dictionary_is_vain() {
            self.leave_dictionary();
        }
        if self.chunk.is_first_page() && self.table.values().len() >= SORTED_MIN {
            self.keys.rename(&self.table.sort());
        }
        if self.chunk.open_rows() > 0 {
            self.write_page(codec)?;
        }
        let distinct = self.table.values();
        let range = wider(self.range, range(distinct));
        let (low, high, nulls) = (range.map(|r| r.0), range.map(|r| r.1), Some(self.chunk.nulls()));
        let statistics = match self.width {
            Width::W32 => Statistics::int32(low.map(|v| v as i32), high.map(|v| v as i32), None, nulls, false),
            Width::W64 => Statistics::int64(low, high, None, nulls, false),
        };
        let complete = self.bloom && self.delta.is_none() && !distinct.is_empty();
        let bloom = complete.then(|| bloom_filter(distinct)).transpose()?;
        let mut bytes = Vec::new();
        for value in distinct {
            match self.width {
                Width::W32 => bytes.extend_from_slice(&(*value as i32).to_le_bytes()),
                Width::W64 => bytes.extend_from_slice(&value.to_le_bytes()),
            }
        }
        let dictionary = (!distinct.is_empty()).then_some(DictionaryPage { bytes: &bytes, count: distinct.len() });
        self.chunk.finish(codec, dictionary, statistics, bloom)
    }
}

fn bloom_filter(values: &[i64]) -> Result<Sbbf> {
    let mut filter = Sbbf::new_with_ndv_fpp(values.len() as u64, BLOOM_FALSE_POSITIVES)?;
    for value in values {
        filter.insert(value);
    }
    Ok(filter)
}

fn range(values: &[i64]) -> Option<(i64, i64)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(low, high), v| (low.min(*v), high.max(*v))))
}

fn wider(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}
