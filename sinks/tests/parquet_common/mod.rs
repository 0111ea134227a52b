//! Rows for tests and measurements of the Parquet sink: made from a seed, shaped like what a build does to files.
#![allow(dead_code, reason = "every test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use weir_schema::arrow::{TIME_ZONE, schema};
use weir_schema::{CLASSES, Class, ClassId};
use weir_sinks::{Batch, Identity, ParquetOptions, ParquetSink};

/// Epoch of all rows.
pub const EPOCH: i64 = 77_000_000_001;
/// Wall clock of the first row: 2026-03-04 05:06:07 UTC, in µs.
pub const TIME_US: i64 = 1_772_600_767_000_000;
/// Distinct paths in [`file_rows`].
const PATHS: u64 = 2_000;
/// Processes in [`file_rows`].
const PROCESSES: u64 = 60;

/// Who made the rows.
pub fn identity() -> Identity {
    Identity { host: "unit-host".into(), boot_id: "0d9c3c1e-7b1a-4a9e-9b53-8f5ad1c0ffee".into(), epoch: EPOCH }
}

/// The class with this id.
pub fn class(id: ClassId) -> &'static Class {
    CLASSES[id.index()]
}

/// splitmix64: small, and the same rows from the same seed everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number below `n`, small ones much more often.
    pub fn skewed(&mut self, n: u64) -> u64 {
        let a = self.below(n);
        let b = self.below(a + 1);
        self.below(b + 1)
    }
}

/// A dictionary column whose dictionary holds each text once, in the order of first use.
pub fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> ArrayRef {
    let mut known: HashMap<String, i32> = HashMap::new();
    let mut dictionary: Vec<String> = Vec::new();
    let keys: Int32Array = values
        .into_iter()
        .map(|value| {
            value.map(|text| {
                *known.entry(text.as_ref().to_owned()).or_insert_with(|| {
                    dictionary.push(text.as_ref().to_owned());
                    dictionary.len() as i32 - 1
                })
            })
        })
        .collect();
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(dictionary))))
}

/// The `time` column.
pub fn times(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone(TIME_ZONE))
}

/// A batch of a class from its named columns; the others are null, or what every row needs.
pub fn batch(id: ClassId, rows: usize, mut columns: HashMap<&'static str, ArrayRef>) -> Batch {
    let schema = schema(id);
    let arrays = schema
        .fields()
        .iter()
        .map(|field| match columns.remove(field.name().as_str()) {
            Some(array) => array,
            None => default_column(field.name(), field.data_type(), rows),
        })
        .collect();
    assert!(columns.is_empty(), "no such column: {:?}", columns.keys());
    Batch { class: class(id), rows: RecordBatch::try_new(schema, arrays).unwrap() }
}

fn default_column(name: &str, ty: &arrow_schema::DataType, rows: usize) -> ArrayRef {
    let identity = identity();
    match name {
        "host" => texts(vec![Some(identity.host.to_string()); rows]),
        "boot_id" => texts(vec![Some(identity.boot_id.to_string()); rows]),
        "action" => texts(vec![Some("open"); rows]),
        "epoch" => Arc::new(Int64Array::from(vec![EPOCH; rows])),
        "cpu" => Arc::new(Int32Array::from(vec![0; rows])),
        "text_escaped" => Arc::new(BooleanArray::from(vec![false; rows])),
        _ => new_null_array(ty, rows),
    }
}

/// `count` rows of any class that follow each other from row `first`: one CPU, one microsecond apart, little else.
pub fn plain_rows(id: ClassId, first: i64, count: usize) -> Batch {
    let rows = first..first + count as i64;
    let columns = HashMap::from([
        ("time", times(rows.clone().map(|i| TIME_US + i))),
        ("ktime_ns", Arc::new(Int64Array::from_iter_values(rows.clone().map(|i| EPOCH + i * 1_000))) as ArrayRef),
        ("seq", Arc::new(Int64Array::from_iter_values(rows.clone())) as ArrayRef),
        ("comm", texts(rows.map(|i| Some(format!("worker-{}", i % 7))))),
    ]);
    batch(id, count, columns)
}

/// One file event.
struct FileRow {
    process: u64,
    path: u64,
    failed: bool,
    close: bool,
    write: bool,
}

