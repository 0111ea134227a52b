//! Four processes that execute for real with such arguments: CPU time of the reader per exec, and what is lost.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{KINDS, RATIO_MAX, argument};
use crate::figures::Figures;
use crate::flood::START;
use crate::weir;

const PRODUCERS: usize = 4;
const DURING: Duration = Duration::from_secs(5);

/// Starts a program over and over; returns how often.
fn produce(argument: &OsString) -> u64 {
    let (stop, execs) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let run = Command::new("/bin/true").arg(argument).stdin(Stdio::null()).status();
                    execs.fetch_add(u64::from(run.is_ok()), Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(DURING);
        stop.store(true, Ordering::Relaxed);
    });
    execs.into_inner()
}

/// CPU time of the thread that reads, which is the first one, ns: the scheduler's own count.
fn reader_ns(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/task/{pid}/schedstat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).with_context(|| format!("no number in {path}"))
}

/// CPU time of the reader per exec, execs, and numbers that were lost.
fn storm(piece: &[u8]) -> Result<(f64, u64, u64)> {
    let dir = tempfile::tempdir()?;
    let (data, report) = (dir.path().join("data"), dir.path().join("report.json"));
    let (data, report) = (data.to_string_lossy().into_owned(), report.to_string_lossy().into_owned());
    let args = ["run", "--status", "never", "--class", "process", "--parquet", &data, "--report", &report];
    let child = weir::start(&args, Stdio::null())?;
    std::thread::sleep(START);
    let before = reader_ns(child.id())?;
    let execs = produce(&OsString::from_vec(argument(piece)));
    let ns = reader_ns(child.id())? - before;
    weir::stop(child)?;
    let ledger: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report).context("the ledger")?)?;
    Ok((ns / execs as f64, execs, ledger["lost"].as_u64().unwrap_or(u64::MAX)))
}

/// All figures.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let mut letters = None;
    for (name, piece) in KINDS {
        let (ns, execs, lost) = storm(piece)?;
        let ratio = ns / *letters.get_or_insert(ns);
        let per_second = execs as f64 / DURING.as_secs_f64();
        let note = format!("{ns:.0} ns of the reader per fork, exec and exit; {per_second:.0} execs/s");
        figures.at_most(&format!("storm of execs, {name}, against letters"), ratio, RATIO_MAX, "", note);
        figures.at_most(
            &format!("storm of execs, {name}: lost"),
            lost as f64,
            0.0,
            "",
            "Parquet, default rings and queue",
        );
    }
    Ok(())
}
