//! What the tests of the Kafka sink share: a broker, a lane that never loses, and a consumer that reads everything.
#![allow(dead_code, reason = "every test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arrow_ipc::reader::StreamReader;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Headers, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use weir_schema::{ClassId, class_by_name};
use weir_sinks::kafka::TopicCreation;
use weir_sinks::{Batch, KafkaOptions, KafkaSink, PayloadFormat, Progress, Receipt, Sink, SinkError, json};
use weir_tests::brokers::kafka::{Broker, Options, jars};

#[path = "../lane_common/mod.rs"]
mod cells;
pub use cells::{Cell, Row, batch, row};

/// Column `host` of all rows.
pub const HOST: &str = "unit-host";
/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One broker for all tests of a program that run at the same time and do it no harm.
pub fn shared_broker(test: &str) -> Option<Arc<Broker>> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let jars = jars(test)?;
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    Some(shared.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(Broker::start(&jars, &Options::default()));
        *shared = Arc::downgrade(&broker);
        broker
    }))
}

/// Settings for a broker at this address; topics are `<prefix>.<class>`.
pub fn options(address: &str, prefix: &str, dir: &Path) -> KafkaOptions {
    KafkaOptions {
        brokers: address.to_owned(),
        topic: format!("{prefix}.{{class}}"),
        create_topics: Some(TopicCreation { partitions: Some(3), ..Default::default() }),
        linger: Duration::from_millis(5),
        flush_wait: Duration::from_secs(2),
        dead_letters: dir.to_path_buf(),
        ..KafkaOptions::default()
    }
}

/// The sink of these options.
pub fn open(options: KafkaOptions) -> KafkaSink {
    KafkaSink::open(options, HOST, None).unwrap()
}

/// `count` opens from number `first` on, of seven processes, with paths of at least this length.
pub fn opens(first: i64, count: i64, path_bytes: usize) -> Batch {
    let rows: Vec<Row> = (first..first + count)
        .map(|n| {
            let path = format!("/{}{n}", "x".repeat(path_bytes));
            let more = [("process_key", Cell::Int(n % 7)), ("path", Cell::Text(path)), ("pid", Cell::Int(n % 7))];
            row(1_000_000 + n * 1_000, 0, n, "open", &more)
        })
        .collect();
    batch(ClassId::File, &rows)
}

/// A progress up to this cut.
pub fn progress(next_cut: u64) -> Progress {
    let mut progress = Progress::default();
    (progress.boot_id, progress.epoch, progress.next_cut) = ("boot".to_owned(), 77, next_cut);
    progress
}

/// What a lane does that can always write again: after a failure everything since the last flush comes again.
pub struct Driver {
    pub sink: KafkaSink,
    /// Written since the last flush.
    open: Vec<Batch>,
    /// What the sink said when it could not.
    pub said: Vec<String>,
    pub receipts: Vec<Receipt>,
    pub progress: Progress,
}

impl Driver {
    pub fn new(sink: KafkaSink) -> Driver {
        let progress = progress(0);
        Driver { sink, open: Vec::new(), said: Vec::new(), receipts: Vec::new(), progress }
    }

    /// Writes a cut, however often it takes.
    pub fn write(&mut self, batch: Batch) {
        self.open.push(batch);
        let last = self.open.len() - 1;
        self.rewrite(last);
        self.progress.next_cut += 1;
    }

