//! What the NATS sink delivers to a real server: every format, ids, headers, positions, and plain NATS.

mod nats_common;

use std::collections::HashSet;

use async_nats::header::NATS_MESSAGE_ID;
use futures_util::StreamExt;
use nats_common::rows::{identity, plain_rows};
use nats_common::{PATIENCE, Server, Stored, Writer, file_batch, json_of, lines_of, open, options};
use serde_json::Value;
use weir_schema::{ClassId, SCHEMA_VERSION};
use weir_sinks::nats::Storage;
use weir_sinks::payload::{Compression, PayloadFormat};
use weir_sinks::{Batch, Receipt, Sink};

const FORMATS: [PayloadFormat; 3] = [PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow];

/// Batches of class `file` that follow each other.
fn batches(count: usize, rows: usize) -> Vec<Batch> {
    (0..count).map(|n| file_batch(n * rows, rows)).collect()
}

#[test]
fn every_format_arrives_row_for_row_in_order() {
    for format in FORMATS {
        let Some(server) = Server::start("every_format_arrives_row_for_row_in_order", "") else { return };
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        let files = batches(6, 700);
        let losses = plain_rows(ClassId::Loss, 0, 5);
        for batch in &files {
            writer.write(batch);
        }
        writer.write(&losses);
        assert_eq!(writer.flush(), Receipt::default());
        let stored = Stored::connect(&server.url());
        stored.assert_rows(format, &files);
        stored.assert_rows(format, &[losses]);
        assert!(stored.messages().iter().all(|m| m.subject.starts_with("weir.") && m.subject.ends_with(".unit-host")));
        let counts = writer.sink.counts();
        assert_eq!(counts.acknowledged, stored.info().state.messages);
        assert_eq!((counts.duplicates, counts.resent, counts.strays), (0, 0, 0));
    }
}

#[test]
fn every_compression_of_arrow_is_read() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let Some(server) = Server::start("every_compression_of_arrow_is_read", "") else { return };
        let mut chosen = options(&server.url(), server.dir(), PayloadFormat::Arrow);
        chosen.payload.compression = compression;
        let mut writer = Writer::new(open(chosen));
        let files = batches(2, 500);
        files.iter().for_each(|batch| writer.write(batch));
        writer.flush();
        Stored::connect(&server.url()).assert_rows(PayloadFormat::Arrow, &files);
    }
}

#[test]
fn a_message_has_the_identity_of_its_first_row_as_id_and_one_of_many_rows_says_what_it_holds() {
    let test = "a_message_has_the_identity_of_its_first_row_as_id_and_one_of_many_rows_says_what_it_holds";
    for format in FORMATS {
        let Some(server) = Server::start(test, "") else { return };
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        writer.write(&batches(1, 250)[0]);
        writer.flush();
        let messages = Stored::connect(&server.url()).messages();
        let mut ids = HashSet::new();
        for message in &messages {
            let rows = lines_of(format, "file", &message.payload);
            let text = |name: &str| rows[0][name].to_string().trim_matches('"').to_owned();
            let (cpu, seq, who) = (text("cpu"), text("seq"), identity());
            let id = format!("{}:{}:{}:file:{cpu}:{seq}:{}", who.host, who.boot_id, who.epoch, rows.len());
            let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
            assert_eq!(message.headers.get(NATS_MESSAGE_ID).map(|v| v.as_str()), Some(id.as_str()));
            assert!(ids.insert(id));
            let described = (format != PayloadFormat::Json).then_some(());
            assert_eq!(header("weir-class"), described.map(|()| "file".to_owned()));
            assert_eq!(header("weir-schema-version"), described.map(|()| SCHEMA_VERSION.to_string()));
            assert_eq!(header("weir-first"), described.map(|()| format!("{cpu}:{seq}")));
            assert_eq!(header("weir-rows"), described.map(|()| rows.len().to_string()));
        }
        let expected = match format {
            PayloadFormat::Json => 250,
            PayloadFormat::JsonLines => 3,
            PayloadFormat::Arrow => 1,
        };
        assert_eq!(messages.len(), expected);
    }
}

#[test]
fn rows_that_another_run_sends_again_are_dropped_by_their_ids() {
    for format in FORMATS {
        let Some(server) = Server::start("rows_that_another_run_sends_again_are_dropped_by_their_ids", "") else {
            return;
        };
        let files = batches(4, 600);
        let mut chosen = options(&server.url(), server.dir(), format);
        // Small messages: how rows are cut must not depend on what was written before.
        chosen.payload.bytes_max = 16 << 10;
        let run = |batches: &[Batch]| {
            let mut writer = Writer::new(open(chosen.clone()));
            batches.iter().for_each(|batch| writer.write(batch));
            writer.flush();
            writer.sink.counts()
        };
        let first = run(&files);
        let second = run(&files[1..]);
        assert_eq!(first.duplicates, 0);
        assert!(second.acknowledged > 0);
        assert_eq!(second.duplicates, second.acknowledged, "{format:?}");
        Stored::connect(&server.url()).assert_rows(format, &files);
    }
}

