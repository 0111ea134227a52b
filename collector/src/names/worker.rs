//! The thread that looks up: a few ids at a time, those of root first.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::answer::Answer;
use super::counts::Tally;
use super::lookup::{Lookup, Outcome};
use super::queue::{Question, Queue, Rank};

/// What the thread has.
pub(super) struct Worker {
    lookup: Arc<Lookup>,
    asked: mpsc::Receiver<Question>,
    answers: mpsc::Sender<(Answer, Rank)>,
    tally: Arc<Tally>,
    running: JoinSet<Outcome>,
    /// Whom the running ones are for.
    questions: HashMap<Id, Question>,
    queue: Queue,
}

impl Worker {
    pub(super) fn new(
        lookup: Lookup,
        asked: mpsc::Receiver<Question>,
        answers: mpsc::Sender<(Answer, Rank)>,
        tally: Arc<Tally>,
    ) -> Worker {
        let (running, questions, queue) = (JoinSet::new(), HashMap::new(), Queue::default());
        Worker { lookup: Arc::new(lookup), asked, answers, tally, running, questions, queue }
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
            while let Some(question) = self.queue.next() {
                self.begin(question);
            }
            // What waits here is bounded by whoever asks.
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.end(ended),
                asked = self.asked.recv() => match asked {
                    Some(question) => self.queue.push(question),
                    None => return,
                },
            }
        }
    }

    fn begin(&mut self, question: Question) {
        let (lookup, id, rank) = (Arc::clone(&self.lookup), question.id.clone(), question.rank());
        let task = self.running.spawn(async move { lookup.run(&id, rank).await });
        self.questions.insert(task.id(), question);
    }

    fn end(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(panic) => (panic.id(), Outcome::Failed("the look-up ended by a panic".into())),
        };
        let Some(question) = self.questions.remove(&task) else { return };
        self.queue.ended(&question);
        let count = match &outcome {
            Outcome::Found(_) => &self.tally.found,
            Outcome::Unknown(_) => &self.tally.unknown,
            Outcome::Failed(_) => &self.tally.failed,
        };
        count.add();
        // There is room: whoever asks counts what is not fetched.
        let rank = question.rank();
        let _ = self.answers.try_send((outcome.answer(question.id), rank));
    }
}
