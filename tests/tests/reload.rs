//! The configuration is read again while events come: filters and sinks change, the probes stay attached, and nothing that
//! both configurations keep is lost.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;
use support::delivery::has_bpf_fs;
use support::program::{Ended, Running, command, run, start, weir};
use support::skip::{is_root, note, skip};
use support::verified::verify;
use weir_tests::brokers::nats;
use weir_tests::wait;

/// Between two files that are opened.
const PAUSE: Duration = Duration::from_micros(500);

/// Opens new files in the directories `kept` and `other` until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Load {
    fn start(scratch: &Path) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (dir, asked) = (scratch.to_owned(), Arc::clone(&stop));
        let work = move || {
            let mut made = 0;
            while !asked.load(Ordering::Relaxed) {
                for name in ["kept", "other"] {
                    File::create(dir.join(name).join(format!("f{made}"))).expect("a file");
                }
                made += 1;
                thread::sleep(PAUSE);
            }
            made
        };
        Load { stop, thread: thread::spawn(work) }
    }

    /// How many files were opened in each directory.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load ends well")
    }
}

/// A weir whose configuration changes.
struct Changing {
    scratch: tempfile::TempDir,
    weir: Option<Running>,
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.weir.iter().for_each(|weir| weir.signal(Signal::KILL));
    }
}

const PATHS_BOTH: &str = "only_path = [\"DIR/kept/\", \"DIR/other/\"]\n";
const PATHS_KEPT: &str = "only_path = [\"DIR/kept/\"]\n";

fn parquet(name: &str, more: &str) -> String {
    format!("[[sink]]\ntype = \"parquet\"\nname = \"{name}\"\ndir = \"DIR/{name}\"\nfile_age = \"200ms\"\n{more}")
}

impl Changing {
    fn start(top: &str, filter: &str, sinks: &[String]) -> Changing {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        for name in ["kept", "other"] {
            fs::create_dir(scratch.path().join(name)).expect("a directory of files");
        }
        let mut changing = Changing { scratch, weir: None };
        changing.write(top, filter, sinks);
        changing.run();
        changing
    }

    fn dir(&self) -> &Path {
        self.scratch.path()
    }

    fn file(&self) -> PathBuf {
        self.dir().join("weir.toml")
    }

    fn write(&self, top: &str, filter: &str, sinks: &[String]) {
        let dir = self.dir().display().to_string();
        let text = format!("classes = [\"file\"]\n{top}[filter]\n{filter}{}", sinks.concat());
        fs::write(self.file(), text.replace("DIR", &dir)).expect("the settings");
    }

    fn launch(&self) -> Running {
        start(weir(&["run", "--log-level", "info", "--status", "never", "--config"]).arg(self.file()))
    }

    fn run(&mut self) {
        let mut weir = self.launch();
        let kept = self.dir().join("kept");
        let out = self.dir().to_owned();
        let mut n = 0;
        // Rows show that records are read.
        let is_there = weir.wait_until(|| {
            n += 1;
            let _ = File::create(kept.join(format!("start{n}")));
            !support::program::parquet_files(&out).is_empty()
        });
        assert!(is_there, "{}", weir.stderr_so_far());
        self.weir = Some(weir);
    }

    fn running(&self) -> &Running {
        self.weir.as_ref().expect("it runs")
    }

    fn reload(&self) -> Ended {
        run(&mut weir(&["reload", &self.running().pid().as_raw_nonzero().to_string()]))
    }

    fn reload_well(&self, says: &str) {
        let ended = self.reload().expect_code(0);
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(text.contains(says), "{text}\n{}", self.running().stderr_so_far());
    }

    fn wait_until_said(&self, text: &str, times: usize) {
        let said = || self.running().stderr_so_far();
        wait::until(format_args!("{text:?}, {times} times"), || said().matches(text).count() >= times);
    }

    fn stop(&mut self) -> Ended {
        let weir = self.weir.take().expect("it runs");
        weir.signal(Signal::TERM);
        weir.wait()
    }

