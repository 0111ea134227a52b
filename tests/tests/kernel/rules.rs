//! What the kernel does at the enter and exit of calls, with odd programs and odd texts: each a rule that rows must keep.

use std::sync::OnceLock;

use serde_json::{Value, json};
use weir_tests::capture::{Capture, Row, number, text};
use weir_tests::compare::{agrees, check, who_differs};
use weir_tests::skip::skipped;

/// Calls by name, among them those that a 32-bit number must not be taken for.
const CALLS: &str = "getppid,getpid,writev,fstat,read,nanosleep,clone,rt_sigreturn";

fn capture() -> &'static Capture {
    static CAPTURE: OnceLock<Capture> = OnceLock::new();
    let capture = CAPTURE.get_or_init(|| {
        let flags =
            ["--class", "process,file,network.connect", "--syscall", CALLS, "--durations", "--ring-bytes", "32MiB"];
        Capture::of(&flags, &[env!("CARGO_BIN_EXE_trigger"), "rules"])
    });
    assert!(capture.status.success(), "{}\n{}", capture.status, capture.stderr);
    capture
}

/// Facts of the steps whose names have this in them.
fn facts(what: &str) -> Vec<&'static Row> {
    capture().facts.iter().filter(|f| text(f, "step").contains(what)).collect()
}

fn check_steps(what: &str) {
    let facts = facts(what);
    assert!(!facts.is_empty(), "no step {what}");
    check(capture(), &facts);
}

/// Rows of class syscall, of this thread (or any) and in the time of the fact.
fn calls_of(fact: &Row, syscall: &str, tid: Option<i64>) -> Vec<&'static Row> {
    let (from, to) = (number(fact, "from"), number(fact, "to"));
    capture()
        .of_action("syscall.call")
        .filter(|r| text(r, "syscall") == syscall && (from..=to).contains(&number(r, "ktime_ns")))
        .filter(|r| tid.is_none_or(|tid| number(r, "tid") == tid))
        .collect()
}

/// Rows of a process with this action.
fn attempts_of(pid: i64, action: &str) -> Vec<&'static Row> {
    capture().of_action(action).filter(|r| number(r, "pid") == pid).collect()
}

fn one<T: std::fmt::Debug>(mut rows: Vec<T>) -> T {
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

fn without_32_bits(what: &str) -> bool {
    let absent = capture().facts.iter().any(|f| text(f, "action") == "skipped" && text(f, "step").contains("32-bit"));
    if absent {
        skipped(what, "this kernel runs no 32-bit programs");
    }
    absent
}

#[test]
fn a_path_that_no_one_has_touched_is_complete() {
    let fact = capture().fact("fresh");
    let pids: Vec<i64> = fact["pids"].as_array().expect("pids").iter().filter_map(Value::as_i64).collect();
    for pid in &pids {
        let found =
            attempts_of(*pid, "file.open").into_iter().filter(|r| text(r, "path") == text(fact, "path")).count();
        assert_eq!(found, 1, "opens of {} by {pid}", text(fact, "path"));
    }
    assert!(pids.len() > 30, "{} programs", pids.len());
}

#[test]
fn a_call_that_seccomp_denies_is_a_row_without_the_duration_of_another() {
    check_steps("seccomp:");
}

/// Opens of the process of the fact, in its time.
fn opens_of(fact: &Row) -> impl Iterator<Item = &'static Row> {
    let time = number(fact, "from")..=number(fact, "to");
    attempts_of(number(fact, "pid"), "file.open").into_iter().filter(move |r| time.contains(&number(r, "ktime_ns")))
}

#[test]
fn a_path_that_fills_its_room_is_not_cut() {
    let found: Vec<_> = opens_of(capture().fact("longest path"))
        .map(|r| (text(r, "error"), text(r, "path_raw").len(), text(r, "path").len(), r["path_truncated"] == true))
        .collect();
    let expected = [("ENOENT", false), ("ENAMETOOLONG", true)];
    assert_eq!(found, expected.map(|(error, is_cut)| (error.to_owned(), 4095, 4095, is_cut)));
}

#[test]
fn an_open_says_what_it_made_and_what_it_emptied() {
    let fact = capture().fact("made and emptied");
    let found: Vec<Value> = opens_of(fact).map(|r| json!([r["created"], r["truncated"]])).collect();
    assert_eq!(json!(found), fact["expected"]);
}

