//! What one row costs on its way into fsynced Parquet files: process time, user and system, by `cargo run --release`.

#[path = "../tests/parquet_common/mod.rs"]
mod common;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use weir_sinks::{Batch, ParquetOptions, ParquetSink, Sink};

const ROWS_PER_BATCH: usize = 8_192;
const BATCHES: usize = 100;

fn cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn arrow_writer(batches: &[Batch], stats: EnabledStatistics, only: Option<usize>) -> (u64, u64) {
    let mut props = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(128 * 1024))
        .set_statistics_enabled(stats)
        .set_offset_index_disabled(true);
    for c in ["time", "ktime_ns", "seq"] {
        props = props
            .set_column_dictionary_enabled(ColumnPath::from(c), false)
            .set_column_encoding(ColumnPath::from(c), Encoding::DELTA_BINARY_PACKED);
    }
    let batches: Vec<_> = batches.iter().map(|b| match only {
        None => b.rows.clone(),
        Some(i) => b.rows.project(&[i]).unwrap(),
    }).collect();
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("x")).unwrap();
    let start = cpu_ns();
    let mut w = ArrowWriter::try_new(file, batches[0].schema(), Some(props.build())).unwrap();
    for b in &batches {
        w.write(b).unwrap();
    }
    w.finish().unwrap();
    w.inner().sync_all().unwrap();
    (cpu_ns() - start, w.inner().metadata().unwrap().len())
}

fn sink(batches: &[Batch]) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = ParquetOptions { dir: dir.path().into(), ..Default::default() };
    let mut sink = ParquetSink::open(options, common::identity(), "0.0.0").unwrap();
    let start = cpu_ns();
    for b in batches {
        sink.write(b).unwrap();
    }
    sink.flush().unwrap();
    let ns = cpu_ns() - start;
    let mut bytes = 0;
    let mut dirs = vec![dir.path().to_path_buf()];
    while let Some(d) = dirs.pop() {
        for e in std::fs::read_dir(d).unwrap() {
            let e = e.unwrap();
            if e.file_type().unwrap().is_dir() { dirs.push(e.path()) } else {
                bytes += e.metadata().unwrap().len();
                if let Some(p) = std::env::args().nth(1) { std::fs::copy(e.path(), p).unwrap(); }
            }
        }
    }
    (ns, bytes)
}

fn main() {
    let mut random = common::Random(7);
    let batches: Vec<Batch> = (0..BATCHES)
        .map(|i| common::file_rows(&mut random, (i * ROWS_PER_BATCH) as i64, ROWS_PER_BATCH))
        .collect();
    let rows = (ROWS_PER_BATCH * BATCHES) as u64;
    for _ in 0..3 {
        let (ns, bytes) = sink(&batches);
        println!("sink: {} ns/row, {:.2} B/row", ns / rows, bytes as f64 / rows as f64);
        for (n, s) in [("chunk", EnabledStatistics::Chunk), ("none", EnabledStatistics::None), ("page", EnabledStatistics::Page)] {
            let (ns, bytes) = arrow_writer(&batches, s, None);
            println!("arrow-rs stats {n}: {} ns/row, {:.2} B/row", ns / rows, bytes as f64 / rows as f64);
        }
    }
    for (i, f) in batches[0].rows.schema().fields().iter().enumerate() {
        let (ns, bytes) = arrow_writer(&batches, EnabledStatistics::Chunk, Some(i));
        println!("{:20} {:5.1} ns/row {:.3} B/row", f.name(), ns as f64 / rows as f64, bytes as f64 / rows as f64);
    }
}
