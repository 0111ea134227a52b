//! Random numbers that can be had again: the seed is printed, and `WEIR_TEST_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::skip::note;

/// The seed of `WEIR_TEST_SEED`.
pub fn given() -> Option<u64> {
    std::env::var("WEIR_TEST_SEED").ok().and_then(|text| text.parse().ok())
}

/// Another seed every time.
pub fn from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64)
}

/// SplitMix64: a public-domain generator, good enough to choose moments.
pub struct Random(u64);

impl Random {
    /// From `WEIR_TEST_SEED`, else from the clock; printed either way.
    pub fn from_environment(what: &str) -> Random {
        let seed = given().unwrap_or_else(from_clock);
        note(format_args!("{what}: WEIR_TEST_SEED={seed}"));
        Random(seed)
    }

    /// From a seed that is printed elsewhere.
    pub fn of(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
