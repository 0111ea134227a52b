//! What weir tells those who operate it while it runs: HTTP endpoints, and the service manager.
//!
//! The reader leaves its counts on the [`Board`] about once a second and before it sleeps; whoever asks reads them there.
//! Nothing listens unless `listen` is set.

mod board;
mod connections;
mod http;
mod liveness;
mod metrics;
mod notify;
#[cfg(test)]
mod reference;
mod status;

pub use board::{Board, Facts, Published, RingFill, Stalls};
pub use http::Server;
pub use liveness::{Liveness, STALL_MAX, Stall};
pub use notify::Service;
pub use status::status_json;
