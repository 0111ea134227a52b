//! The Parquet sink: rolling files that appear whole or not at all.
//!
//! All classes roll together: a flush finishes and syncs the files of every class, and only then gives them their
//! names, class by class and `loss`, which has the checkpoints, last. What fails before the last name takes the names
//! of the same flush back, so that the rows of a flush are all there or all lost.
//!
//! A file is `<dir>/class=<class>/date=YYYY-MM-DD/hour=H/<host>-<boot id>-<epoch>-<first ktime_ns>-<n>.parquet`; date
//! and hour (UTC) are those of its rows.

mod encode;
mod failure;
mod file;
mod footer;
mod generation;
mod limits;
mod names;
mod options;
mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use weir_schema::{CLASSES, ClassId};

use self::encode::Codec;
use self::failure::Failure;
use self::file::{ClassFile, Whole};
use self::limits::Limits;
use self::target::{Target, sync_dirs};
use crate::{Batch, Identity, Progress, Receipt, Sink, SinkError};

pub use self::options::ParquetOptions;

/// Encoded bytes in memory, of the open row groups of all classes: beyond it the largest row group is written early.
const OPEN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Writes rolling Parquet files into one directory.
pub struct ParquetSink {
    options: ParquetOptions,
    identity: Identity,
    collector_version: String,
    target: Target,
    limits: Limits,
    codec: Codec,
    /// By class; more than one file where the rows have come into another hour.
    open: [Vec<ClassFile>; CLASSES.len()],
    opened_at: Option<Instant>,
    /// Files of this epoch by class.
    published: [u64; CLASSES.len()],
    leftovers: u64,
}

impl ParquetSink {
    /// Makes and tries out the directory, and removes the unfinished files of collectors that are gone.
    ///
    /// # Errors
    /// [`SinkError::Fatal`] with what to do about it: the directory cannot be made or written, or the disk is full.
    pub fn open(
        options: ParquetOptions,
        identity: Identity,
        collector_version: impl Into<String>,
    ) -> Result<ParquetSink, SinkError> {
        let fatal = |failure: Failure| SinkError::Fatal(failure.to_string());
        let level = options.compression;
        let codec = Codec::new(level)
            .map_err(|error| SinkError::Fatal(format!("zstd has no level {level}: {error}; choose 1 to 22")))?;
        let (target, leftovers) = Target::open(&options.dir, options.owner).map_err(fatal)?;
        let note = target.dir().and_then(|dir| {
            generation::read(&dir, &options.name).map_err(Failure::io("read what the last flush left in", dir.path()))
        });
        note.map_err(fatal)?;
        let limits = Limits::new(&options);
        limits.check_room(&target).map_err(fatal)?;
        Ok(ParquetSink {
            limits,
            options,
            identity,
            collector_version: collector_version.into(),
            target,
            codec,
            open: Default::default(),
            opened_at: None,
            published: [0; CLASSES.len()],
            leftovers,
        })
    }

    /// How many unfinished files of collectors that are gone were removed at the start.
    pub fn leftovers(&self) -> u64 {
        self.leftovers
    }

    /// How many files were published.
    pub fn files_published(&self) -> u64 {
        self.published.iter().sum()
    }

    /// Encoded bytes of the open row groups in memory, of all classes.
    pub fn open_bytes(&self) -> usize {
        self.open.iter().flatten().map(ClassFile::open_bytes).sum()
    }

