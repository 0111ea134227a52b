//! Which series of a long torture have passed, in a file, so that an interrupted one goes on.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::series::Counts;
use crate::support::seed;

/// Lines of JSON: the base seed, then one for each series that passed.
const FILE: &str = "passed.jsonl";

/// The record of one torture.
pub struct Record {
    /// Seeds of all series come from it.
    pub base: u64,
    /// By number of the series.
    pub passed: Vec<(u64, Counts)>,
    dir: Option<PathBuf>,
}

impl Record {
    /// Goes on with what is in the directory, unless another base seed is asked for; without one it is kept nowhere.
    pub fn open(dir: Option<PathBuf>) -> Record {
        let begun = dir.as_deref().and_then(read).filter(|(base, _)| seed::given().is_none_or(|seed| seed == *base));
        if let Some((base, passed)) = begun {
            return Record { base, passed, dir };
        }
        let base = seed::given().unwrap_or_else(seed::from_clock);
        if let Some(dir) = &dir {
            fs::create_dir_all(dir).expect("a directory for the record");
            fs::write(dir.join(FILE), format!("{}\n", json!({ "base": base }))).expect("a new record");
        }
        Record { base, passed: vec![], dir }
    }

    /// Whether a series need not run again.
    pub fn has(&self, series: u64) -> bool {
        self.passed.iter().any(|(passed, _)| *passed == series)
    }

    /// A series has passed.
    pub fn add(&mut self, series: u64, seed: u64, counts: &Counts) {
        self.passed.push((series, counts.clone()));
        let Some(dir) = &self.dir else { return };
        let mut file = File::options().append(true).open(dir.join(FILE)).expect("the record");
        let line = json!({ "series": series, "seed": seed, "counts": counts });
        writeln!(file, "{line}").and_then(|()| file.sync_all()).expect("a line of the record");
    }

    /// All series have passed: the next torture begins anew.
    pub fn finish(&self) {
        if let Some(dir) = &self.dir {
            fs::rename(dir.join(FILE), dir.join(format!("finished-{}.jsonl", self.base))).expect("the record's end");
        }
    }
}

fn read(dir: &Path) -> Option<(u64, Vec<(u64, Counts)>)> {
    let text = fs::read_to_string(dir.join(FILE)).ok()?;
    // The last line may have been cut off by the interruption.
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let base = lines.next()?["base"].as_u64()?;
    let passed = lines.filter_map(|line| {
        let counts = line["counts"].as_object()?.iter().filter_map(|(what, n)| Some((what.clone(), n.as_u64()?)));
        Some((line["series"].as_u64()?, counts.collect()))
    });
    Some((base, passed.collect()))
}
