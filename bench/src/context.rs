//! What context costs: the same records with it and without, and the table of processes when it is large.

mod crowd;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::ClockId;
use weir_collector::assemble;
use weir_collector::context::{Context, Limits, ProcessCounts};
use weir_collector::pipeline::{Marks, Pace, Pipeline, Selected};
use weir_schema::record::{action_number, at};
use weir_schema::wire::{HEADER_SIZE, offset_of};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::Discard;

use crate::figures::Figures;
use crate::median::median;
use crate::play::{context, cpu_ns, identity, play_in, to_sink};
use crate::record::{BUILD, Recording, record};
use crate::rows::{RECORDED, files};
use crate::weir::status_kib;

/// Pairs of runs with and without.
const ROUNDS: usize = 7;
const FILE: u16 = 2;
/// Live processes of the large table and of the small one, and forks with as many ends.
const LIVE: usize = 100_000;
const FEW: usize = 1_000;
/// Storms with many and with few, in turn.
const LARGE_ROUNDS: usize = 3;
const FORKS: usize = 1_000_000;
const EXEC: u16 = 0x0102;
const FORK: u16 = 0x0103;
const EXIT: u16 = 0x0104;

/// All figures.
pub fn measure(figures: &mut Figures, rows: u64) -> Result<()> {
    let lifecycle_and_files = |record: &[u8]| matches!(action_number(record) >> 8, 1 | FILE);
    let recording = record(files(), BUILD, RECORDED, lifecycle_and_files)?;
    cost(figures, &recording, rows)?;
    large(figures, &recording)?;
    crowd::measure(figures)
}

/// Of the first ones and of the second ones.
fn medians(pairs: &[(f64, f64)]) -> [f64; 2] {
    [median(pairs.iter().map(|pair| pair.0).collect()), median(pairs.iter().map(|pair| pair.1).collect())]
}

fn cost(figures: &mut Figures, recording: &Recording, rows: u64) -> Result<()> {
    let run = |is_plain| -> Result<f64> {
        Ok(play_in(context(is_plain), recording, FILE, rows, to_sink(Box::new(Discard))?)?.ns_per_row)
    };
    let mut pairs: Vec<(f64, f64)> = vec![];
    for _ in 0..ROUNDS {
        pairs.push((run(true)?, run(false)?));
    }
    let [without, with] = medians(&pairs);
    let added = median(pairs.iter().map(|(without, with)| with - without).collect());
    let note = format!("{with:.0} with, {without:.0} without; file rows of a C build with their forks and execs");
    figures.at_most("context, per file row", added, 40.0, "ns", note);
    Ok(())
}

/// Records that are played with other keys.
struct Templates<'a> {
    exec: &'a [u8],
    fork: &'a [u8],
    exit: &'a [u8],
}

impl<'a> Templates<'a> {
    fn of(recording: &'a Recording) -> Result<Templates<'a>> {
        let find = |action| recording.records.iter().map(Vec::as_slice).find(|r| action_number(r) == action);
        let (exec, fork, exit) = (find(EXEC), find(FORK), find(EXIT));
        Ok(Templates {
            exec: exec.context("an exec was recorded")?,
            fork: fork.context("a fork was recorded")?,
            exit: exit.context("an end was recorded")?,
        })
    }
}

const CHILD_KEY: usize = HEADER_SIZE + offset_of(CLASSES[ClassId::Process.index()].fields, "child_key");

fn keyed(template: &[u8], key: i64, parent: i64, child: i64, ktime_ns: i64) -> Vec<u8> {
    let mut bytes = template.to_vec();
    let mut put = |at: usize, value: i64| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(at::PROCESS_KEY, key);
    put(at::PARENT_KEY, parent);
    put(at::KTIME_NS, ktime_ns);
    put(CHILD_KEY, child);
    bytes
}

/// A pipeline that is fed, with rows that go nowhere.
struct Fed(Pipeline);

impl Fed {
    fn new(processes_max: usize) -> Result<Fed> {
        let limits = Limits { processes_max, grace_ns: 1_000_000_000, ancestors_max: 16, bytes_max: 64 << 20 };
        let selected = Selected { actions: [0, u64::MAX, 0, 0, 0, 0, 0, 0], ..Selected::default() };
        let mut pipeline = Pipeline::new(identity(), selected, Context::new(limits, false));
        let batches = assemble::Limits { rows_max: 8192, bytes_max: 8 << 20 };
        pipeline.add_outlet(Pace::Age(Duration::from_secs(3600)), batches, to_sink(Box::new(Discard))?, 0);
        Ok(Fed(pipeline))
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.0.record(0, bytes);
        if self.0.is_full() {
            self.0.close_due(false, Instant::now(), Marks::default);
        }
    }

