//! Class syscall: arguments as the registers held them and in words, durations only when asked for.

use weir_tests::capture::{Capture, number, text};

const CALLS: &str = "open,access,openat2,mmap,mprotect,clone,socket,mount,unshare,fcntl,ptrace,prctl,waitid";

#[test]
fn calls_tell_their_arguments_in_words() {
    let capture =
        Capture::of_success(&["--class", "syscall", "--syscall", CALLS], &[env!("CARGO_BIN_EXE_trigger"), "flags"]);
    let mut wrong = vec![];
    for fact in &capture.facts {
        let (name, from, to) = (text(fact, "syscall"), number(fact, "from"), number(fact, "to"));
        let of_call = |r: &&weir_tests::capture::Row| text(r, "syscall") == name && r.get("tid") == fact.get("tid");
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
