//! Floods on the real kernel: what the load says that it did is what was recorded, as rows or inside gaps.

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use support::load::{Load, Made, Shape};
use support::program::{run, run_into, weir};
use support::rows::{Row, rows};
use support::skip::{is_root, note};
use support::verified::{Verified, ledger, produced, verify};

/// Reasons of gaps that arise in the kernel; the others arise between the reader and a file.
const IN_THE_KERNEL: &[&str] = &["ring_full", "no_ring"];

/// One flood, recorded to Parquet and, if wanted, to JSON lines; returns what was made and the final ledger.
fn flood(
    scratch: &Path,
    load: &Load,
    shape: Shape,
    classes: &str,
    arguments: &[&str],
    json: bool,
) -> (Made, serde_json::Value) {
    let report = scratch.join("report.json");
    let mut command = weir(&["run", "--status", "never", "--class", classes]);
    command.arg("--parquet").arg(scratch.join("data")).arg("--report").arg(&report).args(arguments);
    if json {
        command.args(["--stdout", "json"]);
    }
    let rows = File::create(scratch.join("rows.jsonl")).expect("a file for the rows");
    run_into(command.arg("--").args(load.command(shape)), rows).expect_code(0);
    (load.made(), ledger(&report))
}

fn told(what: &str, made: Made, verified: &Verified) {
    note(format_args!(
        "{what}: {} opens made = {} rows + {} in gaps, {} of them without a name; gaps {:?}; {made:?}",
        made.opens,
        verified.rows("file"),
        lost_opens(verified),
        verified.unnamed(),
        verified.gaps(),
    ));
}

/// Numbers of the actions asked for: the kernel also numbers what the collector needs for context, and withholds it.
fn selected(ledger: &serde_json::Value) -> u64 {
    produced(ledger) - ledger["withheld"].as_u64().expect("a count of withheld numbers")
}

/// Opens inside gaps. Where the kernel's log of losses was overwritten before the reader saw it, a gap knows only how
/// many; process events have room of their own, so those are opens. So are the numbers of a gap of full rings whose own row
/// found no room in its lane: that lane's gap has them under the reason.
fn lost_opens(verified: &Verified) -> u64 {
    let lost = |what: &str| verified.lost_by_action().get(what).copied().unwrap_or(0);
    lost("open") + lost("ring_full") + verified.unnamed()
}

/// Every open is a row or inside a gap, and nothing was made up.
fn expect_conserved(made: Made, verified: &Verified) {
    assert_eq!(verified.rows("file") + lost_opens(verified), made.opens, "gaps: {:?}", verified.lost_by_action());
}

#[test]
fn with_tiny_rings_calls_made_are_rows_plus_gap_counts_in_every_sink() {
    if !is_root("flood with tiny rings") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let load = Load::build(scratch.path());
    let shape = Shape { openers: 2, stormers: 0, seconds: 60.0, calls: 150_000, pause_us: 0 };
    let (made, ledger) = flood(scratch.path(), &load, shape, "file.open", &["--ring-bytes", "64KiB"], true);
    let files = verify(&scratch.path().join("data")).expect_code(0);
    let lines = verify(&scratch.path().join("rows.jsonl")).expect_code(0);
    told("tiny rings, Parquet", made, &files);
    told("tiny rings, JSON lines", made, &lines);
    assert_eq!(made.opens, 300_001);
    assert_eq!(selected(&ledger), made.opens, "every attempt takes a number, and only attempts do");
    assert_eq!(ledger["balanced"], true);
    assert!(files.gaps().get("ring_full").is_some_and(|n| *n > 0), "a flood that loses nothing proves nothing");
    for verified in [&files, &lines] {
        expect_conserved(made, verified);
        // Only a reader that was kept from its CPU for long finds the log of losses overwritten.
        assert!(10 * verified.unnamed() < verified.gaps()["ring_full"], "a gap names what it lost");
        assert_eq!(
            verified.gaps().get("ring_full"),
            files.gaps().get("ring_full"),
            "the kernel's gaps are the same in every sink"
        );
    }
}

