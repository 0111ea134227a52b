//! The spool or the capture of the configuration, as one run uses it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use weir_bpf::Pins;
use weir_files::Dir;
use weir_sinks::{BacklogOptions, Lane};

use super::resume::pins_of;

use crate::config::{Config, SinkStart, SpoolFull, SpoolMode};
use crate::host::Caller;
use crate::outlet::Outlet;
use crate::privilege::{self, Role};
use crate::spool::committer::{CommitOptions, Committer};
use crate::spool::log::{Log, LogOptions};
use crate::spool::{Overflow, Spooled, WhenFull, cursor};

/// Where the spool stands when only the durability was asked for.
pub const SPOOL_DIR: &str = "weir-spool";

/// The log of a run.
pub struct Spool {
    log: Log,
    is_durable: bool,
    commit: CommitOptions,
}

impl Spool {
    /// Opens what the configuration names; `None` if it names nothing.
    ///
    /// # Errors
    /// When another weir has it, or it cannot be read or written.
    pub fn open(config: &Config) -> Result<Option<Spool>> {
        let is_durable = config.spool.mode == SpoolMode::Crash;
        let default = || is_durable.then(|| PathBuf::from(SPOOL_DIR));
        let Some(dir) = config.capture.clone().or_else(|| config.spool.dir.clone()).or_else(default) else {
            return Ok(None);
        };
        let complete = is_durable || config.capture.is_some();
        let keep = config.capture.is_some();
        let options =
            LogOptions { dir: dir.clone(), segment_bytes: config.spool.segment_bytes, keep, owner: Caller::owner() };
        let open = || format!("open the {} {}", if keep { "capture" } else { "spool" }, dir.display());
        let mut log = Log::open(options).with_context(open)?;
        if !complete {
            log.begin_empty().with_context(open)?;
        }
        let found = log.recovered();
        if found.cuts > 0 {
            tracing::info!(cuts = found.cuts, torn_bytes = found.torn_bytes, "the spool goes on behind what it has");
        }
        let commit = CommitOptions {
            interval: Duration::from_millis(config.spool.commit_ms),
            bytes_max: if config.capture.is_some() { u64::MAX } else { config.spool.bytes_max },
            when_full: match config.spool.when_full {
                SpoolFull::Block => WhenFull::Block,
                SpoolFull::DropOldest => WhenFull::DropOldest,
                SpoolFull::DropByClass => WhenFull::DropByClass,
            },
        };
        Ok(Some(Spool { log, is_durable, commit }))
    }

    /// Records leave the rings only once they are in the log, and the programs survive the collector.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Its directory.
    pub fn dir(&self) -> &Dir {
        self.log.dir()
    }

    /// Where its programs are pinned, and where that is written down.
    pub fn pin_place(&self) -> (Pins, Dir) {
        (self.pins(), self.log.dir().clone())
    }

    /// Where its programs are pinned.
    pub fn pins(&self) -> Pins {
        pins_of(&self.log.shared().log_id, self.log.dir().uid())
    }

    /// The log itself.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Number of the first cut of this run.
    pub fn first_cut(&self) -> u64 {
        self.log.next()
    }

    /// A sink's part of the log.
    ///
    /// # Errors
    /// When its position is there and cannot be read.
    pub fn backlog(&self, sink: &str, start: SinkStart) -> io::Result<BacklogOptions> {
        cursor::backlog(&self.log, sink, start, self.log.next())
    }

    /// The end of the pipeline: every cut goes through the log, or what a lane has no room for.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn outlet(self, lanes: Vec<Lane>) -> Result<(Outlet, Spooled)> {
        let shared = Arc::clone(self.log.shared());
        if !self.log.is_complete() {
            let overflow = privilege::start_as(Role::Files, || Overflow::start(self.log))?;
            let overflow = overflow.context("start the thread of the spool")?;
            return Ok((Outlet::Lanes(lanes, Some(Box::new(overflow))), Spooled { shared, commits: None }));
        }
        let committer = privilege::start_as(Role::Files, || Committer::start(self.log, self.commit, lanes))?;
        let committer = committer.context("start the thread of the spool")?;
        let commits = Some(Arc::clone(committer.watch()));
        Ok((Outlet::Log(committer), Spooled { shared, commits }))
    }
}
