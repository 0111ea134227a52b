//! Bits that flip where whole frames stand behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_sinks::{Backlog, Cut, Position, Progress};

use super::super::cursor;
use super::super::log::{Log, LogOptions, Shared};
use super::super::reader::{LogReader, SinkLog};
use super::{cut, options, same};

/// Bytes of a segment that holds all cuts of a test.
const LARGE: u64 = 1 << 20;

/// A log of so many cuts; the files of its segments.
fn log_of(dir: &Path, cuts: u64, segment_bytes: u64) -> Vec<PathBuf> {
    let mut log = Log::open(options(dir, segment_bytes)).unwrap();
    for number in 0..cuts {
        log.append(&cut(number, 1, 2)).unwrap();
    }
    log.publish(true).unwrap();
    log.shared().segments().into_iter().map(|segment| segment.path).collect()
}

/// Where the frames of a file begin.
pub(super) fn frames(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len() - 4).step_by(8).filter(|at| &bytes[*at..at + 4] == b"FRAM").collect()
}

/// Flips a bit in the middle of a frame; frame 0 is the schema of all cuts.
pub(super) fn damage(path: &Path, frame: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = frames(&bytes)[frame] + 40;
    bytes[at] ^= 0x04;
    fs::write(path, bytes).unwrap();
}

fn all(log: &Log) -> Vec<Arc<Cut>> {
    let mut reader = LogReader::new(Arc::clone(log.shared()));
    (0..log.next()).map(|number| reader.cut(number).unwrap().expect("no number is missing")).collect()
}

/// That these cuts are lost, as far as the positions in front of `behind`, and all others are as they were.
fn expect_lost(log: &Log, lost: std::ops::Range<u64>, ends_at: i64) {
    for found in all(log) {
        if lost.contains(&found.number) {
            assert!(found.damaged && found.batches.is_empty() && found.tallies.is_empty(), "cut {}", found.number);
            assert_eq!(found.positions.iter().map(|p| p.next_seq).collect::<Vec<_>>(), [ends_at]);
        } else {
            assert!(!found.damaged);
            same(&found, &cut(found.number, 1, 2));
        }
    }
}

#[test]
fn damage_in_the_middle_takes_only_the_cut_that_it_hit() {
    let dir = tempfile::tempdir().unwrap();
    let path = &log_of(dir.path(), 9, LARGE)[0];
    damage(path, 5);
    let (shared, found) = Shared::open_to_read(dir.path()).unwrap();
    assert_eq!((found.damaged.len(), found.cuts, shared.segments()[0].next), (1, 8, 4), "{found:?}");
    assert!(Shared::open_whole(dir.path()).is_err(), "nobody misses a cut without a word");
    let log = Log::open(options(dir.path(), LARGE)).unwrap();
    assert_eq!((log.next(), &log.recovered().lost), (9, &vec![(4, 4)]));
    expect_lost(&log, 4..5, 50);
    drop(log);
    let log = Log::open(options(dir.path(), LARGE)).unwrap();
    assert_eq!((log.recovered().damaged.len(), log.recovered().lost.len()), (0, 0), "it is mended");
    expect_lost(&log, 4..5, 50);
}

#[test]
fn damage_at_any_place_of_any_segment_leaves_no_number_out() {
    for frame in 0..4 {
        for segment in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let paths = log_of(dir.path(), 12, 2_500);
            assert!(paths.len() > 3, "{paths:?}");
            let in_it = frames(&fs::read(&paths[segment]).unwrap()).len();
            damage(&paths[segment], frame.min(in_it - 1));
            let log = Log::open(options(dir.path(), 2_500)).unwrap();
            let cuts = all(&log);
            assert_eq!((log.next(), cuts.len()), (12, 12), "frame {frame} of segment {segment}");
            // Every number is in a row, or passed over by a cut that stands for a lost one.
            let (mut next, mut lost) = (0, 0);
            for found in cuts {
                let ends = found.positions[0].next_seq;
                lost += if found.damaged { ends - next } else { 0 };
                assert!(found.damaged || ends - next == 10, "cut {} begins at {next}", found.number);
                next = ends;
            }
            assert!(next == 120 && lost > 0 && lost % 10 == 0, "{lost} of {next}");
        }
    }
}

#[test]
fn a_damaged_schema_takes_the_rows_of_its_cuts_but_not_where_they_end() {
    let dir = tempfile::tempdir().unwrap();
    damage(&log_of(dir.path(), 3, LARGE)[0], 0);
    let log = Log::open(options(dir.path(), LARGE)).unwrap();
    let ends: Vec<(bool, i64)> = all(&log).iter().map(|cut| (cut.damaged, cut.positions[0].next_seq)).collect();
    assert_eq!(ends, [(true, 10), (true, 20), (true, 30)]);
}

#[test]
fn no_sink_is_further_than_the_log_although_the_last_cut_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_of(dir.path(), 6, LARGE).remove(0);
    let log_id = Log::open(options(dir.path(), LARGE)).unwrap().shared().log_id.clone();
    let has = |next_cut| {
        let (shared, _) = Shared::open_to_read(dir.path()).unwrap();
        let cursor = cursor::Place::of(&weir_files::Dir::open_given(dir.path(), None).unwrap(), "fast");
        SinkLog::new(&shared, "fast", 0, Some(cursor)).passed(&Progress::begins(&log_id, next_cut)).unwrap();
    };
    has(5);
    damage(&path, 6);
    let log = Log::open(options(dir.path(), LARGE)).unwrap();
    assert_eq!((log.next(), log.recovered().lost.len()), (5, 0), "a torn end that nobody has");
    drop(log);
    has(5);
    damage(&path, 5);
    let log = Log::open(options(dir.path(), LARGE)).unwrap();
    assert_eq!((log.next(), &log.recovered().lost), (5, &vec![(4, 4)]), "its number is taken");
    let last = log.last_cut().unwrap().unwrap();
    assert!(last.damaged);
    assert_eq!(
        (&last.positions, &last.resume),
        (&cut(3, 1, 2).positions, &cut(3, 1, 2).resume),
        "a restart goes on there"
    );
}

#[test]
fn a_damaged_header_is_named_and_only_a_repair_gives_the_segment_up() {
    let dir = tempfile::tempdir().unwrap();
    let paths = log_of(dir.path(), 12, 2_500);
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[20] ^= 1;
    fs::write(&paths[1], bytes).unwrap();
    let error = Log::open(options(dir.path(), 2_500)).err().unwrap().to_string();
    assert!(error.contains("weir spool repair") && error.contains(paths[1].to_str().unwrap()), "{error}");
    let log = Log::repair(LogOptions { keep: true, ..options(dir.path(), 2_500) }).unwrap();
    let [(first, last)] = log.recovered().lost[..] else { panic!("{:?}", log.recovered()) };
    expect_lost(&log, first..last + 1, last as i64 * 10 + 10);
    assert!(paths[1].with_extension("damaged").exists());
}

#[test]
fn a_cut_begins_where_its_numbers_begin() {
    let before = cut(7, 1, 2).begins_at();
    assert_eq!(before, [Position { cpu: 0, next_seq: 70, ktime_ns: 100 }]);
}
