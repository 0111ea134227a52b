//! When a try may go: at most so many per second, of which claims have a part.

use std::time::Instant;

use super::bucket::Bucket;
use super::limits::CLAIMS_PART;
use super::queue::Rank;

/// The tries of all look-ups.
pub(super) struct Turns {
    all: Bucket,
    claims: Bucket,
}

impl Turns {
    pub(super) fn new(per_second: u32, now: Instant) -> Turns {
        Turns { all: Bucket::new(per_second, now), claims: Bucket::new(per_second / CLAIMS_PART, now) }
    }

    /// Waits for the turn of a try. A claim waits for its part first, so that few of them stand before the tries of others.
    pub(super) async fn wait(&self, rank: Rank) {
        if rank == Rank::Claim {
            self.claims.wait().await;
        }
        self.all.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 120 claims, each tried six times.
    const TRIES: usize = 720;

    #[test]
    fn tries_of_claims_take_a_quarter_and_the_others_wait_for_a_few_of_them_at_most() {
        let start = Instant::now();
        let turns = Turns::new(20, start);
        let claims: Vec<Instant> = (0..TRIES).map(|_| start + turns.claims.reserve(start)).collect();
        assert!(claims[TRIES - 1] >= start + Duration::from_secs(140), "five a second");
        let mut waiting = claims.into_iter().peekable();
        for root in (1..1000).map(|n| start + Duration::from_millis(100 * n)) {
            while let Some(claim) = waiting.next_if(|claim| *claim <= root) {
                turns.all.reserve(claim);
            }
            let wait = turns.all.reserve(root);
            assert!(wait <= Duration::from_millis(250), "{wait:?} at {:?}", root - start);
        }
    }
}
