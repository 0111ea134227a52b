//! How far a replay is, for eyes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::spool::log::Shared;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);

/// What the lanes took from the log, all together.
#[derive(Debug, Default)]
pub struct Counters {
    /// Cuts.
    pub cuts: AtomicU64,
    /// Rows of all classes.
    pub rows: AtomicU64,
}

/// A bar on standard error; gone when dropped.
pub struct Bar {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Shows how far `lanes` lanes are.
    pub fn start(counters: &Arc<Counters>, shared: &Arc<Shared>, lanes: usize) -> Bar {
        let cuts = shared.segments().iter().fold(0u64, |sum, s| sum.saturating_add(s.next.saturating_sub(s.first)));
        let bar = ProgressBar::new(cuts.saturating_mul(lanes.max(1) as u64));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed} (left {eta})") {
            bar.set_style(style);
        }
        let (stop, counters) = (Arc::new(AtomicBool::new(false)), Arc::clone(counters));
        let stopped = Arc::clone(&stop);
        let show = move || {
            while !stopped.load(Ordering::Acquire) {
                bar.set_position(counters.cuts.load(Ordering::Relaxed));
                bar.set_message(format!("{} rows", counters.rows.load(Ordering::Relaxed)));
                std::thread::sleep(EVERY);
            }
            bar.finish_and_clear();
        };
        Bar { stop, thread: std::thread::Builder::new().name("progress".into()).spawn(show).ok() }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
