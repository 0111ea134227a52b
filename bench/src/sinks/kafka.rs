//! Kafka: events per second through the sink, encoding included, against ready payloads.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::time::ClockId;
use weir_sinks::kafka::{TopicCreation, Transactions};
use weir_sinks::{
    Batch, Compression, KafkaOptions, KafkaSink, PayloadFormat, PayloadOptions, Payloads, Progress, Sink, SinkError,
};
use weir_tests::brokers::kafka::{Broker, Options};

use crate::brokers;
use crate::figures::Figures;
use crate::made::rows::{Random, file_rows, identity};
use crate::median::median;
use crate::play::cpu_ns;

const ROWS_PER_BATCH: usize = 4_096;
const BATCHES: usize = 32;
/// Runs of each kind, in turn; the medians are compared.
const ROUNDS: usize = 3;
/// How long one run writes the batches again and again.
const RUN: Duration = Duration::from_secs(3);
const PARTITIONS: i32 = 4;
const BYTES_MAX: usize = 900_000;
const PROGRESS_WAIT: Duration = Duration::from_secs(60);
/// Enough retention for the runs and no more.
const RETENTION: [&str; 3] =
    ["log.retention.bytes=400000000", "log.segment.bytes=100000000", "log.retention.check.interval.ms=5000"];

/// What is measured, and what is to be reached.
struct Kind {
    name: &'static str,
    payload: PayloadOptions,
    /// Events per second.
    pace: Option<f64>,
    /// Of the bare loop.
    ratio: Option<f64>,
}

fn kinds() -> [Kind; 4] {
    let kind = |name, format, compression, pace, ratio| {
        let payload = PayloadOptions { format, compression, bytes_max: BYTES_MAX, lines_max: 100 };
        Kind { name, payload, pace, ratio }
    };
    [
        kind("JSON per event", PayloadFormat::Json, Compression::None, Some(400e3), Some(0.8)),
        kind("JSON lines", PayloadFormat::JsonLines, Compression::None, None, None),
        kind("Arrow IPC plain", PayloadFormat::Arrow, Compression::None, None, None),
        kind("Arrow IPC lz4", PayloadFormat::Arrow, Compression::Lz4, Some(2e6), None),
    ]
}

fn open(kind: &Kind, address: &str, dir: &Path, transactions: bool) -> Result<KafkaSink> {
    let topic = if transactions { "cost.t.{class}" } else { "cost.{class}" };
    let options = KafkaOptions {
        brokers: address.to_owned(),
        topic: topic.to_owned(),
        payload: kind.payload,
        create_topics: Some(TopicCreation { partitions: Some(PARTITIONS), ..Default::default() }),
        transactions: transactions.then(|| Transactions::new("cost")),
        dead_letters: dir.to_path_buf(),
        flush_wait: Duration::from_secs(30),
        ..KafkaOptions::default()
    };
    KafkaSink::open(options, &identity().host, None).context("open the Kafka sink")
}

/// Whatever waits is asked again.
fn patiently<T>(mut step: impl FnMut() -> Result<T, SinkError>) -> Result<T> {
    loop {
        match step() {
            Ok(value) => return Ok(value),
            Err(SinkError::Wait(_)) => {}
            Err(other) => bail!("the sink: {other}"),
        }
    }
}

/// A pace, and process time per event.
#[derive(Clone, Copy)]
struct Pace {
    events_per_s: f64,
    cpu_ns: f64,
}

/// What is being measured.
struct Clock {
    started: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Clock {
        Clock { started: Instant::now(), cpu: cpu_ns(ClockId::ProcessCPUTime) }
    }

    fn pace(&self, events: usize) -> Pace {
        let (events, cpu) = (events as f64, cpu_ns(ClockId::ProcessCPUTime) - self.cpu);
        Pace { events_per_s: events / self.started.elapsed().as_secs_f64(), cpu_ns: cpu / events }
    }
}

/// The sink, encoding included, with a flush a second.
fn through_sink(sink: &mut KafkaSink, batches: &[Batch]) -> Result<Pace> {
    let clock = Clock::start();
    let (mut events, mut flushed, mut progress) = (0, clock.started, Progress::default());
    while clock.started.elapsed() < RUN {
        for batch in batches {
            patiently(|| sink.write(batch))?;
            events += batch.rows.num_rows();
            progress.next_cut += 1;
            if flushed.elapsed() >= Duration::from_secs(1) {
                patiently(|| sink.flush(&progress))?;
                flushed = Instant::now();
            }
        }
    }
    patiently(|| sink.flush(&progress))?;
    Ok(clock.pace(events))
}

/// Keys and payloads, ready.
struct Ready {
    messages: Vec<(String, Vec<u8>)>,
    /// What stands beside each message: as much as the sink says of a message of many rows.
    headers: Option<OwnedHeaders>,
    events: usize,
}

