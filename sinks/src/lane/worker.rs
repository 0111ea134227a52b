//! The one loop that feeds any sink: what to write, when to flush, what to make of a failure.
//!
//! [`Worker`] has no thread and no clock of its own: the time is passed in. After a failure a worker either **rewinds**, if
//! its cuts can be had again, or counts as lost what the sink dropped, and goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_schema::{CLASSES, Reason};

use super::account::{Account, Frontier, Losses, Split};
use super::backoff::Backoff;
use super::ledger::{ClassCount, LaneState, Ledger};
use super::rows::OwnRows;
use super::select::ClassSet;
use crate::loss_rows::LossAction;
use crate::progress::Stand;
use crate::{Batch, Cut, Position, Progress, Receipt, Sink, SinkError};

/// The ledger as both threads hold it; locked once per cut.
pub(super) type Shared = Arc<Mutex<Ledger>>;

/// Locks the ledger; counts stay usable after a panic elsewhere.
pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Ledger> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts in a row that found no room in the queue.
#[derive(Debug, Clone)]
pub(super) struct Missed {
    /// Number of the first of them.
    pub first: u64,
    pub selected: Account,
    pub withheld: Account,
    /// Behind the last of them.
    pub frontier: Frontier,
}

/// One entry of the queue.
#[derive(Debug)]
pub(super) struct Item {
    /// What was refused before it. It stays until a flush, because a failure takes the worker back to where it stood.
    pub missed: Option<Box<Missed>>,
    /// The worker has it in its account.
    pub missed_taken: bool,
    /// None at a stop without a last cut, and as a nudge.
    pub cut: Option<Arc<Cut>>,
    /// Arrow memory of the cut, as the queue counts it.
    pub bytes: usize,
}

impl Item {
    /// An entry that nobody has seen.
    pub fn new(missed: Option<Box<Missed>>, cut: Option<Arc<Cut>>, bytes: usize) -> Item {
        Item { missed, missed_taken: false, cut, bytes }
    }

    /// What was refused before it and is in no account yet.
    pub fn new_missed(&self) -> Option<&Missed> {
        self.missed.as_deref().filter(|_| !self.missed_taken)
    }

    pub fn number(&self) -> Option<u64> {
        self.cut.as_ref().map(|cut| cut.number)
    }

    /// Number of the first cut that it accounts for.
    pub fn begins(&self) -> Option<u64> {
        self.new_missed().map(|missed| missed.first).or(self.number())
    }
}

/// What the feed has to do after a step.
#[derive(Debug)]
pub(super) enum After {
    /// Go on.
    Done,
    /// The same; and everything up to here is durable.
    Flushed(Box<Progress>),
    /// Nothing of the cut was taken: hand it in again.
    Again,
    /// Both of the two before.
    FlushedAgain(Box<Progress>),
    /// The sink dropped what it had: go on with the cut of this number.
    Rewind(u64),
}

/// How a worker is set up, apart from its sink.
pub(super) struct Setup {
    pub classes: ClassSet,
    pub ledger: Shared,
    /// First and longest wait after a failure.
    pub retry: (Duration, Duration),
    /// What a sink dropped can be handed in again.
    pub rewinds: bool,
    /// Names the log that the numbers of cuts belong to; empty without one.
    pub log_id: String,
    /// Where to begin.
    pub next_cut: u64,
    pub stand: Stand,
    /// Cuts below were not handed to the lane, so their numbers are counted when they come.
    pub first_sent: u64,
    /// Of a lane that joins a stream: where that was; empty if nobody knows.
    pub joined: Option<Vec<Position>>,
}

/// Since the last successful flush.
#[derive(Default)]
struct Open {
    /// Numbers that the sink took.
    written: Account,
    /// Numbers left out.
    withheld: Account,
    /// Numbers that the spool does not have any more.
    spool: Losses,
    /// Rows that the sink took.
    classes: [ClassCount; CLASSES.len()],
    /// Losses that rows written since then show.
    shown: Losses,
    /// Numbers left out that rows written since then show.
    told: Account,
    /// The own rows of the coming flush are written.
    closed: bool,
    anything: bool,
}

