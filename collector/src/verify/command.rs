//! The command `weir verify`.

use std::ffi::OsString;

use crate::terminal;

use super::{Input, NAMED_MAX, Options, Report, VerifyError, verify};

/// Arguments of `weir verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories of Parquet files, Parquet files, JSON-lines files, or `-` for JSON lines on standard input; each is
    /// verified alone, as the output of one sink
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<OsString>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Problems of each kind to name per run; all are counted
    #[arg(long, value_name = "N", default_value_t = NAMED_MAX)]
    pub named: usize,
}

impl Args {
    /// Reads and judges everything that the arguments name.
    ///
    /// # Errors
    /// When the arguments make no sense together.
    pub fn verify(&self) -> Result<Report, VerifyError> {
        let inputs: Vec<Input> = self.paths.iter().cloned().map(Input::from).collect();
        verify(&inputs, &Options { named_max: self.named })
    }

    /// The report in the form that was asked for.
    ///
    /// # Errors
    /// Never: a report always has a JSON.
    pub fn text(&self, report: &Report) -> serde_json::Result<String> {
        if self.json { terminal::json(report) } else { Ok(report.to_string()) }
    }
}
