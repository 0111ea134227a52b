//! Where batches go: the [`Sink`] trait, the lane that feeds one sink, and one file per sink.
//!
//! The collector hands every lane the same stream of [`Cut`]s. A lane is a bounded queue, a policy and a worker; a lane
//! that fails or lags loses its own rows only, and writes what it lost as rows of class `loss`.

pub mod backlog;
pub mod batch;
pub mod dead_letters;
mod digits;
pub mod discard;
pub mod error;
mod file_names;
pub mod json;
pub mod kafka;
pub mod lane;
pub mod loss_rows;
pub mod nats;
mod order;
pub mod parquet;
pub mod payload;
pub mod progress;
pub mod secret;
pub mod sink;
pub mod stdout;
pub mod table;
pub mod text;
mod time;

pub use backlog::{Backlog, BacklogOptions};
pub use batch::{Batch, Cut, Identity, Position, Tally};
pub use dead_letters::{Carrier, DeadLetters, Letter};
pub use discard::Discard;
pub use error::SinkError;
pub use kafka::{KafkaCounts, KafkaOptions, KafkaSink};
pub use lane::{ClassSet, Lane, LaneOptions, LaneReport, LaneState, LaneWatch, Ledger, Policy, Seat, Sent, Waiting};
pub use loss_rows::{LossAction, LossRow, loss_batch};
pub use nats::{NatsCounts, NatsOptions, NatsSink};
pub use parquet::{ParquetOptions, ParquetSink};
pub use payload::{Compression, Message, PayloadFormat, PayloadOptions, Payloads};
pub use progress::Progress;
pub use secret::Secret;
pub use sink::{Receipt, Sink};
pub use stdout::{Format, StdoutSink};
