//! From the ring to closed batches and to fsynced Parquet: process CPU time per row, and bytes per row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use weir_bpf::Selection;
use weir_collector::assemble::Limits;
use weir_collector::order::Sequencer;
use weir_collector::pipeline::{Marks, Pace, Pipeline, Selected};
use weir_schema::record::action_number;
use weir_schema::syscalls;
use weir_sinks::parquet::{ParquetOptions, ParquetSink};
use weir_sinks::{Batch, Identity, Lane, LaneOptions, Policy, Position, Progress, Receipt, Sink, SinkError};

use crate::figures::Figures;
use crate::record::{BUILD, Recording, record};
use crate::tape::Tape;

/// Real rows that are recorded; the tape plays them over and over.
const RECORDED: usize = 200_000;
/// Records between two rounds.
const FILL: usize = 4096;
/// Kernel time between two records, ns.
const STEP_NS: i64 = 1500;

fn identity() -> Identity {
    Identity { host: "bench".into(), boot_id: "00000000-0000-0000-0000-000000000000".into(), epoch: 1 }
}

/// A sink that takes everything and keeps nothing.
struct Nothing;

impl Sink for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }
    fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Ok(())
    }
    fn wants_flush(&self, _: Instant) -> bool {
        false
    }
    fn flush_due(&self) -> Option<Instant> {
        None
    }
    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        Ok(Receipt::default())
    }
}

fn cpu_ns(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

struct Played {
    rows: u64,
    ns_per_row: f64,
}

fn marks(sequencer: &Sequencer<Tape>) -> Marks {
    let position = |(cpu, next, ktime_ns)| Position { cpu: cpu as i32, next_seq: next as i64, ktime_ns };
    let positions = sequencer.positions().map(|(cpu, next, time): (usize, u64, i64)| position((cpu, next, time)));
    Marks { positions: positions.collect(), resume: String::new() }
}

/// Plays `rows` rows of one class through the pipeline; CPU time of all threads but for filling the tape.
fn play(recording: &Recording, class: u16, rows: u64, sink: Box<dyn Sink>) -> Result<Played> {
    let mut actions = [0u64; 8];
    actions[usize::from(class)] = u64::MAX;
    let selected = Selected { actions, ..Selected::default() };
    let mut pipeline = Pipeline::new(identity(), selected, 65_536);
    let options = LaneOptions { policy: Policy::Block, block_max: Duration::from_secs(600), ..LaneOptions::default() };
    let lane = Lane::start(options, sink)?;
    let limits = Limits { rows_max: 8192, bytes_max: 8 << 20 };
    pipeline.add_lanes(Pace::Age(Duration::from_millis(25)), limits, vec![lane]);
    let mut sequencer = Sequencer::new(0, true);
    sequencer.add(Tape::new(0));
    let mut played = 0;
    let mut ktime_ns = 1_000_000_000i64;
    let mut source = recording.records.iter().map(Vec::as_slice).cycle();
    let mut filling = 0.0;
    let begin = cpu_ns(ClockId::ProcessCPUTime);
    while played < rows {
        let fill = cpu_ns(ClockId::ThreadCPUTime);
        for tape in sequencer.sources_mut() {
            tape.fill((&mut source).take(FILL).map(|record| {
                ktime_ns += STEP_NS;
                (record, ktime_ns)
            }));
        }
        filling += cpu_ns(ClockId::ThreadCPUTime) - fill;
        let before = pipeline.counts().rows;
        loop {
            let mut gaps = vec![];
            let p = &mut pipeline;
            let emit = |cpu: usize, record: &[u8]| {
                p.record(cpu, record);
                !p.is_full()
            };
            let round = sequencer.round(|| ktime_ns + 1, emit, &mut gaps);
            let full = pipeline.is_full();
            let s = &sequencer;
            pipeline.close_due(!full && !round.more, Instant::now(), || marks(s));
            if !full && !round.more {
                break;
            }
        }
        played += pipeline.counts().rows - before;
    }
    let (lanes, _) = pipeline.finish(|| marks(&sequencer));
    for lane in lanes {
        lane.stop(Instant::now() + Duration::from_secs(60));
    }
    let ns = cpu_ns(ClockId::ProcessCPUTime) - begin - filling;
    Ok(Played { rows: played, ns_per_row: ns / played as f64 })
}

fn of_class(class: u16) -> impl Fn(&[u8]) -> bool {
    move |record| action_number(record) >> 8 == class
}

fn files() -> Selection {
    let actions = weir_schema::class_by_name("file").map(|c| c.actions.iter().map(|a| a.id)).into_iter().flatten();
    Selection { actions: actions.collect(), ..Selection::default() }
}

fn calls() -> Selection {
    let names: BTreeSet<&'static str> = syscalls::table(syscalls::native()).iter().map(|s| s.name).collect();
    Selection { actions: BTreeSet::from([0x0601]), calls: names, ..Selection::default() }
}

fn bytes_below(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { bytes_below(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}

fn parquet(dir: &Path) -> Result<Box<dyn Sink>> {
    let options = ParquetOptions { dir: dir.to_owned(), ..ParquetOptions::default() };
    Ok(Box::new(ParquetSink::open(options, identity(), "bench").map_err(|e| anyhow::anyhow!("{e}"))?))
}

/// CPU time per row.
pub fn measure(figures: &mut Figures, rows: u64) -> Result<()> {
    let file = record(files(), BUILD, RECORDED, of_class(2))?;
    let call = record(calls(), BUILD, RECORDED, of_class(6))?;
    let note = |p: &Played, r: &Recording| format!("{} rows from {} real records", p.rows, r.records.len());
    let p = play(&call, 6, rows, Box::new(Nothing))?;
    figures.at_most("ring to closed batches, syscall row", p.ns_per_row, 80.0, "ns", note(&p, &call));
    let p = play(&file, 2, rows, Box::new(Nothing))?;
    figures.at_most("ring to closed batches, file row", p.ns_per_row, 150.0, "ns", note(&p, &file));
    let dir = tempfile::tempdir()?;
    let p = play(&file, 2, rows, parquet(dir.path())?)?;
    figures.at_most("ring to fsynced Parquet, file row", p.ns_per_row, 400.0, "ns", note(&p, &file));
    let dir = tempfile::tempdir()?;
    let p = play(&call, 6, rows, parquet(dir.path())?)?;
    figures.say("ring to fsynced Parquet, syscall row", p.ns_per_row, "ns", note(&p, &call));
    Ok(())
}

/// Bytes per row of a real build, once through: real times and numbers are not repeated.
pub fn size(figures: &mut Figures) -> Result<()> {
    for (name, class_args, limit) in
        [("syscall", &["--syscall", "all", "--class", "syscall"][..], 6.0), ("file", &["--class", "file"], 25.0)]
    {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let repeat = format!("for n in 1 2 3 4 5 6 7 8; do ( {BUILD} ); done");
        let path = data.to_string_lossy().into_owned();
        let mut args = vec!["run", "--status", "never", "--parquet", &path];
        args.extend(class_args);
        args.extend(["--", "sh", "-c", &repeat]);
        let report = crate::weir::run(&args)?;
        let rows = report.rows_of(name);
        let bytes = bytes_below(&data.join(format!("class={name}")))?;
        let note = format!("{rows} rows of a C build, {bytes} bytes");
        figures.at_most(&format!("bytes per {name} row of a build"), bytes as f64 / rows as f64, limit, "B", note);
    }
    Ok(())
}