    fn rewrite(&mut self, first: usize) {
        let started = Instant::now();
        let mut next = first;
        while next < self.open.len() {
            assert!(started.elapsed() < PATIENCE, "cannot write: {:?}", self.said.last());
            match self.sink.write_cut(&[&self.open[next]]) {
                Ok(()) => next += 1,
                Err(SinkError::Wait(text)) => self.said.push(text),
                Err(SinkError::Retry(text)) => {
                    self.said.push(text);
                    next = 0;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    /// Flushes, however often it takes.
    pub fn flush(&mut self) {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "cannot flush: {:?}", self.said.last());
            match self.sink.flush(&self.progress) {
                Ok(receipt) => {
                    self.receipts.push(receipt);
                    self.open.clear();
                    return;
                }
                Err(SinkError::Wait(text)) => self.said.push(text),
                Err(SinkError::Retry(text)) => {
                    self.said.push(text);
                    self.rewrite(0);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// As long as it takes: a broker that has just started may still be loading its coordinator.
pub fn read_back(sink: &mut impl Sink) -> Option<Progress> {
    let started = Instant::now();
    loop {
        match sink.read_back() {
            Ok(progress) => return progress,
            Err(SinkError::Retry(text)) => assert!(started.elapsed() < PATIENCE, "{text}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// What the sink says when it can neither write nor flush these rows, once it does not merely wait.
pub fn refusal(sink: &mut KafkaSink, batch: &Batch) -> String {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "the sink only waits");
        match sink.write(batch).and_then(|()| sink.flush(&progress(0))) {
            Err(SinkError::Retry(text)) => return text,
            Err(SinkError::Wait(_)) => {}
            other => panic!("nothing was refused: {other:?}"),
        }
    }
}

/// A message as a consumer got it.
#[derive(Debug, Clone)]
pub struct Received {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub payload: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

/// Everything in a topic, by partition and offset; `committed` leaves out what transactions have not committed.
pub fn read(address: &str, topic: &str, committed: bool) -> Vec<Received> {
    let isolation = if committed { "read_committed" } else { "read_uncommitted" };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .set("fetch.wait.max.ms", "5")
        // A broker that its cluster takes for dead for a moment has no partitions then; by default the library asks for
        // them, and for the brokers in its settings, again after five minutes.
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("metadata.recovery.rebootstrap.trigger.ms", "1000")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    let mut open = assignment.count();
    consumer.assign(&assignment).unwrap();
    let (started, mut received) = (Instant::now(), Vec::new());
    while open > 0 {
        assert!(started.elapsed() < PATIENCE, "topic {topic} does not end");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => received.push(Received {
                partition: message.partition(),
                offset: message.offset(),
                key: String::from_utf8(message.key().unwrap_or_default().to_vec()).unwrap(),
                payload: message.payload().unwrap_or_default().to_vec(),
                headers: message.headers().map_or_else(BTreeMap::new, |headers| {
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                    headers.iter().map(|h| (h.key.to_owned(), text(h.value))).collect()
                }),
            }),
        }
    }
    received.sort_by_key(|message| (message.partition, message.offset));
    received
}

/// The rows in a payload, as JSON.
pub fn rows_of(payload: &[u8], format: PayloadFormat) -> Vec<Value> {
    if format != PayloadFormat::Arrow {
        return lines(payload);
    }
    let stream = StreamReader::try_new(payload, None).unwrap();
    let class = class_by_name(&stream.schema().metadata()["weir.class"]).unwrap();
    stream.flat_map(|rows| rows_of_batch(&Batch { class, rows: rows.unwrap() })).collect()
}

/// The rows of a batch, as JSON.
pub fn rows_of_batch(batch: &Batch) -> Vec<Value> {
    let mut text = Vec::new();
    json::write_rows(batch, &mut text);
    lines(&text)
}

fn lines(text: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(text).into_iter().map(Result::unwrap).collect()
}

/// Column `seq` of a row.
pub fn seq(row: &Value) -> i64 {
    row["seq"].as_i64().unwrap()
}

/// Sorted numbers of all rows in a topic of JSON events, doubled ones included.
pub fn seqs(address: &str, topic: &str, committed: bool) -> Vec<i64> {
    let rows = read(address, topic, committed);
    let mut seqs: Vec<i64> =
        rows.iter().flat_map(|m| rows_of(&m.payload, PayloadFormat::Json)).map(|r| seq(&r)).collect();
    seqs.sort();
    seqs
}

/// For what only an administrator does.
pub struct Admin(AdminClient<DefaultClientContext>, tokio::runtime::Runtime);

impl Admin {
    pub fn new(address: &str) -> Admin {
        let client = ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
        Admin(client, tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap())
    }

    pub fn client(&self) -> &AdminClient<DefaultClientContext> {
        &self.0
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.1.block_on(future)
    }

    pub fn create(&self, topic: &str, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let made = self.wait(self.0.create_topics([&new], &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete(&self, topic: &str) {
        let gone = self.wait(self.0.delete_topics(&[topic], &AdminOptions::new())).unwrap();
        assert!(gone.iter().all(Result::is_ok), "{gone:?}");
        let started = Instant::now();
        loop {
            let metadata = self.0.inner().fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
            if metadata.topics()[0].error().map(Code::from) == Some(Code::UnknownTopicOrPartition) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "topic {topic} stays");
        }
    }
}
