//! Messages for brokers: every row is in exactly one, and every message reads back to the cells of its rows.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test")]

mod any_rows;
mod lane_common;
mod python;

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use any_rows::{any_rows, expected};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use lane_common::{Cell, Row, batch, class, identity, row};
use proptest::prelude::*;
use serde_json::{Map, Value};
use weir_schema::{ClassId, SCHEMA_VERSION};
use weir_sinks::payload::{RowIdentity, identity_of, tallies};
use weir_sinks::{Batch, Compression, Message, PayloadFormat, PayloadOptions, Payloads, Tally};

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn options(format: PayloadFormat, bytes_max: usize) -> PayloadOptions {
    PayloadOptions { format, compression: Compression::None, bytes_max, lines_max: 1_000 }
}

/// Messages without the places in their buffer.
fn encoded(payloads: &mut Payloads, batch: &Batch) -> Vec<(Message, Vec<u8>)> {
    payloads.encode(batch).unwrap();
    payloads.messages().iter().map(|m| (*m, payloads.bytes(m).to_vec())).collect()
}

/// Every row is in exactly one message, in order, and no message of several rows is too large.
fn check_cuts(messages: &[(Message, Vec<u8>)], rows: usize, bytes_max: usize) {
    let mut next = 0;
    for (message, bytes) in messages {
        assert_eq!((message.first_row, bytes.len()), (next, message.end - message.start));
        assert!(message.rows > 0 && (bytes.len() <= bytes_max || message.rows == 1), "{message:?}");
        next += message.rows;
    }
    assert_eq!(next, rows);
}

fn object(text: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(text).expect("a JSON object")
}

