//! What `weir run` is told: defaults, then a TOML file, then `WEIR_*`, then flags, each layer over the one before.
//!
//! Every setting is one line of the table below; limits carry their unit in the name.

pub mod filter;
pub mod kinds;
mod layers;
mod nearest;
mod problem;
mod raw;
mod render;
mod select;
mod table;
mod units;
mod validate;

use std::path::PathBuf;
use std::time::Duration;

use kinds::{Choice, Count, File, Kind, List, Micros, Millis, Named, Nanos, Optional, Size, Span, Switch, Text};
use table::settings;

pub use layers::{Effective, Origin, Sources};
pub use nearest::nearest;
pub use problem::{ConfigError, Problem};
pub use raw::Raw;
pub use render::{effective_toml, markdown};
pub use select::Selection;
pub use table::{Flag, Key};
pub use units::{format_size, parse_duration};

/// Where Parquet files go when nothing else is said.
pub const DATA_DIR: &str = "weir-data";

/// Values that one list filter can hold; the kernel's tables of the filters have as many places.
pub const FILTER_VALUES_MAX: usize = weir_bpf::filter::LIST_MAX;

/// Smallest ring, bytes: 64 KiB holds a few large records.
pub const RING_BYTES_MIN: u64 = 64 << 10;

/// Largest ring, bytes.
pub const RING_BYTES_MAX: u64 = 1 << 30;

settings! {
    "What is recorded" {
        /// Classes, or single actions as `class.action`. `default` stands for the classes that are on by themselves
        /// (all but `syscall`); actions that are only recorded on request, such as `network.sendto`, must be named.
        /// Class `loss` is always there.
        classes: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("class", "CLASS")];
        /// System calls by name, recorded in class `syscall`, which this adds to the classes; `all` for every one.
        /// Class `syscall` without names means `all`.
        syscalls: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("syscall", "NAME")];
        /// System calls that class `syscall` leaves out.
        except_syscalls: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-syscall", "NAME")];
        /// Measure how long system calls of class `syscall` take. Costs a second probe on each of them.
        durations: bool as Switch = false;
        /// Record the environment of every exec. It often holds secrets.
        env: bool as Switch = false;
        /// Bytes of arguments, and of environment, that an exec row keeps; a cut is marked in `args_truncated`.
        args_bytes_max: u64 as Size = 32 << 10;
        /// Column `host`. Not set: the machine's own node name, never a container's.
        host: Option<String> as Optional<Text> = None, &[Flag::Takes("host", "NAME")];
    }
    "The run" {
        /// Stop after this time. Not set: at a signal, or when the command ends.
        duration: Option<Duration> as Optional<Span> = None;
        /// Run the command as this user. Not set: the user who called sudo, else the caller.
        user: Option<String> as Optional<Text> = None, &[Flag::Takes("user", "NAME")];
        /// Write the final ledger to this file as JSON.
        report: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("report", "FILE")];
        /// The live status line on standard error; `auto` shows it on a terminal.
        status: Status as Choice = Status::Auto, &[Flag::Takes("status", "WHEN")];
    }
    "Rings and batches" {
        /// Bytes of each CPU's ring: a power of two, 64KiB to 1GiB.
        ring_bytes: u64 as Size = 8 << 20;
        /// Share of every ring that only process rows may use, in percent, so that a flood of other events never costs
        /// an exec.
        ring_lifecycle_percent: u64 as Count = 12;
        /// A batch is closed when its first row is this old.
        batch_age_ms: u64 as Millis = 25;
        /// A batch is closed at this many rows.
        batch_rows_max: usize as Count = 8192;
        /// A batch is closed at this many bytes.
        batch_bytes_max: u64 as Size = 8 << 20;
        /// How long the reader naps when the rings are empty, before it looks again.
        nap_us: u64 as Micros = 1000;
        /// Naps on empty rings before the reader sleeps until a record wakes it.
        naps_before_sleep: u32 as Count = 4;
        /// How far the clock of the probes and the reader's may differ for a moment.
        clock_slack_ns: u64 as Nanos = 2000;
        /// Processes whose names and parents are remembered.
        processes_max: usize as Count = 65_536;
        /// Processes that a followed or an excluded subtree can have at a time.
        followed_max: u32 as Count = 65_536;
        /// Cuts (all batches of one moment) that wait for a sink, before it loses rows.
        lane_cuts_max: usize as Count = 64;
        /// Bytes of batches that wait for a sink, before it loses rows.
        lane_bytes_max: u64 as Size = 32 << 20;
    }
    /// Which tasks and results are recorded; asked in the kernel, before anything is written.
    filter: Filter, "Filters" {
        /// Only these processes, by id, and their descendants.
        follow: Vec<u32> as List<Count> = Vec::new(), &[Flag::Takes("follow", "PID")];
        /// Not these processes, by id, nor their descendants.
        except_tree: Vec<u32> as List<Count> = Vec::new(), &[Flag::Takes("except-tree", "PID")];
        /// Only tasks of these users, by name or id.
        only_user: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-user", "USER")];
        /// Not tasks of these users.
        except_user: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-user", "USER")];
        /// Only tasks with these names (column `comm`, at most 15 bytes).
        only_comm: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-comm", "NAME")];
        /// Not tasks with these names.
        except_comm: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-comm", "NAME")];
        /// Only tasks inside these cgroups or below: a path under the cgroup v2 mount, or an id as in `cgroup_id`.
        only_cgroup: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-cgroup", "CGROUP")];
        /// Not tasks inside these cgroups or below.
        except_cgroup: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-cgroup", "CGROUP")];
        /// Of the events that have a path, only those whose path begins with one of these texts (`/etc/` with the slash
        /// means what is below the directory).
        only_path: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-path", "PREFIX")];
        /// Not events whose path begins with one of these texts.
        except_path: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-path", "PREFIX")];
        /// Tasks in containers: `any`, `only` them, or `none` of them.
        containers: Containers as Choice = Containers::Any, &[
            Flag::Means("containers", "only", "Only tasks inside containers"),
            Flag::Means("no-containers", "none", "No tasks inside containers"),
        ];
        /// Results: `any`, only `failed` attempts, or only `succeeded` ones.
        results: Results as Choice = Results::Any, &[
            Flag::Means("failed", "failed", "Only attempts that failed"),
            Flag::Means("succeeded", "succeeded", "Only attempts that succeeded"),
        ];
        /// Record weir itself too.
        include_self: bool as Switch = false, &[
            Flag::Means("include-self", "true", "Record weir itself too"),
        ];
    }
    /// Rolling Parquet files.
    parquet: Parquet, "Parquet files" {
        /// Directory of the Parquet files. Not set, and no other output either: `weir-data` in the current directory.
        dir: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("parquet", "DIR")];
        /// A file is closed at this many rows.
        file_rows_max: u64 as Count = 16_000_000;
        /// A file is closed at this size.
        file_bytes_max: u64 as Size = 128 << 20;
        /// A file is closed at this age, and only then can be queried.
        file_age: Duration as Span = Duration::from_secs(300);
        /// Bytes of the whole directory; the oldest files go first. Not set: no limit.
        dir_bytes_max: Option<u64> as Optional<Size> = None;
        /// Files older than this are removed. Not set: never.
        dir_age_max: Option<Duration> as Optional<Span> = None;
        /// While the file system has less free space than this, the oldest files go; a start without any is refused. Not
        /// set: no file is ever removed for it.
        free_bytes_min: Option<u64> as Optional<Size> = None;
        /// Compression level of zstd, 1 (fast) to 22 (small).
        zstd_level: u32 as Count = 1;
    }
    /// Rows on standard output.
    stdout: Stdout, "Standard output" {
        /// Print rows as JSON lines, or as a table for people. Given as the only output, no Parquet is written.
        format: Option<StdoutFormat> as Optional<Choice> = None, &[Flag::Takes("stdout", "FORMAT")];
    }
    /// Messages of weir itself, on standard error.
    log: Log, "Messages" {
        /// Form of the messages.
        format: LogFormat as Choice = LogFormat::Text, &[Flag::Takes("log", "FORMAT")];
        /// Least severity of the messages.
        level: LogLevel as Choice = LogLevel::Info;
    }
}

