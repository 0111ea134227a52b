//! What the tests of the whole program share: the program itself, loads that count their own calls, the answer of
//! `weir verify`, and words for what cannot run here.

// Every test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod build;
pub mod delivery;
pub mod http;
pub mod load;
pub mod metrics;
pub mod program;
pub mod rows;
pub mod seed;
pub mod skip;
pub mod strace;
pub mod tmpfs;
pub mod verified;
