//! Bad input and bad luck: what people get when rights, disks, readers or names are not as one would wish.

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use support::load::{Background, Load, Shape};
use support::program::{Ended, Running, binary, command, files, parquet_files, run, start, weir};
use support::rows::rows;
use support::skip::{has, is_root, note, skip};
use support::tmpfs::Tmpfs;
use support::verified::{ledger, verify};
use weir_tests::wait;

/// weir's own errors.
const EXIT_OWN: i32 = 125;
/// Long enough for a start and a stop.
const BRIEF: &[&str] = &["--status", "never", "--duration", "100ms"];
/// Bytes of the small disk.
const DISK_BYTES: u64 = 4 << 20;

/// A directory that everybody may enter, with the program in it.
fn public_program() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).expect("a public directory");
    let program = scratch.path().join("weir");
    fs::copy(binary(), &program).expect("a copy of the program");
    (scratch, program)
}

/// Panics unless weir gave up with one line that has all these words.
fn expect_one_line(ended: Ended, words: &[&str]) {
    let ended = ended.expect_code(EXIT_OWN);
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in: {}", ended.stderr);
    }
}

// --- rights ---

#[test]
fn without_root_one_line_names_the_capabilities_and_how_to_grant_them() {
    if !is_root("run as nobody") || !has("run as nobody", "setpriv", "--version") {
        return;
    }
    let (_scratch, program) = public_program();
    let mut nobody = command("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(["run", "--stdout", "json"]);
    expect_one_line(run(&mut nobody), &["CAP_BPF", "CAP_PERFMON", "setcap", "sudo"]);
}

fn without(capabilities: &[&str]) -> std::process::Command {
    let list: Vec<String> = capabilities.iter().map(|name| format!("-{name}")).collect();
    let list = list.join(",");
    let mut command = command("setpriv");
    command.args([format!("--bounding-set={list}"), format!("--inh-caps={list}")]).arg(binary());
    command
}

#[test]
fn a_missing_capability_is_named_and_one_that_is_there_is_not() {
    if !is_root("missing capabilities") || !has("missing capabilities", "setpriv", "--version") {
        return;
    }
    for (missing, there) in [("bpf", "PERFMON"), ("perfmon", "BPF")] {
        let ended = run(without(&[missing, "sys_admin"]).args(["run", "--stdout", "json"]).args(BRIEF));
        let names = ended.stderr.split(" missing").next().unwrap_or_default().to_owned();
        expect_one_line(ended, &[&format!("CAP_{}", missing.to_uppercase()), "setcap"]);
        assert!(!names.contains(there), "{names}");
    }
}

#[test]
fn capabilities_that_only_help_may_be_missing() {
    if !is_root("helpful capabilities") || !has("helpful capabilities", "setpriv", "--version") {
        return;
    }
    let mut weir = without(&["net_admin", "sys_ptrace", "dac_read_search", "sys_resource"]);
    run(weir.args(["run", "--stdout", "json"]).args(BRIEF)).expect_code(0);
}

#[test]
fn a_limit_on_locked_memory_that_cannot_be_raised_is_no_error() {
    if !is_root("locked memory") || !has("locked memory", "setpriv", "--version") {
        return;
    }
    let line = "ulimit -l 8 && exec setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource \"$@\"";
    let mut shell = command("sh");
    shell.args(["-c", line, "sh"]).arg(binary()).args(["run", "--stdout", "json"]).args(BRIEF);
    let ended = run(&mut shell).expect_code(0);
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
}

/// Capabilities that the README says are kept, while a command runs.
const KEPT: &[u32] = &[0, 1, 3, 5, 39];

#[test]
fn behind_the_start_no_thread_has_more_rights_than_it_needs() {
    if !is_root("rights of threads") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (data, ready) = (scratch.path().join("data"), scratch.path().join("ready"));
    let mut line = weir(&["run", "--status", "never", "--class", "process", "--stdout", "json", "--parquet"]);
    let script = ": >\"$0\"; exec sleep 600";
    let mut weir = start(line.arg(data).args(["--", "sh", "-c", script]).arg(&ready));
    assert!(weir.wait_until(|| ready.exists()), "the command did not start");
    let threads: Vec<PathBuf> = fs::read_dir(format!("/proc/{}/task", weir.pid()))
        .expect("threads")
        .map(|thread| thread.expect("a thread").path())
        .collect();
    assert!(threads.len() > 3, "{threads:?}");
    let kept: u64 = KEPT.iter().map(|bit| 1 << bit).sum();
    for thread in threads {
        let status = fs::read_to_string(thread.join("status")).expect("its status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        for set in ["CapEff:", "CapPrm:"] {
            let has = u64::from_str_radix(field(set), 16).expect("bits");
            assert_eq!(has & !kept, 0, "{set} {has:#x} of thread {}", field("Name:"));
        }
        assert_eq!(field("NoNewPrivs:"), "1", "thread {}", field("Name:"));
    }
    weir.signal(Signal::TERM);
    weir.wait().expect_code(128 + 15);
}

// --- directories ---

#[test]
fn a_directory_that_cannot_be_written_is_a_clear_error_at_the_start() {
    if !is_root("directories that cannot be written") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let refused_with = |arguments: &[&str], dir: &Path, words: &[&str]| {
        expect_one_line(run(weir(&["run"]).args(BRIEF).args(arguments).arg("--parquet").arg(dir)), words);
    };
    let refused = |dir: &Path, words: &[&str]| refused_with(&[], dir, words);
    let data = scratch.path().join("data");
    let refused_report = |path: &Path, why: &str| {
        let path = path.display().to_string();
        refused_with(&["--report", &path], &data, &["write the report to", &path, why]);
    };
    refused_report(Path::new("/proc/self/report.json"), "");
    let file = scratch.path().join("a file");
    fs::write(&file, "").expect("a file in the way");
    refused(&file, &["a file", "choose another directory"]);
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).expect("a mount point");
    match Tmpfs::mount(&disk, DISK_BYTES, true) {
        Ok(_disk) => {
            refused(&disk.join("data"), &["Read-only file system", "choose another directory"]);
            refused_report(&disk.join("report.json"), "Read-only file system");
        }
        Err(error) => skip("a read-only directory", format_args!("mount: {error}")),
    }
    match Tmpfs::mount(&disk, DISK_BYTES, false) {
        Ok(_disk) => {
            let floor = ["--parquet-free-bytes-min", "1GiB"];
            refused_with(&floor, &disk.join("data"), &["free_bytes_min", "free some space"]);
            fill(&disk.join("filler"));
            refused(&disk.join("data"), &["No space left", "free some space"]);
            refused_report(&disk.join("report.json"), "No space left");
        }
        Err(error) => skip("a full directory", format_args!("mount: {error}")),
    }
}

