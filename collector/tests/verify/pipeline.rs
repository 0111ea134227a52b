//! What the real lane and the real sinks write is what verify expects: cuts go in, rows come out, and they are complete.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use weir_collector::verify::{Report, RunReport};
use weir_schema::loss::{CPU_COLLECTOR, CPU_SINK};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::{
    Batch, ClassSet, Cut, Format, Identity, Lane, LaneOptions, ParquetOptions, ParquetSink, Position, Progress, Sink,
    StdoutSink, Tally,
};

use super::files::{batch, lines_report, read_plain, verify_path, write_plain};
use super::script::{BOOT_ID, EPOCH, Fate, HOST, OFFSET_NS, Row, play};

/// Longest wait for a lane to finish.
const STOP_MAX: Duration = Duration::from_secs(300);

fn identity() -> Identity {
    Identity { host: HOST.into(), boot_id: BOOT_ID.into(), epoch: EPOCH }
}

/// 600 attempts on four CPUs with every fate; the lane gets those that were not selected as void ones.
fn attempts() -> Vec<(i32, Fate)> {
    let classes = [ClassId::File, ClassId::Process, ClassId::Network];
    let fate = |n: usize| match n {
        n if n % 11 == 3 => Fate::Lost,
        n if n % 13 == 5 => Fate::NotSelected,
        n => Fate::Row(classes[n % 7 % 3]),
    };
    (0..600).map(|n| ((n * n % 4) as i32, fate(n))).collect()
}

/// The cuts that a sequencer would make of these attempts.
fn cuts(attempts: &[(i32, Fate)], size: usize) -> Vec<Cut> {
    let rows = play(attempts, size, false);
    let count = attempts.len().div_ceil(size);
    (0..count).map(|n| cut(n, n + 1 == count, rows.iter().filter(|r| r.generation == n).collect())).collect()
}

fn cut(number: usize, last: bool, rows: Vec<&Row>) -> Cut {
    let made = |class: &ClassId| rows.iter().copied().filter(|r| r.class == *class && r.cpu != CPU_SINK).collect();
    let batches = CLASSES.iter().map(|c| (c, made(&c.id))).filter(|(_, rows): &(_, Vec<&Row>)| !rows.is_empty());
    let mut tallies: BTreeMap<(i32, u16), Tally> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.cpu != CPU_SINK) {
        let actions = CLASSES[row.class.index()].actions;
        let action = actions.iter().find(|a| a.name == row.action).expect("an action of the class").id;
        let new = Tally { cpu: row.cpu, action, first_seq: row.seq, last_seq: row.seq, count: 0 };
        let tally = tallies.entry((row.cpu, action)).or_insert(new);
        (tally.last_seq, tally.count) = (row.seq, tally.count + 1);
    }
    let own = || rows.iter().filter(|r| r.cpu == CPU_SINK).filter_map(|r| Some((r.action, r.loss.as_ref()?)));
    for (_, loss) in own().filter(|(action, _)| *action == "gap") {
        let last_seq = loss.last_seq.expect("a gap has numbers");
        let void = Tally { cpu: loss.gap_cpu, action: 0, first_seq: loss.first_seq, last_seq, count: loss.count };
        tallies.insert((loss.gap_cpu, 0), void);
    }
    let position = |loss: &super::script::Loss| Position {
        cpu: loss.gap_cpu,
        next_seq: loss.first_seq,
        ktime_ns: loss.last_ktime_ns.expect("a checkpoint has a time"),
    };
    Cut {
        number: number as u64,
        identity: identity(),
        batches: batches.map(|(class, rows)| Batch { class, rows: batch(&rows) }).collect(),
        tallies: tallies.into_values().collect(),
        positions: own().filter(|(action, _)| *action == "checkpoint").map(|(_, loss)| position(loss)).collect(),
        clock_offset_ns: OFFSET_NS,
        dropped: vec![],
        damaged: false,
        resume: String::new(),
        last,
    }
}

/// Sends all cuts through a lane as fast as it goes.
fn through(options: LaneOptions, sink: Box<dyn Sink>, cuts: Vec<Cut>) {
    let mut lane = Lane::start(options, sink).expect("a thread");
    for cut in cuts {
        lane.send(&Arc::new(cut));
    }
    let report = lane.stop(Instant::now() + STOP_MAX);
    assert!(report.finished && report.ended, "{report:?}");
}

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stdout_report(options: LaneOptions, cuts: Vec<Cut>) -> Report {
    let stream = Shared::default();
    through(options, Box::new(StdoutSink::new(Format::Json, Box::new(stream.clone()))), cuts);
    let bytes = stream.0.lock().expect("no panic").clone();
    lines_report(&bytes)
}

fn parquet_report(
    options: LaneOptions,
    cuts: Vec<Cut>,
    change: impl Fn(&mut ParquetOptions),
) -> (Report, tempfile::TempDir) {
    let top = tempfile::tempdir().expect("a directory");
    // Few rows per file: many generations.
    let mut parquet = ParquetOptions { dir: top.path().to_owned(), rows_max: 10, ..ParquetOptions::default() };
    change(&mut parquet);
    let sink = ParquetSink::open(parquet, identity(), "0.0.0").expect("a directory that can be written");
    through(options, Box::new(sink), cuts);
    (verify_path(top.path()), top)
}

/// A queue that holds everything: nothing is lost on the way.
fn roomy(classes: ClassSet) -> LaneOptions {
    LaneOptions { classes, ..LaneOptions::default() }
}

fn run(report: &Report) -> &RunReport {
    assert_eq!(report.exit_code(), 0, "{report}");
    &report.sinks[0].runs[0]
}

