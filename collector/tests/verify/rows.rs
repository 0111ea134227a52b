//! Mutations of single rows, in Parquet and in JSON lines.

use weir_collector::verify::{Report, RunReport, Span, Verdict};
use weir_schema::ClassId;
use weir_schema::loss::{CPU_COLLECTOR, CPU_SINK};

use super::files::in_both_formats;
use super::script::{EPOCH, Row, attempts, complete, play, play_epoch};

fn run(report: &Report) -> &RunReport {
    &report.sinks[0].runs[0]
}

fn at(rows: &[Row], cpu: i32, seq: i64) -> usize {
    rows.iter().position(|r| (r.cpu, r.seq) == (cpu, seq)).expect("a row with this number")
}

fn find(rows: &[Row], of: impl Fn(&Row) -> bool) -> usize {
    rows.iter().position(of).expect("such a row")
}

fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

#[test]
fn a_whole_run_is_complete_and_its_losses_are_told() {
    in_both_formats(&complete(), |report| {
        assert_eq!(report.exit_code(), 0, "{report}");
        let run = run(report);
        assert_eq!(run.verdict, Verdict::Complete);
        assert_eq!(run.gaps["ring_full"].count, 8);
        assert_eq!(run.gaps["not_selected"].count, 10);
        assert_eq!(run.gaps["lane_full"].count, 4);
        assert_eq!(run.gaps["lane_full"].by_action["open"], 4);
        assert_eq!((run.delivered, run.lost), (101, 12));
        assert!((run.lost_percent - 100.0 * 12.0 / 113.0).abs() < 1e-9);
        let cpus: Vec<_> = run.cpus.iter().map(|c| (c.cpu, c.judged_below, c.rows, c.in_gaps, c.counted)).collect();
        let sink_rows = cpus[0].1;
        assert_eq!(cpus[0], (CPU_SINK, sink_rows, sink_rows, 0, 0));
        assert_eq!(
            cpus[1..],
            [(CPU_COLLECTOR, 11, 11, 0, 0), (0, 40, 32, 8, 0), (1, 40, 26, 0, 14), (2, 40, 40, 0, 0)]
        );
        let first = run.first.as_ref().and_then(|m| m.time.as_deref());
        assert_eq!(first, Some("2026-09-21T14:14:37.000001Z"));
        assert_eq!(report.sinks[0].rows, run.rows.values().sum::<u64>());
    });
}

#[test]
fn a_removed_row_is_named_with_the_times_of_its_neighbours() {
    let mut rows = complete();
    rows.remove(at(&rows, 2, 17));
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let missing = &run(report).problems.missing;
        assert_eq!((missing.total, missing.named.len()), (1, 1));
        assert_eq!((missing.named[0].cpu, missing.named[0].numbers), (2, span(17, 17)));
        let (after, before) = (missing.named[0].after.as_ref(), missing.named[0].before.as_ref());
        assert!(after.expect("a row before").ktime_ns < before.expect("a row behind").ktime_ns);
        assert!(report.to_string().contains("MISSING        cpu 2: 17 (1 number), after 2026-"), "{report}");
    });
}

#[test]
fn a_row_removed_inside_an_aggregates_span_unbalances_it() {
    let mut rows = complete();
    rows.remove(at(&rows, 1, 4)); // between 3 and 11 that were not selected
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let unbalanced = &run(report).problems.unbalanced;
        assert_eq!((unbalanced.total, unbalanced.named.len()), (1, 1));
        let named = &unbalanced.named[0];
        assert_eq!((named.at.cpu, named.absent, named.counted), (1, named.counted + 1, named.counted));
        assert!(named.at.numbers.first <= 4 && named.at.numbers.last >= 4);
        assert!(run(report).problems.missing.total == 0);
        assert!(report.to_string().contains("1 number missing"), "{report}");
    });
}

#[test]
fn a_doubled_row_is_named_with_its_place() {
    let mut rows = complete();
    let i = at(&rows, 0, 21);
    rows.insert(i + 1, rows[i].clone());
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let duplicates = &run(report).problems.duplicates;
        assert_eq!((duplicates.total, duplicates.named[0].cpu), (1, 0));
        assert_eq!(duplicates.named[0].numbers, [span(21, 21)]);
        assert!(report.to_string().contains("DUPLICATE      cpu 0: 21 again, 1 row from "), "{report}");
    });
}

