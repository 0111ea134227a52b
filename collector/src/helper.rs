//! What a reload needs from root, when the collector has given root's rights up: a small process that is started before, reads
//! the configuration again, and opens what it names.
//!
//! It takes no names from the collector. It knows the flags, the environment and the file of the start, reads and checks the
//! configuration with the same code, makes the directories that it names, and passes descriptors of its files back over a
//! private socket. Whoever takes the collector over can make it do that again, and nothing else. It ends with the socket.

mod child;
mod client;
mod wire;

pub use child::{Args, make_directories};
pub use client::{Given, Helper};