    fn counts(&self) -> ProcessCounts {
        self.0.context().processes
    }
}

/// Fork, exec and end of children of `live` processes, `FORKS` times; ns per record, and rows of processes that were not known.
fn storm(templates: &Templates<'_>, fed: &mut Fed, live: usize) -> (f64, u64) {
    let ktime = |n: usize| n as i64 * 1_000_000;
    for n in 1..=live as i64 {
        fed.feed(&keyed(templates.fork, n / 2, n / 4, n, 0));
        fed.feed(&keyed(templates.exec, n, n / 2, 0, 0));
    }
    // The first one's creator is nobody.
    let before = fed.counts().unknown;
    let mut feeding = 0.0;
    for n in 0..FORKS {
        // The first one has no creator.
        let (parent, child) = (2 + (n * 7919 % (live - 1)) as i64, (live + 1 + n) as i64);
        let records = [
            keyed(templates.fork, parent, parent / 2, child, ktime(n)),
            keyed(templates.exec, child, parent, 0, ktime(n)),
            keyed(templates.exit, child, parent, 0, ktime(n)),
        ];
        let begin = cpu_ns(ClockId::ThreadCPUTime);
        records.iter().for_each(|record| fed.feed(record));
        feeding += cpu_ns(ClockId::ThreadCPUTime) - begin;
    }
    (feeding / (3 * FORKS) as f64, fed.counts().unknown - before)
}

fn resident_mib() -> f64 {
    status_kib(std::process::id(), "VmRSS:").unwrap_or(0) as f64 / 1024.0
}

fn large(figures: &mut Figures, recording: &Recording) -> Result<()> {
    let templates = Templates::of(recording)?;
    // Room for the live ones and for those of a second's grace.
    let room = LIVE + 16_384;
    let (mut pairs, mut grown, mut unknown) = (vec![], 0.0_f64, 0);
    let mut counts = ProcessCounts::default();
    for _ in 0..LARGE_ROUNDS {
        let (few, _) = storm(&templates, &mut Fed::new(room)?, FEW);
        let before = resident_mib();
        let mut fed = Fed::new(room)?;
        let (many, unknown_now) = storm(&templates, &mut fed, LIVE);
        pairs.push((few, many));
        (grown, unknown, counts) = (grown.max(resident_mib() - before), unknown + unknown_now, fed.counts());
    }
    let [few, many] = medians(&pairs);
    let ratio = median(pairs.iter().map(|(few, many)| many / few).collect());
    let note = format!("{many:.0} ns per row with {LIVE} live processes, {few:.0} with {FEW}; {FORKS} forks and ends");
    figures.at_most("context: rows with 100,000 live processes against 1,000", ratio, 1.2, "", note);
    let note = format!("{} known, {} evicted; memory grew by {grown:.0} MiB", counts.known, counts.evicted);
    figures.at_most("context: rows of unknown processes", unknown as f64, 0.0, "", note);
    let mut small = Fed::new(LIVE / 2)?;
    storm(&templates, &mut small, LIVE);
    let counts = small.counts();
    let note = format!("at most {}; {} evicted and counted", LIVE / 2, counts.evicted);
    figures.at_most("context: processes known when half of them fit", counts.known as f64, LIVE as f64 / 2.0, "", note);
    Ok(())
}
