//! When files appear, where, and what else happens to them.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "parquet_common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int32Array, Int64Array};
use common::{EPOCH, TIME_US, class, files, open, options, parquet_files, plain_rows, texts, times};
use parquet::file::reader::{FileReader, SerializedFileReader};
use weir_schema::ClassId;
use weir_sinks::{ParquetOptions, Progress, Sink, SinkError};

const HOUR_US: i64 = 3_600_000_000;

/// What `weir.*` keys a file has.
fn footer(path: &std::path::Path) -> HashMap<String, String> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    pairs.into_iter().filter(|p| p.key.starts_with("weir.")).map(|p| (p.key, p.value.unwrap())).collect()
}

/// One loss row per `(cpu, seq, action)`.
/// Rows of class `loss`; every gap is of CPU 3, of five numbers among the eight from ten times its own.
fn loss_rows(rows: &[(i32, i64, &str)]) -> weir_sinks::Batch {
    let gap = |row: &(i32, i64, &str)| (row.2 == "gap").then_some(row.1 * 10);
    let columns = HashMap::from([
        ("time", times(rows.iter().map(|_| TIME_US))),
        ("ktime_ns", Arc::new(Int64Array::from(vec![EPOCH; rows.len()])) as ArrayRef),
        ("cpu", Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int32Array>()) as ArrayRef),
        ("seq", Arc::new(rows.iter().map(|r| Some(r.1)).collect::<Int64Array>()) as ArrayRef),
        ("action", texts(rows.iter().map(|r| Some(r.2)))),
        ("gap_cpu", Arc::new(rows.iter().map(|r| gap(r).map(|_| 3)).collect::<Int32Array>()) as ArrayRef),
        ("first_seq", Arc::new(rows.iter().map(gap).collect::<Int64Array>()) as ArrayRef),
        ("last_seq", Arc::new(rows.iter().map(|r| gap(r).map(|first| first + 7)).collect::<Int64Array>()) as ArrayRef),
        ("count", Arc::new(rows.iter().map(|r| gap(r).map(|_| 5)).collect::<Int64Array>()) as ArrayRef),
    ]);
    common::batch(ClassId::Loss, rows.len(), columns)
}

#[test]
fn files_stand_in_hive_partitions_under_names_that_say_whose_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    sink.write(&plain_rows(ClassId::File, 0, 10)).unwrap();
    sink.write(&plain_rows(ClassId::Process, 10, 10)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    sink.write(&plain_rows(ClassId::File, 20, 10)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let part = "date=2026-03-04/hour=5/unit-host-0d9c3c1e-77000000001";
    let names = [
        format!("class=file/{part}-{}-0.parquet", EPOCH),
        format!("class=file/{part}-{}-1.parquet", EPOCH + 20_000),
        format!("class=process/{part}-{}-0.parquet", EPOCH + 10_000),
    ];
    assert_eq!(files(dir.path()), names);
    assert_eq!(sink.files_published(), 3);
}

#[test]
fn nothing_is_visible_before_a_flush_and_nothing_stays_behind_a_dropped_sink() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(ParquetOptions { row_group_rows: 100, ..options(dir.path()) });
    sink.write(&plain_rows(ClassId::File, 0, 1_000)).unwrap();
    sink.write(&plain_rows(ClassId::Loss, 0, 1)).unwrap();
    assert_eq!(parquet_files(dir.path()), [""; 0]);
    assert_eq!(files(dir.path()).len(), 2, "one unfinished file per class");
    drop(sink);
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn a_flush_with_nothing_open_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    sink.write(&plain_rows(ClassId::File, 0, 0)).unwrap();
    assert_eq!(sink.flush_due(), None);
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn the_footer_has_identity_versions_and_the_numbers_per_cpu() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    sink.write(&loss_rows(&[(-1, 4, "gap"), (-2, 0, "checkpoint"), (-1, 9, "gap")])).unwrap();
    sink.write(&loss_rows(&[(-2, 1, "end"), (-1, 10, "gap")])).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let footer = footer(&dir.path().join(&parquet_files(dir.path())[0]));
    let identity = common::identity();
    let expected = HashMap::from(
        [
            ("weir.schema_version", weir_schema::SCHEMA_VERSION.to_string().as_str()),
            ("weir.collector_version", "1.2.3"),
            ("weir.host", &identity.host),
            ("weir.boot_id", &identity.boot_id),
            ("weir.epoch", "77000000001"),
            ("weir.seq.-1", "4-10"),
            ("weir.rows.-1", "3"),
            ("weir.seq.-2", "0-1"),
            ("weir.rows.-2", "2"),
            ("weir.gaps", "3"),
            ("weir.gap_seq.3", "40-107"),
            ("weir.gap_count.3", "15"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    assert_eq!(footer, expected);
}

#[test]
fn files_are_for_their_owner_and_group_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new/data");
    let is_root = rustix::process::geteuid().is_root();
    let owner = is_root.then_some((12_345, 23_456));
    let mut sink = open(ParquetOptions { owner, ..options(&data) });
    sink.write(&plain_rows(ClassId::File, 0, 1)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let file = data.join(&parquet_files(&data)[0]);
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o640);
    for made in file.ancestors().skip(1).take_while(|made| *made != dir.path()) {
        assert_eq!(made.metadata().unwrap().mode() & 0o777, 0o750, "{}", made.display());
    }
    if let Some(owner) = owner {
        for made in file.ancestors().take_while(|made| *made != dir.path()) {
            let metadata = made.metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), owner, "{}", made.display());
        }
    }
}

