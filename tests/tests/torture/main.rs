//! Torture: collectors killed again and again, they and their brokers frozen, a disk filled to the last byte, frames torn; and
//! at the end every sink has every event once. Every choice comes from a seed that is printed.
//!
//! `WEIR_TEST_KILLS` lives (25 unless set) in series of 25; `WEIR_TEST_TORTURE` names a directory that remembers which series
//! passed, so that an interrupted torture goes on. `WEIR_TEST_SEED` is the seed of the first series; the others come from it.

mod fate;
mod record;
mod series;
#[path = "../support/mod.rs"]
mod support;

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use record::Record;
use series::{Counts, Series};
use support::delivery::has_bpf_fs;
use support::seed::Random;
use support::skip::{is_root, note};

/// Lives of one series.
const LIVES: u64 = 25;

fn lives() -> u64 {
    std::env::var("WEIR_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(LIVES).max(1)
}

/// The seed of a series: the first has the base itself, so that any series can be had again alone.
fn seed_of(base: u64, series: u64) -> u64 {
    if series == 0 { base } else { Random::of(base.wrapping_add(series)).next() }
}

/// A directory for a series. One that an interruption left is given back first.
fn scratch(dir: Option<&Path>, series: u64) -> PathBuf {
    let Some(dir) = dir else { return tempfile::tempdir().expect("a scratch directory").keep() };
    let scratch = dir.join(format!("series-{series}"));
    if scratch.exists() {
        series::detach(&scratch);
        let _ = rustix::mount::unmount(scratch.join("spool"), rustix::mount::UnmountFlags::DETACH);
        fs::remove_dir_all(&scratch).expect("the scratch directory of an interrupted series");
    }
    fs::create_dir_all(&scratch).expect("a scratch directory");
    scratch
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked without words").to_owned()
}

/// One series; what happened in it, or why it failed and where everything lies.
fn run(what: &str, scratch: &Path, seed: u64, lives: u64) -> Result<Counts, String> {
    let mut series = Series::new(what, scratch, seed);
    match catch_unwind(AssertUnwindSafe(|| series.run(lives))) {
        Ok(()) => {
            let counts = series.counts().clone();
            drop(series);
            fs::remove_dir_all(scratch).expect("the scratch directory");
            Ok(counts)
        }
        Err(panic) => {
            series.give_up();
            Err(format!("{}\nkept: {}", text_of(&*panic), scratch.display()))
        }
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut sum = Counts::new();
    all.flatten().for_each(|(what, n)| *sum.entry(what.clone()).or_default() += n);
    sum
}

fn listed(counts: &Counts) -> String {
    counts.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn whatever_happens_to_collector_brokers_and_disk_every_sink_has_every_event_once() {
    let what = "torture";
    if !is_root(what) || !has_bpf_fs(what) {
        return;
    }
    let dir = std::env::var_os("WEIR_TEST_TORTURE").map(PathBuf::from);
    let mut record = Record::open(dir.clone());
    let (lives, mut failed) = (lives(), vec![]);
    let all = lives.div_ceil(LIVES);
    note(format_args!("{what}: WEIR_TEST_SEED={}, {} of {all} series passed before", record.base, record.passed.len()));
    for n in (0..all).filter(|n| !record.has(*n)).collect::<Vec<_>>() {
        let (seed, begun) = (seed_of(record.base, n), Instant::now());
        let scratch = scratch(dir.as_deref(), n);
        let result = run(what, &scratch, seed, LIVES.min(lives - n * LIVES));
        let head = format!("{what}: series {} of {all}, seed {seed}, {} s", n + 1, begun.elapsed().as_secs());
        match result {
            Ok(counts) => {
                note(format_args!("{head}: passed; {}", listed(&counts)));
                record.add(n, seed, &counts);
            }
            Err(why) => {
                note(format_args!("{head}: FAILED: {why}"));
                failed.push(seed);
            }
        }
    }
    let total = listed(&sum(record.passed.iter().map(|(_, counts)| counts)));
    let seeds: Vec<u64> = record.passed.iter().map(|(n, _)| seed_of(record.base, *n)).collect();
    note(format_args!("{what}: base seed {}, seeds {seeds:?}", record.base));
    note(format_args!("{what}: {} of {all} series passed; {total}; {} failures {failed:?}", seeds.len(), failed.len()));
    assert!(failed.is_empty(), "series with these seeds failed: {failed:?}; what each left is named above");
    record.finish();
}
