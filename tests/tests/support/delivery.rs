//! What the tests of delivery share: files whose opening is recorded, a collector with a spool in mode crash, and the judgement
//! of what its sinks and the consumers behind them have.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_tests::brokers::{kafka, nats};

use super::program::{Running, command, files, parquet_files, run, start, weir};
use super::skip::skip;
use super::verified::{Verified, verify};

/// How long a consumer waits for another message, s.
const IDLE_S: &str = "10";

/// Files whose opening is recorded.
pub struct Markers {
    dir: PathBuf,
    made: u64,
}

impl Markers {
    /// None yet, in a directory of their own.
    pub fn new(scratch: &Path) -> Markers {
        let dir = scratch.join("markers");
        fs::create_dir(&dir).expect("a directory of markers");
        Markers { dir, made: 0 }
    }

    /// Opens new ones.
    pub fn make(&mut self, count: u64) {
        for n in self.made..self.made + count {
            File::create(self.dir.join(format!("m{n}"))).expect("a marker");
        }
        self.made += count;
    }

    /// How many there are.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Panics unless all of them are among these paths.
    pub fn expect_among(&self, paths: &BTreeSet<String>, name: &str) {
        let all = (0..self.made).map(|n| self.dir.join(format!("m{n}")).display().to_string());
        let missing: Vec<String> = all.filter(|path| !paths.contains(path)).collect();
        let some = &missing[..missing.len().min(5)];
        assert!(missing.is_empty(), "{name}: {} of {} markers are missing: {some:?}", missing.len(), self.made);
    }
}

