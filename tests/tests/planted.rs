//! Directories of somebody who wants root to write elsewhere: links, FIFOs, devices, hard links and files of others at every
//! name that weir opens, directories that were there before, and state files that name other places.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::delivery::{has_bpf_fs, pins, wait_for_start};
use support::program::{Ended, command, parquet_files, run, start, weir};
use support::seed::Random;
use support::skip::{has, is_root, note};
use support::strace::{self, Call, What};

/// The user who calls sudo, and one who has nothing to do with it.
const ALICE: u32 = 2001;
const MALLORY: u32 = 2002;
/// Plants that are tried; `WEIR_TEST_PLANT=all` tries all of them.
const SAMPLE: usize = 6;
/// Every call that makes, opens or removes a name.
const CALLS: &str =
    "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat";
/// What the other file holds, which nobody may touch.
const SECRET: &str = "only root reads and writes this\n";

/// A place with a directory of alice's, and things of root's beside it.
struct Stage {
    scratch: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).expect("a public directory");
        let stage = Stage { scratch };
        fs::write(stage.secret(), SECRET).expect("written");
        fs::set_permissions(stage.secret(), Permissions::from_mode(0o600)).expect("root's alone");
        fs::create_dir(stage.outside()).expect("a directory of root's");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A directory where everybody makes files.
    fn tmp(&self) -> PathBuf {
        let tmp = self.path("tmp");
        fs::create_dir(&tmp).expect("made");
        fs::set_permissions(&tmp, Permissions::from_mode(0o1777)).expect("sticky");
        tmp
    }

    fn secret(&self) -> PathBuf {
        self.path("secret")
    }

    fn outside(&self) -> PathBuf {
        self.path("outside")
    }

    /// A directory of a user.
    fn home(&self, name: &str, uid: u32) -> PathBuf {
        let home = self.path(name);
        fs::create_dir(&home).expect("a home");
        chown(&home, Some(uid), Some(uid)).expect("given away");
        home
    }

    /// Panics if anything outside of alice's directory was touched.
    fn expect_untouched(&self, what: &str) {
        let secret = fs::symlink_metadata(self.secret()).expect("the file is there");
        assert_eq!((secret.uid(), secret.gid(), secret.mode() & 0o7777), (0, 0, 0o600), "{what}: owner and mode");
        assert_eq!(fs::read_to_string(self.secret()).expect("readable"), SECRET, "{what}");
        assert_eq!(names(&self.outside()), [""; 0], "{what}: made outside");
        assert_eq!(fs::metadata(self.outside()).expect("there").uid(), 0, "{what}");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("list {}: {e}", dir.display()));
    entries.map(|entry| entry.expect("a name").file_name().to_string_lossy().into_owned()).collect()
}

/// `sudo weir ..` as this user, in a directory.
fn sudo(uid: u32, dir: &Path, args: &[&str]) -> Command {
    let mut weir = weir(args);
    weir.env("SUDO_UID", uid.to_string()).env("SUDO_GID", uid.to_string()).current_dir(dir);
    weir
}

/// Everything that writes, with names that the next run has again.
const RUN: &[&str] = &[
    "run",
    "--status",
    "never",
    "--duration",
    "800ms",
    "--durability",
    "crash",
    "--spool",
    "spool",
    "--parquet",
    "parquet",
    "--parquet-file-age",
    "200ms",
    "--report",
    "report.json",
];
const CAPTURE: &[&str] =
    &["run", "--status", "never", "--duration", "500ms", "--capture", "capture", "--stdout", "json"];

// --- what is opened ---

