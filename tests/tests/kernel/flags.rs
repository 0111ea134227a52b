//! Class syscall: arguments as the registers held them and in words, durations only when asked for, numbers without a name.

use weir_tests::capture::{Capture, Row, number, text};
use weir_tests::compare::{differences, find};

const CALLS: &str = "open,access,openat2,mmap,mprotect,clone,socket,mount,unshare,fcntl,ptrace,prctl,waitid";

#[test]
fn calls_tell_their_arguments_in_words() {
    let capture =
        Capture::of_success(&["--class", "syscall", "--syscall", CALLS], &[env!("CARGO_BIN_EXE_trigger"), "flags"]);
    let mut wrong = vec![];
    for fact in &capture.facts {
        let (name, from, to) = (text(fact, "syscall"), number(fact, "from"), number(fact, "to"));
        let of_call = |r: &&Row| text(r, "syscall") == name && r.get("tid") == fact.get("tid");
        let rows: Vec<_> =
            capture.rows.iter().filter(of_call).filter(|r| (from..=to).contains(&number(r, "ktime_ns"))).collect();
        let [row] = rows[..] else {
            wrong.push(format!("{name}: {} rows", rows.len()));
            continue;
        };
        if text(row, "args_text") != text(fact, "args_text") {
            wrong.push(format!("{name}: expected {}, got {}", text(fact, "args_text"), text(row, "args_text")));
        }
        for (i, argument) in fact["arguments"].as_array().into_iter().flatten().enumerate() {
            let got = row.get(&format!("arg{i}")).is_some().then(|| number(row, &format!("arg{i}")));
            if got != argument.as_i64() {
                wrong.push(format!("{name}: arg{i}: expected {argument}, got {got:?}"));
            }
        }
        if (number(row, "ret"), number(row, "nr")) != (number(fact, "ret"), number(fact, "nr"))
            || row.contains_key("duration_ns")
        {
            wrong.push(format!("{name}: {row:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(capture.facts.len() >= 11, "{} calls", capture.facts.len());
}

#[test]
fn all_calls_are_recorded_and_what_no_table_names_by_its_number() {
    let capture =
        Capture::of_success(&["--class", "syscall", "--syscall", "all"], &[env!("CARGO_BIN_EXE_trigger"), "unnamed"]);
    assert_eq!(capture.facts.len(), 2);
    let (class, action) = find("syscall.call");
    for fact in &capture.facts {
        let rows = capture.rows_of(fact).into_iter().filter(|row| row.get("nr") == fact["expect"].get("nr"));
        let [row] = rows.collect::<Vec<_>>()[..] else { panic!("not one row of {}", text(fact, "step")) };
        assert_eq!(differences(class, action, row, fact), Vec::<String>::new(), "{}", text(fact, "step"));
    }
    let unnamed =
        capture.of_action("syscall.call").find(|row| !row.contains_key("syscall")).expect("a row without a name");
    assert_eq!((number(unnamed, "nr"), text(unnamed, "error").as_str()), (900, "ENOSYS"));
}
