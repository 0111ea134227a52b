//! Limits of the whole directory: the oldest files go, and a note of what they held stays.
//!
//! Every removed file is a line of `removed.jsonl` at the top of the directory, written and synced before the file
//! goes: its name, class, rows, and per CPU the first and last number that it had and how many, those inside its gaps
//! apart: so a later count tells removed from lost, to the number.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parquet::file::reader::{FileReader, SerializedFileReader};
use rustix::io::Errno;
use serde_json::{Value, json};
use weir_files::{Dir, Kind};

use super::failure::Failure;
use super::footer::{GAPS_KEYS, ROWS_KEYS};
use super::names::FINISHED;
use super::options::ParquetOptions;
use super::target::Target;

/// Notes of what was removed, one JSON object per line.
const NOTES: &str = "removed.jsonl";
/// Bytes of notes; beyond it the older half goes, with a line that says how many.
const NOTES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Levels of directories below the data directory: class, date, hour.
const LEVELS: usize = 3;

/// The limits of a directory.
pub(super) struct Limits {
    bytes_max: Option<u64>,
    age_max: Option<Duration>,
    free_bytes_min: Option<u64>,
}

struct Published {
    /// Below the data directory.
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl Limits {
    /// The limits of `options`.
    pub(super) fn new(options: &ParquetOptions) -> Limits {
        Limits {
            bytes_max: options.dir_bytes_max,
            age_max: options.dir_age_max,
            free_bytes_min: options.free_bytes_min,
        }
    }

    /// At the start: the floor of free space must hold, or older files must be there to make room. Without, everything
    /// that is written would be removed again at once.
    pub(super) fn check_room(&self, target: &Target) -> Result<(), Failure> {
        let dir = target.dir()?;
        if published(&dir)?.is_empty() && self.lacks_room(&dir)? {
            let action = "keep the space free that `free_bytes_min` asks for in";
            return Err(Failure::io(action, target.path())(Errno::NOSPC));
        }
        Ok(())
    }

    /// Removes files until the limits hold; what fails is logged and tried again at the next flush.
    pub(super) fn enforce(&self, target: &Target) {
        if self.bytes_max.is_none() && self.age_max.is_none() && self.free_bytes_min.is_none() {
            return;
        }
        if let Err(failure) = self.try_enforce(target) {
            tracing::warn!(%failure, "the limits of the data directory do not hold");
        }
    }

    fn try_enforce(&self, target: &Target) -> Result<(), Failure> {
        let dir = target.dir()?;
        let mut files = published(&dir)?;
        files.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let now = SystemTime::now();
        for file in &files {
            let age = now.duration_since(file.modified).unwrap_or_default();
            let reason = if self.age_max.is_some_and(|max| age > max) {
                "dir_age_max"
            } else if self.bytes_max.is_some_and(|max| bytes > max) {
                "dir_bytes_max"
            } else if self.lacks_room(&dir)? {
                "free_bytes_min"
            } else {
                break;
            };
            remove(&dir, &file.path, reason)?;
            bytes -= file.bytes;
        }
        Ok(())
    }

    fn lacks_room(&self, dir: &Dir) -> Result<bool, Failure> {
        let Some(min) = self.free_bytes_min else { return Ok(false) };
        let stat = dir.statvfs().map_err(Failure::io("ask for the free space of", dir.path()))?;
        // A file system that counts no blocks (ramfs) does not tell.
        Ok(stat.f_blocks > 0 && stat.f_bavail * stat.f_frsize < min)
    }
}

fn remove(dir: &Dir, path: &Path, reason: &str) -> Result<(), Failure> {
    note(dir, path, reason).map_err(Failure::io("note a removed file in", &dir.path_of(NOTES)))?;
    dir.remove(path).map_err(Failure::io("remove", &dir.path_of(path)))?;
    tracing::info!(path = %dir.path_of(path).display(), reason, "removed the oldest file");
    // The hour, the date and the class go with their last file; a directory that is not empty refuses.
    let parents = path.ancestors().skip(1).take(LEVELS);
    parents.take_while(|parent| dir.remove_dir(parent).is_ok()).for_each(drop);
    Ok(())
}

fn note(dir: &Dir, path: &Path, reason: &str) -> io::Result<()> {
    shorten(dir)?;
    let mut line = describe(dir, path);
    line["file"] = json!(path.to_string_lossy());
    line["reason"] = json!(reason);
    line["removed_at"] = json!(chrono::DateTime::<chrono::Utc>::from(SystemTime::now()).to_rfc3339());
    let mut out = dir.append(NOTES)?;
    out.write_all(format!("{line}\n").as_bytes())?;
    out.sync_all()
}

/// What the footer says about the rows; a file that cannot be read is noted by name alone.
fn describe(dir: &Dir, path: &Path) -> Value {
    let read = || -> Option<Value> {
        let reader = SerializedFileReader::new(dir.open_linked(path).ok()?).ok()?;
        let metadata = reader.metadata().file_metadata();
        let pairs: BTreeMap<&str, &str> = metadata
            .key_value_metadata()?
            .iter()
            .filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)))
            .collect();
        let text = |key: &str| pairs.get(key).copied().unwrap_or_default();
        let class = path.components().find_map(|c| c.as_os_str().to_str()?.strip_prefix("class="));
        Some(json!({
            "class": class,
            "host": text("weir.host"),
            "boot_id": text("weir.boot_id"),
            "epoch": text("weir.epoch").parse::<i64>().ok(),
            "rows": metadata.num_rows(),
            "seq": numbers(&pairs, ROWS_KEYS),
            "gaps": text("weir.gaps").parse::<u64>().ok(),
            "gap_seq": numbers(&pairs, GAPS_KEYS),
        }))
    };
    read().unwrap_or_else(|| json!({}))
}

