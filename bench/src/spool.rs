//! What `--durability crash` costs: process CPU time per event on top of the same pipeline without it, and syncs.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_collector::outlet::Outlet;
use weir_collector::spool::committer::CommitOptions;
use weir_collector::spool::{Committer, Log, LogOptions, SinkLog, WhenFull, cursor};
use weir_sinks::{BacklogOptions, Batch, Discard, Lane, LaneOptions, Progress, Receipt, Sink, SinkError};

use crate::figures::Figures;
use crate::flood;
use crate::median::median;
use crate::metrics::Metrics;
use crate::play::{lane_options, play, to_sink};
use crate::record::{BUILD, Recording, record};
use crate::rows::{RECORDED, calls, files, of_class};
use crate::weir;

/// Runs with and without the spool, in turn.
const ROUNDS: usize = 5;
const NAME: &str = "discard";
const COMMIT: CommitOptions =
    CommitOptions { interval: Duration::from_millis(25), bytes_max: 3 << 30, when_full: WhenFull::Block };
const SEGMENT_BYTES: u64 = 64 << 20;
/// How long the syncs of a running weir are counted.
const COUNTED: Duration = Duration::from_secs(15);

/// Discards, and flushes once a second as a broker's sink does, so that the log forgets what it has.
#[derive(Default)]
struct Flushed(Discard);

impl Sink for Flushed {
    fn name(&self) -> &str {
        NAME
    }
    fn flush_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.0.write(batch)
    }
    fn wants_flush(&self, now: Instant) -> bool {
        self.0.wants_flush(now)
    }
    fn flush_due(&self) -> Option<Instant> {
        self.0.flush_due()
    }
    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        self.0.flush(progress)
    }
}

/// A pipeline's end that is the spool, with one sink behind it.
fn to_log(dir: &Path) -> Result<Outlet> {
    let log = Log::open(LogOptions { dir: dir.to_owned(), segment_bytes: SEGMENT_BYTES, keep: false, owner: None })
        .with_context(|| format!("open the spool {}", dir.display()))?;
    let shared = log.shared();
    let backlog = BacklogOptions {
        log: Box::new(SinkLog::new(shared, NAME, 0, Some(cursor::Place::of(log.dir(), NAME)))),
        log_id: shared.log_id.clone(),
        progress: Some(Progress::begins(&shared.log_id, 0)),
        first: 0,
        skipped: false,
        first_sent: 0,
        complete: true,
    };
    // Large enough for a whole group: what is measured is the spool, not a lane that lags and reads it.
    let options = LaneOptions { cuts_max: 1 << 16, bytes_max: 1 << 30, ..lane_options() };
    let lane = Lane::start_with(options, Box::new(Flushed::default()), Some(backlog))?;
    Ok(Outlet::Log(Committer::start(log, COMMIT, vec![lane])?))
}

fn cost(figures: &mut Figures, name: &str, recording: &Recording, class: u16, rows: u64) -> Result<()> {
    let (mut without, mut with) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        without.push(play(recording, class, rows, to_sink(Box::new(Flushed::default()))?)?.ns_per_row);
        let dir = tempfile::tempdir()?;
        with.push(play(recording, class, rows, to_log(dir.path())?)?.ns_per_row);
    }
    let over: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let least = over.iter().copied().fold(f64::INFINITY, f64::min);
    let note = format!(
        "{:.0} with, {:.0} without, least difference {least:.0}; {ROUNDS} rounds of {rows} rows",
        median(with),
        median(without)
    );
    figures.at_most(&format!("spool, on top of the spine, {name} row"), median(over), 80.0, "ns", note);
    Ok(())
}

/// CPU time of the spool.
pub fn measure(figures: &mut Figures, rows: u64) -> Result<()> {
    cost(figures, "file", &record(files(), BUILD, RECORDED, of_class(2))?, 2, rows)?;
    cost(figures, "syscall", &record(calls(), BUILD, RECORDED, of_class(6))?, 6, rows)
}

/// Syncs of a running weir under a flood, seen by another weir that records its system calls.
pub fn syncs(figures: &mut Figures) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let target = dir.path().join("flooded");
    File::create(&target)?;
    let (data, spool) = (dir.path().join("data"), dir.path().join("spool"));
    let address = weir::free_address()?;
    let mut collector = weir::command()?;
    collector.args(["run", "--status", "never", "--listen", &address, "--parquet"]).arg(&data);
    let child = weir::Durable::start(&spool, &mut collector)?;
    let before = Metrics::when_ready(&address)?;
    let pid = child.pid().to_string();
    let watching = std::thread::spawn(move || watched(&pid));
    let offered = flood::produce(&target, 2, false, COUNTED + flood::START)?;
    let after = Metrics::read(&address)?;
    let commits =
        (after.sum("weir_spool_syncs_total", &[]) - before.sum("weir_spool_syncs_total", &[])) / offered.seconds;
    let calls = watching.join().map_err(|_| anyhow::anyhow!("the thread that counts syncs ended early"))??;
    child.stop()?;
    let load = format!("{:.0} k opens/s offered", offered.opens as f64 / offered.seconds / 1000.0);
    figures.at_most("spool, commits", commits, 40.0, "/s", load);
    let note = "all of the process: segments, positions, Parquet and directories";
    figures.at_most("spool, fsync and fdatasync calls", calls as f64 / COUNTED.as_secs_f64(), 40.0, "/s", note);
    Ok(())
}

/// How many calls that sync a process made while it was watched.
fn watched(pid: &str) -> Result<usize> {
    let duration = format!("{}s", COUNTED.as_secs());
    let output = Command::new(weir::binary()?)
        .args(["run", "--status", "never", "--stdout", "json", "--class", "syscall", "--duration", &duration])
        .args(["--syscall", "fsync,fdatasync,sync_file_range,syncfs,sync", "--follow", pid])
        .stdin(Stdio::null())
        .output()
        .context("watch a weir by another")?;
    anyhow::ensure!(output.status.success(), "the watching weir: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("sync")).count())
}
