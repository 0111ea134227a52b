//! The log: segments in a directory, one writer, any number of readers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use weir_files::{Dir, Owner};
use weir_schema::SCHEMA_VERSION;
use weir_sinks::{Cut, Identity};

use super::cursor;
use super::frame::encode;
use super::reader::LogReader;
use super::recover::{give_up_headless, recover, recover_and_mend};
use super::segment::{self, SegmentHeader, SegmentWriter};

/// Says which log a directory holds.
const LOG_FILE: &str = "log.json";
/// Positions of the sinks.
pub const CURSORS: &str = "cursors";
/// Locked while a collector writes.
const LOCK_FILE: &str = "lock";

/// Limits of a log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Its directory; made if it is not there.
    pub dir: PathBuf,
    /// A segment is closed at this size.
    pub segment_bytes: u64,
    /// Segments stay when all sinks have passed them.
    pub keep: bool,
    /// Who gets a new directory; files in it belong to whom it belongs to.
    pub owner: Owner,
}

#[derive(Debug, Serialize, Deserialize)]
struct LogFile {
    log_id: String,
    /// It holds only what some sink had no room for, and nothing of it outlives the run.
    #[serde(default)]
    overflow: bool,
}

impl LogFile {
    /// Other names are made of the id, so it is what [`new_id`] makes: letters, digits and hyphens.
    fn checked(self) -> io::Result<LogFile> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        let is_id = (8..=64).contains(&self.log_id.len()) && self.log_id.bytes().all(is_plain);
        is_id.then_some(self).ok_or_else(|| damaged("it names no log"))
    }
}

fn damaged(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{LOG_FILE} is damaged: {why}"))
}

/// A closed or open segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Number of its first cut.
    pub first: u64,
    /// Number behind its last cut.
    pub next: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its file, for messages.
    pub path: PathBuf,
    /// Whose cuts it has, as its header said when that was read last.
    pub identity: Option<Identity>,
}

/// What writer and readers share.
pub struct Shared {
    /// Its directory.
    pub dir: Dir,
    /// Names the log.
    pub log_id: String,
    segments: Mutex<Vec<Segment>>,
    /// Number behind the last cut that readers may see.
    readable: AtomicU64,
    /// Every cut is in it; else only those are that some queue had no room for.
    complete: AtomicBool,
    /// By sink: number of the first cut that it still needs.
    needed: Mutex<BTreeMap<String, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(dir: Dir, log_id: String, segments: Vec<Segment>, next: u64) -> Shared {
        let (segments, readable) = (Mutex::new(segments), AtomicU64::new(next));
        Shared { dir, log_id, segments, readable, complete: AtomicBool::new(true), needed: Mutex::default() }
    }

    /// A log that nobody writes, or whose writer is elsewhere: what is whole now can be read. Nothing is changed.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open_to_read(dir: &Path) -> io::Result<(Arc<Shared>, Recovered)> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "it is no spool and no capture: there is no log.json");
        let dir = Dir::open_to_read(dir)?;
        let file = log_file(&dir)?.ok_or_else(none)?;
        let (segments, recovered) = recover(&dir, !file.overflow)?;
        let next = recovered.last.map_or(0, |last| last + 1);
        let shared = Shared::new(dir, file.log_id, segments, next);
        shared.complete.store(!file.overflow, Ordering::Release);
        Ok((Arc::new(shared), recovered))
    }

    /// The same, for those who must not miss a cut without a word.
    ///
    /// # Errors
    /// The same, or when it is damaged.
    pub fn open_whole(dir: &Path) -> io::Result<Arc<Shared>> {
        let (shared, recovered) = Shared::open_to_read(dir)?;
        if recovered.is_damaged() {
            let text = "it is damaged: `weir spool check` says where, `weir spool repair` keeps what is whole";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(shared)
    }

    /// Number behind the last cut that readers may see.
    pub fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    /// The segments as they are now.
    pub fn segments(&self) -> Vec<Segment> {
        lock(&self.segments).clone()
    }

    /// Every cut is in it; else only those are that some queue had no room for.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// The segment behind the one that begins with this cut.
    pub fn segment_behind(&self, first: u64) -> Option<Segment> {
        lock(&self.segments).iter().find(|s| s.first > first).cloned()
    }

    /// Number of the first cut that is still there.
    pub fn first(&self) -> u64 {
        lock(&self.segments).first().map_or_else(|| self.readable(), |s| s.first)
    }

    /// The segment that can have this cut.
    pub fn segment_of(&self, number: u64) -> Option<Segment> {
        let segments = lock(&self.segments);
        let at = segments.partition_point(|s| s.first <= number).checked_sub(1)?;
        segments.get(at).filter(|s| number < s.next).cloned()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        lock(&self.segments).iter().map(|s| s.bytes).sum()
    }

    /// A sink needs the cuts from here on.
    pub fn need(&self, sink: &str, from: u64) {
        lock(&self.needed).insert(sink.to_owned(), from);
    }

    /// A sink is gone: nothing is kept for it any more.
    pub fn forget(&self, sink: &str) {
        lock(&self.needed).remove(sink);
    }

    /// The first cut that some sink still needs.
    fn needed(&self) -> Option<u64> {
        lock(&self.needed).values().min().copied()
    }
}

