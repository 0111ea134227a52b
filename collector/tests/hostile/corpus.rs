//! The committed corpus of the fuzzers, and changes of it, with the stable compiler.
//!
//! `WEIR_UPDATE=1` writes the parts of the corpus that are made from true files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use weir_collector::fuzz::{TARGETS, Target};
use weir_sinks::Progress;

use super::made::capture;

/// Changed inputs a target, unless asked for a time.
const CHANGES: u64 = 1_500;
/// Address space of the process that tries them, KiB.
const LIMIT_KIB: u64 = 2 << 20;
/// Names the target that this process tries; without it the test starts one process a target.
const TARGET: &str = "WEIR_TEST_FUZZ_TARGET";
/// How long it tries; without it a number of changes. Where they begin.
const SECONDS: &str = "WEIR_TEST_FUZZ_SECONDS";
const SEED: &str = "WEIR_TEST_SEED";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers that programs stumble over.
const EDGES: &[u64] =
    &[0, 1, 7, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 62, i64::MAX as u64, u64::MAX];

fn change(input: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(input.len());
    match random.below(8) {
        0 => input.truncate(at),
        1 => input.insert(at, random.next() as u8),
        2 | 3 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        4 | 5 => {
            let width = [1, 2, 4, 8][random.below(4)];
            let value = EDGES[random.below(EDGES.len())].to_le_bytes();
            let at = at / width * width;
            input.iter_mut().skip(at).take(width).zip(value).for_each(|(byte, new)| *byte = new);
        }
        6 => {
            let piece = input[at..(at + random.below(64)).min(input.len())].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, piece);
        }
        _ => {
            let digits = EDGES[random.below(EDGES.len())].to_string();
            let end = (at + digits.len()).min(input.len());
            input.splice(at..end, digits.into_bytes());
        }
    }
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let dir = corpus().join(name);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&dir).expect("a corpus of each target").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort_unstable();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn try_all(name: &str, target: Target) {
    let inputs = inputs(name);
    inputs.iter().for_each(|input| target(input));
    let seed = number(SEED).unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos() as u64));
    let mut random = Random(seed);
    let (began, seconds) = (Instant::now(), number(SECONDS).map(Duration::from_secs));
    let goes_on = |n: &u64| seconds.map_or(*n < CHANGES, |seconds| began.elapsed() < seconds);
    for n in (0..).take_while(goes_on) {
        let mut input = inputs[random.below(inputs.len())].clone();
        (0..1 + random.below(4)).for_each(|_| change(&mut input, &mut random));
        let tried = std::panic::catch_unwind(|| target(&input));
        if tried.is_err() {
            let kept = std::env::temp_dir().join(format!("weir-fuzz-{name}-{seed}-{n}"));
            let _ = fs::write(&kept, &input);
            panic!("target {name}, change {n} of {SEED}={seed}: the input is in {}", kept.display());
        }
    }
}