/// Feeds one sink.
pub(super) struct Worker {
    sink: Box<dyn Sink>,
    setup: Setup,
    period: Option<Duration>,
    stand: Stand,
    next_cut: u64,
    /// Both as they were at the last flush.
    saved: (u64, Stand),
    open: Open,
    asked_back: bool,
    begun: bool,
    backoff: Backoff,
    /// When to try again after a failure.
    retry_at: Option<Instant>,
    /// The sink holds what was written, and has only to be asked again.
    holds: bool,
    /// The coming write is a new attempt after a failure.
    retrying: bool,
    /// When a sink with a period is flushed next.
    flush_at: Option<Instant>,
    offered_to: u64,
    /// The first cut that is counted here is not where its stream begins.
    joins: bool,
    /// Number of the first cut.
    first: Option<u64>,
    fatal: bool,
    /// The last cut has come: from here a flush ends the data.
    last: bool,
}

impl Worker {
    pub fn new(sink: Box<dyn Sink>, setup: Setup) -> Worker {
        Worker {
            period: sink.flush_period(),
            sink,
            backoff: Backoff::new(setup.retry.0, setup.retry.1),
            next_cut: setup.next_cut,
            offered_to: setup.next_cut,
            joins: setup.next_cut > 0 && setup.stand.frontier.is_none(),
            first: None,
            saved: (setup.next_cut, setup.stand.clone()),
            stand: setup.stand.clone(),
            setup,
            open: Open::default(),
            asked_back: false,
            begun: false,
            retry_at: None,
            holds: false,
            retrying: false,
            flush_at: None,
            fatal: false,
            last: false,
        }
    }

    /// Whether rows of action `end` are durable.
    pub fn ended(&self) -> bool {
        self.saved.1.ended
    }

    /// Where the data at the destination stands, for a lane that continues it.
    pub fn stands(&self) -> Progress {
        let (next_cut, stand) =
            if self.setup.rewinds { (self.saved.0, &self.saved.1) } else { (self.next_cut, &self.stand) };
        Progress::of(&self.setup.log_id, next_cut, stand)
    }

    fn is_over(&self) -> bool {
        self.fatal || (self.ended() && !self.open.anything)
    }

    /// Until when no cut should be handed in, because what failed has to be tried first.
    pub fn waits_until(&self) -> Option<Instant> {
        self.retry_at.filter(|_| self.setup.rewinds && !self.fatal)
    }

