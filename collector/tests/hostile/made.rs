//! True files, to be changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use weir_collector::fuzz::sum_frames;
use weir_collector::spool::{Log, LogOptions};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::{Batch, Cut, Identity, Position, Tally};

/// Bytes in front of the body of a frame.
pub const HEADER_BYTES: usize = 24;

pub fn options(dir: &Path) -> LogOptions {
    LogOptions { dir: dir.to_owned(), segment_bytes: 1 << 30, keep: true, owner: None }
}

/// A column with the numbers from `first` on, or texts that they choose.
fn column(name: &str, data_type: &DataType, first: i64, rows: i64) -> ArrayRef {
    let numbers = first..first + rows;
    let text = match name {
        "host" => "h",
        "boot_id" => "b",
        _ => "open",
    };
    match data_type {
        DataType::Int64 if name == "epoch" => Arc::new(Int64Array::from_iter_values(numbers.map(|_| 7))),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(numbers.map(|n| Some(n % 2 == 0)))),
        DataType::Int32 => Arc::new(Int32Array::from_iter_values(numbers.map(|_| 0))),
        DataType::Int64 => Arc::new(Int64Array::from_iter_values(numbers)),
        DataType::Timestamp(_, zone) => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(numbers).with_timezone_opt(zone.clone()))
        }
        DataType::Dictionary(_, _) => {
            let keys = Int32Array::from_iter_values(numbers.map(|_| 0));
            Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(vec![text]))))
        }
        other => new_null_array(other, rows as usize),
    }
}

/// A batch whose columns that are never null have values, and some of the others.
fn batch(class: ClassId, first: i64, rows: i64) -> Batch {
    let schema = weir_schema::arrow::schema(class);
    let columns = schema.fields().iter().enumerate().map(|(at, field)| match field.is_nullable() && at % 3 != 0 {
        true => new_null_array(field.data_type(), rows as usize),
        false => column(field.name(), field.data_type(), first, rows),
    });
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("columns of the schema");
    Batch { class: CLASSES[class.index()], rows }
}

/// A cut of so many rows of class file on CPU 0.
pub fn cut(number: u64, rows: i64) -> Cut {
    let first = number as i64 * rows;
    Cut {
        number,
        identity: Identity { host: "h".into(), boot_id: "b".into(), epoch: 7 },
        batches: vec![batch(ClassId::File, first, rows)],
        tallies: vec![Tally { cpu: 0, action: 0x0201, first_seq: first, last_seq: first + rows - 1, count: rows }],
        dropped: vec![],
        damaged: false,
        positions: vec![Position { cpu: 0, next_seq: first + rows, ktime_ns: first + rows }],
        clock_offset_ns: 1_790_000_000_000_000_000,
        last: false,
        resume: String::new(),
    }
}

/// A capture of so many cuts; the file of its one segment.
pub fn capture(dir: &Path, cuts: u64, rows: i64) -> PathBuf {
    let mut log = Log::open(options(dir)).expect("a new log");
    for number in 0..cuts {
        let last = number + 1 == cuts;
        log.append(&Cut { last, ..cut(number, rows) }).expect("room for a cut");
    }
    log.publish(true).expect("a disk that works");
    log.shared().segments()[0].path.clone()
}

/// A batch in which one text stands once and is in every row of these columns.
fn with_text(batch: &Batch, columns: &[&str], text: &str) -> RecordBatch {
    let schema = batch.rows.schema();
    let changed = schema.fields().iter().zip(batch.rows.columns()).map(|(field, column)| {
        if !columns.contains(&field.name().as_str()) {
            return Arc::clone(column);
        }
        let keys = Int32Array::from(vec![0; column.len()]);
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(vec![text])))) as ArrayRef
    });
    RecordBatch::try_new(Arc::clone(&schema), changed.collect()).expect("columns of the schema")
}

/// A capture of one cut whose rows all have the same `comm` of so many bytes.
pub fn capture_with_long_text(dir: &Path, rows: i64, bytes: usize) -> PathBuf {
    let mut log = Log::open(options(dir)).expect("a new log");
    let mut cut = Cut { last: true, ..cut(0, rows) };
    cut.batches[0].rows = with_text(&cut.batches[0], &["comm"], &"\u{1}".repeat(bytes));
    log.append(&cut).expect("room for a cut");
    log.publish(true).expect("a disk that works");
    log.shared().segments()[0].path.clone()
}

/// A Parquet file of class `loss` whose rows all have the same texts of so many bytes.
pub fn parquet_with_long_texts(path: &Path, rows: i64, bytes: usize) {
    let texts = ["host", "boot_id", "action", "by_action", "reason"];
    let rows = with_text(&batch(ClassId::Loss, 0, rows), &texts, &"A".repeat(bytes));
    let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
    let file = fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new_with_options(file, rows.schema(), options).expect("a writer");
    writer.write(&rows).expect("room for rows");
    writer.close().expect("room for the footer");
}

/// Where the frames of a segment begin.
pub fn frames(segment: &[u8]) -> Vec<usize> {
    (0..segment.len() - 4).step_by(8).filter(|at| &segment[*at..at + 4] == b"FRAM").collect()
}

/// Changes the last frame of a segment, which keeps a right checksum.
pub fn change_last(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(path).expect("a segment");
    let last = *frames(&bytes).last().expect("a frame");
    change(&mut bytes[last..]);
    sum_frames(&mut bytes);
    fs::write(path, bytes).expect("room for the segment");
}
