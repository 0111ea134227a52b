//! What a running weir may still do: the rights of each of its threads, and what works without more.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Uid;
use rustix::process::{Pid, Signal, test_kill_process};
use support::delivery::has_bpf_fs;
use support::program::{Ended, Running, parquet_files, run, start, weir};
use support::skip::is_root;
use support::verified::verify;

/// Who called sudo.
const CALLER: u32 = 2001;
/// CAP_KILL.
const KILL: u64 = 1 << 5;
/// CAP_BPF, or on kernels that do not have it CAP_SYS_ADMIN.
const BPF: u64 = 1 << 39;
const SYS_ADMIN: u64 = 1 << 21;
/// How long something may take to show.
const SHOWS_MAX: Duration = Duration::from_secs(60);

/// Threads that only answer: their system calls are filtered.
const FILTERED: &[&str] = &["http", "control", "status", "watchdog", "names"];

/// What the kernel says of one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thread {
    name: String,
    effective: u64,
    permitted: u64,
    no_new_privs: bool,
    seccomp: String,
    /// Real, effective, saved, file system.
    uids: Vec<u32>,
}

fn thread_of(status: &str) -> Thread {
    let lines: BTreeMap<&str, &str> = status.lines().filter_map(|line| line.split_once(':')).collect();
    let value = |key: &str| lines.get(key).map_or("", |value| value.trim());
    let bits = |key: &str| u64::from_str_radix(value(key), 16).expect("bits");
    Thread {
        name: value("Name").to_owned(),
        effective: bits("CapEff"),
        permitted: bits("CapPrm"),
        no_new_privs: value("NoNewPrivs") == "1",
        seccomp: value("Seccomp").to_owned(),
        uids: value("Uid").split_whitespace().map(|uid| uid.parse().expect("an id")).collect(),
    }
}

fn pid(weir: &Running) -> u32 {
    weir.pid().as_raw_nonzero().get().unsigned_abs()
}

/// By id. A thread that ends meanwhile is left out.
fn threads(pid: u32) -> BTreeMap<u32, Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        Some((task.file_name().to_str()?.parse().ok()?, thread_of(&status)))
    };
    tasks.filter_map(of).collect()
}