/// What the start of a log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whole cuts.
    pub cuts: u64,
    /// Bytes behind the last whole frame of some file.
    pub torn_bytes: u64,
    /// Of each such file: path, where it is torn, why.
    pub torn: Vec<(PathBuf, u64, &'static str)>,
    /// Bytes of damage that has whole frames behind it.
    pub damaged_bytes: u64,
    /// Of each such damage: path, where it is, why.
    pub damaged: Vec<(PathBuf, u64, &'static str)>,
    /// Cuts that damage took: numbers of the first and the last.
    pub lost: Vec<(u64, u64)>,
    /// The last cut, if any.
    pub last: Option<u64>,
}

impl Recovered {
    /// Whether cuts are missing between others: a torn end alone is no damage, it was never acknowledged.
    pub fn is_damaged(&self) -> bool {
        !(self.damaged.is_empty() && self.lost.is_empty())
    }
}

/// The writing end of a log.
pub struct Log {
    options: LogOptions,
    shared: Arc<Shared>,
    open: Option<SegmentWriter>,
    /// Closed since the last sync.
    closed: Vec<Arc<File>>,
    frames: Vec<u8>,
    next: u64,
    recovered: Recovered,
    new_file: bool,
    complete: bool,
    _lock: File,
}

/// Files with cuts that are not durable yet.
pub struct Unsynced {
    files: Vec<Arc<File>>,
    /// The log's, if names in it are new.
    dir: Option<Dir>,
    /// Number behind the last of these cuts.
    pub next: u64,
}

impl Unsynced {
    /// Makes them durable.
    ///
    /// # Errors
    /// When the disk fails; it can be tried again.
    pub fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync_data())?;
        self.dir.as_ref().map_or(Ok(()), Dir::sync)
    }
}

fn new_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}

/// A new log. Returns its id.
fn begin_file(dir: &Dir, overflow: bool) -> io::Result<String> {
    let log_id = new_id()?;
    dir.replace(LOG_FILE, &serde_json::to_vec(&LogFile { log_id: log_id.clone(), overflow })?)?;
    Ok(log_id)
}

fn remove_all(dir: &Dir) -> io::Result<()> {
    segment::list(dir)?.into_iter().try_for_each(|first| dir.remove(segment::name(first)))
}

/// Whether a directory holds a log, or what claims to be one: that is judged when it is opened.
pub fn is_log(dir: &Path) -> bool {
    fs::symlink_metadata(dir.join(LOG_FILE)).is_ok()
}

/// Longest state file that is believed: cursors have a line per CPU and action.
pub const STATE_BYTES_MAX: u64 = 8 << 20;

