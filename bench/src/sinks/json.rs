//! What one row costs on its way into a message: process time.
//!
//! All ways are measured in turns, so that a change of the machine's pace meets all of them; `serde_json` writes the same
//! cells from ready structs, as a measure of the machine.

use anyhow::{Context, Result};
use rustix::time::ClockId;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use weir_schema::ClassId;
use weir_sinks::{Batch, Compression, PayloadFormat, PayloadOptions, Payloads, json};

use crate::cells::{Cell, Row, batch, row};
use crate::figures::Figures;
use crate::median::median;
use crate::play::cpu_ns;

const ROUNDS: usize = 9;
const BATCH_ROWS: usize = 8_192;
/// Rows of all batches.
const ROWS: usize = 160_000;
/// Distinct values in a batch of 8,192.
const PATHS: i64 = 700;
const PROCESSES: i64 = 60;
/// Below the usual largest message of Kafka and NATS.
const MESSAGE_BYTES_MAX: usize = 1_000_000;
const LINES_MAX: usize = 100;

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
type Write<'a> = Box<dyn FnMut(usize) -> Result<usize> + 'a>;

fn payloads_of<'a>(batches: &'a [Batch], format: PayloadFormat, compression: Compression) -> Write<'a> {
    let options = PayloadOptions { format, compression, bytes_max: MESSAGE_BYTES_MAX, lines_max: LINES_MAX };
    let mut payloads = Payloads::new(options);
    Box::new(move |batch: usize| {
        payloads.encode(&batches[batch])?;
        Ok(payloads.messages().iter().map(|m| payloads.bytes(m).len()).sum())
    })
}

fn ways<'a>(rows: &'a [Vec<Row>], batches: &'a [Batch]) -> Vec<(&'static str, Write<'a>)> {
    let (mut lines, mut plain) = (Vec::new(), Vec::new());
    let stdout = move |batch: usize| {
        lines.clear();
        json::write_rows(&batches[batch], &mut lines);
        Ok(lines.len())
    };
    let serde = move |batch: usize| {
        plain.clear();
        rows[batch].iter().try_for_each(|row| serde_json::to_writer(&mut plain, &Plain(row))).context("write a row")?;
        Ok(plain.len())
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

fn of_columns(figures: &mut Figures, wide: bool) -> Result<()> {
    let count = ROWS.div_ceil(BATCH_ROWS);
    let of_batch = |batch: usize| (0..BATCH_ROWS as i64).map(move |i| open_row((batch * BATCH_ROWS) as i64 + i, wide));
    let rows: Vec<Vec<Row>> = (0..count).map(|b| of_batch(b).collect()).collect();
    let batches: Vec<Batch> = rows.iter().map(|rows| batch(ClassId::File, rows)).collect();
    let mut ways = ways(&rows, &batches);
    let mut found = vec![(Vec::new(), 0); ways.len()];
    let all = (count * BATCH_ROWS) as f64;
    for _ in 0..ROUNDS {
        for ((_, write), (times, bytes)) in ways.iter_mut().zip(&mut found) {
            let start = cpu_ns(ClockId::ProcessCPUTime);
            *bytes = (0..count).map(&mut *write).sum::<Result<usize>>()?;
            times.push((cpu_ns(ClockId::ProcessCPUTime) - start) / all);
        }
    }
    let columns = rows[0][0].len();
    for ((name, _), (times, bytes)) in ways.iter().zip(found) {
        let limit = (*name == "JSON per event" && !wide).then_some(200.0);
        let note = format!("{:.1} bytes; {columns} columns, batches of {BATCH_ROWS} rows", bytes as f64 / all);
        let (name, cost) = (format!("encode, {name}, {columns} columns"), median(times));
        match limit {
            Some(limit) => figures.at_most(&name, cost, limit, "ns", note),
            None => figures.say(&name, cost, "ns", note),
        }
    }
    Ok(())
}

/// Rows with 21 values, and with all that an open sets.
pub fn measure(figures: &mut Figures) -> Result<()> {
    [false, true].into_iter().try_for_each(|wide| of_columns(figures, wide))
}
