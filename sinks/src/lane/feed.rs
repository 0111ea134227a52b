//! Where a worker's next cut comes from: those to be written again, the queue, the log; always in the order of their numbers.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::worker::Item;
use crate::{Backlog, Progress};

/// What there is to do next.
pub(super) enum Turn {
    /// A cut, or the account of cuts that found no room.
    Item(Item),
    /// The time has come.
    Timeout,
    /// The log cannot be read now.
    Unreadable(io::Error),
    /// Nothing will come any more.
    Closed,
}

/// The receiving end of a lane.
pub(super) struct Feed {
    items: Receiver<Item>,
    /// Bytes in the queue, in the worker's hands, and kept.
    held: Arc<AtomicUsize>,
    /// Tells a blocked sender that there may be room.
    free: Sender<()>,
    log: Option<Box<dyn Backlog>>,
    /// Handed-out cuts of the queue stay here until a flush, because the log does not have them.
    keeps: bool,
    kept: VecDeque<Item>,
    kept_bytes: usize,
    /// To be handed out before anything else.
    again: VecDeque<Item>,
    /// Taken from the queue, and later than the next cut.
    peeked: Option<Item>,
    /// Number of the next cut.
    next: u64,
    closed: bool,
}

impl Feed {
    pub fn new(
        items: Receiver<Item>,
        held: Arc<AtomicUsize>,
        free: Sender<()>,
        log: Option<Box<dyn Backlog>>,
        keeps: bool,
        next: u64,
    ) -> Feed {
        let (kept, again) = (VecDeque::new(), VecDeque::new());
        Feed { items, held, free, log, keeps, kept, kept_bytes: 0, again, peeked: None, next, closed: false }
    }

    /// Bytes that are kept until the next flush.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// The next cut, not later than `until`.
    pub fn next(&mut self, until: Option<Instant>) -> Turn {
        loop {
            if let Some(item) = self.ready() {
                return self.hand_out(item);
            }
            match self.logged() {
                Ok(Some(item)) => return self.hand_out(item),
                Ok(None) => {}
                Err(error) => return Turn::Unreadable(error),
            }
            if let Some(later) = self.peeked.as_ref().and_then(Item::begins) {
                let text = format!("cut {} is not in the log, although cut {later} has come", self.next);
                return Turn::Unreadable(io::Error::new(io::ErrorKind::NotFound, text));
            }
            if self.closed {
                return Turn::Closed;
            }
            match self.receive(until) {
                Ok(item) => self.peeked = Some(item),
                Err(RecvTimeoutError::Timeout) => return Turn::Timeout,
                Err(RecvTimeoutError::Disconnected) => self.closed = true,
            }
        }
    }

    /// A cut in memory that is the next one.
    fn ready(&mut self) -> Option<Item> {
        if self.again.front().is_some_and(|item| item.begins().is_none_or(|n| n <= self.next)) {
            return self.again.pop_front();
        }
        loop {
            if self.peeked.is_none() {
                self.peeked = match self.items.try_recv() {
                    Ok(item) => Some(item),
                    Err(TryRecvError::Empty) => return None,
                    Err(TryRecvError::Disconnected) => {
                        self.closed = true;
                        return None;
                    }
                };
            }
            let item = self.peeked.take()?;
            if self.log.is_some() && item.number().is_some_and(|number| number < self.next) {
                self.let_go(item.bytes); // read from the log already
            } else if self.log.is_some() && item.begins().is_some_and(|first| first > self.next) {
                self.peeked = Some(item); // the ones between are in the log
                return None;
            } else {
                return Some(item);
            }
        }
    }

    fn logged(&mut self) -> io::Result<Option<Item>> {
        let Some(log) = &mut self.log else { return Ok(None) };
        Ok(log.read(self.next)?.map(|cut| Item::new(None, Some(cut), 0)))
    }

    fn receive(&self, until: Option<Instant>) -> Result<Item, RecvTimeoutError> {
        match until {
            // No timer: an idle machine is not woken.
            None => self.items.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.items.recv_deadline(at),
        }
    }

    fn hand_out(&mut self, item: Item) -> Turn {
        if let Some(number) = item.number() {
            self.next = number + 1;
        }
        Turn::Item(item)
    }

    /// The worker is done with a cut.
    pub fn done(&mut self, item: Item) {
        if self.keeps && (item.bytes > 0 || item.missed.is_some()) {
            self.kept_bytes += item.bytes;
            self.kept.push_back(item);
        } else {
            self.let_go(item.bytes);
        }
    }

    /// The worker took nothing of the cut, only the account of what was missed before it: the cut comes next again.
    pub fn put_back(&mut self, mut item: Item) {
        item.missed_taken = true;
        if let Some(number) = item.number() {
            self.next = number;
        }
        self.again.push_front(item);
    }

    /// What was handed out since the last flush is handed out again, from this number on.
    pub fn rewind(&mut self, to: u64) {
        self.next = to;
        self.kept_bytes = 0;
        // The worker's account is what it was, too.
        self.again.iter_mut().for_each(|item| item.missed_taken = false);
        while let Some(item) = self.kept.pop_back() {
            if item.number().is_none_or(|number| number >= to) {
                self.again.push_front(Item { missed_taken: false, ..item });
            } else {
                self.let_go(item.bytes);
            }
        }
    }

    /// Everything handed out is durable.
    pub fn flushed(&mut self, progress: &Progress) -> io::Result<()> {
        self.kept.clear();
        self.again.iter_mut().filter(|item| item.missed_taken).for_each(|item| item.missed = None);
        let bytes = std::mem::take(&mut self.kept_bytes);
        self.let_go(bytes);
        self.log.as_mut().map_or(Ok(()), |log| log.passed(progress))
    }

    fn let_go(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        // One token is enough: the sender looks again after each.
        let _ = self.free.try_send(());
    }
}
