//! Reasons to stop, from any thread, in a form that the reader's wait sees.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Asks the reader to stop.
#[derive(Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    event: Arc<OwnedFd>,
}

impl Stop {
    /// Nobody has asked yet.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new() -> io::Result<Stop> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stop { asked: Arc::default(), event: Arc::new(event) })
    }

    /// Asks, and wakes the reader.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether anybody has asked.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Becomes readable when somebody asks.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