    /// Names of files of a directory in the rows of a sink; with how often one came twice.
    fn names(&self, sink: &str, directory: &str) -> Option<(BTreeSet<String>, usize)> {
        let python = std::env::var_os("WEIR_TEST_PYTHON")?;
        let script = "import duckdb,sys\nfor r in duckdb.sql(f\"select path from read_parquet('{sys.argv[1]}/**/*.parquet',\
                      union_by_name=true) where action='open' and path like '{sys.argv[2]}/f%'\").fetchall(): print(r[0].rsplit('/',1)[1])";
        let place = self.dir().join(directory);
        let ended = run(command(python).args(["-c", script]).arg(self.dir().join(sink)).arg(&place)).expect_code(0);
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let names: BTreeSet<String> = text.lines().map(String::from).collect();
        let twice = text.lines().count() - names.len();
        Some((names, twice))
    }

    /// Every file of directory `kept` is in the sink, once.
    fn expect_kept(&self, sink: &str, made: u64) {
        let Some((names, twice)) = self.names(sink, "kept") else {
            return skip("rows of a sink", "WEIR_TEST_PYTHON is not set");
        };
        let missing: Vec<u64> = (0..made).filter(|n| !names.contains(&format!("f{n}"))).take(5).collect();
        assert!(
            missing.is_empty() && twice == 0,
            "{sink}: {} of {made}, missing {missing:?}, {twice} twice",
            names.len()
        );
    }
}

#[test]
fn filters_change_under_load_and_what_both_keep_is_never_lost() {
    let what = "filters that change";
    if !is_root(what) {
        return;
    }
    let sinks = [parquet("out", "")];
    let mut changing = Changing::start("", PATHS_BOTH, &sinks);
    let load = Load::start(changing.dir());
    for filter in ["except_user = [\"12345\"]\n", "except_comm = [\"nobody\"]\n", "results = \"succeeded\"\n", ""] {
        for paths in [PATHS_KEPT, PATHS_BOTH] {
            changing.write("", &format!("{paths}{filter}"), &sinks);
            changing.reload_well("the filters have changed");
            thread::sleep(Duration::from_millis(50));
        }
    }
    changing.reload_well("nothing has changed");
    changing.write("", &format!("{PATHS_BOTH}except_path = [\"DIR/other/\"]\n"), &sinks);
    changing.reload_well("the filters have changed");
    let until = changing.dir().join("other").join("later");
    fs::create_dir(&until).expect("a directory");
    File::create(until.join("f-left-out")).expect("a file");
    let made = load.end();
    let ended = changing.stop().expect_code(0);
    assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
    let verified = verify(&changing.dir().join("out"));
    assert_eq!((verified.code, verified.runs().len()), (0, 1), "{:?}", verified.problems());
    changing.expect_kept("out", made);
    if let Some((names, _)) = changing.names("out", "other") {
        assert!(!names.is_empty() && (names.len() as u64) < made, "{} of {made}", names.len());
    }
    if let Some((names, _)) = changing.names("out", "other/later") {
        assert!(names.is_empty(), "{names:?}");
    }
    note(format_args!("{made} files in each directory"));
}

