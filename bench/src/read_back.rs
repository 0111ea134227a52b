//! Reads text columns of Parquet files back.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Sums what `of` says of the named text columns of every row.
pub fn count(files: &[PathBuf], columns: &[&str], of: impl Fn(&[Option<String>]) -> u64) -> Result<u64> {
    let mut sum = 0;
    for path in files {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        for batch in builder.with_projection(mask).build()? {
            let batch = batch?;
            let texts: Vec<_> =
                columns.iter().map(|c| batch.column_by_name(c).context("a column")).collect::<Result<_>>()?;
            for row in 0..batch.num_rows() {
                let values: Vec<Option<String>> = texts.iter().map(|t| text(t, row)).collect();
                sum += of(&values);
            }
        }
    }
    Ok(sum)
}

fn text(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let (values, at) = match column.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => (dictionary.values().as_ref(), dictionary.keys().value(row) as usize),
        None => (column, row),
    };
    values.as_any().downcast_ref::<StringArray>().map(|v| v.value(at).to_owned())
}
