//! What a stream holds, seen by a client of the test's own.

use std::collections::HashSet;

use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, HeaderMap};
use bytes::Bytes;
use serde_json::Value;
use weir_schema::CLASSES;
use weir_sinks::payload::PayloadFormat;
use weir_sinks::{Batch, json};

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct Message {
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// A client with a runtime.
pub struct Stored {
    runtime: tokio::runtime::Runtime,
    pub client: Client,
    context: jetstream::Context,
}

impl Stored {
    pub fn connect(url: &str) -> Stored {
        Stored::connect_with(url, ConnectOptions::new())
    }

    pub fn connect_with(url: &str, options: ConnectOptions) -> Stored {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, context) = runtime.block_on(async {
            let client = options.connect(url).await.unwrap();
            (client.clone(), jetstream::new(client))
        });
        Stored { runtime, client, context }
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Makes the stream WEIR.
    pub fn make(&self, change: impl FnOnce(&mut stream::Config)) {
        let mut config =
            stream::Config { name: "WEIR".into(), subjects: vec!["weir.>".into()], ..stream::Config::default() };
        change(&mut config);
        self.wait(self.context.create_stream(config)).unwrap();
    }

    /// Changes the stream WEIR.
    pub fn change(&self, change: impl FnOnce(&mut stream::Config)) {
        let mut config = self.info().config;
        change(&mut config);
        self.wait(self.context.update_stream(config)).unwrap();
    }

    pub fn remove(&self) {
        self.wait(self.context.delete_stream("WEIR")).unwrap();
    }

    pub fn info(&self) -> stream::Info {
        self.wait(async { self.context.get_stream("WEIR").await.unwrap().cached_info().clone() })
    }

    /// All messages of the stream WEIR, in its order.
    pub fn messages(&self) -> Vec<Message> {
        let state = self.info().state;
        self.wait(async {
            let stream = self.context.get_stream_no_info("WEIR").await.unwrap();
            let mut messages = Vec::new();
            for sequence in state.first_sequence..=state.last_sequence {
                let message = stream.get_raw_message(sequence).await.unwrap();
                let subject = message.subject.to_string();
                messages.push(Message { subject, headers: message.headers, payload: message.payload });
            }
            messages
        })
    }

    /// The rows of all messages of a class in the stream's order, as JSON.
    pub fn rows(&self, format: PayloadFormat, class: &str) -> Vec<Value> {
        let of_class = |message: &Message| message.subject.split('.').nth(1) == Some(class);
        let messages = self.messages();
        messages.iter().filter(|m| of_class(m)).flat_map(|m| lines_of(format, class, &m.payload)).collect()
    }

    /// Asserts that the stream holds exactly these rows, in this order, each once.
    pub fn assert_rows(&self, format: PayloadFormat, batches: &[Batch]) {
        let class = batches[0].class.name;
        let (stored, expected) = (self.rows(format, class), batches.iter().flat_map(json_of).collect::<Vec<Value>>());
        let numbers: HashSet<String> = stored.iter().map(|row| format!("{}:{}", row["cpu"], row["seq"])).collect();
        assert_eq!((stored.len(), numbers.len()), (expected.len(), expected.len()), "each row once");
        for (n, (stored, expected)) in stored.iter().zip(&expected).enumerate() {
            assert_eq!(stored, expected, "row {n}");
        }
    }
}

/// The rows of a payload as JSON.
pub fn lines_of(format: PayloadFormat, class: &str, payload: &[u8]) -> Vec<Value> {
    if format != PayloadFormat::Arrow {
        return parsed(payload);
    }
    let class = CLASSES.iter().find(|c| c.name == class).unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(payload, None).unwrap();
    reader.flat_map(|rows| json_of(&Batch { class, rows: rows.unwrap() })).collect()
}

/// The rows of a batch as JSON.
pub fn json_of(batch: &Batch) -> Vec<Value> {
    let mut text = Vec::new();
    json::write_rows(batch, &mut text);
    parsed(&text)
}

fn parsed(text: &[u8]) -> Vec<Value> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}
