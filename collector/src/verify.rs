//! Proves that what was delivered is complete: every number of every CPU is a row or inside a gap.
//!
//! Every input is one sink's output and is judged alone. Rows are read once, in any order, and never held: what stays in
//! memory is about 60 bytes per 64 numbers, 16 per exact gap and 32 per aggregate.
//! Nothing that a file says about itself (footer, name, statistics) is trusted; only `removed.jsonl`, which notes files
//! that the directory limits removed, is taken at its word and stated as such.
//!
//! `account` and `run` hold what the rows say, `check` whether it adds up, `report` and `text` the answer.

mod account;
pub(crate) mod bytes;
mod check;
mod clock;
mod command;
mod input;
mod json;
mod log;
mod numbers;
mod parquet;
mod removed;
mod report;
mod row;
mod run;
mod spans;
mod text;

pub use command::Args;
pub use input::Input;
pub use report::{
    Contradiction, CpuReport, Duplicate, GapReport, Inversion, Missing, Moment, Named, Place, Problems, RemovedReport,
    Report, RunReport, SinkReport, Unbalanced, Unreadable, Verdict,
};
pub use spans::Span;

use thiserror::Error;

/// Problems of one kind that are named per run, unless asked otherwise; all are counted.
pub const NAMED_MAX: usize = 20;

/// What the caller can choose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Problems of one kind that are named per run.
    pub named_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { named_max: NAMED_MAX }
    }
}

/// Why nothing could be verified at all; everything else, unreadable files included, is in the [`Report`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The list of inputs was empty.
    #[error("nothing to verify: name a directory, a file, or `-` for standard input")]
    NoInput,
    /// Standard input can be read once.
    #[error("standard input was named {0} times: name `-` once")]
    StdinTwice(usize),
}

/// Reads every input and judges each one alone, as the output of one sink.
///
/// # Errors
/// When the list of inputs makes no sense. A file that cannot be read is part of the report (exit code 2).
pub fn verify(inputs: &[Input], options: &Options) -> Result<Report, VerifyError> {
    if inputs.is_empty() {
        return Err(VerifyError::NoInput);
    }
    let stdin = inputs.iter().filter(|i| **i == Input::Stdin).count();
    if stdin > 1 {
        return Err(VerifyError::StdinTwice(stdin));
    }
    Ok(Report::new(inputs.iter().map(|input| input.read(options)).collect()))
}