/// Where a call looks for a name: `dir` is what `-y` says of its descriptor.
fn looked_up(call: &Call, cwd: &Path) -> Vec<PathBuf> {
    let is_at = call.name.contains("at") && call.name != "creat";
    let place = |dir: Option<&String>, name: Option<&String>| {
        let name = strace::text(name?)?;
        let dir = dir.and_then(|dir| strace::path_behind(dir)).map_or_else(|| cwd.to_owned(), PathBuf::from);
        Some(dir.join(name))
    };
    let args = &call.args;
    let two = call.name.starts_with("rename") || call.name.starts_with("link");
    match (is_at, two) {
        (true, true) => {
            [place(args.first(), args.get(1)), place(args.get(2), args.get(3))].into_iter().flatten().collect()
        }
        (true, false) => place(args.first(), args.get(1)).into_iter().collect(),
        (false, true) => [place(None, args.first()), place(None, args.get(1))].into_iter().flatten().collect(),
        (false, false) => place(None, args.first()).into_iter().collect(),
    }
}

/// Names below a home that a run looks up, as far as another run looks them up again: names of Parquet files have its clock.
fn traced(home: &Path, log: &Path, args: &[&str]) -> BTreeSet<PathBuf> {
    let mut strace = command("strace");
    strace
        .args(["-f", "--seccomp-bpf", "-y", "-s", "4096", "-e", CALLS, "-o"])
        .arg(log)
        .arg(support::program::binary())
        .args(args);
    strace.env("SUDO_UID", ALICE.to_string()).env("SUDO_GID", ALICE.to_string()).current_dir(home);
    run(&mut strace).expect_code(0);
    let text = String::from_utf8_lossy(&fs::read(log).expect("what strace saw")).into_owned();
    let calls = strace::lines(&text).into_iter().filter_map(|line| match line.what {
        What::Call(call) => Some(call),
        _ => None,
    });
    let paths = calls.flat_map(|call| looked_up(&call, home));
    let below = paths.filter_map(|path| path.strip_prefix(home).ok().map(Path::to_path_buf));
    let again = |path: &PathBuf| {
        let text = path.to_string_lossy();
        !(text.is_empty() || text.ends_with('.') || text.contains(".unfinished/") || text.ends_with(".parquet"))
    };
    below.filter(again).collect()
}

// --- what is planted ---

#[derive(Debug, Clone, Copy)]
enum Plant {
    LinkToFile,
    LinkToDir,
    Fifo,
    Device,
    HardLink,
    OthersFile,
    Directory,
}

const PLANTS: [Plant; 7] = [
    Plant::LinkToFile,
    Plant::LinkToDir,
    Plant::Fifo,
    Plant::Device,
    Plant::HardLink,
    Plant::OthersFile,
    Plant::Directory,
];

impl Plant {
    /// In place of what is there.
    fn at(self, path: &Path, stage: &Stage) {
        let is_dir = fs::symlink_metadata(path).is_ok_and(|there| there.is_dir());
        let _ = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        fs::create_dir_all(path.parent().expect("a parent")).expect("a parent");
        match self {
            Plant::LinkToFile => symlink(stage.secret(), path).expect("a link"),
            Plant::LinkToDir => symlink(stage.outside(), path).expect("a link"),
            Plant::Fifo => mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO"),
            Plant::Device => {
                let null = makedev(1, 3);
                mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), null).expect("a device");
            }
            Plant::HardLink => fs::hard_link(stage.secret(), path).expect("a hard link"),
            Plant::OthersFile => fs::write(path, "mallory's").expect("a file"),
            Plant::Directory => fs::create_dir(path).expect("a directory"),
        }
        let owner = match self {
            Plant::HardLink => return,
            Plant::OthersFile => MALLORY,
            _ => ALICE,
        };
        lchown(path, Some(owner), Some(owner)).expect("given away");
    }
}

/// Gives a plant to the next run; it may refuse, and has to say which path, or go on.
fn plant(stage: &Stage, template: &Path, number: usize, path: &Path, kind: Plant, args: &[&str]) {
    let home = stage.path(&format!("home{number}"));
    run(command("cp").arg("-a").arg(template).arg(&home)).expect_code(0);
    let planted = home.join(path);
    kind.at(&planted, stage);
    let what = format!("{kind:?} at {}", path.display());
    let ended = run(&mut sudo(ALICE, &home, args));
    stage.expect_untouched(&what);
    let code = ended.code();
    assert!(matches!(code, Some(0 | 1 | 125)), "{what}: {:?}: {}", ended.status, ended.stderr);
    let says = path.display().to_string();
    assert!(code == Some(0) || ended.stderr.contains(&says), "{what}: not said: {}", ended.stderr);
    let owners = fs::symlink_metadata(&planted).map_or(ALICE, |there| there.uid());
    assert!([0, ALICE, MALLORY].contains(&owners), "{what}");
    fs::remove_dir_all(&home).expect("removed");
}

