//! What one row costs on its way into JSON lines: process time, by `cargo run --release --example json_cost`.
#![allow(clippy::print_stdout)] // a measurement prints

#[path = "../tests/lane_common/mod.rs"]
mod lane_common;

use lane_common::{Cell, Row, batch, row};
use weir_schema::ClassId;
use weir_sinks::{Batch, json};

const ROWS_PER_BATCH: i64 = 8_192;
const BATCHES: i64 = 20;
const ROUNDS: usize = 5;
/// Distinct values in a batch.
const PATHS: i64 = 700;
const PROCESSES: i64 = 60;

fn cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Rows of file.open like those of a build; `wide` has every column that an open sets, else 21 columns have a value.
fn open_row(n: i64, wide: bool) -> Row {
    let process = n * 7 % PROCESSES;
    let path = format!("/usr/lib/gcc/x86_64-linux-gnu/12/include/header-{}.h", n * 31 % PATHS);
    let text = |text: &str| Cell::Text(text.to_owned());
    let mut more = vec![
        ("pid", Cell::Int(20_000 + process)),
        ("tid", Cell::Int(20_000 + process)),
        ("ppid", Cell::Int(1_234)),
        ("process_key", Cell::Int((900_000 + process) << 22 | 20_000)),
        ("uid", Cell::Int(1000)),
        ("comm", text(&format!("cc1-{process}"))),
        ("exe", text("/usr/lib/gcc/x86_64-linux-gnu/12/cc1")),
        ("ret", Cell::Int(3)),
        ("path", text(&path)),
        ("path_source", text("kernel")),
        ("flags", Cell::Int(0o2_000_000)),
        ("flags_text", text("O_RDONLY|O_CLOEXEC")),
    ];
    if wide {
        more.extend([
            ("parent_key", Cell::Int(900_000 << 22 | 1_234)),
            ("gid", Cell::Int(1000)),
            (
                "cmdline",
                text(&format!("cc1 -quiet -imultiarch x86_64-linux-gnu file-{process}.c -o /tmp/cc{process}.s")),
            ),
            ("cgroup_id", Cell::Int(4_242)),
            ("path_raw", text(&path)),
            ("path_dir", text("/home/user/build")),
            ("path_truncated", Cell::Bool(false)),
            ("fd", Cell::Int(3)),
            ("mode", Cell::Int(0)),
            ("dev", Cell::Int(65_024)),
            ("ino", Cell::Int(1_000_000 + n * 31 % PATHS)),
            ("created", Cell::Bool(false)),
            ("truncated", Cell::Bool(false)),
        ]);
    }
    row(1_772_600_767_000_000_000 + n * 3_000, (n % 2) as i32, n / 2, "open", &more)
}

fn main() {
    for wide in [false, true] {
        let batches: Vec<Batch> = (0..BATCHES)
            .map(|b| {
                let rows: Vec<Row> = (0..ROWS_PER_BATCH).map(|i| open_row(b * ROWS_PER_BATCH + i, wide)).collect();
                batch(ClassId::File, &rows)
            })
            .collect();
        let columns = open_row(0, wide).len();
        let mut out = Vec::new();
        for _ in 0..ROUNDS {
            let (mut bytes, start) = (0, cpu_ns());
            for batch in &batches {
                out.clear();
                json::write_rows(batch, &mut out);
                bytes += out.len();
            }
            let rows = (BATCHES * ROWS_PER_BATCH) as u64;
            println!(
                "{columns} columns: {} ns per row, {} bytes per row",
                (cpu_ns() - start) / rows,
                bytes as u64 / rows
            );
        }
    }
}
