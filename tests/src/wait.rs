//! How tests wait: for what they need, with one limit that only a fault reaches, never for a time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// The one limit of every wait: a busy machine needs a part of it, a test that waits longer waits for ever.
pub const LIMIT: Duration = Duration::from_secs(300);
/// How often a condition is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until the condition holds; panics with what was waited for if it never does.
pub fn until(what: impl Display, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
}