/// First, last and how many, by CPU.
fn numbers<'a>(pairs: &BTreeMap<&'a str, &str>, (span_key, count_key): (&str, &str)) -> BTreeMap<&'a str, [i64; 3]> {
    let parse = |key: &'a str, span: &str| {
        let cpu = key.strip_prefix(span_key)?;
        let (first, last) = span.split_once('-')?;
        let count = pairs.get(format!("{count_key}{cpu}").as_str())?;
        Some((cpu, [first.parse().ok()?, last.parse().ok()?, count.parse().ok()?]))
    };
    pairs.iter().filter_map(|(key, span)| parse(key, span)).collect()
}

/// What stands for notes that were dropped before.
#[derive(serde::Deserialize)]
struct Dropped {
    dropped_notes: u64,
}

/// Keeps the notes within [`NOTES_BYTES_MAX`].
fn shorten(dir: &Dir) -> io::Result<()> {
    let bytes = dir.stat(NOTES)?.map_or(0, |notes| notes.st_size as u64);
    if bytes <= NOTES_BYTES_MAX {
        return Ok(());
    }
    let text = dir.read(NOTES, 2 * NOTES_BYTES_MAX)?;
    // Behind the line in the middle; without one all go.
    let middle = text.iter().skip(text.len() / 2).position(|byte| *byte == b'\n');
    let (dropped, kept) = text.split_at(middle.map_or(text.len(), |at| text.len() / 2 + at + 1));
    let earlier = |line: &[u8]| serde_json::from_slice::<Dropped>(line).map_or(1, |dropped| dropped.dropped_notes);
    let lines = dropped.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let count = lines.fold(0u64, |sum, line| sum.saturating_add(earlier(line)));
    let mut short = format!("{}\n", json!({ "dropped_notes": count })).into_bytes();
    short.extend_from_slice(kept);
    dir.replace(NOTES, &short)
}

/// All published files.
fn published(dir: &Dir) -> Result<Vec<Published>, Failure> {
    let mut files = Vec::new();
    list(dir, Path::new(""), LEVELS, &mut files).map_err(Failure::io("list", dir.path()))?;
    Ok(files)
}

/// The same, `levels` directories down, of the directory that has this name below the data directory.
fn list(dir: &Dir, below: &Path, levels: usize, files: &mut Vec<Published>) -> io::Result<()> {
    for entry in dir.list()? {
        let Some(name) = entry.text() else { continue };
        let path = below.join(name);
        if entry.kind == Kind::Dir && levels > 0 && name.contains('=') {
            list(&dir.subdir(name)?, &path, levels - 1, files)?;
        } else if entry.kind == Kind::File && levels == 0 && name.ends_with(FINISHED) {
            let Some(stat) = dir.stat(name)? else { continue };
            let since = Duration::new(stat.st_mtime.try_into().unwrap_or(0), stat.st_mtime_nsec as u32);
            files.push(Published { path, bytes: stat.st_size as u64, modified: UNIX_EPOCH + since });
        }
    }
    Ok(())
}