#[test]
fn nothing_that_is_planted_at_any_path_of_a_run_leads_root_elsewhere() {
    let what = "plants at every path";
    if !is_root(what) || !has(what, "strace", "-V") || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let template = stage.home("template", ALICE);
    let mut all: Vec<(PathBuf, Plant, &[&str])> = vec![];
    for (log, args, least) in [("run.strace", RUN, 12), ("capture.strace", CAPTURE, 4)] {
        let paths = traced(&template, &stage.path(log), args);
        assert!(paths.len() >= least, "{paths:?}");
        all.extend(paths.into_iter().flat_map(|path| PLANTS.map(|plant| (path.clone(), plant, args))));
    }
    for uid in ["spool", "parquet", "report.json", "capture"].map(|name| fs::metadata(template.join(name))) {
        assert_eq!(uid.expect("made").uid(), ALICE, "what is made is hers");
    }
    let tries_all = std::env::var("WEIR_TEST_PLANT").is_ok_and(|value| value == "all");
    let mut random = Random::from_environment(what);
    let count = if tries_all { all.len() } else { SAMPLE };
    note(format_args!("{what}: {count} of {}", all.len()));
    for number in 0..count {
        let chosen = if tries_all { number } else { random.below(all.len() as u64) as usize };
        let (path, kind, args) = &all[chosen];
        plant(&stage, &template, number, path, *kind, args);
    }
}

#[test]
fn a_link_that_is_planted_again_and_again_while_it_runs_is_never_followed() {
    let what = "plants while it runs";
    if !is_root(what) || !has(what, "setpriv", "--version") || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let home = stage.home("home", ALICE);
    let names = "cursors/parquet.json.tmp cursors/parquet.tmp log.json.tmp log.tmp pinned.json.tmp pinned.tmp lock \
                 ../parquet/.parquet.generation.json.tmp ../parquet/.parquet.generation.tmp ../report.json.tmp";
    let script = format!(
        "while [ ! -e done ]; do if cd spool/cursors 2> /dev/null; then cd ..; for name in {names}; do \
         ln -sfn \"$0\" $name 2> /dev/null; done; cd ..; fi; done"
    );
    let mut alice = command("setpriv");
    alice.args([format!("--reuid={ALICE}"), format!("--regid={ALICE}"), "--clear-groups".to_owned()]);
    let mut alice = start(alice.args(["sh", "-c", &script]).arg(stage.secret()).current_dir(&home));
    let mut running = start(&mut sudo(ALICE, &home, &[&RUN[..4], &["3s"], &RUN[5..]].concat()));
    let stored = running.wait_until(|| home.join("spool/cursors/parquet.json").exists());
    let ended = running.wait();
    assert!(stored || ended.stderr.contains("where weir"), "neither gone on nor refused: {}", ended.stderr);
    assert!(!alice.has_ended(), "she went on to the end");
    fs::write(home.join("done"), "").expect("written");
    alice.wait().expect_code(0);
    stage.expect_untouched(&ended.stderr);
    assert!(matches!(ended.code(), Some(0 | 1 | 125)), "{:?}: {}", ended.status, ended.stderr);
}

// --- directories that were there before ---

/// Says whose directory it is and leaves it empty.
fn expect_refused(ended: Ended, dir: &Path, code: i32) {
    let ended = ended.expect_code(code);
    for word in [dir.file_name().expect("a name").to_string_lossy().as_ref(), "uid 2002"] {
        assert!(ended.stderr.contains(word), "no {word:?} in: {}", ended.stderr);
    }
    assert_eq!(names(dir), [""; 0]);
}

