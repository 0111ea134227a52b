//! The one loop that feeds any sink: what to write, when to flush, what to make of a failure.
//!
//! [`Worker`] has no thread and no clock of its own: the time is passed in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_schema::{CLASSES, Reason};

use super::account::{Account, Frontier, Losses, Split};
use super::backoff::Backoff;
use super::ledger::{ClassCount, LaneState, Ledger};
use super::rows::OwnRows;
use super::select::ClassSet;
use crate::loss_rows::LossAction;
use crate::{Batch, Cut, Progress, Sink, SinkError};

/// The ledger as both threads hold it; locked once per cut.
pub(super) type Shared = Arc<Mutex<Ledger>>;

/// Locks the ledger; counts stay usable after a panic elsewhere.
pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Ledger> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts in a row that found no room in the queue.
#[derive(Debug)]
pub(super) struct Missed {
    pub selected: Account,
    pub withheld: Account,
    /// Behind the last of them.
    pub frontier: Frontier,
}

/// One entry of the queue.
#[derive(Debug)]
pub(super) struct Item {
    /// What was refused before it.
    pub missed: Option<Box<Missed>>,
    /// The cut with its numbers; none at a stop without a last cut.
    pub cut: Option<(Arc<Cut>, Split)>,
    /// Arrow memory of the cut.
    pub bytes: usize,
}

/// Since the last successful flush.
#[derive(Default)]
struct Open {
    /// Numbers that the sink took.
    written: Account,
    /// Rows that the sink took.
    classes: [ClassCount; CLASSES.len()],
    /// Losses that rows written since then show.
    shown: Losses,
}

/// Feeds one sink.
pub(super) struct Worker {
    sink: Box<dyn Sink>,
    classes: ClassSet,
    ledger: Shared,
    frontier: Option<Frontier>,
    /// Number of the next row of the lane's own.
    seq: i64,
    /// The same at the last successful flush: rows behind it never became visible, so their numbers are used again.
    seq_flushed: i64,
    open: Open,
    /// Losses to be shown with the next write.
    owed: Losses,
    /// Numbers not selected since the last successful flush.
    withheld: Account,
    backoff: Backoff,
    /// When to try again after a failure.
    retry_at: Option<Instant>,
    fatal: bool,
    /// The last cut has come: from here a flush ends the data.
    last: bool,
    ended: bool,
}

impl Worker {
    pub fn new(sink: Box<dyn Sink>, classes: ClassSet, ledger: Shared, retry: (Duration, Duration)) -> Worker {
        Worker {
            sink,
            classes,
            ledger,
            frontier: None,
            seq: 0,
            seq_flushed: 0,
            open: Open::default(),
            owed: Losses::default(),
            withheld: Account::default(),
            backoff: Backoff::new(retry.0, retry.1),
            retry_at: None,
            fatal: false,
            last: false,
            ended: false,
        }
    }

