//! Hears what the process of a sink says, and believes nothing of it: what was not asked for, or cannot be, ends the process.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use weir_schema::CLASSES;
use weir_sinks::{DeadLetters, PayloadFormat, Tally};

use super::END_WAIT;
use super::ended::reap;
use super::inbox::{Answer, Inbox, Known};
use super::letters::short;
use super::logs::Speaker;
use super::wire::{self, Failure, JSON_BYTES_MAX, Kind, LETTER_BYTES_MAX, Said, bad};

/// Highest number of a CPU that any kernel has.
const CPU_MAX: i32 = 8191;
/// Lowest number in the column `cpu`: rows that a lane makes.
const CPU_MIN: i32 = -2;

/// One process, as it is heard.
pub struct Listener {
    /// By which it is killed.
    pub pidfd: Arc<OwnedFd>,
    /// The process.
    pub child: Child,
    /// Where the lane looks.
    pub inbox: Arc<Inbox>,
    /// Files of refused messages.
    pub letters: Arc<Mutex<DeadLetters>>,
    /// Form of the messages.
    pub format: PayloadFormat,
    /// Says what it says.
    pub speaker: Speaker,
}

impl Listener {
    /// Listens until the process has ended, and reaps it.
    pub fn run(mut self, socket: OwnedFd) {
        let heard = self.listen(&mut BufReader::new(File::from(socket)));
        if heard.is_err() || !self.ends_by_itself() {
            // It has ended already, or has no more to say that anybody would believe.
            let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
        }
        let how = reap(&mut self.child);
        let text = match heard {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                format!("the process of the sink said what no sink says ({}) and was ended", short(&error.to_string()))
            }
            _ => format!("the process of the sink ended {how}"),
        };
        self.inbox.change(|known| known.ended = Some(text));
    }

    fn ends_by_itself(&self) -> bool {
        let deadline = Instant::now() + END_WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&mut [PollFd::new(&*self.pidfd, PollFlags::IN)], Timespec::try_from(left).ok().as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                found => return found.is_ok_and(|ready| ready > 0),
            }
        }
    }

    fn listen(&mut self, stream: &mut impl io::Read) -> io::Result<()> {
        while let Some((kind, len)) = wire::next(stream)? {
            match kind {
                Kind::Json => {
                    let said = serde_json::from_slice(&wire::body(stream, len, JSON_BYTES_MAX)?)?;
                    self.hear(said)?;
                }
                Kind::Letter => self.keep(&wire::body(stream, len, LETTER_BYTES_MAX)?)?,
                Kind::Write => return Err(bad("rows")),
            }
        }
        Ok(())
    }

    fn keep(&mut self, body: &[u8]) -> io::Result<()> {
        let (head, payload) = wire::split_letter(body)?;
        self.inbox.change(|known| {
            known.heard = Instant::now();
            let rows =
                known.rows_refused.checked_add(head.rows as u64).filter(|rows| head.rows > 0 && *rows <= known.rows);
            known.rows_refused = rows.ok_or_else(|| bad("more rows were refused than were sent"))?;
            io::Result::Ok(())
        })?;
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        head.keep(payload, self.format, &mut letters).ok_or_else(|| bad("a letter of no class"))
    }

    fn hear(&mut self, said: Said) -> io::Result<()> {
        if let Said::Log { level, text } = said {
            self.speaker.say(level, &text);
            return Ok(());
        }
        self.inbox.change(|known| {
            known.heard = Instant::now();
            known.hear(said)
        })
    }
}

impl Known {
    fn hear(&mut self, said: Said) -> io::Result<()> {
        match said {
            Said::Opened | Said::NotOpened(_) if self.opened.is_some() => return Err(bad("it was opened twice")),
            Said::Opened => self.opened = Some(Ok(())),
            Said::NotOpened(failure) => self.opened = Some(Err(failure.harmless())),
            Said::Taken(taken) => {
                let more = taken.checked_sub(self.taken).and_then(|more| usize::try_from(more).ok());
                let more = more.filter(|more| *more <= self.on_their_way.len());
                let more = more.ok_or_else(|| bad("it took writes that nobody sent"))?;
                self.bytes -= self.on_their_way.drain(..more).sum::<usize>();
                (self.taken, self.waits) = (taken, None);
            }
            Said::Waits(text) => self.waits = Some(short(&text)),
            Said::Failed { epoch, failure } => {
                if epoch != self.epoch + 1 || self.failed.is_some() {
                    return Err(bad("an error out of turn"));
                }
                // What was asked for is answered by this.
                (self.epoch, self.asked, self.answer) = (epoch, None, None);
                self.failed = Some(failure.harmless());
            }
            Said::Flushed { id, refused } => {
                if !refused.iter().all(is_possible) {
                    return Err(bad("refused numbers that no row can have"));
                }
                self.answer(id, Answer::Flushed(refused))?;
            }
            Said::NotYet { id, text } => self.answer(id, Answer::NotYet(short(&text)))?,
            Said::Holds { id, found } => self.answer(id, Answer::Holds(found.map_err(Failure::harmless)))?,
            Said::Log { .. } => {}
        }
        Ok(())
    }

    /// An answer to a question that nobody waits for any more is dropped.
    fn answer(&mut self, id: u64, answer: Answer) -> io::Result<()> {
        match self.asked {
            Some(asked) if id == asked => (self.asked, self.answer) = (None, Some(answer)),
            Some(asked) if id > asked => return Err(bad("an answer without a question")),
            _ => {}
        }
        Ok(())
    }
}

impl Failure {
    /// With a text that people can be shown.
    fn harmless(mut self) -> Failure {
        self.text = short(&self.text);
        self
    }
}

/// Whether rows can have these numbers. What is refused is at most what was written, which the lane's side looks at.
fn is_possible(tally: &Tally) -> bool {
    let Tally { cpu, action, first_seq, last_seq, count } = *tally;
    let known = action == 0 || CLASSES.iter().any(|class| class.actions.iter().any(|a| a.id == action));
    let span = last_seq.checked_sub(first_seq).and_then(|span| span.checked_add(1));
    known && (CPU_MIN..=CPU_MAX).contains(&cpu) && first_seq >= 0 && count > 0 && span.is_some_and(|span| count <= span)
}
