//! What one row costs on its way into a message: process time, by `cargo run --release -p weir-sinks --example json_cost`.
//!
//! All ways are measured in turns, so that a change of the machine's pace meets all of them; `serde_json` writes the same
//! cells from ready structs, as a measure of the machine. Arguments: rounds (9), rows of a batch (8192).
#![allow(clippy::print_stdout)] // a measurement prints

#[path = "../tests/lane_common/mod.rs"]
mod lane_common;

use lane_common::{Cell, Row, batch, row};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use weir_schema::ClassId;
use weir_sinks::{Batch, Compression, PayloadFormat, PayloadOptions, Payloads, json};

/// Rows of all batches.
const ROWS: usize = 160_000;
/// Distinct values in a batch of 8,192.
const PATHS: i64 = 700;
const PROCESSES: i64 = 60;
/// Below the usual largest message of Kafka and NATS.
const MESSAGE_BYTES_MAX: usize = 1_000_000;
const LINES_MAX: usize = 100;

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

/// A row for `serde_json`.
struct Plain<'a>(&'a Row);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, cell) in self.0 {
            match cell {
                Cell::Bool(value) => map.serialize_entry(name, value)?,
                Cell::Int(value) => map.serialize_entry(name, value)?,
                Cell::Text(value) => map.serialize_entry(name, value)?,
                Cell::List(values) => map.serialize_entry(name, values)?,
            }
        }
        map.end()
    }
}

/// Writes the batch with this number; returns its bytes.
type Write<'a> = Box<dyn FnMut(usize) -> usize + 'a>;

fn payloads_of<'a>(batches: &'a [Batch], format: PayloadFormat, compression: Compression) -> Write<'a> {
    let options = PayloadOptions { format, compression, bytes_max: MESSAGE_BYTES_MAX, lines_max: LINES_MAX };
    let mut payloads = Payloads::new(options);
    Box::new(move |batch: usize| {
        payloads.encode(&batches[batch]).expect("rows that can be written");
        payloads.messages().iter().map(|m| payloads.bytes(m).len()).sum()
    })
}

fn ways<'a>(rows: &'a [Vec<Row>], batches: &'a [Batch]) -> Vec<(&'static str, Write<'a>)> {
    let (mut lines, mut plain) = (Vec::new(), Vec::new());
    let stdout = move |batch: usize| {
        lines.clear();
        json::write_rows(&batches[batch], &mut lines);
        lines.len()
    };
    let serde = move |batch: usize| {
        plain.clear();
        rows[batch].iter().for_each(|row| serde_json::to_writer(&mut plain, &Plain(row)).expect("written"));
        plain.len()
    };
    use Compression::{Lz4, None, Zstd};
    use PayloadFormat::{Arrow, Json, JsonLines};
    vec![
        ("JSON per event", payloads_of(batches, Json, None)),
        ("JSON lines", payloads_of(batches, JsonLines, None)),
        ("standard output", Box::new(stdout)),
        ("serde_json", Box::new(serde)),
        ("Arrow plain", payloads_of(batches, Arrow, None)),
        ("Arrow lz4", payloads_of(batches, Arrow, Lz4)),
        ("Arrow zstd", payloads_of(batches, Arrow, Zstd)),
    ]
}

fn measure(rounds: usize, batch_rows: usize, wide: bool) {
    let count = ROWS.div_ceil(batch_rows);
    let first = |batch: usize| (batch * batch_rows) as i64;
    let rows: Vec<Vec<Row>> =
        (0..count).map(|b| (0..batch_rows as i64).map(|i| open_row(first(b) + i, wide)).collect()).collect();
    let batches: Vec<Batch> = rows.iter().map(|rows| batch(ClassId::File, rows)).collect();
    let mut ways = ways(&rows, &batches);
    let mut found = vec![(Vec::new(), 0); ways.len()];
    for _ in 0..rounds {
        for ((_, write), (times, bytes)) in ways.iter_mut().zip(&mut found) {
            let start = cpu_ns();
            *bytes = (0..count).map(&mut *write).sum();
            times.push((cpu_ns() - start) as f64 / (count * batch_rows) as f64);
        }
    }
    println!("{} columns, batches of {batch_rows} rows, {rounds} rounds", rows[0][0].len());
    for ((name, _), (times, bytes)) in ways.iter().zip(&mut found) {
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        let bytes = *bytes as f64 / (count * batch_rows) as f64;
        println!("  {name:16} {median:7.1} ns per row (least {least:.1}), {bytes:.1} bytes");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let rounds = arguments.next().unwrap_or(9);
    let batch_rows = arguments.next().unwrap_or(8_192);
    [false, true].into_iter().for_each(|wide| measure(rounds, batch_rows, wide));
}
