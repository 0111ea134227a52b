//! One broker away while the load goes on: what the other sinks, the memory and the returned lane make of it.
//!
//! A real `weir run --durability crash` with three sinks (Kafka, JetStream, Parquet) follows processes that open files at a
//! fixed pace. Kafka's broker is stopped (SIGSTOP, so that connections stay and nobody answers), and goes on after a while.
//! Everything that Kafka holds at the end is read back: each number once, and in order.

mod kafka;
mod watch;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_tests::brokers::kafka::{Broker, Options};
use weir_tests::brokers::nats::Server;

use crate::brokers;
use crate::figures::Figures;
use crate::metrics::Metrics;
use crate::weir;
use watch::{Sample, Watch, most, rate};

/// Processes of the load: a process's events go to one partition.
const PRODUCERS: usize = 4;
/// One event each; a close is one only if something was written.
const OPENS_PER_SECOND: f64 = 100_000.0 / PRODUCERS as f64;
const PARTITIONS: &str = "4";
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(10);
/// Behind the last sample, until the last rows are everywhere.
const SETTLE: Duration = Duration::from_secs(3);
/// The lane has caught up when its last durable event is so young, seconds.
const CAUGHT_UP_S: f64 = 2.5;
const SINKS: [&str; 3] = ["kafka", "nats", "parquet"];

/// How long, and how much room.
#[derive(Clone)]
pub struct Shape {
    /// Before the outage.
    pub baseline: Duration,
    /// The outage.
    pub outage: Duration,
    /// Limit of the spool, such as `4GiB`.
    pub spool: String,
    /// Form of Kafka's messages.
    pub format: String,
}

/// Processes of a load, which end with this.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Result<Load> {
        let own = std::env::current_exe().context("find this program")?;
        let start = |_| {
            let mut producer = Command::new(&own);
            producer.args(["--produce", &OPENS_PER_SECOND.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null());
            producer.spawn().context("start a load")
        };
        Ok(Load((0..PRODUCERS).map(start).collect::<Result<_>>()?))
    }

    fn pids(&self) -> String {
        self.0.iter().map(|child| child.id().to_string()).collect::<Vec<_>>().join(",")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// A run of weir with its brokers.
struct Stage {
    broker: Broker,
    _server: Server,
    dir: tempfile::TempDir,
    address: String,
    weir: weir::Durable,
}

impl Stage {
    fn start(load: &Load, shape: &Shape) -> Result<Option<Stage>> {
        let Some(jars) = brokers::kafka() else { return Ok(None) };
        let Some(server) = brokers::nats().and_then(|_| Server::start("outage", "")) else { return Ok(None) };
        let broker = Broker::start(&jars, &Options::default());
        let (dir, address) = (tempfile::tempdir()?, weir::free_address()?);
        let mut command = weir::command()?;
        command
            .args(["run", "--status", "never", "--class", "file", "--follow", &load.pids(), "--listen", &address])
            .args(["--kafka", &broker.address(), "--kafka-create-topics", "--kafka-topic-partitions", PARTITIONS])
            .args(["--kafka-format", &shape.format, "--nats", &server.url(), "--nats-create-stream"])
            .args(["--nats-stream-bytes-max", "1GiB", "--parquet-file-age", "1s", "--spool-bytes-max", &shape.spool])
            .arg("--parquet")
            .arg(dir.path().join("data"))
            .arg("--report")
            .arg(dir.path().join("report.json"));
        let weir = weir::Durable::start(&dir.path().join("spool"), &mut command)?;
        Ok(Some(Stage { broker, _server: server, dir, address, weir }))
    }

    fn watch(&self) -> Watch<'_> {
        Watch { address: &self.address, pid: self.weir.pid(), sinks: SINKS }
    }
}

/// The figures of one outage.
pub fn measure(figures: &mut Figures, shape: &Shape) -> Result<()> {
    let load = Load::start()?;
    let Some(stage) = Stage::start(&load, shape)? else {
        figures.skip("outage", brokers::MISSING);
        return Ok(());
    };
    Metrics::when_ready(&stage.address)?;
    let rest = stage.watch().sample()?;
    std::thread::sleep(WARM_UP);
    let before = stage.watch().during(shape.baseline)?;
    stage.broker.pause();
    let during = stage.watch().during(shape.outage)?;
    stage.broker.go_on();
    let longest = shape.outage * 4 + Duration::from_secs(60);
    let after = stage.watch().until(longest, |sample| sample.lag_s[0] < CAUGHT_UP_S)?;
    drop(load);
    std::thread::sleep(SETTLE);
    others(figures, &before, &during);
    memory(figures, &rest, &before, &during, &after);
    returned(figures, &before, &after);
    let Stage { broker, dir, weir, .. } = stage;
    weir.stop()?;
    kept(figures, dir.path(), &broker, shape)
}

fn others(figures: &mut Figures, before: &[Sample], during: &[Sample]) {
    let offered = [before, during].map(|samples| rate(samples, |s| s.events));
    let note = format!("{:.0} k/s before", offered[0] / 1000.0);
    figures.say("outage: events offered during it", offered[1] / 1000.0, "k/s", note);
    for (at, sink) in SINKS.iter().enumerate().skip(1) {
        let [then, now] = [before, during].map(|samples| rate(samples, |s| s.rows[at]));
        let lag = [before, during].map(|samples| most(samples, |s| s.lag_s[at]));
        let note = format!(
            "{:.1} k rows/s before, {:.1} k during; lag at most {:.1} s before, {:.1} s during",
            then / 1000.0,
            now / 1000.0,
            lag[0],
            lag[1]
        );
        figures.at_least(&format!("outage: pace of {sink} against before"), now / then, 0.95, "", note);
    }
}

