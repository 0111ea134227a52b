//! Delivery that survives: a collector killed again and again, brokers killed under it, disks that fill up, captures that are
//! played again. What the consumers hold is judged by `weir verify`.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::program::{Running, command, files, run, start, weir};
use support::seed::Random;
use support::skip::{is_root, note, skip};
use support::tmpfs::Tmpfs;
use support::verified::verify;
use weir_tests::brokers::{kafka, nats};

/// Collectors that are killed in the usual run; `WEIR_TEST_KILLS` asks for more.
const KILLS: u64 = 25;
/// Files opened in the life of each, and again while nobody reads.
const MARKERS: u64 = 40;
/// Longest life before the kill, ms.
const LIFE_MS_MAX: u64 = 700;
/// How long a consumer waits for another message.
const IDLE_S: &str = "5";

/// Files whose opening is recorded.
struct Markers {
    dir: PathBuf,
    made: u64,
}

impl Markers {
    fn new(scratch: &Path) -> Markers {
        let dir = scratch.join("markers");
        fs::create_dir(&dir).expect("a directory of markers");
        Markers { dir, made: 0 }
    }

    fn make(&mut self, count: u64) {
        for n in self.made..self.made + count {
            File::create(self.dir.join(format!("m{n}"))).expect("a marker");
        }
        self.made += count;
    }

    fn all(&self) -> BTreeSet<String> {
        (0..self.made).map(|n| self.dir.join(format!("m{n}")).display().to_string()).collect()
    }
}

