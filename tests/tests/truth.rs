//! A workload that `strace` and weir watch at once: what one saw, the other saw.

mod support;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use support::build::write_sources;
use support::program::{command, run, run_into, weir};
use support::rows::{Row, rows};
use support::skip::{has, is_root, note};
use support::strace::{self, Call, Line, What};

/// Actions that both can name.
const CLASSES: &str = "process.exec,process.fork,process.exit,process.kill,file.open,file.unlink,file.rmdir,file.rename,\
                       file.mkdir,file.mount,file.umount,file.mount_setattr,file.pivot_root,network.connect,network.bind";
/// Their calls.
const CALLS: &str = "trace=execve,execveat,open,openat,openat2,creat,unlink,unlinkat,rmdir,rename,renameat,renameat2,\
                     mkdir,mkdirat,mount,move_mount,umount2,mount_setattr,pivot_root,connect,bind,clone,clone3,fork,vfork,\
                     kill,tkill,tgkill,pidfd_send_signal";
/// Sources of the program that the workload builds.
const SOURCES: u32 = 4;
/// Signals that end a process of the workload.
const SIGNALS: &[(&str, i64)] =
    &[("SIGKILL", 9), ("SIGPIPE", 13), ("SIGTERM", 15), ("SIGHUP", 1), ("SIGINT", 2), ("SIGSYS", 31)];

/// What both can say of one event: who (a thread; for an end the process), what, how it went, and its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    action: String,
    id: i64,
    /// The return value, or the error's name.
    result: String,
    text: String,
}

fn event(action: &str, id: i64, result: String, text: String) -> Event {
    Event { action: action.to_owned(), id, result, text }
}

// --- what strace saw ---

fn raw(args: &[String], at: usize) -> String {
    args.get(at).and_then(|arg| strace::text(arg)).unwrap_or_else(|| panic!("no text {at} in {args:?}"))
}

fn joined(dir: Option<String>, name: &str) -> String {
    match dir {
        Some(dir) if !name.starts_with('/') => format!("{}/{name}", dir.trim_end_matches('/')),
        _ => name.to_owned(),
    }
}

/// The file that was opened and the text that named it, or the name that could not be opened.
fn opened(call: &Call) -> String {
    let has_dir = call.name != "open" && call.name != "creat";
    let name = raw(&call.args, usize::from(has_dir));
    let dir = if has_dir { strace::path_behind(&call.args[0]) } else { None };
    match &call.file {
        Some(file) => format!("{file} by {name}"),
        None => joined(dir, &name),
    }
}

/// The words by which the kernel replaces the first argument, if the file that a descriptor named is a script.
fn interpreter(call: &Call) -> Option<Vec<String>> {
    let (fd, name) = (call.args[0].split_once('<')?.0, raw(&call.args, 1));
    let file = strace::path_behind(&call.args[0])?;
    let (file, text) = match name.as_str() {
        "" => (file, format!("/dev/fd/{fd}")),
        name => (joined(Some(file), name), format!("/dev/fd/{fd}/{name}")),
    };
    let script = String::from_utf8(fs::read(file).ok()?).ok()?;
    let first = script.strip_prefix("#!")?.lines().next()?;
    Some(first.split_whitespace().map(str::to_owned).chain([text]).collect())
}

fn executed(call: &Call) -> String {
    let at = usize::from(call.name == "execveat");
    let mut args = strace::texts(&call.args[at + 1]).unwrap_or_else(|| panic!("no list in {:?}", call.args));
    if let Some(words) = interpreter(call).filter(|_| call.name == "execveat") {
        args.splice(..1, words);
    }
    let args = if call.ret == 0 { args.join("\0") } else { String::new() };
    format!("{} {args:?}", raw(&call.args, at))
}

