//! Topics that take less at once than weir sends: everything arrives once, in the order of its partition, and only a row that
//! is too large by itself is refused.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "kafka_common/mod.rs"]
mod common;
#[path = "../../tests/tests/support/seed.rs"]
#[allow(dead_code, reason = "every test program uses its own part")]
mod seed;
#[path = "../../tests/tests/support/skip.rs"]
#[allow(dead_code, reason = "every test program uses its own part")]
mod skip;

use std::collections::HashMap;
use std::path::Path;

use common::*;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use seed::Random;
use weir_sinks::kafka::{KafkaCompression, PasswordMechanism, Sasl, Transactions};
use weir_sinks::{Batch, Compression, KafkaOptions, PayloadFormat, PayloadOptions, Secret};
use weir_tests::brokers::kafka::{Broker, Options, PASSWORD, USER, jars};

/// A topic's limit that is a quarter of what travels together by default.
const LOW: &str = "262144";

fn uncompressed(address: &str, prefix: &str, dir: &Path, format: PayloadFormat) -> KafkaOptions {
    let payload = PayloadOptions { format, compression: Compression::None, ..KafkaOptions::default().payload };
    KafkaOptions { payload, compression: KafkaCompression::None, ..options(address, prefix, dir) }
}

fn transactional(options: KafkaOptions) -> KafkaOptions {
    let name = options.topic.replace(".{class}", "");
    let transactions = Some(Transactions { id: format!("{name}-id"), progress_topic: format!("{name}.progress") });
    KafkaOptions { transactions, ..options }
}

fn set_limit(admin: &Admin, topic: &str, bytes: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let changed = admin.wait(admin.client().alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
}

/// Asserts that the topic holds these numbers, each once.
fn assert_once(address: &str, topic: &str, format: PayloadFormat, expected: &[i64]) {
    let messages = read(address, topic, false);
    let mut all: Vec<i64> =
        messages.iter().flat_map(|message| rows_of(&message.payload, format)).map(|row| seq(&row)).collect();
    all.sort_unstable();
    assert_eq!(all, expected, "{topic}");
}

/// Asserts that the topic holds these numbers, each once and in the order of its partition.
fn assert_in_order(address: &str, topic: &str, format: PayloadFormat, committed: bool, expected: &[i64]) {
    let (mut all, mut last) = (Vec::new(), HashMap::new());
    for message in read(address, topic, committed) {
        for row in rows_of(&message.payload, format) {
            let number = seq(&row);
            let before = last.insert(message.partition, number);
            let partition = message.partition;
            assert!(before < Some(number), "{topic}: {number} stands behind {before:?} in partition {partition}");
            all.push(number);
        }
    }
    all.sort_unstable();
    assert_eq!(all, expected, "{topic}");
}

fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

#[test]
fn a_burst_for_a_topic_with_a_low_limit_comes_once_and_in_order() {
    let Some(broker) = shared_broker("a low limit in Kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    Admin::new(&broker.address()).create("burst.file", &[("max.message.bytes", LOW)]);
    let mut driver = Driver::new(open(uncompressed(&broker.address(), "burst", dir.path(), PayloadFormat::Json)));
    for cut in 0..8 {
        driver.write(opens(cut * 500, 500, 1_000));
    }
    driver.flush();
    assert_in_order(&broker.address(), "burst.file", PayloadFormat::Json, false, &numbers(0..4_000));
    assert_eq!(driver.said, Vec::<String>::new(), "the limit is known before anything is sent");
}

#[test]
fn transactions_go_on_in_a_topic_with_a_low_limit() {
    let Some(broker) = shared_broker("a low limit in Kafka's transactions") else { return };
    let dir = tempfile::tempdir().unwrap();
    let topic = "lowtx.file";
    Admin::new(&broker.address()).create(topic, &[("max.message.bytes", LOW)]);
    let options = uncompressed(&broker.address(), "lowtx", dir.path(), PayloadFormat::Json);
    let mut driver = Driver::new(open(transactional(options)));
    for flush in 0..6 {
        driver.write(opens(flush * 800, 800, 1_000));
        driver.flush();
    }
    assert_in_order(&broker.address(), topic, PayloadFormat::Json, true, &numbers(0..4_800));
    assert_eq!(driver.sink.counts().renewals, 0, "{:?}", driver.said);
}

#[test]
fn a_limit_that_is_lowered_while_weir_writes_costs_neither_order_nor_rows() {
    let Some(broker) = shared_broker("a limit lowered in Kafka") else { return };
    let admin = Admin::new(&broker.address());
    for (n, format) in [PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow].into_iter().enumerate() {
        for transactions in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let prefix = format!("lowered-{n}-{transactions}");
            let topic = format!("{prefix}.file");
            admin.create(&topic, &[]);
            let options = uncompressed(&broker.address(), &prefix, dir.path(), format);
            let mut driver = Driver::new(open(if transactions { transactional(options) } else { options }));
            driver.write(opens(0, 500, 1_000));
            driver.flush();
            for (step, bytes) in [(1, LOW), (2, "60000")] {
                driver.write(opens(step * 2_000 - 1_500, 500, 1_000));
                set_limit(&admin, &topic, bytes);
                for cut in 1..4 {
                    driver.write(opens(step * 2_000 - 1_500 + cut * 500, 500, 1_000));
                }
                driver.flush();
            }
            assert_in_order(&broker.address(), &topic, format, transactions, &numbers(0..4_500));
            assert!(driver.receipts.iter().all(|receipt| receipt.refused.is_empty()), "{prefix}");
            assert_eq!(driver.sink.counts().dead_letters.kept, 0, "{prefix}");
        }
    }
}

#[test]
fn a_limit_that_nobody_tells_is_found_and_kept() {
    let Some(jars) = jars("a limit that Kafka does not tell") else { return };
    let broker = Broker::start(&jars, &Options { acls: true, ..Options::default() });
    let admin = Admin::new(&broker.address());
    // Whoever may write may not ask for settings.
    for right in ["Write", "Describe"] {
        broker.allow(&["--operation", right, "--topic", "untold", "--resource-pattern-type", "prefixed"]);
    }
    broker.allow(&["--operation", "Write", "--operation", "Describe", "--transactional-id", "*"]);
    let mechanism = PasswordMechanism::ScramSha512;
    let sasl = Some(Sasl::Password { mechanism, username: USER.to_owned(), password: Secret::new(PASSWORD) });
    for (n, format) in [PayloadFormat::Json, PayloadFormat::JsonLines].into_iter().enumerate() {
        for transactions in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let prefix = format!("untold-{n}-{transactions}");
            let topic = format!("{prefix}.file");
            admin.create(&topic, &[("max.message.bytes", LOW)]);
            admin.create(&format!("{prefix}.progress"), &[("cleanup.policy", "compact")]);
            let options = uncompressed(&broker.sasl_address(), &prefix, dir.path(), format);
            let options = KafkaOptions { sasl: sasl.clone(), create_topics: None, ..options };
            let mut driver = Driver::new(open(if transactions { transactional(options) } else { options }));
            for flush in 0..4 {
                driver.write(opens(flush * 1_200, 600, 1_000));
                // One row that is too large by itself, in the middle.
                let large = if flush == 1 { 300_000 } else { 1_000 };
                driver.write(opens(flush * 1_200 + 600, 1, large));
                driver.write(opens(flush * 1_200 + 601, 599, 1_000));
                driver.flush();
            }
            let expected: Vec<i64> = (0..4_800).filter(|n| *n != 1_800).collect();
            // Nobody knows of the limit before something is refused, and what is on its way by then can overtake it.
            if transactions {
                assert_in_order(&broker.address(), &topic, format, true, &expected);
            } else {
                assert_once(&broker.address(), &topic, format, &expected);
            }
            let refused: Vec<_> = driver.receipts.iter().flat_map(|receipt| &receipt.refused).collect();
            assert_eq!(refused.iter().map(|t| (t.first_seq, t.count)).collect::<Vec<_>>(), [(1_800, 1)], "{prefix}");
            let said = driver.said.len();
            driver.write(opens(4_800, 600, 1_000));
            driver.flush();
            assert_eq!(driver.said.len(), said, "{prefix}: what was found is kept: {:?}", driver.said.last());
        }
    }
}

