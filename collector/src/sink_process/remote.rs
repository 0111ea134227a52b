//! The collector's side: a [`Sink`] whose work is done by a process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_sinks::{Batch, Cut, DeadLetters, Identity, PayloadFormat, Progress, Receipt, Sink, SinkError};

use super::inbox::Answer;
use super::logs::Speaker;
use super::open::Opening;
use super::spawn::Program;
use super::wire::{self, Ask};
use super::{ANSWER_MARGIN, LIVED_WELL, RESTART_WAIT_MAX, RESTART_WAIT_MIN, WINDOW_BYTES, WINDOW_WRITES};

mod running;

use running::Running;

/// What the process is and how long its sink may take.
struct Terms {
    name: String,
    /// The message that opens it, secrets included.
    opening: Vec<u8>,
    program: Program,
    format: PayloadFormat,
    flush_period: Duration,
    write_wait: Duration,
    flush_wait: Duration,
    silence_max: Duration,
    reads_back: bool,
}

/// When the next process may be started.
struct Restarts {
    deaths: u64,
    wait: Duration,
    not_before: Option<Instant>,
}

impl Restarts {
    /// Behind the end of a process that lived for so long.
    fn put_off(&mut self, lived: Duration) {
        let doubled = (self.wait * 2).clamp(RESTART_WAIT_MIN, RESTART_WAIT_MAX);
        self.wait = if lived >= LIVED_WELL { RESTART_WAIT_MIN } else { doubled };
        self.not_before = Some(Instant::now() + self.wait);
    }
}

/// See the module.
pub struct RemoteSink {
    terms: Terms,
    letters: Arc<Mutex<DeadLetters>>,
    running: Option<Running>,
    restarts: Restarts,
    stream: Option<Identity>,
    /// A flush whose answer died with its process, where the destination can say what became of it.
    unanswered: Option<Progress>,
    /// Rows written since the last flush.
    rows: u64,
}

impl RemoteSink {
    /// Starts the process and waits until it is the sink. Files of dead letters are given to `owner`.
    ///
    /// # Errors
    /// [`SinkError::Fatal`] for options that can never work; [`SinkError::Retry`] when there is no process to be had. One that
    /// dies before it answers is followed by another, as later: a broker may answer nonsense before the sink is open.
    pub fn open(opening: &Opening, program: Program, owner: Option<(u32, u32)>) -> Result<RemoteSink, SinkError> {
        let broker = &opening.broker;
        let message = wire::json(&Ask::Open(Box::new(opening.clone())));
        let terms = Terms {
            name: broker.name().to_owned(),
            opening: message.map_err(|error| SinkError::Fatal(format!("tell the sink its options: {error}")))?,
            program,
            format: broker.format(),
            flush_period: broker.flush_period(),
            write_wait: broker.write_wait(),
            flush_wait: broker.flush_wait(),
            silence_max: broker.silence_max(),
            reads_back: broker.reads_back(),
        };
        let mut sink = RemoteSink {
            terms,
            letters: Arc::new(Mutex::new(broker.dead_letters(owner))),
            running: None,
            restarts: Restarts { deaths: 0, wait: Duration::ZERO, not_before: None },
            stream: None,
            unanswered: None,
            rows: 0,
        };
        match sink.start() {
            Err(_) if sink.restarts.deaths > 0 => Ok(sink),
            started => started.map(|()| sink),
        }
    }

    /// Process id of the sink, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// The process, started if there is none.
    fn running(&mut self) -> Result<&mut Running, SinkError> {
        if self.running.is_none() {
            self.start()?;
        }
        self.running.as_mut().ok_or_else(|| SinkError::Retry("there is no process".to_owned()))
    }

    fn start(&mut self) -> Result<(), SinkError> {
        let now = Instant::now();
        if let Some(at) = self.restarts.not_before.filter(|at| now < *at) {
            let wait = at - now;
            return Err(SinkError::Retry(format!(
                "the process of the sink is started again in {:.1} s",
                wait.as_secs_f64()
            )));
        }
        let speaker = Speaker::new(&self.terms.name);
        let running = Running::start(&self.terms, Arc::clone(&self.letters), speaker);
        let mut running =
            running.map_err(|error| SinkError::Retry(format!("start a process for the sink: {error}")))?;
        let opened = running.open(&self.terms.opening, self.terms.silence_max);
        let opened = match opened {
            // What was right once can be right again.
            Some(Err(failure)) if self.restarts.deaths > 0 => {
                self.restarts.put_off(Duration::ZERO);
                return Err(SinkError::Retry(failure.text));
            }
            Some(Err(failure)) => return Err(failure.into()),
            opened => opened.is_some(),
        };
        self.running = Some(running);
        if !opened {
            return Err(self.died());
        }
        if let Some(stream) = self.stream.clone() {
            self.tell(&stream)?;
        }
        Ok(())
    }

