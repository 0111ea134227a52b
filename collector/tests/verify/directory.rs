//! Mutations of files and directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use weir_collector::verify::{Input, Options, Verdict, VerifyError, verify};
use weir_schema::ClassId;
use weir_schema::loss::CPU_SINK;

use super::files::{file_name, json_lines, lines_report, read_plain, verify_path, write_plain, write_tree};
use super::script::{BOOT_ID, EPOCH, HOST, Row, complete, play};

fn tree(rows: &[Row]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let top = tempfile::tempdir().expect("a directory");
    let files = write_tree(top.path(), rows);
    (top, files)
}

fn relative(top: &Path, file: &Path) -> String {
    file.strip_prefix(top).expect("a file of the tree").display().to_string()
}

/// The file of a class and a generation.
fn file_of(files: &[PathBuf], class: &str, generation: usize) -> PathBuf {
    let (folder, end) = (format!("class={class}/"), format!("-{generation}.parquet"));
    let fits = |f: &&PathBuf| f.to_string_lossy().contains(&folder) && f.to_string_lossy().ends_with(&end);
    files.iter().find(fits).expect("such a file").clone()
}

#[test]
fn a_removed_file_leaves_its_numbers_missing() {
    let rows = complete();
    let (top, files) = tree(&rows);
    fs::remove_file(file_of(&files, "file", 1)).expect("remove");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 1);
    let problems = &report.sinks[0].runs[0].problems;
    let gone = |cpu| rows.iter().filter(move |r| (r.class, r.generation, r.cpu) == (ClassId::File, 1, cpu));
    let missing: Vec<u64> =
        problems.missing.named.iter().filter(|m| m.cpu == 2).flat_map(|m| m.numbers.first..=m.numbers.last).collect();
    assert_eq!(missing, gone(2).map(|r| r.seq as u64).collect::<Vec<_>>());
    assert!(problems.unbalanced.named.iter().all(|u| u.at.cpu == 1));
    assert_eq!(problems.missing.total + problems.unbalanced.total, (0..3).flat_map(gone).count() as u64);
}

#[test]
fn a_copied_file_doubles_all_its_numbers() {
    let (top, files) = tree(&complete());
    let original = file_of(&files, "network", 0);
    let copy = original.with_file_name("zzz.parquet");
    fs::copy(&original, &copy).expect("copy");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 1);
    let duplicates = &report.sinks[0].runs[0].problems.duplicates;
    assert!(duplicates.total > 3);
    assert!(duplicates.named.iter().all(|d| d.at.file == relative(top.path(), &copy)), "{report}");
}

#[test]
fn without_the_last_loss_file_the_end_is_open_and_without_an_earlier_one_numbers_are_missing() {
    let (top, files) = tree(&complete());
    fs::remove_file(file_of(&files, "loss", 2)).expect("remove");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(report.to_string().contains("cpu 2          0..25, OPEN END after 2026-09-21T"), "{report}");

    let (top, files) = tree(&complete());
    fs::remove_file(file_of(&files, "loss", 0)).expect("remove");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 1);
    let missing = &report.sinks[0].runs[0].problems.missing;
    let of = |cpu| missing.named.iter().filter(move |m| m.cpu == cpu).map(|m| (m.numbers.first, m.numbers.last));
    assert_eq!(of(CPU_SINK).next(), Some((0, 5)), "{report}");
    assert_eq!(of(0).collect::<Vec<_>>(), [(4, 4), (9, 9)], "{report}");
}

#[test]
fn without_any_loss_file_nothing_is_known_to_be_complete() {
    let rows: Vec<Row> = complete().into_iter().filter(|r| r.class != ClassId::Loss).collect();
    let (top, _) = tree(&rows);
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 3);
    assert!(report.to_string().contains("cpu 2          no checkpoint, OPEN END: 0 rows; 40 rows beyond"), "{report}");
}

#[test]
fn a_cut_file_is_named_as_unreadable() {
    let (top, files) = tree(&complete());
    let cut = file_of(&files, "file", 1);
    let bytes = fs::read(&cut).expect("read");
    for length in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&cut, &bytes[..length]).expect("write");
        let report = verify_path(top.path());
        assert_eq!(report.exit_code(), 2, "cut at {length}");
        let unreadable = &report.sinks[0].unreadable;
        assert_eq!((unreadable.total, &unreadable.named[0].file), (1, &relative(top.path(), &cut)));
        assert!(!unreadable.named[0].reason.is_empty());
    }
}

#[test]
fn garbage_is_named_as_unreadable_and_leftovers_are_only_mentioned() {
    let (top, files) = tree(&complete());
    let folder = files[0].parent().expect("a folder");
    fs::write(folder.join("x.parquet.tmp"), b"half a file").expect("write");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 0);
    assert!(report.sinks[0].ignored.named[0].ends_with("x.parquet.tmp"));
    assert!(report.to_string().contains("x.parquet.tmp: not .parquet"));

    fs::write(folder.join("x.parquet"), vec![0xa5; 4096]).expect("write");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 2);
    assert!(report.sinks[0].unreadable.named[0].file.ends_with("x.parquet"));
}

