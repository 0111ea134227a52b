//! The running kernel against the definition: every action, every ground rule, every filter. Needs root.

mod actions;
mod filters;
mod flags;
mod rules;
mod running;
