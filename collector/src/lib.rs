//! The collector: from the rings of the kernel to batches in every sink.
//!
//! The program `weir` is a thin command line over these modules; they are public so that tests and measurements use the
//! same ones.

pub mod assemble;
pub mod check;
pub mod cli;
pub mod command;
pub mod config;
pub mod context;
pub mod control;
pub mod errand;
pub mod escape;
#[doc(hidden)]
pub mod fuzz;
pub mod helper;
pub mod host;
pub mod logging;
pub mod names;
pub mod numbers;
pub mod operate;
pub mod order;
pub mod outlet;
pub mod paths;
pub mod pipeline;
pub mod privilege;
pub mod replay;
pub mod requirements;
pub mod rings;
pub mod run;
pub mod sink_process;
pub mod spool;
pub mod terminal;
pub mod texts;
pub mod verify;
