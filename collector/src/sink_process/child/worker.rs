//! The loop that drives the real sink.

use std::thread;
use std::time::{Duration, Instant};

use weir_sinks::{Batch, Cut, Identity, Progress, Sink, SinkError};

use super::super::wire::{Ask, Failure, Said};
use super::Voice;
use super::reader::{Queue, Work};

/// Pause before a sink that did not take a write is asked again; it has waited by itself before it said so.
const AGAIN: Duration = Duration::from_millis(20);
/// How often the collector is told why a write waits.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// See the module.
pub struct Worker {
    sink: Box<dyn Sink>,
    voice: Voice,
    /// Number of the last error: what was sent before the collector knew it is dropped.
    epoch: u64,
    told: Option<Instant>,
}

impl Worker {
    /// For this sink.
    pub fn new(sink: Box<dyn Sink>, voice: Voice) -> Worker {
        Worker { sink, voice, epoch: 0, told: None }
    }

    /// Works until the collector has nothing more to ask, ever.
    pub fn run(mut self, queue: Queue) {
        while let Some(work) = queue.next() {
            match work {
                Work::Write { epoch, number, cut } => {
                    if epoch == self.epoch {
                        self.write(&cut, &queue);
                    }
                    self.voice.say(&Said::Taken(number));
                }
                Work::Ask(ask) => self.answer(ask),
            }
        }
    }

    fn write(&mut self, cut: &Cut, queue: &Queue) {
        let batches: Vec<&Batch> = cut.batches.iter().collect();
        loop {
            match self.sink.write_cut(&batches) {
                Ok(()) => return,
                Err(SinkError::Wait(text)) => self.wait(text),
                Err(error) => return self.fail(&error),
            }
            // Nobody is there to wait for.
            if queue.is_over() {
                return;
            }
        }
    }

    fn wait(&mut self, text: String) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            self.voice.say(&Said::Waits(text));
        }
        thread::sleep(AGAIN);
    }

    fn fail(&mut self, error: &SinkError) {
        self.epoch += 1;
        self.voice.say(&Said::Failed { epoch: self.epoch, failure: Failure::from(error) });
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Begin { host, boot_id, epoch } => {
                let stream = Identity { host: host.into(), boot_id: boot_id.into(), epoch };
                if let Err(error) = self.sink.begin(&stream) {
                    self.fail(&error);
                }
            }
            Ask::Flush { epoch, id, progress } if epoch == self.epoch => self.flush(id, &progress),
            // The error has answered it.
            Ask::Flush { .. } => {}
            Ask::ReadBack { id } => {
                let found = self.sink.read_back();
                let found = found.map(|found| found.map(Box::new)).map_err(|error| Failure::from(&error));
                self.voice.say(&Said::Holds { id, found });
            }
            Ask::Open(_) => tracing::error!("opened twice"),
        }
    }

    fn flush(&mut self, id: u64, progress: &Progress) {
        match self.sink.flush(progress) {
            Ok(receipt) => self.voice.say(&Said::Flushed { id, refused: receipt.refused }),
            Err(SinkError::Wait(text)) => self.voice.say(&Said::NotYet { id, text }),
            Err(error) => self.fail(&error),
        }
    }
}
