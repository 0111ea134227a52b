//! Names of containers: what a runtime knows of an id, asked at its own socket by a thread of its own.
//!
//! Whoever reads events hands in ids with [`Names::ask`] and later fetches what has come with [`Names::take`]; neither
//! waits for a runtime. Docker and podman are asked over Docker's HTTP interface, all others over the Container Runtime
//! Interface (CRI). What a runtime answers is not trusted: its size is bounded, and its texts are left as they are.

mod answer;
mod backoff;
mod bucket;
mod budget;
mod counts;
mod cri;
mod docker;
mod engine;
mod handle;
mod limits;
mod lookup;
mod place;
mod queue;
mod raw;
mod reply;
mod sockets;
#[cfg(test)]
mod testing;
mod turns;
mod worker;

pub use answer::{Answer, Metadata, Runtime};
pub use counts::Counts;
pub use handle::Names;
pub use limits::Limits;
pub use sockets::Sockets;