/// `count` rows of class `file` that continue at row `first`, as a build makes them: two CPUs, a few dozen processes,
/// mostly opens, a fifth of them failing.
pub fn file_rows(random: &mut Random, first: i64, count: usize) -> Batch {
    let rows: Vec<FileRow> = (0..count)
        .map(|_| {
            let close = random.below(12) == 0;
            FileRow {
                process: random.skewed(PROCESSES),
                path: random.skewed(PATHS),
                failed: !close && random.below(5) == 0,
                close,
                write: close || random.below(8) == 0,
            }
        })
        .collect();
    let index = |i: usize| first + i as i64;
    let mut ktime = EPOCH + first * 3_300;
    let ktimes: Vec<i64> = rows
        .iter()
        .map(|_| {
            ktime += 500 + random.below(5_600) as i64;
            ktime
        })
        .collect();
    let int64 = |f: &dyn Fn(usize, &FileRow) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().enumerate().map(|(i, r)| f(i, r)).collect::<Int64Array>())
    };
    let int32 = |f: &dyn Fn(usize, &FileRow) -> Option<i32>| -> ArrayRef {
        Arc::new(rows.iter().enumerate().map(|(i, r)| f(i, r)).collect::<Int32Array>())
    };
    let text = |f: &dyn Fn(&FileRow) -> Option<String>| texts(rows.iter().map(f));
    let flag =
        |f: &dyn Fn(&FileRow) -> Option<bool>| -> ArrayRef { Arc::new(rows.iter().map(f).collect::<BooleanArray>()) };
    let cpu = |r: &FileRow| (r.process % 2) as i32;
    let mut next_seq = [first / 2, first / 2];
    let seqs: Vec<i64> = rows
        .iter()
        .map(|r| {
            let next = &mut next_seq[cpu(r) as usize];
            *next += 1;
            *next - 1
        })
        .collect();
    let pid = |r: &FileRow| 40_000 + r.process as i32 * 3;
    let key = |r: &FileRow| (8_675_309 + r.process as i64 * 977) << 22 | i64::from(pid(r));
    let path = |r: &FileRow| {
        format!("/usr/src/project-{}/build/objects/part_{:05}.{}", r.path % 9, r.path, if r.write { "o" } else { "h" })
    };
    let open = |r: &FileRow| !r.close;
    let columns = HashMap::from([
        ("time", times(ktimes.iter().map(|k| TIME_US + (k - EPOCH) / 1_000))),
        ("ktime_ns", Arc::new(Int64Array::from(ktimes.clone())) as ArrayRef),
        ("cpu", int32(&|_, r| Some(cpu(r)))),
        ("seq", Arc::new(Int64Array::from(seqs)) as ArrayRef),
        ("action", text(&|r| Some(if r.close { "close" } else { "open" }.to_owned()))),
        ("pid", int32(&|_, r| Some(pid(r)))),
        ("tid", int32(&|i, r| Some(pid(r) + (index(i) % 2) as i32))),
        ("ppid", int32(&|_, r| Some(39_000 + (r.process / 8) as i32))),
        ("process_key", int64(&|_, r| Some(key(r)))),
        ("parent_key", int64(&|_, r| Some((8_600_000 + (r.process / 8) as i64) << 22 | 39_000))),
        ("uid", int64(&|_, _| Some(1_000))),
        ("gid", int64(&|_, _| Some(1_000))),
        ("comm", text(&|r| Some(["cc1", "as", "make", "sh"][(r.process % 4) as usize].to_owned()))),
        ("exe", text(&|r| Some(format!("/usr/lib/gcc/x86_64-linux-gnu/12/tool{}", r.process % 6)))),
        (
            "cmdline",
            text(&|r| Some(format!("cc1 -quiet -O2 -I include -D N={} part_{}.c -o part.o", r.process, r.process))),
        ),
        ("cgroup_id", int64(&|_, _| Some(4_242))),
        ("ret", int64(&|i, r| Some(if r.failed { -2 } else { if r.close { 0 } else { 3 + index(i) % 5 } }))),
        ("error", text(&|r| r.failed.then(|| "ENOENT".to_owned()))),
        ("path", text(&|r| Some(path(r)))),
        ("path_source", text(&|r| Some(if r.failed { "argument" } else { "kernel" }.to_owned()))),
        ("path_raw", text(&|r| r.failed.then(|| path(r)[23..].to_owned()))),
        ("path_dir", text(&|r| r.failed.then(|| format!("/usr/src/project-{}/build", r.path % 9)))),
        ("path_truncated", flag(&|_| Some(false))),
        ("fd", int32(&|i, r| (!r.failed).then(|| 3 + (index(i) % 5) as i32))),
        ("flags", int64(&|_, r| Some(if r.write { 0x8_0241 } else { 0x8_0000 }))),
        (
            "flags_text",
            text(&|r| {
                Some(if r.write { "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC" } else { "O_RDONLY|O_CLOEXEC" }.to_owned())
            }),
        ),
        ("mode", int64(&|_, r| open(r).then_some(if r.write { 0o666 } else { 0 }))),
        ("dev", int64(&|_, r| (!r.failed).then_some(0xfe01))),
        ("ino", int64(&|_, r| (!r.failed).then_some(9_400_000 + (r.path * 37) as i64))),
        ("created", flag(&|r| open(r).then_some(r.write && r.path % 2 == 0))),
        ("truncated", flag(&|r| open(r).then_some(r.write && r.path % 2 == 1))),
        ("length", int64(&|_, r| r.close.then_some(4_096 + (r.path * 131) as i64))),
    ]);
    batch(ClassId::File, count, columns)
}

/// Options for a directory.
pub fn options(dir: &Path) -> ParquetOptions {
    ParquetOptions { dir: dir.to_path_buf(), ..Default::default() }
}

/// A sink on a directory.
pub fn open(options: ParquetOptions) -> ParquetSink {
    ParquetSink::open(options, identity(), "1.2.3").unwrap()
}

/// All files below a directory, relative to it, sorted.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// The files that a reader takes for data.
pub fn parquet_files(dir: &Path) -> Vec<String> {
    files(dir).into_iter().filter(|name| name.ends_with(".parquet")).collect()
}
