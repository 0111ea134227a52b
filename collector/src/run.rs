//! `weir run`: load, attach, read until told to stop, and stop in order.
//!
//! Start: facts, sinks, programs, rings, tracepoints, processes that are there already, then the command. Stop: detach,
//! drain, close, balance, report. Capabilities that only the start needs are dropped behind it.

pub mod context;
mod driver;
mod hotplug;
mod in_force;
mod orders;
mod reload;
mod report;
pub mod resume;
mod signals;
pub mod sinks;
mod spool;
mod start;
mod status;
mod stop;
mod trees;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::config::Config;

pub use reload::Reread;
pub use report::Report;
pub use start::settings;

/// Exit status of weir's own errors, as those of `env` and `timeout`.
pub const EXIT_OWN: u8 = 125;

/// Runs until a signal, the duration's end, or the end of the command, whose exit status is passed on. `reread` gives the
/// configuration again when a reload is asked for.
///
/// # Errors
/// Everything that keeps weir from starting, in one sentence with what to do.
pub fn run(config: &Config, reread: Reread, command: Option<Vec<OsString>>) -> Result<ExitCode> {
    let started = start::start(config, reread, command)?;
    let finished = started.run()?;
    finished.report(config)
}