#[test]
fn the_progress_of_the_last_flush_is_read_back() {
    let Some(server) = Server::start("the_progress_of_the_last_flush_is_read_back", "") else { return };
    let mut chosen = options(&server.url(), server.dir(), PayloadFormat::JsonLines);
    chosen.read_back = true;
    let mut writer = Writer::new(open(chosen.clone()));
    assert_eq!(writer.sink.read_back().unwrap(), None, "the stream is made and empty");
    let files = batches(3, 50);
    let mut flushed = Vec::new();
    for batch in &files {
        writer.write(batch);
        writer.flush();
        flushed.push(writer.progress());
    }
    drop(writer);
    let mut next = open(chosen.clone());
    assert_eq!(next.read_back().unwrap().as_ref(), flushed.last());
    let stored = Stored::connect(&server.url());
    stored.assert_rows(PayloadFormat::JsonLines, &files);
    let subjects: Vec<String> = stored.messages().into_iter().map(|message| message.subject).collect();
    assert_eq!(subjects.iter().filter(|s| *s == "weir.progress.unit-host").count(), 3);
    assert_eq!(subjects.last().unwrap(), "weir.progress.unit-host", "behind the rows");
    chosen.read_back = false;
    assert_eq!(open(chosen).read_back().unwrap(), None, "nobody asked for it");
}

#[test]
fn a_progress_that_cannot_be_asked_for_is_an_error_and_not_a_beginning() {
    let test = "a_progress_that_cannot_be_asked_for_is_an_error_and_not_a_beginning";
    let Some(mut server) = Server::start(test, "") else { return };
    let mut chosen = options(&server.url(), server.dir(), PayloadFormat::JsonLines);
    (chosen.read_back, chosen.create_stream) = (true, None);
    let mut sink = open(chosen);
    let missing = sink.read_back().unwrap_err().to_string();
    assert!(missing.contains("nats stream add WEIR --subjects 'weir.*.*'"), "{missing}");
    server.kill();
    let away = sink.read_back().unwrap_err().to_string();
    assert!(away.contains("no connection to 127.0.0.1"), "{away}");
}

#[test]
fn a_stream_is_made_as_configured() {
    let Some(server) = Server::start("a_stream_is_made_as_configured", "") else { return };
    let mut chosen = options(&server.url(), server.dir(), PayloadFormat::JsonLines);
    let stream = chosen.create_stream.as_mut().unwrap();
    (stream.storage, stream.bytes_max) = (Storage::Memory, Some(1 << 20));
    (stream.age_max, stream.duplicate_window) =
        (Some(std::time::Duration::from_secs(30)), std::time::Duration::from_secs(60));
    chosen.subject = "audit.{sink}.{class}".into();
    let mut writer = Writer::new(open(chosen));
    writer.write(&batches(1, 10)[0]);
    writer.flush();
    let stored = Stored::connect(&server.url());
    let config = stored.info().config;
    assert_eq!((config.max_bytes, config.max_age.as_secs(), config.duplicate_window.as_secs()), (1 << 20, 30, 30));
    assert_eq!(config.storage, async_nats::jetstream::stream::StorageType::Memory);
    assert_eq!(config.subjects, ["audit.*.*"]);
    assert_eq!(stored.messages()[0].subject, "audit.nats.file");
}

#[test]
fn plain_nats_reaches_who_listens_and_needs_no_stream() {
    for format in FORMATS {
        let Some(server) = Server::start("plain_nats_reaches_who_listens_and_needs_no_stream", "") else { return };
        let listener = Stored::connect(&server.url());
        let mut heard = listener.wait(async {
            let heard = listener.client.subscribe("weir.>").await.unwrap();
            listener.client.flush().await.unwrap();
            heard
        });
        let mut chosen = options(&server.url(), server.dir(), format);
        chosen.jetstream = false;
        chosen.window.messages = 16;
        let mut writer = Writer::new(open(chosen));
        let files = batches(3, 400);
        files.iter().for_each(|batch| writer.write(batch));
        writer.flush();
        let expected: Vec<Value> = files.iter().flat_map(json_of).collect();
        let mut rows: Vec<Value> = Vec::new();
        while rows.len() < expected.len() {
            let next = listener.wait(async { tokio::time::timeout(PATIENCE, heard.next()).await });
            rows.extend(lines_of(format, "file", &next.expect("all rows arrive in time").unwrap().payload));
        }
        // A subscription ends inside its runtime.
        listener.wait(async { drop(heard) });
        assert_eq!(rows, expected);
        assert!(writer.sink.counts().acknowledged > 0 && writer.sink.read_back().unwrap().is_none());
    }
}
