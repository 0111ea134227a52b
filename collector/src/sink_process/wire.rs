//! The messages between the collector and the process of a sink.
//!
//! A message is the length of its body (u32), its kind (u32), and the body. Bodies are JSON, but for those of writes (epoch and
//! number, u64 each, then frames of the spool) and of letters (length of the JSON as u64, the JSON, the payload).

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use weir_sinks::{Progress, SinkError, Tally};

use super::letters::LetterHead;
use super::logs::Level;
use super::open::Opening;

/// Bytes in front of a body.
pub const HEADER_BYTES: usize = 8;
/// Bytes in front of the frames of a write.
pub const WRITE_BYTES: usize = 16;
/// Longest JSON that is believed; a progress names every CPU and action.
pub const JSON_BYTES_MAX: usize = 16 << 20;
/// Longest payload of a letter: the largest message that can be configured, and a row that is larger by itself.
pub const LETTER_BYTES_MAX: usize = (64 << 20) + (1 << 20);
/// Bytes that are made room for before they have come.
const READ_STEP: usize = 1 << 20;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON.
    Json = 1,
    /// A write, to the process.
    Write = 2,
    /// A letter, from it.
    Letter = 3,
}

/// What the process is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Become this sink.
    Open(Box<Opening>),
    /// What comes is of this stream.
    Begin {
        /// Column `host`.
        host: String,
        /// Column `boot_id`.
        boot_id: String,
        /// Column `epoch`.
        epoch: i64,
    },
    /// Flush what was written in this epoch.
    Flush {
        /// Of the error that the asker knows last.
        epoch: u64,
        /// Of the question.
        id: u64,
        /// What is flushed.
        progress: Box<Progress>,
    },
    /// How far does the destination's data go?
    ReadBack {
        /// Of the question.
        id: u64,
    },
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// It is the sink that it was asked to be.
    Opened,
    /// It cannot be.
    NotOpened(Failure),
    /// Writes that the sink took, or dropped behind an error, since the start.
    Taken(u64),
    /// The sink does not take the next write yet, and is asked again and again.
    Waits(String),
    /// The sink dropped everything: what was sent before this epoch is known is dropped too.
    Failed {
        /// From here on.
        epoch: u64,
        /// Why.
        failure: Failure,
    },
    /// Flushed.
    Flushed {
        /// Of the question.
        id: u64,
        /// Rows that were refused for ever.
        refused: Vec<Tally>,
    },
    /// The flush is not over.
    NotYet {
        /// Of the question.
        id: u64,
        /// Why.
        text: String,
    },
    /// What the destination holds.
    Holds {
        /// Of the question.
        id: u64,
        /// Its last progress, or that it cannot be asked.
        found: Result<Option<Box<Progress>>, Failure>,
    },
    /// A message for people.
    Log {
        /// How bad.
        level: Level,
        /// The text.
        text: String,
    },
}

/// A [`SinkError`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    kind: ErrorKind,
    /// What happened.
    pub text: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum ErrorKind {
    Retry,
    Wait,
    Refused,
    Fatal,
    Gone,
}

impl From<&SinkError> for Failure {
    fn from(error: &SinkError) -> Failure {
        let kind = match error {
            SinkError::Retry(_) => ErrorKind::Retry,
            SinkError::Wait(_) => ErrorKind::Wait,
            SinkError::Refused(_) => ErrorKind::Refused,
            SinkError::Fatal(_) => ErrorKind::Fatal,
            SinkError::Gone(_) => ErrorKind::Gone,
        };
        Failure { kind, text: error.to_string() }
    }
}

impl From<Failure> for SinkError {
    fn from(Failure { kind, text }: Failure) -> SinkError {
        match kind {
            ErrorKind::Retry => SinkError::Retry(text),
            ErrorKind::Wait => SinkError::Wait(text),
            ErrorKind::Refused => SinkError::Refused(text),
            ErrorKind::Fatal => SinkError::Fatal(text),
            ErrorKind::Gone => SinkError::Gone(text),
        }
    }
}

