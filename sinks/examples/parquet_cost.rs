//! What one file row costs on its way from Arrow batches into a fsynced Parquet file.
//!
//! Process time, user and system, of this sink and of the general Arrow writer with the same settings, interleaved on
//! the same rows; medians. The rows are made from a seed, or those of a file that the sink wrote:
//! `cargo run --release -p weir-sinks --example parquet_cost [all|sink|plain] [FILE.parquet]`
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]
#![allow(clippy::print_stdout, reason = "the figures are its output")]

#[path = "../tests/parquet_common/mod.rs"]
mod common;

use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use weir_schema::CLASSES;
use weir_sinks::{Batch, ParquetOptions, ParquetSink, Progress, Sink};

/// Rows of 25 ms at 300 k events/s.
const BATCH_ROWS: usize = 7_500;
const BATCHES: usize = 140;
const ROUNDS: usize = 9;

/// Process time of `work` in ns.
fn process_ns(work: impl FnOnce()) -> u64 {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let start = now();
    work();
    now() - start
}

/// The general writer: dictionaries, statistics and delta encodings as the sink has them.
fn plain(batches: &[Batch], dir: &Path) {
    let growing = ["time", "ktime_ns", "seq"].map(ColumnPath::from);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(128 * 1024))
        .set_column_bloom_filter_enabled(ColumnPath::from("process_key"), true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    let properties = growing.into_iter().fold(properties, |properties, column| {
        properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
    });
    let file = std::fs::File::create(dir.join("plain.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].rows.schema(), Some(properties.build())).unwrap();
    for batch in batches {
        writer.write(&batch.rows).unwrap();
    }
    writer.finish().unwrap();
    writer.inner().sync_all().unwrap();
}

fn sink(batches: &[Batch], dir: &Path) {
    let options = ParquetOptions { dir: dir.to_path_buf(), ..Default::default() };
    let mut sink = ParquetSink::open(options, common::identity(), "0.0.0").unwrap();
    for batch in batches {
        sink.write(batch).unwrap();
    }
    sink.flush(&Progress::default()).unwrap();
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { bytes_below(&path) } else { path.metadata().unwrap().len() }).sum()
}

fn made() -> Vec<Batch> {
    let mut random = common::Random(7);
    (0..BATCHES).map(|i| common::file_rows(&mut random, (i * BATCH_ROWS) as i64, BATCH_ROWS)).collect()
}

/// The rows of a file; its class is the one with the same columns.
fn recorded(path: &Path) -> Vec<Batch> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(BATCH_ROWS).build().unwrap();
    let batch = |rows: arrow_array::RecordBatch| {
        let same =
            |class: &&&weir_schema::Class| weir_schema::arrow::schema(class.id).fields() == rows.schema().fields();
        Batch { class: CLASSES.iter().find(same).unwrap(), rows }
    };
    reader.map(|rows| batch(rows.unwrap())).collect()
}

fn main() {
    let only = std::env::args().nth(1).filter(|only| only != "all");
    let batches = std::env::args().nth(2).map_or_else(made, |path| recorded(Path::new(&path)));
    let rows = batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>() as f64;
    type Writer = fn(&[Batch], &Path);
    let writers: [(&str, Writer); 2] = [("plain", plain), ("sink", sink)];
    let mut measured: [(Vec<u64>, u64); 2] = Default::default();
    for _ in 0..ROUNDS {
        for ((name, writer), (times, bytes)) in writers.iter().zip(&mut measured) {
            if only.as_ref().is_none_or(|only| only == name) {
                let dir = tempfile::tempdir().unwrap();
                times.push(process_ns(|| writer(&batches, dir.path())));
                *bytes = bytes_below(dir.path());
            }
        }
    }
    println!("{rows} {} rows of {} columns", batches[0].class.name, batches[0].rows.num_columns());
    for ((name, _), (times, bytes)) in writers.iter().zip(&mut measured).filter(|(_, (times, _))| !times.is_empty()) {
        times.sort_unstable();
        let ns = |i: usize| times[i] as f64 / rows;
        let (median, least) = (ns(times.len() / 2), ns(0));
        println!("{name:6} {median:6.1} ns per row (least {least:.1}), {:.2} bytes per row", *bytes as f64 / rows);
    }
}
