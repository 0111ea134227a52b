//! The Kafka sink and errors that a broker makes only when it is told to: librdkafka's mock cluster, for those alone.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "kafka_common/mod.rs"]
mod common;

use common::*;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use weir_sinks::KafkaOptions;

const TOPIC: &str = "mock.file";

fn cluster(brokers: i32) -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(brokers).unwrap();
    cluster.create_topic(TOPIC, 1, brokers).unwrap();
    cluster
}

fn driver(address: &str, dir: &std::path::Path) -> Driver {
    Driver::new(open(KafkaOptions { create_topics: None, ..options(address, "mock", dir) }))
}

#[test]
fn a_leader_that_moves_costs_nothing() {
    let (cluster, dir) = (cluster(3), tempfile::tempdir().unwrap());
    let address = cluster.bootstrap_servers();
    let mut driver = driver(&address, dir.path());
    for leader in [1, 2, 3, 1] {
        cluster.partition_leader(TOPIC, 0, Some(leader)).unwrap();
        let next = driver.progress.next_cut as i64 * 100;
        driver.write(opens(next, 100, 30));
        driver.flush();
    }
    assert_eq!(seqs(&address, TOPIC, false), (0..400).collect::<Vec<_>>());
    assert_eq!(driver.said, Vec::<String>::new());
}

#[test]
fn errors_that_pass_are_waited_out_by_the_library() {
    let (cluster, dir) = (cluster(1), tempfile::tempdir().unwrap());
    let address = cluster.bootstrap_servers();
    let mut driver = driver(&address, dir.path());
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error, error]);
        let next = driver.progress.next_cut as i64 * 100;
        driver.write(opens(next, 100, 30));
        driver.flush();
    }
    assert_eq!(seqs(&address, TOPIC, false), (0..400).collect::<Vec<_>>());
    assert_eq!(driver.sink.counts().renewals, 0, "{:?}", driver.said);
}

#[test]
fn a_producer_that_is_broken_for_good_is_replaced() {
    let (cluster, dir) = (cluster(1), tempfile::tempdir().unwrap());
    let address = cluster.bootstrap_servers();
    let mut driver = driver(&address, dir.path());
    driver.write(opens(0, 100, 30));
    driver.flush();
    // A gap in the producer's own numbers is fatal for it.
    let gap = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[gap]);
    driver.write(opens(100, 100, 30));
    driver.flush();
    let seqs = seqs(&address, TOPIC, false);
    assert!((0..200).all(|n| seqs.binary_search(&n).is_ok()), "{} rows", seqs.len());
    assert_eq!(driver.sink.counts().renewals, 1, "{:?}", driver.said);
    assert!(driver.said.iter().any(|text| text.contains(TOPIC)), "{:?}", driver.said);
}

#[test]
fn a_right_to_write_idempotently_that_is_missing_is_said() {
    let (cluster, dir) = (cluster(1), tempfile::tempdir().unwrap());
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[error]);
    let address = cluster.bootstrap_servers();
    let mut driver = driver(&address, dir.path());
    let text = refusal(&mut driver.sink, &opens(0, 10, 30));
    assert!(text.contains("IdempotentWrite"), "{text}");
    driver.write(opens(0, 10, 30));
    driver.flush();
    assert_eq!(seqs(&address, TOPIC, false), (0..10).collect::<Vec<_>>());
}
