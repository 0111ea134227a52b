//! The Kafka sink and a real broker that has bad luck: killed, stopped, away, or with other ideas of who may do what.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "kafka_common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::*;
use weir_sinks::kafka::{KafkaTls, PasswordMechanism, Sasl, Transactions};
use weir_sinks::{KafkaOptions, Progress, Secret, Sink, SinkError};
use weir_tests::brokers::kafka::{Broker, Options, PASSWORD, USER, jars};

fn none_missing_none_doubled(address: &str, topic: &str, count: i64) {
    let seqs = seqs(address, topic, false);
    let wrong: Vec<&[i64]> = seqs.windows(2).filter(|pair| pair[1] != pair[0] + 1).take(3).collect();
    assert_eq!(seqs.len() as i64, count, "{wrong:?}");
    assert_eq!(seqs, (0..count).collect::<Vec<_>>());
}

#[test]
fn a_broker_killed_while_weir_writes_has_everything_once_when_it_is_back() {
    let Some(jars) = jars("a killed Kafka") else { return };
    let mut broker = Broker::start(&jars, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(open(options(&broker.address(), "killed", dir.path())));
    let (mut next, cut) = (0, 2_000);
    for _ in 0..2 {
        // Some acknowledged, some on their way, some behind the kill.
        for step in 0..30 {
            if step == 15 {
                broker.kill();
            }
            driver.write(opens(next, cut, 100));
            next += cut;
            if step % 10 == 5 && step < 15 {
                driver.flush();
            }
        }
        let Err(SinkError::Wait(text)) = driver.sink.flush(&Progress::default()) else { panic!("nobody is there") };
        assert!(text.contains(&broker.address()) && text.contains("wait for their acknowledgement"), "{text}");
        broker.restart();
        driver.flush();
    }
    assert_eq!(driver.sink.counts().renewals, 0, "{:?}", driver.said);
    none_missing_none_doubled(&broker.address(), "killed.file", next);
}

#[test]
fn a_broker_that_stops_for_some_seconds_gets_everything_once() {
    let Some(jars) = jars("a stopped Kafka") else { return };
    let broker = Broker::start(&jars, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    let options = options(&broker.address(), "stopped", dir.path());
    let mut driver = Driver::new(open(KafkaOptions { flush_wait: Duration::from_secs(1), ..options }));
    driver.write(opens(0, 1_000, 100));
    driver.flush();
    broker.pause();
    driver.write(opens(1_000, 1_000, 100));
    // Three seconds of being asked.
    for _ in 0..3 {
        assert!(matches!(driver.sink.flush(&Progress::default()), Err(SinkError::Wait(_))));
    }
    broker.go_on();
    driver.flush();
    none_missing_none_doubled(&broker.address(), "stopped.file", 2_000);
    assert_eq!(driver.sink.counts().renewals, 0);
}

#[test]
fn a_broker_that_its_cluster_took_for_dead_is_found_again() {
    let Some(jars) = jars("a fenced Kafka") else { return };
    // Dead after a second of silence: whoever asks just then hears of no broker at all.
    let more = ["broker.session.timeout.ms=1000", "broker.heartbeat.interval.ms=300"].map(str::to_owned);
    let broker = Broker::start(&jars, &Options { more: more.to_vec(), ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(open(options(&broker.address(), "fenced", dir.path())));
    for round in 0..4 {
        driver.write(opens(round * 1_000, 500, 100));
        broker.pause();
        assert!(matches!(driver.sink.flush(&progress(0)), Err(SinkError::Wait(_))));
        broker.go_on();
        driver.write(opens(round * 1_000 + 500, 500, 100));
        driver.flush();
    }
    let mut seqs = seqs(&broker.address(), "fenced.file", false);
    seqs.dedup();
    assert_eq!(seqs, (0..4_000).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_makes_a_write_wait_and_takes_nothing_of_its_cut() {
    let Some(jars) = jars("a full queue before Kafka") else { return };
    let broker = Broker::start(&jars, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    let options = KafkaOptions { queue_bytes: 2_000_000, ..options(&broker.address(), "full", dir.path()) };
    let mut driver = Driver::new(open(options));
    driver.write(opens(0, 100, 100));
    driver.flush();
    broker.pause();
    let mut next = 100;
    let text = loop {
        match driver.sink.write(&opens(next, 500, 100)) {
            Ok(()) => next += 500,
            Err(SinkError::Wait(text)) => break text,
            Err(other) => panic!("{other:?}"),
        }
        assert!(next < 20_000, "the queue takes more than it has room for");
    };
    assert!(text.contains("queue is full"), "{text}");
    broker.go_on();
    driver.write(opens(next, 500, 100));
    driver.flush();
    none_missing_none_doubled(&broker.address(), "full.file", next + 500);
}

#[test]
fn a_broker_that_is_not_there_at_the_start_is_found_later() {
    let Some(jars) = jars("an absent Kafka") else { return };
    let mut broker = Broker::prepare(&jars, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(&broker.address(), "absent", dir.path()));
    let Err(SinkError::Wait(text)) = sink.write(&opens(0, 10, 30)) else { panic!("nobody is there") };
    assert!(text.contains("absent.file") && text.contains("start the broker"), "{text}");
    broker.restart();
    let mut driver = Driver::new(sink);
    driver.write(opens(0, 10, 30));
    driver.flush();
    none_missing_none_doubled(&broker.address(), "absent.file", 10);
}

fn user(mechanism: PasswordMechanism, password: &str) -> Option<Sasl> {
    Some(Sasl::Password { mechanism, username: USER.to_owned(), password: Secret::new(password) })
}

#[test]
fn rights_taken_away_and_given_back_cost_nothing_but_time() {
    let Some(jars) = jars("rights in Kafka") else { return };
    let broker = Broker::start(&jars, &Options { acls: true, ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let options = KafkaOptions {
        brokers: broker.sasl_address(),
        sasl: user(PasswordMechanism::ScramSha512, PASSWORD),
        create_topics: None,
        ..options(&broker.address(), "rights", dir.path())
    };
    let mut sink = open(options.clone());
    let text = refusal(&mut sink, &opens(0, 10, 30));
    assert!(text.contains("rights.file") && text.contains("right to write"), "{text}");

    Admin::new(&broker.address()).create("rights.file", &[]);
    let write = ["--operation", "Write", "--operation", "Describe", "--topic", "rights.file"];
    broker.allow(&write);
    let mut driver = Driver::new(sink);
    driver.write(opens(0, 100, 30));
    driver.flush();

    broker.disallow(&write);
    let text = refusal(&mut driver.sink, &opens(100, 100, 30));
    assert!(text.contains("rights.file") && text.contains("right to write"), "{text}");

    broker.allow(&write);
    driver.write(opens(100, 100, 30));
    driver.flush();
    none_missing_none_doubled(&broker.address(), "rights.file", 200);

    // The right to write is not the right to create.
    let create_topics = Some(Default::default());
    broker.allow(&["--operation", "Describe", "--topic", "made.file"]);
    let mut sink = open(KafkaOptions { topic: "made.{class}".to_owned(), create_topics, ..options });
    let text = refusal(&mut sink, &opens(0, 10, 30));
    assert!(text.contains("could not create topic made.file") && text.contains("right"), "{text}");
}

/// A token that nobody signed, for some minutes.
fn token() -> String {
    let base64 = |text: &str| {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits: String = text.bytes().map(|b| format!("{b:08b}")).collect();
        let digits = bits.as_bytes().chunks(6).map(|six| {
            let six = String::from_utf8(six.to_vec()).unwrap();
            char::from(DIGITS[usize::from_str_radix(&format!("{six:0<6}"), 2).unwrap()])
        });
        digits.collect::<String>()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!("{{\"sub\":\"{USER}\",\"iat\":{},\"exp\":{}}}", now - 10, now + 600);
    format!("{}.{}.", base64("{\"alg\":\"none\"}"), base64(&claims))
}

#[test]
fn every_kind_of_credential_is_taken_and_a_wrong_one_is_said() {
    let Some(broker) = shared_broker("credentials in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, token() + "\n").unwrap();
    let options = |prefix: &str, sasl: Option<Sasl>| KafkaOptions {
        transactions: Some(Transactions { id: prefix.to_owned(), progress_topic: "credentials.progress".to_owned() }),
        create_topics: None,
        sasl,
        ..options(&broker.sasl_address(), prefix, dir.path())
    };
    let admin = Admin::new(&broker.address());
    admin.create("credentials.progress", &[]);
    for (prefix, sasl) in [
        ("plain", user(PasswordMechanism::Plain, PASSWORD)),
        ("scram", user(PasswordMechanism::ScramSha512, PASSWORD)),
        ("token", Some(Sasl::TokenFile(file.clone()))),
    ] {
        admin.create(&format!("{prefix}.file"), &[]);
        let mut driver = Driver::new(open(options(prefix, sasl.clone())));
        driver.write(opens(0, 10, 30));
        driver.flush();
        let mut next = open(options(prefix, sasl));
        assert_eq!(read_back(&mut next), Some(driver.progress.clone()));
        none_missing_none_doubled(&broker.address(), &format!("{prefix}.file"), 10);
    }
    let mechanism = PasswordMechanism::ScramSha256; // not one of the broker's
    for sasl in [
        user(PasswordMechanism::Plain, "open barley"),
        user(PasswordMechanism::ScramSha512, "open barley"),
        user(mechanism, PASSWORD),
    ] {
        let mut sink = open(options("wrong", sasl));
        let text = refusal(&mut sink, &opens(0, 10, 30));
        assert!(text.contains("check user, password or token") && !text.contains("open barley"), "{text}");
    }
}

/// Key and certificate of a broker at `localhost`, and who signed it.
fn certificates(dir: &Path) {
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    let new = ["req", "-newkey", "rsa:2048", "-nodes"];
    openssl(&[&new[..], &["-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"]].concat());
    openssl(&[&new[..], &["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request"]].concat());
    std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "request",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "cert.pem",
    ]);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    std::fs::write(dir.join("broker.pem"), read("key.pem") + &read("cert.pem") + &read("ca.pem")).unwrap();
}

#[test]
fn a_broker_is_trusted_by_its_certificate_and_one_that_nobody_knows_is_said() {
    let Some(jars) = jars("TLS with Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let broker = Broker::start(&jars, &Options { tls: Some(dir.path().to_path_buf()), ..Options::default() });
    let sink = |ca: Option<&str>, verify: bool| {
        let ca = ca.map(|name| dir.path().join(name));
        let tls = Some(KafkaTls { ca, cert: None, key: None, key_password: None, verify });
        let options = options(&broker.tls_address(), "tls", dir.path());
        open(KafkaOptions { tls, ..options })
    };
    let mut driver = Driver::new(sink(Some("ca.pem"), true));
    driver.write(opens(0, 10, 30));
    driver.flush();
    let mut driver = Driver::new(sink(None, false));
    driver.write(opens(10, 10, 30));
    driver.flush();
    none_missing_none_doubled(&broker.address(), "tls.file", 20);
    let text = refusal(&mut sink(None, true), &opens(0, 10, 30));
    assert!(text.contains("check the certificates"), "{text}");
}