/// Rows of random sizes, some too large for any limit, in cuts of random sizes.
fn random_cut(random: &mut Random, first: i64, large: &mut Vec<i64>) -> Vec<Batch> {
    (0..1 + random.below(3) as i64)
        .scan(first, |next, _| {
            let is_large = random.below(12) == 0;
            let count = if is_large { 1 } else { 1 + random.below(200) as i64 };
            let bytes = if is_large { 400_000 } else { 1 << random.below(14) };
            large.extend(is_large.then_some(*next));
            let batch = opens(*next, count, bytes as usize);
            *next += count;
            Some(batch)
        })
        .collect()
}

#[test]
fn limits_that_change_at_random_cost_neither_order_nor_rows() {
    let Some(broker) = shared_broker("random limits in Kafka") else { return };
    let mut random = Random::from_environment("random limits in Kafka");
    let admin = Admin::new(&broker.address());
    for round in 0..4 {
        let format = [PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow][random.below(3) as usize];
        let transactions = round % 2 == 1;
        let dir = tempfile::tempdir().unwrap();
        let prefix = format!("random-{round}");
        let topic = format!("{prefix}.file");
        admin.create(&topic, &[]);
        let options = uncompressed(&broker.address(), &prefix, dir.path(), format);
        let mut driver = Driver::new(open(if transactions { transactional(options) } else { options }));
        let (mut next, mut large) = (0, Vec::new());
        for _ in 0..12 {
            if random.below(2) == 0 {
                set_limit(&admin, &topic, ["50000", "100000", LOW, "1048588"][random.below(4) as usize]);
            }
            for batch in random_cut(&mut random, next, &mut large) {
                next += batch.rows.num_rows() as i64;
                driver.write(batch);
            }
            if random.below(3) == 0 {
                driver.flush();
            }
        }
        driver.flush();
        // A row of 400 kB is taken where the limit happens to be high.
        let refused: Vec<i64> = driver
            .receipts
            .iter()
            .flat_map(|receipt| &receipt.refused)
            .flat_map(|t| t.first_seq..=t.last_seq)
            .collect();
        let refused: Vec<i64> = large.into_iter().filter(|n| refused.contains(n)).collect();
        let counted: i64 = driver.receipts.iter().flat_map(|receipt| &receipt.refused).map(|t| t.count).sum();
        assert_eq!(counted, refused.len() as i64, "only rows that are too large by themselves are refused");
        let expected: Vec<i64> = (0..next).filter(|n| !refused.contains(n)).collect();
        assert_in_order(&broker.address(), &topic, format, transactions, &expected);
    }
}
