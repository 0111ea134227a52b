//! The side of whoever wants names.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use crate::privilege::{ASKS, confine};

use super::answer::Answer;
use super::counts::{Counts, Tally};
use super::limits::Limits;
use super::lookup::Lookup;
use super::sockets::Sockets;
use super::worker::Worker;

/// Look-ups in a thread of their own. Dropped, it ends them.
pub struct Names {
    /// Taken when it ends.
    questions: Option<mpsc::Sender<String>>,
    waiting: Mutex<Waiting>,
    waiting_max: usize,
    tally: Arc<Tally>,
    /// Its end tells the thread to end.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was asked for and not fetched yet. The thread that looks up never touches it.
struct Waiting {
    ids: HashSet<String>,
    answers: mpsc::Receiver<Answer>,
}

impl Names {
    /// Starts the thread. No socket needs to be there: whoever is needed is connected to by a look-up.
    ///
    /// # Errors
    /// The system gives no thread or no event queue, or the path of a socket is no text.
    pub fn start(sockets: Sockets, limits: Limits) -> io::Result<Names> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let waiting_max = limits.waiting_max.max(1);
        let (questions, asked) = mpsc::channel(waiting_max);
        let (answered, answers) = mpsc::channel(waiting_max);
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
        let waiting = Mutex::new(Waiting { ids: HashSet::new(), answers });
        let (questions, stop, thread) = (Some(questions), Some(stop), Some(thread));
        Ok(Names { questions, waiting, waiting_max, tally, stop, thread })
    }

    /// Asks for the names of a container. An id whose answer is not fetched yet is not asked for again. False: too many
    /// are waiting, and this one is dropped.
    pub fn ask(&self, id: &str) -> bool {
        let mut waiting = self.waiting();
        if waiting.ids.contains(id) {
            return true;
        }
        let taken_on = waiting.ids.len() < self.waiting_max && self.send(id);
        if taken_on {
            waiting.ids.insert(id.to_owned());
        } else {
            self.tally.dropped.add();
        }
        taken_on
    }

    /// The answers that have come.
    pub fn take(&self) -> Vec<Answer> {
        let mut waiting = self.waiting();
        let mut answers = Vec::new();
        while let Ok(answer) = waiting.answers.try_recv() {
            waiting.ids.remove(answer.id());
            answers.push(answer);
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

    fn send(&self, id: &str) -> bool {
        // Before the thread can count what became of it.
        let sent = self.questions.as_ref().and_then(|questions| questions.try_reserve().ok());
        sent.is_some_and(|place| {
            self.tally.asked.add();
            place.send(id.to_owned());
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