#[test]
fn a_directory_that_somebody_else_made_in_tmp_is_refused() {
    let what = "directories of others";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let tmp = stage.tmp();
    let mut capture = weir(CAPTURE);
    run(capture.current_dir(stage.scratch.path())).expect_code(0);
    let capture = stage.path("capture").display().to_string();
    let begin = ["run", "--status", "never", "--duration", "100ms", "--stdout", "json"];
    let cases: [(&[&str], i32); 8] = [
        (&["--durability", "crash"], 125),
        (&["--spool", "weir-spool"], 125),
        (&["--spool", "weir-spool/below"], 125),
        (&["--parquet", "weir-spool"], 125),
        (&["--capture", "weir-spool"], 125),
        (&["capture", "cut", &capture, "weir-spool"], 1),
        (&["capture", "merge", "weir-spool", &capture], 1),
        (&["capture", "export", &capture, "weir-spool"], 1),
    ];
    for (args, code) in cases {
        let theirs = tmp.join("weir-spool");
        fs::create_dir(&theirs).expect("made");
        chown(&theirs, Some(MALLORY), Some(MALLORY)).expect("given away");
        let begin: &[&str] = if args[0].starts_with("--") { &begin } else { &[] };
        expect_refused(run(weir(&[begin, args].concat()).current_dir(&tmp)), &theirs, code);
        fs::remove_dir(&theirs).expect("empty");
    }
    // What root makes there is root's, and nobody else's place is taken.
    run(weir(&[&begin[..], &["--durability", "crash"]].concat()).current_dir(&tmp)).expect_code(0);
    assert_eq!(fs::metadata(tmp.join("weir-spool")).expect("made").uid(), 0);
}

#[test]
fn a_name_that_somebody_else_has_is_refused_at_the_start() {
    if !is_root("names of others") {
        return;
    }
    let stage = Stage::new();
    let begin = ["run", "--status", "never", "--duration", "100ms"];
    let report: &[&str] = &["--stdout", "json", "--report", "planted"];
    let tmp = &stage.tmp();
    let planted = tmp.join("planted");
    for plant in [Plant::Fifo, Plant::LinkToFile, Plant::Directory, Plant::OthersFile] {
        plant.at(&planted, &stage);
        lchown(&planted, Some(MALLORY), Some(MALLORY)).expect("given away");
        let before = fs::symlink_metadata(&planted).expect("there").ino();
        for by in [None, Some(ALICE)] {
            let args = [&begin[..], report, &["--", "touch", "ran"]].concat();
            let ended = by.map_or_else(|| run(weir(&args).current_dir(tmp)), |uid| run(&mut sudo(uid, tmp, &args)));
            let said = &ended.stderr;
            assert_eq!(ended.code(), Some(125), "{plant:?}, {by:?}: {said}");
            assert!(said.contains("planted") && said.contains("uid 2002"), "{plant:?}, {by:?}: {said}");
            assert!(!tmp.join("ran").exists(), "{plant:?}, {by:?}: the command ran");
        }
        assert_eq!(fs::symlink_metadata(&planted).expect("still there").ino(), before, "{plant:?}");
    }
    let once = |code| run(weir(&begin).args(["--parquet", "data"]).current_dir(stage.scratch.path())).expect_code(code);
    once(0);
    let data = stage.path("data");
    type Planter<'a> = (&'a str, &'a dyn Fn(&Path));
    let planters: [Planter<'_>; 3] = [
        ("class=network", &|path| symlink(stage.outside(), path).expect("a link")),
        ("class=network", &|path| fs::write(path, "a file").expect("a file")),
        (".parquet.generation.json", &|path| fs::write(path, b"\xff\xfe").expect("a file")),
    ];
    for (name, plant) in planters {
        plant(&data.join(name));
        let ended = once(125);
        assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
        fs::remove_file(data.join(name)).expect("removed");
    }
    once(0);
}

