//! Messages that a NATS server never takes: they go to the dead letters, and the next ones pass.
#![allow(clippy::unwrap_used, reason = "what fails in a helper ends the test")]

mod nats_common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nats_common::rows::{batch, texts};
use nats_common::{Server, Stored, Writer, lines_of, open, options, until};
use rustix::process::Signal;
use serde_json::Value;
use weir_schema::ClassId;
use weir_sinks::payload::PayloadFormat;
use weir_sinks::{Batch, Receipt};

const FORMATS: [PayloadFormat; 3] = [PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow];

/// Rows `first..` with paths of these lengths, which no compression makes short.
fn rows(first: i64, lengths: &[usize]) -> Batch {
    let mut random = nats_common::rows::Random(first as u64 + 7);
    let mut path = |n: usize| (0..n).map(|_| char::from(b'!' + random.below(90) as u8)).collect::<String>();
    let paths: Vec<Option<String>> = lengths.iter().map(|n| Some(path(*n))).collect();
    let seqs = first..first + lengths.len() as i64;
    let ktimes = seqs.clone().map(|seq| 77_000_000_001 + seq * 1_000);
    let columns = HashMap::from([
        ("seq", std::sync::Arc::new(arrow_array::Int64Array::from_iter_values(seqs)) as arrow_array::ArrayRef),
        ("ktime_ns", std::sync::Arc::new(arrow_array::Int64Array::from_iter_values(ktimes.clone()))),
        ("time", nats_common::rows::times(ktimes.map(|k| k / 1_000))),
        ("path", texts(paths)),
    ]);
    batch(ClassId::File, lengths.len(), columns)
}

/// Files with this ending below a directory.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] });
    found.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Asserts that row 1 alone was refused, kept with its reason, and that all others are in the stream.
fn assert_refused_alone(writer: &Writer, receipt: &Receipt, server: &Server, format: PayloadFormat, reason: &str) {
    let refused: Vec<(i32, i64, i64, i64)> =
        receipt.refused.iter().map(|t| (t.cpu, t.first_seq, t.last_seq, t.count)).collect();
    assert_eq!(refused, [(0, 1, 1, 1)], "{format:?}");
    let dead = server.dir().join("dead");
    let reasons = files(&dead, ".reason.json");
    assert_eq!(reasons.len(), 1);
    let why: Value = serde_json::from_slice(&std::fs::read(&reasons[0]).unwrap()).unwrap();
    assert!(why["reason"].as_str().unwrap().contains(reason), "{why}");
    assert_eq!((&why["rows"], &why["seq"], &why["class"]), (&1.into(), &1.into(), &"file".into()));
    assert_eq!(why["destination"], "weir.file.unit-host");
    let kept = files(&dead, "-1.json").into_iter().chain(files(&dead, "-1.jsonl")).chain(files(&dead, "-1.arrow"));
    let kept: Vec<Value> = kept.flat_map(|path| lines_of(format, "file", &std::fs::read(path).unwrap())).collect();
    assert_eq!(kept.iter().map(|row| row["seq"].clone()).collect::<Vec<Value>>(), [Value::from(1)]);
    let stored = Stored::connect(&server.url()).rows(format, "file");
    let seqs: Vec<i64> = stored.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [0, 2, 3, 4], "{format:?}");
    assert_eq!(writer.errors, Vec::<String>::new());
}

#[test]
fn a_row_larger_than_the_server_takes_is_a_dead_letter_and_the_others_pass() {
    for format in FORMATS {
        let test = "a_row_larger_than_the_server_takes_is_a_dead_letter_and_the_others_pass";
        let Some(server) = Server::start(test, "max_payload: 32768") else { return };
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        writer.write(&rows(0, &[100, 50_000, 100]));
        writer.write(&rows(3, &[30, 60]));
        let receipt = writer.flush();
        assert_refused_alone(&writer, &receipt, &server, format, "32768");
        assert_eq!(writer.flush(), Receipt::default(), "a refusal is told once");
    }
}

#[test]
fn a_row_larger_than_the_stream_takes_is_a_dead_letter_and_the_others_pass() {
    for format in FORMATS {
        let test = "a_row_larger_than_the_stream_takes_is_a_dead_letter_and_the_others_pass";
        let Some(server) = Server::start(test, "") else { return };
        Stored::connect(&server.url()).make(|config| config.max_message_size = 28_000);
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        writer.write(&rows(0, &[100, 40_000, 100]));
        writer.write(&rows(3, &[30, 60]));
        let receipt = writer.flush();
        assert_refused_alone(&writer, &receipt, &server, format, "28000");
    }
}

