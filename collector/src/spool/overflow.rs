//! The log of what sinks have no room for: one thread writes it, and nothing of it outlives the run.
//!
//! The reader hands a cut over and goes on. Until it knows what became of it, the lane's next cuts come here too, so that none
//! overtakes another. What finds no room here, and what cannot be written, is lost to the lanes that had no room for it:
//! counted as any cut that finds no room in a lane.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use weir_sinks::{BacklogOptions, Cut, Lane, Waiting};

use super::cursor;
use super::log::{Log, Shared};
use crate::config::SinkStart;

/// Cuts between the reader and the log.
const CUTS_MAX: usize = 512;
/// Their Arrow memory, bytes; a larger cut passes alone.
const BYTES_MAX: usize = 64 << 20;
/// How often the end of the thread is looked for at a stop.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A cut on its way to the log.
struct Late {
    cut: Arc<Cut>,
    /// The lanes that had no room for it.
    lanes: Vec<Waiting>,
    /// Of the reader's attempts: what follows a failure belongs to the same one until the reader knows of it.
    attempt: u64,
}

/// What became of a cut.
struct Written {
    number: u64,
    /// It could not be written, and is lost to these lanes.
    lost: Option<(Arc<Cut>, Vec<Waiting>)>,
}

/// The reader's end of the thread.
pub struct Overflow {
    shared: Arc<Shared>,
    queue: Sender<Late>,
    written: Receiver<Written>,
    /// Cuts that nothing is known of yet.
    under_way: usize,
    /// Arrow memory that the thread holds, bytes.
    held: Arc<AtomicUsize>,
    attempt: u64,
    thread: JoinHandle<()>,
}

impl Overflow {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(log: Log) -> io::Result<Overflow> {
        // Never more cuts are under way than each of the two has room for: neither side ever waits for the other.
        let (queue, late) = bounded(CUTS_MAX);
        let (answers, written) = bounded(CUTS_MAX);
        let held = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(log.shared());
        let writer = Writer { log, late, answers, held: Arc::clone(&held), failed: None };
        let thread = std::thread::Builder::new().name("spool".into()).spawn(move || writer.run())?;
        Ok(Overflow { shared, queue, written, under_way: 0, held, attempt: 0, thread })
    }

    /// A sink's part of the log. Nothing is known of a sink from before this run, so no file is asked.
    pub fn backlog(&self, sink: &str, start: SinkStart, next: u64) -> BacklogOptions {
        cursor::begin(&self.shared, sink, start, next)
    }

    /// Tells the lanes what became of their cuts.
    pub fn settle(&mut self, lanes: &mut [Lane]) {
        let mut has_failed = false;
        for written in self.written.try_iter() {
            self.under_way -= 1;
            for (lane, cut) in written.lost.iter().flat_map(|(cut, late)| late.iter().map(move |lane| (lane, cut))) {
                has_failed = true;
                lanes.iter_mut().filter(|l| l.is(lane)).for_each(|l| l.not_logged(cut));
            }
            lanes.iter_mut().for_each(|lane| lane.settled(written.number));
        }
        self.attempt += u64::from(has_failed);
    }

    /// Takes a cut for those lanes that have no room for it.
    pub fn take(&mut self, cut: &Arc<Cut>, lanes: &mut [Lane], late: &[usize]) {
        if late.is_empty() {
            return;
        }
        let (bytes, held) = (cut.bytes(), self.held.load(Ordering::Acquire));
        if self.under_way >= CUTS_MAX || held > 0 && held.saturating_add(bytes) > BYTES_MAX {
            late.iter().for_each(|at| lanes[*at].not_logged(cut));
            return;
        }
        let waiting = late.iter().map(|at| lanes[*at].waits_for(cut.number)).collect();
        self.held.fetch_add(bytes, Ordering::AcqRel);
        self.under_way += 1;
        if self.queue.send(Late { cut: Arc::clone(cut), lanes: waiting, attempt: self.attempt }).is_err() {
            tracing::error!("the thread of the spool is gone, which is a bug");
        }
    }

    /// Writes what is under way, ends the thread, and tells the lanes.
    pub fn finish(mut self, lanes: &mut [Lane]) {
        let (nobody, _) = bounded(0);
        drop(std::mem::replace(&mut self.queue, nobody));
        while !self.thread.is_finished() {
            self.settle(lanes);
            std::thread::sleep(LOOK_EVERY);
        }
        self.settle(lanes);
    }
}

/// The thread's end.
struct Writer {
    log: Log,
    late: Receiver<Late>,
    answers: Sender<Written>,
    held: Arc<AtomicUsize>,
    /// The attempt that has failed: nothing more of it is written, so that no cut is in the log behind one that is lost.
    failed: Option<u64>,
}

impl Writer {
    fn run(mut self) {
        while let Ok(Late { cut, lanes, attempt }) = self.late.recv() {
            let is_written = self.failed != Some(attempt) && self.write(&cut, attempt);
            let number = cut.number;
            self.held.fetch_sub(cut.bytes(), Ordering::AcqRel);
            let lost = if is_written {
                lanes.iter().for_each(Waiting::wake);
                None
            } else {
                Some((cut, lanes))
            };
            if self.answers.send(Written { number, lost }).is_err() {
                return;
            }
        }
    }

    fn write(&mut self, cut: &Cut, attempt: u64) -> bool {
        let written = self.log.append(cut).and_then(|_| self.log.publish(false));
        self.log.trim();
        if let Err(error) = &written {
            self.failed = Some(attempt);
            let dir = self.log.dir().path().display();
            tracing::error!("rows are lost, the spool in {dir} cannot be written: {error}");
        }
        written.is_ok()
    }
}
