//! Transactions with a real broker: whoever reads committed messages sees every row once, whatever happens to weir.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "kafka_common/mod.rs"]
mod common;

use std::path::Path;

use common::*;
use weir_sinks::kafka::Transactions;
use weir_sinks::{KafkaOptions, Sink, SinkError};
use weir_tests::brokers::kafka::{Broker, Options, jars};

fn transactional(address: &str, prefix: &str, dir: &Path) -> KafkaOptions {
    let progress_topic = format!("{prefix}.progress");
    let transactions = Some(Transactions { id: format!("{prefix}-id"), progress_topic });
    KafkaOptions { transactions, ..options(address, prefix, dir) }
}

#[test]
fn what_was_not_committed_is_never_seen_and_the_progress_says_where_to_go_on() {
    let Some(broker) = shared_broker("transactions in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = transactional(&broker.address(), "once", dir.path());
    let mut sink = open(options.clone());
    assert_eq!(read_back(&mut sink), None);
    let mut driver = Driver::new(sink);
    // Every round is a start that ends without a word, with rows written and not committed.
    for round in 0..4 {
        assert_eq!(driver.progress.next_cut, round * 3);
        for cut in 0..3 {
            driver.write(opens((round as i64 * 3 + cut) * 100, 100, 30));
        }
        driver.flush();
        driver.write(opens((round as i64 * 3 + 3) * 100, 100, 30));
        // Part of it has reached the broker by now.
        while seqs(&broker.address(), "once.file", false).len() < (round as usize * 4 + 3) * 100 + 50 {}
        let mut sink = open(options.clone());
        drop(driver);
        let found = read_back(&mut sink).unwrap();
        driver = Driver::new(sink);
        driver.progress = found;
    }
    let seen = seqs(&broker.address(), "once.file", true);
    assert_eq!(seen, (0..1_200).collect::<Vec<_>>());
    assert!(seqs(&broker.address(), "once.file", false).len() > 1_200, "nothing was ever aborted");
}

#[test]
fn the_last_progress_of_each_host_and_id_is_found_among_many_others() {
    let Some(broker) = shared_broker("progress in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let first = transactional(&broker.address(), "many", dir.path());
    let mut early = open(first.clone());
    read_back(&mut early);
    early.flush(&progress(41)).unwrap();
    early.flush(&progress(42)).unwrap();
    // More than are read at first, by someone else, into every partition.
    let mut second = first.clone();
    second.transactions.as_mut().unwrap().id = "many-other".to_owned();
    let mut late = open(KafkaOptions { create_topics: None, ..second.clone() });
    read_back(&mut late);
    for n in 0..1_100 {
        late.flush(&progress(n)).unwrap();
    }
    drop((early, late));
    assert_eq!(read_back(&mut open(first)), Some(progress(42)));
    assert_eq!(read_back(&mut open(second.clone())), Some(progress(1_099)));
    assert_eq!(read_back(&mut weir_sinks::KafkaSink::open(second, "other-host", None).unwrap()), None);
}

#[test]
fn a_broker_killed_inside_transactions_has_every_row_once() {
    let Some(jars) = jars("a Kafka killed in transactions") else { return };
    let mut broker = Broker::start(&jars, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(open(transactional(&broker.address(), "killed", dir.path())));
    for round in 0..12 {
        for cut in 0..3 {
            if round % 4 == 2 && cut == 1 {
                broker.kill();
            }
            let batch = opens((round * 3 + cut) * 500, 500, 100);
            if round % 4 == 2 && cut == 2 {
                broker.restart();
            }
            driver.write(batch);
        }
        driver.flush();
    }
    assert_eq!(seqs(&broker.address(), "killed.file", true), (0..18_000).collect::<Vec<_>>());
    let mut sink = open(transactional(&broker.address(), "killed", dir.path()));
    assert_eq!(read_back(&mut sink).unwrap().next_cut, 36);
}

#[test]
fn a_message_that_is_refused_in_a_transaction_is_left_out_and_the_rest_comes_once() {
    let Some(broker) = shared_broker("a refused message in a transaction") else { return };
    let dir = tempfile::tempdir().unwrap();
    let topic = "refused.file";
    Admin::new(&broker.address()).create(topic, &[("max.message.bytes", "40000")]);
    let options = KafkaOptions {
        compression: weir_sinks::kafka::KafkaCompression::None,
        ..transactional(&broker.address(), "refused", dir.path())
    };
    let mut driver = Driver::new(open(options));
    driver.write(opens(0, 60, 30));
    driver.write(opens(60, 1, 60_000));
    driver.write(opens(61, 60, 30));
    driver.flush();
    let refused = &driver.receipts[0].refused;
    assert_eq!(refused.iter().map(|t| (t.first_seq, t.last_seq, t.count)).collect::<Vec<_>>(), [(60, 60, 1)]);
    let expected: Vec<i64> = (0..121).filter(|n| *n != 60).collect();
    assert_eq!(seqs(&broker.address(), topic, true), expected);
    assert_eq!(std::fs::read_dir(dir.path().join("kafka")).unwrap().count(), 2);
    driver.write(opens(121, 60, 30));
    driver.flush();
    assert_eq!(driver.receipts[1].refused, []);
    assert_eq!(seqs(&broker.address(), topic, true).len(), 180);
}

#[test]
fn a_second_weir_with_the_same_id_stops_the_first_which_says_so() {
    let Some(broker) = shared_broker("two with one transactional id") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = transactional(&broker.address(), "twins", dir.path());
    let mut first = Driver::new(open(options.clone()));
    first.write(opens(0, 100, 30));
    first.flush();
    first.sink.write(&opens(100, 100, 30)).unwrap();
    let mut second = open(options);
    assert_eq!(read_back(&mut second).unwrap().next_cut, 1);
    let fenced = first.sink.flush(&progress(2));
    let Err(SinkError::Retry(text)) = fenced else { panic!("two wrote as one: {fenced:?}") };
    assert!(text.contains("no other weir has the same transactional id"), "{text}");
    assert_eq!(seqs(&broker.address(), "twins.file", true), (0..100).collect::<Vec<_>>());
}
