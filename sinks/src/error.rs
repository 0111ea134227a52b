//! What can go wrong in a sink, classified by what to do about it.

use thiserror::Error;

/// A failure of one sink.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The same rows may be accepted later (disk full, broker away).
    #[error("{0}")]
    Retry(String),
    /// The destination has not answered yet, and nothing is lost or given up: a write took nothing of its cut and wants
    /// it again; a flush still holds what was accepted and wants to be asked again.
    #[error("{0}")]
    Wait(String),
    /// These rows will never be accepted, others may.
    #[error("{0}")]
    Refused(String),
    /// The sink cannot go on.
    #[error("{0}")]
    Fatal(String),
    /// Nobody reads any more, which is nobody's fault; the sink cannot go on.
    #[error("{0}")]
    Gone(String),
}