#[test]
fn root_replays_what_another_user_recorded() {
    let what = "recordings of others";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let (alice, mallory) = (stage.home("home", ALICE), stage.home("other", MALLORY));
    run(&mut sudo(ALICE, &alice, RUN)).expect_code(0);
    run(&mut sudo(ALICE, &alice, &["detach", "--spool", "spool"])).expect_code(0);
    let spool = alice.join("spool").display().to_string();
    fs::set_permissions(&alice, Permissions::from_mode(0o700)).expect("hers alone");
    let replay = ["replay", spool.as_str(), "--parquet", "replayed"];
    let root = run(weir(&replay).current_dir(stage.scratch.path())).expect_code(0);
    let other = run(&mut sudo(MALLORY, &mallory, &replay)).expect_code(0);
    for (ended, dir) in [(root, stage.path("replayed")), (other, mallory.join("replayed"))] {
        assert!(!parquet_files(&dir).is_empty(), "{}", ended.stderr);
    }
}

// --- state files ---

#[test]
fn a_spool_of_another_makes_detach_touch_nothing_outside_of_it() {
    let what = "state files of others";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let root_spool = stage.path("spool");
    let mut running = start(weir(RUN).current_dir(stage.scratch.path()));
    assert!(running.wait_until(|| root_spool.join("pinned.json").exists()), "{}", running.stderr_so_far());
    assert!(running.wait_until(|| root_spool.join("cursors/parquet.json").exists()), "{}", running.stderr_so_far());
    let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON") };
    let log_id = json(root_spool.join("log.json"))["log_id"].as_str().expect("an id").to_owned();
    let pins = pins(&root_spool).expect("a log");
    assert!(running.wait_until(|| pins.join("complete").exists()), "{}", running.stderr_so_far());
    running.signal(Signal::KILL);
    running.wait();
    let pinned = json(root_spool.join("pinned.json"));

    // A directory that has root's own maps, and leads to a victim where the links should be.
    let victim = stage.path("victim");
    fs::create_dir(&victim).expect("made");
    fs::write(victim.join("precious"), "precious").expect("written");
    let evil = stage.path("evil");
    fs::create_dir(&evil).expect("made");
    for name in ["maps", "rings", "programs"] {
        symlink(pins.join(name), evil.join(name)).expect("a link");
    }
    symlink(&victim, evil.join("links")).expect("a link");
    fs::create_dir(evil.join("complete")).expect("made");
    for (name, id) in [("other", "0123456789abcdef"), ("same", log_id.as_str())] {
        let theirs = stage.home(name, MALLORY);
        let cursors = theirs.join("cursors");
        fs::create_dir(&cursors).expect("made");
        let mut claims = pinned.clone();
        claims["dir"] = json!(evil);
        let files = [("log.json", json!({ "log_id": id, "overflow": false })), ("pinned.json", claims)];
        for (file, value) in files {
            fs::write(theirs.join(file), value.to_string()).expect("written");
            chown(theirs.join(file), Some(MALLORY), Some(MALLORY)).expect("given away");
        }
        chown(&cursors, Some(MALLORY), Some(MALLORY)).expect("given away");
        let detach = |uid: Option<u32>| {
            let mut weir = weir(&["detach", "--spool"]);
            if let Some(uid) = uid {
                weir.env("SUDO_UID", uid.to_string()).env("SUDO_GID", uid.to_string());
            }
            run(weir.arg(&theirs))
        };
        let refused = detach(None).expect_code(1);
        assert!(refused.stderr.contains("uid 2002"), "{}", refused.stderr);
        let own = detach(Some(MALLORY)).expect_code(0);
        assert!(String::from_utf8_lossy(&own.stdout).contains("nothing is attached"), "{own:?}");
        assert_eq!(names(&victim), ["precious"], "{name}");
        assert!(pins.join("complete").exists(), "{name}: root's own programs stay");
    }
    let ended = run(weir(&["detach", "--spool"]).arg(&root_spool)).expect_code(0);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("detached"), "{ended:?}");
    assert!(!pins.exists());
}