#[test]
fn a_fork_in_a_pid_namespace_returns_what_its_parent_is_told() {
    let fact = capture().fact("new child in a namespace");
    let row = one(attempts_of(number(fact, "pid"), "process.fork"));
    assert_eq!((number(row, "ret"), number(fact, "ret")), (2, 2), "{row:?}");
    let child = number(row, "child_pid");
    assert_eq!(capture().of_action("process.exit").filter(|r| number(r, "pid") == child).count(), 1, "{row:?}");
}

#[test]
fn a_call_that_seccomp_traps_never_succeeded() {
    let fact = capture().fact("trapped");
    let pid = number(fact, "pid");
    let actions =
        ["file.open", "file.unlink", "file.mkdir", "network.connect", "process.setuid", "process.kill", "syscall.call"];
    for action in actions {
        let is_it = |r: &&Row| action != "syscall.call" || text(r, "syscall") == "getppid";
        let row = one(attempts_of(pid, action).into_iter().filter(is_it).collect());
        assert_eq!(text(row, "error"), "SECCOMP", "{row:?}");
        for column in ["ret", "fd", "ino", "dev", "duration_ns"] {
            assert!(!row.contains_key(column) || (column == "fd" && action == "network.connect"), "{column}: {row:?}");
        }
        if action.starts_with("file") {
            let found = (text(row, "path"), text(row, "path_source"));
            assert_eq!(found, (text(fact, "path"), "argument".to_owned()), "{row:?}");
        }
    }
    for pid in capture().fact("killed")["pids"].as_array().expect("pids").iter().filter_map(Value::as_i64) {
        let row = one(attempts_of(pid, "file.mkdir"));
        assert_eq!((text(row, "error").as_str(), row.contains_key("ret")), ("SECCOMP", false), "{row:?}");
    }
}

#[test]
fn a_call_that_its_program_dispatches_to_itself_is_no_row() {
    assert!(attempts_of(number(capture().fact("dispatched"), "pid"), "file.mkdir").is_empty());
}

#[test]
fn a_signal_of_its_own_makes_no_call_a_refused_one() {
    let fact = capture().fact("forged");
    let row = one(attempts_of(number(fact, "pid"), "file.open"));
    assert_eq!((number(row, "ret"), text(row, "path")), (number(fact, "ret"), text(fact, "path")), "{row:?}");
    assert!(!row.contains_key("error"), "{row:?}");
}

#[test]
fn a_call_that_starts_again_has_a_row_for_each_exit() {
    let fact = capture().fact("restarted read");
    let rows = calls_of(fact, "read", Some(number(fact, "tid")));
    let results: Vec<i64> = rows.iter().map(|r| number(r, "ret")).collect();
    assert_eq!(results, [-512, 1]);
    assert_eq!(text(rows[0], "error"), "ERESTARTSYS");
    assert!(number(rows[0], "duration_ns") > 10_000_000, "it waited for the signal");
    assert!(number(rows[1], "duration_ns") < 10_000_000, "the byte was there");
    let fact = capture().fact("interrupted nanosleep");
    let row = one(calls_of(fact, "nanosleep", Some(number(fact, "tid"))));
    assert_eq!((number(row, "ret"), text(row, "error").as_str()), (-516, "ERESTART_RESTARTBLOCK"));
}

#[test]
fn the_return_from_a_signal_handler_is_no_row() {
    assert!(facts("restarted read").len() == 1, "a handler has run");
    assert_eq!(capture().rows.iter().filter(|r| text(r, "syscall") == "rt_sigreturn").count(), 0);
    assert!(capture().rows.iter().all(|r| r.get("nr").is_none_or(|nr| nr.as_i64() != Some(-1))));
}

#[test]
fn a_new_child_returns_zero_from_a_call_that_it_never_began() {
    let fact = capture().fact("new child");
    let child = one(calls_of(fact, "clone", Some(number(fact, "child"))));
    assert_eq!((number(child, "ret"), child.get("duration_ns")), (0, None));
    let parent = one(calls_of(fact, "clone", Some(number(fact, "pid"))));
    assert_eq!(number(parent, "ret"), number(fact, "child"));
    assert!(number(parent, "duration_ns") > 0);
}

#[test]
fn a_32_bit_call_is_never_named_by_the_64_bit_table() {
    if without_32_bits("32-bit calls") {
        return;
    }
    check_steps("32 bits: getpid");
    check_steps("32 bits: open");
    for fact in facts("32 bits: getpid") {
        assert_eq!(calls_of(fact, "writev", None).len(), 0, "number 20 of the other table");
    }
    for fact in facts("32 bits: open") {
        assert_eq!(calls_of(fact, "fstat", None).len(), 0, "number 5 of the other table");
    }
}

