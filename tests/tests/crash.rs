//! Ends of all kinds: killed at random moments, told to stop, told twice. No file is ever half-visible.

mod support;

use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::load::{Background, Load, Shape};
use support::program::{Running, files, parquet_files, run, start, weir};
use support::seed::Random;
use support::skip::{is_root, note};
use support::verified::verify;

/// Collectors that are killed.
const KILLS: u64 = 25;
/// Every so many of them, the next start is looked at.
const STARTS_AFTER: u64 = 5;
/// One in so many is killed at any moment of its start; the others once a file is visible.
const EARLY_ONE_IN: u64 = 5;
/// Longest life before the kill, ms: several generations of files at [`FILE_AGE`].
const LIFE_MS_MAX: u64 = 900;
/// Longest life of one that is killed early, ms.
const EARLY_LIFE_MS_MAX: u64 = 1_500;
/// Age at which a file closes.
const FILE_AGE: &str = "60ms";
/// Signal pairs that are tried.
const PAIRS: u64 = 6;

fn load_beside(scratch: &Path) -> Background {
    Load::build(scratch).start(Shape { openers: 2, stormers: 1, seconds: 600.0, calls: u64::MAX, pause_us: 300 })
}

fn collector(dir: &Path) -> Running {
    let mut weir = weir(&["run", "--status", "never", "--class", "file,process", "--parquet-file-age", FILE_AGE]);
    start(weir.arg("--parquet").arg(dir))
}

fn is_visible(dir: &Path) -> bool {
    !parquet_files(dir).is_empty()
}

fn unfinished(dir: &Path) -> usize {
    files(&dir.join(".unfinished"), "").len()
}

/// What a killed collector left: nothing, or everything up to an open end.
fn expect_open_end(dir: &Path) {
    let verified = verify(dir);
    if !is_visible(dir) {
        assert_eq!(verified.code, 2, "an empty directory has no rows");
        return;
    }
    let verified = verified.expect_code(3);
    assert_eq!(verified.unreadable(), 0, "a visible file is whole");
    assert!(verified.problems().is_empty(), "{:?}", verified.problems());
    assert!(verified.open_ends() > 0, "nothing said that the run stopped");
}

/// A new start removes what was left and says of each file that it did; what was visible stays as it was.
fn expect_next_start_recovers(dir: &Path) {
    let (left, visible) = (unfinished(dir), parquet_files(dir));
    let mut weir = weir(&["run", "--status", "never", "--class", "file,process", "--duration", "100ms"]);
    let ended = run(weir.arg("--parquet").arg(dir)).expect_code(0);
    assert_eq!(ended.stderr.matches("removed an unfinished file").count(), left, "{}", ended.stderr);
    assert_eq!(unfinished(dir), 0);
    let now = parquet_files(dir);
    assert!(visible.iter().all(|file| now.contains(file)), "a new start touches no visible file");
    let verified = verify(dir);
    assert_eq!(verified.code, if visible.is_empty() { 0 } else { 3 });
    assert!(verified.problems().is_empty(), "{:?}", verified.problems());
}

#[test]
fn sigkill_at_any_moment_leaves_whole_files_and_an_open_end_and_nothing_else() {
    if !is_root("SIGKILL at random moments") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let _load = load_beside(scratch.path());
    let mut random = Random::from_environment("SIGKILL at random moments");
    let (mut leftovers, mut files, mut unseen) = (0, 0, 0);
    for kill in 0..KILLS {
        let dir = scratch.path().join(format!("data-{kill}"));
        let early = random.below(EARLY_ONE_IN) == 0;
        let mut weir = collector(&dir);
        assert!(early || weir.wait_until(|| is_visible(&dir)), "no file became visible: {}", weir.wait().stderr);
        thread::sleep(Duration::from_millis(random.below(if early { EARLY_LIFE_MS_MAX } else { LIFE_MS_MAX })));
        weir.signal(Signal::KILL);
        weir.wait();
        leftovers += unfinished(&dir);
        files += parquet_files(&dir).len();
        unseen += u64::from(!is_visible(&dir));
        expect_open_end(&dir);
        if kill % STARTS_AFTER == 0 {
            expect_next_start_recovers(&dir);
        }
    }
    note(format_args!(
        "{KILLS} kills: {files} visible files, {leftovers} unfinished ones, {unseen} died before the first file"
    ));
    assert!(leftovers > 0, "no kill hit a file in the making: the moments are wrong");
}

#[test]
fn sigterm_and_sigint_stop_in_order() {
    if !is_root("ordered stop") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let _load = load_beside(scratch.path());
    for signal in [Signal::TERM, Signal::INT] {
        let dir = scratch.path().join(format!("data-{}", signal.as_raw()));
        let mut weir = collector(&dir);
        assert!(weir.wait_until(|| is_visible(&dir)), "no file became visible: {}", weir.wait().stderr);
        weir.signal(signal);
        let ended = weir.wait().expect_code(0);
        assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
        assert_eq!(unfinished(&dir), 0);
        verify(&dir).expect_code(0);
    }
}

#[test]
fn a_second_signal_stops_at_once_and_leaves_no_half_visible_file() {
    if !is_root("second signal") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let _load = load_beside(scratch.path());
    let mut random = Random::from_environment("second signal");
    let mut at_once = 0;
    for pair in 0..PAIRS {
        let dir = scratch.path().join(format!("data-{pair}"));
        let mut weir = collector(&dir);
        assert!(weir.wait_until(|| is_visible(&dir)), "no file became visible: {}", weir.wait().stderr);
        // Two of one kind could be delivered as one.
        weir.signal(Signal::INT);
        thread::sleep(Duration::from_micros(random.below(1_000)));
        weir.signal(Signal::TERM);
        let ended = weir.wait();
        match ended.code() {
            Some(130) => at_once += 1,
            Some(0) => {} // the ordered stop was done first
            other => panic!("{other:?}: {}", ended.stderr),
        }
        if ended.code() == Some(130) {
            expect_open_end(&dir);
        } else {
            verify(&dir).expect_code(0);
        }
    }
    note(format_args!("second signal: {at_once} of {PAIRS} stopped at once"));
    assert!(at_once > 0, "the second signal was never in time");
}
