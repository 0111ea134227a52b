//! Messages of the process for people: sent to the collector, which says them in its own log, so many and not more.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::child::Voice;
use super::letters::short;
use super::wire::{self, Said};
use crate::config::LogLevel;

/// Messages at once.
const AT_ONCE_MAX: u32 = 50;
/// Pause after which there may be another.
const PERIOD: Duration = Duration::from_millis(200);
/// Further bytes of one message are left out.
const TEXT_BYTES_MAX: usize = 2048;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Does not work.
    Error,
    /// Works less well.
    Warn,
    /// Good to know.
    Info,
    /// For those who look for something.
    Debug,
    /// Every step.
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Level {
        match level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
            LogLevel::Trace => Level::Trace,
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> LogLevel {
        match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        }
    }
}

/// Sends every message of this process to the collector.
pub struct ToCollector(pub Voice);

/// One message on its way.
pub struct Line<'a> {
    voice: &'a Voice,
    level: Level,
}

impl<'a> MakeWriter<'a> for ToCollector {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { voice: &self.0, level: Level::Info }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        let level = match *meta.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        };
        Line { voice: &self.0, level }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shown = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
        let text = String::from_utf8_lossy(shown).trim_end().to_owned();
        self.voice.send(&wire::json(&Said::Log { level: self.level, text })?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says the messages of one sink, and how many it did not say.
#[derive(Debug)]
pub struct Speaker {
    sink: String,
    tokens: u32,
    since: Instant,
    left_out: u64,
}

impl Speaker {
    /// Of this sink.
    pub fn new(sink: &str) -> Speaker {
        Speaker { sink: sink.to_owned(), tokens: AT_ONCE_MAX, since: Instant::now(), left_out: 0 }
    }

    /// Says a message, unless there were too many.
    pub fn say(&mut self, level: Level, text: &str) {
        if !self.may_speak(Instant::now()) {
            self.left_out += 1;
            return;
        }
        let sink = self.sink.as_str();
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            tracing::warn!(sink, "{left_out} messages of the sink's process were left out: there were too many");
        }
        let text = short(text);
        match level {
            Level::Error => tracing::error!(sink, "{text}"),
            Level::Warn => tracing::warn!(sink, "{text}"),
            Level::Info => tracing::info!(sink, "{text}"),
            Level::Debug => tracing::debug!(sink, "{text}"),
            Level::Trace => tracing::trace!(sink, "{text}"),
        }
    }

    fn may_speak(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.since).as_nanos() / PERIOD.as_nanos();
        if more > 0 {
            self.tokens = self.tokens.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(AT_ONCE_MAX);
            self.since = now;
        }
        let may = self.tokens > 0;
        self.tokens -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_messages_is_cut_to_a_few_at_once_and_some_a_second() {
        let mut speaker = Speaker::new("kafka");
        let start = speaker.since;
        let said = |speaker: &mut Speaker, now| (0..10_000).filter(|_| speaker.may_speak(now)).count();
        assert_eq!(said(&mut speaker, start), AT_ONCE_MAX as usize);
        assert_eq!(said(&mut speaker, start + Duration::from_secs(1)), 5);
        assert_eq!(said(&mut speaker, start + Duration::from_secs(3600)), AT_ONCE_MAX as usize);
    }
}
