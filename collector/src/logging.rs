//! weir's own messages: to standard error, as text or JSON, never able to steer a terminal or to forge a message.
//!
//! While records are read they go through a thread of their own ([`detach`]): whoever reads standard error may stand still, and
//! the reader of the rings must not stand with it. What the thread has no room for is dropped and counted.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;

use crate::config::{Log, LogFormat, LogLevel};
use crate::terminal::{message, stderr};

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Starts the messages of the process of a sink: text without time, level and the sink's name, which whoever takes them adds.
pub fn start_sink(level: LogLevel, lines: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(filter(level))))
        .with_ansi(false)
        .with_target(false)
        .with_level(false)
        .without_time()
        .fmt_fields(debug_fn(|line, field, value| match field.name() {
            "message" => write!(line, "{value:?}"),
            "sink" => Ok(()),
            name => write!(line, " {name}={value:?}"),
        }))
        .with_writer(lines)
        .try_init();
}

/// Starts the messages of this process; a second call changes nothing.
pub fn start(log: &Log) {
    let level = filter(log.level);
    // Colours are escape sequences; without them, everything that looks like one is foreign and gets escaped.
    let messages = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(level)))
        .with_ansi(false)
        .with_target(false)
        .with_writer(Lines { is_json: log.format == LogFormat::Json });
    let _ = match log.format {
        LogFormat::Text => messages.try_init(),
        LogFormat::Json => messages.json().flatten_event(true).try_init(),
    };
}

/// Messages that wait for a standard error that nobody reads.
const MESSAGES_MAX: usize = 1_024;

/// Where messages go while records are read.
static QUEUE: Mutex<Option<NonBlocking>> = Mutex::new(None);
/// What the queue had no room for.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// As long as it is there, no message waits for standard error; dropped, it writes what waits still, and messages go straight
/// there again.
pub struct Detached {
    /// Only dropped.
    writes: Option<WorkerGuard>,
}

/// From here on no thread waits for standard error but the one that is started here.
pub fn detach() -> Detached {
    let (queue, guard) = queue_to(stderr());
    let _ = DROPPED.set(queue.error_counter());
    *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = Some(queue);
    Detached { writes: Some(guard) }
}

/// A thread that writes, and its queue.
fn queue_to(stream: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MESSAGES_MAX);
    builder.thread_name("messages").finish(stream)
}

impl Drop for Detached {
    fn drop(&mut self) {
        *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.writes = None;
        if dropped() > 0 {
            tracing::warn!(messages = dropped(), "messages were dropped, because nobody read standard error");
        }
    }
}

/// Messages that were dropped because nobody read standard error.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, |count| count.dropped_lines() as u64)
}

/// Client libraries tell every step and every attempt; the sinks say in their own words what matters, once.
fn directives(level: LevelFilter) -> String {
    if level <= LevelFilter::INFO { format!("{level},async_nats=off") } else { level.to_string() }
}

/// Writes each message with what is foreign in it escaped.
struct Lines {
    is_json: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line<Out>;

    fn make_writer(&self) -> Self::Writer {
        let queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Line { out: queue.map_or_else(|| Out::Straight(stderr()), Out::Queued), is_json: self.is_json }
    }
}

/// Where a message goes.
enum Out {
    Straight(io::Stderr),
    Queued(NonBlocking),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Straight(stream) => stream.write(bytes),
            Out::Queued(queue) => queue.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Straight(stream) => stream.flush(),
            Out::Queued(queue) => queue.flush(),
        }
    }
}

/// The subscriber hands over a whole message with its line end at once.
struct Line<W> {
    out: W,
    is_json: bool,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(message(&String::from_utf8_lossy(bytes), self.is_json).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing until the other end is gone.
    struct Stuck(crossbeam_channel::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_that_nobody_reads_hold_nobody_up_and_are_counted() {
        let (open, closed) = crossbeam_channel::bounded(0);
        let (queue, _guard) = queue_to(Stuck(closed));
        let count = queue.error_counter();
        // The thread has one in its hands, or not yet.
        for _ in 0..2 * MESSAGES_MAX {
            Line { out: Out::Queued(queue.clone()), is_json: false }
                .write_all(b"a message\n")
                .expect("it is taken or counted");
        }
        let dropped = count.dropped_lines();
        assert!((MESSAGES_MAX - 1..=MESSAGES_MAX).contains(&dropped), "{dropped}");
        drop(open);
    }
}
