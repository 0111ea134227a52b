//! Processes that were alive before `weir`: one row each, and their names in later rows.

use std::process::Command;

use weir_tests::capture::{Row, number, text, weir};
use weir_tests::compare::is_key;
use weir_tests::live::{Live, Obedient};

#[test]
fn process_running() {
    let program = env!("CARGO_BIN_EXE_trigger");
    let mut old = Obedient::start(program);
    let pid = old.pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let start =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok()).expect("a start");
    let mut live = Live::start(&["--class", "process,file.mkdir"]);
    let path = format!("/no/such/{}", old.label("begin"));
    live.until(|| old.act("begin"), |r| text(r, "path") == path);
    let rows = live.stop();
    let running: Vec<_> = rows.iter().filter(|r| text(r, "action") == "running").collect();
    let own: Vec<_> = running.iter().filter(|r| number(r, "pid") == pid).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    let row = own[0];
    assert_eq!(number(row, "cpu"), -1, "made in user space");
    assert_eq!((text(row, "comm").as_str(), text(row, "exe").as_str()), ("trigger", program));
    assert_eq!(text(row, "cmdline"), format!("{program} obey"));
    assert_eq!(number(row, "ppid"), i64::from(std::process::id()));
    assert_eq!((number(row, "uid"), number(row, "gid"), number(row, "tid")), (0, 0, pid));
    assert!(is_key(number(row, "process_key"), pid, start), "{row:?}");
    for column in ["ret", "error", "path", "args", "child_pid", "exit_code", "duration_ns", "flags", "ruid"] {
        assert!(!row.contains_key(column), "{column} is set: {row:?}");
    }
    let keys: std::collections::BTreeSet<_> = running.iter().map(|r| text(r, "process_key")).collect();
    assert_eq!(keys.len(), running.len(), "each process once");
    let later = rows.iter().find(|r| text(r, "path") == path).expect("its row");
    for column in ["process_key", "parent_key", "exe", "cmdline", "cgroup_id"] {
        assert_eq!(later.get(column), row.get(column), "{column}");
    }
}

/// Hundredths of a second since the boot.
fn uptime() -> i64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("/proc");
    text.split_whitespace().next().and_then(|s| s.replace('.', "").parse().ok()).expect("seconds")
}

#[test]
fn a_run_without_any_event_ends_at_its_own_time() {
    let before = uptime();
    // What nothing here does.
    let arguments =
        ["run", "--class", "kernel.kexec_load", "--stdout", "json", "--status", "never", "--duration", "100ms"];
    let output = Command::new(weir()).args(arguments).output().expect("weir starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Row> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    assert!(rows.iter().any(|row| text(row, "action") == "end"), "{rows:?}");
    for row in &rows {
        assert!((before..=uptime()).contains(&(number(row, "ktime_ns") / 10_000_000)), "{before} and {row:?}");
    }
}
