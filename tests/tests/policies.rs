//! What a sink that stands still costs, by policy: its own rows, counted and told in its own data; or a wait of all; and
//! never a row of the others. The sinks that stand still are real brokers under SIGSTOP.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;
use support::delivery::{
    Markers, collector, consume, expect_all, expect_all_in_parquet, has_bpf_fs, kafka_sink, merged, nats_sink,
    settings, wait_for_a_file,
};
use support::http::{address_in, get};
use support::metrics::Metrics;
use support::program::{Ended, Running, command, run};
use support::skip::{is_root, note};
use support::tmpfs::Tmpfs;
use support::verified::{Verified, verify};
use tempfile::TempDir;
use weir_tests::brokers::{kafka, nats};

/// Files opened before and behind the stand-still.
const SOME: u64 = 100;
/// Files opened at a time while a broker stands still.
const PORTION: u64 = 250;
/// A lane that is soon full: cuts come every 25 ms. The disk of the others is memory, so that they never lag so far.
const TOP: &str = "classes = [\"file\"]\nlisten = \"127.0.0.1:0\"\nlane_cuts_max = 64\n";
/// Messages that the client takes without an acknowledgement.
const SMALL_WINDOW: &str = "window_messages_max = 4\n";
/// More cuts than lane and client have in memory when brokers stand still.
const IN_MEMORY: u64 = 250;
/// Bytes of the disk in memory.
const DISK_BYTES: u64 = 256 << 20;
/// Numbers that nobody has read, several portions of them: the reader stands.
const UNREAD: f64 = 2_000.0;

/// How often it is looked whether something was said.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

struct Trial {
    scratch: TempDir,
    markers: Markers,
    _disk: Tmpfs,
}