/// The rows of an Arrow message, which is one whole stream of one batch and nothing behind it.
fn read_arrow(id: ClassId, bytes: &[u8]) -> RecordBatch {
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).unwrap();
    let metadata = reader.schema().metadata().clone();
    assert_eq!(metadata["weir.class"], class(id).name);
    assert_eq!(metadata["weir.schema_version"], SCHEMA_VERSION.to_string());
    let rows = reader.next().expect("one batch").unwrap();
    assert!(reader.next().is_none(), "one batch only");
    assert_eq!(reader.get_ref().position(), bytes.len() as u64);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_a_message_that_parses_back_to_its_cells((id, rows) in any_rows()) {
        let mut payloads = Payloads::new(options(PayloadFormat::Json, 1));
        let messages = encoded(&mut payloads, &batch(id, &rows));
        check_cuts(&messages, rows.len(), 1);
        prop_assert_eq!(messages.len(), rows.len());
        for ((_, bytes), row) in messages.iter().zip(&rows) {
            prop_assert!(!bytes.contains(&b'\n'));
            prop_assert_eq!(object(bytes), expected(class(id), row));
        }
    }

    #[test]
    fn lines_are_cut_only_where_the_next_one_does_not_fit(
        (id, rows) in any_rows(), bytes_max in 1..6_000usize, lines_max in 1..5usize
    ) {
        let mut payloads = Payloads::new(PayloadOptions { lines_max, ..options(PayloadFormat::JsonLines, bytes_max) });
        let messages = encoded(&mut payloads, &batch(id, &rows));
        check_cuts(&messages, rows.len(), bytes_max);
        let mut expected = rows.iter().map(|row| expected(class(id), row));
        for (message, bytes) in &messages {
            prop_assert!(bytes.ends_with(b"\n") && message.rows <= lines_max);
            let lines: Vec<_> = bytes[..bytes.len() - 1].split(|b| *b == b'\n').map(object).collect();
            prop_assert_eq!(lines, expected.by_ref().take(message.rows).collect::<Vec<_>>());
        }
        for pair in messages.windows(2) {
            let [(message, bytes), (_, behind)] = pair else { unreachable!() };
            let next_line = behind.iter().position(|b| *b == b'\n').unwrap() + 1;
            prop_assert!(message.rows == lines_max || bytes.len() + next_line > bytes_max);
        }
    }

    #[test]
    fn every_arrow_message_is_a_stream_of_its_rows(
        (id, rows) in any_rows(),
        more in 0..40usize,
        bytes_max in prop_oneof![Just(1usize), 1_000..60_000usize, Just(usize::MAX)],
        compression in prop::sample::select(&COMPRESSIONS[..]),
    ) {
        // The same rows again and again, so that there is something to cut.
        let rows: Vec<Row> = rows.iter().cycle().take(rows.len() * (1 + more)).cloned().collect();
        let batch = batch(id, &rows);
        let mut payloads = Payloads::new(PayloadOptions { compression, ..options(PayloadFormat::Arrow, bytes_max) });
        // What was learned from the first time must not change what is written.
        for _ in 0..2 {
            let messages = encoded(&mut payloads, &batch);
            check_cuts(&messages, rows.len(), bytes_max);
            for (message, bytes) in &messages {
                let found = read_arrow(id, bytes);
                let expected = batch.rows.slice(message.first_row, message.rows);
                prop_assert_eq!(found.columns(), expected.columns());
            }
        }
    }

    #[test]
    fn a_bounded_buffer_gives_the_same_rows_in_parts(
        (id, rows) in any_rows(),
        format in prop::sample::select(&[PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow][..]),
        buffer_bytes in 0..10_000usize,
    ) {
        let batch = batch(id, &rows);
        let mut payloads = Payloads::new(options(format, 4_000));
        let mut next = 0;
        while next < rows.len() {
            let behind = payloads.encode_rows(&batch, next..rows.len(), buffer_bytes).unwrap();
            let messages: Vec<_> = payloads.messages().iter().map(|m| (*m, payloads.bytes(m).to_vec())).collect();
            let (last, before) = messages.split_last().expect("at least one message");
            prop_assert!(before.iter().all(|(m, _)| m.end < buffer_bytes.max(1)));
            prop_assert_eq!((messages[0].0.first_row, last.0.first_row + last.0.rows), (next, behind));
            for (message, bytes) in messages.iter().filter(|_| format == PayloadFormat::Json) {
                prop_assert_eq!(object(bytes), expected(class(id), &rows[message.first_row]));
            }
            next = behind;
        }
    }

    #[test]
    fn identities_and_tallies_are_those_of_the_cells((id, rows) in any_rows(), first in 0..3usize) {
        let batch = batch(id, &rows);
        let int = |row: &Row, name| match row[name] { Cell::Int(value) => value, _ => unreachable!() };
        let text = |row: &Row, name| match &row[name] { Cell::Text(text) => text.clone(), _ => unreachable!() };
        for (n, row) in rows.iter().enumerate() {
            let RowIdentity { host, boot_id, epoch, cpu, seq } = identity_of(&batch, n);
            prop_assert_eq!((host, boot_id), (&*text(row, "host"), &*text(row, "boot_id")));
            prop_assert_eq!((epoch, i64::from(cpu), seq), (int(row, "epoch"), int(row, "cpu"), int(row, "seq")));
        }
        let first = first.min(rows.len());
        let found = tallies(&batch, first, rows.len() - first);
        prop_assert_eq!(found.iter().map(|t| t.count).sum::<i64>(), (rows.len() - first) as i64);
        for Tally { cpu, action, first_seq, last_seq, count } in found {
            let name = class(id).action(action).expect("an action of the class").name;
            let of = rows[first..].iter().filter(|r| int(r, "cpu") == i64::from(cpu) && text(r, "action") == name);
            let numbers: Vec<i64> = of.map(|row| int(row, "seq")).collect();
            prop_assert_eq!(numbers.len() as i64, count);
            prop_assert_eq!((numbers.iter().min(), numbers.iter().max()), (Some(&first_seq), Some(&last_seq)));
        }
    }
}

/// Opens of files; every row has a path and a command line of its own, as large as asked for.
fn wide_rows(rows: usize, bytes: usize) -> Batch {
    let rows: Vec<Row> = (0..rows as i64)
        .map(|n| {
            let path = Cell::Text(format!("/var/{n:0bytes$}"));
            row(n * 1_000, 0, n, "open", &[("path", path), ("cmdline", Cell::Text(format!("cat {n:0bytes$}")))])
        })
        .collect();
    batch(ClassId::File, &rows)
}

#[test]
fn a_message_carries_the_texts_of_its_own_rows_only() {
    let wide = wide_rows(1_000, 2_000);
    let mut payloads = Payloads::new(options(PayloadFormat::Arrow, 256 << 10));
    // Sizes are known from the second batch on.
    encoded(&mut payloads, &wide);
    let messages = encoded(&mut payloads, &wide);
    check_cuts(&messages, 1_000, 256 << 10);
    // 4 MB of texts in messages of 256 KiB, each of which is mostly full.
    assert!((16..=24).contains(&messages.len()), "{} messages", messages.len());
    for (message, bytes) in &messages {
        let rows = read_arrow(ClassId::File, bytes);
        let paths = rows.column_by_name("path").unwrap().as_dictionary::<Int32Type>();
        assert_eq!(paths.values().len(), message.rows);
    }
}

