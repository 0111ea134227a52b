//! The collector: from the rings of the kernel to batches in every sink.
//!
//! The program `weir` is a thin command line over these modules; they are public so that tests and measurements use the
//! same ones.

pub mod verify;