fn ready(kind: &Kind, batches: &[Batch]) -> Result<Ready> {
    let mut payloads = Payloads::new(kind.payload);
    let single = kind.payload.format == PayloadFormat::Json;
    let header = |key, value| Header { key, value: Some(value) };
    let headers = || {
        OwnedHeaders::new()
            .insert(header("weir-class", "file"))
            .insert(header("weir-schema-version", "1"))
            .insert(header("weir-first", "unit-host/00000000-0000-4000-8000-000000000000/1/0/1000000"))
            .insert(header("weir-rows", "4096"))
    };
    let mut ready = Ready { messages: Vec::new(), headers: (!single).then(headers), events: 0 };
    for (n, batch) in batches.iter().enumerate() {
        payloads.encode(batch)?;
        for message in payloads.messages() {
            let process = (8_675_309 + (n + message.first_row) as i64 % 60 * 977) << 22;
            let key = if single { format!("unit-host/{process}") } else { "file/unit-host".to_owned() };
            ready.messages.push((key, payloads.bytes(message).to_vec()));
        }
        ready.events += batch.rows.num_rows();
    }
    Ok(ready)
}

/// The library's own wait would keep a CPU busy during its last millisecond.
fn wait(producer: &BaseProducer) {
    std::thread::sleep(Duration::from_millis(1));
    producer.poll(Duration::ZERO);
}

/// The same call and the same settings of librdkafka, and nothing else.
fn bare(address: &str, kind: &Kind, ready: &Ready) -> Result<Pace> {
    let usual = KafkaOptions::default();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", usual.linger.as_millis().to_string())
        .set("compression.type", usual.compression.name(&kind.payload))
        .set("queue.buffering.max.kbytes", "65536")
        .set("queue.buffering.max.messages", "524288")
        .set("partitioner", "murmur2_random")
        .set("delivery.report.only.error", "true")
        .set("message.timeout.ms", "0")
        .create()
        .context("make a producer")?;
    let (clock, mut events) = (Clock::start(), 0);
    while clock.started.elapsed() < RUN {
        for (key, payload) in &ready.messages {
            let mut record = BaseRecord::to("cost.file").key(key).payload(payload);
            record.headers.clone_from(&ready.headers);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                wait(&producer);
            }
        }
        events += ready.events;
    }
    while producer.in_flight_count() > 0 {
        wait(&producer);
    }
    Ok(clock.pace(events))
}

/// The sink, the bare loop, and the sink with a transaction a second, in turn.
fn alternate(kind: &Kind, address: &str, dir: &Path, batches: &[Batch], bytes: &Ready) -> Result<[Vec<Pace>; 3]> {
    let mut sink = open(kind, address, dir, false)?;
    let mut with_transactions = open(kind, address, dir, true)?;
    let end = Instant::now() + PROGRESS_WAIT;
    while let Err(error) = with_transactions.read_back() {
        anyhow::ensure!(Instant::now() < end, "read the progress back: {error}");
    }
    // The first run of each finds nobody warm.
    through_sink(&mut sink, &batches[..1])?;
    bare(address, kind, bytes)?;
    let mut paces = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        paces[0].push(through_sink(&mut sink, batches)?);
        paces[1].push(bare(address, kind, bytes)?);
        paces[2].push(through_sink(&mut with_transactions, batches)?);
    }
    Ok(paces)
}

fn say(figures: &mut Figures, kind: &Kind, size: usize, paces: &[Vec<Pace>; 3]) {
    let [sink, bare, transactions] = paces.each_ref().map(|p| median(p.iter().map(|p| p.events_per_s).collect()));
    let cpu = paces.each_ref().map(|p| median(p.iter().map(|p| p.cpu_ns).collect()));
    let ratios =
        |a: &[Pace], b: &[Pace]| median(a.iter().zip(b).map(|(a, b)| a.events_per_s / b.events_per_s).collect());
    let note = format!("{size} bytes and {:.0} ns of client CPU per event", cpu[0]);
    figures.judge(&format!("Kafka, {}", kind.name), sink / 1000.0, kind.pace.map(|p| p / 1000.0), "k events/s", note);
    let note = format!("which makes {:.0} k events/s at {:.0} ns", bare / 1000.0, cpu[1]);
    let name = format!("Kafka, {}, of a bare loop", kind.name);
    figures.judge(&name, ratios(&paces[0], &paces[1]), kind.ratio, "", note);
    let note = format!("{:.0} k events/s at {:.0} ns", transactions / 1000.0, cpu[2]);
    let name = format!("Kafka, {}, with transactions of without", kind.name);
    figures.at_least(&name, ratios(&paces[2], &paces[0]), 0.9, "", note);
}

/// All kinds of messages.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let Some(jars) = brokers::kafka() else {
        figures.skip("kafka", brokers::MISSING);
        return Ok(());
    };
    let more = RETENTION.map(str::to_owned).to_vec();
    let broker = Broker::start(&jars, &Options { more, ..Options::default() });
    let (address, dir) = (broker.address(), tempfile::tempdir()?);
    let mut random = Random(7);
    let rows = |n: usize| file_rows(&mut random, (n * ROWS_PER_BATCH) as i64, ROWS_PER_BATCH);
    let batches: Vec<Batch> = (0..BATCHES).map(rows).collect();
    for kind in kinds() {
        let bytes = ready(&kind, &batches)?;
        let size: usize = bytes.messages.iter().map(|(_, payload)| payload.len()).sum();
        let paces = alternate(&kind, &address, dir.path(), &batches, &bytes)?;
        say(figures, &kind, size / bytes.events, &paces);
    }
    Ok(())
}
