//! What went wrong with a file, in words and classified.

use std::io;
use std::path::Path;

use parquet::errors::ParquetError;
use rustix::io::Errno;
use thiserror::Error;

use crate::SinkError;

/// A failure while rows become files.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The file system refused.
    #[error("could not {action} {path}: {error}{}", advice(.error))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// The rows are not what their class says.
    #[error("could not encode rows of class {class}: {error}")]
    Encode {
        /// The class.
        class: &'static str,
        /// Why not.
        error: ParquetError,
    },
}

impl Failure {
    /// For `map_err`.
    pub(super) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Failure {
        let path = path.display().to_string();
        move |error| Failure::Io { action, path, error: error.into() }
    }

    /// A failure of the encoder, which also carries those of the file it writes to.
    pub(super) fn encode(class: &'static str, path: &Path, error: ParquetError) -> Failure {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => Failure::io("write", path)(*error),
                Err(inner) => Failure::Encode { class, error: ParquetError::External(inner) },
            },
            error => Failure::Encode { class, error },
        }
    }
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> SinkError {
        match failure {
            // All of these can end while weir runs: space is freed, a disk is remounted, a directory put back.
            Failure::Io { .. } => SinkError::Retry(failure.to_string()),
            Failure::Encode { .. } => SinkError::Refused(failure.to_string()),
        }
    }
}

/// What the user can do about it.
fn advice(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => "; free some space, or choose a directory on another disk",
        Some(Errno::ROFS) => "; mount it writable, or choose another directory",
        Some(Errno::ACCESS | Errno::PERM) => "; give weir the right to write there, or choose another directory",
        Some(Errno::NOTDIR | Errno::EXIST) => "; move the file that is in the way, or choose another directory",
        _ => "",
    }
}