/// What the directory says of its log; `None` if there is no log.
fn log_file(dir: &Dir) -> io::Result<Option<LogFile>> {
    match dir.read(LOG_FILE, STATE_BYTES_MAX) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(damaged).and_then(LogFile::checked).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tries any bytes as what a directory says of its log.
pub(crate) fn try_log_file(bytes: &[u8]) {
    let _ = serde_json::from_slice::<LogFile>(bytes);
}

impl Log {
    /// Opens or makes the log of a directory: every whole frame stays, what is torn behind the last one is cut off, and cuts
    /// that damage took are replaced by such that say so.
    ///
    /// # Errors
    /// When another collector has it, or the directory cannot be read or written.
    pub fn open(options: LogOptions) -> io::Result<Log> {
        Log::open_with(options, |_| Ok(()))
    }

    /// The same; and what no start may decide is given up: the cuts of a segment whose header is damaged.
    ///
    /// # Errors
    /// The same.
    pub fn repair(options: LogOptions) -> io::Result<Log> {
        Log::open_with(options, give_up_headless)
    }

    fn open_with(options: LogOptions, prepare: impl FnOnce(&Dir) -> io::Result<()>) -> io::Result<Log> {
        let dir = Dir::create_given(&options.dir, options.owner)?;
        dir.make_subdir(CURSORS)?;
        let held = dir.lock(LOCK_FILE).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another weir uses it"),
            _ => error,
        })?;
        prepare(&dir)?;
        let log_id = match log_file(&dir)? {
            Some(LogFile { log_id, overflow: false }) => log_id,
            Some(LogFile { overflow: true, .. }) => {
                remove_all(&dir)?;
                begin_file(&dir, false)?
            }
            None => begin_file(&dir, false)?,
        };
        let (segments, recovered) = recover_and_mend(&dir, &log_id)?;
        let next = recovered.last.map_or(0, |last| last + 1);
        // In a log without any cut the positions of sinks mean nothing: it is another log.
        let is_lost = segments.is_empty() && cursor::furthest(&dir, &log_id)? > 0;
        let log_id = if is_lost { begin_file(&dir, false)? } else { log_id };
        let shared = Arc::new(Shared::new(dir, log_id, segments, next));
        let frames = vec![];
        Ok(Log {
            options,
            shared,
            open: None,
            closed: vec![],
            frames,
            next,
            recovered,
            new_file: false,
            complete: true,
            _lock: held,
        })
    }

    /// Makes it a log of what sinks have no room for: it begins empty, and the next start removes what is left of it.
    ///
    /// # Errors
    /// When it holds cuts of a run that kept them: some sink may still need those.
    pub fn begin_empty(&mut self) -> io::Result<()> {
        if self.recovered.cuts > 0 {
            let text = "it holds events of a run with `--durability crash` or of a capture: deliver them by such a run, \
                        or name another directory";
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, text));
        }
        begin_file(&self.shared.dir, true)?;
        self.complete = false;
        self.shared.complete.store(false, Ordering::Release);
        Ok(())
    }

    /// What the start found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// For readers.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Every cut goes through it, and it outlives the run; else it has what sinks found no room for.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Its directory.
    pub fn dir(&self) -> &Dir {
        &self.shared.dir
    }

    /// Number of the next cut.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The last cut.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_cut(&self) -> io::Result<Option<Arc<Cut>>> {
        match self.next.checked_sub(1) {
            Some(number) => LogReader::bridging(Arc::clone(&self.shared)).cut(number),
            None => Ok(None),
        }
    }

    /// Appends a cut; it is neither durable nor seen by readers before [`Log::publish`].
    ///
    /// # Errors
    /// When there is no room or the disk fails: nothing of it is in the log then, and the same cut can be tried again.
    pub fn append(&mut self, cut: &Cut) -> io::Result<u64> {
        let fits =
            |open: &SegmentWriter| open.bytes < self.options.segment_bytes && open.header.identity() == cut.identity;
        if !self.open.as_ref().is_some_and(fits) {
            self.close()?;
            self.open = Some(self.begin(&cut.identity, cut.number)?);
            self.new_file = true;
        }
        let Some(open) = &mut self.open else { return Ok(0) };
        self.frames.clear();
        encode(cut, &mut open.schemas, &mut self.frames)?;
        if let Err(error) = open.append(&self.frames) {
            // Schemas that were to stand in front of the cut are not there either: a new segment says them again.
            self.close()?;
            return Err(error);
        }
        self.next = cut.number + 1;
        let bytes = open.bytes;
        if let Some(segment) = lock(&self.shared.segments).last_mut() {
            (segment.next, segment.bytes) = (self.next, bytes);
        }
        Ok(self.frames.len() as u64)
    }

    fn begin(&self, identity: &Identity, first_cut: u64) -> io::Result<SegmentWriter> {
        let header = SegmentHeader {
            log_id: self.shared.log_id.clone(),
            host: identity.host.to_string(),
            boot_id: identity.boot_id.to_string(),
            epoch: identity.epoch,
            first_cut,
            schema_version: SCHEMA_VERSION,
            collector_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let writer = SegmentWriter::create(&self.shared.dir, header)?;
        let segment = Segment {
            first: first_cut,
            next: first_cut,
            bytes: writer.bytes,
            path: writer.path.clone(),
            identity: Some(identity.clone()),
        };
        lock(&self.shared.segments).push(segment);
        Ok(writer)
    }

    /// Closes the open segment, which the next sync makes durable; one without a cut goes.
    fn close(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let is_empty = |s: &Segment| s.path == open.path && s.first == s.next;
        let emptied = lock(&self.shared.segments).pop_if(|last| is_empty(last));
        match emptied {
            Some(empty) => self.shared.dir.remove(segment::name(empty.first)),
            None => {
                // Nothing of an overflow outlives the run, so it is never synced.
                self.closed.extend(self.complete.then_some(open.file));
                Ok(())
            }
        }
    }

    /// What was appended since the last call, to be synced wherever there is time for it.
    pub fn unsynced(&mut self) -> Unsynced {
        let mut files = std::mem::take(&mut self.closed);
        files.extend(self.open.as_ref().map(|open| Arc::clone(&open.file)));
        let dir = std::mem::take(&mut self.new_file).then(|| self.shared.dir.clone());
        Unsynced { files, dir, next: self.next }
    }

    /// Shows the cuts below this number to the readers.
    pub fn show(&self, next: u64) {
        self.shared.readable.store(next, Ordering::Release);
    }

    /// Makes what was appended durable, if asked to, and shows it to the readers.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn publish(&mut self, durable: bool) -> io::Result<()> {
        if durable {
            self.unsynced().sync()?;
        }
        self.show(self.next);
        Ok(())
    }

    /// Removes the segments that no sink needs any more. Returns how many.
    pub fn trim(&mut self) -> usize {
        if self.options.keep {
            return 0;
        }
        let Some(needed) = self.shared.needed() else { return 0 };
        let open = self.open.as_ref().map(|o| &o.path);
        let goes = |s: &mut Segment| s.next <= needed && Some(&s.path) != open && s.next != self.next;
        let gone: Vec<Segment> = lock(&self.shared.segments).extract_if(.., goes).collect();
        // Never with the list locked: who asks where a cut is must not wait for the disk.
        let remove = |s: &Segment| self.shared.dir.remove(segment::name(s.first));
        let is_there = |s: &Segment| remove(s).is_err_and(|e| e.kind() != io::ErrorKind::NotFound);
        let count = gone.len();
        let kept: Vec<Segment> = gone.into_iter().filter(is_there).collect();
        let removed = count - kept.len();
        if !kept.is_empty() {
            let mut segments = lock(&self.shared.segments);
            segments.extend(kept);
            segments.sort_by_key(|s| s.first);
        }
        removed
    }

    /// Whether no sink needs anything of it: what is still there only says where the collector stood.
    pub fn is_passed(&self) -> bool {
        self.shared.needed().is_some_and(|needed| needed >= self.next)
    }

    /// The oldest closed segment, to make it smaller.
    pub fn oldest_closed(&self) -> Option<Segment> {
        let open = self.open.as_ref().map(|o| &o.path);
        lock(&self.shared.segments).iter().find(|s| Some(&s.path) != open).cloned()
    }

    /// Closes the open segment, so that it can be made smaller.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn roll(&mut self) -> io::Result<()> {
        self.close()
    }

    /// A segment's file was replaced by a smaller one.
    pub fn replaced(&self, first: u64, bytes: u64) {
        if let Some(segment) = lock(&self.shared.segments).iter_mut().find(|s| s.first == first) {
            segment.bytes = bytes;
        }
    }
}
