//! The answer of `weir verify`, and the final ledger of a run.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::program::{run, weir};

/// What `weir verify --json` said about one input.
#[derive(Debug)]
pub struct Verified {
    /// Exit code.
    pub code: i32,
    report: Value,
}

/// Asks `weir verify` about a directory or a file.
pub fn verify(path: &Path) -> Verified {
    let ended = run(weir(&["verify", "--json"]).arg(path));
    let code = ended.code().unwrap_or_else(|| panic!("weir verify: {}\n{}", ended.status, ended.stderr));
    let report = serde_json::from_slice(&ended.stdout)
        .unwrap_or_else(|e| panic!("weir verify {}: {e}\n{}", path.display(), ended.stderr));
    Verified { code, report }
}

impl Verified {
    fn sink(&self) -> &Value {
        &self.report["sinks"][0]
    }

    /// The runs that were found.
    pub fn runs(&self) -> &[Value] {
        self.sink()["runs"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Rows of a class, over all runs.
    pub fn rows(&self, class: &str) -> u64 {
        self.runs().iter().filter_map(|run| run["rows"][class].as_u64()).sum()
    }

    /// Counts of the gaps by reason, without what was not selected.
    pub fn gaps(&self) -> BTreeMap<String, u64> {
        let mut gaps = BTreeMap::new();
        for (reason, gap) in self.runs().iter().filter_map(|run| run["gaps"].as_object()).flatten() {
            if reason != "not_selected" {
                *gaps.entry(reason.clone()).or_default() += gap["count"].as_u64().unwrap_or(0);
            }
        }
        gaps
    }

    /// The same by action, with the sum over all reasons.
    pub fn lost_by_action(&self) -> BTreeMap<String, u64> {
        let mut actions = BTreeMap::new();
        for (reason, gap) in self.runs().iter().filter_map(|run| run["gaps"].as_object()).flatten() {
            if reason == "not_selected" {
                continue;
            }
            for (action, count) in gap["by_action"].as_object().into_iter().flatten() {
                *actions.entry(action.clone()).or_default() += count.as_u64().unwrap_or(0);
            }
        }
        actions.remove("unknown");
        actions
    }

    /// Lost numbers whose action nobody remembers.
    pub fn unnamed(&self) -> u64 {
        self.gaps().values().sum::<u64>() - self.lost_by_action().values().sum::<u64>()
    }

    /// Everything that `verify` holds against the rows, by kind; empty when nothing.
    pub fn problems(&self) -> BTreeMap<String, u64> {
        let mut problems = BTreeMap::new();
        for (kind, found) in self.runs().iter().filter_map(|run| run["problems"].as_object()).flatten() {
            let total = found["total"].as_u64().unwrap_or(u64::MAX);
            if total > 0 {
                *problems.entry(kind.clone()).or_default() += total;
            }
        }
        problems
    }

    /// Files that cannot be read.
    pub fn unreadable(&self) -> u64 {
        self.sink()["unreadable"]["total"].as_u64().unwrap_or(u64::MAX)
    }

    /// CPUs whose sequence has no end row.
    pub fn open_ends(&self) -> usize {
        let cpus = self.runs().iter().filter_map(|run| run["cpus"].as_array()).flatten();
        cpus.filter(|cpu| cpu["ended"] == false).count()
    }

    /// Panics with the whole report unless `verify` ended so.
    pub fn expect_code(self, code: i32) -> Verified {
        assert_eq!(self.code, code, "weir verify: {:#}", self.report);
        self
    }
}

/// The ledger that `--report` wrote.
pub fn ledger(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Numbers that the kernel gave out, over all CPUs.
pub fn produced(ledger: &Value) -> u64 {
    ledger["produced"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum()
}