#[test]
fn a_copy_of_a_spool_takes_no_pins_from_a_weir_that_runs() {
    let what = "a copy of a spool";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let dir = stage.scratch.path();
    let begin = ["run", "--status", "never", "--durability", "crash", "--spool"];
    let mut running = start(weir(&begin).args(["spool", "--parquet", "parquet"]).current_dir(dir));
    wait_for_start(&mut running, dir);
    // Nothing comes or goes while it is copied.
    running.signal(Signal::STOP);
    run(command("cp").args(["-a", "spool", "copy"]).current_dir(dir)).expect_code(0);
    running.signal(Signal::CONT);
    let detached = run(weir(&["detach", "--spool", "copy"]).current_dir(dir)).expect_code(1);
    let other = run(weir(&begin).args(["copy", "--parquet", "other", "--duration", "100ms"]).current_dir(dir));
    for ended in [detached, other.expect_code(125)] {
        assert!(ended.stderr.contains("another weir goes on with them"), "{}", ended.stderr);
    }
    running.signal(Signal::INT);
    let ended = running.wait().expect_code(0);
    assert!(ended.stderr.contains(" 0 lost") && ended.stderr.contains("is accounted for"), "{}", ended.stderr);
}

#[test]
fn the_name_of_the_pins_can_be_had_again_from_who_took_it() {
    let what = "another user in the BPF file system";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let stage = Stage::new();
    let once = || run(weir(RUN).current_dir(stage.scratch.path())).expect_code(0);
    let detach = || run(weir(&["detach", "--spool"]).arg(stage.path("spool"))).expect_code(0);
    once();
    detach();
    let pins = pins(&stage.path("spool")).expect("a log");
    let theirs = pins.join("precious");
    fs::create_dir_all(&theirs).expect("made");
    for dir in [&pins, &theirs] {
        chown(dir, Some(MALLORY), Some(MALLORY)).expect("given away");
    }
    let ended = once();
    assert!(ended.stderr.contains("moved aside") && ended.stderr.contains("uid 2002"), "{}", ended.stderr);
    detach();
    assert!(!pins.exists());
    let is_aside = |name: &String| name.starts_with(&*pins.file_name().expect("a name").to_string_lossy());
    let bpf_fs = Path::new("/sys/fs/bpf");
    let aside: Vec<PathBuf> = names(bpf_fs).into_iter().filter(is_aside).map(|name| bpf_fs.join(name)).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::metadata(&aside[0]).expect("still there").uid(), MALLORY);
    assert_eq!(names(&aside[0]), ["precious"]);
    fs::remove_dir(aside[0].join("precious")).and_then(|()| fs::remove_dir(&aside[0])).expect("removed");
}

// --- readers ---

#[test]
fn a_fifo_or_a_device_is_refused_at_once_by_who_reads() {
    let stage = Stage::new();
    let dir = stage.path("rows");
    fs::create_dir(&dir).expect("made");
    let fifo = dir.join("x.parquet");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO");
    let zero = Path::new("/dev/zero");
    for (path, word) in [(&fifo, "FIFO"), (&dir, "FIFO"), (&zero.to_path_buf(), "device")] {
        let ended = run(weir(&["verify"]).arg(path));
        assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
        assert!(said.contains(word), "{said}");
    }
    fs::remove_file(&fifo).expect("removed");
    for name in ["log.json", "removed.jsonl"] {
        mknodat(CWD, dir.join(name), FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO");
        let ended = run(weir(&["verify"]).arg(&dir));
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
        assert!(ended.code() == Some(2) && said.contains("FIFO"), "{name}: {said}");
        let readers = [["spool", "info"], ["spool", "check"], ["capture", "info"], ["spool", "repair"]];
        for args in readers.iter().filter(|_| name == "log.json") {
            let ended = run(weir(args).arg(&dir)).expect_code(1);
            assert!(ended.stderr.contains("FIFO"), "{args:?}: {}", ended.stderr);
        }
        fs::remove_file(dir.join(name)).expect("removed");
    }
}