#[test]
fn a_parquet_file_of_somebody_else_is_named_as_unreadable() {
    use std::sync::Arc;
    let (top, _) = tree(&complete());
    let schema = arrow_schema::Schema::new(vec![arrow_schema::Field::new("x", arrow_schema::DataType::Int32, false)]);
    let column = Arc::new(arrow_array::Int32Array::from(vec![1]));
    let batch = arrow_array::RecordBatch::try_new(Arc::new(schema), vec![column]).expect("a batch");
    let file = fs::File::create(top.path().join("x.parquet")).expect("create");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("write");
    writer.close().expect("close");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 2);
    assert_eq!(report.sinks[0].unreadable.named[0].reason, "no column `ktime_ns`");
}

#[test]
fn files_rewritten_by_another_tool_are_read_the_same() {
    let (top, files) = tree(&complete());
    files.iter().for_each(|file| write_plain(file, &read_plain(file)));
    assert_eq!(verify_path(top.path()).exit_code(), 0);
}

/// How much the notes of removed files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notes {
    /// How many rows, and which numbers were inside the gaps.
    Full,
    /// First and last number.
    Spans,
    /// Nothing: they were dropped.
    Dropped,
}

/// Removes the files of the first generation and writes the notes that a sink would write.
fn remove_first(top: &Path, rows: &[Row], notes: Notes) {
    let mut list = String::new();
    let classes = [ClassId::Process, ClassId::File, ClassId::Network, ClassId::Loss];
    for class in classes {
        let inside: Vec<&Row> = rows.iter().filter(|r| (r.class, r.generation) == (class, 0)).collect();
        let mut seq: BTreeMap<i32, (i64, i64, i64)> = BTreeMap::new();
        let mut gaps: BTreeMap<i32, (i64, i64, i64)> = BTreeMap::new();
        for row in &inside {
            let numbers = seq.entry(row.cpu).or_insert((row.seq, row.seq, 0));
            *numbers = (numbers.0, row.seq, numbers.2 + 1);
            if let Some((loss, last)) = row.loss.as_ref().and_then(|l| Some((l, l.last_seq?))) {
                let numbers = gaps.entry(loss.gap_cpu).or_insert((loss.first_seq, last, 0));
                *numbers = (numbers.0.min(loss.first_seq), numbers.1.max(last), numbers.2 + loss.count);
            }
        }
        let file = file_name(inside[0]);
        fs::remove_file(top.join(&file)).expect("remove");
        let name = weir_schema::CLASSES[class.index()].name;
        let mut note = json!({"file": file, "class": name, "rows": inside.len(), "reason": "dir_bytes_max"});
        if notes == Notes::Full {
            (note["seq"], note["gap_seq"]) = (json!(seq), json!(gaps));
        } else {
            let spans: BTreeMap<i32, [i64; 2]> = seq.iter().map(|(cpu, n)| (*cpu, [n.0, n.1])).collect();
            (note["seq"], note["gaps"]) = (json!(spans), json!(gaps.len()));
            (note["host"], note["boot_id"], note["epoch"]) = (json!(HOST), json!(BOOT_ID), json!(EPOCH));
        }
        list += &(note.to_string() + "\n");
    }
    if notes == Notes::Dropped {
        list = json!({"dropped_notes": classes.len()}).to_string() + "\n";
    }
    fs::write(top.join("removed.jsonl"), list).expect("write");
}

#[test]
fn files_that_the_limits_removed_are_told_and_not_missing() {
    let rows = complete();
    for notes in [Notes::Full, Notes::Spans, Notes::Dropped] {
        let (top, files) = tree(&rows);
        remove_first(top.path(), &rows, notes);
        let report = verify_path(top.path());
        assert_eq!(report.exit_code(), 0, "{notes:?} {report}");
        let removed = report.sinks[0].removed.as_ref().expect("a list");
        assert_eq!((removed.files, removed.rows_of_removed_runs), (4, 0));
        assert!(report.to_string().contains("removed        4 files with "), "{report}");
        let cpus = &report.sinks[0].runs[0].cpus;
        assert_eq!((cpus[4].cpu, cpus[4].rows, cpus[4].removed + cpus[4].unexplained), (2, 27, 13), "{notes:?}");
        let unexplained: u64 = cpus.iter().map(|c| c.unexplained).sum();
        assert_eq!(unexplained > 0, notes == Notes::Dropped, "{report}");

        fs::remove_file(file_of(&files, "file", 2)).expect("remove");
        assert_eq!(verify_path(top.path()).exit_code(), 1, "a file that no limit removed");
    }
}