/// The whole table: nothing but this.
fn expect_rights(pid: u32, signals: u64) {
    let threads = threads(pid);
    for (id, thread) in &threads {
        let expected = match thread.name.as_str() {
            _ if *id == pid => BPF,
            "signals" => signals,
            _ => 0,
        };
        let held = if *id == pid && thread.permitted == SYS_ADMIN { BPF } else { thread.permitted };
        assert_eq!((thread.effective, held), (thread.permitted, expected), "{thread:?}");
        assert!(thread.no_new_privs, "{thread:?}");
        let filter = if FILTERED.contains(&thread.name.as_str()) { "2" } else { "0" };
        assert_eq!(thread.seccomp, filter, "{thread:?}");
    }
    let names: BTreeSet<&str> = threads.values().map(|thread| thread.name.as_str()).collect();
    for name in ["signals", "reload", "control", "http", "status", "lane-parquet"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
}

/// Names of the processes that it started.
fn children(weir: &Running) -> Vec<String> {
    weir.children().into_iter().map(|(_, name)| name).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SHOWS_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not show");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Lets everybody pass a scratch directory, and write to the directory `theirs` in it.
fn for_nobody(scratch: &Path) -> PathBuf {
    let theirs = scratch.join("theirs");
    fs::create_dir(&theirs).expect("a directory");
    for (path, mode) in [(scratch, 0o755), (&theirs, 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    theirs
}

/// A scratch directory that anybody may pass, with one of the caller's own in it.
struct Home {
    scratch: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let home = scratch.path().join("home");
        fs::create_dir(&home).expect("a directory");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o750)).expect("a mode");
        chown(&home, Some(CALLER), Some(CALLER)).expect("its owner");
        Home { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The caller's own settings, which nobody else may read.
    fn configure(&self, top: &str, parquet: &str) {
        let text = format!("classes = [\"file.mkdir\"]\n{top}[parquet]\ndir = \"{parquet}\"\nfile_age = \"200ms\"\n");
        let path = self.path("home/weir.toml");
        fs::write(&path, text.replace("DIR", &self.scratch.path().display().to_string())).expect("settings");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        chown(&path, Some(CALLER), Some(CALLER)).expect("their owner");
    }

    fn command(&self) -> Command {
        let mut command = weir(&["run", "--status", "never", "--log-level", "info", "--config"]);
        command.arg(self.path("home/weir.toml")).arg("--control").arg(self.path("control.sock"));
        command.env("SUDO_UID", CALLER.to_string()).env("SUDO_GID", CALLER.to_string());
        command
    }

    fn start(&self) -> Running {
        let mut weir = start(&mut self.command());
        let there = weir.wait_until(|| {
            run(self.ask(&["status", "--json"]).env("LC_ALL", "C")).lines().any(|line| line == b"  \"ready\": true,")
        });
        assert!(there, "{}", weir.stderr_so_far());
        weir
    }

    fn ask(&self, line: &[&str]) -> Command {
        let mut command = weir(line);
        command.arg("--socket").arg(self.path("control.sock"));
        command
    }

    fn reload(&self) -> Ended {
        run(&mut self.ask(&["reload"]))
    }

    /// Makes directories until there is a closed file of them.
    fn expect_files_in(&self, dir: &str) {
        let mut n = 0;
        eventually(&format!("a file in {dir}"), || {
            n += 1;
            let _ = fs::create_dir(self.path(&format!("made-{}-{n}", dir.replace('/', "-"))));
            !parquet_files(&self.path(dir)).is_empty()
        });
        for path in parquet_files(&self.path(dir)) {
            let metadata = fs::metadata(&path).expect("it is there");
            assert_eq!(metadata.uid(), CALLER, "{}", path.display());
        }
    }
}

#[test]
fn each_thread_has_the_rights_that_it_needs_and_no_others() {
    if !is_root("the rights of threads") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let line = ["run", "--status", "always", "--listen", "127.0.0.1:0", "--parquet", "data", "--control", "./c.sock"];
    let theirs = for_nobody(scratch.path());
    let script = "cd theirs; touch ready; while [ ! -e go ]; do sleep 0.02; done";
    for (signals, command) in [(0, &[][..]), (KILL, &["--user", "nobody", "--", "sh", "-c", script])] {
        let mut weir = start(weir(&[&line, command].concat()).current_dir(scratch.path()));
        let socket = scratch.path().join("c.sock");
        let is_ready = || {
            let ended = run(support::program::weir(&["status", "--json", "--socket"]).arg(&socket));
            ended.lines().any(|line| line == b"  \"ready\": true,")
        };
        assert!(weir.wait_until(is_ready), "{}", weir.stderr_so_far());
        expect_rights(pid(&weir), signals);
        if command.is_empty() {
            weir.signal(Signal::TERM);
        } else {
            assert!(weir.wait_until(|| theirs.join("ready").exists()));
            fs::write(theirs.join("go"), "").expect("let it go");
        }
        weir.wait().expect_code(0);
    }
}

#[test]
fn a_command_of_another_user_gets_the_signals_of_weir() {
    if !is_root("signals to another user's command") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let theirs = for_nobody(scratch.path());
    let script = "cd theirs; trap 'touch term; exit 7' TERM; touch ready; while :; do sleep 0.02; done";
    let line = [
        "run",
        "--status",
        "never",
        "--class",
        "process.exec",
        "--parquet",
        "data",
        "--user",
        "nobody",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut weir = start(weir(&line).current_dir(scratch.path()));
    assert!(weir.wait_until(|| theirs.join("ready").exists()), "{}", weir.stderr_so_far());
    weir.signal(Signal::TERM);
    weir.wait().expect_code(7);
    assert!(theirs.join("term").exists());
}

#[test]
fn files_for_the_caller_are_written_without_any_capability_and_give_them_no_hold_on_weir() {
    let what = "files of who called sudo";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let home = Home::new();
    home.configure(
        "report = \"DIR/home/report.json\"\n[spool]\ndir = \"DIR/home/spool\"\nmode = \"crash\"\n",
        "DIR/home/one",
    );
    let weir = home.start();
    home.expect_files_in("home/one");
    let threads = threads(pid(&weir));
    for (id, thread) in &threads {
        let is_main = *id == pid(&weir);
        let is_of = |name: &&str| thread.name.starts_with(name);
        let writes = ["lane-", "spool", "reload", "report"].iter().any(is_of);
        let effective = if writes { CALLER } else { 0 };
        assert_eq!(thread.uids[..3], [0, effective, 0], "{thread:?}");
        assert_eq!(thread.permitted & !if is_main { BPF | SYS_ADMIN } else { 0 }, 0, "{thread:?}");
    }
    let ids: Vec<u32> = threads.keys().copied().collect();
    let reader = weir.pid();
    let as_caller = move || {
        let uid = Some(Uid::from_raw(CALLER));
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
        let cpus = rustix::thread::sched_getaffinity(None).expect("CPUs");
        let moved = rustix::thread::sched_setaffinity(Some(reader), &cpus);
        assert_eq!(moved, Err(rustix::io::Errno::PERM), "the reader keeps its CPUs");
        let may = |id: &u32| Pid::from_raw(id.cast_signed()).is_some_and(|pid| test_kill_process(pid).is_ok());
        ids.iter().filter(|id| may(id)).count()
    };
    assert_eq!(thread::spawn(as_caller).join().expect("it ends well"), 0, "threads that the caller may signal");
    weir.signal(Signal::TERM);
    weir.wait().expect_code(0);
    assert_eq!(verify(&home.path("home/one")).code, 0);
    assert_eq!(fs::metadata(home.path("home/report.json")).expect("the report").uid(), CALLER);
}

#[test]
fn a_reload_opens_new_directories_and_the_settings_of_the_caller() {
    if !is_root("a reload to new directories") {
        return;
    }
    let home = Home::new();
    home.configure("", "DIR/home/one");
    let weir = home.start();
    assert!(children(&weir).contains(&"weir-helper".to_owned()), "{:?}", children(&weir));
    home.expect_files_in("home/one");
    // In the caller's directory, and in root's, where only root can give them one.
    for dir in ["home/two", "three"] {
        home.configure("", &format!("DIR/{dir}"));
        let done = home.reload().expect_code(0);
        assert!(String::from_utf8_lossy(&done.stdout).contains("sink parquet has changed"));
        home.expect_files_in(dir);
        assert_eq!(fs::metadata(home.path(dir)).expect("it is there").uid(), CALLER);
    }
    home.configure("classes = 7\n", "DIR/four");
    let wrong = home.reload().expect_code(1);
    assert!(wrong.stderr.contains("was not put in force"), "{}", wrong.stderr);
    assert!(!home.path("four").exists(), "nothing is opened for a configuration that is wrong");
    weir.signal(Signal::TERM);
    let helper = children(&weir);
    weir.wait().expect_code(0);
    assert_eq!(helper.iter().filter(|name| *name == "weir-helper").count(), 1);
}

#[test]
fn without_the_helper_a_reload_that_needs_it_says_so_and_others_work() {
    if !is_root("a reload without the helper") {
        return;
    }
    let home = Home::new();
    home.configure("reload = false\n", "DIR/home/one");
    let weir = home.start();
    assert!(!children(&weir).contains(&"weir-helper".to_owned()), "{:?}", children(&weir));
    home.configure("reload = false\n", "DIR/home/two");
    home.reload().expect_code(0);
    home.expect_files_in("home/two");
    // Only what root may do against the mode of a directory needs the helper.
    fs::create_dir(home.path("closed")).expect("a directory");
    fs::set_permissions(home.path("closed"), fs::Permissions::from_mode(0o555)).expect("a mode");
    home.configure("reload = false\n", "DIR/closed/three");
    let refused = home.reload().expect_code(1);
    assert!(refused.stderr.contains("`reload = false`"), "{}", refused.stderr);
    weir.signal(Signal::TERM);
    let ended = weir.wait().expect_code(0);
    assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
}
