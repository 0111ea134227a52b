//! How long a failing sink is left alone.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits that double from attempt to attempt, each shortened by chance so that many collectors do not knock at once.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Backoff {
        // Jitter only: any seed will do, so there is nothing to print.
        let random = RandomState::new().hash_one(0) | 1;
        Backoff { min, max: max.max(min), next: min, random }
    }

    /// The wait before the next attempt: at least half of the full one.
    pub fn wait(&mut self) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.max);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        full.mul_f64(0.5 + (self.random % 512) as f64 / 1024.0)
    }

    /// The sink works again.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_keep_at_least_half() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(min, max);
        for full_ms in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait();
            assert!(wait >= Duration::from_millis(full_ms / 2) && wait <= Duration::from_millis(full_ms), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= min);
    }
}
