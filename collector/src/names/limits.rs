//! What bounds the look-ups.

use std::time::Duration;

/// Tries that may go at once after a rest.
pub(super) const AT_ONCE_MAX: usize = 4;
/// Look-ups under way at a time; most of them wait for their next try.
pub(super) const IN_FLIGHT_MAX: usize = 64;
/// The same of those that are only claimed, and of those that are claimed in one place.
pub(super) const CLAIMS_IN_FLIGHT_MAX: usize = 16;
pub(super) const PLACE_IN_FLIGHT_MAX: usize = 4;
/// Places of claims that are told from each other.
pub(super) const PLACES_MAX: usize = 64;
/// Claims have the tries of one in so many.
pub(super) const CLAIMS_PART: u32 = 4;
/// Bytes of one answer as it comes from the socket: what is longer is refused unread.
pub(super) const ANSWER_RAW_BYTES_MAX: usize = 4 << 20;
/// Bytes of a reason.
pub(super) const WHY_BYTES_MAX: usize = 512;
/// Bytes of the name that a runtime gives itself.
pub(super) const RUNTIME_BYTES_MAX: usize = 64;
/// Bytes of an id; a container's has 64.
pub(super) const ID_BYTES_MAX: usize = 128;
/// Bytes of a repository's digest that is kept in mind.
pub(super) const DIGEST_BYTES_MAX: usize = 1024;
/// Images whose digests are kept in mind.
pub(super) const IMAGES_MAX: usize = 256;

/// The pauses between them are six seconds: a runtime may know a container some seconds after its cgroup was made.
const TRIES_MAX: u32 = 6;

/// Limits of [`Names`](super::Names).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Tries per second; every further try of a look-up is one more. At least 1.
    pub lookups_per_second_max: u32,
    /// Ids asked for whose answers are not fetched yet. Of those that are only claimed there may be twice as many, and half as
    /// many in one place.
    pub waiting_max: usize,
    /// Bytes of text kept of one answer, labels included.
    pub answer_bytes_max: usize,
    /// How long one try waits for one socket.
    pub timeout: Duration,
    /// Tries of one look-up when a runtime cannot be reached, is in trouble or does not know the container yet. At least 1.
    pub tries_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lookups_per_second_max: 20,
            waiting_max: 1024,
            answer_bytes_max: 64 << 10,
            timeout: Duration::from_secs(5),
            tries_max: TRIES_MAX,
        }
    }
}
