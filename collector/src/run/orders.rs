//! What the reader is asked to change between two rounds.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, eventfd};
use weir_bpf::{Filters, Settings};
use weir_files::Dir;

use super::resume::Repin;
use crate::outlet::{Answer, Edit, Edited};
use crate::pipeline::Pace;

/// One change.
pub enum Order {
    /// Other filters.
    Filters(Box<Filters>, Sender<Filtered>),
    /// Other lanes.
    Lanes(Pace, Edit, Answer),
}

/// What the programs are told behind a change of filters, and whether that is what was asked for.
pub struct Filtered {
    /// In force now.
    pub settings: Settings,
    /// What the kernel refused.
    pub changed: Result<()>,
}

/// The reader's end.
pub struct Inbox {
    orders: Receiver<Order>,
    event: Arc<OwnedFd>,
}

/// The end of who wants a change.
pub struct Orders {
    orders: Sender<Order>,
    event: Arc<OwnedFd>,
    /// The spool whose programs survive the collector: it says what they were told.
    pinned: Option<Dir>,
}

/// Both ends; `pinned` is the spool whose programs survive the collector.
///
/// # Errors
/// When the kernel gives no descriptor.
pub fn orders(pinned: Option<Dir>) -> io::Result<(Orders, Inbox)> {
    let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = bounded(1);
    Ok((Orders { orders: sender, event: Arc::clone(&event), pinned }, Inbox { orders: receiver, event }))
}

impl Inbox {
    /// The next change, if there is one.
    pub fn next(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// Whether there is one.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Becomes readable with every change.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Orders {
    /// Puts other filters in force, and waits until they are.
    ///
    /// # Errors
    /// What the kernel or the spool refuses, and the end of the run.
    pub fn filters(&self, to: Filters) -> Result<()> {
        // The spool's files are written here: the reader makes no call on any.
        let repin = self.pinned.as_ref().map(Repin::begin).transpose()?;
        let (answer, answered) = bounded(1);
        self.give(Order::Filters(Box::new(to), answer))?;
        let filtered = answered.recv().map_err(|_| ended())?;
        repin.map(|repin| repin.end(&filtered.settings)).transpose()?;
        filtered.changed
    }

    /// Changes lanes, and waits until it is done.
    ///
    /// # Errors
    /// A sink that is not there, a log that cannot be read, and the end of the run.
    pub fn lanes(&self, pace: Pace, edit: Edit) -> Result<Edited> {
        let (answer, answered) = bounded(1);
        self.give(Order::Lanes(pace, edit, answer))?;
        answered.recv().map_err(|_| ended())?.context("change the sinks")
    }

    fn give(&self, order: Order) -> Result<()> {
        self.orders.send(order).map_err(|_| ended())?;
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        Ok(())
    }
}

fn ended() -> anyhow::Error {
    anyhow!("the run ends")
}
