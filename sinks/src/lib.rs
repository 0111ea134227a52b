//! Where batches go: the [`Sink`] trait, the lane that feeds one sink, and one file per sink.
//!
//! The collector hands every lane the same stream of [`Cut`]s. A lane is a bounded queue, a policy and a worker; a lane
//! that fails or lags loses its own rows only, and writes what it lost as rows of class `loss`.

pub mod batch;
pub mod error;
pub mod sink;

pub use batch::{Batch, Cut, Identity, Position, Tally};
pub use error::SinkError;
pub use sink::Sink;
