//! Everything that the rows of one sink say, run by run, and their order within a file.

use std::collections::HashMap;

use super::report::{Inversion, Place};
use super::row::{Row, RowError, number};
use super::run::Run;

/// Runs in one input; a tree of years has hundreds. What is kept of one takes some 1,500 bytes.
const RUNS_MAX: usize = 16_384;
/// Classes in one input: far more than any version of weir has.
const CLASSES_MAX: usize = 1_024;
/// Bytes of a name: of a host, a boot, a class.
pub(super) const NAME_BYTES_MAX: usize = 4_096;

/// Everything that the rows of one sink say.
#[derive(Debug)]
pub struct Account {
    runs: Vec<Run>,
    index: HashMap<(String, String, i64), usize>,
    classes: Vec<String>,
    class_index: HashMap<String, usize>,
    named_max: usize,
}

/// Where rows come from: one Parquet file, or one stream of lines. Kernel time may not go back within it.
#[derive(Debug)]
pub struct Stream {
    /// Name of the file in the report.
    pub file: String,
    /// Kernel time of the row before, by run and class.
    before: HashMap<(usize, usize), i64>,
}

impl Stream {
    /// A stream of which nothing was read yet.
    pub fn new(file: String) -> Stream {
        Stream { file, before: HashMap::new() }
    }

    /// Kernel time of the row before, which this one follows.
    fn follow(&mut self, run: usize, class: usize, ktime_ns: i64) -> i64 {
        self.before.insert((run, class), ktime_ns).unwrap_or(i64::MIN)
    }
}

/// A name as a key.
fn name(column: &'static str, name: &str) -> Result<String, RowError> {
    if name.len() > NAME_BYTES_MAX { Err(RowError::TooLong(column, NAME_BYTES_MAX)) } else { Ok(name.to_owned()) }
}

impl Account {
    /// Nothing read yet.
    pub fn new(named_max: usize) -> Account {
        let (index, class_index) = (HashMap::new(), HashMap::new());
        Account { runs: Vec::new(), index, classes: Vec::new(), class_index, named_max }
    }

    /// Another one that names as much, with nothing read yet.
    pub fn emptied(&self) -> Account {
        Account::new(self.named_max)
    }

    /// Position of the run with this identity.
    pub fn run(&mut self, host: &str, boot_id: &str, epoch: i64) -> Result<usize, RowError> {
        let key = (name("host", host)?, name("boot_id", boot_id)?, epoch);
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
    pub fn class(&mut self, class: &str) -> Result<usize, RowError> {
        if let Some(known) = self.class_index.get(class) {
            return Ok(*known);
        }
        if self.classes.len() == CLASSES_MAX {
            return Err(RowError::Classes(CLASSES_MAX));
        }
        let class = name("class", class)?;
        self.classes.push(class.clone());
        self.class_index.insert(class, self.classes.len() - 1);
        Ok(self.classes.len() - 1)
    }

    /// Adds a row; true if its number is new.
    pub fn row(&mut self, stream: &mut Stream, at: u64, run: usize, class: usize, row: Row) -> Result<bool, RowError> {
        let before = stream.follow(run, class, row.ktime_ns);
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
