//! A bucket of tokens: so many tries per second, a few of them at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limits::AT_ONCE_MAX;

/// Hands out tokens in the order in which they are asked for.
pub(super) struct Bucket {
    period: Duration,
    /// When the next token is due; in the past when some are left.
    due: Mutex<Instant>,
}

impl Bucket {
    pub(super) fn new(per_second: u32, now: Instant) -> Bucket {
        Bucket { period: Duration::from_secs(1) / per_second.max(1), due: Mutex::new(now) }
    }

    /// Waits until it is this caller's turn.
    pub(super) async fn wait(&self) {
        tokio::time::sleep(self.reserve(Instant::now())).await;
    }

    /// Takes a token, and says how long it is until the token may be used.
    pub(super) fn reserve(&self, now: Instant) -> Duration {
        let saved = self.period.saturating_mul(AT_ONCE_MAX as u32 - 1);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = now.checked_sub(saved).unwrap_or(now);
        let turn = (*due).max(oldest);
        *due = turn + self.period;
        turn.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(bucket: &Bucket, now: Instant, count: usize) -> Vec<u128> {
        (0..count).map(|_| bucket.reserve(now).as_millis()).collect()
    }

    #[test]
    fn after_a_rest_a_few_go_at_once_and_then_one_per_period() {
        let start = Instant::now();
        let bucket = Bucket::new(20, start);
        assert_eq!(waits(&bucket, start, 3), [0, 50, 100]);
        let later = start + Duration::from_secs(60);
        assert_eq!(waits(&bucket, later, 7), [0, 0, 0, 0, 50, 100, 150]);
    }

    #[test]
    fn no_second_has_more_than_the_rate_and_the_few() {
        let start = Instant::now();
        let bucket = Bucket::new(20, start);
        let later = start + Duration::from_secs(60);
        let turns = waits(&bucket, later, 200);
        for first in &turns {
            let within = turns.iter().filter(|turn| (*first..*first + 1000).contains(turn)).count();
            assert!(within <= 20 + AT_ONCE_MAX, "{within} from {first} ms on");
        }
    }

    #[test]
    fn a_rate_of_none_is_one() {
        let start = Instant::now();
        assert_eq!(waits(&Bucket::new(0, start), start, 2), [0, 1000]);
    }
}
