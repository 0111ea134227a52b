//! The live status line on standard error.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Status;
use crate::order::OrderCounters;
use crate::pipeline::Counts;
use crate::privilege::{WRITES, confine};
use crate::terminal;

/// How often the line is written.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, Default)]
struct Snapshot {
    counts: Counts,
    order: OrderCounters,
    backlog_bytes: u64,
}

/// Where the reader leaves its counts for others.
#[derive(Default)]
pub struct Watch(Mutex<Snapshot>);

impl Watch {
    /// After a drain.
    pub fn set(&self, counts: Counts, order: OrderCounters, backlog_bytes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot { counts, order, backlog_bytes };
    }

    fn get(&self) -> Snapshot {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the line is wanted.
pub fn is_wanted(status: Status) -> bool {
    match status {
        Status::Always => true,
        Status::Never => false,
        Status::Auto => terminal::is_watched(),
    }
}

fn line(now: Snapshot, before: Snapshot, seconds: f64) -> String {
    let rate = (now.counts.records - before.counts.records) as f64 / seconds;
    let late = if now.order.late > 0 { format!(" · {} late", now.order.late) } else { String::new() };
    format!(
        "{rate:>9.0} events/s · {} rows · {} lost · {} KiB waiting{late}",
        now.counts.rows,
        now.counts.lost,
        now.backlog_bytes >> 10
    )
}

/// Writes the line every second, as long as somebody holds the watch besides this thread.
pub fn show(watch: &Arc<Watch>) {
    let watch = Arc::downgrade(watch);
    // Without the thread there is only no line.
    let _ = thread::Builder::new().name("status".into()).spawn(move || {
        confine("status", WRITES);
        let mut before = Snapshot::default();
        let mut at = Instant::now();
        loop {
            thread::sleep(EVERY);
            let Some(watch) = watch.upgrade() else { return };
            let now = watch.get();
            let text = line(now, before, at.elapsed().as_secs_f64().max(0.001));
            terminal::say_again(&text);
            before = now;
            at = Instant::now();
        }
    });
}