/// BPF file systems are where programs outlive a collector; mounted if it is not there.
pub fn has_bpf_fs(what: &str) -> bool {
    let is_there = || fs::read_to_string("/proc/mounts").is_ok_and(|m| m.contains(" /sys/fs/bpf bpf "));
    if !is_there() {
        run(command("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]));
    }
    if !is_there() {
        skip(what, "no BPF file system can be mounted on /sys/fs/bpf");
    }
    is_there()
}

/// The setting file of a collector with a spool in mode crash and a Parquet sink; `sinks` are further tables.
pub fn config(scratch: &Path, sinks: &str) -> PathBuf {
    let spool = format!("[spool]\ndir = \"{}/spool\"\nmode = \"crash\"\n", scratch.display());
    settings(scratch, "classes = [\"file\"]\n", &spool, sinks)
}

/// The setting file of a collector with a Parquet sink: `top` begins it, `tables` and `sinks` are further tables.
pub fn settings(scratch: &Path, top: &str, tables: &str, sinks: &str) -> PathBuf {
    let text = format!(
        "{top}[filter]\nonly_path = [\"{0}/markers/\"]\n{tables}\
         [[sink]]\ntype = \"parquet\"\ndir = \"{0}/parquet\"\nfile_age = \"300ms\"\n{sinks}",
        scratch.display()
    );
    let path = scratch.join("weir.toml");
    fs::write(&path, text).expect("the settings");
    path
}

/// Opens files beside the markers until a file of rows is visible: nothing else on a quiet machine need make a row.
pub fn wait_for_a_file(running: &mut Running, parquet: &Path, markers: &Markers) {
    let is_there = running.wait_until(|| {
        File::create(markers.dir.join("knock")).expect("a file");
        !parquet_files(parquet).is_empty()
    });
    assert!(is_there, "no file became visible: {}", running.stderr_so_far());
}

/// The table of a Kafka sink; `more` are further lines of it.
pub fn kafka_sink(broker: &kafka::Broker, more: &str) -> String {
    format!("[[sink]]\ntype = \"kafka\"\nbrokers = [\"{}\"]\ncreate_topics = true\n{more}", broker.address())
}

/// The table of a NATS sink; `more` are further lines of it.
pub fn nats_sink(server: &nats::Server, more: &str) -> String {
    format!("[[sink]]\ntype = \"nats\"\nservers = [\"{}\"]\ncreate_stream = true\n{more}", server.url())
}

/// Starts a collector with these settings.
pub fn collector(config: &Path, more: &[&str]) -> Running {
    start(weir(&["run", "--status", "never"]).arg("--config").arg(config).args(more))
}

/// Where the programs of a spool are pinned, once it has a log.
pub fn pins(spool: &Path) -> Option<PathBuf> {
    let log: Value = serde_json::from_slice(&fs::read(spool.join("log.json")).ok()?).ok()?;
    let short: String = log["log_id"].as_str()?.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    Some(PathBuf::from(format!("/sys/fs/bpf/weir-{short}")))
}

/// Waits until the collector records, and would go on doing so if it were killed.
pub fn wait_for_start(running: &mut Running, scratch: &Path) {
    let spool = scratch.join("spool");
    let is_kept = running.wait_until(|| pins(&spool).is_some_and(|pins| pins.join("complete").exists()));
    assert!(is_kept, "{}", running.stderr_so_far());
}

/// The rows of JSON lines.
pub fn rows(dir: &Path) -> Vec<Value> {
    let lines = |path: PathBuf| BufReader::new(File::open(path).expect("a file of rows")).lines();
    let of = |path| lines(path).map(|line| serde_json::from_str(&line.expect("a line")).expect("a row"));
    files(dir, ".jsonl").into_iter().flat_map(of).collect()
}

/// Everything that a consumer wrote down, as one file in kernel-time order for `weir verify`.
pub fn merged(dir: &Path) -> (Vec<Value>, PathBuf) {
    let path = dir.join("all.json");
    let mut rows = rows(dir);
    rows.sort_by_key(|r| (r["ktime_ns"].as_i64(), r["cpu"].as_i64(), r["seq"].as_i64()));
    let mut out = File::create(&path).expect("the merged file");
    rows.iter().for_each(|row| writeln!(out, "{row}").expect("a line"));
    (rows, path)
}

/// Everything that a consumer wrote down: complete, each row once, every marker among them.
pub fn expect_all(dir: &Path, markers: &Markers, name: &str) {
    let (rows, path) = merged(dir);
    let paths = rows.iter().filter_map(|r| r["path"].as_str()).map(String::from).collect();
    markers.expect_among(&paths, name);
    let verified = verify(&path);
    assert_eq!(verified.code, 0, "{name}: {:?}", verified.problems());
}

/// Everything that the Parquet sink has: complete, without a gap, each row once, every marker among them.
pub fn expect_all_in_parquet(dir: &Path, markers: &Markers) -> Verified {
    let parquet = verify(dir);
    assert_eq!(parquet.code, 0, "parquet: {:?}", parquet.problems());
    assert!(parquet.gaps().is_empty(), "parquet: {:?}", parquet.gaps());
    assert!(parquet.rows("file") >= markers.made());
    if let Some(python) = python() {
        let script = "import duckdb,sys;[print(path) for path, in duckdb.sql(f\"select distinct path from \
                      read_parquet('{sys.argv[1]}/class=file/**/*.parquet') where path is not null\").fetchall()]";
        let listed = run(command(python).args(["-c", script]).arg(dir)).expect_code(0);
        let paths = String::from_utf8_lossy(&listed.stdout).lines().map(String::from).collect();
        markers.expect_among(&paths, "parquet");
    }
    parquet
}

/// The Python of the tests.
pub fn python() -> Option<PathBuf> {
    std::env::var_os("WEIR_TEST_PYTHON").map(PathBuf::from)
}

/// Runs one of the example consumers until nothing comes any more; returns what it says about rows and repeated rows.
pub fn consume(script: &str, arguments: &[&str], out: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/consumers").join(script);
    let Some(python) = python() else { panic!("WEIR_TEST_PYTHON is not set, although brokers are there") };
    let ended = run(command(python).arg(script).args(arguments).args(["--idle", IDLE_S, "--out"]).arg(out));
    String::from_utf8_lossy(&ended.expect_code(0).stdout).into_owned()
}
