//! Sinks in processes of their own against false brokers: what the network sends ends a process, and nothing else.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test")]

#[path = "../../../sinks/tests/lane_common/mod.rs"]
mod cells;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cells::{Cell, batch, identity, row};
use weir_collector::sink_process::{Broker, Opening, Program, RemoteSink};
use weir_schema::ClassId;
use weir_sinks::{KafkaOptions, NatsOptions, Progress, Sink, SinkError};
use weir_tests::brokers::hostile::{Liar, Lie};
use weir_tests::brokers::nats;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of memory of a process, beside the queue of its sink.
const MEMORY_MAX: u64 = 64 << 20;
/// What the process of the tests may gain meanwhile, KiB: far less than what is poured over the network.
const GAIN_KIB_MAX: u64 = 96 << 10;
/// Rows of one write.
const ROWS: i64 = 50;

/// The sink of these options in a process of its own.
fn remote(broker: Broker) -> RemoteSink {
    let host = identity().host.to_string();
    let level = weir_collector::config::LogLevel::Error.into();
    let opening = Opening { broker, host, memory_max: MEMORY_MAX, level, parent: std::process::id() };
    RemoteSink::open(&opening, Program::at(Path::new(env!("CARGO_BIN_EXE_weir"))), None).unwrap()
}

fn kafka(port: u16, dir: &Path) -> RemoteSink {
    remote(Broker::Kafka(Box::new(KafkaOptions {
        brokers: format!("127.0.0.1:{port}"),
        linger: Duration::from_millis(5),
        write_wait: Duration::from_millis(100),
        flush_wait: Duration::from_millis(300),
        dead_letters: dir.to_path_buf(),
        queue_bytes: 8 << 20,
        ..KafkaOptions::default()
    })))
}

fn nats(port: u16, dir: &Path) -> RemoteSink {
    nats_that_waits(port, dir, Duration::from_secs(1))
}

/// One whose connection has the time to pour more than there is memory, however slow the machine is.
fn patient_nats(port: u16, dir: &Path) -> RemoteSink {
    nats_that_waits(port, dir, PATIENCE)
}

fn nats_that_waits(port: u16, dir: &Path, connect_wait: Duration) -> RemoteSink {
    remote(Broker::Nats(Box::new(NatsOptions {
        servers: vec![format!("nats://127.0.0.1:{port}")],
        jetstream: false,
        write_wait: Duration::from_millis(100),
        flush_wait: Duration::from_millis(300),
        connect_wait,
        dead_letters: dir.to_path_buf(),
        ..NatsOptions::default()
    })))
}

/// A field of /proc/PID/status, KiB.
fn memory(pid: &str, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.trim_start_matches(':').split_whitespace().next()?.parse().ok())
}

