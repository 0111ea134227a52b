//! What is written for people and machines, from any cells.

mod any_rows;
mod lane_common;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use any_rows::{any_rows, expected};
use lane_common::{Cell, batch, row};
use proptest::prelude::*;
use serde_json::{Map, Value};
use weir_schema::render::json_schema;
use weir_schema::{CLASSES, ClassId, Reason};
use weir_sinks::stdout::Closed;
use weir_sinks::table::{Table, TableStyle};
use weir_sinks::text::is_unsafe;
use weir_sinks::{Batch, Format, LossAction, LossRow, Progress, Sink, SinkError, StdoutSink, json, loss_batch};

/// The part of JSON schema that the published one uses, for one object.
fn check_schema(schema: &Value, object: &Map<String, Value>) {
    let class = schema["oneOf"].as_array().expect("oneOf").iter();
    let class = class.into_iter().find(|c| c["properties"]["class"]["const"] == object["class"]).expect("a class");
    for name in class["required"].as_array().expect("required") {
        assert!(object.contains_key(name.as_str().expect("a name")), "{name} is missing in {object:?}");
    }
    for (name, value) in object.iter().filter(|(name, _)| *name != "class") {
        let property = class["properties"].get(name).unwrap_or_else(|| panic!("{name} is not in the schema"));
        let fits = match property["type"].as_str().expect("a type") {
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64(),
            "string" => value.is_string(),
            "array" => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            other => panic!("{other} is not checked here"),
        };
        assert!(fits, "{name}: {value} is no {}", property["type"]);
        if property.get("pattern").is_some() {
            let text = value.as_str().expect("a string");
            assert!(text.parse::<i64>().is_ok(), "{name}: {text}");
        }
        if let Some(names) = property["enum"].as_array() {
            assert!(names.contains(value), "{name}: {value}");
        }
    }
}

fn check_harmless(written: &[u8]) -> &str {
    let text = std::str::from_utf8(written).expect("UTF-8");
    let bad = text.chars().find(|c| *c != '\n' && is_unsafe(*c));
    assert_eq!(bad, None, "{text}");
    assert!(!written.iter().any(|b| (*b < 0x20 && *b != b'\n') || *b == 0x7f));
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_parses_back_to_the_cells_and_fits_the_published_schema((id, rows) in any_rows()) {
        let schema: Value = serde_json::from_str(&json_schema()).expect("the schema is JSON");
        let mut out = Vec::new();
        json::write_rows(&batch(id, &rows), &mut out);
        let text = check_harmless(&out);
        prop_assert_eq!(text.lines().count(), rows.len());
        for (line, row) in text.lines().zip(&rows) {
            let found: Map<String, Value> = serde_json::from_str(line).expect("a JSON object");
            let expected = expected(lane_common::class(id), row);
            prop_assert!(found.keys().eq(expected.keys()), "order of the keys: {}", line);
            prop_assert_eq!(&found, &expected);
            check_schema(&schema, &found);
        }
    }

    #[test]
    fn no_text_can_steer_the_terminal_of_a_table_or_add_a_line((id, rows) in any_rows()) {
        let mut out = Vec::new();
        Table::new(TableStyle::default()).write(&[&batch(id, &rows)], &mut out);
        let lines = check_harmless(&out).lines().count();
        let shown = if id == ClassId::Loss { 0..=rows.len() } else { rows.len()..=rows.len() + 1 };
        prop_assert!(shown.contains(&lines), "{} lines for {} rows", lines, rows.len());
    }

    #[test]
    fn rows_of_several_classes_are_merged_by_kernel_time_then_cpu_then_number(
        rows in prop::collection::vec((0..3usize, 0..4i64, 0..2i32), 0..40)
    ) {
        let mut keys: Vec<_> = rows.iter().enumerate().map(|(seq, (c, k, cpu))| (*k, *cpu, seq as i64, *c)).collect();
        keys.sort_unstable();
        let batches: Vec<Batch> = (0..3)
            .map(|c| {
                let of = |(k, cpu, seq, _): &(i64, i32, i64, usize)| row(*k, *cpu, *seq, CLASSES[c].actions[0].name, &[]);
                batch(CLASSES[c].id, &keys.iter().filter(|key| key.3 == c).map(of).collect::<Vec<_>>())
            })
            .collect();
        let mut out = Vec::new();
        json::write_merged(&batches.iter().collect::<Vec<_>>(), &mut out);
        let found: Vec<_> = String::from_utf8_lossy(&out)
            .lines()
            .map(|line| {
                let v: Value = serde_json::from_str(line).expect("JSON");
                let class = CLASSES.iter().position(|c| v["class"] == c.name).expect("class");
                let int = |name: &str| v[name].as_i64().expect("a number");
                (int("ktime_ns"), int("cpu") as i32, int("seq"), class)
            })
            .collect();
        prop_assert_eq!(found, keys);
    }
}

