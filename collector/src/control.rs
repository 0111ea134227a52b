//! The control socket of a running collector: who may ask it what (`status`, `reload`), and how it is found.
//!
//! One Unix stream socket per collector, mode 0600, in a directory that only root (or the user who runs weir) can write to.
//! Both sides ask the kernel who the other is. One request is a JSON line; the answer is one or more JSON lines, the last of
//! which is not [`Reply::Working`]. Lengths and waits have limits.

mod client;
mod directory;
mod name;
mod server;
mod show;
#[cfg(test)]
mod tests;
mod wire;

pub use client::{Client, Selector};
pub use name::Name;
pub use server::{ReloadAnswer, ReloadRequest, Server};
pub use show::{reload_text, status_text};
pub use wire::{ControlCommand, Reply};
