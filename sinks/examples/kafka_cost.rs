//! What the Kafka sink makes of a broker on the same machine, against a bare loop of the same call on ready payloads:
//! `WEIR_TEST_KAFKA=DIR cargo run --release -p weir-sinks --example kafka_cost` (`tests/kafka/fetch DIR` makes DIR).
//!
//! Client and broker share the CPUs, so the ratios say more than the figures; each ratio is of runs that alternate.
#![allow(clippy::print_stdout, reason = "a measurement prints")]
#![allow(clippy::unwrap_used, reason = "what fails here ends the measurement")]

#[path = "../tests/parquet_common/mod.rs"]
mod rows;

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rows::{Random, file_rows, identity};
use weir_sinks::kafka::{TopicCreation, Transactions};
use weir_sinks::{
    Batch, Compression, KafkaOptions, KafkaSink, PayloadFormat, PayloadOptions, Payloads, Progress, Sink, SinkError,
};
use weir_tests::brokers::kafka::{Broker, Options, jars};

const ROWS_PER_BATCH: usize = 4_096;
const BATCHES: usize = 32;
/// Runs of each kind, in turn; the medians are compared.
const ROUNDS: usize = 3;
/// How long one run writes the batches again and again.
const RUN: Duration = Duration::from_secs(3);
const LINGER: Duration = Duration::from_millis(50);
const PARTITIONS: i32 = 4;
const BYTES_MAX: usize = 900_000;

/// What is measured.
struct Kind {
    name: &'static str,
    format: PayloadFormat,
    compression: Compression,
    transactions: bool,
}

fn cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn payload(kind: &Kind) -> PayloadOptions {
    PayloadOptions { format: kind.format, compression: kind.compression, bytes_max: BYTES_MAX, lines_max: 100 }
}

fn open(kind: &Kind, address: &str, dir: &Path) -> KafkaSink {
    let topic = if kind.transactions { "cost.t.{class}" } else { "cost.{class}" };
    let options = KafkaOptions {
        brokers: address.to_owned(),
        topic: topic.to_owned(),
        payload: payload(kind),
        linger: LINGER,
        create_topics: Some(TopicCreation { partitions: Some(PARTITIONS), ..Default::default() }),
        transactions: kind.transactions.then(|| Transactions::new("cost")),
        dead_letters: dir.to_path_buf(),
        flush_wait: Duration::from_secs(30),
        ..KafkaOptions::default()
    };
    KafkaSink::open(options, &identity().host, None).unwrap()
}