#[test]
fn rows_bytes_age_and_hour_each_ask_for_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let limits = ParquetOptions { rows_max: 1_000, age_max: Duration::from_secs(60), ..options(dir.path()) };

    let mut sink = open(limits.clone());
    sink.write(&plain_rows(ClassId::File, 0, 999)).unwrap();
    assert!(!sink.wants_flush(now));
    sink.write(&plain_rows(ClassId::File, 999, 1)).unwrap();
    assert!(sink.wants_flush(now), "rows");

    let mut sink = open(limits.clone());
    sink.write(&plain_rows(ClassId::File, 0, 1)).unwrap();
    let due = sink.flush_due().unwrap();
    assert!(due >= now + Duration::from_secs(60) && due <= Instant::now() + Duration::from_secs(60));
    assert!(!sink.wants_flush(due - Duration::from_millis(1)));
    assert!(sink.wants_flush(due), "age");
    sink.flush(&Progress::default()).unwrap();
    assert!(!sink.wants_flush(due) && sink.flush_due().is_none(), "an idle sink has no timer");

    let mut sink = open(ParquetOptions { bytes_max: 10_000, row_group_rows: 10, ..limits.clone() });
    sink.write(&plain_rows(ClassId::File, 0, 10)).unwrap();
    assert!(!sink.wants_flush(now));
    sink.write(&plain_rows(ClassId::File, 10, 90)).unwrap();
    assert!(sink.wants_flush(now), "bytes");

    let mut sink = open(limits);
    let rows_to_next_hour = HOUR_US - TIME_US % HOUR_US;
    sink.write(&plain_rows(ClassId::File, rows_to_next_hour - 10, 10)).unwrap();
    assert!(!sink.wants_flush(now));
    sink.write(&plain_rows(ClassId::File, rows_to_next_hour, 1)).unwrap();
    assert!(sink.wants_flush(now), "hour");
    sink.flush(&Progress::default()).unwrap();
    let names = parquet_files(dir.path());
    assert!(names.iter().any(|n| n.contains("hour=5")) && names.iter().any(|n| n.contains("hour=6")), "{names:?}");
}

#[test]
fn each_row_is_in_the_partition_of_its_own_hour() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    let to_next_hour = HOUR_US - TIME_US % HOUR_US;
    sink.write(&plain_rows(ClassId::File, to_next_hour - 10, 17)).unwrap();
    sink.write(&plain_rows(ClassId::Loss, to_next_hour - 1, 2)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let mut found: Vec<(String, i64)> = vec![];
    for name in parquet_files(dir.path()) {
        let reader = SerializedFileReader::new(File::open(dir.path().join(&name)).unwrap()).unwrap();
        let partition = name.rsplit_once('/').unwrap().0.to_owned();
        found.push((partition, reader.metadata().file_metadata().num_rows()));
    }
    found.sort();
    let rows = [("file", 5, 10), ("file", 6, 7), ("loss", 5, 1), ("loss", 6, 1)];
    let expected = rows.map(|(class, hour, n)| (format!("class={class}/date=2026-03-04/hour={hour}"), n));
    assert_eq!(found, expected);
}

#[test]
fn a_class_that_cannot_be_published_takes_its_whole_generation_with_it_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    let obstacle = dir.path().join("class=loss");
    std::fs::write(&obstacle, "").unwrap();
    for id in [ClassId::Process, ClassId::File, ClassId::Loss] {
        sink.write(&plain_rows(id, 0, 5)).unwrap();
    }
    let error = sink.flush(&Progress::default()).unwrap_err();
    assert!(matches!(error, SinkError::Retry(_)), "{error:?}");
    assert!(error.to_string().contains("class=loss"), "{error}");
    assert_eq!(files(dir.path()), ["class=loss"]);
    assert_eq!(sink.flush_due(), None);

    std::fs::remove_file(obstacle).unwrap();
    for id in [ClassId::Process, ClassId::Loss] {
        sink.write(&plain_rows(id, 5, 5)).unwrap();
    }
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(parquet_files(dir.path()).len(), 2);
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn names_given_before_a_later_name_fails_are_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    sink.write(&plain_rows(ClassId::File, 0, 5)).unwrap();
    sink.write(&plain_rows(ClassId::Loss, 0, 5)).unwrap();
    // The loss file vanishes, so that giving it a name fails behind that of class file.
    let unfinished = files(dir.path()).into_iter().find(|name| name.contains("/loss-")).unwrap();
    std::fs::remove_file(dir.path().join(unfinished)).unwrap();
    assert!(matches!(sink.flush(&Progress::default()), Err(SinkError::Retry(_))));
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn rows_of_the_wrong_shape_are_refused_and_leave_nothing_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    sink.write(&plain_rows(ClassId::File, 0, 5)).unwrap();
    let wrong = weir_sinks::Batch { class: class(ClassId::File), rows: plain_rows(ClassId::Loss, 0, 5).rows };
    assert!(matches!(sink.write(&wrong), Err(SinkError::Refused(_))));
    assert_eq!(files(dir.path()), [""; 0]);
    sink.write(&plain_rows(ClassId::File, 5, 5)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(parquet_files(dir.path()).len(), 1);
}