    fn try_write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let parts = hours(batch);
        if parts.is_empty() {
            return Err(file::missing(batch.class, "time"));
        }
        for (hour, part) in parts {
            let files = &mut self.open[batch.class.id.index()];
            if files.last().is_none_or(|file| file.hour() != hour) {
                files.push(ClassFile::start(&part, &self.target, &self.identity, &self.codec)?);
            }
            if let Some(file) = files.last_mut() {
                file.append(&part.rows, &self.options, &mut self.codec)?;
            }
        }
        self.opened_at.get_or_insert_with(Instant::now);
        while self.open_bytes() > OPEN_BYTES_MAX {
            let Some(largest) = self.open.iter_mut().flatten().max_by_key(|file| file.open_bytes()) else { break };
            largest.finish_group(&mut self.codec)?;
        }
        Ok(())
    }

    fn try_flush(&mut self, progress: &Progress) -> Result<(), Failure> {
        let mut whole = self.finish()?;
        self.write_down(&whole, progress)?;
        let mut names = Vec::new();
        let published = self.publish(&mut whole, &mut names).and_then(|()| self.write_down_done(&names, progress));
        if published.is_err() {
            self.take_back(&names);
        }
        published
    }

    fn finish(&mut self) -> Result<Vec<Whole>, Failure> {
        self.opened_at = None;
        let open = std::mem::take(&mut self.open).into_iter().flatten();
        open.map(|file| file.finish(&self.identity, &self.collector_version, &mut self.codec)).collect()
    }

    /// With a log behind the lane, what is about to become visible is written down first.
    fn write_down(&self, files: &[Whole], progress: &Progress) -> Result<(), Failure> {
        if progress.log_id.is_empty() || files.is_empty() {
            return Ok(());
        }
        let mut published = self.published;
        let name = |file: &Whole| {
            let published = &mut published[file.class.id.index()];
            let (name, n) = file.next_name(&self.target, &self.identity, *published);
            *published = n + 1;
            name
        };
        let names = files.iter().map(name).collect();
        let stored = generation::store(&self.target.dir()?, &self.options.name, progress, names, false);
        stored.map_err(Failure::io("write down a flush in", self.target.path()))
    }

    fn write_down_done(&self, names: &[PathBuf], progress: &Progress) -> Result<(), Failure> {
        if progress.log_id.is_empty() || names.is_empty() {
            return Ok(());
        }
        let stored = generation::store(&self.target.dir()?, &self.options.name, progress, vec![], true);
        stored.map_err(Failure::io("write down a flush in", self.target.path()))
    }

    /// `names` has what became visible, also on failure.
    fn publish(&mut self, files: &mut [Whole], names: &mut Vec<PathBuf>) -> Result<(), Failure> {
        let mut changed = BTreeMap::new();
        for file in files.iter() {
            self.target.make_dirs(file.partition())?;
        }
        for file in files {
            if file.class.id == ClassId::Loss {
                // A checkpoint must not outlive a power cut that the rows below it did not.
                sync_dirs(&mut changed)?;
            }
            let published = &mut self.published[file.class.id.index()];
            let (path, n) = file.publish(&self.target, &self.identity, *published)?;
            *published = n + 1;
            changed.insert(file.partition().to_owned(), self.target.make_dirs(file.partition())?);
            names.push(path);
        }
        sync_dirs(&mut changed)
    }

    /// Removes what a failing flush made visible: its rows count as lost.
    fn take_back(&self, names: &[PathBuf]) {
        let remove = |name| Ok(self.target.dir()?.remove(name).map_err(Failure::io("remove", name))?);
        for name in names.iter().rev() {
            if let Err(error) = remove(name) {
                let error: SinkError = error;
                tracing::warn!(%error, "a file of a failed flush stays, its rows count as lost");
            }
        }
    }

    /// Drops what was accepted since the last flush.
    fn discard(&mut self) {
        self.open = Default::default();
        self.opened_at = None;
    }
}

/// The rows of each hour (counted from 1970), in their order.
fn hours(batch: &Batch) -> Vec<(i64, Batch)> {
    let (times, mut parts, mut at) = (batch.times(), vec![], 0);
    while let Some(first) = times.get(at) {
        let hour = names::hour_of(*first);
        // Times of a batch ascend.
        let count = times[at..].partition_point(|time| names::hour_of(*time) <= hour);
        parts.push((hour, Batch { class: batch.class, rows: batch.rows.slice(at, count) }));
        at += count;
    }
    parts
}

impl Sink for ParquetSink {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn read_back(&mut self) -> Result<Option<Progress>, SinkError> {
        generation::recover(&self.target.dir()?, &self.options.name)
    }

    fn begin(&mut self, stream: &Identity) -> Result<(), SinkError> {
        if self.identity != *stream {
            self.identity = stream.clone();
            self.published = [0; CLASSES.len()];
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if batch.rows.num_rows() == 0 {
            return Ok(());
        }
        self.try_write(batch).map_err(|failure| {
            self.discard();
            failure.into()
        })
    }

    fn wants_flush(&self, now: Instant) -> bool {
        let is_full = |file: &ClassFile| file.rows() >= self.options.rows_max || file.bytes() >= self.options.bytes_max;
        let has_past_hour = self.open.iter().any(|files| files.len() > 1);
        has_past_hour || self.flush_due().is_some_and(|due| now >= due) || self.open.iter().flatten().any(is_full)
    }

    fn flush_due(&self) -> Option<Instant> {
        self.opened_at.map(|at| at + self.options.age_max)
    }

    fn flush(&mut self, progress: &Progress) -> Result<Receipt, SinkError> {
        let flushed = self.try_flush(progress);
        if flushed.is_err() {
            self.discard();
        }
        // Also after a failure: on a full disk this is what makes room for the next flush.
        self.limits.enforce(&self.target);
        Ok(flushed.map(|()| Receipt::default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss_rows::{LossAction, LossRow, loss_batch};

    #[test]
    fn the_note_of_a_flush_over_a_full_hour_has_the_names_that_its_files_get() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { host: "host".into(), boot_id: "boot".into(), epoch: 1 };
        let options = ParquetOptions { dir: dir.path().to_owned(), ..ParquetOptions::default() };
        let mut sink = ParquetSink::open(options, identity.clone(), "test").unwrap();
        let row = |seq: i64| LossRow {
            ktime_ns: seq * 3_600_000_000_000,
            cpu: -1,
            seq,
            action: LossAction::Gap,
            gap_cpu: Some(0),
            first_seq: Some(0),
            last_seq: Some(0),
            first_ktime_ns: None,
            last_ktime_ns: None,
            count: 1,
            by_action: String::new(),
            reason: None,
        };
        for round in 0..2 {
            sink.write(&loss_batch(&identity, round, &[row(0), row(1), row(2)])).unwrap();
            let mut whole = sink.finish().unwrap();
            sink.write_down(&whole, &Progress::begins("log", 0)).unwrap();
            let note = generation::read(&sink.target.dir().unwrap(), &sink.options.name).unwrap().unwrap();
            let mut names = vec![];
            sink.publish(&mut whole, &mut names).unwrap();
            assert_eq!((note.files(), names.len()), (&names[..], 3));
        }
    }
}
