//! Delivery that survives: settings that change, disks that fill up, captures that are played again. What the sinks hold is
//! judged by `weir verify`. Kills without end: `torture`.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::delivery::{Markers, collector, config, has_bpf_fs, python, wait_for_start};
use support::program::{command, run, weir};
use support::skip::{is_root, skip};
use support::tmpfs::Tmpfs;
use support::verified::verify;
use weir_tests::wait;

/// Files opened at a time.
const MARKERS: u64 = 40;

#[test]
fn what_is_pinned_can_be_detached_and_other_settings_begin_a_new_epoch_behind_the_old_ones_end() {
    let what = "detach and a change of settings";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut markers = Markers::new(scratch.path());
    let config = config(scratch.path(), "");
    let kill_one = |markers: &mut Markers, more: &[&str]| {
        let _ = fs::remove_file(scratch.path().join("spool/pinned.json"));
        let mut running = collector(&config, more);
        wait_for_start(&mut running, scratch.path());
        thread::sleep(Duration::from_millis(300));
        markers.make(MARKERS);
        running.signal(Signal::KILL);
        running.wait();
        markers.make(MARKERS);
    };
    kill_one(&mut markers, &[]);
    collector(&config, &["--args-bytes-max", "1KiB", "--duration", "1s"]).wait().expect_code(0);
    let verified = verify(&scratch.path().join("parquet"));
    assert_eq!((verified.code, verified.runs().len()), (0, 2), "{:?}", verified.problems());
    assert!(verified.rows("file") >= markers.made(), "what happened while nobody read belongs to the old epoch");
    kill_one(&mut markers, &[]);
    let missing = run(&mut weir(&["detach", "--spool", &scratch.path().join("spol").display().to_string()]));
    assert!(missing.expect_code(1).stderr.contains("is no spool"), "a wrong name makes nothing");
    let detach = || run(weir(&["detach", "--spool"]).arg(scratch.path().join("spool"))).expect_code(0);
    assert!(String::from_utf8_lossy(&detach().stdout).contains("detached"));
    assert!(String::from_utf8_lossy(&detach().stdout).contains("nothing is attached"));
    collector(&config, &["--duration", "1s"]).wait().expect_code(0);
    let verified = verify(&scratch.path().join("parquet"));
    assert_eq!((verified.code, verified.runs().len()), (0, 4), "{:?}", verified.problems());
    assert!(verified.rows("file") >= markers.made());
}

#[test]
fn a_full_disk_under_the_spool_makes_the_rings_wait_and_loses_nothing() {
    let what = "a full disk under the spool";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut markers = Markers::new(scratch.path());
    let spool = scratch.path().join("spool");
    fs::create_dir(&spool).expect("the spool's directory");
    let Ok(_disk) = Tmpfs::mount(&spool, 4 << 20, false) else { return skip(what, "no tmpfs can be mounted") };
    let config = config(scratch.path(), "");
    let mut running = collector(&config, &[]);
    wait_for_start(&mut running, scratch.path());
    markers.make(MARKERS);
    let filler = spool.join("filler");
    let mut file = File::create(&filler).expect("a file that fills the disk");
    while file.write_all(&[1; 4096]).is_ok() {}
    // An open file would keep its room after it is removed.
    drop(file);
    for _ in 0..20 {
        markers.make(MARKERS);
        thread::sleep(Duration::from_millis(20));
    }
    while !running.stderr_so_far().contains("until the spool works again") {
        assert!(!running.has_ended(), "{}", running.stderr_so_far());
        markers.make(MARKERS);
        thread::sleep(Duration::from_millis(100));
    }
    fs::remove_file(&filler).expect("room again");
    markers.make(MARKERS);
    wait::until("the spool to be written again", || running.stderr_so_far().contains("the spool can be written again"));
    running.signal(Signal::TERM);
    let ended = running.wait().expect_code(0);
    assert!(ended.stderr.contains("wait in the kernel's rings until the spool works again"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the spool can be written again"), "{}", ended.stderr);
    let verified = verify(&scratch.path().join("parquet"));
    assert_eq!(verified.code, 0, "{:?}", verified.problems());
    assert!(verified.gaps().is_empty(), "{:?}", verified.gaps());
    assert!(verified.rows("file") >= markers.made());
}

/// The rows of a directory of Parquet files, without what a sink says itself, as sorted text.
fn tables(dir: &Path) -> Option<String> {
    let python = python()?;
    let script = "import duckdb,sys;d=sys.argv[1];print(duckdb.sql(f\"select * exclude(date,hour) from \
                  read_parquet('{d}/**/*.parquet',hive_partitioning=true,union_by_name=true) where cpu<>-2 \
                  order by class,cpu,seq\").df().to_csv())";
    let ended = run(command(python).args(["-c", script]).arg(dir)).expect_code(0);
    Some(String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
fn a_capture_played_again_gives_the_same_tables_and_its_parts_stay_accounted_for() {
    let what = "a capture and its replay";
    if !is_root(what) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let at = |name: &str| scratch.path().join(name).display().to_string();
    let shell = format!("for i in 1 2 3 4 5 6 7 8 9 10; do cat /etc/hostname > {}; done; ls /", at("out"));
    run(&mut weir(&["run", "--capture", &at("cap"), "--parquet", &at("live"), "--", "sh", "-c", &shell]))
        .expect_code(0);
    let ok = |arguments: &[&str]| run(&mut weir(arguments)).expect_code(0);
    ok(&["verify", &at("cap")]);
    ok(&["replay", &at("cap"), "--parquet", &at("again")]);
    ok(&["verify", &at("again")]);
    let read = ok(&["replay", &at("cap"), "--discard"]);
    assert!(read.stderr.contains("discard: "), "{}", read.stderr);
    let stand = Path::new(&at("cap")).join("cursors/replay-discard.json");
    assert!(!stand.exists(), "nobody goes on there");
    match tables(Path::new(&at("live"))).zip(tables(Path::new(&at("again")))) {
        Some((live, again)) => assert_eq!(live, again),
        None => skip(what, "WEIR_TEST_PYTHON is not set: the tables were not compared"),
    }
    ok(&["replay", &at("cap"), "--parquet", &at("new"), "--new-epoch", "--speed", "100"]);
    let new = verify(Path::new(&at("new")));
    assert_eq!((new.code, new.runs().len()), (0, 1));
    ok(&["capture", "cut", &at("cap"), &at("part"), "--only-class", "process"]);
    let part = verify(Path::new(&at("part")));
    assert_eq!((part.code, part.rows("file")), (0, 0), "{:?}", part.problems());
    let refused = run(&mut weir(&["capture", "merge", &at("both"), &at("part"), &at("cap")])).expect_code(1);
    assert!(refused.stderr.contains("the same run"), "{}", refused.stderr);
    ok(&["run", "--class", "process", "--capture", &at("other"), "--", "true"]);
    ok(&["capture", "merge", &at("both"), &at("other"), &at("cap")]);
    ok(&["verify", &at("both")]);
    let both = ok(&["capture", "info", "--json", &at("both")]);
    let both: Value = serde_json::from_slice(&both.stdout).expect("JSON");
    assert!(both["streams"].as_array().is_some_and(|s| !s.is_empty()), "{both}");
    ok(&["spool", "check", &at("both")]);
    ok(&["capture", "export", &at("cap"), &at("arrows")]);
    assert!(Path::new(&at("arrows/process.arrows")).exists());
}
