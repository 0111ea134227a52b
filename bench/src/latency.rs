//! From an event to its line on standard output.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use weir_collector::host::clock::boottime_ns;

use crate::figures::Figures;
use crate::weir;

const EVENTS: usize = 2000;
const EVERY: Duration = Duration::from_millis(5);

/// 200 marked events a second, each line stamped when it is read.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let args = ["run", "--status", "never", "--stdout", "json", "--class", "file.mkdir"];
    let mut child = weir::start(&args, Stdio::piped())?;
    let stdout = child.stdout.take().context("weir's standard output")?;
    let reader = std::thread::spawn(move || {
        let mut delays: Vec<f64> = vec![];
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let now = boottime_ns();
            let Ok(row) = serde_json::from_str::<Value>(&line) else { continue };
            let marked = row["path"].as_str().is_some_and(|p| p.contains("weir-latency"));
            if let (true, Some(ktime)) = (marked, row["ktime_ns"].as_i64()) {
                delays.push((now - ktime) as f64 / 1e6);
            }
        }
        delays
    });
    std::thread::sleep(Duration::from_secs(5));
    let mut next = Instant::now();
    for _ in 0..EVENTS {
        // Fails: the parent does not exist. A failed attempt is an event too, and leaves nothing behind.
        let _ = std::fs::create_dir("/nonexistent/weir-latency");
        next += EVERY;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    weir::stop(child)?;
    let mut delays = reader.join().expect("the reader");
    delays.sort_by(f64::total_cmp);
    anyhow::ensure!(delays.len() == EVENTS, "{} of {EVENTS} events were seen", delays.len());
    let at = |q: f64| delays[((delays.len() - 1) as f64 * q) as usize];
    figures.at_most("event to line on stdout, p50", at(0.5), 1.0, "ms", format!("{EVENTS} events at 200/s"));
    figures.at_most("event to line on stdout, p99", at(0.99), 5.0, "ms", format!("most {:.2} ms", at(1.0)));
    Ok(())
}

/// A process that sleeps.
pub fn sleeper() -> Result<std::process::Child> {
    Command::new("sleep").arg("600").spawn().context("start sleep")
}
