//! Where each sink stands in the log: one small file a sink.

use std::io;
use std::sync::Arc;

use weir_files::Dir;
use weir_sinks::{Backlog, BacklogOptions, Progress};

use super::frame::NUMBER_MAX;
use super::log::{CURSORS, Log, STATE_BYTES_MAX, Shared};
use super::reader::SinkLog;
use crate::config::SinkStart;

/// The file of a sink's position.
#[derive(Debug, Clone)]
pub struct Place {
    dir: Dir,
    /// Below the directory of the log.
    name: String,
}

impl Place {
    /// In a log's directory. Names of sinks are of letters that are safe in file names; others become `_`.
    pub fn of(dir: &Dir, sink: &str) -> Place {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name = format!("{CURSORS}/{}.json", sink.chars().map(safe).collect::<String>());
        Place { dir: dir.clone(), name }
    }

    /// Stores a position, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, progress: &Progress) -> io::Result<()> {
        self.dir.replace(&self.name, &serde_json::to_vec(progress)?)
    }
}

/// The position of a sink; `None` for one that has none yet.
///
/// # Errors
/// When the file is there and cannot be read: a wrong position would lose rows or send all of them again.
pub fn read(dir: &Dir, sink: &str) -> io::Result<Option<Progress>> {
    let Place { dir, name } = Place::of(dir, sink);
    let bad = |error: io::Error| {
        let text = format!("{}: {error}; remove it to begin at the oldest cut", dir.path_of(&name).display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    match dir.read(&name, STATE_BYTES_MAX) {
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
pub fn furthest(dir: &Dir, log_id: &str) -> io::Result<u64> {
    let own = all(dir)?.into_iter().filter(|(_, progress)| progress.log_id == log_id);
    Ok(own.map(|(_, progress)| progress.next_cut).max().unwrap_or(0))
}

/// Names of the sinks that have a position, with it.
///
/// # Errors
/// When the directory cannot be listed.
pub fn all(dir: &Dir) -> io::Result<Vec<(String, Progress)>> {
    let mut found = vec![];
    for entry in dir.subdir(CURSORS)?.list()? {
        if let Some(name) = entry.text().and_then(|name| name.strip_suffix(".json")) {
            found.extend(read(dir, name)?.map(|progress| (name.to_owned(), progress)));
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
    let mut part = SinkLog::new(shared, sink, next_cut, Some(Place::of(log.dir(), sink)));
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
