//! Disks that are full or read-only: real ones, small tmpfs mounts. Without the right to mount, each test says so.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "parquet_common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use common::{EPOCH, Random, TIME_US, files, identity, open, options, parquet_files, plain_rows, texts, times};
use weir_schema::ClassId;
use weir_sinks::{Batch, ParquetSink, Progress, Sink, SinkError};

/// A mounted tmpfs.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// A file system of this size; `None` where this process may not mount.
    fn mount(size: &str) -> Option<Disk> {
        let disk = Disk { dir: tempfile::tempdir().unwrap() };
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.dir.path()).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        if !mounted {
            // Past the capture of passing tests, so that it is seen and counted.
            #[expect(clippy::disallowed_methods, reason = "past the harness's capture")]
            std::io::stdout()
                .write_all(b"SKIPPED: a full or read-only disk needs the right to mount a tmpfs\n")
                .unwrap();
        }
        mounted.then_some(disk)
    }

    fn remount_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.dir.path()).status();
        assert!(status.unwrap().success());
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Fails where nothing was mounted; the temporary directory then goes by itself.
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}

/// Rows that do not compress.
fn noise(random: &mut Random, rows: usize) -> Batch {
    let columns = HashMap::from([
        ("time", times(vec![TIME_US; rows])),
        ("ktime_ns", Arc::new(Int64Array::from(vec![EPOCH; rows])) as ArrayRef),
        ("seq", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef),
        (
            "path",
            texts((0..rows).map(|_| Some((0..40).map(|_| format!("{:016x}", random.next())).collect::<String>()))),
        ),
    ]);
    common::batch(ClassId::File, rows, columns)
}

fn refusal(dir: &Path) -> String {
    match ParquetSink::open(options(dir), identity(), "0") {
        Err(SinkError::Fatal(message)) => message,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened {}", dir.display()),
    }
}

#[test]
fn a_disk_that_fills_up_loses_that_generation_only() {
    let Some(disk) = Disk::mount("1m") else { return };
    let mut random = Random(1);
    let mut sink = open(options(&disk.data()));
    sink.write(&plain_rows(ClassId::File, 0, 10)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let before = parquet_files(&disk.data());
    assert_eq!(before.len(), 1);

    sink.write(&plain_rows(ClassId::Process, 0, 10)).unwrap();
    let failed = (0..10)
        .find_map(|_| sink.write(&noise(&mut random, 2_000)).err())
        .or_else(|| sink.flush(&Progress::default()).err());
    let Some(SinkError::Retry(message)) = failed else { panic!("{failed:?}") };
    assert!(message.contains("No space left") && message.contains("free some space"), "{message}");
    assert_eq!(files(&disk.data()), before, "nothing of the failed generation is left");

    sink.write(&plain_rows(ClassId::File, 10, 10)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    assert_eq!(parquet_files(&disk.data()).len(), 2);
}

#[test]
fn a_full_disk_is_named_at_the_start() {
    let Some(disk) = Disk::mount("64k") else { return };
    std::fs::write(disk.dir.path().join("ballast"), [1; 64 * 1024]).unwrap_or_default();
    let message = refusal(&disk.data());
    assert!(message.contains("No space left") && message.contains("free some space"), "{message}");
    assert!(message.contains(&disk.data().display().to_string()), "{message}");
}

#[test]
fn a_read_only_disk_is_named_at_the_start_and_survived_later() {
    let Some(disk) = Disk::mount("4m") else { return };
    let mut sink = open(options(&disk.data()));
    disk.remount_read_only();
    let message = refusal(&disk.data());
    assert!(message.contains("Read-only file system") && message.contains("mount it writable"), "{message}");
    assert!(matches!(sink.write(&plain_rows(ClassId::File, 0, 1)), Err(SinkError::Retry(_))));
}

#[test]
fn a_file_in_place_of_the_directory_is_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("data"), "").unwrap();
    let message = refusal(&dir.path().join("data"));
    assert!(message.contains("data") && message.contains("in the way"), "{message}");
}

#[test]
fn a_disk_below_the_floor_of_free_space_is_named_at_the_start() {
    let Some(disk) = Disk::mount("4m") else { return };
    let above = weir_sinks::ParquetOptions { free_bytes_min: Some(8 * 1024 * 1024), ..options(&disk.data()) };
    let error = ParquetSink::open(above, identity(), "0").err().unwrap().to_string();
    assert!(error.contains("free_bytes_min") && error.contains("free some space"), "{error}");
}

#[test]
fn a_floor_of_free_space_is_kept_by_removing_the_oldest_files() {
    let Some(disk) = Disk::mount("4m") else { return };
    let mut random = Random(2);
    let floor = Some(2 * 1024 * 1024);
    let mut sink = open(weir_sinks::ParquetOptions { free_bytes_min: floor, ..options(&disk.data()) });
    for _ in 0..12 {
        sink.write(&noise(&mut random, 1_000)).unwrap();
        sink.flush(&Progress::default()).unwrap();
        let free = rustix::fs::statvfs(disk.dir.path()).unwrap();
        assert!(free.f_bavail * free.f_frsize >= 2 * 1024 * 1024);
    }
    let notes = std::fs::read_to_string(disk.data().join("removed.jsonl")).unwrap();
    assert_eq!(notes.lines().count() + parquet_files(&disk.data()).len(), 12);
}