    fn tell(&mut self, stream: &Identity) -> Result<(), SinkError> {
        let Identity { host, boot_id, epoch } = stream;
        let ask = Ask::Begin { host: host.to_string(), boot_id: boot_id.to_string(), epoch: *epoch };
        self.ask(&ask)
    }

    fn ask(&mut self, ask: &Ask) -> Result<(), SinkError> {
        let message = wire::json(ask).map_err(|error| SinkError::Retry(format!("ask the sink: {error}")))?;
        self.send(&message)
    }

    fn send(&mut self, message: &[u8]) -> Result<(), SinkError> {
        let silence_max = self.terms.silence_max;
        if self.running()?.send(message, silence_max) { Ok(()) } else { Err(self.died()) }
    }

    /// The process is over, or is ended now: says how, and when there is another.
    fn died(&mut self) -> SinkError {
        self.rows = 0;
        let Some(running) = self.running.take() else { return SinkError::Retry("there is no process".to_owned()) };
        let lived = running.lived();
        let text = running.end();
        self.restarts.deaths += 1;
        self.restarts.put_off(lived);
        tracing::warn!(sink = self.terms.name, restarts = self.restarts.deaths, "{text}; another takes its place");
        SinkError::Retry(text)
    }

    /// Looks at what happened since the last call.
    fn look(&mut self) -> Result<(), SinkError> {
        let silence_max = self.terms.silence_max;
        let running = self.running()?;
        let found = running.inbox.change(|known| {
            let silent = known.is_owed() && known.heard.elapsed() > silence_max;
            let failed = known.failed.take();
            if failed.is_some() {
                // A question that crossed the error on its way is answered by it.
                known.asked = None;
            }
            (failed.map(|failure| (failure, known.epoch)), known.ended.is_some(), silent)
        });
        match found {
            (Some((failure, epoch)), ..) => {
                running.forget(epoch);
                self.rows = 0;
                Err(failure.into())
            }
            (None, true, _) => Err(self.died()),
            (None, false, true) => {
                running.is_silent(silence_max);
                Err(self.died())
            }
            (None, false, false) => Ok(()),
        }
    }

