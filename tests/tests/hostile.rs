//! False brokers and processes of sinks that die: the collector stays, the other sinks have every row, and when the true broker
//! is there it gets everything.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::delivery::{
    Markers, collector, config, consume, expect_all, expect_all_in_parquet, has_bpf_fs, kafka_sink, nats_sink,
    wait_for_a_file,
};
use support::http::{address_in, get};
use support::metrics::Metrics;
use support::program::Running;
use support::seed::Random;
use support::skip::is_root;
use weir_tests::brokers::hostile::{Liar, Lie};
use weir_tests::brokers::{kafka, nats};

/// Files opened at a time.
const SOME: u64 = 200;
/// Times that the process of each sink is killed.
const KILLS: u64 = 4;

fn restarts(address: SocketAddr, sink: &str) -> u64 {
    let metrics = Metrics::parse(&get(address, "/metrics").body);
    metrics.value("weir_sink_process_restarts_total", &[("sink", sink)]).unwrap_or(0.0) as u64
}

fn listens(config: &Path) {
    let text = fs::read_to_string(config).expect("the settings");
    fs::write(config, format!("listen = \"127.0.0.1:0\"\n{text}")).expect("the settings");
}

/// Processes of sinks of this collector.
fn sink_processes(of: &Running) -> Vec<Pid> {
    of.children().into_iter().filter(|(_, name)| name == "weir-sink").map(|(pid, _)| pid).collect()
}

fn stop(running: Running) {
    running.signal(Signal::TERM);
    let ended = running.wait().expect_code(0);
    assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
}

#[test]
fn false_brokers_cost_no_other_sink_a_row_and_the_true_ones_get_everything() {
    let what = "false brokers";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let (Some(jars), Some(mut server)) = (kafka::jars(what), nats::Server::prepare(what, "")) else { return };
    let mut broker = kafka::Broker::prepare(&jars, &kafka::Options::default());
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut markers = Markers::new(scratch.path());
    let address = broker.address();
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let liars = (Liar::start(port, Lie::KafkaNullArray), Liar::start(server.port(), Lie::NatsEndlessLine));
    let sinks = kafka_sink(&broker, "") + &nats_sink(&server, "window_bytes_max = \"1MiB\"\n");
    let config = config(scratch.path(), &sinks);
    listens(&config);
    let mut running = collector(&config, &[]);
    let parquet = scratch.path().join("parquet");
    wait_for_a_file(&mut running, &parquet, &markers);
    let metrics = address_in(&running.stderr_so_far());
    let died = running.wait_until(|| {
        markers.make(10);
        restarts(metrics, "kafka") >= 2 && restarts(metrics, "nats") >= 1
    });
    assert!(died, "{}", running.stderr_so_far());
    drop(liars);
    server.run();
    broker.restart();
    markers.make(SOME);
    wait_until_delivered(&mut running, metrics);
    stop(running);
    expect_everywhere(scratch.path(), &broker, &server, &markers);
}

#[test]
fn processes_of_sinks_killed_at_any_moment_cost_no_row() {
    let what = "killed processes of sinks";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let (Some(jars), Some(server)) = (kafka::jars(what), nats::Server::start(what, "")) else { return };
    let broker = kafka::Broker::start(&jars, &kafka::Options::default());
    let mut random = Random::from_environment(what);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut markers = Markers::new(scratch.path());
    let sinks = kafka_sink(&broker, "transactions = true\n") + &nats_sink(&server, "");
    let config = config(scratch.path(), &sinks);
    listens(&config);
    let mut running = collector(&config, &[]);
    wait_for_a_file(&mut running, &scratch.path().join("parquet"), &markers);
    let metrics = address_in(&running.stderr_so_far());
    let of_both = || ["kafka", "nats"].map(|sink| restarts(metrics, sink));
    let mut killed = 0;
    while of_both().into_iter().any(|restarts| restarts < KILLS) {
        markers.make(SOME);
        thread::sleep(Duration::from_millis(random.below(1_500)));
        // A sink that has just lost its process may have none for a while.
        for pid in sink_processes(&running) {
            killed += u64::from(kill_process(pid, Signal::KILL).is_ok());
        }
        let counted = running.wait_until(|| {
            markers.make(1);
            of_both().into_iter().sum::<u64>() >= killed
        });
        assert!(counted, "{}", running.stderr_so_far());
    }
    markers.make(SOME);
    wait_until_delivered(&mut running, metrics);
    stop(running);
    expect_everywhere(scratch.path(), &broker, &server, &markers);
}

/// Until no sink has anything on its way: a stop waits for a sink that was ended no longer than for any other.
fn wait_until_delivered(running: &mut Running, address: SocketAddr) {
    let works = |metrics: &Metrics, sink| metrics.value("weir_sink_up", &[("sink", sink)]) == Some(1.0);
    let all = running.wait_until(|| {
        let metrics = Metrics::parse(&get(address, "/metrics").body);
        ["kafka", "nats"].into_iter().all(|sink| works(&metrics, sink))
    });
    assert!(all, "{}", running.stderr_so_far());
}

fn expect_everywhere(scratch: &Path, broker: &kafka::Broker, server: &nats::Server, markers: &Markers) {
    expect_all_in_parquet(&scratch.join("parquet"), markers);
    consume("kafka_consumer.py", &["--brokers", &broker.address()], &scratch.join("from-kafka"));
    expect_all(&scratch.join("from-kafka"), markers, "kafka");
    consume("nats_consumer.py", &["--server", &server.url()], &scratch.join("from-nats"));
    expect_all(&scratch.join("from-nats"), markers, "nats");
}
