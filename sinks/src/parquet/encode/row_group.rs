//! The columns of one row group, and what every file of a class has in common.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};

use super::PAGE_ROWS;
use super::boolean::BooleanColumn;
use super::chunk::Codec;
use super::int::IntColumn;
use super::text::TextColumn;

/// Share of row groups that a bloom filter lets pass in vain.
pub(super) const BLOOM_FALSE_POSITIVES: f64 = 0.01;
/// Columns that people look single values up in.
const BLOOM_COLUMNS: &[&str] = &["process_key", "remote_ip", "container_id"];
/// Columns whose values do not repeat.
const GROWING_COLUMNS: &[&str] = &["time", "ktime_ns", "seq"];
/// Column that the rows of a file are sorted by.
const SORTED_BY: &str = "ktime_ns";

/// An array whose type is not the column's.
pub(super) fn mismatch(array: &dyn Array) -> ParquetError {
    ParquetError::General(format!("a column of type {} was not expected", array.data_type()))
}

/// The columns of one class: their Arrow and Parquet schemas.
#[derive(Clone)]
pub(in crate::parquet) struct Layout {
    arrow: SchemaRef,
    parquet: SchemaDescPtr,
}

impl Layout {
    /// The layout of this schema.
    ///
    /// # Errors
    /// A type that Parquet does not know.
    pub(in crate::parquet) fn new(arrow: SchemaRef) -> Result<Layout> {
        let parquet = Arc::new(ArrowSchemaConverter::new().convert(&arrow)?);
        Ok(Layout { arrow, parquet })
    }

    /// Starts a file on `out`.
    ///
    /// # Errors
    /// `out` fails.
    pub(in crate::parquet) fn start<W: Write + Send>(
        &self,
        out: W,
        codec: &Codec,
    ) -> Result<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory)> {
        let sorted = self.arrow.index_of(SORTED_BY).ok();
        let sorting =
            sorted.map(|i| vec![SortingColumn { column_idx: i as i32, descending: false, nulls_first: false }]);
        let properties = WriterProperties::builder()
            .set_compression(codec.compression())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_sorting_columns(sorting)
            .set_created_by(concat!("weir version ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties);
        ArrowWriter::try_new_with_options(out, Arc::clone(&self.arrow), options)?.into_serialized_writer()
    }
}

enum Column {
    Text(Box<TextColumn>),
    Int(Box<IntColumn>),
    Boolean(Box<BooleanColumn>),
    /// Lists go through the general writer: one class has two of them.
    List(FieldRef, Box<ArrowColumnWriter>),
}

/// Rows on their way into one row group.
pub(in crate::parquet) struct RowGroup {
    columns: Vec<Column>,
    rows: usize,
}

impl RowGroup {
    /// An empty row group, number `index` of its file.
    ///
    /// # Errors
    /// A type that no class has.
    pub(in crate::parquet) fn new(
        layout: &Layout,
        lists: &ArrowRowGroupWriterFactory,
        index: usize,
    ) -> Result<RowGroup> {
        let is_list = |field: &FieldRef| matches!(field.data_type(), DataType::List(_));
        let mut writers: Vec<Option<ArrowColumnWriter>> = match layout.arrow.fields().iter().any(is_list) {
            true => lists.create_column_writers(index)?.into_iter().map(Some).collect(),
            false => Vec::new(),
        };
        let columns = layout.arrow.fields().iter().zip(layout.parquet.columns()).enumerate();
        let columns = columns.map(|(i, (field, column))| match writers.get_mut(i).and_then(Option::take) {
            Some(writer) if is_list(field) => Ok(Column::List(Arc::clone(field), Box::new(writer))),
            _ => Column::new(field, Arc::clone(column)),
        });
        Ok(RowGroup { columns: columns.collect::<Result<_>>()?, rows: 0 })
    }

    /// Rows so far.
    pub(in crate::parquet) fn rows(&self) -> usize {
        self.rows
    }

    /// Heap bytes in use: encoded pages, dictionaries and open pages.
    pub(in crate::parquet) fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// The batch is not of this layout.
    pub(in crate::parquet) fn append(&mut self, batch: &RecordBatch, codec: &mut Codec) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            let (found, expected) = (batch.num_columns(), self.columns.len());
            return Err(ParquetError::General(format!("a batch of {found} columns, expected {expected}")));
        }
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            for start in (0..batch.num_rows()).step_by(PAGE_ROWS) {
                let rows = PAGE_ROWS.min(batch.num_rows() - start);
                match rows == batch.num_rows() {
                    true => column.append(array, codec)?,
                    false => column.append(&array.slice(start, rows), codec)?,
                }
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Writes the row group.
    ///
    /// # Errors
    /// The file fails.
    pub(in crate::parquet) fn finish<W: Write + Send>(
        self,
        file: &mut SerializedFileWriter<W>,
        codec: &mut Codec,
    ) -> Result<()> {
        let mut out = file.next_row_group()?;
        for column in self.columns {
            let finished = match column {
                Column::Text(column) => column.finish(codec)?,
                Column::Int(column) => column.finish(codec)?,
                Column::Boolean(column) => column.finish(codec)?,
                Column::List(_, writer) => {
                    writer.close()?.append_to_row_group(&mut out)?;
                    continue;
                }
            };
            out.append_column(&finished.bytes, finished.close)?;
        }
        out.close()?;
        Ok(())
    }
}

impl Column {
    fn new(field: &FieldRef, column: ColumnDescPtr) -> Result<Column> {
        let name = field.name().as_str();
        let bloom = BLOOM_COLUMNS.contains(&name);
        Ok(match field.data_type() {
            DataType::Dictionary(..) => Column::Text(Box::new(TextColumn::new(column, bloom))),
            DataType::Boolean => Column::Boolean(Box::new(BooleanColumn::new(column))),
            DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => {
                Column::Int(Box::new(IntColumn::new(column, GROWING_COLUMNS.contains(&name), bloom)))
            }
            other => return Err(ParquetError::NYI(format!("column {name} of type {other}"))),
        })
    }

    fn append(&mut self, array: &ArrayRef, codec: &mut Codec) -> Result<()> {
        match self {
            Column::Text(column) => column.append(array, codec),
            Column::Int(column) => column.append(array, codec),
            Column::Boolean(column) => column.append(array, codec),
            Column::List(field, writer) => compute_leaves(field, array)?.iter().try_for_each(|leaf| writer.write(leaf)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::Text(column) => column.bytes(),
            Column::Int(column) => column.bytes(),
            Column::Boolean(column) => column.bytes(),
            Column::List(_, writer) => writer.memory_size(),
        }
    }
}