/// Takes all the space that is left.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file that fills the disk");
    while file.write_all(&[1; 4096]).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}

fn collector(dir: &Path, report: &Path) -> Running {
    let mut weir = weir(&["run", "--status", "never", "--class", "file,process", "--parquet-file-age", "100ms"]);
    start(weir.arg("--parquet").arg(dir).arg("--report").arg(report))
}

fn wait_for_a_file(weir: &mut Running, dir: &Path) {
    assert!(weir.wait_until(|| !parquet_files(dir).is_empty()), "no file became visible");
}

fn load_beside(scratch: &Path) -> Background {
    Load::build(scratch).start(Shape { openers: 2, stormers: 1, seconds: 600.0, calls: u64::MAX, pause_us: 300 })
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_counted_rows_and_is_used_again() {
    if !is_root("full disk while running") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).expect("a mount point");
    let _disk = match Tmpfs::mount(&disk, DISK_BYTES, false) {
        Ok(mounted) => mounted,
        Err(error) => return skip("full disk while running", format_args!("mount: {error}")),
    };
    let (data, report) = (disk.join("data"), scratch.path().join("report.json"));
    let _load = load_beside(scratch.path());
    let mut weir = collector(&data, &report);
    wait_for_a_file(&mut weir, &data);
    fill(&disk.join("filler"));
    wait::until("a flush that finds no room", || weir.stderr_so_far().contains("No space left"));
    let before = parquet_files(&data);
    fs::remove_file(disk.join("filler")).expect("space again");
    assert!(weir.wait_until(|| parquet_files(&data).len() > before.len() + 1), "the disk is not used again");
    weir.signal(Signal::TERM);
    let ended = weir.wait().expect_code(0);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    let verified = verify(&data).expect_code(0);
    note(format_args!("full disk: gaps {:?} by {:?}", verified.gaps(), verified.lost_by_action()));
    assert!(verified.gaps().get("sink_refused").is_some_and(|n| *n > 0), "{:?}", verified.gaps());
    assert_eq!(ledger(&report)["balanced"], true);
}

#[test]
fn a_directory_that_vanishes_is_made_again_and_verify_says_what_is_missing() {
    if !is_root("vanished directory") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (data, report) = (scratch.path().join("data"), scratch.path().join("report.json"));
    let _load = load_beside(scratch.path());
    let mut weir = collector(&data, &report);
    // Of two generations the first is delivered for sure; class loss is the last of each.
    assert!(weir.wait_until(|| files(&data.join("class=loss"), ".parquet").len() > 1), "no two generations");
    // The collector writes into it meanwhile, so that it can take more than one attempt.
    while fs::remove_dir_all(&data).is_err() && data.exists() {}
    wait_for_a_file(&mut weir, &data);
    weir.signal(Signal::TERM);
    weir.wait().expect_code(0);
    let verified = verify(&data).expect_code(1);
    let problems = verified.problems();
    assert!(problems.contains_key("missing"), "{problems:?}");
    assert!(!problems.contains_key("duplicates") && !problems.contains_key("inversions"), "{problems:?}");
    assert_eq!(ledger(&report)["balanced"], true);
}

