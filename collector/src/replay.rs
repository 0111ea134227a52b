//! `weir replay`: a capture or a spool through the same lanes as live events, to any sink.
//!
//! Every lane pulls its cuts from the log itself, at its own pace, so one slow sink holds up no other.

mod played;
mod progress;
mod span;
mod waits;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use weir_files::Dir;
use weir_sinks::{Backlog, BacklogOptions, Identity, LaneReport, Progress};

use crate::config::Config;
use crate::helper::Given;
use crate::host::{Caller, Host};
use crate::run::sinks::{self, Run};
use crate::spool::log::{CURSORS, Shared};
use crate::spool::{LogReader, cursor};

pub use played::{Pace, Played};
pub use span::Span;

/// Longest time that a replay may take.
const REPLAY_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a capture is played.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The capture's directory.
    pub dir: PathBuf,
    /// How fast.
    pub pace: Pace,
    /// What of it.
    pub span: Span,
    /// Rows get a new epoch, and a boot id that begins with `replay-`, instead of their own identity.
    pub new_epoch: bool,
    /// Go on where the replay before was interrupted.
    pub resume: bool,
    /// Read everything and write nothing.
    pub discard: bool,
    /// Show the progress on standard error.
    pub bar: bool,
}

/// Name of a sink's position in the capture.
fn place(sink: &str) -> String {
    format!("replay-{sink}")
}

/// The capture once more, to keep positions in; `None` where weir does not write.
fn positions(capture: &Path) -> Option<Dir> {
    let opened = Dir::open_given(capture, Caller::owner()).and_then(|dir| dir.make_subdir(CURSORS).map(|_| dir));
    let warn = |error: &std::io::Error| {
        tracing::warn!(path = %capture.display(), "an interrupted replay cannot be resumed: {error}");
    };
    opened.inspect_err(warn).ok()
}

/// Plays the capture into the sinks of the configuration.
///
/// # Errors
/// When there is no capture, or a sink cannot be opened.
pub fn replay(config: &Config, options: &Options) -> Result<Vec<LaneReport>> {
    let shared =
        Shared::open_whole(&options.dir).with_context(|| format!("open the capture {}", options.dir.display()))?;
    if shared.segments().is_empty() {
        bail!("the capture {} is empty", options.dir.display());
    }
    let host = Host::read()?;
    let first = LogReader::new(Arc::clone(&shared)).cut(shared.first())?;
    let identity = first.map(|cut| cut.identity.clone()).context("read the first cut of the capture")?;
    let given = Given::default();
    let run = Run { config, host: &host, identity: &identity, actions: &[u64::MAX; 8], stop: None, given: &given };
    let counters = Arc::new(progress::Counters::default());
    // Positions of a replay mean nothing to another one, nor to a live run into the same destination.
    let this = format!("{}:replay:{}", shared.log_id, std::process::id() as u128 + now_ns());
    let begun = Instant::now();
    let first = shared.first();
    let backlog = |log: Played, log_id: String, progress: Option<Progress>| BacklogOptions {
        log: Box::new(log),
        log_id,
        progress,
        first,
        first_sent: u64::MAX,
        skipped: false,
        complete: true,
    };
    let lanes = if options.discard {
        let log = Played::new(&shared, options, None, Arc::clone(&counters));
        vec![sinks::discard(&run, backlog(log, this, None))?]
    } else {
        let positions = positions(&options.dir);
        sinks::from_log(&run, |sink| {
            let stored = if options.resume { cursor::read(&shared.dir, &place(sink))? } else { None };
            let log_id = stored.as_ref().map_or_else(|| this.clone(), |p| p.log_id.clone());
            let place = positions.as_ref().map(|dir| cursor::Place::of(dir, &place(sink)));
            Ok(backlog(Played::new(&shared, options, place, Arc::clone(&counters)), log_id, stored))
        })?
    };
    let watched = lanes.iter().map(weir_sinks::Lane::watch).collect();
    let waits = waits::Waits::start(watched, options.pace != Pace::Fastest);
    let bar = options.bar.then(|| progress::Bar::start(&counters, &shared, lanes.len()));
    let deadline = begun + REPLAY_MAX;
    let reports = lanes.into_iter().map(|lane| lane.stop(deadline)).collect();
    drop((bar, waits));
    Ok(reports)
}

fn now_ns() -> u128 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos())
}

/// A lane over a whole log as it is, for those who judge it: every row, and what the lane says itself.
pub fn whole(shared: &Arc<Shared>) -> BacklogOptions {
    struct Whole(LogReader);
    impl Backlog for Whole {
        fn read(&mut self, number: u64) -> std::io::Result<Option<Arc<weir_sinks::Cut>>> {
            self.0.cut(number)
        }
        fn passed(&mut self, _: &Progress) -> std::io::Result<()> {
            Ok(())
        }
    }
    BacklogOptions {
        log: Box::new(Whole(LogReader::new(Arc::clone(shared)))),
        log_id: shared.log_id.clone(),
        progress: None,
        first: shared.first(),
        first_sent: u64::MAX,
        skipped: false,
        complete: true,
    }
}

/// A new identity for rows that are played again.
fn anew(identity: &Identity, epoch: i64) -> Identity {
    Identity { host: identity.host.clone(), boot_id: format!("replay-{}", identity.boot_id).into(), epoch }
}
