//! The side of whoever wants names.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use crate::privilege::{ASKS, confine};

use super::answer::Answer;
use super::counts::{Counts, Tally};
use super::limits::Limits;
use super::lookup::Lookup;
use super::queue::{Question, Rank};
use super::sockets::Sockets;
use super::worker::Worker;

/// Look-ups in a thread of their own. Dropped, it ends them.
pub struct Names {
    /// Taken when it ends.
    questions: Option<mpsc::Sender<Question>>,
    waiting: Mutex<Waiting>,
    waiting_max: usize,
    tally: Arc<Tally>,
    /// Its end tells the thread to end.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was asked for and not fetched yet. The thread that looks up never touches it.
struct Waiting {
    ids: HashMap<String, Rank>,
    /// How many of these are only claimed: in each place, and of each id its place.
    claims: HashMap<String, usize>,
    places: HashMap<String, String>,
    answers: mpsc::Receiver<(Answer, Rank)>,
}

impl Waiting {
    fn is_asked(&self, id: &str, rank: Rank) -> bool {
        self.ids.get(id).is_some_and(|asked| *asked == Rank::Root || rank == Rank::Claim)
    }

    /// Whether one more may wait. Claims have a room of their own, and each place a part of it.
    fn has_room(&self, question: &Question, max: usize) -> bool {
        match &question.claimed_in {
            None => self.ids.len() - self.places.len() < max,
            Some(place) => {
                let in_place = self.claims.get(place).copied().unwrap_or_default();
                self.places.len() < max.saturating_mul(2) && in_place < (max / 2).max(1)
            }
        }
    }

    fn insert(&mut self, question: Question) {
        self.remove(&question.id);
        self.ids.insert(question.id.clone(), question.rank());
        if let Some(place) = question.claimed_in {
            *self.claims.entry(place.clone()).or_default() += 1;
            self.places.insert(question.id, place);
        }
    }

    fn remove(&mut self, id: &str) {
        self.ids.remove(id);
        let Some(place) = self.places.remove(id) else { return };
        if let Some(count) = self.claims.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.claims.remove(&place);
            }
        }
    }

    /// Whether this answer is waited for. The same id can be asked for twice where root makes what was claimed before: then
    /// it is root's question that says that nobody knows it.
    fn is_awaited(&self, answer: &Answer, rank: Rank) -> bool {
        let asked = self.ids.get(answer.id());
        asked.is_some_and(|asked| *asked == rank || matches!(answer, Answer::Found(_)))
    }
}

impl Names {
    /// Starts the thread. No socket needs to be there: whoever is needed is connected to by a look-up.
    ///
    /// # Errors
    /// The system gives no thread or no event queue, or the path of a socket is no text.
    pub fn start(sockets: Sockets, limits: Limits) -> io::Result<Names> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let waiting_max = limits.waiting_max.max(1);
        // Those of root, and twice as many claims; an id can be asked for as both.
        let (questions, asked) = mpsc::channel(waiting_max.saturating_mul(3));
        let (answered, answers) = mpsc::channel(waiting_max.saturating_mul(6));
        let (stop, stopped) = oneshot::channel();
        let tally = Arc::new(Tally::default());
        let lookup = {
            let _inside = runtime.enter();
            Lookup::new(&sockets, limits)?
        };
        let worker = Worker::new(lookup, asked, answered, Arc::clone(&tally));
        let work = move || {
            confine("names", ASKS);
            runtime.block_on(worker.until(stopped));
        };
        let thread = thread::Builder::new().name("names".into()).spawn(work)?;
        let waiting =
            Mutex::new(Waiting { ids: HashMap::new(), claims: HashMap::new(), places: HashMap::new(), answers });
        let (questions, stop, thread) = (Some(questions), Some(stop), Some(thread));
        Ok(Names { questions, waiting, waiting_max, tally, stop, thread })
    }

    /// Asks for the names of a container. An id whose answer is not fetched yet is not asked for again. False: too many
    /// are waiting, and this one is dropped.
    pub fn ask(&self, id: &str) -> bool {
        self.take_on(Question { id: id.to_owned(), claimed_in: None })
    }

    /// The same for what only claims to be this container, in a place that others claim in too. It comes behind those that
    /// root made, and in turn with other places.
    pub fn ask_of_claim(&self, id: &str, place: &str) -> bool {
        self.take_on(Question { id: id.to_owned(), claimed_in: Some(place.to_owned()) })
    }

    fn take_on(&self, question: Question) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_asked(&question.id, question.rank()) {
            return true;
        }
        let taken_on = waiting.has_room(&question, self.waiting_max) && self.send(question.clone());
        if taken_on {
            waiting.insert(question);
        } else {
            self.tally.dropped.add();
        }
        taken_on
    }

    /// The answers that have come.
    pub fn take(&self) -> Vec<Answer> {
        let mut waiting = self.waiting();
        let mut answers = Vec::new();
        while let Ok((answer, rank)) = waiting.answers.try_recv() {
            if waiting.is_awaited(&answer, rank) {
                waiting.remove(answer.id());
                answers.push(answer);
            }
        }
        answers
    }

    /// Whether answers are still to be fetched.
    pub fn is_busy(&self) -> bool {
        !self.waiting().ids.is_empty()
    }

    /// What became of all ids so far.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    fn send(&self, question: Question) -> bool {
        // Before the thread can count what became of it.
        let sent = self.questions.as_ref().and_then(|questions| questions.try_reserve().ok());
        sent.is_some_and(|place| {
            self.tally.asked.add();
            place.send(question);
            true
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        drop(self.questions.take());
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that asks for names of containers ended by a panic");
        }
    }
}

#[cfg(test)]
mod tests;