#[test]
fn a_subtree_is_followed_and_left_while_its_processes_fork() {
    let what = "a subtree that changes";
    if !is_root(what) {
        return;
    }
    let sinks = [parquet("out", "")];
    let mut changing = Changing::start("", PATHS_BOTH, &sinks);
    let shell = |name: &str| {
        let script = format!(
            "while [ ! -e {0}/go-{name} ]; do sleep 0.02; done; : > {0}/kept/f-{name}",
            changing.dir().display()
        );
        start(command("sh").args(["-c", &format!("sh -c '{script}'; true")]))
    };
    let (followed, other, later) = (shell("followed"), shell("other"), shell("later"));
    let go = |name: &str, running: Running| {
        File::create(changing.dir().join(format!("go-{name}"))).expect("let it go");
        running.wait().expect_code(0);
    };
    let pid = |running: &Running| running.pid().as_raw_nonzero();
    changing.write("", &format!("{PATHS_BOTH}follow = [{}, {}]\n", pid(&followed), pid(&later)), &sinks);
    changing.reload_well("the filters have changed");
    go("followed", followed);
    go("other", other);
    changing.write("", &format!("{PATHS_BOTH}follow = [{}]\n", std::process::id()), &sinks);
    changing.reload_well("the filters have changed");
    File::create(changing.dir().join("kept/f-own")).expect("a file");
    changing.write("", &format!("{PATHS_BOTH}except_tree = [{}]\n", pid(&later)), &sinks);
    changing.reload_well("the filters have changed");
    go("later", later);
    File::create(changing.dir().join("kept/f-last")).expect("a file");
    changing.write("", PATHS_BOTH, &sinks);
    changing.reload_well("the filters have changed");
    changing.stop().expect_code(0);
    let Some((names, _)) = changing.names("out", "kept") else {
        return skip(what, "WEIR_TEST_PYTHON is not set");
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["f-followed", "f-last", "f-own"]);
}

fn sinks_change(top: &str, what: &str) {
    let server = nats::Server::start(what, "");
    let mut sinks = vec![parquet("stays", ""), parquet("changes", ""), parquet("goes", "")];
    let mut changing = Changing::start(top, PATHS_KEPT, &sinks);
    let load = Load::start(changing.dir());
    thread::sleep(Duration::from_millis(300));
    sinks.remove(2);
    changing.write(top, PATHS_KEPT, &sinks);
    changing.reload_well("sink goes is gone");
    for rows in 0..5 {
        sinks[1] = parquet("changes", &format!("file_rows_max = {}\n", 1_000 + rows));
        changing.write(top, PATHS_KEPT, &sinks);
        changing.reload_well("sink changes has changed");
        thread::sleep(Duration::from_millis(100));
    }
    sinks.push(parquet("new", ""));
    if let Some(server) = &server {
        let (url, create) = (server.url(), "create_stream = true\n");
        sinks.push(format!("[[sink]]\ntype = \"nats\"\nservers = [\"{url}\"]\n{create}"));
    }
    changing.write(top, PATHS_KEPT, &sinks);
    changing.reload_well("sink new is new");
    thread::sleep(Duration::from_millis(300));
    let gone = verify(&changing.dir().join("goes"));
    assert_eq!(gone.code, 3, "it has no end: {:?}", gone.problems());
    sinks.push(parquet("goes", ""));
    changing.write(top, PATHS_KEPT, &sinks);
    changing.reload_well("sink goes is new");
    thread::sleep(Duration::from_millis(100));
    let made = load.end();
    let ended = changing.stop().expect_code(0);
    assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
    for sink in ["stays", "changes"] {
        let verified = verify(&changing.dir().join(sink));
        assert_eq!((verified.code, verified.runs().len()), (0, 1), "{sink}: {:?}", verified.problems());
        changing.expect_kept(sink, made);
    }
    // Those that were not there all the time say which numbers they lack.
    for sink in ["new", "goes"] {
        let verified = verify(&changing.dir().join(sink));
        assert_eq!((verified.code, verified.runs().len()), (0, 1), "{sink}: {:?}", verified.problems());
    }
    if let Some((names, twice)) = changing.names("new", "kept") {
        assert!(!names.is_empty() && twice == 0);
        assert!(names.contains(&format!("f{}", made - 1)), "{} of {made}", names.len());
    }
    note(format_args!("{made} files, {}", if server.is_some() { "with NATS" } else { "without NATS" }));
}

#[test]
fn sinks_come_change_and_go_under_load() {
    let what = "sinks that change";
    if is_root(what) {
        sinks_change("", what);
    }
}

#[test]
fn sinks_come_change_and_go_with_a_spool_for_what_they_have_no_room_for() {
    let what = "sinks that change beside an overflow spool";
    if is_root(what) {
        sinks_change("lane_cuts_max = 2\n[spool]\ndir = \"DIR/spool\"\n", what);
    }
}

