//! The generated skeleton.
#![allow(missing_docs, clippy::all, clippy::undocumented_unsafe_blocks, clippy::unwrap_used)]
include!(concat!(env!("OUT_DIR"), "/weir.skel.rs"));
