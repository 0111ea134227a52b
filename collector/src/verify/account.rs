//! Everything that the rows of one sink say, run by run, and their order within a file.

use std::collections::HashMap;

use super::report::{Inversion, Place};
use super::row::{Row, RowError, number};
use super::run::Run;

/// Runs in one input; a tree of years has hundreds.
const RUNS_MAX: usize = 65_536;

/// Everything that the rows of one sink say.
#[derive(Debug)]
pub struct Account {
    runs: Vec<Run>,
    index: HashMap<(String, String, i64), usize>,
    classes: Vec<String>,
    named_max: usize,
}

/// Where rows come from: one Parquet file, or one stream of lines. Kernel time may not go back within it.
#[derive(Debug)]
pub struct Stream {
    /// Name of the file in the report.
    pub file: String,
    /// Kernel time of the row before, by run and class.
    before: Vec<Vec<i64>>,
}

impl Stream {
    /// A stream of which nothing was read yet.
    pub fn new(file: String) -> Stream {
        Stream { file, before: Vec::new() }
    }

    fn before(&mut self, run: usize, class: usize) -> &mut i64 {
        if self.before.len() <= run {
            self.before.resize_with(run + 1, Vec::new);
        }
        let classes = &mut self.before[run];
        if classes.len() <= class {
            classes.resize(class + 1, i64::MIN);
        }
        &mut classes[class]
    }
}

impl Account {
    /// Nothing read yet.
    pub fn new(named_max: usize) -> Account {
        Account { runs: Vec::new(), index: HashMap::new(), classes: Vec::new(), named_max }
    }

    /// Position of the run with this identity.
    pub fn run(&mut self, host: &str, boot_id: &str, epoch: i64) -> Result<usize, RowError> {
        let key = (host.to_owned(), boot_id.to_owned(), epoch);
        if let Some(run) = self.index.get(&key) {
            return Ok(*run);
        }
        if self.runs.len() == RUNS_MAX {
            return Err(RowError::Runs(RUNS_MAX));
        }
        let run = self.runs.len();
        self.runs.push(Run::new(host, boot_id, epoch, self.named_max));
        self.index.insert(key, run);
        Ok(run)
    }

    /// Position of the class with this name.
    pub fn class(&mut self, name: &str) -> usize {
        self.classes.iter().position(|c| c == name).unwrap_or_else(|| {
            self.classes.push(name.to_owned());
            self.classes.len() - 1
        })
    }

    /// Adds a row; true if its number is new.
    pub fn row(&mut self, stream: &mut Stream, at: u64, run: usize, class: usize, row: Row) -> Result<bool, RowError> {
        let before = std::mem::replace(stream.before(run, class), row.ktime_ns);
        let account = &mut self.runs[run];
        let seq = number("seq", row.seq)?;
        if row.ktime_ns < before {
            account.problems.inversions.push(1, || Inversion {
                cpu: row.cpu,
                seq,
                class: self.classes[class].clone(),
                ktime_ns: row.ktime_ns,
                previous_ktime_ns: before,
                at: Place { file: stream.file.clone(), row: at },
            });
        }
        account.row(&stream.file, at, class, row, seq)
    }

    /// The runs, to be judged or to add to.
    pub fn runs(&mut self) -> &mut [Run] {
        &mut self.runs
    }

    /// The runs and the names of the classes, when everything was read.
    pub fn into_parts(self) -> (Vec<Run>, Vec<String>) {
        (self.runs, self.classes)
    }
}
