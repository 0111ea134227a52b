//! Absolute paths in every odd place, against what /proc calls the same file. Needs root and python3.

use std::process::Command;

use serde_json::Value;
use weir_tests::capture::{Capture, Row, number, text};
use weir_tests::skip::skipped;

/// Steps of the script, and those of them that need an overlay.
const STEPS: usize = 14;
const STEPS_IN_OVERLAY: usize = 3;

/// Rows of the opens behind each mark.
fn behind_mark<'a>(rows: &'a [&'a Row], step: &str) -> &'a Row {
    let mark = format!("/no/such/step-{step}");
    let at = rows.iter().position(|r| text(r, "path").ends_with(&mark)).unwrap_or_else(|| panic!("no mark of {step}"));
    let pid = number(rows[at], "pid");
    rows[at + 1..]
        .iter()
        .find(|r| number(r, "pid") == pid)
        .unwrap_or_else(|| panic!("nothing behind the mark of {step}"))
}

#[test]
fn a_file_is_called_what_proc_calls_it_wherever_it_is() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return skipped("paths in odd places", "no python3");
    }
    let scratch = tempfile::Builder::new().prefix("weir-paths-").tempdir_in("/tmp").expect("a directory");
    let script = scratch.path().join("paths.py");
    std::fs::write(&script, include_str!("support/paths.py")).expect("the script");
    let top = scratch.path().join("top");
    std::fs::create_dir(&top).expect("a directory");
    let (said, paths) = (scratch.path().join("said"), |p: &std::path::Path| p.to_str().expect("UTF-8").to_owned());
    let command = format!("unshare -m python3 {} {} > {}", paths(&script), paths(&top), paths(&said));
    let capture = Capture::of_success(&["--class", "file.open"], &["sh", "-c", &command]);
    let rows: Vec<&Row> = capture.of_action("file.open").filter(|r| text(r, "comm") == "python3").collect();
    let said = std::fs::read_to_string(&said).expect("what it said");
    let mut steps = 0;
    for line in said.lines() {
        let fact: Value = serde_json::from_str(line).expect("JSON");
        let (step, named) = (fact["step"].as_str().expect("a step"), fact["named"].as_str().expect("a name"));
        if step == "skipped" {
            skipped("paths in an overlay", named);
            steps += STEPS_IN_OVERLAY;
            continue;
        }
        steps += 1;
        let row = behind_mark(&rows, step);
        let path = text(row, "path");
        match step {
            "long" => {
                assert!(row["path_truncated"] == true && path.ends_with("/end"), "{step}: {path}");
                assert!(path.starts_with(".../"), "{step}: {path}");
                assert!(path.len() > 3_000, "{step}: {} bytes are kept", path.len());
            }
            "deleted" => {
                assert_eq!(path, named.trim_end_matches(" (deleted)"), "{step}");
                assert_eq!(text(row, "path_state"), "deleted", "{row:?}");
            }
            "memfd" => assert_eq!(path, named.trim_end_matches(" (deleted)"), "{step}"),
            _ => assert_eq!(path, named, "{step}: {row:?}"),
        }
        assert_eq!(text(row, "path_source"), "kernel", "{step}");
    }
    assert_eq!(steps, STEPS, "{said}");
}
