//! What the service manager is told (sd_notify): ready, alive, stopping. Without `NOTIFY_SOCKET` nothing happens.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use super::Board;
use crate::privilege::{ASKS, confine};

/// Signs of life per time-out of the watchdog.
const SIGNS_PER_TIMEOUT: u32 = 3;

/// The service manager, if there is one.
pub struct Service;

fn tell(states: &[NotifyState<'_>]) {
    // Nobody is there to be told when the manager is gone; weir goes on without it.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("tell the service manager: {error}");
    }
}

impl Service {
    /// Records are read.
    pub fn ready() {
        tell(&[NotifyState::Ready]);
    }

    /// The configuration is read again; [`Service::ready`] says when that is over.
    pub fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!("read the monotonic clock: {error}"),
        }
    }

    /// The run ends, which may take so long.
    pub fn stopping(longest: Duration) {
        let usec = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec)]);
    }

    /// Signs of life from a thread of their own, as long as the pipeline moves, if the manager wants any.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn watch(board: &Arc<Board>) -> io::Result<()> {
        let Some(timeout) = sd_notify::watchdog_enabled() else { return Ok(()) };
        let board = Arc::downgrade(board);
        let signs = move || {
            confine("watchdog", ASKS);
            loop {
                let Some(board) = board.upgrade() else { return };
                match board.look() {
                    Ok(()) => tell(&[NotifyState::Watchdog]),
                    Err(stall) => tracing::error!("no sign of life to the service manager: {stall}"),
                }
                drop(board);
                thread::sleep(timeout / SIGNS_PER_TIMEOUT);
            }
        };
        thread::Builder::new().name("watchdog".into()).spawn(signs).map(drop)
    }
}
