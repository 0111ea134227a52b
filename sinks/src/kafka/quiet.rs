//! Log lines that repeat are said now and then: a broker that is away makes several a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The same line is said once in this time.
const PERIOD: Duration = Duration::from_secs(30);
/// Kinds of lines that are told apart; beyond it everything is forgotten, and lines are said once more.
const KINDS_MAX: usize = 64;

/// What was said when.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// By kind: when, and how many were left out since.
    said: HashMap<String, (Instant, u64)>,
}

impl Quiet {
    /// Whether to say a line of this kind now; if so, how many were left out before it.
    pub fn say(&mut self, kind: &str, now: Instant) -> Option<u64> {
        if let Some((at, left_out)) = self.said.get_mut(kind) {
            if now.saturating_duration_since(*at) < PERIOD {
                *left_out += 1;
                return None;
            }
            *at = now;
            return Some(std::mem::take(left_out));
        }
        if self.said.len() >= KINDS_MAX {
            self.said.clear();
        }
        self.said.insert(kind.to_owned(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_repeats_is_said_once_a_period_with_how_many_were_left_out() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        assert_eq!(quiet.say("down", start), Some(0));
        assert_eq!(quiet.say("down", start + PERIOD / 2), None);
        assert_eq!(quiet.say("other", start + PERIOD / 2), Some(0));
        assert_eq!(quiet.say("down", start + PERIOD - Duration::from_millis(1)), None);
        assert_eq!(quiet.say("down", start + PERIOD), Some(2));
    }

    #[test]
    fn kinds_without_end_take_no_memory_without_end() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        for n in 0..10 * KINDS_MAX {
            assert_eq!(quiet.say(&n.to_string(), start), Some(0));
        }
        assert!(quiet.said.len() <= KINDS_MAX);
    }
}