impl Trial {
    fn new() -> Trial {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let markers = Markers::new(scratch.path());
        let parquet = scratch.path().join("parquet");
        fs::create_dir(&parquet).expect("a mount point");
        let disk = Tmpfs::mount(&parquet, DISK_BYTES, false).expect("a disk in memory");
        Trial { scratch, markers, _disk: disk }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A collector that has shown its first files.
    fn start(&mut self, config: &Path) -> Running {
        let mut running = collector(config, &[]);
        let parquet = self.at("parquet");
        wait_for_a_file(&mut running, &parquet, &self.markers);
        self.markers.make(SOME);
        running
    }

    /// Opens files until the collector says so.
    fn make_until_it_says(&mut self, running: &mut Running, words: &str) {
        while !running.stderr_so_far().contains(words) {
            assert!(!running.has_ended(), "{}", running.stderr_so_far());
            self.markers.make(PORTION);
        }
    }

    /// Opens files until the metrics show it.
    fn make_until(&mut self, address: SocketAddr, holds: impl Fn(&Metrics) -> bool) {
        while !holds(&metrics(address)) {
            self.markers.make(PORTION);
        }
    }

    fn stop(&mut self, running: Running) -> Ended {
        self.markers.make(SOME);
        running.signal(Signal::TERM);
        let ended = running.wait().expect_code(0);
        assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
        ended
    }

    fn nats(&self, server: &nats::Server) -> Verified {
        consume("nats_consumer.py", &["--server", &server.url()], &self.at("from-nats"));
        self.judged("from-nats")
    }

    fn kafka(&self, broker: &kafka::Broker) -> Verified {
        consume("kafka_consumer.py", &["--brokers", &broker.address()], &self.at("from-kafka"));
        self.judged("from-kafka")
    }

    /// What a consumer wrote adds up, gaps included.
    fn judged(&self, name: &str) -> Verified {
        let (_, path) = merged(&self.at(name));
        verify(&path).expect_code(0)
    }
}

fn metrics(address: SocketAddr) -> Metrics {
    Metrics::parse(&get(address, "/metrics").body)
}

/// The spool of a collector in mode crash, of a few segments that are as small as they can be.
fn small_spool(scratch: &Path, mib: u64, when_full: &str) -> String {
    format!(
        "[spool]\ndir = \"{}/spool\"\nmode = \"crash\"\nbytes_max = \"{mib}MiB\"\nsegment_bytes = \"1MiB\"\n\
         when_full = \"{when_full}\"\n",
        scratch.display()
    )
}

/// The first and the last cut that gave up rows so far, by what the collector says.
fn given_up(stderr: &str) -> Option<(u64, u64)> {
    let lines = || stderr.lines().filter(|line| line.contains("the spool is full"));
    let cuts = |line: &str| {
        let (first, rest) = line.split_once("cuts=")?.1.split_once('-')?;
        let last: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let (first, _) = lines().find_map(cuts)?;
    let last = lines().filter_map(cuts).map(|(_, last): (u64, u64)| last).max()?;
    Some((first, last))
}

/// That nothing but this reason cost rows, and that it did.
fn expect_only(gaps: &BTreeMap<String, u64>, reason: &str) {
    assert!(gaps.get(reason).is_some_and(|n| *n > 0) && gaps.len() == 1, "{gaps:?}");
}

#[test]
fn a_lane_that_drops_loses_its_own_rows_and_says_so_in_its_data_when_the_server_is_back() {
    let what = "a lane that drops";
    if !is_root(what) {
        return;
    }
    let Some(server) = nats::Server::start(what, "") else { return };
    let mut trial = Trial::new();
    let config = settings(trial.scratch.path(), TOP, "", &nats_sink(&server, SMALL_WINDOW));
    let running = trial.start(&config);
    server.signal(Signal::STOP);
    let address = address_in(&running.stderr_so_far());
    let lost =
        |m: &Metrics| m.value("weir_sink_lost_total", &[("sink", "nats"), ("reason", "lane_full")]).unwrap_or(0.0);
    trial.make_until(address, |metrics| lost(metrics) > 0.0);
    server.signal(Signal::CONT);
    trial.stop(running);
    let nats = trial.nats(&server);
    note(format_args!("{what}: gaps {:?} of {:?}", nats.gaps(), nats.lost_by_action()));
    expect_only(&nats.gaps(), "lane_full");
    expect_all_in_parquet(&trial.at("parquet"), &trial.markers);
}

#[test]
fn a_lane_that_blocks_makes_the_reader_wait_and_loses_nothing_within_its_limit() {
    let what = "a lane that blocks";
    if !is_root(what) {
        return;
    }
    let Some(server) = nats::Server::start(what, "") else { return };
    let mut trial = Trial::new();
    let sink = nats_sink(&server, &format!("{SMALL_WINDOW}policy = \"block\"\n"));
    let config = settings(trial.scratch.path(), TOP, "", &sink);
    let running = trial.start(&config);
    server.signal(Signal::STOP);
    let address = address_in(&running.stderr_so_far());
    trial.make_until(address, |metrics| metrics.sum("weir_numbers_total") - metrics.sum("weir_records_total") > UNREAD);
    server.signal(Signal::CONT);
    trial.stop(running);
    let nats = trial.nats(&server);
    assert!(nats.gaps().is_empty(), "{:?}", nats.gaps());
    expect_all(&trial.at("from-nats"), &trial.markers, "nats");
    expect_all_in_parquet(&trial.at("parquet"), &trial.markers);
}

#[test]
fn a_full_spool_drops_by_class_what_matters_least_and_the_sinks_that_miss_it_say_so() {
    let what = "a full spool that drops by class";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let Some(server) = nats::Server::start(what, "") else { return };
    let Some(broker) = kafka::jars(what).map(|jars| kafka::Broker::start(&jars, &kafka::Options::default())) else {
        return;
    };
    let mut trial = Trial::new();
    let top = TOP.replace("\"file\"", "\"file\", \"process\"");
    // Short waits: what was on its way is sent again, although the spool has given up rows meanwhile.
    let for_nats = format!("{SMALL_WINDOW}ack_wait = \"1s\"\n");
    let sinks = kafka_sink(&broker, "queue_bytes_max = \"2MiB\"\n") + &nats_sink(&server, &for_nats);
    // Room for what is left of segments without class file.
    let spool = small_spool(trial.scratch.path(), 8, "drop_by_class");
    let config = settings(trial.scratch.path(), &top, &spool, &sinks);
    let mut running = trial.start(&config);
    server.signal(Signal::STOP);
    broker.pause();
    // The lanes' own memory has the first cuts of the stand-still, whatever the spool gives up.
    while given_up(&running.stderr_so_far()).is_none_or(|(first, last)| last < first + IN_MEMORY) {
        run(&mut command("true")).expect_code(0);
        trial.markers.make(PORTION);
    }
    server.signal(Signal::CONT);
    broker.go_on();
    let address = address_in(&running.stderr_so_far());
    for sink in ["nats", "kafka"] {
        // Counted once what stands behind is durable.
        let lost = [("sink", sink), ("reason", "spool_full")];
        let told = running.wait_until(|| metrics(address).value("weir_sink_lost_total", &lost).unwrap_or(0.0) > 0.0);
        assert!(told, "{sink} does not catch up: {}", running.stderr_so_far());
    }
    trial.stop(running);
    for (name, found) in [("nats", trial.nats(&server)), ("kafka", trial.kafka(&broker))] {
        let actions = found.lost_by_action();
        note(format_args!("{what}: {name}: gaps {:?} of {actions:?}", found.gaps()));
        expect_only(&found.gaps(), "spool_full");
        assert!(found.rows("process") > 0 && !actions.contains_key("exec") && !actions.contains_key("exit"));
        assert_eq!(actions.values().sum::<u64>(), found.gaps()["spool_full"], "each is named: {actions:?}");
    }
    expect_all_in_parquet(&trial.at("parquet"), &trial.markers);
}

#[test]
fn a_full_spool_that_blocks_makes_the_rings_wait_and_loses_nothing() {
    let what = "a full spool that blocks";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let Some(server) = nats::Server::start(what, "") else { return };
    let mut trial = Trial::new();
    let spool = small_spool(trial.scratch.path(), 2, "block");
    let config = settings(trial.scratch.path(), "classes = [\"file\"]\n", &spool, &nats_sink(&server, ""));
    let mut running = trial.start(&config);
    server.signal(Signal::STOP);
    trial.make_until_it_says(&mut running, "its limit `spool.bytes_max` is reached");
    trial.markers.make(PORTION);
    let bytes: u64 = fs::read_dir(trial.at("spool"))
        .expect("the spool")
        .filter_map(|entry| entry.and_then(|entry| entry.metadata()).ok())
        .map(|metadata| metadata.len())
        .sum();
    assert!(bytes < 3 << 20, "the spool has {bytes} bytes, its limit is 2 MiB");
    server.signal(Signal::CONT);
    // Nothing is made meanwhile: the rings have room for what waits, and not for what a fast machine could add.
    while !running.stderr_so_far().contains("the spool can be written again") {
        assert!(!running.has_ended(), "{}", running.stderr_so_far());
        thread::sleep(LOOK_EVERY);
    }
    trial.stop(running);
    let nats = trial.nats(&server);
    assert!(nats.gaps().is_empty(), "{:?}", nats.gaps());
    expect_all(&trial.at("from-nats"), &trial.markers, "nats");
    expect_all_in_parquet(&trial.at("parquet"), &trial.markers);
}