/// `AF_INET 127.0.0.1 80`, `AF_UNIX /path`, `AF_UNIX @name`; families without an address have only their name.
fn address(arg: &str) -> String {
    let family = strace::member(arg, "sa_family").unwrap_or_default();
    let port = |name: &str| {
        let port = strace::member(arg, name).unwrap_or_default();
        port.trim_start_matches("htons(").trim_end_matches(')').to_owned()
    };
    match family.as_str() {
        "AF_INET" => {
            let ip = strace::member(arg, "sin_addr").and_then(|a| strace::text(a.trim_end_matches(')')));
            format!("{family} {} {}", ip.unwrap_or_default(), port("sin_port"))
        }
        "AF_INET6" => {
            let ip = arg.split_once("inet_pton(AF_INET6, \"").and_then(|(_, rest)| rest.split_once('"'));
            format!("{family} {} {}", ip.map_or("", |(ip, _)| ip), port("sin6_port"))
        }
        "AF_UNIX" => {
            let path = strace::member(arg, "sun_path").unwrap_or_default();
            let sign = if path.starts_with('@') { "@" } else { "" };
            format!("{family} {sign}{}", strace::text(&path).unwrap_or_default())
        }
        _ => family,
    }
}

fn of_call(tid: i32, call: &Call) -> Option<Event> {
    let args = &call.args;
    let at = usize::from(call.name.contains("at"));
    let removes_dir = || args.iter().any(|arg| arg.contains("AT_REMOVEDIR"));
    let (action, text) = match call.name.as_str() {
        "execve" | "execveat" => ("exec", executed(call)),
        "open" | "openat" | "openat2" | "creat" => ("open", opened(call)),
        "rmdir" => ("rmdir", raw(args, 0)),
        "unlinkat" if removes_dir() => ("rmdir", raw(args, 1)),
        "unlink" | "unlinkat" => ("unlink", raw(args, at)),
        "mkdir" | "mkdirat" => ("mkdir", raw(args, at)),
        "rename" => ("rename", format!("{} > {}", raw(args, 0), raw(args, 1))),
        "renameat" | "renameat2" => ("rename", format!("{} > {}", raw(args, 1), raw(args, 3))),
        "mount" => ("mount", raw(args, 1)),
        "move_mount" => ("mount", raw(args, 3)),
        "umount2" => ("umount", raw(args, 0)),
        "mount_setattr" => ("mount_setattr", raw(args, 1)),
        "pivot_root" => ("pivot_root", format!("{} > {}", raw(args, 0), raw(args, 1))),
        "kill" | "tkill" => ("kill", format!("{} to {}", args[1], args[0])),
        "tgkill" => ("kill", format!("{} to {}", args[2], args[0])),
        "pidfd_send_signal" => {
            let process = strace::path_behind(&args[0]).and_then(|what| Some(what.strip_prefix("pid:")?.to_owned()));
            ("kill", format!("{} to {}", args[1], process.as_deref().unwrap_or("nobody")))
        }
        "connect" | "bind" => (call.name.as_str(), address(&args[1])),
        _ if args.iter().any(|arg| arg.contains("CLONE_THREAD")) => return None,
        _ => ("fork", String::new()),
    };
    let result = if call.error.is_empty() { call.ret.to_string() } else { call.error.clone() };
    Some(event(action, i64::from(tid), result, text))
}

/// Thread ids that are no process of their own.
fn threads(lines: &[Line]) -> HashSet<i64> {
    let of = |line: &Line| match &line.what {
        What::Call(call) if call.args.iter().any(|arg| arg.contains("CLONE_THREAD")) => Some(call.ret),
        _ => None,
    };
    lines.iter().filter_map(of).collect()
}

fn seen_by_strace(lines: &[Line]) -> Vec<Event> {
    let threads = threads(lines);
    let of = |line: &Line| {
        let id = i64::from(line.tid);
        let end = |text: String| (!threads.contains(&id)).then(|| event("exit", id, String::new(), text));
        match &line.what {
            What::Call(call) => of_call(line.tid, call),
            What::Exited(code) => end(format!("code {code}")),
            What::Killed(name) => {
                let number = SIGNALS.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no number of {name}")).1;
                end(format!("signal {number}"))
            }
        }
    };
    lines.iter().filter_map(of).collect()
}

