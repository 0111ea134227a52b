//! Damage in the middle of a real spool: it is named, a repair takes no more than what it hit, and the sinks that miss it go on
//! behind it and say so in their data.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use support::delivery::{
    Markers, collector, config, consume, expect_all_in_parquet, has_bpf_fs, merged, nats_sink, wait_for_a_file,
    wait_for_start,
};
use support::program::{Ended, files, parquet_files, run, weir};
use support::skip::{is_root, note};
use support::verified::verify;
use weir_tests::brokers::nats;

/// Files opened at a time.
const PORTION: u64 = 20;
/// Cuts that only the spool has, when it is damaged.
const CUTS_MIN: usize = 40;
/// First bytes of a frame, and the kind of one that is a cut.
const CUT: [u8; 8] = [b'F', b'R', b'A', b'M', 2, 0, 0, 0];

fn spool(command: &str, dir: &Path) -> Ended {
    run(weir(&["spool", command]).arg(dir))
}

fn text(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// The last segment of a spool.
fn segment(dir: &Path) -> PathBuf {
    files(dir, ".weirlog").pop().expect("a segment")
}

/// Where the cuts of a segment begin.
fn cuts(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).expect("a segment");
    (0..bytes.len() - CUT.len()).step_by(8).filter(|at| bytes[*at..*at + CUT.len()] == CUT).collect()
}

/// Number of the first cut that a sink does not have.
fn cursor(dir: &Path, sink: &str) -> usize {
    let info: Value = serde_json::from_str(&text(&run(weir(&["spool", "info", "--json"]).arg(dir)))).expect("JSON");
    info["cursors"][sink].as_u64().expect("a number") as usize
}

/// Flips a bit in each of these cuts: the only segment begins with cut 0.
fn damage(segment: &Path, numbers: &[usize]) {
    let (mut bytes, cuts) = (fs::read(segment).expect("a segment"), cuts(segment));
    for number in numbers {
        bytes[cuts[*number] + 100] ^= 0x20;
    }
    fs::write(segment, bytes).expect("the damaged segment");
}

/// A collector whose Parquet sink has everything, and whose NATS sink has nothing since its server died; killed.
fn record(markers: &mut Markers, scratch: &Path, config: &Path, server: &mut nats::Server) {
    let mut running = collector(config, &[]);
    wait_for_start(&mut running, scratch);
    let parquet = scratch.join("parquet");
    wait_for_a_file(&mut running, &parquet, markers);
    markers.make(PORTION);
    server.kill();
    let spool = scratch.join("spool");
    let before = cuts(&segment(&spool)).len();
    while cuts(&segment(&spool)).len() < before + CUTS_MIN {
        assert!(!running.has_ended(), "{}", running.stderr_so_far());
        markers.make(PORTION);
    }
    // Two more generations: what was there before them is in the first.
    for _ in 0..2 {
        let visible = parquet_files(&parquet).len();
        let more = running.wait_until(|| {
            markers.make(1);
            parquet_files(&parquet).len() > visible
        });
        assert!(more, "{}", running.stderr_so_far());
    }
    running.signal(Signal::KILL);
    running.wait();
}

#[test]
fn a_damaged_spool_loses_what_the_damage_hit_and_the_sink_that_misses_it_tells() {
    let what = "a damaged spool";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let Some(mut server) = nats::Server::start(what, "") else { return };
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let scratch = scratch.path();
    let mut markers = Markers::new(scratch);
    let config = config(scratch, &nats_sink(&server, ""));
    record(&mut markers, scratch, &config, &mut server);
    let dir = scratch.join("spool");
    assert_eq!(verify(&dir).code, 3, "an open end");
    // The one sink has these cuts, the other has none of them.
    let end = cursor(&dir, "parquet");
    damage(&segment(&dir), &[end - 20, end - 19, end - 15]);

    let checked = spool("check", &dir).expect_code(1);
    // Between two cuts there may be a schema.
    assert!((2..=3).contains(&text(&checked).matches("damaged ").count()), "{}", text(&checked));
    assert!(text(&checked).contains("weir spool repair"), "{}", text(&checked));
    assert_ne!(run(weir(&["verify"]).arg(&dir)).code(), Some(0), "nobody takes it for complete");
    run(weir(&["replay"]).arg(&dir).args(["--stdout", "json"])).expect_code(1);

    let repaired = text(&spool("repair", &dir).expect_code(0));
    for lost in [format!("cuts {} to {}", end - 20, end - 19), format!("cuts {0} to {0}", end - 15)] {
        assert!(repaired.contains(&lost), "{repaired}");
    }
    spool("check", &dir).expect_code(0);
    let repaired = verify(&dir).expect_code(3);
    assert!(repaired.problems().is_empty(), "{:?}", repaired.problems());
    let lost = repaired.gaps()["spool_damaged"];

    // Another damage, behind the first: the collector bridges it by itself.
    damage(&segment(&dir), &[end - 10]);
    server.run();
    let ended = collector(&config, &["--duration", "3s"]).wait().expect_code(0);
    assert!(ended.stderr.contains("damage took cuts of the spool"), "{}", ended.stderr);
    assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
    consume("nats_consumer.py", &["--server", &server.url()], &scratch.join("from-nats"));
    let (rows, path) = merged(&scratch.join("from-nats"));
    let nats = verify(&path).expect_code(0);
    note(format_args!("{what}: the repaired spool misses {lost}, the sink {:?} of {} rows", nats.gaps(), rows.len()));
    assert!(nats.gaps()["spool_damaged"] > lost && nats.gaps().len() == 1, "{:?}", nats.gaps());
    assert!(lost > 0 && nats.rows("file") + nats.gaps()["spool_damaged"] >= 2 * markers.made());
    // What this sink had before the damage stays, and it misses nothing.
    let parquet = expect_all_in_parquet(&scratch.join("parquet"), &markers);
    assert_eq!(parquet.runs().len(), 1, "one epoch");
}
