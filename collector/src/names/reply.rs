//! What one socket says to one question.

use super::answer::Metadata;
use super::budget::shorten;
use super::limits::WHY_BYTES_MAX;

/// A reply, by what follows from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It knows the container.
    Found(Box<Metadata>),
    /// It answered, and does not know it.
    Absent,
    /// It may answer later.
    Trouble(String),
    /// It will not answer this question.
    Refused(String),
}

impl Reply {
    pub(super) fn trouble(why: &str) -> Reply {
        Reply::Trouble(shorten(why, WHY_BYTES_MAX))
    }

    pub(super) fn refused(why: &str) -> Reply {
        Reply::Refused(shorten(why, WHY_BYTES_MAX))
    }
}
