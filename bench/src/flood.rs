//! Unpaced producers against the real program: what is offered, what arrives, what is lost, and how much memory it takes.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::figures::Figures;
use crate::weir;

const FLOOD: Duration = Duration::from_secs(10);
/// Until programs are loaded and attached.
pub const START: Duration = Duration::from_secs(6);

/// What the producers did.
pub struct Offered {
    /// Files opened, and closed.
    pub opens: u64,
    /// During this time.
    pub seconds: f64,
    execs: u64,
}

/// Producers that open and close one file as fast as they can, each pinned to a CPU; beside them, if asked, processes that
/// are started one after the other.
pub fn produce(path: &Path, producers: usize, storm: bool, during: Duration) -> Result<Offered> {
    let stop = AtomicBool::new(false);
    let (opens, execs) = (AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    let cpus = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        for i in 0..producers {
            let (stop, opens) = (&stop, &opens);
            scope.spawn(move || {
                let mut set = rustix::thread::CpuSet::new();
                set.set(i % cpus);
                let _ = rustix::thread::sched_setaffinity(None, &set);
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += u64::from(File::open(path).is_ok());
                }
                opens.fetch_add(count, Ordering::Relaxed);
            });
        }
        if storm {
            let (stop, execs) = (&stop, &execs);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let run = Command::new("/bin/true").stdin(Stdio::null()).status();
                    execs.fetch_add(u64::from(run.is_ok()), Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(during);
        stop.store(true, Ordering::Relaxed);
    });
    Ok(Offered { opens: opens.into_inner(), seconds: begin.elapsed().as_secs_f64(), execs: execs.into_inner() })
}

struct Run {
    offered: Offered,
    opens: u64,
    gap_opens: u64,
    lost: u64,
    lost_process: u64,
    balanced: bool,
    verify: Option<i32>,
}

fn flood(producers: usize, storm: bool) -> Result<Run> {
    let dir = tempfile::tempdir()?;
    let target = dir.path().join("flooded");
    File::create(&target)?;
    let (data, report) = (dir.path().join("data"), dir.path().join("report.json"));
    let (data_text, report_text) = (data.to_string_lossy().into_owned(), report.to_string_lossy().into_owned());
    let args = ["run", "--status", "never", "--parquet", &data_text, "--report", &report_text];
    let child = weir::start(&args, Stdio::null())?;
    std::thread::sleep(START);
    let offered = produce(&target, producers, storm, FLOOD)?;
    weir::stop(child)?;
    let ledger: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report).context("the ledger")?)?;
    let verify = Command::new(weir::binary()?).args(["verify", &data_text]).output()?;
    let lost_of = |action: &str| gap_counts(&data, action);
    let opens = count_opens(&data, &target)?;
    Ok(Run {
        offered,
        opens,
        gap_opens: lost_of("open")?,
        lost: ledger["lost"].as_u64().unwrap_or(u64::MAX),
        lost_process: lost_of("exec")? + lost_of("fork")? + lost_of("exit")?,
        balanced: ledger["balanced"].as_bool().unwrap_or(false),
        verify: verify.status.code(),
    })
}

/// Every Parquet file of a class.
fn files_of(data: &Path, class: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut found = vec![];
    let mut open = vec![data.join(format!("class={class}"))];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn count_opens(data: &Path, target: &Path) -> Result<u64> {
    let target = target.to_string_lossy();
    crate::read_back::count(&files_of(data, "file")?, &["action", "path"], |row| {
        u64::from(row[0].as_deref() == Some("open") && row[1].as_deref() == Some(&*target))
    })
}

fn gap_counts(data: &Path, action: &str) -> Result<u64> {
    let key = format!("{action}=");
    crate::read_back::count(&files_of(data, "loss")?, &["by_action"], |row| {
        let text = row[0].as_deref().unwrap_or_default();
        text.split(',').filter_map(|part| part.strip_prefix(&key)).filter_map(|n| n.parse::<u64>().ok()).sum()
    })
}

fn say(figures: &mut Figures, name: &str, run: &Run) {
    let calls = 2.0 * run.offered.opens as f64 / run.offered.seconds;
    figures.say(&format!("{name}: opens and closes offered"), calls / 1000.0, "k/s", "to be at least 700 with two");
    figures.say(&format!("{name}: opens offered"), run.offered.opens as f64, "", "");
    figures.say(&format!("{name}: opens delivered"), run.opens as f64, "", "");
    figures.say(&format!("{name}: opens in gaps"), run.gap_opens as f64, "", "");
    let missing = run.offered.opens as f64 - (run.opens + run.gap_opens) as f64;
    figures.at_most(&format!("{name}: opens in neither"), missing.abs(), 0.0, "", format!("verify {:?}", run.verify));
    figures.at_most(
        &format!("{name}: process events lost"),
        run.lost_process as f64,
        0.0,
        "",
        format!("ledger balances: {}", run.balanced),
    );
}

/// Two producers on two CPUs: nothing may be lost.
pub fn two_producers(figures: &mut Figures) -> Result<()> {
    let run = flood(2, false)?;
    say(figures, "two producers", &run);
    figures.at_most("two producers: lost", run.lost as f64, 0.0, "", "all classes, default rings, Parquet");
    Ok(())
}

/// Four producers and a storm of processes: what is lost must be inside gaps, and no process event.
pub fn four_producers_and_a_storm(figures: &mut Figures) -> Result<()> {
    let run = flood(4, true)?;
    say(figures, "four and a storm", &run);
    let share = 100.0 * run.gap_opens as f64 / run.offered.opens as f64;
    figures.say("four and a storm: opens lost", share, "%", format!("{} processes started", run.offered.execs));
    Ok(())
}

/// Resident memory through a flood.
pub fn memory(figures: &mut Figures, seconds: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let target = dir.path().join("flooded");
    File::create(&target)?;
    let data = dir.path().join("data").to_string_lossy().into_owned();
    let child = weir::start(&["run", "--status", "never", "--parquet", &data], Stdio::null())?;
    let pid = child.id();
    std::thread::sleep(START);
    let at_rest = weir::status_kib(pid, "VmRSS:").unwrap_or(0);
    let mut samples = vec![];
    let parts = 10;
    for _ in 0..parts {
        produce(&target, 2, false, Duration::from_secs(seconds) / parts)?;
        samples.push(weir::status_kib(pid, "VmRSS:").unwrap_or(0));
    }
    let peak = weir::status_kib(pid, "VmHWM:").unwrap_or(0);
    weir::stop(child)?;
    let note = format!(
        "at rest {} MiB; through {seconds} s: {:?} MiB",
        at_rest >> 10,
        samples.iter().map(|k| k >> 10).collect::<Vec<_>>()
    );
    figures.at_most("resident memory, peak", peak as f64 / 1024.0, 128.0, "MiB", note);
    Ok(())
}
