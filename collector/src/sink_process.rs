//! The sinks that talk to brokers, each in a process of its own: whoever answers on the network can end that process and
//! nothing else.
//!
//! ```text
//! lane ─▶ RemoteSink ──── socket ────▶ `weir sink`: reader ─▶ loop ─▶ KafkaSink, NatsSink
//!              ▲                                                │
//!              └── listener ◀──── answers, letters, messages ◀──┘
//! ```
//!
//! The boundary is the trait [`weir_sinks::Sink`]. A write is one message without an answer ([`remote`]): it carries the
//! frames of the spool, and the process says later how far it has come; [`WINDOW_BYTES`] may be on their way. Only a flush and
//! the look at what the destination holds wait for an answer. After an error the process drops everything up to the message
//! that names the error's number (its *epoch*), so nothing that was on its way is written behind a hole.
//!
//! Nothing that comes back is believed ([`listener`]): lengths are bounded, each answer must be one that was asked for, numbers
//! must be those of rows that were sent. Files are written on this side alone. What the process may do stands in [`sandbox`].
//!
//! The process can die at any moment. It is reaped, counted, and another takes its place, later each time
//! ([`RESTART_WAIT_MAX`]); the lane writes again what was not flushed.

mod child;
mod ended;
mod inbox;
mod letters;
mod listener;
mod logs;
mod open;
mod remote;
pub mod sandbox;
mod spawn;
mod wire;

use std::time::Duration;

pub use child::run;
pub use open::{Broker, Opening};
pub use remote::RemoteSink;
pub use spawn::Program;

/// Bytes of writes that the process has not taken yet, but for one.
pub const WINDOW_BYTES: usize = 8 << 20;
/// The same as a number of writes.
pub const WINDOW_WRITES: usize = 256;
/// Wait before a process that died is replaced: the first one, doubled from death to death.
pub const RESTART_WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest.
pub const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);
/// A process that has lived for so long is replaced after the first wait again.
pub const LIVED_WELL: Duration = Duration::from_secs(60);
/// What a process may be silent beyond the waits of its sink before it counts as hanging.
const SILENCE_MARGIN: Duration = Duration::from_secs(30);
/// What an answer may take beyond the wait of its sink before the lane is told to wait.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);
/// How long a process may take to end by itself before it is killed.
const END_WAIT: Duration = Duration::from_secs(3);