#[test]
fn two_rows_in_the_wrong_order_are_named() {
    let mut rows = complete();
    let first = at(&rows, 2, 5);
    let second = find(&rows, |r| r.class == rows[first].class && r.ktime_ns > rows[first].ktime_ns);
    rows.swap(first, second);
    let (early, late) = (rows[second].clone(), rows[first].clone());
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let inversions = &run(report).problems.inversions;
        assert_eq!(inversions.total, 1, "{report}");
        let named = &inversions.named[0];
        assert_eq!((named.cpu, named.seq, named.ktime_ns), (early.cpu, early.seq as u64, early.ktime_ns));
        assert_eq!(named.previous_ktime_ns, late.ktime_ns);
        assert!(report.to_string().contains(&format!("INVERTED       cpu {}: {} (", early.cpu, early.seq)));
    });
}

#[test]
fn a_changed_count_of_an_exact_gap_is_a_contradiction() {
    let mut rows = complete();
    let i = find(&rows, |r| r.is("gap", 0));
    rows[i].loss.as_mut().expect("a gap").count += 1;
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let named = &run(report).problems.contradictions.named[0];
        assert_eq!((named.cpu, named.numbers), (0, Some(span(4, 4))));
        assert!(report.to_string().contains("cpu 0: 4 gap counts 2, its span has 1 numbers"), "{report}");
    });
}

#[test]
fn a_changed_count_of_an_aggregate_unbalances_its_span_and_its_actions() {
    for change in [-1, 1] {
        let mut rows = complete();
        let i = find(&rows, |r| r.is("gap", 1));
        rows[i].loss.as_mut().expect("a gap").count += change;
        in_both_formats(&rows, |report| {
            assert_eq!(report.exit_code(), 1);
            let problems = &run(report).problems;
            assert_eq!((problems.unbalanced.total, problems.unbalanced.named[0].at.cpu), (1, 1));
            assert_eq!(problems.contradictions.named[0].cpu, 1);
        });
    }
}

#[test]
fn a_moved_gap_leaves_a_missing_number_and_meets_a_row() {
    let mut rows = complete();
    let i = find(&rows, |r| r.is("gap", 0));
    let gap = rows[i].loss.as_mut().expect("a gap");
    (gap.first_seq, gap.last_seq) = (5, Some(5));
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let problems = &run(report).problems;
        assert_eq!((problems.missing.named[0].cpu, problems.missing.named[0].numbers), (0, span(4, 4)));
        assert!(report.to_string().contains("cpu 0: 5 both a row and inside an exact gap"), "{report}");
    });
}

#[test]
fn a_doubled_gap_with_a_number_of_its_own_is_a_contradiction() {
    let mut rows = complete();
    let (gap, end) = (find(&rows, |r| r.is("gap", 0)), find(&rows, |r| r.is("end", CPU_COLLECTOR)));
    let next = rows[end].loss.as_ref().expect("an end").first_seq;
    let (mut copy, last) = (rows[gap].clone(), rows[rows.len() - 1].clone());
    (copy.seq, copy.ktime_ns, copy.generation) = (next, last.ktime_ns, last.generation);
    rows[end].loss.as_mut().expect("an end").first_seq += 1;
    rows.push(copy);
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        assert!(report.to_string().contains("cpu 0: 4 in two exact gaps"), "{report}");
    });
}

#[test]
fn without_its_last_row_a_run_has_an_open_end() {
    let mut rows = complete();
    rows.pop();
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 3);
        assert!(run(report).problems.is_empty(), "{report}");
    });
}

#[test]
fn without_the_end_of_one_cpu_the_sinks_own_numbers_have_a_hole() {
    let mut rows = complete();
    let end = rows.remove(find(&rows, |r| r.is("end", 1)));
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let problems = &run(report).problems;
        let seq = end.seq as u64;
        assert_eq!((problems.missing.named[0].cpu, problems.missing.named[0].numbers), (CPU_SINK, span(seq, seq)));
        assert!(report.to_string().contains("cpu 1: has no end, though the run ended"), "{report}");
    });
}

#[test]
fn a_row_beyond_the_end_is_named() {
    let mut rows = complete();
    let mut late = rows[at(&rows, 2, 39)].clone();
    (late.seq, late.ktime_ns) = (41, late.ktime_ns + 1_000_000);
    rows.push(late);
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let beyond = &run(report).problems.beyond_end;
        assert_eq!((beyond.named[0].cpu, beyond.named[0].numbers), (2, span(41, 41)));
        assert_eq!(run(report).problems.missing.total, 0);
    });
}

#[test]
fn a_gap_beyond_the_end_is_named() {
    let mut rows = complete();
    let i = rows.iter().rposition(|r| r.is("gap", 0)).expect("a gap");
    let gap = rows[i].loss.as_mut().expect("a gap");
    (gap.last_seq, gap.count) = (Some(44), 6);
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let beyond = &run(report).problems.beyond_end;
        assert_eq!((beyond.named[0].cpu, beyond.named[0].numbers), (0, span(40, 44)));
    });
}

