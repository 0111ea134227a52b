//! The log on real files.

mod bridge;
mod damage;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::Array;
use weir_schema::{CLASSES, ClassId, Reason};
use weir_sinks::{Cut, Identity, LossAction, LossRow, Position, Tally, loss_batch};

use super::committer::CommitWatch;
use super::log::{Log, LogOptions};
use super::reader::LogReader;
use super::room::{Room, WhenFull};

fn identity(epoch: i64) -> Identity {
    Identity { host: "höst".into(), boot_id: "b".into(), epoch }
}

fn options(dir: &std::path::Path, segment_bytes: u64) -> LogOptions {
    LogOptions { dir: dir.to_owned(), segment_bytes, keep: false, owner: None }
}

/// A cut with `rows` rows of class loss and as many numbers of class file.
fn cut(number: u64, epoch: i64, rows: i64) -> Arc<Cut> {
    let row = |seq: i64| LossRow {
        ktime_ns: 100 + seq,
        cpu: -1,
        seq,
        action: LossAction::Gap,
        gap_cpu: Some(0),
        first_seq: None,
        last_seq: None,
        first_ktime_ns: (seq % 2 == 0).then_some(7),
        last_ktime_ns: None,
        count: 3,
        by_action: format!("open={number}"),
        reason: Some(Reason::ProbeReentered),
    };
    let rows: Vec<LossRow> = (0..rows).map(row).collect();
    let tally = |action, count| Tally {
        cpu: 0,
        action,
        first_seq: number as i64 * 10,
        last_seq: number as i64 * 10 + 9,
        count,
    };
    Arc::new(Cut {
        number,
        identity: identity(epoch),
        batches: vec![loss_batch(&identity(epoch), 5, &rows)],
        tallies: vec![tally(0x0201, 9), tally(0, 1)],
        dropped: vec![],
        damaged: false,
        positions: vec![Position { cpu: 0, next_seq: number as i64 * 10 + 10, ktime_ns: 1_000 + number as i64 }],
        clock_offset_ns: -4,
        last: number == 3,
        resume: format!("[{number}]"),
    })
}

fn same(found: &Cut, expected: &Cut) {
    assert_eq!((found.number, &found.identity), (expected.number, &expected.identity));
    assert_eq!((&found.tallies, &found.dropped), (&expected.tallies, &expected.dropped));
    assert_eq!((&found.positions, found.clock_offset_ns), (&expected.positions, expected.clock_offset_ns));
    assert_eq!((found.last, &found.resume), (expected.last, &expected.resume));
    assert_eq!(found.batches.len(), expected.batches.len());
    for (a, b) in found.batches.iter().zip(&expected.batches) {
        assert_eq!(a.class.id, b.class.id);
        assert_eq!(a.rows, b.rows);
    }
}

#[test]
fn cuts_come_back_as_they_were_across_segments_epochs_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 4_000)).unwrap();
    for number in 0..40 {
        log.append(&cut(number, 1 + number as i64 / 30, 20)).unwrap();
    }
    let mut reader = LogReader::new(Arc::clone(log.shared()));
    assert!(reader.cut(0).unwrap().is_none(), "nothing is seen before it is published");
    log.publish(true).unwrap();
    drop(log);
    let log = Log::open(options(dir.path(), 4_000)).unwrap();
    assert!(log.shared().segments().len() > 3);
    assert_eq!((log.next(), log.recovered().cuts, log.recovered().torn_bytes), (40, 40, 0));
    let mut reader = LogReader::new(Arc::clone(log.shared()));
    for number in (0..40).chain([39, 7, 8, 0, 1, 0, 2, 1]) {
        same(&reader.cut(number).unwrap().unwrap(), &cut(number, 1 + number as i64 / 30, 20));
    }
    assert!(reader.cut(40).unwrap().is_none());
}

