//! Parquet files: only the columns that are needed, a few thousand rows at a time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use thiserror::Error;
use weir_schema::{CLASSES, Class};

use super::account::{Account, NAME_BYTES_MAX, Stream};
use super::row::{Loss, Row, RowError};

/// Rows decoded at once: the columns of a batch stay in the second-level cache.
const BATCH_ROWS: usize = 16_384;
/// The same where texts may be long.
const BATCH_ROWS_OF_LONG_TEXTS: usize = 1_024;
/// Bytes of a column's texts in a group of rows that are no reason for smaller batches.
const TEXTS_BYTES: u64 = 4 << 20;
/// Columns of every class that are read.
const COMMON: &[&str] = &["time", "ktime_ns", "host", "boot_id", "epoch", "cpu", "seq"];
/// Of all columns those that are texts.
const TEXTS: &[&str] = &["host", "boot_id", "action", "by_action", "reason"];
/// Columns of class `loss` that are read besides.
const LOSS: &[&str] = &["action", "gap_cpu", "first_seq", "last_seq", "last_ktime_ns", "count", "by_action", "reason"];

/// Why a file could not be read, or not to its end.
#[derive(Debug, Error)]
pub enum FileError {
    /// The file system's answer.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Not a Parquet file, cut, or damaged.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    /// Damaged inside a column.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
    /// Not written by weir.
    #[error("no column `{0}`")]
    Missing(&'static str),
    /// Not written by weir.
    #[error("column `{0}` has type {1}")]
    Type(&'static str, DataType),
    /// Not written by weir.
    #[error("column `{0}` has nulls")]
    Nulls(&'static str),
    /// Not written by weir: no row has so much.
    #[error("column `{0}` has {1} bytes in {2} rows")]
    Long(&'static str, u64, u64),
    /// A row makes no sense.
    #[error("row {0}: {1}")]
    Row(u64, RowError),
    /// All of them make none.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The decoder met what its authors thought impossible.
    #[error("damaged: the decoder gave up")]
    Panic,
}

/// Adds all rows of a file; returns how many. Rows before an error are added.
pub fn read(file: io::Result<File>, path: &Path, name: &str, account: &mut Account) -> Result<(), FileError> {
    // Damaged bytes can make the decoder panic; a verdict is due all the same. What `account` holds then are whole rows.
    let decode = std::panic::AssertUnwindSafe(|| read_all(file?, path, name, account));
    std::panic::catch_unwind(decode).unwrap_or(Err(FileError::Panic))
}

pub(super) fn read_all(file: File, path: &Path, name: &str, account: &mut Account) -> Result<(), FileError> {
    let metadata = metadata(&file)?;
    let is_loss = metadata.schema().column_with_name("gap_cpu").is_some();
    let class = account.class(class_name(path, metadata.schema()))?;
    let wanted = COMMON.iter().chain(if is_loss { LOSS } else { &[] }).copied();
    let mask = ProjectionMask::columns(metadata.parquet_schema(), wanted);
    let batch_rows = batch_rows(metadata.metadata())?;
    let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_batch_size(batch_rows)
        .with_projection(mask)
        .build()?;
    let mut stream = Stream::new(name.to_owned());
    let mut first_row = 1;
    for batch in batches {
        let batch = batch?;
        add_batch(&batch, is_loss, first_row, class, &mut stream, account)?;
        first_row += batch.num_rows() as u64;
    }
    Ok(())
}

/// Adds the rows of a batch, which are of one class.
pub(super) fn add_batch(
    batch: &RecordBatch,
    is_loss: bool,
    first_row: u64,
    class: usize,
    stream: &mut Stream,
    account: &mut Account,
) -> Result<(), FileError> {
    let columns = Columns::of(batch)?;
    let loss = if is_loss { Some(LossColumns::of(batch)?) } else { None };
    add(&columns, loss.as_ref(), first_row, class, stream, account)
}

/// The file's metadata. Texts are read as dictionaries, whatever wrote them: a text that stands once in the file and is in all
/// rows takes memory once.
fn metadata(file: &File) -> Result<ArrowReaderMetadata, FileError> {
    let plain = ArrowReaderMetadata::load(file, ArrowReaderOptions::new().with_skip_arrow_metadata(true))?;
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let field = |field: &FieldRef| {
        let is_text = TEXTS.contains(&field.name().as_str()) && *field.data_type() == DataType::Utf8;
        if is_text { Arc::new(field.as_ref().clone().with_data_type(dictionary.clone())) } else { Arc::clone(field) }
    };
    let fields: Vec<FieldRef> = plain.schema().fields().iter().map(field).collect();
    let schema = Arc::new(Schema::new(fields));
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(schema);
    Ok(ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options)?)
}

/// Rows that are decoded at once.
///
/// # Errors
/// A column has more text than its rows can have.
fn batch_rows(metadata: &ParquetMetaData) -> Result<usize, FileError> {
    let mut longest = 0;
    for group in metadata.row_groups() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        for column in group.columns() {
            let Some(name) = TEXTS.iter().find(|text| column.column_path().string() == **text) else { continue };
            let bytes = u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX);
            if bytes > TEXTS_BYTES && bytes / (2 * NAME_BYTES_MAX as u64) > rows {
                return Err(FileError::Long(name, bytes, rows));
            }
            longest = longest.max(bytes);
        }
    }
    Ok(if longest > TEXTS_BYTES { BATCH_ROWS_OF_LONG_TEXTS } else { BATCH_ROWS })
}

/// Name of the class: the Hive folder, else the class with the most columns of which all are in the file.
fn class_name<'a>(path: &'a Path, schema: &Schema) -> &'a str {
    let folders = path.components().rev().filter_map(|part| part.as_os_str().to_str());
    let by_folder = folders.filter_map(|part| part.strip_prefix("class=")).next();
    let fits = |class: &&&Class| class.all_columns().all(|c| schema.column_with_name(c.name).is_some());
    let by_columns = || CLASSES.iter().filter(fits).max_by_key(|class| class.columns.len()).map(|class| class.name);
    by_folder.or_else(by_columns).unwrap_or("unknown")
}

