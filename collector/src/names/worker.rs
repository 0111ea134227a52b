//! The thread that looks up: a few ids at a time.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::answer::Answer;
use super::counts::Tally;
use super::limits::IN_FLIGHT_MAX;
use super::lookup::{Lookup, Outcome};

/// What the thread has.
pub(super) struct Worker {
    lookup: Arc<Lookup>,
    asked: mpsc::Receiver<String>,
    answers: mpsc::Sender<Answer>,
    tally: Arc<Tally>,
    running: JoinSet<Outcome>,
    /// Whom the running ones are for.
    ids: HashMap<Id, String>,
}

impl Worker {
    pub(super) fn new(
        lookup: Lookup,
        asked: mpsc::Receiver<String>,
        answers: mpsc::Sender<Answer>,
        tally: Arc<Tally>,
    ) -> Worker {
        Worker { lookup: Arc::new(lookup), asked, answers, tally, running: JoinSet::new(), ids: HashMap::new() }
    }

    /// Looks up until the other end is dropped; what is under way then is given up.
    pub(super) async fn until(mut self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            _ = stopped => {}
            () = self.run() => {}
        }
    }

    async fn run(&mut self) {
        loop {
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.end(ended),
                asked = self.asked.recv(), if self.running.len() < IN_FLIGHT_MAX => match asked {
                    Some(id) => self.begin(id),
                    None => return,
                },
            }
        }
    }

    fn begin(&mut self, id: String) {
        let (lookup, of) = (Arc::clone(&self.lookup), id.clone());
        let task = self.running.spawn(async move { lookup.run(&of).await });
        self.ids.insert(task.id(), id);
    }

    fn end(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(panic) => (panic.id(), Outcome::Failed("the look-up ended by a panic".into())),
        };
        let Some(id) = self.ids.remove(&task) else { return };
        let count = match &outcome {
            Outcome::Found(_) => &self.tally.found,
            Outcome::Unknown(_) => &self.tally.unknown,
            Outcome::Failed(_) => &self.tally.failed,
        };
        count.add();
        // There is room: whoever asks counts what is not fetched.
        let _ = self.answers.try_send(outcome.answer(id));
    }
}
