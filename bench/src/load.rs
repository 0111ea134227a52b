//! Loads of real files: programs that open what a system has, as fast as they can or at a pace.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Below this a system has most of its files.
const ROOT: &str = "/usr";
/// Files that are opened in turn: about as many as a build reads.
const FILES_MAX: usize = 2_000;
/// Between two bursts of a paced load: short against the age at which a batch closes.
const BURST_EVERY: Duration = Duration::from_millis(2);

/// Plain files of this system.
pub fn files() -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (vec![], vec![PathBuf::from(ROOT)]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() && found.len() < FILES_MAX => found.push(entry.path()),
                _ => {}
            }
        }
        if found.len() == FILES_MAX {
            break;
        }
    }
    ensure!(!found.is_empty(), "no file below {ROOT}");
    Ok(found)
}

/// Opens and closes the files in turn until it is told to stop; at most `per_second` of them. Returns how many.
pub fn open_all(files: &[PathBuf], per_second: Option<f64>, stop: &AtomicBool, opened: &AtomicU64) {
    let begin = Instant::now();
    let mut made = 0u64;
    let mut files = files.iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        let due = per_second.map_or(made + 1_000, |rate| (begin.elapsed().as_secs_f64() * rate) as u64);
        for path in files.by_ref().take(due.saturating_sub(made) as usize) {
            opened.fetch_add(u64::from(File::open(path).is_ok()), Ordering::Relaxed);
        }
        made = made.max(due);
        if per_second.is_some() {
            std::thread::sleep(BURST_EVERY);
        }
    }
}

/// Runs a shell script over and over until it is told to stop.
pub fn repeat(script: &str, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        std::process::Command::new("sh").args(["-c", script]).output().context("run a script")?;
    }
    Ok(())
}

/// A paced load as a process of its own, which a weir can follow: this program, started again.
pub fn pace(per_second: f64) -> Result<()> {
    let (files, stop, opened) = (files()?, AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let work = scope.spawn(|| open_all(&files, Some(per_second), &stop, &opened));
        // Whoever started it closes its input, also by ending.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stop.store(true, Ordering::Relaxed);
        let _ = work.join();
    });
    Ok(())
}

/// Bytes of all files of a directory and those in it.
pub fn bytes_below(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { bytes_below(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}