/// A message with JSON.
///
/// # Errors
/// When it cannot be written as JSON, such as a path that is no UTF-8.
pub fn json(body: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut message, body)?;
    finish(&mut message, Kind::Json)?;
    Ok(message)
}

/// A message with a letter.
///
/// # Errors
/// When it is longer than a message can be.
pub fn letter(head: &LetterHead, payload: &[u8]) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let mut message = vec![0; HEADER_BYTES];
    message.extend_from_slice(&(head.len() as u64).to_le_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(payload);
    finish(&mut message, Kind::Letter)?;
    Ok(message)
}

/// Writes the header of a message whose body is complete.
///
/// # Errors
/// When it is longer than a message can be.
pub fn finish(message: &mut [u8], kind: Kind) -> io::Result<()> {
    let len = u32::try_from(message.len() - HEADER_BYTES).map_err(|_| bad("a message is too long"))?;
    message[..4].copy_from_slice(&len.to_le_bytes());
    message[4..HEADER_BYTES].copy_from_slice(&(kind as u32).to_le_bytes());
    Ok(())
}

/// Kind and length of the message that comes next; `None` when nothing comes any more.
///
/// # Errors
/// When the stream fails, or what stands there is no header.
pub fn next(stream: &mut impl Read) -> io::Result<Option<(Kind, usize)>> {
    let mut header = [0; HEADER_BYTES];
    let mut read = 0;
    while read < header.len() {
        match stream.read(&mut header[read..]) {
            Ok(0) if read == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let kind = match word(4) {
        1 => Kind::Json,
        2 => Kind::Write,
        3 => Kind::Letter,
        _ => return Err(bad("a message of an unknown kind")),
    };
    Ok(Some((kind, word(0) as usize)))
}

/// A body. Memory is taken for what has come, not for what is announced.
///
/// # Errors
/// When it is longer than `most`, or ends too early.
pub fn body(stream: &mut impl Read, len: usize, most: usize) -> io::Result<Vec<u8>> {
    if len > most {
        return Err(bad(format!("a message of {len} bytes, where at most {most} can be")));
    }
    let mut body = Vec::with_capacity(len.min(READ_STEP));
    stream.take(len as u64).read_to_end(&mut body)?;
    if body.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

/// A letter's head and its payload.
///
/// # Errors
/// When it is none.
pub fn split_letter(body: &[u8]) -> io::Result<(LetterHead, &[u8])> {
    let torn = || bad("a letter is not whole");
    let (len, rest) = body.split_first_chunk::<8>().ok_or_else(torn)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok().filter(|len| *len <= rest.len()).ok_or_else(torn)?;
    let (head, payload) = rest.split_at(len);
    Ok((serde_json::from_slice(head)?, payload))
}

/// What is not what was agreed on.
pub fn bad(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_error_of_a_sink_is_the_same_behind_the_socket() {
        let text = || "no".to_owned();
        for error in [
            SinkError::Retry(text()),
            SinkError::Wait(text()),
            SinkError::Refused(text()),
            SinkError::Fatal(text()),
            SinkError::Gone(text()),
        ] {
            let sent = json(&Said::NotOpened(Failure::from(&error))).unwrap();
            let Said::NotOpened(failure) = serde_json::from_slice(&sent[HEADER_BYTES..]).unwrap() else { panic!() };
            assert_eq!(format!("{:?}", SinkError::from(failure)), format!("{error:?}"));
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory_before_it_has_come() {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        header[4] = Kind::Letter as u8;
        let (kind, len) = next(&mut &header[..]).unwrap().unwrap();
        assert_eq!((kind, len), (Kind::Letter, u32::MAX as usize));
        assert_eq!(body(&mut &b""[..], len, LETTER_BYTES_MAX).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let error = body(&mut &b"abc"[..], LETTER_BYTES_MAX, LETTER_BYTES_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut stream = &bytes[..];
            if let Ok(Some((kind, len))) = next(&mut stream)
                && let Ok(body) = body(&mut stream, len, JSON_BYTES_MAX)
            {
                match kind {
                    Kind::Letter => drop(split_letter(&body)),
                    _ => drop(serde_json::from_slice::<Said>(&body)),
                }
            }
        }
    }
}
