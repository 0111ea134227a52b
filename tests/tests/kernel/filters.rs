//! Each filter and its exclusion keep and omit the right rows, on attempts that differ in just what is asked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use weir_tests::capture::{Capture, Row, text};
use weir_tests::live::{Live, Obedient};
use weir_tests::skip::skipped;

const TRIGGER: &str = env!("CARGO_BIN_EXE_trigger");

/// Every label of `trigger labels`, but for that of the cgroup.
const ALL: &[&str] =
    &["plain", "succeeded", "user", "comm", "container", "in", "in-by-dots", "in-by-more-dots", "out-by-dots", "out"];

fn label(row: &Row) -> String {
    text(row, "path").rsplit('/').next().unwrap_or_default().to_owned()
}

fn labels(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().filter(|r| text(r, "action") == "mkdir").map(label).collect()
}

fn run(flags: &[&str]) -> Capture {
    Capture::of_success(flags, &[TRIGGER, "labels"])
}

/// With the filter just these labels are rows, with the exclusion just all others.
fn check(only: &[&str], except: &[&str], kept: &[&str]) {
    let kept: BTreeSet<String> = kept.iter().map(|l| (*l).to_owned()).collect();
    let others: BTreeSet<String> = ALL.iter().map(|l| (*l).to_owned()).filter(|l| !kept.contains(l)).collect();
    let with = |filter: &[&str]| labels(&run(&[&["--class", "file.mkdir"], filter].concat()).rows);
    assert_eq!(with(only), kept, "{only:?}");
    assert_eq!(with(except), others, "{except:?}");
}

#[test]
fn users() {
    check(&["--only-user", "12345"], &["--except-user", "12345"], &["user"]);
}

#[test]
fn names_of_threads() {
    check(&["--only-comm", "labelled"], &["--except-comm", "labelled"], &["comm"]);
}

#[test]
fn containers() {
    check(&["--containers"], &["--no-containers"], &["container"]);
}

#[test]
fn results() {
    check(&["--succeeded"], &["--failed"], &["succeeded"]);
}

#[test]
fn path_prefixes_look_through_dots() {
    let area = "/no/such/area/";
    check(&["--only-path", area], &["--except-path", area], &["in", "in-by-dots", "in-by-more-dots"]);
}

#[test]
fn path_prefixes_are_asked_of_the_kernels_own_paths() {
    let opened = |filter: &[&str]| {
        let capture = run(&[&["--class", "file.open"], filter].concat());
        capture.rows.iter().filter(|r| text(r, "path") == "/proc/version").count()
    };
    assert_eq!((opened(&["--only-path", "/proc/"]), opened(&["--only-path", "/etc/"])), (1, 0));
    assert_eq!((opened(&["--except-path", "/etc/"]), opened(&["--except-path", "/proc/version"])), (1, 0));
}

/// A cgroup v2 directory of the test's own, or the reason why there is none.
fn cgroup() -> Result<PathBuf, String> {
    let mounts = std::fs::read_to_string("/proc/mounts").map_err(|e| e.to_string())?;
    let mut fields = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let root = fields.find(|f| f[2] == "cgroup2").ok_or("cgroup v2 is not mounted")?[1].to_owned();
    let own = PathBuf::from(root).join(format!("weir-test-{}", std::process::id()));
    std::fs::create_dir(&own).map_err(|e| format!("{}: {e}", own.display()))?;
    Ok(own)
}

#[test]
fn cgroups() {
    let own = match cgroup() {
        Ok(own) => own,
        Err(reason) => return skipped("the filter by cgroup", &reason),
    };
    let name = format!("/{}", own.file_name().expect("a name").to_string_lossy());
    let with = |flag: &str| {
        let command = ["env", &format!("TRIGGER_CGROUP={}", own.display()), TRIGGER, "labels"];
        labels(&Capture::of_success(&["--class", "file.mkdir", flag, &name], &command).rows)
    };
    let (only, except) = (with("--only-cgroup"), with("--except-cgroup"));
    // Emptied by the end of the processes in it, which the kernel may notice a little later.
    for _ in 0..100 {
        if std::fs::remove_dir(&own).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(only, BTreeSet::from(["cgroup".to_owned()]));
    assert_eq!(except, ALL.iter().map(|l| (*l).to_owned()).collect());
}

#[test]
fn sets_of_system_calls() {
    let names = |flags: &[&str]| -> BTreeSet<String> { run(flags).rows.iter().map(|r| text(r, "syscall")).collect() };
    let some = names(&["--class", "syscall", "--syscall", "getppid,mkdirat"]);
    assert!(some.contains("getppid") && some.contains("mkdirat"), "{some:?}");
    assert_eq!(some.iter().filter(|n| !n.is_empty()).count(), 2, "{some:?}");
    let but_one = names(&["--class", "syscall", "--syscall", "all", "--except-syscall", "getppid"]);
    assert!(!but_one.contains("getppid") && but_one.contains("mkdirat"), "{but_one:?}");
}

#[test]
fn frequent_actions_are_recorded_on_request_only() {
    let count = |class: &str| run(&["--class", class]).of_action("network.sendto").count();
    assert_eq!((count("network"), count("network,network.sendto")), (0, 1));
}

/// Two programs outside, of which one is named by the filter; the one that is recorded tells when weir has begun.
fn trees(flag: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut named, mut other) = (Obedient::start(TRIGGER), Obedient::start(TRIGGER));
    let pid = named.pid().to_string();
    let mut live = Live::start(&["--class", "file.mkdir", flag, &pid]);
    let until = |live: &mut Live, seen: &mut Obedient, what: &str| {
        let wanted = seen.label(what);
        live.until(|| seen.act(what), |r| label(r) == wanted);
    };
    until(&mut live, if flag == "--follow" { &mut named } else { &mut other }, "begin");
    named.act("try");
    other.act("try");
    until(&mut live, if flag == "--follow" { &mut named } else { &mut other }, "end");
    let rows = live.stop();
    let of = |program: &Obedient| {
        let (own, child) = (program.label("try"), format!("{}-child", program.label("try")));
        labels(&rows).into_iter().filter(|l| *l == own || *l == child).collect()
    };
    (of(&named), of(&other))
}

#[test]
fn a_followed_tree_is_the_process_and_its_new_children() {
    let (named, other) = trees("--follow");
    assert_eq!((named.len(), other.len()), (2, 0), "{named:?} {other:?}");
}

#[test]
fn an_excluded_tree_is_the_process_and_its_new_children() {
    let (named, other) = trees("--except-tree");
    assert_eq!((named.len(), other.len()), (0, 2), "{named:?} {other:?}");
}

#[test]
fn weir_records_itself_only_when_asked() {
    let own_rows = |flags: &[&str]| {
        let mut other = Obedient::start(TRIGGER);
        let mut live = Live::start(
            &[&["--class", "file.mkdir", "--syscall", "write,epoll_pwait2,epoll_wait,epoll_pwait"], flags].concat(),
        );
        let pid = live.pid();
        for what in ["begin", "again"] {
            let wanted = other.label(what);
            live.until(|| other.act(what), |r| label(r) == wanted);
        }
        live.stop().iter().filter(|r| r.get("pid").and_then(serde_json::Value::as_i64) == Some(pid)).count()
    };
    assert_eq!(own_rows(&[]), 0);
    assert!(own_rows(&["--include-self"]) > 0);
}
