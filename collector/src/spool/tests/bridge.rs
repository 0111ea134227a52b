//! Damage that is met while the collector runs: what a reader makes of it is what the next start would.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_schema::Reason;
use weir_sinks::{Discard, Lane, LaneOptions};

use super::super::committer::CommitWatch;
use super::super::cursor;
use super::super::log::{Log, LogOptions};
use super::super::reader::LogReader;
use super::super::room::{Room, WhenFull};
use super::damage::{damage, frames};
use super::{cut, options};
use crate::config::SinkStart;

/// Cuts of a log of a test.
const CUTS: u64 = 12;
/// Bytes of a segment, so that the log has some.
const SEGMENT_BYTES: u64 = 2_500;

fn kept(dir: &Path) -> LogOptions {
    LogOptions { keep: true, ..options(dir, SEGMENT_BYTES) }
}

/// A log that is being written.
fn running(dir: &Path) -> Log {
    let mut log = Log::open(kept(dir)).unwrap();
    for number in 0..CUTS {
        log.append(&cut(number, 1, 2)).unwrap();
    }
    log.publish(true).unwrap();
    log
}

/// Number, whether it stands for lost ones, and where it ends: of every cut that a reader gives.
fn all(mut reader: LogReader) -> Vec<(u64, bool, i64)> {
    let (mut next, mut found) = (0, vec![]);
    while let Some(cut) = reader.cut(next).unwrap() {
        assert!(cut.number >= next);
        next = cut.number + 1;
        found.push((cut.number, cut.damaged, cut.positions[0].next_seq));
    }
    found
}

fn bridged(log: &Log) -> Vec<(u64, bool, i64)> {
    all(LogReader::bridging(Arc::clone(log.shared())))
}

#[test]
fn a_reader_bridges_damage_as_the_next_start_does() {
    let count = running(tempfile::tempdir().unwrap().path()).shared().segments().len();
    for segment in 0..count {
        for frame in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            let log = running(dir.path());
            let path = log.shared().segments()[segment].path.clone();
            let in_it = frames(&fs::read(&path).unwrap()).len();
            damage(&path, frame.min(in_it - 1));
            let is_end = segment == count - 1 && frame >= in_it - 1;
            let met = bridged(&log);
            drop(log);
            let log = Log::open(kept(dir.path())).unwrap();
            let mended = all(LogReader::new(Arc::clone(log.shared())));
            assert_eq!(met, mended, "frame {frame} of segment {segment}");
            assert!(is_end || met.iter().any(|(_, damaged, _)| *damaged));
            assert_eq!(met.last().map(|last| last.0), Some(CUTS - 1 - u64::from(is_end)));
        }
    }
}

#[test]
fn a_segment_whose_header_is_damaged_loses_nothing_while_its_stream_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let log = running(dir.path());
    let path = log.shared().segments()[1].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let met = bridged(&log);
    assert!(met.len() == CUTS as usize && met.iter().all(|(_, damaged, _)| !damaged), "{met:?}");
    let strict = LogReader::new(Arc::clone(log.shared())).cut(log.shared().segments()[1].first);
    assert_eq!(strict.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn one_cut_stands_for_a_segment_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = running(dir.path());
    let gone = log.shared().segments()[1].clone();
    fs::remove_file(&gone.path).unwrap();
    let met = bridged(&log);
    let lost: Vec<_> = met.iter().filter(|(_, damaged, _)| *damaged).collect();
    assert_eq!(lost, [&(gone.next - 1, true, gone.next as i64 * 10)]);
    assert_eq!(met.len() as u64, CUTS - (gone.next - gone.first) + 1);
}

#[test]
fn a_lane_counts_what_it_misses_of_a_damaged_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = running(dir.path());
    let segment = log.shared().segments()[1].clone();
    damage(&segment.path, 1);
    let backlog = cursor::backlog(&log, "sink", SinkStart::Oldest, log.next()).unwrap();
    let lane = Lane::start_with(LaneOptions::default(), Box::new(Discard), Some(backlog)).unwrap();
    let report = lane.stop(Instant::now() + Duration::from_secs(60));
    // The cuts of this test have more numbers than rows.
    let unbalanced: Vec<_> = report.ledger.balance().into_iter().filter(|i| i.what.starts_with("cpu")).collect();
    assert_eq!(unbalanced, []);
    assert_eq!(report.ledger.lost_for(Reason::SpoolDamaged), 10);
    assert!(report.finished && report.fatal().is_none());
}

#[test]
fn a_full_log_that_is_damaged_is_mended_and_has_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = running(dir.path());
    log.shared().need("sink", 0);
    let segment = log.shared().segments()[0].clone();
    damage(&segment.path, 1);
    let watch = CommitWatch::default();
    let bytes_max = log.shared().bytes() - 1;
    Room::new(bytes_max, WhenFull::DropOldest).make(&mut log, &watch).unwrap();
    assert!(log.shared().bytes() < bytes_max);
    let strict = all(LogReader::new(Arc::clone(log.shared())));
    assert_eq!((strict[0], strict.last().unwrap().0), ((0, true, 10), CUTS - 1));
}