#[test]
fn with_default_rings_two_producers_are_conserved() {
    if !is_root("flood with default rings") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let load = Load::build(scratch.path());
    let shape = Shape { openers: 2, stormers: 0, seconds: 3.0, calls: u64::MAX, pause_us: 0 };
    let (made, ledger) = flood(scratch.path(), &load, shape, "file.open", &[], false);
    let verified = verify(&scratch.path().join("data")).expect_code(0);
    told("default rings, two producers, 3 s", made, &verified);
    assert_eq!(selected(&ledger), made.opens);
    expect_conserved(made, &verified);
}

#[test]
fn a_flood_of_file_events_costs_no_process_event_in_the_kernel() {
    if !is_root("flood beside a fork and exec storm") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let load = Load::build(scratch.path());
    let shape = Shape { openers: 4, stormers: 1, seconds: 3.0, calls: u64::MAX, pause_us: 0 };
    let classes = "file.open,process.fork,process.exec,process.exit";
    let (made, ledger) = flood(scratch.path(), &load, shape, classes, &[], false);
    let verified = verify(&scratch.path().join("data"));
    told("default rings, four producers and a storm, 3 s", made, &verified);
    let verified = verified.expect_code(0);
    expect_conserved_with_processes(made, &verified);
    assert_eq!(ledger["balanced"], true);
    for run in verified.runs() {
        for reason in IN_THE_KERNEL {
            let lost = run["gaps"][reason]["by_action"].as_object();
            let lost: Vec<_> = lost.into_iter().flatten().filter(|(action, _)| *action != "open").collect();
            assert!(lost.is_empty(), "{reason} cost process events: {lost:?}");
        }
    }
}

fn expect_conserved_with_processes(made: Made, verified: &Verified) {
    let lost = verified.lost_by_action();
    let in_gaps = |action: &str| lost.get(action).copied().unwrap_or(0);
    expect_conserved(made, verified);
    let processes = in_gaps("fork") + in_gaps("exec") + in_gaps("exit");
    let events = made.forks + made.execs + made.exits;
    assert_eq!(verified.rows("process") + processes, events, "forks, execs and exits; gaps: {lost:?}");
}

/// Processes that execute at once, and how often each one does.
const EXECUTERS: usize = 4;
const EXECS: usize = 60;

#[test]
fn every_exec_has_its_row_whatever_bytes_its_arguments_are() {
    if !is_root("execs with long arguments") {
        return;
    }
    for kind in ["letters", "invalid", "newlines", "wide"] {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (data, report) = (scratch.path().join("data"), scratch.path().join("report.json"));
        let mut recorded = weir(&["run", "--status", "never", "--class", "process.exec", "--stdout", "json"]);
        recorded.arg("--parquet").arg(&data).arg("--report").arg(&report).arg("--").arg(env!("CARGO_BIN_EXE_trigger"));
        recorded.args(["texts", kind, &EXECUTERS.to_string(), &EXECS.to_string()]);
        let lines = rows(&run(&mut recorded).expect_code(0).stdout);
        let of_children = |row: &&Row| row.is("process", "exec") && row.0["args"][1] == "again";
        let execs: Vec<&Row> = lines.iter().filter(of_children).collect();
        // Each is marked by how many are left, and by which process it was.
        let mark = |row: &&Row| (row.0["args"][2].to_string(), row.0["args"][3].to_string());
        let marks: BTreeSet<_> = execs.iter().map(mark).collect();
        assert_eq!((marks.len(), execs.len()), (EXECUTERS * EXECS, EXECUTERS * EXECS), "{kind}");
        for row in &execs {
            let text = row.0["args"][4].as_str().expect("the long argument");
            assert!((31_998..=32_768).contains(&text.len()), "{kind}: {}", text.len());
            assert_eq!(row.0["args_truncated"], kind == "invalid", "{kind}");
            assert_eq!(row.0["text_escaped"], kind == "invalid", "{kind}");
        }
        let verified = verify(&data).expect_code(0);
        let with_the_first = execs.len() as u64 + 1;
        assert_eq!((verified.rows("process"), verified.gaps().len()), (with_the_first, 0), "{kind}");
        assert_eq!(ledger(&report)["lost"], 0, "{kind}");
    }
}