fn parquet_files(top: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(top).expect("a directory").map(|e| e.expect("an entry").path());
    let (dirs, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let is_parquet = |path: &PathBuf| path.extension().is_some_and(|e| e == "parquet");
    dirs.iter().flat_map(|dir| parquet_files(dir)).chain(files.into_iter().filter(is_parquet)).collect()
}

#[test]
fn what_a_lane_and_its_sink_deliver_is_complete() {
    let attempts = attempts();
    let rows = attempts.iter().filter(|(_, fate)| matches!(fate, Fate::Row(_))).count() as u64;
    let void = attempts.iter().filter(|(_, fate)| *fate == Fate::NotSelected).count() as u64;
    let running = 3;
    let (parquet, top) = parquet_report(roomy(ClassSet::all()), cuts(&attempts, 25), |_| {});
    assert!(parquet_files(top.path()).len() > 20);
    for report in [stdout_report(roomy(ClassSet::all()), cuts(&attempts, 25)), parquet] {
        let run = run(&report);
        assert_eq!(run.delivered, rows + running);
        assert_eq!(run.gaps["not_selected"].by_action, BTreeMap::from([("void".to_owned(), void)]));
        assert_eq!(run.gaps["ring_full"].count, attempts.len() as u64 - rows - void);
    }
}

#[test]
fn what_a_sink_did_not_select_is_counted_and_balances() {
    let classes = || roomy(ClassSet::of([ClassId::File]));
    let selected = attempts().iter().filter(|(_, fate)| *fate == Fate::Row(ClassId::File)).count() as u64;
    let parquet = parquet_report(classes(), cuts(&attempts(), 25), |_| {}).0;
    for report in [stdout_report(classes(), cuts(&attempts(), 25)), parquet] {
        let run = run(&report);
        assert_eq!(run.rows.keys().collect::<Vec<_>>(), ["file", "loss"]);
        assert_eq!(run.delivered, selected);
        assert!(run.cpus.iter().any(|c| c.cpu == CPU_COLLECTOR && c.counted == 3));
    }
}

#[test]
fn what_a_full_lane_lost_is_counted_and_balances() {
    let tiny = || LaneOptions { cuts_max: 1, ..LaneOptions::default() };
    let (parquet, _) = parquet_report(tiny(), cuts(&attempts(), 3), |parquet| parquet.rows_max = 1);
    // 200 cuts at once, and an fsync after each that gets through: some find the queue full.
    assert!(run(&parquet).gaps["lane_full"].count > 0, "{parquet}");
    run(&stdout_report(tiny(), cuts(&attempts(), 3)));
}

#[test]
fn what_the_limits_of_the_directory_removed_is_told() {
    let all = cuts(&attempts(), 25);
    let (report, top) = parquet_report(roomy(ClassSet::all()), all, |parquet| parquet.dir_bytes_max = Some(100_000));
    assert!(top.path().join("removed.jsonl").exists(), "the limit was never reached");
    run(&report);
    let removed = report.sinks[0].removed.as_ref().expect("notes");
    assert!(removed.files > 0 && removed.rows > 0 && removed.rows_of_removed_runs == 0, "{report}");
}

/// A recording whose files of class `network`, and those of class `loss` but the last, are too old for its directory.
/// What stays lies between what went.
fn with_every_third_file_removed() -> tempfile::TempDir {
    let (_, top) = parquet_report(roomy(ClassSet::all()), cuts(&attempts()[..200], 40), |_| {});
    let (hour, of) = (Duration::from_secs(3_600), |class: &str| format!("class={class}/"));
    let mut loss: Vec<PathBuf> = vec![];
    let mut old: Vec<PathBuf> = vec![];
    for path in parquet_files(top.path()) {
        let name = path.display().to_string();
        if name.contains(&of("network")) {
            old.push(path);
        } else if name.contains(&of("loss")) {
            loss.push(path);
        }
    }
    loss.sort_by_key(|path| path.metadata().and_then(|m| m.modified()).expect("a time"));
    loss.pop();
    for path in old.iter().chain(&loss) {
        let file = std::fs::File::options().write(true).open(path).expect("open");
        file.set_modified(SystemTime::now() - 2 * hour).expect("an older time");
    }
    let limit = ParquetOptions { dir: top.path().to_owned(), dir_age_max: Some(hour), ..ParquetOptions::default() };
    ParquetSink::open(limit, identity(), "0.0.0").expect("the directory").flush(&Progress::default()).expect("a flush");
    assert!(old.iter().chain(&loss).all(|path| !path.exists()), "the limit does not hold");
    top
}

#[test]
fn any_further_row_or_file_that_is_missing_among_removed_ones_is_found() {
    let top = with_every_third_file_removed();
    let report = verify_path(top.path());
    let complete = run(&report);
    assert!(complete.cpus.iter().all(|cpu| cpu.unexplained == 0), "{report}");
    assert!(complete.cpus.iter().all(|cpu| cpu.removed > 0), "{report}");
    for path in parquet_files(top.path()) {
        let bytes = std::fs::read(&path).expect("read");
        let is_loss = path.display().to_string().contains("class=loss/");
        std::fs::remove_file(&path).expect("remove");
        let report = verify_path(top.path());
        // With the last file of class loss goes the end.
        assert_eq!(report.exit_code(), if is_loss { 3 } else { 1 }, "without {}: {report}", path.display());
        std::fs::write(&path, &bytes).expect("write");
        let batches = read_plain(&path);
        let rows = &batches[0];
        for row in 0..rows.num_rows() {
            write_plain(&path, &[rows.slice(0, row), rows.slice(row + 1, rows.num_rows() - row - 1)]);
            let report = verify_path(top.path());
            assert_ne!(report.exit_code(), 0, "without row {row} of {}: {report}", path.display());
        }
        std::fs::write(&path, &bytes).expect("write");
    }
    run(&verify_path(top.path()));
}
