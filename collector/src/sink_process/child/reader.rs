//! The thread that reads ahead: decodes what is written while the sink works, and notices when the collector is gone.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use arrow_buffer::{Buffer, MutableBuffer};
use crossbeam_channel::{Receiver, Sender, bounded};
use weir_sinks::{Cut, Identity};

use super::super::wire::{self, Ask, JSON_BYTES_MAX, Kind, WRITE_BYTES, bad};
use super::super::{END_WAIT, WINDOW_WRITES};
use crate::spool::frame::{Decoder, HEADER_BYTES, Header, Kind as FrameKind, Schemas};

/// Writes and questions that wait: as many writes as may be on their way, and some questions.
const QUEUE: usize = WINDOW_WRITES + 64;
/// The collector is gone, or sent what cannot be read, and the sink does not come back.
const EXIT_STUCK: i32 = 2;

/// What there is to do.
pub enum Work {
    /// Rows of a cut.
    Write {
        /// Of the last error that the writer knew.
        epoch: u64,
        /// Of the write.
        number: u64,
        /// The rows.
        cut: Box<Cut>,
    },
    /// A question.
    Ask(Ask),
}

/// What was read and is not done.
pub struct Queue {
    work: Receiver<Work>,
    over: Arc<AtomicBool>,
}

impl Queue {
    /// The next piece; `None` when the collector is gone.
    pub fn next(&self) -> Option<Work> {
        self.work.recv().ok().filter(|_| !self.is_over())
    }

    /// Whether nobody waits for anything any more.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Starts to read.
///
/// # Errors
/// When the system refuses a thread.
pub fn start(stream: File) -> io::Result<Queue> {
    let (work, queue) = bounded(QUEUE);
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    thread::Builder::new().name("reader".into()).spawn(move || {
        let mut reader =
            Reader { stream, schemas: Schemas::default(), decoder: Decoder::default(), identity: nobody() };
        let read = reader.run(&work);
        if let Err(error) = &read {
            tracing::error!("what the collector sent cannot be read: {error}");
        }
        is_over.store(true, Ordering::Relaxed);
        drop(work);
        // The sink may be in the middle of a long call, for nobody.
        thread::sleep(END_WAIT);
        std::process::exit(EXIT_STUCK);
    })?;
    Ok(Queue { work: queue, over })
}

fn nobody() -> Identity {
    Identity { host: Arc::from(""), boot_id: Arc::from(""), epoch: 0 }
}

struct Reader {
    stream: File,
    schemas: Schemas,
    decoder: Decoder,
    identity: Identity,
}

impl Reader {
    fn run(&mut self, queue: &Sender<Work>) -> io::Result<()> {
        while let Some((kind, len)) = wire::next(&mut self.stream)? {
            let work = match kind {
                Kind::Json => {
                    let ask = serde_json::from_slice(&wire::body(&mut self.stream, len, JSON_BYTES_MAX)?)?;
                    if let Ask::Begin { host, boot_id, epoch } = &ask {
                        let (host, boot_id) = (host.as_str().into(), boot_id.as_str().into());
                        self.identity = Identity { host, boot_id, epoch: *epoch };
                    }
                    Work::Ask(ask)
                }
                Kind::Write => self.write(len)?,
                Kind::Letter => return Err(bad("a letter")),
            };
            if queue.send(work).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Whole frames; only the last one is a cut.
    fn write(&mut self, len: usize) -> io::Result<Work> {
        use std::io::Read;
        let torn = || bad("a write is not whole");
        let mut bytes = MutableBuffer::from_len_zeroed(len);
        self.stream.read_exact(bytes.as_slice_mut())?;
        let bytes = Buffer::from(bytes);
        let word = |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let (epoch, number) = word(0).zip(word(8)).ok_or_else(torn)?;
        let mut at = WRITE_BYTES;
        loop {
            let header = bytes.get(at..).and_then(Header::read).ok_or_else(torn)?;
            let whole = HEADER_BYTES + header.len as usize;
            let frame = bytes.get(at..at + whole).filter(|frame| header.is_whole(frame)).ok_or_else(torn)?;
            match header.kind {
                FrameKind::Schema => self.schemas.read(header.number, &frame[HEADER_BYTES..])?,
                FrameKind::Cut => {
                    let frame = bytes.slice_with_length(at, whole);
                    let cut = self.decoder.cut(&header, &frame, &self.identity, &self.schemas)?;
                    return Ok(Work::Write { epoch, number, cut: Box::new(cut) });
                }
            }
            at += usize::try_from(header.frame_bytes()).map_err(|_| torn())?;
        }
    }
}
