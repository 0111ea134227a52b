//! The lines of a control connection: JSON, with a limit on each.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a request, with its line end.
pub const REQUEST_BYTES_MAX: usize = 4 << 10;
/// Bytes of one line of an answer, with its line end. A status of a hundred CPUs and sinks is below 1 MiB.
pub const REPLY_BYTES_MAX: usize = 16 << 20;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum ControlCommand {
    /// What runs, and how it is.
    Status,
    /// Read the configuration again.
    Reload,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub enum Reply {
    /// It goes on; another line follows.
    Working,
    /// The status.
    Status {
        /// See [`crate::operate::status_json`].
        status: Value,
    },
    /// The configuration was read again.
    Reloaded {
        /// What has changed.
        done: String,
    },
    /// It was not done.
    Failed {
        /// Why not.
        error: String,
    },
}

/// A value as one line.
///
/// # Errors
/// It is longer than `bytes_max`.
pub fn line(value: &impl Serialize, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    if line.len() > bytes_max {
        return Err(io::Error::other(format!("the line has {} bytes, and {bytes_max} are the limit", line.len())));
    }
    Ok(line)
}

/// Writes a value as one line.
///
/// # Errors
/// It is too long, or the other end is gone.
pub fn write_line(stream: &mut impl Write, value: &impl Serialize, bytes_max: usize) -> io::Result<()> {
    stream.write_all(&line(value, bytes_max)?)?;
    stream.flush()
}

/// Reads one line; `None` at the end of the stream.
///
/// # Errors
/// The line is too long, is no such value, or does not come in time.
pub fn read_line<T: for<'a> Deserialize<'a>>(stream: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    stream.take(bytes_max as u64).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) if line.len() >= bytes_max => Err(io::Error::other(format!("a line is longer than {bytes_max} bytes"))),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_and_what_is_none_is_an_error() {
        for value in [ControlCommand::Status, ControlCommand::Reload] {
            let bytes = line(&value, REQUEST_BYTES_MAX).expect("short");
            assert_eq!(read_line::<ControlCommand>(&mut &bytes[..], REQUEST_BYTES_MAX).expect("a line"), Some(value));
        }
        assert_eq!(read_line::<ControlCommand>(&mut &b""[..], 64).expect("the end"), None);
        let long = [b'x'; 100];
        for bytes in [&b"{\"command\":\"status\"}"[..], b"{\"command\":\"detach\"}\n", b"\xff\n", b"{}\n", &long] {
            assert!(read_line::<ControlCommand>(&mut &bytes[..], 64).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn no_more_than_the_limit_is_read_of_an_endless_line() {
        let mut endless = io::BufReader::with_capacity(16, io::repeat(b'x'));
        let error = read_line::<Reply>(&mut endless, 1000).expect_err("no end");
        assert!(error.to_string().contains("longer than 1000 bytes"), "{error}");
    }
}