fn memory(figures: &mut Figures, rest: &Sample, before: &[Sample], during: &[Sample], after: &[Sample]) {
    let [then, now, later] = [before, during, after].map(|samples| most(samples, |s| s.rss_mib));
    let spool = most(during, |s| s.spool_mib).max(most(after, |s| s.spool_mib));
    let note = format!(
        "MiB, most: {:.0} at the start, {then:.0} before, {now:.0} during, {later:.0} after; spool {spool:.0} MiB",
        rest.rss_mib
    );
    // Flat: less than a tenth more, whatever the outage lasts. The first half shows how far queues fill, the second whether
    // that was all.
    figures.at_most("outage: resident memory against before", now / then, 1.1, "", note);
    let (first, second) = during.split_at(during.len() / 2);
    let [first, second] = [first, second].map(|samples| most(samples, |s| s.rss_mib));
    let note = format!("{first:.0} MiB, then {second:.0}");
    figures.at_most("outage: resident memory, second half of first", second / first, 1.1, "", note);
}

fn returned(figures: &mut Figures, before: &[Sample], after: &[Sample]) {
    let live = rate(before, |s| s.rows[0]);
    // From the first sample in which something arrived again.
    let first = after.iter().position(|s| s.rows[0] > after[0].rows[0]).unwrap_or(0).saturating_sub(1);
    let caught_up = after.last().is_some_and(|s| s.lag_s[0] < CAUGHT_UP_S);
    let seconds = |samples: &[Sample]| samples.last().zip(samples.first()).map_or(0.0, |(b, a)| b.at_s - a.at_s);
    let back = rate(&after[first..], |s| s.rows[0]);
    let note = format!(
        "{:.0} k rows/s, live {:.0} k/s; {} after {:.0} s, {:.0} s of them until the first row",
        back / 1000.0,
        live / 1000.0,
        if caught_up { "caught up" } else { "NOT caught up" },
        seconds(after),
        seconds(&after[..=first]),
    );
    figures.at_least("outage: catch-up of kafka against the live rate", back / live, 3.0, "", note);
}

/// By the final ledger: what no sink got, and what single sinks did not get.
fn lost(figures: &mut Figures, ledger: &serde_json::Value) {
    let by_kernel = ledger["lost"].as_f64().unwrap_or(f64::NAN);
    let of_sink = |name: &str| {
        let sink = ledger["sinks"].as_array().into_iter().flatten().find(|sink| sink["name"] == name)?;
        let cpus = sink["cpus"].as_object().into_iter().flatten();
        let counts = cpus.flat_map(|(_, cpu)| cpu["lost"].as_object().into_iter().flatten());
        Some(counts.filter_map(|(_, count)| count.as_f64()).sum::<f64>() - by_kernel)
    };
    let by_sink = SINKS.map(|sink| of_sink(sink).unwrap_or(f64::NAN));
    figures.at_most("outage: events lost by sinks", by_sink.iter().sum(), 0.0, "", format!("{by_sink:?} of {SINKS:?}"));
    figures.at_most("outage: events lost before any sink", by_kernel, 0.0, "", "full rings, all of the run");
}

/// What the destinations hold.
fn kept(figures: &mut Figures, dir: &Path, broker: &Broker, shape: &Shape) -> Result<()> {
    let report = std::fs::read_to_string(dir.join("report.json")).context("the ledger")?;
    let ledger: serde_json::Value = serde_json::from_str(&report)?;
    lost(figures, &ledger);
    let verify = weir::command()?.arg("verify").arg(dir.join("data")).status()?;
    let status = f64::from(verify.code().unwrap_or(-1));
    let balanced = ledger["balanced"].as_bool().unwrap_or(false);
    figures.at_most(
        "outage: status of `weir verify`, Parquet",
        status,
        0.0,
        "",
        format!("ledger balances: {balanced}"),
    );
    if shape.format == "arrow" {
        return Ok(());
    }
    let started = Instant::now();
    let kept = kafka::read_back(&broker.address(), "weir.file")?;
    let parquet = parquet_rows(&ledger);
    let note = format!(
        "{} numbers in Kafka, {parquet} in Parquet, {} twice; read in {:.0} s",
        kept.numbers,
        kept.repeated,
        started.elapsed().as_secs_f64()
    );
    figures.at_most("outage: numbers missing in Kafka", (parquet - kept.numbers as f64).abs(), 0.0, "", note);
    figures.at_most("outage: rows out of order in Kafka", kept.disordered as f64, 0.0, "", "by partition and CPU");
    Ok(())
}

fn parquet_rows(ledger: &serde_json::Value) -> f64 {
    let sinks = ledger["sinks"].as_array().into_iter().flatten();
    let of = |sink: &serde_json::Value| sink["classes"]["file"]["rows_delivered"].as_f64();
    sinks.filter(|sink| sink["name"] == SINKS[2]).find_map(of).unwrap_or(f64::NAN)
}
