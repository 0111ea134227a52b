//! weir's own messages: to standard error, as text or JSON, never able to steer a terminal or to forge a message.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat, LogLevel};
use crate::terminal::escape;

/// Starts the messages of this process; a second call changes nothing.
pub fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Colours are escape sequences; without them, everything that looks like one is foreign and gets escaped.
    let messages = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(level)))
        .with_ansi(false)
        .with_target(false)
        .with_writer(Lines);
    let _ = match log.format {
        LogFormat::Text => messages.try_init(),
        LogFormat::Json => messages.json().flatten_event(true).try_init(),
    };
}

/// Client libraries tell every step and every attempt; the sinks say in their own words what matters, once.
fn directives(level: LevelFilter) -> String {
    if level <= LevelFilter::INFO { format!("{level},async_nats=off") } else { level.to_string() }
}

/// Stands in front of the further lines of a message (a verifier's log), so that none can pass for a message.
const CONTINUED: &str = "    | ";

/// Writes each message with what is foreign in it escaped.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Line<io::Stderr>;

    fn make_writer(&self) -> Self::Writer {
        Line(io::stderr())
    }
}

/// The subscriber hands over a whole message with its line end at once.
struct Line<W>(W);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let message = text.strip_suffix('\n').unwrap_or(&text);
        let mut lines = String::with_capacity(bytes.len() + CONTINUED.len());
        for (i, line) in message.split('\n').enumerate() {
            lines.push_str(if i == 0 { "" } else { CONTINUED });
            lines.push_str(&escape(line));
            lines.push('\n');
        }
        self.0.write_all(lines.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_control_characters_and_its_further_lines_are_marked() {
        let mut out = Vec::new();
        Line(&mut out).write_all(b"opened \x1b[31mred\nERROR forged\n").expect("memory takes everything");
        assert_eq!(String::from_utf8_lossy(&out), "opened \\x1b[31mred\n    | ERROR forged\n");
    }
}