#[test]
fn a_note_with_counts_does_not_hide_a_number_that_is_missing_inside_its_span() {
    let rows = complete();
    let (top, _) = tree(&rows);
    remove_first(top.path(), &rows, Notes::Full);
    let path = top.path().join("removed.jsonl");
    let list = fs::read_to_string(&path).expect("read");
    let mut lines: Vec<serde_json::Value> = list.lines().map(|l| serde_json::from_str(l).expect("a note")).collect();
    let count = lines[1]["seq"]["2"][2].as_u64().expect("a count");
    lines[1]["seq"]["2"][2] = json!(count - 1);
    fs::write(&path, lines.iter().map(|l| l.to_string() + "\n").collect::<String>()).expect("write");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 1);
    let unbalanced = &report.sinks[0].runs[0].problems.unbalanced;
    assert_eq!((unbalanced.total, unbalanced.named[0].at.cpu), (1, 2));
}

#[test]
fn a_file_that_was_noted_but_is_still_there_counts_as_itself() {
    let rows = complete();
    let (top, files) = tree(&rows);
    let kept = file_of(&files, "loss", 0);
    let bytes = fs::read(&kept).expect("read");
    remove_first(top.path(), &rows, Notes::Full);
    fs::write(&kept, bytes).expect("write");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(report.sinks[0].removed.as_ref().map(|r| r.files), Some(3));
}

#[test]
fn a_file_that_was_noted_twice_before_it_went_counts_once() {
    let rows = complete();
    let (top, _) = tree(&rows);
    remove_first(top.path(), &rows, Notes::Full);
    let path = top.path().join("removed.jsonl");
    fs::write(&path, fs::read_to_string(&path).expect("read").repeat(2)).expect("write");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(report.sinks[0].removed.as_ref().map(|r| r.files), Some(4));
}

#[test]
fn a_list_of_removed_files_that_cannot_be_read_is_named() {
    let (top, _) = tree(&complete());
    fs::write(top.path().join("removed.jsonl"), "{\"file\":\"x\",\"seq\":{\"0\":[9,3]}}\n").expect("write");
    let report = verify_path(top.path());
    assert_eq!(report.exit_code(), 2);
    assert_eq!(
        (&*report.sinks[0].unreadable.named[0].file, report.sinks[0].unreadable.named[0].row),
        ("removed.jsonl", Some(1))
    );
}

#[test]
fn every_input_is_a_sink_of_its_own_and_the_gravest_counts() {
    let mut open = complete();
    open.pop();
    let (one, _) = tree(&complete());
    let (two, _) = tree(&open);
    let inputs = [Input::Path(one.path().to_owned()), Input::Path(two.path().to_owned())];
    let report = verify(&inputs, &Options::default()).expect("two inputs");
    assert_eq!(report.exit_code(), 3);
    let verdicts: Vec<Verdict> = report.sinks.iter().map(|s| s.verdict).collect();
    assert_eq!(verdicts, [Verdict::Complete, Verdict::OpenEnd]);
}

#[test]
fn nothing_to_read_is_unreadable() {
    let top = tempfile::tempdir().expect("a directory");
    for report in [verify_path(top.path()), lines_report(b""), lines_report(b"\n\n")] {
        assert_eq!(report.exit_code(), 2);
        assert_eq!(report.sinks[0].unreadable.named[0].reason, "no weir rows found");
    }
    let absent = verify_path(&top.path().join("absent"));
    assert_eq!(absent.exit_code(), 2);
    assert!(absent.to_string().contains("absent: No such file"), "{absent}");
    assert_eq!(verify(&[], &Options::default()).expect_err("no input"), VerifyError::NoInput);
    let twice = verify(&[Input::Stdin, Input::Stdin], &Options::default());
    assert_eq!(twice.expect_err("stdin twice"), VerifyError::StdinTwice(2));
}

#[test]
fn a_line_that_is_no_row_is_named() {
    let text = json_lines(&complete()).replacen('\n', "\nnot a row\n{\"seq\":1}\n", 1);
    let report = lines_report(text.as_bytes());
    assert_eq!(report.exit_code(), 2);
    let rows: Vec<_> = report.sinks[0].unreadable.named.iter().map(|u| u.row).collect();
    assert_eq!(rows, [Some(2), Some(3)]);
    assert!(report.sinks[0].runs[0].problems.is_empty());
}

#[test]
fn a_cut_line_is_an_open_end_but_not_behind_the_end() {
    let text = json_lines(&play(&super::script::attempts(), 40, false));
    let report = lines_report(&text.as_bytes()[..text.len() - 20]);
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(report.sinks[0].torn.is_some());

    let whole = json_lines(&complete());
    let report = lines_report((whole + "{\"class\":\"fi").as_bytes());
    assert_eq!(report.exit_code(), 2);
}

#[test]
fn a_file_is_recognized_by_what_is_in_it() {
    let top = tempfile::tempdir().expect("a directory");
    let path = top.path().join("rows");
    fs::write(&path, json_lines(&complete())).expect("write");
    assert_eq!(verify_path(&path).exit_code(), 0);
    let files = write_tree(top.path(), &complete());
    fs::copy(file_of(&files, "file", 0), &path).expect("copy");
    assert_eq!(verify_path(&path).exit_code(), 3);
    fs::write(&path, "some text").expect("write");
    assert!(verify_path(&path).to_string().contains("neither Parquet nor JSON lines"));
}