fn add(
    columns: &Columns<'_>,
    loss: Option<&LossColumns<'_>>,
    first_row: u64,
    class: usize,
    stream: &mut Stream,
    account: &mut Account,
) -> Result<(), FileError> {
    let mut run = None;
    for i in 0..columns.seq.len() {
        let at = first_row + i as u64;
        let bad = |error| FileError::Row(at, error);
        let this = match run.filter(|_| columns.same_run(i)) {
            Some(run) => run,
            None => columns.run(i, account).map_err(bad)?,
        };
        run = Some(this);
        let row = Row { cpu: columns.cpu[i], seq: columns.seq[i], ktime_ns: columns.ktime[i] };
        let new = account.row(stream, at, this, class, row).map_err(bad)?;
        if let Some(loss) = loss.filter(|_| new) {
            account.runs()[this].loss(stream, at, row, loss.get(i).map_err(bad)?).map_err(bad)?;
        }
    }
    Ok(())
}

/// Columns of every class, of one batch.
struct Columns<'a> {
    time: Option<&'a [i64]>,
    ktime: &'a [i64],
    host: Texts<'a>,
    boot_id: Texts<'a>,
    epoch: &'a [i64],
    cpu: &'a [i32],
    seq: &'a [i64],
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Columns<'a>, FileError> {
        let time = batch.column_by_name("time");
        let time = time.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        Ok(Columns {
            time: time.map(|c| &c.values()[..]),
            ktime: full(int64(batch, "ktime_ns")?, "ktime_ns")?.values(),
            host: Texts::of(batch, "host")?,
            boot_id: Texts::of(batch, "boot_id")?,
            epoch: full(int64(batch, "epoch")?, "epoch")?.values(),
            cpu: full(int32(batch, "cpu")?, "cpu")?.values(),
            seq: full(int64(batch, "seq")?, "seq")?.values(),
        })
    }

    /// Whether a row has the identity of the row before it.
    fn same_run(&self, i: usize) -> bool {
        self.epoch[i] == self.epoch[i - 1] && self.boot_id.same(i) && self.host.same(i)
    }

    fn run(&self, i: usize, account: &mut Account) -> Result<usize, RowError> {
        let host = self.host.get(i).ok_or(RowError::Null("host"))?;
        let boot_id = self.boot_id.get(i).ok_or(RowError::Null("boot_id"))?;
        let run = account.run(host, boot_id, self.epoch[i])?;
        if let Some(time) = self.time {
            account.runs()[run].clock.sample(time[i], self.ktime[i]);
        }
        Ok(run)
    }
}

