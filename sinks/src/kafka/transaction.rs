//! One transaction per flush: the rows and the progress become visible together, or not at all.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use super::link::Link;
use super::meaning::{Trouble, Verdict, meaning};
use super::options::Transactions;
use crate::Progress;

/// How long the first handshake may take in one call: after a crash the brokers end the old transaction first.
const INIT_WAIT: Duration = Duration::from_secs(5);
/// How long one call that commits may take, at least.
const COMMIT_WAIT_MIN: Duration = Duration::from_millis(100);
/// How long an abort may take before the producer is thrown away instead.
const ABORT_WAIT: Duration = Duration::from_secs(2);

/// Where the transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The producer has not introduced itself.
    New,
    /// Nothing is open.
    Idle,
    /// Messages are in it.
    Open,
    /// The commit is asked for and not confirmed.
    Committing(Box<Progress>),
}

/// Why a step did not succeed.
#[derive(Debug)]
pub(super) enum Stop {
    /// Not yet; ask again.
    Wait(Trouble),
    /// The transaction is over.
    Over(Trouble),
}

/// The transactions of one sink.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Where the progress goes.
    pub topic: String,
    /// Its key: `<transactional id>/<host>`.
    pub key: String,
    state: State,
    /// What the last transaction committed.
    committed: Option<Progress>,
    /// Messages that were refused alone, by hash: left out when their rows come again.
    refused: HashSet<u64>,
}

impl Transaction {
    /// None is open.
    pub fn new(settings: &Transactions, host: &str) -> Transaction {
        Transaction {
            topic: settings.progress_topic.clone(),
            key: format!("{}/{host}", settings.id),
            state: State::New,
            committed: None,
            refused: HashSet::new(),
        }
    }

    /// Introduces a new producer: ends what an earlier one with the same id left open.
    pub fn init(&mut self, link: &Link) -> Result<(), Stop> {
        if self.state == State::New {
            link.producer().init_transactions(INIT_WAIT).map_err(|error| stop(&error, link))?;
            self.state = State::Idle;
        }
        Ok(())
    }

    /// Opens a transaction, unless one is open; a commit on its way comes first.
    pub fn begin(&mut self, link: &Link, deadline: Instant) -> Result<(), Stop> {
        self.init(link)?;
        self.finish_commit(link, deadline)?;
        if self.state == State::Idle {
            link.producer().begin_transaction().map_err(|error| stop(&error, link))?;
            self.state = State::Open;
        }
        Ok(())
    }

    /// Whether rows are in a transaction that is not over.
    pub fn holds_rows(&self) -> bool {
        !matches!(self.state, State::New | State::Idle)
    }

    /// Whether this progress is committed, and nothing is open.
    pub fn has_committed(&self, progress: &Progress) -> bool {
        self.state == State::Idle && self.committed.as_ref() == Some(progress)
    }

    /// Commits everything, the progress record included, which is acknowledged by now.
    pub fn commit(&mut self, progress: &Progress, link: &Link, deadline: Instant) -> Result<(), Stop> {
        self.state = State::Committing(Box::new(progress.clone()));
        self.finish_commit(link, deadline)
    }

    /// Ends a commit that was asked for.
    pub fn finish_commit(&mut self, link: &Link, deadline: Instant) -> Result<(), Stop> {
        let State::Committing(progress) = &self.state else { return Ok(()) };
        let wait = deadline.saturating_duration_since(Instant::now()).max(COMMIT_WAIT_MIN);
        link.producer().commit_transaction(wait).map_err(|error| stop(&error, link))?;
        self.committed = Some((**progress).clone());
        self.state = State::Idle;
        self.refused.clear();
        Ok(())
    }

    /// Gives the open transaction up; `false` if the producer has to go too.
    pub fn abort(&mut self, link: &Link) -> bool {
        let was = std::mem::replace(&mut self.state, State::New);
        link.purge();
        let deadline = Instant::now() + ABORT_WAIT;
        let usable = match was {
            State::New | State::Committing(_) => false,
            State::Idle => true,
            // Purged messages have to be taken note of first: the abort waits for it.
            State::Open => {
                link.wait_until_empty(deadline, |_| false) && link.producer().abort_transaction(ABORT_WAIT).is_ok()
            }
        };
        if usable {
            self.state = State::Idle;
        }
        usable
    }

    /// The producer is gone.
    pub fn reset(&mut self) {
        self.state = State::New;
    }

    /// Remembers a message that the brokers will never accept.
    pub fn refuse(&mut self, topic: &str, payload: &[u8]) {
        self.refused.insert(hash(topic, payload));
    }

    /// Whether the message is one of those.
    pub fn is_refused(&self, topic: &str, payload: &[u8]) -> bool {
        !self.refused.is_empty() && self.refused.contains(&hash(topic, payload))
    }
}

/// The same for the same message all the time.
fn hash(topic: &str, payload: &[u8]) -> u64 {
    FixedState::default().hash_one((topic, payload))
}

fn stop(error: &KafkaError, link: &Link) -> Stop {
    link.pump();
    let trouble = Trouble::from_error(error);
    let KafkaError::Transaction(error) = error else { return Stop::Over(trouble) };
    if !error.is_retriable() || error.is_fatal() || error.txn_requires_abort() {
        return Stop::Over(trouble);
    }
    match link.told().trouble.clone() {
        Some(known) if meaning(known.code).verdict == Verdict::Stranger => Stop::Over(known),
        _ => Stop::Wait(trouble),
    }
}
