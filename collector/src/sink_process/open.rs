//! What a process is told when it becomes a sink.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_sinks::{DeadLetters, KafkaOptions, KafkaSink, NatsOptions, NatsSink, PayloadFormat, Sink, SinkError};

use super::SILENCE_MARGIN;
use super::logs::Level;

/// Memory that the NATS sink takes beside its window: a cut that was begun is taken whole up to here.
const NATS_CUT_BYTES: u64 = 64 << 20;

/// Everything about one process. It has secrets in it: it goes over the socket and nowhere else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// The sink.
    pub broker: Broker,
    /// Column `host` of the rows.
    pub host: String,
    /// Bytes of memory, the sink's own queue besides.
    pub memory_max: u64,
    /// Messages that are worth sending.
    pub level: Level,
    /// The collector's process.
    pub parent: u32,
}

/// A sink with its options, its secrets included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Broker {
    /// Kafka.
    Kafka(Box<KafkaOptions>),
    /// NATS.
    Nats(Box<NatsOptions>),
}

impl Broker {
    /// Name of the sink.
    pub fn name(&self) -> &str {
        match self {
            Broker::Kafka(options) => &options.name,
            Broker::Nats(options) => &options.name,
        }
    }

    /// Opens the sink here.
    ///
    /// # Errors
    /// When it can never work with these options.
    pub fn open(self, host: &str, dead_letters: DeadLetters) -> Result<Box<dyn Sink>, SinkError> {
        Ok(match self {
            Broker::Kafka(options) => Box::new(KafkaSink::open_with(*options, host, dead_letters)?),
            Broker::Nats(options) => Box::new(NatsSink::open_with(*options, host, dead_letters)?),
        })
    }

    /// Its dead letters as files.
    pub fn dead_letters(&self, owner: Option<(u32, u32)>) -> DeadLetters {
        let (dir, bytes_max) = match self {
            Broker::Kafka(options) => (&options.dead_letters, options.dead_letter_bytes_max),
            Broker::Nats(options) => (&options.dead_letters, options.dead_letter_bytes_max),
        };
        DeadLetters::new(dir, self.name(), bytes_max, owner)
    }

    /// Form of its messages.
    pub fn format(&self) -> PayloadFormat {
        match self {
            Broker::Kafka(options) => options.payload.format,
            Broker::Nats(options) => options.payload.format,
        }
    }

    /// See [`Sink::flush_period`].
    pub fn flush_period(&self) -> Duration {
        match self {
            Broker::Kafka(options) => options.flush_period,
            Broker::Nats(options) => options.flush_period,
        }
    }

    /// How long a write waits for room.
    pub fn write_wait(&self) -> Duration {
        match self {
            Broker::Kafka(options) => options.write_wait,
            Broker::Nats(options) => options.write_wait,
        }
    }

    /// How long a flush waits for acknowledgements.
    pub fn flush_wait(&self) -> Duration {
        match self {
            Broker::Kafka(options) => options.flush_wait,
            Broker::Nats(options) => options.flush_wait,
        }
    }

    /// Silence that no call of this sink explains.
    pub fn silence_max(&self) -> Duration {
        let connects = match self {
            Broker::Kafka(_) => Duration::ZERO,
            Broker::Nats(options) => options.connect_wait.saturating_mul(options.servers.len() as u32),
        };
        self.write_wait().saturating_add(self.flush_wait()).saturating_add(connects).saturating_add(SILENCE_MARGIN)
    }

    /// Whether the destination holds the progress, so that it can say what became of a flush that nobody answered.
    pub fn reads_back(&self) -> bool {
        match self {
            Broker::Kafka(options) => options.transactions.is_some(),
            Broker::Nats(options) => options.read_back && options.jetstream,
        }
    }

    /// Bytes that the sink's own queue may take.
    pub fn queue_bytes(&self) -> u64 {
        match self {
            // What is compressed and sent is beside what waits.
            Broker::Kafka(options) => 2 * options.queue_bytes as u64,
            Broker::Nats(options) => 2 * options.window.bytes as u64 + NATS_CUT_BYTES,
        }
    }
}
