//! JetStream: events per second through the sink, encoding included, against a bare loop that publishes ready messages.
//!
//! Each round gives every way a new stream of the same server, in turn; medians. The bare loop makes the same call with the
//! same ids, headers, payloads and window, and counts acknowledgements; `futures` is the client library's own way of
//! waiting for them.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{ConnectOptions, HeaderMap, Subject, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use weir_sinks::nats::{NatsOptions, Window};
use weir_sinks::payload::{Compression, PayloadFormat, PayloadOptions, Payloads, identity_of};
use weir_sinks::{Batch, Progress, Sink};

use crate::brokers;
use crate::figures::Figures;
use crate::made::{Server, Stored, file_batch, open, options};
use crate::median::median;

/// Rows of 25 ms at 300 k events/s.
const BATCH_ROWS: usize = 7_500;
const ROUNDS: usize = 5;
/// Rows of a message of JSON lines.
const LINES: usize = 100;

/// What is measured, and what is to be reached.
struct Case {
    name: &'static str,
    /// Events per second.
    pace: Option<f64>,
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
    let case = |name, pace, payload, messages, batches| Case {
        name,
        pace,
        payload,
        window: Window { messages, bytes: 16 << 20 },
        batches,
    };
    vec![
        case("JSON per event", Some(140e3), payload(PayloadFormat::Json, Compression::None), 4_096, 40),
        case("JSON lines", Some(1e6), payload(PayloadFormat::JsonLines, Compression::None), 256, 140),
        case("Arrow IPC plain", None, payload(PayloadFormat::Arrow, Compression::None), 256, 280),
        case("Arrow IPC lz4", Some(2e6), payload(PayloadFormat::Arrow, Compression::Lz4), 256, 280),
    ]
}

fn ready(case: &Case, batches: &[Batch]) -> Result<Vec<Ready>> {
    let mut payloads = Payloads::new(case.payload);
    let mut messages = Vec::new();
    for batch in batches {
        payloads.encode(batch)?;
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
    Ok(messages)
}

fn headers(message: &Ready) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, message.id.as_str());
    message.headers.iter().for_each(|(name, value)| headers.insert(*name, value.as_str()));
    headers
}

async fn client(url: &str, window: usize) -> Result<async_nats::Client> {
    let options = ConnectOptions::new().client_capacity(window + 64).subscription_capacity(2 * window + 64);
    options.read_buffer_capacity(65_535).skip_subject_validation(true).connect(url).await.context("connect to NATS")
}

/// An own inbox that counts acknowledgements.
async fn bare(url: &str, window: usize, messages: &[Ready]) -> Result<u64> {
    let client = client(url, window).await?;
    let inbox = Subject::from(client.new_inbox());
    let mut answers = client.subscribe(inbox.clone()).await?;
    let subject = Subject::from_static("weir.file.unit-host");
    let mut open = 0;
    let stored = |answer: Option<async_nats::Message>| {
        let is_stored = answer.as_ref().is_some_and(|answer| answer.payload.starts_with(b"{\"stream\""));
        is_stored.then_some(()).with_context(|| format!("a message was not stored: {answer:?}"))
    };
    for message in messages {
        let payload = message.payload.clone();
        client.publish_with_reply_and_headers(subject.clone(), inbox.clone(), headers(message), payload).await?;
        open += 1;
        while open >= window {
            stored(answers.next().await)?;
            open -= 1;
        }
    }
    for _ in 0..open {
        stored(answers.next().await)?;
    }
    Ok(messages.len() as u64)
}

/// The client library's futures, waited for in order.
async fn futures(url: &str, window: usize, messages: &[Ready]) -> Result<u64> {
    let context = jetstream::context::ContextBuilder::new()
        .max_ack_inflight(window + 64)
        .timeout(Duration::from_secs(30))
        .build(client(url, window).await?);
    let mut open = VecDeque::with_capacity(window);
    for message in messages {
        let publish =
            jetstream::message::PublishMessage::build().payload(message.payload.clone()).headers(headers(message));
        open.push_back(context.send_publish("weir.file.unit-host", publish).await?.into_future());
        while open.len() >= window
            && let Some(answer) = open.pop_front()
        {
            answer.await?;
        }
    }
    for answer in open {
        answer.await?;
    }
    Ok(messages.len() as u64)
}

/// How many messages the sink made: it learns nothing from one batch about the next, so it may cut in another way.
fn sink(case: &Case, server: &Server, batches: &[Batch]) -> Result<u64> {
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
        sink.write_cut(&[batch])?;
    }
    sink.flush(&Progress::default())?;
    Ok(sink.counts().acknowledged)
}

/// Rows per second of the sink, the bare loop and the futures, round by round.
fn alternate(case: &Case, server: &Server, stored: &Stored, batches: &[Batch]) -> Result<([Vec<f64>; 3], usize)> {
    let messages = ready(case, batches)?;
    let rows = (case.batches * BATCH_ROWS) as f64;
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    let (url, window) = (server.url(), case.window.messages);
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut paces: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        let mut way = |n: usize, work: &dyn Fn() -> Result<u64>| -> Result<()> {
            stored.make(|_| ());
            let start = Instant::now();
            let made = work()?;
            paces[n].push(rows / start.elapsed().as_secs_f64());
            let kept = stored.info().state.messages;
            ensure!(kept == made, "{made} messages were acknowledged, and the stream has {kept}");
            stored.remove();
            Ok(())
        };
        way(0, &|| sink(case, server, batches))?;
        way(1, &|| single.block_on(bare(&url, window, &messages)))?;
        way(2, &|| single.block_on(futures(&url, window, &messages)))?;
    }
    Ok((paces, bytes / rows as usize))
}

/// All kinds of messages.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let server = brokers::nats().and_then(|_| Server::start("nats", ""));
    let Some(server) = server else {
        figures.skip("nats", brokers::MISSING);
        return Ok(());
    };
    let stored = Stored::connect(&server.url());
    for case in cases() {
        let batches: Vec<Batch> = (0..case.batches).map(|n| file_batch(n * BATCH_ROWS, BATCH_ROWS)).collect();
        let (paces, bytes) = alternate(&case, &server, &stored, &batches)?;
        let ratio = median(paces[0].iter().zip(&paces[1]).map(|(sink, bare)| sink / bare).collect());
        let [sink, bare, futures] = paces.map(|paces| median(paces) / 1000.0);
        let name = format!("JetStream, {}", case.name);
        let note = format!("{bytes} bytes per event");
        figures.judge(&name, sink, case.pace.map(|pace| pace / 1000.0), "k events/s", note);
        let note = format!("which makes {bare:.0} k events/s; the library's futures {futures:.0} k");
        figures.at_least(&format!("{name}, of a bare loop"), ratio, 0.9, "", note);
    }
    Ok(())
}