/// Columns of class `loss`, of one batch.
struct LossColumns<'a> {
    action: Texts<'a>,
    gap_cpu: &'a Int32Array,
    first_seq: &'a Int64Array,
    last_seq: &'a Int64Array,
    last_ktime: &'a Int64Array,
    count: &'a Int64Array,
    by_action: Texts<'a>,
    reason: Texts<'a>,
}

impl<'a> LossColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<LossColumns<'a>, FileError> {
        Ok(LossColumns {
            action: Texts::of(batch, "action")?,
            gap_cpu: int32(batch, "gap_cpu")?,
            first_seq: int64(batch, "first_seq")?,
            last_seq: int64(batch, "last_seq")?,
            last_ktime: int64(batch, "last_ktime_ns")?,
            count: int64(batch, "count")?,
            by_action: Texts::of(batch, "by_action")?,
            reason: Texts::of(batch, "reason")?,
        })
    }

    fn get(&self, i: usize) -> Result<Loss<'a>, RowError> {
        let int = |column: &Int64Array| column.is_valid(i).then(|| column.value(i));
        Ok(Loss {
            action: self.action.get(i).ok_or(RowError::Null("action"))?,
            gap_cpu: self.gap_cpu.is_valid(i).then(|| self.gap_cpu.value(i)),
            first_seq: int(self.first_seq),
            last_seq: int(self.last_seq),
            last_ktime_ns: int(self.last_ktime),
            count: int(self.count),
            by_action: self.by_action.get(i),
            reason: self.reason.get(i),
        })
    }
}

/// A column of text, dictionary or plain.
enum Texts<'a> {
    Dictionary(&'a Int32Array, &'a StringArray),
    Plain(&'a StringArray),
}

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, name: &'static str) -> Result<Texts<'a>, FileError> {
        let column = batch.column_by_name(name).ok_or(FileError::Missing(name))?;
        let wrong = || FileError::Type(name, column.data_type().clone());
        if let Some(plain) = column.as_string_opt::<i32>() {
            return Ok(Texts::Plain(plain));
        }
        let dictionary = column.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
        let values = dictionary.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        Ok(Texts::Dictionary(dictionary.keys(), values))
    }

    fn get(&self, i: usize) -> Option<&'a str> {
        match self {
            Texts::Plain(texts) => texts.is_valid(i).then(|| texts.value(i)),
            Texts::Dictionary(keys, values) => {
                let key = keys.is_valid(i).then(|| keys.value(i))? as usize;
                (key < values.len()).then(|| values.value(key))
            }
        }
    }

    /// Whether a row has the text of the row before it.
    fn same(&self, i: usize) -> bool {
        match self {
            Texts::Dictionary(keys, _) if keys.null_count() == 0 => keys.value(i) == keys.value(i - 1),
            _ => self.get(i) == self.get(i - 1),
        }
    }
}

fn int64<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a Int64Array, FileError> {
    let column = batch.column_by_name(name).ok_or(FileError::Missing(name))?;
    column.as_primitive_opt::<Int64Type>().ok_or_else(|| FileError::Type(name, column.data_type().clone()))
}

fn int32<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a Int32Array, FileError> {
    let column = batch.column_by_name(name).ok_or(FileError::Missing(name))?;
    column.as_primitive_opt::<Int32Type>().ok_or_else(|| FileError::Type(name, column.data_type().clone()))
}

fn full<'a, A: Array>(column: &'a A, name: &'static str) -> Result<&'a A, FileError> {
    if column.null_count() > 0 { Err(FileError::Nulls(name)) } else { Ok(column) }
}