#[test]
fn a_32_bit_program_is_started_and_ends_like_any_other() {
    if without_32_bits("32-bit programs") {
        return;
    }
    check_steps("process.exit  32 bits: a program");
    let fact = capture().fact("process.exec 32 bits: a program");
    let row = one(capture().rows_of(fact));
    assert_eq!(who_differs(row, &fact["who"]), Vec::<String>::new());
    for (column, expected) in fact["some"].as_object().expect("columns") {
        assert!(agrees(expected, row.get(column)), "{column}: {expected}, {:?}", row.get(column));
    }
}

#[test]
fn odd_texts_are_kept_and_marked() {
    check_steps("odd text:");
}

#[test]
fn arguments_are_complete_up_to_a_limit_and_a_cut_is_marked() {
    let fact = capture().fact("many arguments");
    let row = one(attempts_of(number(fact, "pid"), "process.exec"));
    let args = row["args"].as_array().expect("arguments");
    assert_eq!((args.len() as i64, &row["args_truncated"]), (number(fact, "count"), &json!(false)));
    assert_eq!(args.last(), Some(&json!("argument-1999")));

    let row = one(attempts_of(number(capture().fact("a long argument"), "pid"), "process.exec"));
    let args = row["args"].as_array().expect("arguments");
    assert_eq!((&args[0], &args[1], &row["args_truncated"]), (&json!("trigger"), &json!("nothing"), &json!(true)));
    assert!(
        args[2].as_str().is_some_and(|a| a.len() > 16_000 && a.bytes().all(|b| b == b'x')),
        "the beginning is there"
    );

    let row = one(attempts_of(number(capture().fact("an argument that is no UTF-8"), "pid"), "process.exec"));
    assert_eq!((&row["args"][2], &row["text_escaped"]), (&json!("a\\xffb"), &json!(true)));

    let fact = capture().fact("many arguments for nothing");
    let (from, to) = (number(fact, "from"), number(fact, "to"));
    let failed = attempts_of(number(fact, "tid"), "process.exec");
    let row = one(failed.into_iter().filter(|r| (from..=to).contains(&number(r, "ktime_ns"))).collect());
    let args = row["args"].as_array().expect("arguments");
    assert_eq!((text(row, "error").as_str(), &row["args_truncated"]), ("ENOENT", &json!(args.len() < 200)));
    assert!(args.len() >= 32 && args.iter().enumerate().all(|(i, a)| *a == json!(format!("word-{i}"))), "{args:?}");
}

#[test]
fn a_path_inside_a_changed_root_has_the_whole_prefix() {
    check_steps("chroot:");
}

#[test]
fn a_thread_has_its_own_id_and_is_no_fork() {
    check_steps("thread:");
    let fact = one(facts("thread: its own id"));
    assert_ne!(fact["who"]["pid"], fact["who"]["tid"]);
    let fact = capture().fact("threads");
    let (from, to) = (number(fact, "from"), number(fact, "to"));
    let forks = capture().of_action("process.fork").filter(|r| (from..=to).contains(&number(r, "ktime_ns"))).count();
    let exits = capture().of_action("process.exit").filter(|r| (from..=to).contains(&number(r, "ktime_ns"))).count();
    assert_eq!((forks, exits), (0, 0));
}

#[test]
fn a_name_in_a_removed_directory_keeps_the_directory() {
    check_steps("removed directory:");
}

#[test]
fn forks_and_exits_are_told_once_per_process() {
    let forks: Vec<i64> = capture()
        .of_action("process.fork")
        .filter(|r| !r.contains_key("error"))
        .map(|r| number(r, "child_key"))
        .collect();
    let exits: Vec<i64> = capture().of_action("process.exit").map(|r| number(r, "process_key")).collect();
    let unique = |keys: &[i64]| keys.iter().collect::<std::collections::BTreeSet<_>>().len() == keys.len();
    assert!(forks.len() > 140 && unique(&forks), "{} forks", forks.len());
    assert!(unique(&exits) && forks.iter().all(|key| exits.contains(key)), "every child ended, once");
    let by_others = capture().of_action("process.exit").filter(|r| r.get("tid") != r.get("pid")).count();
    assert_eq!(by_others, 0, "an end is the process's, whichever thread was the last");
}

#[test]
fn nothing_is_lost_and_every_number_is_accounted_for() {
    assert!(capture().stderr.contains("every number is accounted for"), "{}", capture().stderr);
    let gaps: Vec<_> = capture().of_action("loss.gap").filter(|r| text(r, "reason") != "not_selected").collect();
    assert!(gaps.is_empty(), "{gaps:?}");
}
