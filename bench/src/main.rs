//! `weir-bench`: each figure against its limit in the same run, as a table and as JSON.
//!
//! Machines are shared and noisy: medians and ratios say more than single absolute numbers.

mod figures;
mod flood;
mod latency;
mod read_back;
mod record;
mod rest;
mod rows;
mod tape;
mod weir;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use figures::Figures;

/// What can be measured, in order.
const NAMES: &[&str] = &["kernel", "rows", "flood", "storm", "memory", "size", "latency", "rest"];

/// Measures weir on this machine; needs root.
#[derive(Parser)]
struct Args {
    /// What to measure: kernel, rows, flood, storm, memory, size, latency, rest; all by default.
    names: Vec<String>,
    /// Where the JSON goes.
    #[arg(long, default_value = "bench/results/latest.json")]
    json: PathBuf,
    /// Seconds of the memory flood; the figure is 600.
    #[arg(long, default_value_t = 60)]
    memory_seconds: u64,
    /// Rows that are replayed through the pipeline.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(unknown) = args.names.iter().find(|n| !NAMES.contains(&n.as_str())) {
        anyhow::bail!("nothing is called `{unknown}`: choose from {}", NAMES.join(", "));
    }
    let wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|n| n == name);
    let mut figures = Figures::default();
    if wanted("kernel") {
        figures::kernel(&mut figures)?;
    }
    if wanted("rows") {
        rows::measure(&mut figures, args.rows)?;
    }
    if wanted("flood") {
        flood::two_producers(&mut figures)?;
    }
    if wanted("storm") {
        flood::four_producers_and_a_storm(&mut figures)?;
    }
    if wanted("memory") {
        flood::memory(&mut figures, args.memory_seconds)?;
    }
    if wanted("size") {
        rows::size(&mut figures)?;
    }
    if wanted("latency") {
        latency::measure(&mut figures)?;
    }
    if wanted("rest") {
        rest::measure(&mut figures)?;
    }
    figures.write(&args.json)
}