#[test]
fn sinks_come_change_and_go_in_mode_crash() {
    let what = "sinks that change in mode crash";
    if is_root(what) && has_bpf_fs(what) {
        sinks_change("[spool]\ndir = \"DIR/spool\"\nmode = \"crash\"\n", what);
    }
}

#[test]
fn a_collector_that_is_killed_behind_a_reload_goes_on_with_the_filters_of_the_reload() {
    let what = "a reload in mode crash and a kill";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let top = "[spool]\ndir = \"DIR/spool\"\nmode = \"crash\"\n";
    let sinks = [parquet("out", "")];
    let mut changing = Changing::start(top, PATHS_BOTH, &sinks);
    let load = Load::start(changing.dir());
    changing.write(top, PATHS_KEPT, &sinks);
    changing.reload_well("the filters have changed");
    let later = changing.dir().join("other/later");
    fs::create_dir(&later).expect("a directory");
    let weir = changing.weir.take().expect("it runs");
    weir.signal(Signal::KILL);
    weir.wait();
    File::create(later.join("f-left-out")).expect("a file");
    changing.weir = Some(changing.launch());
    changing.wait_until_said("going on where the collector before stopped", 1);
    // What was taken over can be changed as well as what was loaded.
    changing.write(top, PATHS_BOTH, &sinks);
    changing.reload_well("the filters have changed");
    File::create(later.join("f-kept")).expect("a file");
    let made = load.end();
    changing.stop().expect_code(0);
    let verified = verify(&changing.dir().join("out"));
    assert_eq!((verified.code, verified.runs().len()), (0, 1), "one epoch: {:?}", verified.problems());
    changing.expect_kept("out", made);
    if let Some((names, _)) = changing.names("out", "other/later") {
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["f-kept"]);
    }
}

#[test]
fn a_wrong_configuration_leaves_everything_as_it_was() {
    let what = "a wrong configuration";
    if !is_root(what) {
        return;
    }
    for top in ["", "reload = false\n"] {
        expect_as_it_was(top);
    }
}

fn expect_as_it_was(top: &str) {
    let sinks = [parquet("out", "")];
    let mut changing = Changing::start(top, PATHS_KEPT, &sinks);
    let load = Load::start(changing.dir());
    let wrong = |filter: &str, sinks: &[String], says: &str| {
        changing.write(top, filter, sinks);
        let ended = changing.reload().expect_code(1);
        assert!(ended.stderr.contains("was not put in force"), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    };
    wrong("only_pathh = []\n", &sinks, "only_path");
    wrong("only_user = [\"no-such-user\"]\n", &sinks, "no user `no-such-user`");
    let in_proc = "[[sink]]\ntype = \"parquet\"\nname = \"bad\"\ndir = \"/proc/no/where\"\n".to_owned();
    wrong(PATHS_KEPT, &[sinks[0].clone(), in_proc.clone()], "/proc/no/where");
    wrong(PATHS_KEPT, &[in_proc.replace("\"bad\"", "\"out\"")], "/proc/no/where");
    // A sink that changes has ended before its new settings are tried: it goes on with the old ones.
    let taken = changing.dir().join("taken");
    fs::create_dir(&taken).expect("a directory");
    std::os::unix::fs::symlink("/etc/passwd", taken.join(".unfinished")).expect("a link");
    wrong(PATHS_KEPT, &[parquet("out", "").replace("DIR/out", "DIR/taken")], "sink out goes on as before");
    changing.write(&format!("{top}ring_bytes = \"1MiB\"\n"), PATHS_KEPT, &sinks);
    changing.reload_well("only a restart puts these in force: ring_bytes");
    changing.running().signal(Signal::HUP);
    changing.wait_until_said("read again: only a restart", 2);
    let made = load.end();
    changing.stop().expect_code(0);
    let verified = verify(&changing.dir().join("out"));
    assert_eq!((verified.code, verified.runs().len()), (0, 1), "{:?}", verified.problems());
    changing.expect_kept("out", made);
}
