//! What NATS delivers per second: the sink, encoding included, against a bare loop that publishes ready messages.
//!
//! Each round gives every way a new stream of the same server, in turn; medians. The bare loop makes the same call with the
//! same ids, headers, payloads and window, and counts acknowledgements; `futures` is the client library's own way of
//! waiting for them. `WEIR_TEST_NATS_SERVER=PATH cargo run --release -p weir-sinks --example nats_cost [ROUNDS]`
#![allow(clippy::unwrap_used, reason = "what fails here ends the measurement")]
#![allow(clippy::print_stdout, reason = "the figures are its output")]

#[path = "../tests/nats_common/mod.rs"]
mod nats_common;

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::{Duration, Instant};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{ConnectOptions, HeaderMap, Subject, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use nats_common::{Server, Stored, file_batch, open, options};
use weir_sinks::nats::{NatsOptions, Window};
use weir_sinks::payload::{Compression, PayloadFormat, PayloadOptions, Payloads, identity_of};
use weir_sinks::{Batch, Progress, Sink};

/// Rows of 25 ms at 300 k events/s.
const BATCH_ROWS: usize = 7_500;
const ROUNDS: usize = 5;
/// Rows of a message of JSON lines.
const LINES: usize = 100;

/// What is measured.
struct Case {
    name: &'static str,
    payload: PayloadOptions,
    window: Window,
    batches: usize,
}

/// A message ready to be published.
struct Ready {
    id: String,
    headers: Vec<(&'static str, String)>,
    payload: Bytes,
}

fn cases() -> Vec<Case> {
    let payload = |format, compression| PayloadOptions { format, compression, bytes_max: 1 << 20, lines_max: LINES };
    let case = |name, payload, messages, batches| Case {
        name,
        payload,
        window: Window { messages, bytes: 16 << 20 },
        batches,
    };
    vec![
        case("JSON per event", payload(PayloadFormat::Json, Compression::None), 4_096, 40),
        case("JSON lines", payload(PayloadFormat::JsonLines, Compression::None), 256, 140),
        case("Arrow IPC plain", payload(PayloadFormat::Arrow, Compression::None), 256, 280),
        case("Arrow IPC lz4", payload(PayloadFormat::Arrow, Compression::Lz4), 256, 280),
    ]
}

fn ready(case: &Case, batches: &[Batch]) -> Vec<Ready> {
    let mut payloads = Payloads::new(case.payload);
    let mut messages = Vec::new();
    for batch in batches {
        payloads.encode(batch).unwrap();
        for message in payloads.messages() {
            let first = identity_of(batch, message.first_row);
            let (host, boot, epoch) = (first.host, first.boot_id, first.epoch);
            let id = format!("{host}:{boot}:{epoch}:file:{}:{}:{}", first.cpu, first.seq, message.rows);
            let described = [
                ("weir-class", "file".to_owned()),
                ("weir-schema-version", "1".to_owned()),
                ("weir-first", format!("{}:{}", first.cpu, first.seq)),
                ("weir-rows", message.rows.to_string()),
            ];
            let headers = if case.payload.format == PayloadFormat::Json { Vec::new() } else { described.to_vec() };
            messages.push(Ready { id, headers, payload: Bytes::copy_from_slice(payloads.bytes(message)) });
        }
    }
    messages
}

fn headers(message: &Ready) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, message.id.as_str());
    message.headers.iter().for_each(|(name, value)| headers.insert(*name, value.as_str()));
    headers
}

async fn client(url: &str, window: usize) -> async_nats::Client {
    let options = ConnectOptions::new().client_capacity(window + 64).subscription_capacity(2 * window + 64);
    options.read_buffer_capacity(65_535).skip_subject_validation(true).connect(url).await.unwrap()
}

/// An own inbox that counts acknowledgements.
async fn bare(url: &str, window: usize, messages: &[Ready]) {
    let client = client(url, window).await;
    let inbox = Subject::from(client.new_inbox());
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let subject = Subject::from_static("weir.file.unit-host");
    let mut open = 0;
    let stored = |answer: async_nats::Message| assert!(answer.payload.starts_with(b"{\"stream\""), "{answer:?}");
    for message in messages {
        let payload = message.payload.clone();
        client.publish_with_reply_and_headers(subject.clone(), inbox.clone(), headers(message), payload).await.unwrap();
        open += 1;
        while open >= window {
            stored(answers.next().await.unwrap());
            open -= 1;
        }
    }
    for _ in 0..open {
        stored(answers.next().await.unwrap());
    }
}

/// The client library's futures, waited for in order.
async fn futures(url: &str, window: usize, messages: &[Ready]) {
    let context = jetstream::context::ContextBuilder::new()
        .max_ack_inflight(window + 64)
        .timeout(Duration::from_secs(30))
        .build(client(url, window).await);
    let mut open = VecDeque::with_capacity(window);
    for message in messages {
        let publish =
            jetstream::message::PublishMessage::build().payload(message.payload.clone()).headers(headers(message));
        open.push_back(context.send_publish("weir.file.unit-host", publish).await.unwrap().into_future());
        if open.len() >= window {
            open.pop_front().unwrap().await.unwrap();
        }
    }
    for answer in open {
        answer.await.unwrap();
    }
}

fn sink(case: &Case, server: &Server, batches: &[Batch]) {
    let mut sink = open(NatsOptions {
        payload: case.payload,
        window: case.window,
        write_wait: Duration::from_secs(10),
        flush_wait: Duration::from_secs(60),
        ack_wait: Duration::from_secs(30),
        create_stream: None,
        ..options(&server.url(), server.dir(), case.payload.format)
    });
    for batch in batches {
        sink.write_cut(&[batch]).unwrap();
    }
    sink.flush(&Progress::default()).unwrap();
}

fn measure(case: &Case, server: &Server, stored: &Stored, rounds: usize) {
    let batches: Vec<Batch> = (0..case.batches).map(|n| file_batch(n * BATCH_ROWS, BATCH_ROWS)).collect();
    let messages = ready(case, &batches);
    let rows = (case.batches * BATCH_ROWS) as f64;
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        let mut way = |n: usize, work: &dyn Fn()| {
            stored.make(|_| ());
            let start = Instant::now();
            work();
            times[n].push(start.elapsed().as_secs_f64());
            assert_eq!(stored.info().state.messages, messages.len() as u64, "each message once");
            stored.remove();
        };
        way(0, &|| sink(case, server, &batches));
        way(1, &|| single.block_on(bare(&server.url(), case.window.messages, &messages)));
        way(2, &|| single.block_on(futures(&server.url(), case.window.messages, &messages)));
    }
    let [sink, bare, futures] = times.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        rows / seconds[seconds.len() / 2] / 1_000.0
    });
    println!(
        "{:16} sink {sink:7.0} k events/s · bare loop {bare:7.0} · futures {futures:7.0} · sink/bare {:.2} · {:.0} bytes per event",
        case.name,
        sink / bare,
        bytes as f64 / rows
    );
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(ROUNDS, |text| text.parse().unwrap());
    let Some(server) = Server::start("nats_cost", "") else { return };
    let stored = Stored::connect(&server.url());
    for case in cases() {
        measure(&case, &server, &stored, rounds);
    }
}