/// Whatever waits is asked again.
fn patiently<T>(mut step: impl FnMut() -> Result<T, SinkError>) -> T {
    loop {
        match step() {
            Ok(value) => return value,
            Err(SinkError::Wait(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A pace, and process time per event.
#[derive(Clone, Copy)]
struct Pace {
    events_per_s: f64,
    cpu_ns: f64,
}

fn pace(events: usize, started: Instant, cpu: u64) -> Pace {
    let (events, cpu) = (events as f64, (cpu_ns() - cpu) as f64);
    Pace { events_per_s: events / started.elapsed().as_secs_f64(), cpu_ns: cpu / events }
}

/// The sink, encoding included, with a flush a second.
fn through_sink(sink: &mut KafkaSink, batches: &[Batch]) -> Pace {
    let (started, cpu) = (Instant::now(), cpu_ns());
    let (mut events, mut flushed, mut progress) = (0, started, Progress::default());
    while started.elapsed() < RUN {
        for batch in batches {
            patiently(|| sink.write(batch));
            events += batch.rows.num_rows();
            progress.next_cut += 1;
            if flushed.elapsed() >= Duration::from_secs(1) {
                patiently(|| sink.flush(&progress));
                flushed = Instant::now();
            }
        }
    }
    patiently(|| sink.flush(&progress));
    pace(events, started, cpu)
}

/// Payloads and keys, ready.
struct Ready {
    messages: Vec<(String, Vec<u8>)>,
    events: usize,
}

fn ready(kind: &Kind, batches: &[Batch]) -> Ready {
    let mut payloads = Payloads::new(payload(kind));
    let mut ready = Ready { messages: Vec::new(), events: 0 };
    for (n, batch) in batches.iter().enumerate() {
        payloads.encode(batch).unwrap();
        for message in payloads.messages() {
            let key = format!("unit-host/{}", (8_675_309 + (n + message.first_row) as i64 % 60 * 977) << 22);
            ready.messages.push((key, payloads.bytes(message).to_vec()));
        }
        ready.events += batch.rows.num_rows();
    }
    ready
}

/// The library's own wait would keep a CPU busy during its last millisecond.
fn wait(producer: &BaseProducer) {
    std::thread::sleep(Duration::from_millis(1));
    producer.poll(Duration::ZERO);
}

/// The same call and the same settings of librdkafka, and nothing else.
fn bare(address: &str, ready: &Ready) -> Pace {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", LINGER.as_millis().to_string())
        .set("compression.type", "lz4")
        .set("queue.buffering.max.kbytes", "65536")
        .set("queue.buffering.max.messages", "524288")
        .set("partitioner", "murmur2_random")
        .set("delivery.report.only.error", "true")
        .set("message.timeout.ms", "0")
        .create()
        .unwrap();
    let (started, cpu) = (Instant::now(), cpu_ns());
    let mut events = 0;
    while started.elapsed() < RUN {
        for (key, payload) in &ready.messages {
            let mut record = BaseRecord::to("cost.file").key(key).payload(payload);
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
    pace(events, started, cpu)
}

fn median(mut paces: Vec<Pace>) -> Pace {
    paces.sort_by(|a, b| a.events_per_s.total_cmp(&b.events_per_s));
    paces[paces.len() / 2]
}

fn show(name: &str, pace: Pace) {
    println!("{name:<44} {:>9.0} events/s  {:>6.0} ns of client CPU per event", pace.events_per_s, pace.cpu_ns);
}

fn main() {
    let Some(jars) = jars("what Kafka costs") else { return };
    // Enough retention for the run and no more.
    let more = vec!["log.retention.bytes=400000000".to_owned(), "log.segment.bytes=100000000".to_owned()];
    let more = [more, vec!["log.retention.check.interval.ms=5000".to_owned()]].concat();
    let broker = Broker::start(&jars, &Options { more, ..Options::default() });
    let (address, dir) = (broker.address(), tempfile::tempdir().unwrap());
    let mut random = Random(7);
    let batches: Vec<Batch> =
        (0..BATCHES).map(|n| file_rows(&mut random, (n * ROWS_PER_BATCH) as i64, ROWS_PER_BATCH)).collect();
    let kind = |name, format, compression| Kind { name, format, compression, transactions: false };
    for kind in [
        kind("JSON per event", PayloadFormat::Json, Compression::None),
        kind("JSON lines, 100 a message", PayloadFormat::JsonLines, Compression::None),
        kind("Arrow IPC, plain inside", PayloadFormat::Arrow, Compression::None),
        kind("Arrow IPC, lz4 inside", PayloadFormat::Arrow, Compression::Lz4),
    ] {
        let bytes = ready(&kind, &batches);
        let size: usize = bytes.messages.iter().map(|(_, payload)| payload.len()).sum();
        println!("{}: {} bytes per event", kind.name, size / bytes.events);
        let mut sink = open(&kind, &address, dir.path());
        let transactional = Kind { transactions: true, ..kind };
        let mut with_transactions = open(&transactional, &address, dir.path());
        while with_transactions.read_back().is_err() {}
        // The first run of each finds nobody warm.
        through_sink(&mut sink, &batches[..1]);
        bare(&address, &bytes);
        let mut paces = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            paces[0].push(through_sink(&mut sink, &batches));
            paces[1].push(bare(&address, &bytes));
            paces[2].push(through_sink(&mut with_transactions, &batches));
        }
        let [sink, bare, transactions] = paces.map(median);
        show("  through the sink, encoding included", sink);
        show("  bare loop of the same call, ready payloads", bare);
        show("  through the sink, a transaction a second", transactions);
        println!(
            "  sink / bare {:.2}, with transactions / without {:.2}",
            sink.events_per_s / bare.events_per_s,
            transactions.events_per_s / sink.events_per_s
        );
    }
}
