//! 20,000 processes that are alive, for real: what a start among them costs, and whether all are known.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::figures::Figures;
use crate::weir;

const PROCESSES: usize = 20_000;
/// How long they may take to be there.
const START_MAX: Duration = Duration::from_secs(300);
/// Of the run among them.
const RUN: Duration = Duration::from_secs(10);

/// Sleeping processes, which end with this.
struct Crowd(Child);

impl Crowd {
    fn gather() -> Result<Crowd> {
        let script = format!("i=0; while [ $i -lt {PROCESSES} ]; do sleep 3600 & i=$((i+1)); done; echo there; wait");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).process_group(0).stdout(Stdio::piped());
        let mut crowd = Crowd(command.spawn().context("start the crowd")?);
        let began = Instant::now();
        let mut line = String::new();
        let stdout = crowd.0.stdout.take().context("a pipe")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).context("wait for the crowd")?;
        ensure!(line == "there\n" && began.elapsed() < START_MAX, "the crowd did not come");
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// What a run is when it has lasted a while: peak memory in MiB, and its ledger.
fn run() -> Result<(f64, weir::Ledger)> {
    let dir = tempfile::tempdir()?;
    let (data, report) = (dir.path().join("data"), dir.path().join("report.json"));
    let (data, report) = (data.to_string_lossy().into_owned(), report.to_string_lossy().into_owned());
    let args = ["run", "--status", "never", "--class", "process", "--parquet", &data, "--report", &report];
    let child = weir::start(&args, Stdio::null())?;
    std::thread::sleep(RUN);
    let peak = weir::status_kib(child.id(), "VmHWM:").unwrap_or(0) as f64 / 1024.0;
    weir::stop(child)?;
    let text = std::fs::read_to_string(&report).context("the ledger")?;
    Ok((peak, weir::Ledger(serde_json::from_str(&text)?)))
}

/// The figures.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let (alone, _) = run()?;
    let crowd = Crowd::gather()?;
    let (peak, ledger) = run()?;
    drop(crowd);
    let unknown = ledger.0["processes_unknown"].as_f64().unwrap_or(f64::NAN);
    let evicted = ledger.0["processes_evicted"].as_f64().unwrap_or(f64::NAN);
    let rows = ledger.rows_of("process");
    let note = format!("{rows} rows of class process in {} s, {evicted} evicted", RUN.as_secs());
    figures.at_least("context: rows of 20,000 live processes", rows as f64, PROCESSES as f64, "", note);
    figures.at_most("context: look-ups of unknown processes among them", unknown, 0.0, "", String::new());
    let note = format!("MiB at most; {alone:.0} without them");
    figures.at_most("context: memory with 20,000 live processes", peak, 128.0, "MiB", note);
    Ok(())
}