    /// Room for one more write.
    fn wait_for_room(&mut self) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.terms.write_wait;
        let room = self.running()?.inbox.wait(deadline, |known| {
            let room = known.bytes < WINDOW_BYTES && known.on_their_way.len() < WINDOW_WRITES;
            (room || known.failed.is_some() || known.ended.is_some()).then_some(())
        });
        self.look()?;
        if room.is_some() {
            return Ok(());
        }
        let why = self.running()?.inbox.lock().waits.clone();
        Err(SinkError::Wait(why.unwrap_or_else(|| "the process of the sink is behind".to_owned())))
    }

    /// The answer to the question that was asked last.
    fn answer(&mut self, wait: Duration) -> Result<Option<Answer>, SinkError> {
        let answer = self.running()?.inbox.wait(Instant::now() + wait, |known| match known.answer.take() {
            Some(answer) => Some(Some(answer)),
            None => (known.failed.is_some() || known.ended.is_some()).then_some(None),
        });
        match answer {
            Some(Some(answer)) => Ok(Some(answer)),
            _ => self.look().map(|()| None),
        }
    }

    fn ask_back(&mut self) -> Result<Option<Progress>, SinkError> {
        self.look()?;
        let id = self.running()?.question();
        self.ask(&Ask::ReadBack { id })?;
        match self.answer(self.terms.silence_max)? {
            Some(Answer::Holds(found)) => Ok(found.map_err(SinkError::from)?.map(|progress| *progress)),
            Some(_) => Err(SinkError::Retry("the sink answered something else".to_owned())),
            None => {
                let silence_max = self.terms.silence_max;
                self.running()?.is_silent(silence_max);
                Err(self.died())
            }
        }
    }

    /// Asks the destination whether a flush happened that nobody answered. Not known yet: the rows are still the lane's.
    fn find_out(&mut self, progress: &Progress) -> Result<Option<Receipt>, SinkError> {
        let Some(unanswered) = self.unanswered.take() else { return Ok(None) };
        if unanswered != *progress {
            return Ok(None);
        }
        match self.ask_back() {
            Ok(found) if found.as_ref() == Some(progress) => Ok(Some(Receipt::default())),
            Ok(_) => Err(SinkError::Retry("the process of the sink died before its flush".to_owned())),
            Err(SinkError::Retry(text) | SinkError::Wait(text)) => {
                self.unanswered = Some(unanswered);
                Err(SinkError::Wait(text))
            }
            Err(other) => Err(other),
        }
    }

    fn try_flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        self.look()?;
        let running = self.running()?;
        if !running.is_asked(progress) {
            let (id, epoch) = (running.question(), running.epoch());
            running.asks(progress);
            self.ask(&Ask::Flush { epoch, id, progress: Box::new(progress.clone()) })?;
        }
        match self.answer(self.terms.flush_wait.saturating_add(ANSWER_MARGIN))? {
            Some(Answer::Flushed(refused)) => {
                let count: u64 = refused.iter().map(|tally| tally.count.unsigned_abs()).fold(0, u64::saturating_add);
                self.running()?.answered();
                if count > self.rows {
                    self.running()?.lies("more rows were refused than were written");
                    return Err(self.died());
                }
                self.rows = 0;
                Ok(Receipt { refused })
            }
            Some(Answer::NotYet(text)) => {
                self.running()?.answered();
                Err(SinkError::Wait(text))
            }
            Some(Answer::Holds(_)) => {
                self.running()?.lies("an answer to another question");
                Err(self.died())
            }
            None => {
                let why = self.running()?.inbox.lock().waits.clone();
                Err(SinkError::Wait(why.unwrap_or_else(|| "the process of the sink has not answered yet".to_owned())))
            }
        }
    }
}

impl Sink for RemoteSink {
    fn name(&self) -> &str {
        &self.terms.name
    }

    fn read_back(&mut self) -> Result<Option<Progress>, SinkError> {
        if self.terms.reads_back { self.ask_back() } else { Ok(None) }
    }

    fn begin(&mut self, stream: &Identity) -> Result<(), SinkError> {
        self.stream = Some(stream.clone());
        self.look()?;
        self.tell(stream)
    }

    fn flush_period(&self) -> Option<Duration> {
        Some(self.terms.flush_period)
    }

    fn process_restarts(&self) -> u64 {
        self.restarts.deaths
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.write_cut(&[batch])
    }

    fn write_cut(&mut self, batches: &[&Batch]) -> Result<(), SinkError> {
        self.unanswered = None;
        self.look()?;
        self.wait_for_room()?;
        let stream = self.stream.clone();
        let identity = stream.unwrap_or_else(|| Identity { host: "".into(), boot_id: "".into(), epoch: 0 });
        let cut = Cut {
            number: 0,
            identity,
            batches: batches.iter().copied().cloned().collect(),
            tallies: vec![],
            dropped: vec![],
            damaged: false,
            positions: vec![],
            clock_offset_ns: 0,
            last: false,
            resume: String::new(),
        };
        let rows = cut.rows() as u64;
        let silence_max = self.terms.silence_max;
        let sent = self.running()?.write(&cut, rows, silence_max);
        match sent {
            Ok(true) => {
                self.rows += rows;
                Ok(())
            }
            Ok(false) => Err(self.died()),
            Err(error) => {
                // The two sides do not agree any more on what was sent.
                self.died();
                Err(SinkError::Refused(format!("hand a cut to the process of the sink: {error}")))
            }
        }
    }

    /// The lane flushes by stream time.
    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        if let Some(receipt) = self.find_out(progress)? {
            return Ok(receipt);
        }
        let asked = self.restarts.deaths;
        let flushed = self.try_flush(progress);
        // Whether a commit was made that nobody could answer, the destination knows.
        if let Err(SinkError::Retry(text)) = &flushed
            && self.terms.reads_back
            && self.restarts.deaths > asked
        {
            self.unanswered = Some(progress.clone());
            return Err(SinkError::Wait(text.clone()));
        }
        flushed
    }
}
