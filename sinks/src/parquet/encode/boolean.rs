//! Columns of booleans: the bits of the batch as they are, without those of null rows.

use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_buffer::BooleanBufferBuilder;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::KEYED_PAGE_ROWS;
use super::chunk::{Chunk, Codec, Finished};
use super::row_group::mismatch;

/// One column of booleans.
pub(super) struct BooleanColumn {
    chunk: Chunk,
    bits: BooleanBufferBuilder,
    /// Values and true values of the row group.
    values: usize,
    trues: usize,
}

impl BooleanColumn {
    /// An empty column.
    pub(super) fn new(column: ColumnDescPtr) -> BooleanColumn {
        BooleanColumn { chunk: Chunk::new(column), bits: BooleanBufferBuilder::new(0), values: 0, trues: 0 }
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.bits.capacity().div_ceil(8)
    }

    /// Adds the rows of an array, at most [`super::PAGE_ROWS`].
    pub(super) fn append(&mut self, array: &ArrayRef, codec: &mut Codec) -> Result<()> {
        let values = array.as_boolean_opt().ok_or_else(|| mismatch(array))?;
        match values.nulls() {
            None => {
                self.trues += values.values().count_set_bits();
                self.values += values.len();
                self.bits.append_buffer(values.values());
            }
            Some(nulls) if nulls.null_count() == values.len() => {}
            Some(nulls) => {
                let (trues, valid) = (values.true_count(), values.len() - nulls.null_count());
                self.trues += trues;
                self.values += valid;
                match trues == 0 || trues == valid {
                    true => self.bits.append_n(valid, trues > 0),
                    false => nulls.valid_indices().for_each(|row| self.bits.append(values.value(row))),
                }
            }
        }
        self.chunk.append(array.len(), values.nulls());
        if self.chunk.open_rows() > KEYED_PAGE_ROWS && !self.bits.is_empty() {
            self.write_page(codec)?;
        }
        Ok(())
    }

    fn write_page(&mut self, codec: &mut Codec) -> Result<()> {
        let bits = &self.bits;
        self.chunk.write_page(codec, Encoding::PLAIN, |page| {
            page.extend_from_slice(&bits.as_slice()[..bits.len().div_ceil(8)]);
        })?;
        self.bits.truncate(0);
        Ok(())
    }

    /// The whole column chunk.
    pub(super) fn finish(mut self, codec: &mut Codec) -> Result<Finished> {
        if self.chunk.open_rows() > 0 {
            self.write_page(codec)?;
        }
        let low = (self.values > 0).then_some(self.trues == self.values);
        let high = (self.values > 0).then_some(self.trues > 0);
        let statistics = Statistics::boolean(low, high, None, Some(self.chunk.nulls()), false);
        self.chunk.finish(codec, None, statistics, None)
    }
}