/// Declares a set of words.
macro_rules! words {
    ($(#[doc = $doc:literal] $name:ident { $(#[doc = $value_doc:literal] $value:ident = $word:literal),* $(,)? })*) => {
        $(
            #[doc = $doc]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $name { $(#[doc = $value_doc] $value),* }

            impl Named for $name {
                const WORDS: &'static [&'static str] = &[$($word),*];
                const VALUES: &'static [Self] = &[$(Self::$value),*];
            }
        )*
    };
}

words! {
    /// When the status line is shown.
    Status {
        /// On a terminal.
        Auto = "auto",
        /// In any case.
        Always = "always",
        /// Never.
        Never = "never",
    }
    /// How rows are printed.
    StdoutFormat {
        /// JSON lines.
        Json = "json",
        /// A table for people.
        Table = "table",
    }
    /// Tasks in containers.
    Containers {
        /// Recorded like others.
        Any = "any",
        /// Nothing else is recorded.
        Only = "only",
        /// Not recorded.
        None = "none",
    }
    /// Results of attempts.
    Results {
        /// All.
        Any = "any",
        /// Negative return values.
        Failed = "failed",
        /// The others.
        Succeeded = "succeeded",
    }
    /// Form of messages.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
    /// Severity of messages.
    LogLevel {
        /// Weir cannot do what it was told.
        Error = "error",
        /// Something is missing or lost.
        Warn = "warn",
        /// The course of a run.
        Info = "info",
        /// How things were decided.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

impl Config {
    /// The key with this name.
    pub fn key(name: &str) -> Option<(usize, &'static Key)> {
        KEYS.iter().enumerate().find(|(_, key)| key.name == name)
    }

    /// What no layer said: the embedded default is Parquet under [`DATA_DIR`].
    fn complete(&mut self) {
        if self.parquet.dir.is_none() && self.stdout.format.is_none() {
            self.parquet.dir = Some(PathBuf::from(DATA_DIR));
        }
    }
}

#[cfg(test)]
mod tests;
