//! Work on files that the reader of the rings wants done and never waits for: it asks, goes on, and takes the answer later.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Work in a thread of its own, which ends when this is dropped.
pub struct Errand<T> {
    ask: Sender<()>,
    answers: Receiver<T>,
    is_asked: bool,
}

impl<T: Send + 'static> Errand<T> {
    /// Starts the thread. Capabilities are those of the caller.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(name: &str, mut work: impl FnMut() -> T + Send + 'static) -> io::Result<Errand<T>> {
        // One question at a time: neither end ever waits for the other.
        let (ask, asked) = bounded(1);
        let (answer, answers) = bounded(1);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            for () in asked {
                if answer.send(work()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Errand { ask, answers, is_asked: false })
    }

    /// Asks for it, unless it is under way already.
    pub fn ask(&mut self) {
        if !self.is_asked {
            self.is_asked = self.ask.try_send(()).is_ok();
        }
    }

    /// Whether an answer is still to come.
    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// The answer, once.
    pub fn take(&mut self) -> Option<T> {
        let answer = self.answers.try_recv().ok()?;
        self.is_asked = false;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_is_asked_for_without_a_wait_and_answers_each_question_once() {
        let (go, may) = bounded::<u32>(1);
        let mut errand = Errand::start("errand", move || may.recv().unwrap_or(0)).expect("a thread");
        assert_eq!(errand.take(), None);
        for answer in [1, 2] {
            errand.ask();
            errand.ask();
            assert!(errand.is_asked() && errand.take().is_none(), "it is under way");
            go.send(answer).expect("the errand waits");
            let found = std::iter::repeat_with(|| {
                thread::yield_now();
                errand.take()
            });
            assert_eq!(found.flatten().next(), Some(answer));
            assert!(!errand.is_asked() && errand.take().is_none());
        }
    }
}