    /// Whether rows of action `end` are durable.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// When to call [`Worker::tick`] if no cut comes; `None` while there is nothing to wait for.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.fatal || self.ended, self.retry_at) {
            (true, _) => None,
            (_, Some(at)) => Some(at),
            _ => self.sink.flush_due(),
        }
    }

    /// Takes the next entry of the queue.
    pub fn handle(&mut self, item: Item, now: Instant) {
        if let Some(missed) = item.missed {
            self.owed.lane_full.merge(&missed.selected);
            self.withheld.merge(&missed.withheld);
            self.frontier = Some(missed.frontier);
        }
        if let Some((cut, split)) = item.cut {
            self.cut(&cut, &split, now);
        }
    }

    /// The deadline has come without a cut.
    pub fn tick(&mut self, now: Instant) {
        if self.fatal || self.ended {
            return;
        }
        match self.retry_at {
            Some(at) if now >= at => {
                lock(&self.ledger).retries += 1;
                self.flush(now);
            }
            None if self.sink.wants_flush(now) => self.flush(now),
            _ => {}
        }
    }

    /// The stream is over: what is not durable yet gets one more attempt; without a last cut the data has no end.
    pub fn finish(&mut self, now: Instant) {
        if !self.fatal && !self.ended {
            self.flush(now);
        }
    }

    fn cut(&mut self, cut: &Cut, split: &Split, now: Instant) {
        self.withheld.merge(&split.withheld);
        lock(&self.ledger).withheld(&split.withheld);
        // Losses before this cut are dated before its rows, so that every table stays in kernel-time order.
        let waiting = !cut.last && self.retry_at.is_some_and(|at| now < at);
        let retrying = self.retry_at.is_some() && !waiting;
        if self.fatal || waiting {
            self.lose(&split.selected);
        } else {
            if retrying {
                lock(&self.ledger).retries += 1;
            }
            if let Err(error) = self.write(cut, split) {
                self.lose(&split.selected);
                self.fail(error, now);
            }
        }
        self.frontier = Some(Frontier::behind(cut, self.frontier.take()));
        if self.fatal {
            return;
        }
        self.last |= cut.last;
        if cut.last {
            self.flush(now);
        } else if self.retry_at.is_none_or(|at| now >= at) && (retrying || self.sink.wants_flush(now)) {
            // The first write after a failure is flushed at once: only that shows whether the sink works again.
            self.flush(now);
        }
    }

    /// Writes what is owed from before the cut, then the cut's selected rows.
    fn write(&mut self, cut: &Cut, split: &Split) -> Result<(), SinkError> {
        if let Some(frontier) = self.frontier.as_ref().filter(|_| !self.owed.is_empty()) {
            let mut own = OwnRows::new(frontier, self.seq);
            own.losses(&self.owed);
            self.seq = own.next_seq();
            let batch = own.batch();
            self.owed.drain_into(&mut self.open.shown);
            self.write_batches(batch.iter())?;
        }
        let selected = |b: &&Batch| self.classes.contains(b.class.id) && b.rows.num_rows() > 0;
        let batches: Vec<&Batch> = cut.batches.iter().filter(selected).collect();
        self.write_batches(batches.into_iter())?;
        self.open.written.merge(&split.selected);
        Ok(())
    }

    fn write_batches<'a>(&mut self, batches: impl Iterator<Item = &'a Batch>) -> Result<(), SinkError> {
        let batches: Vec<&Batch> = batches.collect();
        if batches.is_empty() {
            return Ok(());
        }
        self.sink.write_cut(&batches)?;
        let mut ledger = lock(&self.ledger);
        for batch in batches {
            let rows = batch.rows.num_rows() as u64;
            let open = &mut self.open.classes[batch.class.id.index()];
            open.rows_delivered += rows;
            open.bytes_delivered += batch.rows.get_array_memory_size() as u64;
            ledger.classes[batch.class.id.index()].rows_written += rows;
        }
        Ok(())
    }

    /// Closes a generation: what is withheld and lost, how far every CPU is complete, then the sink's own flush.
    fn flush(&mut self, now: Instant) {
        if self.frontier.is_none() {
            return; // there was no cut: nothing is open
        }
        match self.try_flush() {
            Ok(()) => self.flushed(),
            Err(error) => self.fail(error, now),
        }
    }

    fn try_flush(&mut self) -> Result<(), SinkError> {
        let Some(frontier) = &self.frontier else { return Ok(()) };
        let mut own = OwnRows::new(frontier, self.seq);
        own.gaps(Reason::NotSelected, &self.withheld);
        own.losses(&self.owed);
        own.positions(if self.last { LossAction::End } else { LossAction::Checkpoint });
        self.seq = own.next_seq();
        let batch = own.batch();
        self.owed.drain_into(&mut self.open.shown);
        self.write_batches(batch.iter())?;
        self.sink.flush(&Progress::default())?;
        Ok(())
    }

    fn flushed(&mut self) {
        let mut ledger = lock(&self.ledger);
        ledger.flushes += 1;
        ledger.delivered(&self.open.written);
        for (total, open) in ledger.classes.iter_mut().zip(&self.open.classes) {
            total.rows_delivered += open.rows_delivered;
            total.bytes_delivered += open.bytes_delivered;
        }
        ledger.own_rows(self.seq - self.seq_flushed);
        ledger.state = LaneState::Working;
        let lost = ledger.lost_for(Reason::SinkRefused);
        drop(ledger);
        self.seq_flushed = self.seq;
        self.withheld.clear();
        self.open.written.clear();
        self.open.shown.clear();
        self.open.classes = Default::default();
        self.ended = self.last;
        self.backoff.reset();
        if self.retry_at.take().is_some() {
            tracing::info!(sink = self.sink.name(), lost, "the sink works again; its data names what it lost");
        }
    }

    /// Counts pending numbers as lost by the sink.
    fn lose(&mut self, selected: &Account) {
        self.owed.sink_refused.merge(selected);
        lock(&self.ledger).lost(selected, Reason::SinkRefused);
    }

    /// Everything since the last successful flush is lost, the lane's own rows included, which are written again.
    fn fail(&mut self, error: SinkError, now: Instant) {
        let mut open = std::mem::take(&mut self.open);
        self.lose(&open.written);
        open.shown.drain_into(&mut self.owed);
        self.seq = self.seq_flushed;
        let message = error.to_string();
        let sink = self.sink.name();
        let mut ledger = lock(&self.ledger);
        ledger.errors += 1;
        if matches!(error, SinkError::Fatal(_) | SinkError::Gone(_)) {
            self.fatal = true;
            if matches!(error, SinkError::Gone(_)) {
                tracing::debug!(sink, "the sink ends: {message}");
            } else {
                tracing::error!(sink, "the sink cannot go on, its rows are lost from here: {message}");
            }
            ledger.state = LaneState::Fatal(message);
            return;
        }
        if self.retry_at.is_none() {
            tracing::warn!(sink, "rows are lost until the sink works again: {message}");
        }
        ledger.state = LaneState::Failing(message);
        drop(ledger);
        self.retry_at = Some(now + self.backoff.wait());
    }
}
