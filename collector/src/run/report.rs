//! The final ledger: what the kernel numbered, what every sink has, and that both agree.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use crossbeam_channel::{Sender, bounded};
use serde_json::{Value, json};
use weir_files::Dir;
use weir_sinks::lane::LaneState;
use weir_sinks::{Identity, LaneReport};

use super::EXIT_OWN;
use crate::config::{Config, LogFormat, SinkKind};
use crate::host::Caller;
use crate::order::OrderCounters;
use crate::pipeline::Counts;
use crate::terminal::{Foreign, say, say_json};

/// Counts of the reader at the stop.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Of the pipeline.
    pub counts: Counts,
    /// Of the order.
    pub order: OrderCounters,
    /// Numbers given out, by CPU.
    pub produced: Vec<(usize, u64)>,
    /// Numbers that came twice.
    pub duplicates: u64,
    /// Processes known at the end.
    pub context: crate::context::Counts,
}

impl Totals {
    /// `produced - (rows + withheld + lost)` of records; 0 when the ledger balances. Rows that the collector made itself
    /// have no number of a CPU and are not among the records.
    pub fn difference(&self) -> i64 {
        let produced: u64 = self.produced.iter().map(|(_, n)| n).sum();
        let bad_twice = self.counts.bad;
        produced as i64 - (self.counts.records + self.counts.lost - bad_twice) as i64
    }
}

fn lane_line(lane: &LaneReport) -> String {
    let ledger = &lane.ledger;
    let mut text = format!("{}: {} rows", Foreign(&lane.name), ledger.rows_delivered());
    if ledger.lost_total() > 0 {
        let _ = write!(text, ", {} numbers lost", ledger.lost_total());
    }
    if ledger.withheld_total() > 0 {
        let _ = write!(text, ", {} not selected", ledger.withheld_total());
    }
    let pending = ledger.pending_total();
    if pending > 0 && lane.kept {
        let _ = write!(text, ", {pending} numbers wait in the spool");
    } else if pending > 0 {
        let _ = write!(text, ", {pending} NUMBERS NOT DELIVERED");
    } else if !(lane.kept || lane.ended) {
        let _ = write!(text, ", its data has no end rows");
    }
    match &ledger.state {
        LaneState::Working => {}
        LaneState::Failing(why) => drop(write!(text, "; it does not work: {}", Foreign(why))),
        LaneState::Fatal(why) => drop(write!(text, "; it could not go on: {}", Foreign(why))),
    }
    text
}

/// Where a report is written.
pub struct Place {
    dir: Dir,
    name: OsString,
}

impl Place {
    /// The place that a path names.
    ///
    /// # Errors
    /// What stands there is no report that weir could replace.
    pub fn find(path: &Path) -> Result<Place> {
        let found = Dir::for_given_file(path, Caller::owner());
        let (dir, name) = found.with_context(|| format!("write the report to {}", path.display()))?;
        Ok(Place { dir, name })
    }

    fn write(&self, text: &str) -> io::Result<()> {
        self.dir.check_file(&self.name)?;
        self.dir.replace(&self.name, text.as_bytes())
    }
}

/// A thread that may write for the user who called sudo, and waits for the report; the reader has no such right.
pub struct ReportFile {
    text: Sender<String>,
    thread: JoinHandle<io::Result<()>>,
}

impl ReportFile {
    /// Waits for what shall be written there.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(place: Place) -> io::Result<ReportFile> {
        let (text, texts) = bounded::<String>(1);
        let work = move || texts.recv().map_or(Ok(()), |text| place.write(&text));
        Ok(ReportFile { text, thread: thread::Builder::new().name("report".into()).spawn(work)? })
    }

    fn write(self, text: String) -> io::Result<()> {
        // Its end is its answer, also when it has ended already.
        let _ = self.text.send(text);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it ended badly")))
    }
}

/// A run that has ended.
pub struct Report {
    /// Whose run.
    pub identity: Identity,
    /// The reader's counts.
    pub totals: Totals,
    /// The sinks' counts.
    pub lanes: Vec<LaneReport>,
    /// The same of sinks that went or changed at a reload, and so have no end.
    pub retired: Vec<LaneReport>,
    /// The reader of standard output left before the end, which is no failure: `weir run --stdout table | head`.
    pub reader_left: bool,
    /// Exit status of the command, if there was one.
    pub status: Option<u8>,
    /// Seconds from attach to detach.
    pub seconds: f64,
    /// Who writes the report file.
    pub file: Option<ReportFile>,
}