#[test]
fn a_torn_end_is_cut_off_at_any_byte_and_every_whole_cut_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 1 << 20)).unwrap();
    let ends: Vec<u64> = (0..3)
        .map(|number| {
            log.append(&cut(number, 1, 2)).unwrap();
            log.shared().segments()[0].bytes
        })
        .collect();
    log.publish(true).unwrap();
    let path = log.shared().segments()[0].path.clone();
    drop(log);
    let whole = fs::read(&path).unwrap();
    for len in (ends[0]..ends[2]).step_by(7) {
        fs::write(&path, &whole[..len as usize]).unwrap();
        let log = Log::open(options(dir.path(), 1 << 20)).unwrap();
        let kept = ends.iter().filter(|end| **end <= len).count() as u64;
        // Schemas in front of a cut that is torn stay: they are whole.
        assert_eq!((log.next(), log.recovered().cuts), (kept, kept), "cut off at {len} of {ends:?}");
    }
    for at in (ends[1]..ends[2]).step_by(13) {
        let mut damaged = whole.clone();
        damaged[at as usize] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let log = Log::open(options(dir.path(), 1 << 20)).unwrap();
        // The padding behind a frame has no meaning, so a change there is none.
        assert!(log.next() == 2 || log.next() == 3, "changed at {at}");
    }
}

#[test]
fn a_segment_that_was_made_and_not_filled_is_a_torn_end_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 1 << 20)).unwrap();
    log.append(&cut(0, 1, 2)).unwrap();
    log.publish(true).unwrap();
    let whole = fs::read(&log.shared().segments()[0].path).unwrap();
    drop(log);
    let next = dir.path().join(super::segment::name(1));
    for len in [0, 1, 7, 8, 15, 16, 60] {
        fs::write(&next, &whole[..len]).unwrap();
        let log = Log::open(options(dir.path(), 1 << 20)).unwrap();
        assert_eq!((log.next(), log.recovered().torn_bytes), (1, len as u64));
        assert!(!next.exists());
    }
}

#[test]
fn a_log_goes_on_behind_what_it_has_and_only_one_writer_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 1 << 20)).unwrap();
    log.append(&cut(0, 1, 1)).unwrap();
    assert!(Log::open(options(dir.path(), 1 << 20)).is_err());
    drop(log);
    let mut log = Log::open(options(dir.path(), 1 << 20)).unwrap();
    log.append(&cut(1, 1, 1)).unwrap();
    log.publish(true).unwrap();
    let mut reader = LogReader::new(Arc::clone(log.shared()));
    same(&reader.cut(0).unwrap().unwrap(), &cut(0, 1, 1));
    same(&reader.cut(1).unwrap().unwrap(), &cut(1, 1, 1));
    assert_eq!(log.last_cut().unwrap().unwrap().number, 1);
}

#[test]
fn a_segment_goes_when_every_sink_has_passed_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 2_000)).unwrap();
    for number in 0..30 {
        log.append(&cut(number, 1, 20)).unwrap();
    }
    log.publish(true).unwrap();
    let before = log.shared().segments().len();
    log.shared().need("a", 30);
    log.shared().need("b", 5);
    log.trim();
    assert!(log.shared().first() <= 5 && log.shared().segments().len() < before);
    log.shared().need("b", 30);
    log.trim();
    assert_eq!(log.shared().segments().len(), 1, "the last one stays, so that the numbers go on");
}

