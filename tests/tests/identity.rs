//! Who did it: keys that are never used twice, creators that stay creators, and context at the first event. Needs root.

use std::collections::{BTreeMap, BTreeSet};

use weir_tests::capture::{Capture, Row, number, text};
use weir_tests::skip::skipped;

/// Children of the storm; a third of them have one more.
const STORM: usize = 6_000;
/// So few process ids are there meanwhile that each is used several times.
const PID_MAX: &str = "1500";
const SHORT_LIVED: usize = 10_000;

/// The machine's largest process id, put back at the end.
struct PidMax(String);

impl PidMax {
    const PATH: &str = "/proc/sys/kernel/pid_max";

    fn lower() -> Option<PidMax> {
        let before = std::fs::read_to_string(Self::PATH).ok()?;
        std::fs::write(Self::PATH, PID_MAX).ok()?;
        Some(PidMax(before))
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        std::fs::write(Self::PATH, &self.0).expect("the limit is put back");
    }
}

/// What a process of the storm said of itself, and the row in which it did.
fn said(row: &Row) -> Option<(String, String)> {
    let path = text(row, "path");
    let (own, creator) = path.strip_prefix("/no/such/storm/")?.split_once('/')?;
    Some((own.to_owned(), creator.to_owned()))
}

#[test]
fn a_storm_that_uses_every_process_id_again_keeps_every_creator() {
    let Some(limit) = PidMax::lower() else {
        return skipped("process ids used again", "pid_max cannot be changed here");
    };
    let children = STORM.to_string();
    let flags = ["--class", "process.fork,process.exit,file.open", "--ring-bytes", "32MiB"];
    let capture = Capture::of_success(&flags, &[env!("CARGO_BIN_EXE_trigger"), "storm", &children]);
    drop(limit);
    let lost: Vec<&Row> = capture.of_action("loss.gap").filter(|r| text(r, "reason") != "not_selected").collect();
    assert!(lost.is_empty(), "the storm fits in the rings: {lost:?}");
    let told: BTreeMap<String, (&Row, String)> = capture
        .of_action("file.open")
        .filter_map(|row| said(row).map(|(own, creator)| (own, (row, creator))))
        .collect();
    assert_eq!(told.len(), STORM + STORM.div_ceil(3) + 1, "everybody has said who it is");
    let mut adopted = 0;
    for (own, (row, creator)) in told.iter().filter(|(own, _)| *own != "root") {
        let (of_creator, _) = &told[creator];
        assert_eq!(number(row, "parent_key"), number(of_creator, "process_key"), "{own}: {row:?}");
        assert_eq!(text(row, "parent_comm"), "trigger", "{own}");
        assert!(text(row, "ancestors").starts_with("trigger"), "{row:?}");
        adopted += usize::from(number(row, "ppid") != number(of_creator, "pid"));
    }
    let rows = || told.values().map(|(row, _)| *row);
    let keys: BTreeSet<i64> = rows().map(|row| number(row, "process_key")).collect();
    let pids: BTreeSet<i64> = rows().map(|row| number(row, "pid")).collect();
    assert_eq!(keys.len(), told.len(), "a key names one process");
    assert!(pids.len() * 2 < keys.len(), "{} ids for {} processes: they were used again", pids.len(), keys.len());
    assert!(adopted > STORM / 10, "{adopted} were adopted");
    let forks: BTreeSet<i64> = capture.of_action("process.fork").map(|row| number(row, "child_key")).collect();
    let unforked: Vec<i64> = rows().map(|r| number(r, "process_key")).filter(|key| !forks.contains(key)).collect();
    assert_eq!(unforked, [number(told["root"].0, "process_key")], "all but the first were forked here");
    println!("{} processes, {} process ids, {adopted} adopted", keys.len(), pids.len());
}