impl Report {
    fn all_lanes(&self) -> impl Iterator<Item = &LaneReport> {
        self.retired.iter().chain(&self.lanes)
    }

    /// Whether every number is accounted for in every sink.
    pub fn balances(&self) -> bool {
        self.totals.difference() == 0 && self.all_lanes().all(|l| l.ledger.balance().is_empty())
    }

    fn json(&self) -> Value {
        let produced: serde_json::Map<String, Value> =
            self.totals.produced.iter().map(|(cpu, n)| (cpu.to_string(), json!(n))).collect();
        let c = &self.totals.counts;
        json!({
            "host": &*self.identity.host,
            "boot_id": &*self.identity.boot_id,
            "epoch": self.identity.epoch,
            "seconds": self.seconds,
            "balanced": self.balances(),
            "produced": produced,
            "records": c.records,
            "rows": c.rows,
            "withheld": c.withheld,
            "lost": c.lost,
            "bad": c.bad,
            "unnumbered": c.unnumbered,
            "cuts": c.cuts,
            "clock_steps": c.clock_steps,
            "late": self.totals.order.late,
            "sorted": self.totals.order.sorted,
            "duplicates": self.totals.duplicates,
            "processes": self.totals.context.processes.known,
            "processes_evicted": self.totals.context.processes.evicted,
            "processes_shortened": self.totals.context.processes.shortened,
            "context_bytes": self.totals.context.bytes,
            "processes_unknown": self.totals.context.processes.unknown,
            "containers": self.totals.context.containers,
            "cgroups_unknown": self.totals.context.cgroups_unknown,
            "users_unknown": self.totals.context.users_unknown,
            "sinks": self.lanes.iter().map(LaneReport::to_json).collect::<Vec<_>>(),
            "retired": self.retired.iter().map(LaneReport::to_json).collect::<Vec<_>>(),
        })
    }

    fn summary(&self) -> String {
        let c = &self.totals.counts;
        let mut text = String::new();
        let rate = c.records as f64 / self.seconds.max(0.001);
        let _ = writeln!(text, "weir: {} events in {:.1} s ({rate:.0}/s), {} lost", c.records, self.seconds, c.lost);
        for lane in &self.retired {
            let _ = writeln!(text, "  {} (until a reload)", lane_line(lane));
        }
        for lane in &self.lanes {
            let _ = writeln!(text, "  {}", lane_line(lane));
        }
        if self.balances() {
            let _ = write!(text, "  every number is accounted for");
        } else {
            let _ = write!(text, "  THE LEDGER DOES NOT BALANCE: {} numbers differ", self.totals.difference());
            for imbalance in self.all_lanes().flat_map(|l| l.ledger.balance()) {
                let _ = write!(text, "\n    {imbalance}");
            }
        }
        text
    }

    /// Prints the summary, writes the report file, and gives the exit status.
    ///
    /// # Errors
    /// When the report cannot be written.
    pub fn report(mut self, config: &Config) -> Result<ExitCode> {
        match config.log.format {
            LogFormat::Text => say(&self.summary()),
            LogFormat::Json => {
                say_json(&json!({ "level": "INFO", "message": "the run has ended", "report": self.json() }));
            }
        }
        if let (Some(path), Some(file)) = (&config.report, self.file.take()) {
            let mut text = serde_json::to_string_pretty(&self.json())?;
            text.push('\n');
            file.write(text).with_context(|| format!("write the report to {}", path.display()))?;
        }
        let is_stdout = |name: &str| config.sinks.iter().any(|s| s.name == name && s.kind() == SinkKind::Stdout);
        let excused = |lane: &LaneReport| self.reader_left && is_stdout(&lane.name);
        let left_behind = |lane: &LaneReport| !lane.kept && (!lane.finished || lane.ledger.pending_total() > 0);
        let failed = !self.balances()
            || self.retired.iter().any(left_behind)
            || self.lanes.iter().any(|l| !(excused(l) || l.kept || l.finished && l.ended));
        Ok(match self.status {
            Some(status) => ExitCode::from(status),
            None if failed => ExitCode::from(EXIT_OWN),
            None => ExitCode::SUCCESS,
        })
    }
}