// --- what weir saw ---

fn text_of(row: &Row) -> String {
    match row.text("action") {
        "exec" => {
            let args: Vec<&str> = row.0["args"].as_array().into_iter().flatten().filter_map(|a| a.as_str()).collect();
            let args = if row.number("ret") == Some(0) { args.join("\0") } else { String::new() };
            format!("{} {args:?}", row.text("path_raw"))
        }
        "open" if row.text("error").is_empty() => format!("{} by {}", row.text("path"), row.text("path_raw")),
        "open" => {
            let dir = row.text("path_dir");
            joined((!dir.is_empty()).then(|| dir.to_owned()), row.text("path_raw"))
        }
        "kill" => {
            // Of a process that is gone strace does not know any more that it was behind the pidfd.
            let is_gone = row.number("fd").is_some() && !row.text("error").is_empty();
            let target = row.number("target_pid").filter(|_| !is_gone);
            let target = target.map_or("nobody".to_owned(), |pid| pid.to_string());
            format!("{} to {target}", row.text("signal_text"))
        }
        "mount" | "umount" | "mount_setattr" => row.text("path_raw").to_owned(),
        "rename" | "pivot_root" => format!("{} > {}", row.text("path_raw"), row.text("new_path_raw")),
        "unlink" | "rmdir" | "mkdir" => row.text("path_raw").to_owned(),
        "connect" => ends(row, "remote_ip", "remote_port"),
        "bind" => ends(row, "local_ip", "local_port"),
        "exit" => match row.number("exit_signal") {
            Some(signal) => format!("signal {signal}"),
            None => format!("code {}", row.number("exit_code").unwrap_or(i64::MIN)),
        },
        _ => String::new(),
    }
}

fn ends(row: &Row, ip: &str, port: &str) -> String {
    match row.text("family") {
        "AF_UNIX" => format!("AF_UNIX {}", row.text("unix_path")),
        family if row.text(ip).is_empty() => family.to_owned(),
        family => format!("{family} {} {}", row.text(ip), row.number(port).unwrap_or(-1)),
    }
}

fn of_row(row: &Row) -> Event {
    let is_end = row.text("action") == "exit";
    let id = row.number(if is_end { "pid" } else { "tid" }).expect("an event of a task");
    let ret = row.number("ret").map_or(String::new(), |ret| ret.to_string());
    let result = if row.text("error").is_empty() { ret } else { row.text("error").to_owned() };
    event(row.text("action"), id, result, text_of(row))
}

/// Rows of the workload alone: not those of strace, nor of the children by which it tries the kernel out.
fn seen_by_weir(rows: &[Row], first: i64) -> Vec<Event> {
    let is_strace =
        |row: &&Row| row.text("action") == "exec" && row.0["args"][0] == "strace" && row.number("ret") == Some(0);
    let strace = rows.iter().find(is_strace).and_then(|row| row.number("pid")).expect("strace was executed");
    let of_strace = |row: &&Row| row.number("pid") == Some(strace);
    let children = rows.iter().filter(of_strace).filter_map(|row| row.number("child_pid"));
    let mut left_out: HashSet<i64> = children.filter(|child| *child != first).collect();
    left_out.insert(strace);
    // strace sees no return of a SIGKILL to oneself, nor the SIGSTOP by which its child waits to be traced.
    let is_to_itself = |row: &Row| row.text("action") == "kill" && row.number("target_pid") == row.number("pid");
    let is_unseen = |row: &Row| is_to_itself(row) && ["SIGKILL", "SIGSTOP"].contains(&row.text("signal_text"));
    let wanted = |row: &&Row| {
        row.text("class") != "loss" && !left_out.contains(&row.number("pid").unwrap_or(-1)) && !is_unseen(row)
    };
    rows.iter().filter(wanted).map(of_row).collect()
}

// --- the comparison ---

fn multiset(events: &[Event]) -> BTreeMap<&Event, i64> {
    let mut counts = BTreeMap::new();
    events.iter().for_each(|event| *counts.entry(event).or_insert(0) += 1);
    counts
}

