//! One look-up: all sockets in order, and again those that were in trouble or did not know it yet.

use std::io;
use std::time::Instant;

use super::answer::{Answer, Metadata};
use super::backoff;
use super::budget::shorten;
use super::engine::Engine;
use super::limits::{ID_BYTES_MAX, Limits};
use super::queue::Rank;
use super::reply::Reply;
use super::sockets::Sockets;
use super::turns::Turns;

/// How a look-up ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Found(Box<Metadata>),
    Unknown(String),
    Failed(String),
}

impl Outcome {
    pub(super) fn answer(self, id: String) -> Answer {
        match self {
            Outcome::Found(metadata) => Answer::Found(*metadata),
            Outcome::Unknown(why) | Outcome::Failed(why) => Answer::Unknown { id, why },
        }
    }
}

/// Asks all runtimes.
pub(super) struct Lookup {
    engines: Vec<Engine>,
    turns: Turns,
    limits: Limits,
}

impl Lookup {
    /// To be called inside a runtime.
    pub(super) fn new(sockets: &Sockets, limits: Limits) -> io::Result<Lookup> {
        let turns = Turns::new(limits.lookups_per_second_max, Instant::now());
        Ok(Lookup { engines: Engine::all(sockets, &limits)?, turns, limits })
    }

    /// What becomes of this id.
    pub(super) async fn run(&self, id: &str, rank: Rank) -> Outcome {
        if !is_id(id) {
            return Outcome::Unknown(format!("not an id of a container: {}", shorten(id, ID_BYTES_MAX)));
        }
        if self.engines.is_empty() {
            return Outcome::Unknown("there is no socket of a runtime to ask at".into());
        }
        self.tries(id, rank).await
    }

    async fn tries(&self, id: &str, rank: Rank) -> Outcome {
        let mut round = Round { left: self.engines.iter().collect(), ..Round::default() };
        for attempt in 0..self.limits.tries_max.max(1) {
            tokio::time::sleep(backoff::before(attempt)).await;
            self.turns.wait(rank).await;
            if let Some(metadata) = self.round(id, rank, &mut round).await {
                return Outcome::Found(metadata);
            }
            if round.left.is_empty() {
                break;
            }
        }
        match round.refused.or(round.trouble) {
            Some(why) => Outcome::Failed(why),
            None => Outcome::Unknown("no runtime knows it".into()),
        }
    }

    /// Asks those that are left; those in trouble, and those that do not know it, are left for the next round.
    async fn round<'a>(&'a self, id: &str, rank: Rank, round: &mut Round<'a>) -> Option<Box<Metadata>> {
        round.trouble = None;
        for engine in std::mem::take(&mut round.left) {
            match self.in_time(engine.ask(id, rank == Rank::Claim)).await {
                Reply::Found(metadata) => return Some(metadata),
                // It may come to know it: a cgroup is there before its runtime has written the container down.
                Reply::Absent => round.left.push(engine),
                Reply::Refused(why) => round.refused = Some(why),
                Reply::Trouble(why) => {
                    round.trouble = Some(why);
                    round.left.push(engine);
                }
            }
        }
        None
    }

    async fn in_time(&self, asking: impl Future<Output = Reply>) -> Reply {
        let late = |_| Reply::Trouble(format!("no answer within {:?}", self.limits.timeout));
        tokio::time::timeout(self.limits.timeout, asking).await.unwrap_or_else(late)
    }
}

/// What the tries have come to so far.
#[derive(Default)]
struct Round<'a> {
    left: Vec<&'a Engine>,
    refused: Option<String>,
    trouble: Option<String>,
}

/// Whether it may stand in a request: it becomes part of an address there.
fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed) && !id.starts_with('.')
}

#[cfg(test)]
mod tests;