    /// When to call [`Worker::tick`] if no cut comes; `None` while there is nothing to wait for.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.is_over(), self.retry_at) {
            (true, _) => None,
            (_, Some(at)) => Some(at),
            _ => self.flush_at.or_else(|| self.sink.flush_due()),
        }
    }

    /// Takes the next entry of the queue.
    pub fn handle(&mut self, item: &Item, now: Instant) -> After {
        if let Some(missed) = item.new_missed() {
            self.stand.owed.lane_full.merge(&missed.selected);
            self.stand.withheld.merge(&missed.withheld);
            self.stand.frontier = Some(missed.frontier.clone());
        }
        let Some(cut) = item.cut.clone() else { return After::Done };
        if self.setup.rewinds && !self.fatal { self.cut_or_rewind(&cut, now) } else { self.cut_or_lose(&cut, now) }
    }

    /// The deadline has come without a cut.
    pub fn tick(&mut self, now: Instant) -> After {
        if self.is_over() {
            return After::Done;
        }
        match self.retry_at {
            Some(at) if now >= at => self.retry(now),
            None if self.flush_at.is_some_and(|at| now >= at) || self.sink.wants_flush(now) => self.flush(now),
            _ => After::Done,
        }
    }

    /// A new attempt after a failure.
    pub fn retry(&mut self, now: Instant) -> After {
        lock(&self.setup.ledger).retries += 1;
        if self.setup.rewinds && !self.holds {
            // What the sink dropped is handed in again first.
            (self.retry_at, self.retrying) = (None, true);
            self.flush_at = Some(now);
            return After::Done;
        }
        self.flush(now)
    }

    /// The stream is over: what is not durable yet gets one more attempt; without a last cut the data has no end.
    pub fn finish(&mut self, now: Instant) -> After {
        if self.is_over() { After::Done } else { self.flush(now) }
    }

    /// Whether everything that came is durable.
    pub fn is_settled(&self) -> bool {
        self.fatal || !self.open.anything && self.stand.owed.is_empty() && self.retry_at.is_none()
    }

    /// The log cannot be read.
    pub fn unreadable(&mut self, error: &std::io::Error, now: Instant) {
        self.wait(format!("read the log of what is still to be delivered: {error}"), now);
    }

    /// The log is damaged, and nobody can mend it while it is read: what was written is flushed, and the lane ends.
    pub fn ends_at_damage(&mut self, error: &std::io::Error) {
        let _ = self.end(&format!("read the log of what is to be delivered: {error}"), false);
    }

    // --- cuts ---

    fn cut_or_rewind(&mut self, cut: &Cut, now: Instant) -> After {
        match self.ask_back() {
            Ok(None) => {}
            Ok(Some(number)) => return After::Rewind(number),
            Err(error) => return self.fail_write(error, now),
        }
        if self.begins_anew(cut) {
            match self.begin(cut, now) {
                Ok(None) => {}
                Ok(Some(flushed)) => return flushed,
                Err(error) => return self.fail_write(error, now),
            }
        }
        let split = self.split(cut);
        if let Err(error) = self.tell_period(cut).and_then(|()| self.write(cut, &split)) {
            return self.fail_write(error, now);
        }
        self.open.withheld.merge(&split.withheld);
        self.open.spool.merge(&split.spool);
        self.stand.withheld.merge(&split.before);
        self.stand.withheld.merge(&split.withheld);
        self.stand.owed.merge(&split.spool);
        self.advance(cut, now);
        let due = self.flush_at.is_some_and(|at| now >= at);
        if cut.last || self.retrying || due || self.sink.wants_flush(now) { self.flush(now) } else { After::Done }
    }

    fn cut_or_lose(&mut self, cut: &Cut, now: Instant) -> After {
        if !self.begun
            && let Err(error) = self.sink.begin(&cut.identity)
        {
            self.fail(error, now);
        }
        self.begun = true;
        let split = self.split(cut);
        self.stand.withheld.merge(&split.before);
        self.stand.withheld.merge(&split.withheld);
        lock(&self.setup.ledger).withheld(&split.withheld);
        // Losses before this cut are dated before its rows, so that every table stays in kernel-time order.
        let waiting = !cut.last && self.retry_at.is_some_and(|at| now < at);
        let retrying = self.retry_at.is_some() && !waiting;
        if self.fatal || waiting {
            self.lose(&split.selected);
        } else {
            if retrying {
                lock(&self.setup.ledger).retries += 1;
            }
            if let Err(error) = self.write(cut, &split) {
                self.lose(&split.selected);
                self.fail(error, now);
            }
        }
        self.advance(cut, now);
        if self.fatal {
            return self.given_up();
        }
        // The first write after a failure is flushed at once: only that shows whether the sink works again.
        let due = self.retry_at.is_none_or(|at| now >= at) && (retrying || self.sink.wants_flush(now));
        if cut.last || due { self.flush(now) } else { After::Done }
    }

    /// The numbers of a cut; those of a cut that was not handed to the lane are counted here, once.
    fn split(&mut self, cut: &Cut) -> Split {
        let mut split = Split::of(cut, self.setup.classes, self.stand.frontier.as_ref());
        let first = *self.first.get_or_insert(cut.number);
        if let Some(joined) = self.setup.joined.as_ref().filter(|_| cut.number == first) {
            split.find_before(cut, self.stand.frontier.as_ref(), joined);
        }
        if cut.number < self.setup.first_sent && cut.number >= self.offered_to {
            self.offered_to = cut.number + 1;
            let joins = std::mem::take(&mut self.joins);
            lock(&self.setup.ledger).offered(cut, &split, self.stand.frontier.as_ref(), joins);
        }
        split
    }

    fn advance(&mut self, cut: &Cut, now: Instant) {
        self.stand.frontier = Some(Frontier::behind(cut, self.stand.frontier.take()));
        self.next_cut = cut.number + 1;
        self.last |= cut.last;
        self.open.anything = true;
        if let Some(period) = self.period {
            self.flush_at.get_or_insert(now + period);
        }
    }

    /// What the destination itself holds is worth more than a stored position: it is asked before the first write.
    fn ask_back(&mut self) -> Result<Option<u64>, SinkError> {
        if self.asked_back {
            return Ok(None);
        }
        let found = self.sink.read_back()?;
        self.asked_back = true;
        let Some(progress) = found.filter(|p| self.is_further(p) && p.is_possible()) else {
            return Ok(None);
        };
        tracing::info!(sink = self.sink.name(), cut = progress.next_cut, "the destination is further than the cursor");
        self.next_cut = progress.next_cut;
        self.offered_to = progress.next_cut;
        self.stand = progress.stand();
        self.saved = (self.next_cut, self.stand.clone());
        Ok(Some(self.next_cut))
    }

    /// Without a log the numbers of another run mean nothing.
    fn is_further(&self, found: &Progress) -> bool {
        !self.setup.log_id.is_empty() && found.log_id == self.setup.log_id && found.next_cut > self.next_cut
    }

    fn begins_anew(&self, cut: &Cut) -> bool {
        !self.begun || self.stand.frontier.as_ref().is_some_and(|f| f.identity != cut.identity)
    }

    /// Ends the stream before, if there was one, and begins that of the cut. A flush in between comes back to be told.
    fn begin(&mut self, cut: &Cut, now: Instant) -> Result<Option<After>, SinkError> {
        let other = self.stand.frontier.as_ref().is_some_and(|f| f.identity != cut.identity);
        if other && self.period.is_some() && !(self.stand.withheld.is_empty() && self.stand.owed.is_empty()) {
            self.write_own(LossAction::Checkpoint)?;
        }
        if other && (self.open.anything || !self.stand.owed.is_empty()) {
            return Ok(Some(match self.flush(now) {
                After::Done => After::Again,
                After::Flushed(progress) => After::FlushedAgain(progress),
                after => after,
            }));
        }
        if other {
            self.stand = Stand::default();
            self.saved = (self.next_cut, Stand::default());
            self.last = false;
        }
        self.sink.begin(&cut.identity)?;
        self.begun = true;
        Ok(None)
    }

    // --- rows ---

    /// The own rows of a sink with a period, before the first cut of a new one.
    fn tell_period(&mut self, cut: &Cut) -> Result<(), SinkError> {
        let Some(period_ns) = self.period.map(|p| p.as_nanos().max(1) as i64) else { return Ok(()) };
        let period = cut.positions.iter().map(|p| p.ktime_ns).max().unwrap_or(0) / period_ns;
        let told = *self.stand.told_period.get_or_insert(period);
        if period > told {
            self.write_own(LossAction::Checkpoint)?;
            self.stand.told_period = Some(period);
        }
        Ok(())
    }

    /// Writes what is owed from before the cut, then the cut's selected rows.
    fn write(&mut self, cut: &Cut, split: &Split) -> Result<(), SinkError> {
        if let Some(frontier) = self.stand.frontier.as_ref().filter(|_| !self.stand.owed.is_empty()) {
            let mut own = OwnRows::new(frontier, self.stand.own_seq);
            own.losses(&self.stand.owed);
            let (batch, next) = (own.batch(), own.next_seq());
            self.write_batches(batch.iter())?;
            self.stand.own_seq = next;
            self.stand.owed.drain_into(&mut self.open.shown);
        }
        let selected = |b: &&Batch| self.setup.classes.contains(b.class.id) && b.rows.num_rows() > 0;
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
        self.open.anything = true;
        let mut ledger = lock(&self.setup.ledger);
        for batch in batches {
            let rows = batch.rows.num_rows() as u64;
            let open = &mut self.open.classes[batch.class.id.index()];
            open.rows_delivered += rows;
            open.bytes_delivered += batch.rows.get_array_memory_size() as u64;
            ledger.classes[batch.class.id.index()].rows_written += rows;
        }
        Ok(())
    }

    /// What is withheld and lost, and how far every CPU is complete.
    fn write_own(&mut self, action: LossAction) -> Result<(), SinkError> {
        let Some(frontier) = &self.stand.frontier else { return Ok(()) };
        let mut own = OwnRows::new(frontier, self.stand.own_seq);
        own.gaps(Reason::NotSelected, &self.stand.withheld);
        own.losses(&self.stand.owed);
        own.positions(action);
        let (batch, next) = (own.batch(), own.next_seq());
        self.write_batches(batch.iter())?;
        self.stand.own_seq = next;
        self.stand.owed.drain_into(&mut self.open.shown);
        self.open.told.merge(&std::mem::take(&mut self.stand.withheld));
        Ok(())
    }

    // --- flushes ---

    /// Closes a generation: what is withheld and lost, how far every CPU is complete, then the sink's own flush.
    pub fn flush(&mut self, now: Instant) -> After {
        if self.stand.frontier.is_none() {
            return After::Done; // there was no cut: nothing is open
        }
        // What the destination refuses of the rows has to be known before the end is written.
        let ends = self.last && !self.stand.ended;
        if ends && self.period.is_some() && self.open.anything {
            match self.try_flush(false) {
                Ok(receipt) => drop(self.flushed(&receipt)),
                Err(error) => return self.fail(error, now),
            }
        }
        match self.try_flush(ends) {
            Ok(receipt) => self.flushed(&receipt),
            Err(error) => self.fail(error, now),
        }
    }

    fn try_flush(&mut self, ends: bool) -> Result<Receipt, SinkError> {
        if !self.open.closed && (self.period.is_none() || ends) {
            self.write_own(if self.last { LossAction::End } else { LossAction::Checkpoint })?;
            self.stand.ended = self.last;
            self.open.closed = true;
        }
        self.sink.flush(&self.progress())
    }

    fn progress(&self) -> Progress {
        Progress::of(&self.setup.log_id, self.next_cut, &self.stand)
    }

    fn flushed(&mut self, receipt: &Receipt) -> After {
        let open = std::mem::take(&mut self.open);
        let refused = Account::of_tallies(&receipt.refused);
        let mut ledger = lock(&self.setup.ledger);
        ledger.flushes += 1;
        ledger.process_restarts = self.sink.process_restarts();
        ledger.delivered(&open.written);
        ledger.withheld(&open.withheld);
        ledger.lost_by_reason(&open.spool);
        for (total, open) in ledger.classes.iter_mut().zip(&open.classes) {
            total.rows_delivered += open.rows_delivered;
            total.bytes_delivered += open.bytes_delivered;
        }
        ledger.own_rows(self.stand.own_seq - self.saved.1.own_seq);
        ledger.refused(&refused);
        ledger.delivered_ktime_ns = self.stand.frontier.as_ref().map_or(0, |f| f.ktime_ns);
        ledger.state = LaneState::Working;
        let lost = ledger.lost_for(Reason::SinkRefused);
        drop(ledger);
        self.stand.owed.sink_refused.merge(&refused.without_own());
        self.saved = (self.next_cut, self.stand.clone());
        self.backoff.reset();
        let failed = self.retry_at.take().is_some() | std::mem::take(&mut self.retrying);
        (self.holds, self.flush_at) = (false, None);
        if failed && self.setup.rewinds {
            tracing::info!(sink = self.sink.name(), "the sink works again");
        } else if failed {
            tracing::info!(sink = self.sink.name(), lost, "the sink works again; its data names what it lost");
        }
        After::Flushed(Box::new(self.progress()))
    }

    // --- failures ---

    /// Counts pending numbers as lost by the sink.
    fn lose(&mut self, selected: &Account) {
        self.stand.owed.sink_refused.merge(selected);
        lock(&self.setup.ledger).lost(selected, Reason::SinkRefused);
    }

    fn fail_write(&mut self, error: SinkError, now: Instant) -> After {
        let waits = matches!(error, SinkError::Wait(_));
        let after = self.fail(error, now);
        // Only a flush is asked for again while the sink holds its rows; a write is handed in again.
        self.holds &= !waits;
        if waits { After::Again } else { after }
    }

    /// What the sink dropped is handed in again, or lost.
    fn fail(&mut self, error: SinkError, now: Instant) -> After {
        let message = error.to_string();
        let mut ledger = lock(&self.setup.ledger);
        ledger.errors += 1;
        ledger.process_restarts = self.sink.process_restarts();
        drop(ledger);
        match error {
            SinkError::Wait(_) if self.setup.rewinds => {
                self.holds = true;
                self.wait(message, now);
                return After::Done;
            }
            SinkError::Fatal(_) | SinkError::Gone(_) => {
                self.lose_open();
                return self.end(&message, matches!(error, SinkError::Gone(_)));
            }
            _ if self.setup.rewinds => {
                self.open = Open::default();
                (self.next_cut, self.stand) = self.saved.clone();
                (self.holds, self.last) = (false, false);
            }
            _ => self.lose_open(),
        }
        self.wait(message, now);
        if self.setup.rewinds { After::Rewind(self.next_cut) } else { After::Done }
    }

    /// Everything since the last successful flush is lost; the lane's own rows are written again.
    fn lose_open(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        self.lose(&open.written);
        let mut ledger = lock(&self.setup.ledger);
        ledger.withheld(&open.withheld);
        ledger.lost_by_reason(&open.spool);
        drop(ledger);
        open.shown.drain_into(&mut self.stand.owed);
        self.stand.withheld.merge(&open.told);
        self.stand.own_seq = self.saved.1.own_seq;
        self.stand.ended = self.saved.1.ended;
    }

    fn wait(&mut self, message: String, now: Instant) {
        let sink = self.sink.name();
        if self.retry_at.is_none() && !self.retrying {
            let what = if self.setup.rewinds { "rows wait" } else { "rows are lost" };
            tracing::warn!(sink, "{what} until the sink works again: {message}");
        }
        lock(&self.setup.ledger).state = LaneState::Failing(message);
        self.retry_at = Some(now + self.backoff.wait());
    }

    fn end(&mut self, message: &str, is_gone: bool) -> After {
        let sink = self.sink.name();
        self.fatal = true;
        if is_gone {
            tracing::debug!(sink, "the sink ends: {message}");
        } else {
            tracing::error!(sink, "the sink cannot go on, its rows are lost from here: {message}");
        }
        lock(&self.setup.ledger).state = LaneState::Fatal(message.to_owned());
        self.given_up()
    }

    /// Nothing so far will be asked for again: the log may forget it, and a restart goes on behind it and tells the loss.
    fn given_up(&mut self) -> After {
        if self.setup.rewinds { After::Flushed(Box::new(self.progress())) } else { After::Done }
    }
}
