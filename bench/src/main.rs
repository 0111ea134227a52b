//! `weir-bench`: each figure against its limit in the same run, as a table and as JSON.
//!
//! Machines are shared and noisy: medians and ratios say more than single absolute numbers.

mod boundary;
mod brokers;
mod context;
mod figures;
mod flood;
mod latency;
mod load;
mod median;
mod metrics;
mod outage;
mod play;
mod read_back;
mod record;
mod replay;
mod rest;
mod rows;
mod sinks;
mod spool;
mod tape;
mod texts;
mod weir;

/// Rows of cells, as the tests of the sinks make them.
#[path = "../../sinks/tests/lane_common/mod.rs"]
mod cells;
/// Rows from a seed and a nats-server's streams, as the tests of the sinks have them.
#[path = "../../sinks/tests/nats_common/mod.rs"]
mod made;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use figures::Figures;

/// What can be measured, in order.
const NAMES: &[(&str, Measure)] = &[
    ("kernel", |f, _| figures::kernel(f)),
    ("rows", |f, args| rows::measure(f, args.rows)),
    ("context", |f, args| context::measure(f, args.rows / 5)),
    ("texts", |f, _| texts::measure(f)),
    ("spool", |f, args| spool::measure(f, args.spool_rows).and_then(|()| spool::syncs(f))),
    ("replay", |f, _| replay::measure(f)),
    ("json", |f, _| sinks::json::measure(f)),
    ("kafka", |f, _| sinks::kafka::measure(f)),
    ("nats", |f, _| sinks::nats::measure(f)),
    ("sink-process", |f, _| boundary::measure(f)),
    ("outage", |f, args| outage::measure(f, &args.outage())),
    ("flood", |f, _| flood::two_producers(f)),
    ("storm", |f, _| flood::four_producers_and_a_storm(f)),
    ("memory", |f, args| flood::memory(f, args.memory_seconds)),
    ("size", |f, _| rows::size(f)),
    ("latency", |f, _| latency::measure(f)),
    ("rest", |f, _| rest::measure(f)),
];

type Measure = fn(&mut Figures, &Args) -> Result<()>;

/// Measures weir on this machine; needs root.
#[derive(Parser)]
struct Args {
    /// What to measure: kernel, rows, context, texts, spool, replay, json, kafka, nats, sink-process, outage, flood, storm,
    /// memory, size, latency, rest; all by default. kafka, nats, sink-process and outage need brokers, which `./x bench`
    /// fetches.
    names: Vec<String>,
    /// Where the JSON goes.
    #[arg(long, default_value = "bench/results/latest.json")]
    json: PathBuf,
    /// Seconds of the memory flood; 600 show what grows slowly.
    #[arg(long, default_value_t = 60)]
    memory_seconds: u64,
    /// Rows that are replayed through the pipeline.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Rows of each run with and without the spool.
    #[arg(long, default_value_t = 2_000_000)]
    spool_rows: u64,
    /// Seconds that Kafka's broker is away.
    #[arg(long, default_value_t = 120)]
    outage_seconds: u64,
    /// Seconds before that, to compare with.
    #[arg(long, default_value_t = 60)]
    baseline_seconds: u64,
    /// Limit of the spool in the outage; 2861MiB are 3 GB.
    #[arg(long, default_value = "2861MiB")]
    outage_spool: String,
    /// Form of Kafka's messages in the outage: json, json_lines, arrow.
    #[arg(long, default_value = "json")]
    outage_format: String,
    /// Opens so many files per second until standard input ends: the load of the outage.
    #[arg(long, hide = true)]
    produce: Option<f64>,
}

impl Args {
    fn outage(&self) -> outage::Shape {
        outage::Shape {
            baseline: Duration::from_secs(self.baseline_seconds),
            outage: Duration::from_secs(self.outage_seconds),
            spool: self.outage_spool.clone(),
            format: self.outage_format.clone(),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(per_second) = args.produce {
        return load::pace(per_second);
    }
    let is_known = |name: &String| NAMES.iter().any(|(known, _)| known == name);
    if let Some(unknown) = args.names.iter().find(|name| !is_known(name)) {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("nothing is called `{unknown}`: choose from {}", names.join(", "));
    }
    let mut figures = Figures::default();
    for (name, measure) in NAMES {
        if args.names.is_empty() || args.names.iter().any(|wanted| wanted == name) {
            measure(&mut figures, &args)?;
        }
    }
    figures.write(&args.json)
}
