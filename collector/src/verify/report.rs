//! The answer: what was found, per input, run and CPU.

use std::collections::BTreeMap;

use serde::Serialize;

use super::spans::Span;

/// What an input, a run or all of them together are worth.
///
/// The order is that of gravity: what cannot be read hides everything else, a fault outweighs an open end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every number is accounted for and every CPU has its end.
    Complete,
    /// Complete up to the last checkpoint; no end was written.
    OpenEnd,
    /// Numbers are missing, doubled, out of order or contradict each other.
    Faulty,
    /// Something could not be read.
    Unreadable,
}

impl Verdict {
    /// Exit code of `weir verify`.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Complete => 0,
            Verdict::Faulty => 1,
            Verdict::Unreadable => 2,
            Verdict::OpenEnd => 3,
        }
    }
}

/// The report on all inputs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The gravest verdict.
    pub verdict: Verdict,
    /// Its exit code.
    pub exit_code: u8,
    /// One per input.
    pub sinks: Vec<SinkReport>,
}

impl Report {
    pub(super) fn new(sinks: Vec<SinkReport>) -> Report {
        let verdict = sinks.iter().map(|s| s.verdict).max().unwrap_or(Verdict::Unreadable);
        Report { verdict, exit_code: verdict.exit_code(), sinks }
    }

    /// Exit code of `weir verify`: 0 complete; 1 missing, duplicate or inverted; 2 unreadable; 3 open end.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

/// One input: the output of one sink.
#[derive(Debug, Serialize)]
pub struct SinkReport {
    /// Path as given, or `standard input`.
    pub input: String,
    /// The gravest of its runs, or that it could not be read.
    pub verdict: Verdict,
    /// Files read.
    pub files: u64,
    /// Rows read.
    pub rows: u64,
    /// Files of the directory that are not `.parquet`, such as leftovers of a crash.
    pub ignored: Named<String>,
    /// What could not be read.
    pub unreadable: Named<Unreadable>,
    /// The last line of the input was cut, as a killed collector leaves it.
    pub torn: Option<Place>,
    /// What the directory limits removed.
    pub removed: Option<RemovedReport>,
    /// One per (host, boot_id, epoch).
    pub runs: Vec<RunReport>,
}

/// Files that the directory limits removed, as `removed.jsonl` says.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedReport {
    /// Files.
    pub files: u64,
    /// Of these, files whose note was dropped because there were too many.
    pub files_without_note: u64,
    /// Rows in the files that have a note.
    pub rows: u64,
    /// Of these, rows that belong to runs of which nothing is left.
    pub rows_of_removed_runs: u64,
}

/// One load of the programs.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// Column `host`.
    pub host: String,
    /// Column `boot_id`.
    pub boot_id: String,
    /// Column `epoch`.
    pub epoch: i64,
    /// Complete, open or faulty.
    pub verdict: Verdict,
    /// Time of the earliest row.
    pub first: Option<Moment>,
    /// Time of the latest row.
    pub last: Option<Moment>,
    /// Rows by class.
    pub rows: BTreeMap<String, u64>,
    /// Gaps by reason.
    pub gaps: BTreeMap<String, GapReport>,
    /// Rows of all classes but `loss`.
    pub delivered: u64,
    /// Sum of the gaps' counts but `not_selected`.
    pub lost: u64,
    /// 100 * lost / (lost + delivered)
    pub lost_percent: f64,
    /// One per CPU; -1 is the collector, -2 the sink.
    pub cpus: Vec<CpuReport>,
    /// What does not add up.
    pub problems: Problems,
}

/// Gaps of one reason.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// Numbers, or attempts that took none.
    pub count: u64,
    /// The same by action, as far as the rows say.
    pub by_action: BTreeMap<String, u64>,
}

/// One CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuReport {
    /// The CPU.
    pub cpu: i32,
    /// Numbers 0 up to this one (not included) are judged: the end, or the last checkpoint.
    pub judged_below: u64,
    /// A row of action `end` says that the sequence stops there.
    pub ended: bool,
    /// Kernel time of the last number that is judged, as its checkpoint or end says.
    pub last: Option<Moment>,
    /// Rows below `judged_below`.
    pub rows: u64,
    /// Numbers inside exact gaps.
    pub in_gaps: u64,
    /// Numbers that aggregates count.
    pub counted: u64,
    /// Numbers in files that the directory limits removed.
    pub removed: u64,
    /// Numbers whose row or gap may have been in a removed file that no note describes well enough.
    pub unexplained: u64,
    /// Rows at or above `judged_below`.
    pub rows_beyond: u64,
}

