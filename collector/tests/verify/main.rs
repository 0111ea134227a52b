//! `weir verify` finds every mutation of what was delivered, and names it.

mod command;
mod directory;
mod files;
mod pipeline;
mod property;
mod rows;
mod script;