#[test]
fn any_bytes_give_rows_or_an_error() {
    if let Ok(name) = std::env::var(TARGET) {
        let (name, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
        return try_all(name, *target);
    }
    if std::env::var_os("WEIR_UPDATE").is_some() {
        write_corpus();
    }
    for (name, _) in TARGETS {
        let script = format!("ulimit -v {LIMIT_KIB}; exec \"$0\" \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(std::env::current_exe().expect("this program"));
        command.args(["any_bytes_give_rows_or_an_error", "--nocapture"]).env(TARGET, name);
        let output = command.output().expect("bash runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "target {name}: {}\n{text}", output.status);
    }
}

fn write_corpus() {
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let dir = corpus().join(target);
        fs::create_dir_all(&dir).expect("a directory of the corpus");
        fs::write(dir.join(name), bytes).expect("room for an input");
    };
    let dir = tempfile::tempdir().expect("a directory");
    let segment = fs::read(capture(dir.path(), 3, 3)).expect("a segment");
    put("segment", "three-cuts", &segment);
    put("frame", "three-cuts", &segment);
    let mut torn = segment.clone();
    torn[segment.len() / 2] ^= 1;
    put("segment", "torn", &torn);
    put("state", "cursor", &serde_json::to_vec(&Progress::begins("log", 3)).expect("a cursor"));
    put("state", "cursor-with-losses", CURSOR.as_bytes());
    put("state", "log", &fs::read(dir.path().join("log.json")).expect("the log's name"));
    let ring = r#"[{"cpu":0,"numbers":{"next":9,"last_ns":5,"holes":[{"first":2,"last":3,"before_ns":1,"after_ns":2,"certain_at":7}],"lost_seen":1,"duplicates":0}}]"#;
    put("state", "rings", ring.as_bytes());
    put("lines", "run", LINES.as_bytes());
    put("notes", "run", format!("{LINES}\n{NOTES}").as_bytes());
    put("config", "sinks", CONFIG.as_bytes());
    let mut record = vec![0; 128];
    record[..4].copy_from_slice(&128u32.to_le_bytes());
    record[4..6].copy_from_slice(&0x0201u16.to_le_bytes());
    put("record", "open", &record);
    let mut parquet = vec![];
    let batch = &super::made::cut(0, 3).batches[0].rows;
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut parquet, batch.schema(), None).expect("a writer");
    writer.write(batch).expect("rows");
    writer.close().expect("a footer");
    put("parquet", "file", &parquet);
}

const LINES: &str = r#"{"class":"file","host":"h","boot_id":"b","epoch":7,"cpu":0,"seq":0,"ktime_ns":10,"time":"2026-11-20T13:42:07.123456Z","action":"open"}
{"class":"file","host":"h","boot_id":"b","epoch":7,"cpu":0,"seq":5,"ktime_ns":20,"action":"open"}
{"class":"loss","host":"h","boot_id":"b","epoch":7,"cpu":-1,"seq":0,"ktime_ns":21,"action":"gap","gap_cpu":0,"first_seq":1,"last_seq":2,"count":2,"by_action":"open=2","reason":"ring_full"}
{"class":"loss","host":"h","boot_id":"b","epoch":7,"cpu":-2,"seq":0,"ktime_ns":22,"action":"gap","gap_cpu":0,"first_seq":3,"last_seq":4,"count":2,"by_action":"void=2","reason":"not_selected"}
{"class":"loss","host":"h","boot_id":"b","epoch":7,"cpu":-2,"seq":1,"ktime_ns":23,"action":"checkpoint","gap_cpu":0,"first_seq":6,"last_ktime_ns":20,"count":0}
{"class":"loss","host":"h","boot_id":"b","epoch":7,"cpu":-2,"seq":2,"ktime_ns":23,"action":"end","gap_cpu":0,"first_seq":6,"last_ktime_ns":20,"count":0,"reason":"shutdown"}
"#;

const NOTES: &str = r#"{"file":"class=file/date=2026-11-20/hour=13/h-b-7-10-0.parquet","class":"file","host":"h","boot_id":"b","epoch":7,"rows":2,"seq":{"0":[0,3,2]},"gaps":0,"gap_seq":{"0":[4,5,2]}}
{"file":"class=loss/h-b-7-10-1.parquet","rows":1,"seq":{"-2":[0,0]}}
{"dropped_notes":3}
"#;

const CURSOR: &str = r#"{"log_id":"log","host":"h","boot_id":"b","epoch":7,"next_cut":3,"positions":[{"cpu":0,"next_seq":5,"ktime_ns":9}],"own_seq":2,"ended":false,"clock_offset_ns":1,"ktime_ns":9,"told_period":null,"withheld":{"spans":[{"cpu":0,"first_seq":1,"last_seq":3,"count":2,"since_ktime_ns":4}],"counts":[[0,0,2]]},"owed":{"lane_full":{"spans":[{"cpu":0,"first_seq":4,"last_seq":4,"count":1,"since_ktime_ns":null}],"counts":[[0,513,1]]},"sink_refused":{"spans":[],"counts":[]},"spool_full":{"spans":[],"counts":[]},"spool_damaged":{"spans":[],"counts":[]}}}"#;

const CONFIG: &str = r#"classes = ["file", "process.exec"]
batch_age_ms = 25
[filter]
only_path = ["/etc"]
[parquet]
dir = "data"
[[sink]]
type = "kafka"
name = "k"
brokers = ["localhost:9092"]
classes = ["loss"]
[[sink]]
type = "nats"
servers = ["nats://localhost"]
"#;
