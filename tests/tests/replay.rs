//! A replay that is interrupted again and again, by SIGKILL and by SIGINT, and resumed: every sink has every row of the
//! capture, and twice only where `docs/delivery.md` says so.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::delivery::{
    Markers, consume, expect_all, expect_all_in_parquet, kafka_sink, nats_sink, settings, wait_for_a_file,
};
use support::program::{Ended, run, start, weir};
use support::seed::Random;
use support::skip::{is_root, note};
use support::verified::verify;
use weir_tests::brokers::{kafka, nats};

/// Files opened at a time, and how often: the capture is some seconds long.
const MARKERS: u64 = 50;
const TIMES: u64 = 80;
const BETWEEN: Duration = Duration::from_millis(50);
/// So much slower than it happened that no machine comes to the end before it is interrupted.
const SPEED: &str = "0.02";
/// How often it is interrupted.
const INTERRUPTIONS: u64 = 4;
/// Longest time between a step forward of every sink and the interruption, ms.
const LATER_MS_MAX: u64 = 700;

/// A capture of some seconds.
fn record(scratch: &Path, markers: &mut Markers) {
    let top = format!("classes = [\"file\"]\ncapture = \"{}/cap\"\n", scratch.display());
    let config = settings(scratch, &top, "", "");
    let mut running = start(weir(&["run", "--status", "never"]).arg("--config").arg(&config));
    let live = scratch.join("parquet");
    wait_for_a_file(&mut running, &live, markers);
    for _ in 0..TIMES {
        markers.make(MARKERS);
        thread::sleep(BETWEEN);
    }
    running.signal(Signal::TERM);
    running.wait().expect_code(0);
    fs::remove_dir_all(live).expect("the live files make room for those of the replay");
}

/// How far the sinks of the replay are, by the capture's cursors.
fn places(capture: &Path) -> BTreeMap<String, u64> {
    let place = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().strip_prefix("replay-")?.strip_suffix(".json")?.to_owned();
        let progress: Value = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        Some((name, progress["next_cut"].as_u64()?))
    };
    fs::read_dir(capture.join("cursors")).into_iter().flatten().flatten().filter_map(place).collect()
}

/// Plays until every sink is further than before, and a while on; then comes the signal, which ends it in the middle.
fn interrupted(scratch: &Path, sinks: usize, signal: Signal, later: Duration) {
    let capture = scratch.join("cap");
    let before = places(&capture);
    let resume: &[&str] = if before.is_empty() { &[] } else { &["--resume"] };
    let mut replay = weir(&["replay", "--speed", SPEED]);
    let mut playing = start(replay.args(resume).arg("--config").arg(scratch.join("weir.toml")).arg(&capture));
    let is_further = playing.wait_until(|| {
        let now = places(&capture);
        now.len() == sinks && now.iter().all(|(sink, place)| before.get(sink).is_none_or(|before| place > before))
    });
    assert!(is_further, "{}", playing.stderr_so_far());
    thread::sleep(later);
    playing.signal(signal);
    let ended = playing.wait();
    assert!(ended.code().is_none_or(|code| code > 128), "it was at its end already: {}", ended.stderr);
}

fn resumed(scratch: &Path) -> Ended {
    let mut replay = weir(&["replay", "--resume", "--config"]);
    run(replay.arg(scratch.join("weir.toml")).arg(scratch.join("cap"))).expect_code(0)
}

#[test]
fn a_replay_that_is_interrupted_goes_on_where_each_sink_was() {
    let what = "a replay that is interrupted";
    if !is_root(what) {
        return;
    }
    let Some(server) = nats::Server::start(what, "") else { return };
    let Some(broker) = kafka::jars(what).map(|jars| kafka::Broker::start(&jars, &kafka::Options::default())) else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let scratch = scratch.path();
    let mut random = Random::from_environment(what);
    let mut markers = Markers::new(scratch);
    record(scratch, &mut markers);
    let sinks = kafka_sink(&broker, "") + &nats_sink(&server, "");
    settings(scratch, "classes = [\"file\"]\n", "", &sinks);
    for n in 0..INTERRUPTIONS {
        let signal = if n % 2 == 0 { Signal::KILL } else { Signal::INT };
        interrupted(scratch, 3, signal, Duration::from_millis(random.below(LATER_MS_MAX)));
        assert!(
            n > 0 || verify(&scratch.join("parquet")).code == 3,
            "the files of an interrupted replay have an open end"
        );
    }
    resumed(scratch);
    let again = resumed(scratch);
    assert!(!again.stderr.contains("lost"), "{}", again.stderr);
    expect_all_in_parquet(&scratch.join("parquet"), &markers);
    let kafka = consume("kafka_consumer.py", &["--brokers", &broker.address()], &scratch.join("from-kafka"));
    expect_all(&scratch.join("from-kafka"), &markers, "kafka");
    // The server drops what it knows by message id.
    let nats = consume("nats_consumer.py", &["--server", &server.url()], &scratch.join("from-nats"));
    expect_all(&scratch.join("from-nats"), &markers, "nats");
    assert!(nats.contains(", 0 repeated rows"), "{nats}");
    note(format_args!("{what}: {INTERRUPTIONS} times; kafka: {}; nats: {}", kafka.trim(), nats.trim()));
}
