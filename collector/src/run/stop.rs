//! Reasons to stop, from any thread, in a form that the reader's wait sees.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Exit status after a second signal, as a shell shows SIGINT.
const EXIT_AT_ONCE: i32 = 130;

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

    /// The first SIGINT or SIGTERM asks; a second one ends the process at once. Files become visible only when whole, so
    /// none is left half-visible.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let stop = self.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                if stop.is_asked() {
                    tracing::warn!("second signal: stopping at once, without the last rows");
                    std::process::exit(EXIT_AT_ONCE);
                }
                stop.ask();
            }
        })?;
        Ok(())
    }
}
