//! Tests of the whole: `weir` as a program, on the running kernel.
//!
//! What the test targets share: starting `weir`, reading its rows, comparing them with what really happened.

pub mod brokers;
pub mod capture;
pub mod compare;
pub mod engine;
pub mod live;
pub mod python;
pub mod skip;
pub mod wait;