/// What does not add up.
#[derive(Debug, Serialize)]
pub struct Problems {
    /// Numbers that are neither a row nor inside a gap; the total counts numbers.
    pub missing: Named<Missing>,
    /// Aggregates that do not balance; the total counts the numbers of difference.
    pub unbalanced: Named<Unbalanced>,
    /// Rows whose number was read before; the total counts rows.
    pub duplicates: Named<Duplicate>,
    /// Rows earlier than the row before; the total counts rows.
    pub inversions: Named<Inversion>,
    /// Numbers at or above the end of the sequence; the total counts numbers.
    pub beyond_end: Named<Missing>,
    /// Rows that contradict each other or themselves.
    pub contradictions: Named<Contradiction>,
}

impl Problems {
    pub(super) fn new(named_max: usize) -> Problems {
        Problems {
            missing: Named::new(named_max),
            unbalanced: Named::new(named_max),
            duplicates: Named::new(named_max),
            inversions: Named::new(named_max),
            beyond_end: Named::new(named_max),
            contradictions: Named::new(named_max),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let totals = [
            self.missing.total,
            self.unbalanced.total,
            self.duplicates.total,
            self.inversions.total,
            self.beyond_end.total,
            self.contradictions.total,
        ];
        totals.iter().all(|total| *total == 0)
    }
}

/// A list of which only the first entries are kept, and the total counted.
#[derive(Debug, Serialize)]
pub struct Named<T> {
    /// All of them.
    pub total: u64,
    /// The first ones.
    pub named: Vec<T>,
    #[serde(skip)]
    max: usize,
}

impl<T> Named<T> {
    pub(super) fn new(max: usize) -> Named<T> {
        Named { total: 0, named: Vec::new(), max }
    }

    /// Counts `weight`, and keeps the entry while there is room.
    pub(super) fn push(&mut self, weight: u64, entry: impl FnOnce() -> T) {
        self.total = self.total.saturating_add(weight);
        if self.named.len() < self.max {
            self.named.push(entry());
        }
    }
}

/// A time of the kernel, and what the wall clock said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// CLOCK_BOOTTIME in ns.
    pub ktime_ns: i64,
    /// RFC 3339, UTC; absent if no row told both clocks.
    pub time: Option<String>,
}

/// Where a row was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// File, relative to the input.
    pub file: String,
    /// Row of a Parquet file or line of a text, from 1.
    pub row: u64,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// File, relative to the input.
    pub file: String,
    /// Row or line from 1, if it is only that one.
    pub row: Option<u64>,
    /// Why.
    pub reason: String,
}

/// Numbers of one CPU, with the times of the rows around them (at most 64 numbers away).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The CPU.
    pub cpu: i32,
    /// The numbers.
    #[serde(flatten)]
    pub numbers: Span,
    /// A row before.
    pub after: Option<Moment>,
    /// A row behind.
    pub before: Option<Moment>,
}

/// A connected span of aggregates whose counts are not the numbers without a row or exact gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unbalanced {
    /// The CPU and the numbers.
    #[serde(flatten)]
    pub at: Missing,
    /// What the aggregates say is missing.
    pub counted: u64,
    /// What is.
    pub absent: u64,
}

/// Rows of one CPU in one file whose numbers were read before, there or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The CPU.
    pub cpu: i32,
    /// The file, and the first such row in it.
    pub at: Place,
    /// How many rows.
    pub rows: u64,
    /// The first few numbers.
    pub numbers: Vec<Span>,
}

/// A row that is earlier than the one before it in its file (Parquet) or of its class (JSON lines).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inversion {
    /// The CPU.
    pub cpu: i32,
    /// Its number.
    pub seq: u64,
    /// Its class.
    pub class: String,
    /// Its kernel time.
    pub ktime_ns: i64,
    /// The row's before.
    pub previous_ktime_ns: i64,
    /// Where.
    pub at: Place,
}

/// A statement that cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// The CPU.
    pub cpu: i32,
    /// The numbers, if it is about some.
    pub numbers: Option<Span>,
    /// What contradicts what.
    pub what: String,
    /// The row that says so, if it is one.
    pub at: Option<Place>,
}