const CHILD: &str = "WEIR_TEST_PARQUET_DIR";

/// As a child: writes into the directory, says so, and waits to be killed.
fn write_and_wait(dir: &std::path::Path) {
    let mut sink = open(ParquetOptions { row_group_rows: 100, ..options(dir) });
    sink.write(&plain_rows(ClassId::File, 0, 5)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    sink.write(&plain_rows(ClassId::File, 5, 1_000)).unwrap();
    sink.write(&plain_rows(ClassId::Loss, 5, 5)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "past the harness's capture")]
    std::io::stdout().write_all(b"\nwritten\n").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_writer_leaves_only_whole_files_and_its_leftovers_go_at_the_next_start_but_not_before() {
    if let Ok(dir) = std::env::var(CHILD) {
        write_and_wait(dir.as_ref());
    }
    let dir = tempfile::tempdir().unwrap();
    let this = "a_killed_writer_leaves_only_whole_files_and_its_leftovers_go_at_the_next_start_but_not_before";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "written"));

    let beside = open(options(dir.path()));
    assert_eq!(beside.leftovers(), 0, "the writer lives");
    assert_eq!(files(dir.path()).len(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(parquet_files(dir.path()).len(), 1);
    let next = open(options(dir.path()));
    assert_eq!(next.leftovers(), 2);
    let left = files(dir.path());
    assert_eq!(left, parquet_files(dir.path()));
    let reader = SerializedFileReader::new(File::open(dir.path().join(&left[0])).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 5);
}

#[test]
fn the_oldest_files_go_when_the_directory_is_too_large_and_leave_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    let mut names = Vec::new();
    for i in 0..4 {
        sink.write(&plain_rows(ClassId::File, i * 100, 100)).unwrap();
        sink.flush(&Progress::default()).unwrap();
        let new = parquet_files(dir.path()).into_iter().find(|name| !names.contains(name)).unwrap();
        let age = Duration::from_secs(1_000 - i as u64 * 100);
        let file = File::options().write(true).open(dir.path().join(&new)).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
        names.push(new);
    }
    let size = |name: &String| dir.path().join(name).metadata().unwrap().len();
    let newest_two = size(&names[2]) + size(&names[3]);
    let mut sink = open(ParquetOptions { dir_bytes_max: Some(newest_two), ..options(dir.path()) });
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(parquet_files(dir.path()), names[2..]);
    let mut sink = open(ParquetOptions { dir_age_max: Some(Duration::from_secs(750)), ..options(dir.path()) });
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(parquet_files(dir.path()), names[3..]);

    let notes = std::fs::read_to_string(dir.path().join("removed.jsonl")).unwrap();
    let notes: Vec<serde_json::Value> = notes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (i, (note, reason)) in notes.iter().zip(["dir_bytes_max", "dir_bytes_max", "dir_age_max"]).enumerate() {
        assert_eq!(note["file"], names[i]);
        assert_eq!((&note["class"], &note["reason"]), (&"file".into(), &reason.into()));
        assert_eq!((&note["rows"], &note["epoch"]), (&100.into(), &EPOCH.into()));
        assert_eq!(note["seq"], serde_json::json!({ "0": [i * 100, i * 100 + 99, 100] }));
        assert_eq!(note["gap_seq"], serde_json::json!({}));
    }
    assert_eq!(notes.len(), 3);
}

#[test]
fn open_row_groups_of_all_classes_share_one_bound_on_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(dir.path()));
    let mut random = common::Random(3);
    let mut largest = 0;
    for round in 0..40 {
        for id in [ClassId::Process, ClassId::File, ClassId::Network, ClassId::Memory, ClassId::Kernel] {
            let mut rows = plain_rows(id, round * 1_000, 1_000);
            let index = rows.rows.schema().index_of("cmdline").unwrap();
            let mut columns = rows.rows.columns().to_vec();
            columns[index] = texts((0..1_000).map(|_| Some(format!("{:x}", random.next()).repeat(10))));
            rows.rows = arrow_array::RecordBatch::try_new(rows.rows.schema(), columns).unwrap();
            sink.write(&rows).unwrap();
            largest = largest.max(sink.open_bytes());
        }
    }
    assert!(largest > 8 * 1024 * 1024 && largest <= 32 * 1024 * 1024, "{largest}");
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(sink.open_bytes(), 0);
}