/// What a lane does until `is_enough`: writes, flushes, and writes again what was dropped. Gives what the sink said.
fn drive(sink: &mut RemoteSink, mut is_enough: impl FnMut(&RemoteSink) -> bool) -> Vec<String> {
    let (began, mut said, mut seq) = (Instant::now(), vec![], 0);
    let mut peak = 0;
    while !is_enough(sink) {
        assert!(began.elapsed() < PATIENCE, "{:?}", said.last());
        let rows: Vec<_> = (0..ROWS)
            .map(|n| row(1_000_000 + n, 0, seq + n, "open", &[("path", Cell::Text(format!("/{n}")))]))
            .collect();
        let written = sink.write_cut(&[&batch(ClassId::File, &rows)]);
        seq += ROWS;
        let progress = Progress::begins("log", seq.unsigned_abs());
        let flushed = written.and_then(|()| sink.flush(&progress).map(drop));
        if let Some(pid) = sink.pid() {
            peak = peak.max(memory(&pid.to_string(), "VmHWM").unwrap_or(0));
        }
        match flushed {
            Ok(()) => {}
            Err(SinkError::Retry(text) | SinkError::Wait(text)) => {
                said.push(text);
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let queue_kib = (2 * (16 << 20) + (64 << 20)) >> 10;
    // The program's own code and what it reads from files is beside the private data that is bounded.
    assert!(peak < (MEMORY_MAX >> 10) + queue_kib + (96 << 10), "the process had {peak} KiB");
    said
}

/// Runs a sink against a liar until its process has died so many times.
fn survives(lie: Lie, make: fn(u16, &Path) -> RemoteSink, deaths: u64) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let port = nats::free_port();
    let liar = Liar::start(port, lie);
    let before = memory("self", "VmRSS").unwrap();
    let mut sink = make(port, dir.path());
    let said = drive(&mut sink, |sink| sink.process_restarts() >= deaths && liar.served() > 1);
    let gained = memory("self", "VmRSS").unwrap().saturating_sub(before);
    assert!(gained < GAIN_KIB_MAX, "{lie:?}: {gained} KiB more");
    said
}

#[test]
fn a_null_array_of_a_kafka_broker_ends_the_process_and_is_counted() {
    let said = survives(Lie::KafkaNullArray, kafka, 2);
    assert!(said.iter().any(|text| text.contains("the process of the sink ended by signal")), "{said:?}");
}

#[test]
fn a_message_longer_than_any_memory_ends_the_process_of_its_sink() {
    let said = survives(Lie::NatsLength, patient_nats, 1);
    assert!(said.iter().any(|text| text.contains("out of memory")), "{said:?}");
}

#[test]
fn a_line_without_an_end_ends_the_process_of_its_sink() {
    let said = survives(Lie::NatsEndlessLine, patient_nats, 1);
    assert!(said.iter().any(|text| text.contains("out of memory")), "{said:?}");
}

/// A seed that is printed, or the one of `WEIR_TEST_SEED`.
#[allow(clippy::print_stdout, reason = "a seed that fails has to be known")]
fn seed(what: &str) -> u64 {
    let given = std::env::var("WEIR_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64);
    let seed = given.unwrap_or_else(clock);
    println!("{what}: WEIR_TEST_SEED={seed}");
    seed
}

#[test]
fn nonsense_of_a_kafka_broker_is_survived_whatever_it_is() {
    let seed = seed("nonsense of a Kafka broker");
    (0..4).for_each(|n| drop(survives(Lie::KafkaNonsense(seed.wrapping_add(n)), kafka, 0)));
}

#[test]
fn nonsense_of_a_nats_server_is_survived_whatever_it_is() {
    let seed = seed("nonsense of a NATS server");
    (0..4).for_each(|n| drop(survives(Lie::NatsNonsense(seed.wrapping_add(n)), nats, 0)));
}

#[test]
fn a_process_that_is_stopped_for_good_is_ended_with_its_sink() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = nats(nats::free_port(), dir.path());
    let pid = rustix::process::Pid::from_raw(sink.pid().unwrap() as i32).unwrap();
    let proc = format!("/proc/{}", sink.pid().unwrap());
    assert_eq!(memory(&sink.pid().unwrap().to_string(), "CapPrm"), Some(0));
    let _ = sink.flush(&Progress::begins("log", 1));
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    drop(sink);
    assert!(!Path::new(&proc).exists(), "a process is left behind");
}

#[test]
fn options_that_can_never_work_are_said_at_once() {
    let options = NatsOptions { servers: vec!["nats://user:geheim@h".into()], ..NatsOptions::default() };
    let host = identity().host.to_string();
    let level = weir_collector::config::LogLevel::Error.into();
    let broker = Broker::Nats(Box::new(options));
    let opening = Opening { broker, host, memory_max: MEMORY_MAX, level, parent: std::process::id() };
    let opened = RemoteSink::open(&opening, Program::at(Path::new(env!("CARGO_BIN_EXE_weir"))), None);
    let error = opened.err().unwrap();
    assert!(matches!(error, SinkError::Fatal(_)) && !error.to_string().contains("geheim"), "{error:?}");
}
