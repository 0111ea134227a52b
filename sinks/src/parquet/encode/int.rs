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

use super::PAGE_ROWS;
use super::chunk::{Chunk, Codec, DictionaryPage, Finished};
use super::delta::{Width, put_delta};
use super::hybrid::Keys;
use super::int_table::IntTable;
use super::row_group::{BLOOM_FALSE_POSITIVES, mismatch};

/// Rows with a value per distinct value below which a dictionary costs more than it saves.
const REPEATS_MIN: usize = 2;

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
            DataType::Int32 => self.append_values(array.as_primitive::<Int32Type>().values(), nulls),
            DataType::Int64 => self.append_values(array.as_primitive::<Int64Type>().values(), nulls),
            DataType::Timestamp(..) => match array.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(array) => self.append_values(array.values(), nulls),
                None => return Err(mismatch(array)),
            },
            _ => return Err(mismatch(array)),
        }
        self.chunk.append(array.len(), nulls);
        let open = self.chunk.open_rows();
        if open >= PAGE_ROWS && !(self.delta.is_none() && self.keys.is_uniform()) {
            self.write_page(codec)?;
        }
        Ok(())
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let delta = self.delta.as_ref().map_or(0, |values| values.capacity() * size_of::<i64>());
        self.chunk.bytes() + self.table.bytes() + self.keys.bytes() + delta
    }

    fn append_values<T: Copy + PartialEq + Into<i64>>(&mut self, values: &[T], nulls: Option<&NullBuffer>) {
        if nulls.is_some_and(|nulls| nulls.null_count() == values.len()) {
            return;
        }
        if self.delta.is_none() {
            let done = self.append_keys(values, nulls);
            if done == values.len() {
                return;
            }
            self.leave_dictionary();
            let rest = nulls.map(|nulls| nulls.slice(done, values.len() - done));
            return self.append_values(&values[done..], rest.as_ref());
        }
        let delta = self.delta.get_or_insert_default();
        match nulls {
            None => delta.extend(values.iter().map(|v| (*v).into())),
            Some(nulls) => delta.extend(nulls.valid_indices().map(|i| values[i].into())),
        }
    }

    /// Returns how many leading rows were taken.
    fn append_keys<T: Copy + PartialEq + Into<i64>>(&mut self, values: &[T], nulls: Option<&NullBuffer>) -> usize {
        let before = self.keys.len();
        let done = match nulls {
            None => match values {
                [first, ..] if values.iter().all(|v| v == first) => match self.table.key((*first).into()) {
                    Some(key) => {
                        self.keys.push_run(key, values.len());
                        values.len()
                    }
                    None => 0,
                },
                _ => self.append_each(values, 0..values.len()),
            },
            Some(nulls) => self.append_each(values, nulls.valid_indices()),
        };
        self.keyed += self.keys.len() - before;
        done
    }

    fn append_each<T: Copy + Into<i64>>(&mut self, values: &[T], rows: impl Iterator<Item = usize>) -> usize {
        let keys = self.keys.many(values.len());
        for row in rows {
            match self.table.key(values[row].into()) {
                Some(key) => keys.push(key),
                None => return row,
            }
        }
        values.len()
    }

    /// Turns the keys of the open page back into values; finished pages keep their dictionary.
    fn leave_dictionary(&mut self) {
        let keys = std::mem::take(&mut self.keys).into_vec();
        let values = self.table.values();
        self.delta = Some(keys.into_iter().map(|key| values[key as usize]).collect());
        if self.chunk.is_first_page() {
            self.table.clear();
        }
    }

    fn write_page(&mut self, codec: &mut Codec) -> Result<()> {
        let rarely_repeats = self.keyed < self.table.values().len() * REPEATS_MIN;
        if self.delta.is_none() && rarely_repeats && !self.bloom {
            self.leave_dictionary();
        }
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
