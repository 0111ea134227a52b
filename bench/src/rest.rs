//! What weir costs while nothing happens.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::figures::Figures;
use crate::{latency, weir};

const REST: Duration = Duration::from_secs(30);

/// CPU time while following one sleeping process.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let mut sleeper = latency::sleeper()?;
    let pid = sleeper.id().to_string();
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data").to_string_lossy().into_owned();
    let child = weir::start(&["run", "--status", "never", "--parquet", &data, "--follow", &pid], Stdio::null())?;
    std::thread::sleep(Duration::from_secs(6));
    let switches = |pid| weir::status_kib(pid, "voluntary_ctxt_switches:").unwrap_or(0);
    let (cpu, ticks) = (weir::cpu_seconds(child.id()).context("weir's CPU time")?, switches(child.id()));
    std::thread::sleep(REST);
    let used = weir::cpu_seconds(child.id()).context("weir's CPU time")? - cpu;
    let woken = switches(child.id()) - ticks;
    weir::stop(child)?;
    sleeper.kill()?;
    sleeper.wait()?;
    let note = format!("{woken} wake-ups of the reader in {} s", REST.as_secs());
    figures.at_most("at rest", 100.0 * used / REST.as_secs_f64(), 0.1, "% core", note);
    Ok(())
}