#[test]
fn rows_that_shrink_again_share_messages_again() {
    let mut payloads = Payloads::new(options(PayloadFormat::Arrow, 256 << 10));
    let (wide, narrow) = (wide_rows(200, 60_000), wide_rows(400, 10));
    encoded(&mut payloads, &wide);
    let rounds: Vec<usize> = (0..12).map(|_| encoded(&mut payloads, &narrow).len()).collect();
    assert_eq!(rounds.last(), Some(&1), "{rounds:?}");
}

#[test]
fn a_row_that_is_larger_than_a_message_stands_alone_and_its_neighbours_do_not() {
    let sizes = [10, 10, 9_000, 10, 10];
    let rows: Vec<Row> = (0..sizes.len())
        .map(|n| row(n as i64, 0, n as i64, "open", &[("path", Cell::Text("x".repeat(sizes[n])))]))
        .collect();
    let mut payloads = Payloads::new(options(PayloadFormat::JsonLines, 4_000));
    let messages = encoded(&mut payloads, &batch(ClassId::File, &rows));
    check_cuts(&messages, rows.len(), 4_000);
    assert_eq!(messages.iter().map(|(m, _)| m.rows).collect::<Vec<_>>(), [2, 1, 2]);
}

#[test]
fn a_batch_without_rows_has_no_messages_and_those_before_are_gone() {
    for format in [PayloadFormat::Json, PayloadFormat::JsonLines, PayloadFormat::Arrow] {
        let mut payloads = Payloads::new(options(format, 100_000));
        assert_eq!(encoded(&mut payloads, &wide_rows(3, 10)).iter().map(|(m, _)| m.rows).sum::<usize>(), 3);
        assert_eq!(encoded(&mut payloads, &batch(ClassId::File, &[])), []);
    }
}

#[test]
fn a_message_says_who_it_is_from() {
    let mut payloads = Payloads::new(options(PayloadFormat::Json, 100_000));
    let messages = encoded(&mut payloads, &wide_rows(2, 10));
    let (who, second) = (identity(), object(&messages[1].1));
    let found = ["class", "schema_version", "host", "boot_id", "epoch", "cpu", "seq"].map(|name| second[name].clone());
    let expected: [Value; 7] = [
        "file".into(),
        SCHEMA_VERSION.into(),
        (&*who.host).into(),
        (&*who.boot_id).into(),
        who.epoch.into(),
        0.into(),
        1.into(),
    ];
    assert_eq!(found, expected);
}

fn check_in_pyarrow(id: ClassId, rows: &[Row], compression: Compression) {
    let (dir, batch) = (tempfile::tempdir().unwrap(), batch(id, rows));
    let write = |name: String, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut lines =
        Payloads::new(PayloadOptions { lines_max: usize::MAX, ..options(PayloadFormat::JsonLines, usize::MAX) });
    lines.encode(&batch).unwrap();
    let lines = write("lines.json".into(), lines.buffer());
    let mut arrow = Payloads::new(PayloadOptions { compression, ..options(PayloadFormat::Arrow, 40_000) });
    let messages = encoded(&mut arrow, &batch);
    let messages = messages.iter().enumerate().map(|(n, (_, bytes))| write(format!("{n}.arrow"), bytes));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payload_common/compare.py");
    let mut command = Command::new(python::python());
    command.arg(script).arg(lines).args([class(id).name, &SCHEMA_VERSION.to_string()]).args(messages);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

proptest! {
    // Each case starts an interpreter. Python's dates end with the year 9999, and its time begins with the year 1.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pyarrow_reads_the_same_rows_from_arrow_as_json_has(
        (id, mut rows) in any_rows(), more in 0..40usize, compression in prop::sample::select(&COMPRESSIONS[..])
    ) {
        rows.iter_mut().for_each(|row| drop(row.insert("time", Cell::Int(1_772_600_767_000_008))));
        let rows: Vec<Row> = rows.iter().cycle().take(rows.len() * (1 + more)).cloned().collect();
        check_in_pyarrow(id, &rows, compression);
    }
}