#[test]
fn ends_that_contradict_checkpoints_or_themselves_are_named() {
    let mut early = complete();
    let i = find(&early, |r| r.is("end", 2));
    early[i].loss.as_mut().expect("an end").first_seq = 3;
    in_both_formats(&early, |report| {
        assert_eq!(report.exit_code(), 1);
        assert!(report.to_string().contains("cpu 2: checkpoint at 26 is beyond the end at 3"), "{report}");
    });
    let mut own = complete();
    own.last_mut().and_then(|r| r.loss.as_mut()).expect("the last end").first_seq += 1;
    in_both_formats(&own, |report| {
        assert_eq!(report.exit_code(), 1);
        assert!(report.to_string().contains("cpu -2: the sink's own end says "), "{report}");
    });
}

#[test]
fn a_checkpoint_that_promises_too_much_is_found() {
    let mut rows = play(&attempts(), 40, false);
    let i = rows.iter().rposition(|r| r.is("checkpoint", 2)).expect("a checkpoint");
    rows[i].loss.as_mut().expect("a checkpoint").first_seq += 3;
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 1);
        let missing = &run(report).problems.missing.named[0];
        assert_eq!((missing.cpu, missing.numbers), (2, span(40, 42)));
    });
}

#[test]
fn without_the_rows_behind_the_last_checkpoint_the_open_end_is_named() {
    let mut rows = complete();
    rows.retain(|r| r.generation < 2 || r.class != ClassId::Loss);
    rows.remove(at(&rows, 2, 35)); // above the checkpoint: tolerated
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 3, "{report}");
        let run = run(report);
        assert_eq!(run.verdict, Verdict::OpenEnd);
        let open: Vec<_> = run.cpus.iter().map(|c| (c.cpu, c.judged_below, c.ended, c.rows_beyond)).collect();
        assert_eq!(open[2..], [(0, 27, false, 10), (1, 27, false, 8), (2, 26, false, 13)]);
        let last = run.cpus[2].last.as_ref().expect("the time of the checkpoint");
        assert!(
            report
                .to_string()
                .contains(&format!("cpu 0          0..26, OPEN END after {}", last.time.as_ref().expect("a time")))
        );
    });
}

#[test]
fn a_row_doubled_above_the_last_checkpoint_is_still_found() {
    let mut rows = complete();
    rows.retain(|r| r.generation < 2 || r.class != ClassId::Loss);
    let i = at(&rows, 2, 38);
    rows.insert(i, rows[i].clone());
    in_both_formats(&rows, |report| assert_eq!(report.exit_code(), 1));
}

#[test]
fn every_run_needs_its_own_end() {
    let mut rows = complete();
    rows.extend(play_epoch(EPOCH * 2, &attempts(), 50, true));
    in_both_formats(&rows, |report| assert_eq!(report.exit_code(), 0, "{report}"));
    rows.pop();
    in_both_formats(&rows, |report| {
        assert_eq!(report.exit_code(), 3);
        let verdicts: Vec<Verdict> = report.sinks[0].runs.iter().map(|r| r.verdict).collect();
        assert_eq!(verdicts, [Verdict::Complete, Verdict::OpenEnd]);
    });
}

#[test]
fn gaps_without_numbers_are_counted_and_miss_nothing() {
    let rows = complete();
    let i = find(&rows, |r| r.is("gap", 0));
    let mut gap = rows[i].clone();
    gap.loss.as_mut().expect("a gap").reason = "probe_reentered";
    let text = super::files::json_lines(&rows).lines().map(str::to_owned).collect::<Vec<_>>();
    // A collector's row more: its end moves by one.
    let end = find(&rows, |r| r.is("end", CPU_COLLECTOR));
    let next = rows[end].loss.as_ref().expect("an end").first_seq;
    let mut value: serde_json::Value = serde_json::from_str(&text[i]).expect("a line");
    let object = value.as_object_mut().expect("an object");
    for column in ["gap_cpu", "first_seq", "last_seq"] {
        object.remove(column);
    }
    (object["seq"], object["reason"], object["count"]) = (next.into(), "probe_reentered".into(), 5.into());
    object["ktime_ns"] = rows[end - 1].ktime_ns.into();
    let mut moved: serde_json::Value = serde_json::from_str(&text[end]).expect("a line");
    moved["first_seq"] = (next + 1).into();
    let mut lines = text;
    lines[end] = moved.to_string();
    lines.insert(end, value.to_string());
    let report = super::files::lines_report(lines.join("\n").as_bytes());
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(run(&report).gaps["probe_reentered"].count, 5);
    assert_eq!(run(&report).lost, 17);
}