#[test]
fn a_message_that_only_the_stream_finds_too_large_is_a_dead_letter() {
    let test = "a_message_that_only_the_stream_finds_too_large_is_a_dead_letter";
    let Some(server) = Server::start(test, "") else { return };
    let stored = Stored::connect(&server.url());
    stored.make(|_| ());
    let format = PayloadFormat::Json;
    let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
    writer.write(&rows(0, &[10]));
    writer.flush();
    // The sink has asked for the limit and does not know of the new one.
    stored.change(|config| config.max_message_size = 20_000);
    writer.write(&rows(1, &[30_000, 100, 100, 100]));
    let receipt = writer.flush();
    assert_refused_alone(&writer, &receipt, &server, format, "max_msg_size");
    assert_eq!(writer.sink.counts().refused, 1);
}

#[test]
fn a_server_that_comes_back_with_a_smaller_limit_gets_smaller_messages() {
    let test = "a_server_that_comes_back_with_a_smaller_limit_gets_smaller_messages";
    let Some(mut server) = Server::start(test, "") else { return };
    let format = PayloadFormat::JsonLines;
    let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
    writer.write(&rows(0, &[10]));
    writer.flush();
    server.kill();
    // Three rows of 20 kB are one message of 60 kB, and it waits for the server.
    writer.write(&rows(1, &[20_000, 20_000, 20_000]));
    server.configure("max_payload: 32768");
    server.run();
    let receipt = writer.flush();
    assert_eq!(receipt, Receipt::default());
    assert_eq!(writer.errors, Vec::<String>::new(), "what waits is cut again where it waits");
    let stored = Stored::connect(&server.url());
    let seqs: Vec<i64> = stored.rows(format, "file").iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
}

/// Batches of messages with several rows each, none of which is small enough for [`LOWERED`].
fn large_messages() -> Vec<Batch> {
    (0..4).map(|n| rows(10 + n * 12, &[LARGE_ROW; 12])).collect()
}

/// A limit that is lowered while the sink is connected.
const LOWERED: usize = 32_768;
/// Text of a row: several are too large for the limit in any format, and one is not, even as Arrow, whose columns take some 24 kB
/// of every message of this class.
const LARGE_ROW: usize = 6_000;

#[test]
fn messages_that_a_stream_finds_too_large_go_in_parts_and_in_order() {
    for format in [PayloadFormat::JsonLines, PayloadFormat::Arrow] {
        let test = "messages_that_a_stream_finds_too_large_go_in_parts_and_in_order";
        let Some(server) = Server::start(test, "") else { return };
        let stored = Stored::connect(&server.url());
        stored.make(|_| ());
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        let first = rows(0, &[10]);
        writer.write(&first);
        writer.flush();
        // The sink has asked for the limit and does not know of the new one.
        stored.change(|config| config.max_message_size = LOWERED as i32);
        let large = large_messages();
        large.iter().for_each(|batch| writer.write(batch));
        assert_eq!(writer.flush(), Receipt::default(), "{format:?}");
        let all: Vec<Batch> = [first].into_iter().chain(large).collect();
        stored.assert_rows(format, &all);
        assert_eq!(files(&server.dir().join("dead"), ""), Vec::<PathBuf>::new());
        assert_eq!(writer.errors, Vec::<String>::new());
    }
}

#[test]
fn a_server_told_to_take_less_gets_everything_once_and_in_order() {
    for format in [PayloadFormat::JsonLines, PayloadFormat::Arrow] {
        let test = "a_server_told_to_take_less_gets_everything_once_and_in_order";
        let Some(server) = Server::start(test, "") else { return };
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        let first = rows(0, &[10]);
        writer.write(&first);
        writer.flush();
        server.configure(&format!("max_payload: {LOWERED}"));
        server.signal(Signal::HUP);
        let stored = Stored::connect(&server.url());
        until("the new limit", || {
            let asked = Stored::connect(&server.url()).client.server_info().max_payload;
            (asked == LOWERED).then_some(())
        });
        let large = large_messages();
        large.iter().for_each(|batch| writer.write(batch));
        assert_eq!(writer.flush(), Receipt::default(), "{format:?}");
        let all: Vec<Batch> = [first].into_iter().chain(large).collect();
        stored.assert_rows(format, &all);
        assert_eq!(files(&server.dir().join("dead"), ""), Vec::<PathBuf>::new());
    }
}
