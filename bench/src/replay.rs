//! `weir replay` at full speed: rows per second of process CPU time, to Parquet and to nothing.
//!
//! The capture is recorded by `weir run --capture` while files of this system are opened as fast as they can be, and a real
//! build runs beside: real rows, thousands of paths, dozens of processes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::figures::Figures;
use crate::flood::START;
use crate::median::median;
use crate::record::BUILD;
use crate::{load, weir};

/// How long is recorded.
const RECORDED: Duration = Duration::from_secs(20);
/// Runs of each kind, in turn.
const ROUNDS: usize = 3;

/// Records what the module says.
pub fn record(capture: &Path) -> Result<()> {
    let files = load::files()?;
    let mut collector = weir::command()?;
    collector.args(["run", "--status", "never", "--class", "default", "--capture"]).arg(capture);
    let child = weir::spawn(&mut collector)?;
    std::thread::sleep(START);
    let (stop, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| load::repeat(BUILD, &stop));
        scope.spawn(|| load::open_all(&files, None, &stop, &opened));
        std::thread::sleep(RECORDED);
        stop.store(true, Ordering::Relaxed);
    });
    weir::stop(child)
}

/// Rows of a capture, by what it says of itself.
pub fn rows_of(capture: &Path) -> Result<f64> {
    let output = weir::command()?.args(["capture", "info", "--json"]).arg(capture).stdout(Stdio::piped()).output()?;
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).context("`weir capture info --json`")?;
    let streams = info["streams"].as_array().context("the streams in `weir capture info --json`")?;
    let by_class = streams.iter().filter_map(|stream| stream["rows"].as_object()).flat_map(|rows| rows.values());
    Ok(by_class.filter_map(serde_json::Value::as_f64).sum())
}

/// One replay: CPU time and wall time, seconds.
pub fn replay(capture: &Path, arguments: &[&str]) -> Result<[f64; 2]> {
    let (cpu, started) = (weir::children_cpu_seconds()?, Instant::now());
    let output = Command::new(weir::binary()?)
        .arg("replay")
        .arg(capture)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("run weir replay")?;
    let wall = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "weir replay: {}", String::from_utf8_lossy(&output.stderr));
    Ok([weir::children_cpu_seconds()? - cpu, wall])
}

/// Both kinds.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let capture = dir.path().join("capture");
    record(&capture)?;
    let rows = rows_of(&capture)?;
    let (mut nothing, mut parquet) = (vec![], vec![]);
    for round in 0..ROUNDS {
        nothing.push(replay(&capture, &["--discard"])?);
        let data = dir.path().join(format!("data-{round}"));
        parquet.push(replay(&capture, &["--parquet", &data.to_string_lossy()])?);
        std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    }
    let of = format!("{rows} rows, {:.0} bytes each in the capture", load::bytes_below(&capture)? as f64 / rows);
    for (name, times, limit) in [("Parquet", parquet, 1.5), ("nothing", nothing, 5.0)] {
        let [cpu, wall] = [0, 1].map(|of| median(times.iter().map(|time| time[of]).collect()));
        let note = format!("{:.2} M/s by the wall clock; {of}", rows / wall / 1e6);
        figures.at_least(&format!("replay to {name}, per core"), rows / cpu / 1e6, limit, "M events/s", note);
    }
    Ok(())
}
