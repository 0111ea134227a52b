//! What the sinks make of brokers on the same machine, against a bare loop of the same call in the same run.
//!
//! Client and broker share the CPUs, so the ratios say more than the figures; each ratio is of runs that alternate. Rows are
//! made from a seed, shaped like those of a build, so that figures of different machines are of the same rows.

pub mod json;
pub mod kafka;
pub mod nats;