/// BPF file systems are where programs outlive a collector; mounted if it is not there.
fn has_bpf_fs(what: &str) -> bool {
    let is_there = || fs::read_to_string("/proc/mounts").is_ok_and(|m| m.contains(" /sys/fs/bpf bpf "));
    if !is_there() {
        run(command("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]));
    }
    if !is_there() {
        skip(what, "no BPF file system can be mounted on /sys/fs/bpf");
    }
    is_there()
}

/// The setting file of a collector with a spool in mode crash, and its sinks.
fn config(scratch: &Path, sinks: &str) -> PathBuf {
    let text = format!(
        "classes = [\"file\"]\n[filter]\nonly_path = [\"{0}/markers/\"]\n[spool]\ndir = \"{0}/spool\"\nmode = \"crash\"\n\
         [[sink]]\ntype = \"parquet\"\ndir = \"{0}/parquet\"\nfile_age = \"300ms\"\n{sinks}",
        scratch.display()
    );
    let path = scratch.join("weir.toml");
    fs::write(&path, text).expect("the settings");
    path
}

fn collector(config: &Path, more: &[&str]) -> Running {
    start(weir(&["run", "--status", "never"]).arg("--config").arg(config).args(more))
}

/// Waits until the collector records.
fn wait_for_start(running: &mut Running, scratch: &Path) {
    let pins = scratch.join("spool/pinned.json");
    assert!(running.wait_until(|| pins.exists()), "{}", running.stderr_so_far());
}

/// The rows of JSON lines.
fn rows(dir: &Path) -> Vec<Value> {
    let lines = |path: PathBuf| BufReader::new(File::open(path).expect("a file of rows")).lines();
    let of = |path| lines(path).map(|line| serde_json::from_str(&line.expect("a line")).expect("a row"));
    files(dir, ".jsonl").into_iter().flat_map(of).collect()
}

/// Everything that a consumer wrote down: complete, each row once, every marker among them.
fn expect_all(dir: &Path, markers: &Markers, name: &str) {
    let merged = dir.join("all.json");
    let rows = rows(dir);
    let paths: BTreeSet<String> = rows.iter().filter_map(|r| r["path"].as_str()).map(String::from).collect();
    let missing: Vec<String> = markers.all().difference(&paths).take(5).cloned().collect();
    assert!(missing.is_empty(), "{name}: {} of {} markers, missing {missing:?}", paths.len(), markers.made);
    let mut sorted = rows;
    sorted.sort_by_key(|r| (r["ktime_ns"].as_i64(), r["cpu"].as_i64(), r["seq"].as_i64()));
    let mut out = File::create(&merged).expect("the merged file");
    sorted.iter().for_each(|row| writeln!(out, "{row}").expect("a line"));
    let verified = verify(&merged);
    assert_eq!(verified.code, 0, "{name}: {:?}", verified.problems());
}

fn python() -> Option<PathBuf> {
    std::env::var_os("WEIR_TEST_PYTHON").map(PathBuf::from)
}

fn consume(script: &str, arguments: &[&str], out: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/consumers").join(script);
    let Some(python) = python() else { panic!("WEIR_TEST_PYTHON is not set, although brokers are there") };
    run(command(python).arg(script).args(arguments).args(["--idle", IDLE_S, "--out"]).arg(out)).expect_code(0);
}

fn kills() -> u64 {
    std::env::var("WEIR_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS)
}

#[test]
fn a_killed_collector_goes_on_where_it_stopped_and_every_sink_has_every_event_once() {
    let what = "a collector that is killed again and again";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut markers = Markers::new(scratch.path());
    let mut random = Random::from_environment(what);
    let mut broker = kafka::jars(what).map(|jars| kafka::Broker::start(&jars, &kafka::Options::default()));
    let mut server = nats::Server::start(what, "");
    let mut sinks = String::new();
    if let Some(broker) = &broker {
        sinks += &format!("[[sink]]\ntype = \"kafka\"\nbrokers = [\"{}\"]\ncreate_topics = true\n", broker.address());
    }
    if let Some(server) = &server {
        sinks += &format!("[[sink]]\ntype = \"nats\"\nservers = [\"{}\"]\ncreate_stream = true\n", server.url());
    }
    let config = config(scratch.path(), &sinks);
    for n in 0..kills() {
        let mut running = collector(&config, &[]);
        wait_for_start(&mut running, scratch.path());
        markers.make(MARKERS);
        // One in five times a broker dies in between, and comes back for the next collector.
        let broker_dies = random.below(5) == 0;
        if broker_dies {
            broker.iter_mut().for_each(kafka::Broker::kill);
            server.iter_mut().for_each(nats::Server::kill);
        }
        thread::sleep(Duration::from_millis(random.below(LIFE_MS_MAX)));
        running.signal(Signal::KILL);
        running.wait();
        markers.make(MARKERS);
        if broker_dies {
            broker.iter_mut().for_each(kafka::Broker::restart);
            server.iter_mut().for_each(nats::Server::run);
        }
        assert!(n > 0 || verify(&scratch.path().join("spool")).code == 3, "the spool has an open end");
    }
    markers.make(MARKERS);
    let ended = collector(&config, &["--duration", "3s"]).wait().expect_code(0);
    assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("wait in the spool"), "{}", ended.stderr);
    let parquet = verify(&scratch.path().join("parquet"));
    assert_eq!(parquet.code, 0, "{:?}", parquet.problems());
    assert_eq!(parquet.runs().len(), 1, "one epoch from the first start to the stop");
    assert!(parquet.rows("file") >= markers.made);
    let out = |name: &str| scratch.path().join(name);
    if let Some(broker) = &broker {
        consume("kafka_consumer.py", &["--brokers", &broker.address()], &out("from-kafka"));
        expect_all(&out("from-kafka"), &markers, "kafka");
    }
    if let Some(server) = &server {
        consume("nats_consumer.py", &["--server", &server.url()], &out("from-nats"));
        expect_all(&out("from-nats"), &markers, "nats");
    }
    note(format_args!("{} collectors killed, {} markers", kills(), markers.made));
}

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
    assert!(verified.rows("file") >= markers.made, "what happened while nobody read belongs to the old epoch");
    kill_one(&mut markers, &[]);
    let detach = || run(weir(&["detach"]).arg("--config").arg(&config)).expect_code(0);
    assert!(String::from_utf8_lossy(&detach().stdout).contains("detached"));
    assert!(String::from_utf8_lossy(&detach().stdout).contains("nothing is attached"));
    collector(&config, &["--duration", "1s"]).wait().expect_code(0);
    let verified = verify(&scratch.path().join("parquet"));
    assert_eq!((verified.code, verified.runs().len()), (0, 4), "{:?}", verified.problems());
    assert!(verified.rows("file") >= markers.made);
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
    thread::sleep(Duration::from_millis(1_500));
    running.signal(Signal::TERM);
    let ended = running.wait().expect_code(0);
    assert!(ended.stderr.contains("wait in the kernel's rings until the spool works again"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the spool can be written again"), "{}", ended.stderr);
    let verified = verify(&scratch.path().join("parquet"));
    assert_eq!(verified.code, 0, "{:?}", verified.problems());
    assert!(verified.gaps().is_empty(), "{:?}", verified.gaps());
    assert!(verified.rows("file") >= markers.made);
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
    ok(&["capture", "merge", &at("both"), &at("part"), &at("cap")]);
    let both = ok(&["capture", "info", "--json", &at("both")]);
    let both: Value = serde_json::from_slice(&both.stdout).expect("JSON");
    assert!(both["streams"].as_array().is_some_and(|s| !s.is_empty()), "{both}");
    ok(&["spool", "check", &at("both")]);
    ok(&["capture", "export", &at("cap"), &at("arrows")]);
    assert!(Path::new(&at("arrows/process.arrows")).exists());
}