#[test]
fn a_full_log_gives_up_rows_but_no_number_and_says_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 200_000)).unwrap();
    log.shared().need("sink", 0);
    let watch = CommitWatch::default();
    let mut room = Room::new(500_000, WhenFull::DropOldest);
    for number in 0..30 {
        room.make(&mut log, &watch).unwrap();
        let mut cut = unshared(cut(number, 1, 1));
        cut.batches.insert(0, filled(ClassId::File, 1_000));
        log.append(&cut).unwrap();
        log.publish(false).unwrap();
    }
    let file_rows = |cut: &Cut| cut.tallies.iter().filter(|t| t.action == 0x0201).map(|t| t.count).sum::<i64>();
    let mut reader = LogReader::new(Arc::clone(log.shared()));
    let mut dropped = 0;
    for number in 0..30 {
        let cut = reader.cut(number).unwrap().unwrap();
        let gone: i64 = cut.dropped.iter().map(|t| t.count).sum();
        assert_eq!(file_rows(&cut) + gone, 9);
        assert!(cut.batches.iter().any(|b| b.class.id == ClassId::Loss), "what the kernel lost is never given up");
        dropped += gone as u64;
    }
    assert_eq!(dropped, watch.dropped.load(Ordering::Relaxed));
    assert!(dropped > 0);
    assert!(Room::new(1, WhenFull::Block).make(&mut log, &watch).is_err(), "nothing may be given up");
}

#[test]
fn every_class_comes_back_with_all_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 1 << 20)).unwrap();
    let batches = CLASSES.iter().map(|class| filled(class.id, 3));
    let written = Cut { batches: batches.collect(), ..unshared(cut(0, 1, 1)) };
    log.append(&written).unwrap();
    log.publish(true).unwrap();
    same(&LogReader::new(Arc::clone(log.shared())).cut(0).unwrap().unwrap(), &written);
}

#[test]
fn gaps_are_those_that_rows_of_class_loss_tell() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(options(dir.path(), 1 << 20)).unwrap();
    let tally = |action, count| Tally { cpu: 0, action, first_seq: 0, last_seq: 9, count };
    let tallies = CLASSES.iter().map(|class| tally(class.actions[0].id, if class.id == ClassId::Loss { 2 } else { 5 }));
    log.append(&Cut { tallies: tallies.collect(), ..unshared(cut(0, 1, 1)) }).unwrap();
    log.publish(true).unwrap();
    let (info, _) = super::info::info(dir.path()).unwrap();
    assert_eq!(info.streams[0].gaps, 2);
}

fn unshared(cut: Arc<Cut>) -> Cut {
    Arc::try_unwrap(cut).unwrap()
}

/// A batch whose columns that are never null have values.
fn filled(class: ClassId, rows: usize) -> weir_sinks::Batch {
    let schema = weir_schema::arrow::schema(class);
    let columns = schema.fields().iter().map(|field| match field.is_nullable() {
        true => arrow_array::new_null_array(field.data_type(), rows),
        false => full_column(field.data_type(), rows),
    });
    let rows = arrow_array::RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    weir_sinks::Batch { class: CLASSES[class.index()], rows }
}

fn full_column(data_type: &arrow_schema::DataType, rows: usize) -> arrow_array::ArrayRef {
    use arrow_array::{BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow_schema::DataType;
    let numbers = 0..rows as i64;
    let array: arrow_array::ArrayRef = match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(numbers.map(|n| Some(n % 2 == 0)))),
        DataType::Int32 => Arc::new(Int32Array::from_iter_values(numbers.map(|n| 7 - n as i32))),
        DataType::Int64 => Arc::new(Int64Array::from_iter_values(numbers.map(|n| i64::MAX - n))),
        DataType::Timestamp(_, zone) => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(numbers).with_timezone_opt(zone.clone()))
        }
        DataType::Dictionary(_, _) => {
            let values = Arc::new(StringArray::from(vec!["a", "ü"]));
            Arc::new(DictionaryArray::new(Int32Array::from_iter_values(numbers.map(|n| n as i32 % 2)), values))
        }
        other => panic!("no column that is never null has type {other}"),
    };
    assert_eq!(array.len(), rows);
    array
}

#[test]
fn a_file_that_is_no_segment_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Log::open(options(dir.path(), 1 << 20)).unwrap());
    let path = dir.path().join(super::segment::name(7));
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .unwrap()
        .write_all(b"not a log at all")
        .unwrap();
    let error = Log::open(options(dir.path(), 1 << 20)).err().unwrap().to_string();
    assert!(error.contains("00000000000000000007") && error.contains("no segment"), "{error}");
    assert!(path.exists());
}
