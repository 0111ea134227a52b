//! The spool: cuts on disk, so that a sink that lags or is away loses nothing, and a killed collector goes on where it stopped.
//!
//! A log is a directory of segments ([`segment`]), each a header and frames ([`frame`]). One thread writes it ([`committer`]);
//! every sink reads it by numbers of cuts ([`reader`]) and keeps its position in a small file ([`cursor`]). A capture is the
//! same directory, kept.

pub mod committer;
pub mod cursor;
pub mod frame;
pub mod log;
pub mod reader;
pub mod room;
pub mod segment;

pub use committer::{CommitOptions, CommitWatch, Committer};
pub use log::{Log, LogOptions, Recovered};
pub use reader::{LogReader, SinkLog};
pub use room::WhenFull;

#[cfg(test)]
mod tests;