/// A stream that the test can look into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("stream").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("stream"))).expect("UTF-8")
    }
}

/// 2026-03-04 05:06:07.000008 UTC in ns.
const AT: i64 = 1_772_600_767_000_008_000;

fn text(value: &str) -> Cell {
    value.into()
}

fn loss(action: LossAction, reason: Option<Reason>) -> LossRow {
    LossRow {
        ktime_ns: AT,
        cpu: -1,
        seq: 0,
        action,
        gap_cpu: Some(1),
        first_seq: Some(5),
        last_seq: Some(124),
        first_ktime_ns: None,
        last_ktime_ns: None,
        count: 120,
        by_action: "open=117,unlink=3".into(),
        reason,
    }
}

#[test]
fn the_table_reads_like_execsnoop_and_says_what_failed_and_what_is_lost() {
    let who = [("comm", text("sh")), ("pid", Cell::Int(42)), ("ppid", Cell::Int(7))];
    let with = |more: &[(&'static str, Cell)]| [&who[..], more].concat();
    let args = Cell::List(vec!["ls".into(), "-l".into(), "a b".into(), String::new()]);
    let process = batch(
        ClassId::Process,
        &[
            row(AT, 0, 0, "exec", &with(&[("args", args), ("ret", Cell::Int(0))])),
            row(AT + 3_000, 0, 3, "exit", &with(&[("exit_code", Cell::Int(1)), ("duration_ns", Cell::Int(1_500_000))])),
        ],
    );
    let path = [("path", text("/etc/\x1b[2J")), ("ret", Cell::Int(-2)), ("error", text("ENOENT"))];
    let file = batch(ClassId::File, &[row(AT + 1_000, 0, 1, "open", &with(&path))]);
    let ends = [
        ("local_ip", text("::1")),
        ("local_port", Cell::Int(40_000)),
        ("remote_ip", text("2001:db8::1")),
        ("remote_port", Cell::Int(443)),
        ("protocol", text("tcp")),
        ("ret", Cell::Int(0)),
    ];
    let network = batch(ClassId::Network, &[row(AT + 2_000, 0, 2, "connect", &with(&ends))]);
    let gaps = loss_batch(
        &lane_common::identity(),
        0,
        &[
            LossRow { ktime_ns: AT + 4_000, ..loss(LossAction::Gap, Some(Reason::RingFull)) },
            LossRow { ktime_ns: AT + 4_000, ..loss(LossAction::Gap, Some(Reason::NotSelected)) },
            LossRow { ktime_ns: AT + 4_000, ..loss(LossAction::Checkpoint, None) },
        ],
    );
    let stream = Shared::default();
    let mut sink = StdoutSink::new(Format::Table, Box::new(stream.clone()));
    sink.write_cut(&[&process, &file, &network, &gaps]).expect("written");
    let expected = "\
TIME            COMM             PID      PPID         RET       ARGS
05:06:07.000008 sh               42       7            0         ls -l 'a b' ''
TIME            COMM             PID      ACTION       RET       PATH
05:06:07.000009 sh               42       open         ENOENT    /etc/\\x1b[2J
TIME            COMM             PID      ACTION       RET       LOCAL -> REMOTE
05:06:07.000010 sh               42       connect      0         [::1]:40000 -> [2001:db8::1]:443 tcp
05:06:07.000011 sh               42       7            -         [exit] exit_code=1 after 1.500 ms
05:06:07.000012 *** LOST 120 events of CPU 1: ring_full (open=117,unlink=3) ***
";
    assert_eq!(stream.take(), expected);
    sink.write_cut(&[&file]).expect("written");
    assert_eq!(stream.take().lines().count(), 1, "a header is printed once");
}

#[test]
fn a_table_for_a_terminal_fits_its_width_and_colours_gaps_alone() {
    let style = TableStyle { width: Some(60), colour: true };
    let stream = Shared::default();
    let mut sink = StdoutSink::with_style(Format::Table, style, Box::new(stream.clone()));
    let long = [("path", text(&"/漢".repeat(100))), ("comm", text("sh"))];
    let file = batch(ClassId::File, &[row(AT, 0, 0, "open", &long)]);
    let gap = loss_batch(&lane_common::identity(), 0, &[loss(LossAction::Gap, Some(Reason::RingFull))]);
    sink.write_cut(&[&file]).expect("written");
    let lines = stream.take();
    assert!(lines.lines().all(|l| l.chars().count() <= 60 && !l.contains('\x1b')), "{lines}");
    assert!(lines.lines().nth(1).is_some_and(|l| l.ends_with('…') && l.chars().count() == 60), "{lines}");
    sink.write_cut(&[&gap]).expect("written");
    let line = stream.take();
    assert!(line.starts_with("\x1b[1;31m") && line.ends_with("\x1b[0m\n"), "{line:?}");
}

#[test]
fn a_reader_that_goes_away_is_fatal_and_flagged_and_not_called_an_error_of_the_disk() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut sink = StdoutSink::new(Format::Json, Box::new(writer));
    let closed: Closed = sink.closed();
    let gap = loss_batch(&lane_common::identity(), 0, &[loss(LossAction::Gap, Some(Reason::RingFull))]);
    assert!(!closed.is_set());
    let error = sink.write_cut(&[&gap]).expect_err("nobody reads");
    assert!(matches!(&error, SinkError::Gone(message) if message == "stdout was closed"), "{error}");
    assert!(closed.is_set());

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut sink = StdoutSink::new(Format::Json, Box::new(full));
    let error = sink.write_cut(&[&gap]).expect_err("no space");
    assert!(matches!(&error, SinkError::Fatal(message) if message.starts_with("writing rows to stdout: ")), "{error}");
    assert!(!sink.closed().is_set());
}

#[test]
fn checkpoints_follow_rows_at_most_every_ten_seconds_and_an_idle_stream_has_no_timer() {
    let stream = Shared::default();
    let mut sink = StdoutSink::new(Format::Json, Box::new(stream.clone()));
    assert_eq!(sink.flush_due(), None);
    let gap = loss_batch(&lane_common::identity(), 0, &[loss(LossAction::Gap, Some(Reason::RingFull))]);
    sink.write_cut(&[&gap]).expect("written");
    assert_eq!(stream.take().lines().count(), 1, "visible at once");
    let due = sink.flush_due().expect("a checkpoint is due");
    let wait = due.duration_since(Instant::now()).as_secs_f64();
    assert!(wait > 5.0 && wait <= 10.0, "{wait}");
    sink.write_cut(&[&gap]).expect("written");
    assert_eq!(sink.flush_due(), Some(due), "counted from the first row");
    assert!(!sink.wants_flush(Instant::now()) && sink.wants_flush(due));
    sink.flush(&Progress::default()).expect("flushed");
    assert_eq!(sink.flush_due(), None);
}
