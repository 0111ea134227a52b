//! Where each sink stands in the log: one small file a sink.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_sinks::{Backlog, BacklogOptions, Progress};

use super::frame::NUMBER_MAX;
use super::log::{CURSORS, Log, Shared, read_whole};
use super::reader::SinkLog;
use crate::config::SinkStart;

/// The file of a sink's position. Names of sinks are of letters that are safe in file names; others become `_`.
pub fn path(dir: &Path, sink: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    dir.join(CURSORS).join(format!("{}.json", sink.chars().map(safe).collect::<String>()))
}

/// The position of a sink; `None` for one that has none yet.
///
/// # Errors
/// When the file is there and cannot be read: a wrong position would lose rows or send all of them again.
pub fn read(dir: &Path, sink: &str) -> io::Result<Option<Progress>> {
    let path = path(dir, sink);
    let bad = |error: io::Error| {
        let text = format!("{}: {error}; remove it to begin at the oldest cut", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    match read_whole(&path) {
        Ok(bytes) => parse(&bytes).map(Some).map_err(bad),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(bad(error)),
        Err(error) => Err(error),
    }
}

/// The position that such a file has.
///
/// # Errors
/// When it is none, or has numbers that cannot be.
pub fn parse(bytes: &[u8]) -> io::Result<Progress> {
    let progress: Progress = serde_json::from_slice(bytes)?;
    if progress.is_possible() && progress.next_cut < NUMBER_MAX {
        return Ok(progress);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it has numbers that cannot be"))
}

/// Number of the first cut of a log that no sink has.
///
/// # Errors
/// When the directory cannot be listed, or a position cannot be read.
pub fn furthest(dir: &Path, log_id: &str) -> io::Result<u64> {
    let own = all(dir)?.into_iter().filter(|(_, progress)| progress.log_id == log_id);
    Ok(own.map(|(_, progress)| progress.next_cut).max().unwrap_or(0))
}

/// Names of the sinks that have a position, with it.
///
/// # Errors
/// When the directory cannot be listed.
pub fn all(dir: &Path) -> io::Result<Vec<(String, Progress)>> {
    let mut found = vec![];
    for entry in fs::read_dir(dir.join(CURSORS))? {
        let path = entry?.path();
        if let (Some(name), Some("json")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) {
            let name = name.to_string_lossy().into_owned();
            found.extend(read(dir, &name)?.map(|progress| (name, progress)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// A sink's part of a log that knows of no sink from before this run: no file is asked.
pub fn begin(shared: &Arc<Shared>, sink: &str, start: SinkStart, next: u64) -> BacklogOptions {
    let first = match start {
        SinkStart::Now => next,
        SinkStart::Oldest => shared.first(),
    };
    BacklogOptions {
        log: Box::new(SinkLog::new(shared, sink, first, None)),
        log_id: String::new(),
        progress: None,
        first,
        first_sent: next,
        skipped: false,
        complete: false,
    }
}

/// A sink's part of the log, from where it stood; one that the log does not know begins as `start` says. `next` is the number
/// of the next cut, which the sink is sent.
///
/// # Errors
/// When its position is there and cannot be read, or a new one cannot be stored.
pub fn backlog(log: &Log, sink: &str, start: SinkStart, next: u64) -> io::Result<BacklogOptions> {
    let shared = log.shared();
    if !log.is_complete() {
        return Ok(begin(shared, sink, start, next));
    }
    let mut progress = read(log.dir(), sink)?.filter(|p| p.log_id == shared.log_id);
    let first = match start {
        SinkStart::Now => next,
        SinkStart::Oldest => shared.first(),
    };
    let (oldest, mut skipped) = (shared.first(), false);
    if let Some(progress) = progress.as_mut().filter(|p| p.next_cut < oldest) {
        // It was no sink of a run between, so nothing was kept for it. Its own rows say which numbers it lacks.
        tracing::warn!(
            sink,
            cuts = oldest - progress.next_cut,
            "the spool no longer has what came while it was no sink"
        );
        (progress.next_cut, skipped) = (oldest, true);
    }
    let next_cut = progress.as_ref().map_or(first, |p| p.next_cut);
    let mut part = SinkLog::new(shared, sink, next_cut, Some(path(log.dir(), sink)));
    if progress.is_none() {
        // From here on the log keeps what the sink needs, even if it never comes to a first flush.
        let begins = Progress::begins(&shared.log_id, first);
        part.passed(&begins)?;
        progress = Some(begins);
    }
    Ok(BacklogOptions {
        log: Box::new(part),
        log_id: shared.log_id.clone(),
        progress,
        first,
        first_sent: next,
        skipped,
        complete: true,
    })
}