fn expect_same(truth: &[Event], seen: &[Event]) {
    let (expected, found) = (multiset(truth), multiset(seen));
    let more = |a: &BTreeMap<&Event, i64>, b: &BTreeMap<&Event, i64>| -> Vec<String> {
        let more = a.iter().filter(|(event, n)| **n > b.get(*event).copied().unwrap_or(0));
        more.map(|(event, n)| format!("{n}x {event:?}")).collect()
    };
    let (missed, invented) = (more(&expected, &found), more(&found, &expected));
    assert!(
        missed.is_empty() && invented.is_empty(),
        "missed {}:\n{}\ninvented {}:\n{}",
        missed.len(),
        missed.join("\n"),
        invented.len(),
        invented.join("\n")
    );
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn write_workload(dir: &Path) {
    fs::write(dir.join("workload.sh"), include_str!("support/workload.sh")).expect("the script");
    fs::write(dir.join("workload.py"), include_str!("support/workload.py")).expect("the Python program");
    fs::write(dir.join("odd.py"), include_str!("support/odd.py")).expect("the odd one");
    write_sources(&dir.join("source"), SOURCES);
}

/// The interpreter itself: what is called `python3` can be a script that looks for it.
fn python() -> String {
    let found = run(command("python3").args(["-c", "import sys; print(sys.executable)"])).expect_code(0);
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

#[test]
fn strace_and_weir_see_the_same_calls_of_a_build_a_pipeline_and_a_program_with_sockets() {
    let what = "ground truth";
    let tools = [("strace", "-V"), ("make", "-v"), ("cc", "--version"), ("python3", "-V")];
    if !is_root(what) || !tools.iter().all(|(tool, probe)| has(what, tool, probe)) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    // Without symbolic links, so that both witnesses write the same path.
    let dir = scratch.path().canonicalize().expect("the scratch directory");
    write_workload(&dir);
    let log = dir.join("strace.log");
    let lines = fs::File::create(dir.join("rows.jsonl")).expect("a file for the rows");
    let mut weir = weir(&[
        "run",
        "--status",
        "never",
        "--stdout",
        "json",
        "--class",
        CLASSES,
        "--",
        "strace",
        "-f",
        "--decode-fds=path,pidfd",
    ]);
    weir.args(["-s", "4096", "-e", CALLS, "-o"]).arg(&log).args(["sh", "workload.sh"]).current_dir(&dir);
    weir.env("PYTHON", python()).env("PORT", free_port().to_string()).env("DEAD_PORT", free_port().to_string());
    run_into(&mut weir, lines).expect_code(0);

    let log = fs::read(&log).expect("the log of strace");
    let lines = strace::lines(&String::from_utf8_lossy(&log));
    let truth = seen_by_strace(&lines);
    let rows = rows(&fs::read(dir.join("rows.jsonl")).expect("the rows"));
    assert!(
        !rows.iter().any(|row| row.text("action") == "gap" && row.text("reason") != "not_selected"),
        "nothing is lost"
    );
    let first = lines.first().map(|line| i64::from(line.tid)).expect("strace saw something");
    let seen = seen_by_weir(&rows, first);
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    truth.iter().for_each(|event| counts.entry(&event.action).or_default().0 += 1);
    truth.iter().filter(|e| e.result.starts_with('E')).for_each(|e| counts.entry(&e.action).or_default().1 += 1);
    note(format_args!(
        "{what}: {} events, (all, failed) by action: {counts:?}; weir has {} rows",
        truth.len(),
        seen.len()
    ));
    for action in [
        "exec",
        "fork",
        "exit",
        "kill",
        "open",
        "unlink",
        "rmdir",
        "rename",
        "mkdir",
        "mount",
        "umount",
        "mount_setattr",
        "pivot_root",
        "connect",
        "bind",
    ] {
        assert!(counts.contains_key(action), "the workload has no {action}");
    }
    expect_same(&truth, &seen);
}
