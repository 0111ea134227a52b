//! The Kafka sink with a real broker: what is written is what is read, and what is refused is kept.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "kafka_common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::*;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use serde_json::Value;
use weir_schema::{CLASSES, ClassId, SCHEMA_VERSION};
use weir_sinks::kafka::TopicCreation;
use weir_sinks::{Batch, Compression, KafkaOptions, PayloadFormat, PayloadOptions, Progress, Sink, SinkError, Tally};

/// Rows of every class, one action each.
fn all_classes(rows: i64) -> Vec<Batch> {
    CLASSES
        .iter()
        .map(|class| {
            let action = class.actions[0].name;
            let more = |n: i64| [("comm", Cell::Text(format!("c\"{n}\n"))), ("process_key", Cell::Int(n << 22 | 9))];
            let rows: Vec<Row> = (0..rows).map(|n| row(5_000 + n, (n % 2) as i32, n, action, &more(n))).collect();
            batch(class.id, &rows)
        })
        .collect()
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| (row["cpu"].as_i64(), seq(row)));
    rows
}

fn payload(format: PayloadFormat, compression: Compression) -> PayloadOptions {
    PayloadOptions { format, compression, bytes_max: 20_000, lines_max: 50 }
}

#[test]
fn every_format_arrives_and_is_read_back_row_for_row() {
    let Some(broker) = shared_broker("formats over Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (format, compression) in [
        (PayloadFormat::Json, Compression::None),
        (PayloadFormat::JsonLines, Compression::None),
        (PayloadFormat::Arrow, Compression::None),
        (PayloadFormat::Arrow, Compression::Lz4),
        (PayloadFormat::Arrow, Compression::Zstd),
    ] {
        let prefix = format!("{format:?}-{compression:?}");
        let options = options(&broker.address(), &prefix, dir.path());
        let mut sink = open(KafkaOptions { payload: payload(format, compression), ..options });
        let batches = all_classes(500);
        sink.write_cut(&batches.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(sink.flush(&Progress::default()).unwrap().refused, []);
        for batch in &batches {
            let messages = read(&broker.address(), &format!("{prefix}.{}", batch.class.name), false);
            let rows: Vec<Value> = messages.iter().flat_map(|m| rows_of(&m.payload, format)).collect();
            assert_eq!(sorted(rows), sorted(rows_of_batch(batch)), "{prefix} {}", batch.class.name);
            assert!(messages.len() > 1, "{prefix} {}", batch.class.name);
            for message in messages {
                let rows = rows_of(&message.payload, format);
                assert_eq!(message.headers, headers(format, batch, &rows), "{prefix}");
            }
        }
        assert_eq!(sink.counts().outstanding, 0);
    }
}

/// What stands beside a message.
fn headers(format: PayloadFormat, batch: &Batch, rows: &[Value]) -> BTreeMap<String, String> {
    if format == PayloadFormat::Json {
        return BTreeMap::new();
    }
    let text = |name: &str| rows[0][name].as_str().map_or_else(|| rows[0][name].to_string(), str::to_owned);
    let first = ["host", "boot_id", "epoch", "cpu", "seq"].map(text).join("/");
    BTreeMap::from([
        ("weir-class".to_owned(), batch.class.name.to_owned()),
        ("weir-schema-version".to_owned(), SCHEMA_VERSION.to_string()),
        ("weir-first".to_owned(), first),
        ("weir-rows".to_owned(), rows.len().to_string()),
    ])
}

#[test]
fn events_of_one_process_come_in_order_in_one_partition_and_the_key_names_it() {
    let Some(broker) = shared_broker("keys in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(options(&broker.address(), "keys", dir.path()));
    for cut in 0..10 {
        sink.write(&opens(cut * 700, 700, 30)).unwrap();
    }
    // A row without a process: of an interrupt.
    sink.write(&batch(ClassId::File, &[row(9, 0, 7_000, "open", &[])])).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let mut processes: BTreeMap<String, (i32, Vec<i64>)> = BTreeMap::new();
    for message in read(&broker.address(), "keys.file", false) {
        let rows = rows_of(&message.payload, PayloadFormat::Json);
        let key = rows[0]["process_key"].as_str().map_or(HOST.to_owned(), |process| format!("{HOST}/{process}"));
        assert_eq!(message.key, key);
        let (partition, seqs) = processes.entry(message.key).or_insert((message.partition, Vec::new()));
        assert_eq!(*partition, message.partition);
        seqs.push(seq(&rows[0]));
    }
    assert_eq!(processes.len(), 8);
    assert!(processes.values().all(|(_, seqs)| seqs.is_sorted()));
    let partitions: Vec<i32> = processes.values().map(|(partition, _)| *partition).collect();
    assert!(partitions.iter().any(|partition| *partition != partitions[0]), "all processes are in one partition");
}

#[test]
fn a_missing_topic_is_named_and_written_to_once_it_is_there() {
    let Some(broker) = shared_broker("a missing topic in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = options(&broker.address(), "missing", dir.path());
    let mut sink = open(KafkaOptions { create_topics: None, ..options });
    let text = refusal(&mut sink, &opens(0, 10, 30));
    assert!(text.contains("missing.file") && text.contains("create the topic"), "{text}");
    Admin::new(&broker.address()).create("missing.file", &[]);
    let mut driver = Driver::new(sink);
    driver.write(opens(0, 10, 30));
    driver.flush();
    assert_eq!(seqs(&broker.address(), "missing.file", false), (0..10).collect::<Vec<_>>());
}

#[test]
fn topics_are_made_with_the_partitions_and_the_retention_asked_for() {
    let Some(broker) = shared_broker("making topics in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let retention = Some(Duration::from_secs(3_600));
    let create_topics = Some(TopicCreation { partitions: Some(5), replication: Some(1), retention });
    let options = options(&broker.address(), "made", dir.path());
    let mut sink = open(KafkaOptions { create_topics, ..options });
    sink.write(&opens(0, 10, 30)).unwrap();
    sink.flush(&Progress::default()).unwrap();
    let admin = Admin::new(&broker.address());
    let metadata = admin.client().inner().fetch_metadata(Some("made.file"), PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
    let resource = [ResourceSpecifier::Topic("made.file")];
    let settings = admin.wait(admin.client().describe_configs(&resource, &AdminOptions::new())).unwrap();
    let settings = settings[0].as_ref().unwrap();
    assert_eq!(settings.get("retention.ms").unwrap().value.as_deref(), Some("3600000"));
}

#[test]
fn a_topic_deleted_while_weir_writes_is_made_again() {
    let Some(broker) = shared_broker("a topic deleted in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(open(options(&broker.address(), "deleted", dir.path())));
    driver.write(opens(0, 100, 30));
    driver.flush();
    Admin::new(&broker.address()).delete("deleted.file");
    driver.write(opens(100, 100, 30));
    driver.flush();
    assert_eq!(seqs(&broker.address(), "deleted.file", false), (100..200).collect::<Vec<_>>());
    assert!(driver.said.iter().any(|text| text.contains("deleted.file")), "{:?}", driver.said);
}

fn letters(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(dir.join("kafka")).map_or_else(|_| Vec::new(), |files| files.collect());
    let mut files: Vec<_> = files
        .into_iter()
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn one(seq: i64) -> Tally {
    let action = CLASSES[ClassId::File.index()].actions.iter().find(|a| a.name == "open").unwrap().id;
    Tally { cpu: 0, action, first_seq: seq, last_seq: seq, count: 1 }
}

#[test]
fn a_message_that_is_too_large_goes_to_the_dead_letters_and_the_others_pass() {
    let Some(broker) = shared_broker("a message too large for Kafka") else { return };
    // The library refuses it by itself; the broker does, with all that travel with it.
    for (prefix, large, topic_bytes) in [("large-here", 2_000_000, "1048588"), ("large-there", 60_000, "40000")] {
        for format in [PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow] {
            let dir = tempfile::tempdir().unwrap();
            let prefix = format!("{prefix}-{format:?}");
            let topic = format!("{prefix}.file");
            Admin::new(&broker.address()).create(&topic, &[("max.message.bytes", topic_bytes)]);
            let options = KafkaOptions {
                payload: payload(format, Compression::None),
                compression: weir_sinks::kafka::KafkaCompression::None,
                ..options(&broker.address(), &prefix, dir.path())
            };
            let mut driver = Driver::new(open(options));
            driver.write(opens(0, 60, 30));
            driver.write(opens(60, 1, large));
            driver.write(opens(61, 60, 30));
            driver.flush();
            assert_eq!(driver.receipts[0].refused, [one(60)], "{prefix}");
            let messages = read(&broker.address(), &topic, false);
            let mut arrived: Vec<i64> =
                messages.iter().flat_map(|m| rows_of(&m.payload, format)).map(|row| seq(&row)).collect();
            arrived.sort();
            assert_eq!(arrived, (0..121).filter(|n| *n != 60).collect::<Vec<_>>(), "{prefix}");
            let letters = letters(dir.path());
            assert_eq!(letters.len(), 2, "{prefix}: {:?}", letters.iter().map(|l| &l.0).collect::<Vec<_>>());
            let stem = format!("file-{HOST}-0d9c3c1e-77-0-60.");
            assert!(letters.iter().all(|(name, _)| name.starts_with(&stem)), "{:?}", letters[0].0);
            assert_eq!(rows_of(&letters[0].1, format), rows_of_batch(&opens(60, 1, large)));
            let reason: Value = serde_json::from_slice(&letters[1].1).unwrap();
            let reason = reason["reason"].as_str().unwrap();
            assert!(reason.contains(&topic) && reason.contains("max.message.bytes"), "{reason}");
            // The next flush owes nothing.
            driver.write(opens(121, 1, 30));
            driver.flush();
            assert_eq!(driver.receipts[1].refused, []);
        }
    }
}

#[test]
fn messages_that_are_only_too_large_together_all_arrive() {
    let Some(broker) = shared_broker("a topic with a low limit in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    Admin::new(&broker.address()).create("together.file", &[("max.message.bytes", "30000")]);
    let options = KafkaOptions {
        compression: weir_sinks::kafka::KafkaCompression::None,
        ..options(&broker.address(), "together", dir.path())
    };
    let mut driver = Driver::new(open(options));
    for cut in 0..4 {
        driver.write(opens(cut * 500, 500, 500));
        driver.flush();
    }
    assert_eq!(seqs(&broker.address(), "together.file", false), (0..2_000).collect::<Vec<_>>());
    assert!(driver.receipts.iter().all(|receipt| receipt.refused.is_empty()));
    assert_eq!(letters(dir.path()), []);
}

#[test]
fn a_cut_that_is_larger_than_the_queue_passes_through_it() {
    let Some(broker) = shared_broker("a small queue before Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = KafkaOptions {
        queue_bytes: 200_000,
        flush_wait: PATIENCE,
        payload: payload(PayloadFormat::Json, Compression::None),
        ..options(&broker.address(), "queue", dir.path())
    };
    let mut driver = Driver::new(open(options));
    driver.write(opens(0, 5_000, 300));
    driver.flush();
    assert_eq!(seqs(&broker.address(), "queue.file", false), (0..5_000).collect::<Vec<_>>());
    assert_eq!(driver.sink.counts().renewals, 0, "{:?}", driver.said);
}

#[test]
fn settings_that_librdkafka_does_not_know_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let options = options("127.0.0.1:1", "x", dir.path());
    let extra = vec![("no.such.setting".to_owned(), "1".to_owned())];
    let refused = weir_sinks::KafkaSink::open(KafkaOptions { extra, ..options }, HOST, None);
    let Err(SinkError::Fatal(text)) = refused else { panic!("accepted") };
    assert!(text.contains("no.such.setting"), "{text}");
}