// --- readers ---

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    if !is_root("a reader that leaves") {
        return;
    }
    for format in ["json", "table"] {
        let mut weir = weir(&["run", "--status", "never", "--stdout", format, "--duration", "60s"]);
        let mut child = weir.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start weir");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("its rows")).read_line(&mut first).expect("one row");
        assert!(!first.is_empty());
        // The reader is gone now; the next row finds out.
        while child.try_wait().expect("ask for the end").is_none() {
            run(&mut command("true")).expect_code(0);
        }
        let ended = child.wait_with_output().expect("the end");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{said}");
        assert!(!said.contains("ERROR") && !said.contains("panicked") && !said.contains("Broken pipe"), "{said}");
    }
}

// --- commands ---

#[test]
fn the_status_of_the_command_is_passed_on() {
    if !is_root("statuses of commands") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("no program");
    fs::write(&file, "text").expect("a file that is no program");
    let file = file.to_str().expect("a path in UTF-8");
    let cases: [(&[&str], i32); 5] = [
        (&["/absent/program"], 127),
        (&["weir-test-absent-program"], 127),
        (&[file], 126),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
    ];
    for (line, code) in cases {
        let mut weir = weir(&["run", "--status", "never", "--class", "process"]);
        run(weir.arg("--parquet").arg(scratch.path().join("data")).arg("--").args(line)).expect_code(code);
    }
}

// --- words ---

#[test]
fn unknown_words_are_refused_with_the_nearest_known_one() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("weir.toml");
    fs::write(&file, "[parquet]\nfile_agee = \"1s\"\n").expect("a configuration");
    expect_one_line(run(&mut weir(&["run", "--class", "proces"])), &["proces", "`process`"]);
    expect_one_line(run(&mut weir(&["run", "--class", "file.opeen"])), &["file.opeen", "open"]);
    expect_one_line(run(&mut weir(&["run", "--syscall", "opanat"])), &["opanat", "`openat`"]);
    expect_one_line(run(weir(&["run"]).env("WEIR_RING_BITES", "1")), &["WEIR_RING_BITES", "`WEIR_RING_BYTES`"]);
    expect_one_line(run(weir(&["run", "--config"]).arg(file)), &["weir.toml:2", "`parquet.file_age`"]);
}

// --- names ---

/// Names that want to break a line, a terminal or a decoder.
const HOSTILE: &[&[u8]] = &[
    b"two\nlines",
    b"quote\"brace}{",
    b"\x1b[31mred\x1b]0;title\x07",
    b"invalid \xff\xfe UTF-8",
    b"back\\slash\ttab",
    b"c1 \xc2\x9b31m, \xe2\x80\xae turned",
];

fn record_hostile(dir: &Path, format: &str, flags: &[&str]) -> Ended {
    let mut weir = weir(&["run", "--status", "never", "--stdout", format, "--class", "process,file"]);
    weir.args(flags).args(["--", "sh", "-c"]);
    // Each is a program's name (so a comm), an argument, a file that is opened, and one that is not there.
    weir.arg("for name; do \"./$name\" \"$name\"; : <\"$name\"; cat \"$name/absent\" 2>/dev/null; done; true")
        .arg("sh");
    weir.args(HOSTILE.iter().map(|name| OsStr::from_bytes(name))).current_dir(dir);
    run(&mut weir).expect_code(0)
}

#[test]
fn hostile_names_break_no_line_no_table_and_no_terminal() {
    if !is_root("hostile names") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    for name in HOSTILE {
        let program = scratch.path().join(OsStr::from_bytes(name));
        fs::copy("/bin/true", &program).expect("a program with a hostile name");
    }
    // The rows of the programs have their creator's command line too, in which all names stand.
    let with_creators = rows(&record_hostile(scratch.path(), "json", &[]).stdout);
    let invalid = r"invalid \xff\xfe UTF-8";
    let of_children = with_creators.iter().filter(|row| row.text("action") == "exit");
    assert!(
        of_children.clone().any(|row| row.text("parent_cmdline").contains(invalid) && row.0["text_escaped"] == true)
    );
    let rows = rows(&record_hostile(scratch.path(), "json", &["--no-context"]).stdout);
    for name in HOSTILE {
        let wanted = match std::str::from_utf8(name) {
            Ok(text) => text.to_owned(),
            Err(_) => r"invalid \xff\xfe UTF-8".to_owned(),
        };
        let has = |action: &str, column: &str| {
            rows.iter().any(|row| row.text("action") == action && row.text(column).contains(&wanted))
        };
        assert!(has("exec", "path"), "exec of {wanted:?}");
        assert!(has("open", "path"), "open of {wanted:?}");
        assert!(has("exit", "cmdline"), "command line with {wanted:?}");
        // The shell's own rows have all names in their command line; those of the program only its own.
        let own = rows.iter().find(|row| row.text("action") == "exit" && row.text("exe").ends_with(&wanted));
        assert_eq!(own.map(|row| row.0["text_escaped"] == true), Some(name.contains(&0xff)), "{wanted:?}");
    }
    let table = record_hostile(scratch.path(), "table", &[]).stdout;
    let text = String::from_utf8(table).expect("a table in UTF-8");
    let odd: Vec<char> = text.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect();
    assert!(odd.is_empty(), "control characters in the table: {odd:?}");
    assert!(text.lines().count() >= HOSTILE.len());
}