#[test]
fn every_short_lived_child_has_its_program_its_arguments_and_its_creator() {
    let script = format!("i=0; while [ $i -lt {SHORT_LIVED} ]; do sh -c true; i=$((i+1)); done");
    let flags = ["--class", "process", "--ring-bytes", "32MiB"];
    let capture = Capture::of_success(&flags, &["sh", "-c", &script]);
    let sh = std::fs::canonicalize("/bin/sh").expect("a shell");
    let sh = sh.to_str().expect("UTF-8");
    let outer = capture.of_action("process.exec").find(|r| text(r, "cmdline").contains("while")).expect("the first");
    let outer_key = number(outer, "process_key");
    let whole = |row: &Row| {
        text(row, "exe") == sh
            && text(row, "cmdline") == "sh -c true"
            && number(row, "parent_key") == outer_key
            && (text(row, "parent_comm").as_str(), text(row, "parent_exe").as_str()) == ("sh", sh)
            && text(row, "parent_cmdline") == text(outer, "cmdline")
            && text(row, "ancestors").starts_with("sh")
            && text(row, "user_name") == "root"
            && text(row, "cwd") == text(outer, "cwd")
            && !text(row, "cwd").is_empty()
    };
    for action in ["process.exec", "process.exit"] {
        let rows: Vec<&Row> = capture.of_action(action).filter(|r| number(r, "process_key") != outer_key).collect();
        let wrong: Vec<_> = rows.iter().filter(|row| !whole(row)).collect();
        assert_eq!(rows.len(), SHORT_LIVED, "{action}");
        assert!(wrong.is_empty(), "{action}: {} of {}, the first: {:?}", wrong.len(), rows.len(), wrong[0]);
    }
}

#[test]
fn a_directory_that_was_changed_is_the_one_that_later_rows_name() {
    let script =
        "cd /tmp; cat /no/such/first; cd /usr/lib; cat /no/such/second; (cd /; cat /no/such/inner); cat /no/such/last";
    let capture = Capture::of(&["--class", "process,file.open"], &["sh", "-c", script]);
    let cwd_of = |name: &str| {
        let path = format!("/no/such/{name}");
        let row = capture.of_action("file.open").find(|r| text(r, "path") == path).expect("its row");
        text(row, "cwd")
    };
    let found = ["first", "second", "inner", "last"].map(cwd_of);
    let lib = std::fs::canonicalize("/usr/lib").expect("a directory");
    let lib = lib.to_str().expect("UTF-8");
    assert_eq!(found, ["/tmp", lib, "/", lib]);
}

#[test]
fn a_user_is_named_and_one_that_nobody_knows_is_not() {
    // 4242424 is nobody's.
    let script = "setpriv --reuid=daemon --clear-groups cat /no/such/daemon; setpriv --reuid=4242424 --clear-groups cat /no/such/unknown; true";
    let capture = Capture::of_success(&["--class", "file.open"], &["sh", "-c", script]);
    let row = |name: &str| {
        let path = format!("/no/such/{name}");
        capture.of_action("file.open").find(|r| text(r, "path") == path).expect("its row")
    };
    assert_eq!((number(row("daemon"), "uid"), text(row("daemon"), "user_name").as_str()), (1, "daemon"));
    assert_eq!(number(row("unknown"), "uid"), 4_242_424);
    assert!(!row("unknown").contains_key("user_name"));
}

#[test]
fn without_context_rows_have_what_the_kernel_says_and_no_more() {
    let capture = Capture::of_success(&["--class", "process", "--no-context"], &["sh", "-c", "sh -c true"]);
    let rows: Vec<&Row> = capture.of_action("process.exec").collect();
    assert!(rows.len() >= 2);
    for column in ["user_name", "parent_comm", "parent_exe", "parent_cmdline", "ancestors"] {
        assert!(rows.iter().all(|row| !row.contains_key(column)), "{column} is set");
    }
    assert!(rows.iter().all(|row| !text(row, "exe").is_empty() && !text(row, "cmdline").is_empty()));
}
