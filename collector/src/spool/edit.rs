//! New captures from old ones, and what other programs read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;

use arrow_ipc::writer::StreamWriter;
use weir_files::Dir;
use weir_schema::{CLASSES, ClassId};
use weir_sinks::{ClassSet, Cut, Tally};

use super::info::for_each;
use super::log::{Log, LogOptions, Shared};
use crate::host::Caller;
use crate::replay::Span;

/// Bytes of a segment of a new capture.
const SEGMENT_BYTES: u64 = 64 << 20;

fn new_log(dir: &Path) -> io::Result<Log> {
    let log = Log::open(LogOptions {
        dir: dir.to_owned(),
        segment_bytes: SEGMENT_BYTES,
        keep: true,
        owner: Caller::owner(),
    })?;
    if log.next() > 0 {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is a capture already: name another directory", dir.display()),
        ));
    }
    Ok(log)
}

/// A cut with another number, without the rows of other classes.
fn taken(cut: &Cut, number: u64, classes: ClassSet) -> Cut {
    let kept = |t: &&Tally| t.action == 0 || classes.has_action(t.action);
    let (kept, gone): (Vec<Tally>, Vec<Tally>) = cut.tallies.iter().partition(kept);
    // A number whose row is left out on purpose is withheld, like one that was not selected.
    let withheld = gone.into_iter().map(|t| Tally { action: 0, ..t });
    Cut {
        number,
        identity: cut.identity.clone(),
        batches: cut.batches.iter().filter(|b| classes.contains(b.class.id)).cloned().collect(),
        tallies: kept.into_iter().chain(withheld).collect(),
        dropped: cut.dropped.clone(),
        damaged: cut.damaged,
        positions: cut.positions.clone(),
        clock_offset_ns: cut.clock_offset_ns,
        last: cut.last,
        resume: String::new(),
    }
}

/// A new capture with the rows of a span and of some classes; all other numbers stay accounted for. Returns how many rows.
///
/// # Errors
/// When a capture cannot be read or written.
pub fn cut(from: &Path, to: &Path, span: Span, classes: ClassSet) -> io::Result<u64> {
    let shared = Shared::open_whole(from)?;
    let mut log = new_log(to)?;
    let rows = append_all(&shared, &mut log, span, classes)?;
    log.publish(true)?;
    Ok(rows)
}

/// A new capture with all streams of several. Returns how many rows.
///
/// # Errors
/// When a capture cannot be read or written, or two have events of the same run.
pub fn merge<'a>(from: impl IntoIterator<Item = &'a Path> + Clone, to: &Path) -> io::Result<u64> {
    check_apart(from.clone())?;
    let mut log = new_log(to)?;
    let mut rows = 0;
    for dir in from {
        rows += append_all(&open(dir)?, &mut log, Span::default(), ClassSet::all()).map_err(named(dir))?;
    }
    log.publish(true)?;
    Ok(rows)
}

fn named(dir: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()))
}

fn open(dir: &Path) -> io::Result<Arc<Shared>> {
    Shared::open_whole(dir).map_err(named(dir))
}

/// Each part of a run accounts for all of the run's numbers, so a capture can have one of them only.
fn check_apart<'a>(from: impl IntoIterator<Item = &'a Path>) -> io::Result<()> {
    let mut known: HashMap<(Arc<str>, i64), &Path> = HashMap::new();
    for dir in from {
        let mut own = HashSet::new();
        let note = |cut: Arc<Cut>| {
            own.insert((cut.identity.boot_id.clone(), cut.identity.epoch));
            Ok(())
        };
        for_each(&open(dir)?, note).map_err(named(dir))?;
        for stream in own {
            if let Some(other) = known.insert(stream, dir) {
                let (other, dir) = (other.display(), dir.display());
                let text = format!(
                    "{other} and {dir} have events of the same run: only captures of different runs can be merged"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
    }
    Ok(())
}

fn append_all(shared: &Arc<Shared>, log: &mut Log, span: Span, classes: ClassSet) -> io::Result<u64> {
    let mut rows = 0;
    for_each(shared, |cut| {
        let cut = taken(&span.of(cut), log.next(), classes);
        rows += cut.rows() as u64;
        log.append(&cut).map(drop)
    })?;
    Ok(rows)
}

/// Writes `<class>.arrows`, one Arrow IPC stream per class that has rows. Returns rows by class.
///
/// # Errors
/// When the capture cannot be read, or a file cannot be written.
pub fn export(from: &Path, to: &Path) -> io::Result<BTreeMap<&'static str, u64>> {
    let shared = Shared::open_whole(from)?;
    let to = Dir::create_given(to, Caller::owner())?;
    let mut writers: Vec<Option<StreamWriter<BufWriter<File>>>> = CLASSES.iter().map(|_| None).collect();
    let mut rows = BTreeMap::new();
    for_each(&shared, |cut| {
        for batch in &cut.batches {
            let slot = &mut writers[batch.class.id.index()];
            let writer = match slot {
                Some(writer) => writer,
                None => slot.insert(stream(&to, batch.class.id, batch.class.name)?),
            };
            writer.write(&batch.rows).map_err(io::Error::other)?;
            *rows.entry(batch.class.name).or_default() += batch.rows.num_rows() as u64;
        }
        Ok(())
    })?;
    for writer in writers.iter_mut().flatten() {
        writer.finish().map_err(io::Error::other)?;
    }
    Ok(rows)
}

fn stream(dir: &Dir, class: ClassId, name: &str) -> io::Result<StreamWriter<BufWriter<File>>> {
    let file = BufWriter::new(dir.create(format!("{name}.arrows"))?);
    StreamWriter::try_new(file, &weir_schema::arrow::schema(class)).map_err(io::Error::other)
}
