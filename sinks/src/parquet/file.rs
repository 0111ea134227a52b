//! One file in the making: the rows of one class, from its first row to its name.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use weir_schema::Class;

use super::encode::{Codec, Layout, RowGroup};
use super::failure::Failure;
use super::footer::Spans;
use super::names;
use super::options::ParquetOptions;
use super::target::{Target, Unfinished};
use crate::{Batch, Identity};

/// Bytes between the encoder and the file: a row group leaves in few writes.
const WRITE_BYTES: usize = 128 * 1024;

/// A file that grows.
pub(super) struct ClassFile {
    class: &'static Class,
    layout: Layout,
    unfinished: Unfinished,
    out: SerializedFileWriter<BufWriter<std::fs::File>>,
    lists: ArrowRowGroupWriterFactory,
    group: RowGroup,
    groups: usize,
    rows: u64,
    spans: Spans,
    first_time_us: i64,
    first_ktime_ns: i64,
}

/// A file that is whole and durable, but has no name yet.
pub(super) struct Whole {
    /// Its class.
    pub(super) class: &'static Class,
    unfinished: Unfinished,
    partition: PathBuf,
    first_ktime_ns: i64,
}

/// The rows have no such column.
pub(super) fn missing(class: &Class, name: &str) -> Failure {
    Failure::Encode { class: class.name, error: ParquetError::General(format!("column {name} is missing")) }
}

impl ClassFile {
    /// Starts a file with the rows of `batch`, which has some.
    pub(super) fn start(
        batch: &Batch,
        target: &Target,
        identity: &Identity,
        codec: &Codec,
    ) -> Result<ClassFile, Failure> {
        let class = batch.class;
        let first_of = |values: &[i64], name| values.first().copied().ok_or_else(|| missing(class, name));
        let first_time_us = first_of(batch.times(), "time")?;
        let first_ktime_ns = first_of(batch.ktimes(), "ktime_ns")?;
        let layout = Layout::new(batch.rows.schema()).map_err(|error| Failure::Encode { class: class.name, error })?;

        let unfinished = target.start(&format!("{}-{}", class.name, names::stem(identity, first_ktime_ns, 0)))?;
        let path = unfinished.path().to_path_buf();
        let writer = unfinished.file.try_clone().map_err(Failure::io("open", &path))?;
        let encode = |error| Failure::encode(class.name, &path, error);
        let (out, lists) = layout.start(BufWriter::with_capacity(WRITE_BYTES, writer), codec).map_err(encode)?;
        let group = RowGroup::new(&layout, &lists, 0).map_err(encode)?;
        Ok(ClassFile {
            class,
            layout,
            unfinished,
            out,
            lists,
            group,
            groups: 0,
            rows: 0,
            spans: Spans::default(),
            first_time_us,
            first_ktime_ns,
        })
    }

    /// Adds rows.
    pub(super) fn append(
        &mut self,
        batch: &RecordBatch,
        options: &ParquetOptions,
        codec: &mut Codec,
    ) -> Result<(), Failure> {
        let mut done = 0;
        while done < batch.num_rows() {
            let room = options.row_group_rows.max(1) - self.group.rows();
            let part = batch.slice(done, room.min(batch.num_rows() - done));
            self.group.append(&part, codec).map_err(|error| self.failure(error))?;
            done += part.num_rows();
            if self.group.rows() >= options.row_group_rows || self.group.bytes() >= options.row_group_bytes {
                self.finish_group(codec)?;
            }
        }
        self.rows += batch.num_rows() as u64;
        self.spans.add(self.class.id, batch);
        Ok(())
    }

    /// Writes the open row group, so that it needs no memory any more.
    pub(super) fn finish_group(&mut self, codec: &mut Codec) -> Result<(), Failure> {
        if self.group.rows() == 0 {
            return Ok(());
        }
        self.groups += 1;
        let next = RowGroup::new(&self.layout, &self.lists, self.groups).map_err(|error| self.failure(error))?;
        let group = std::mem::replace(&mut self.group, next);
        group.finish(&mut self.out, codec).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: ParquetError) -> Failure {
        Failure::encode(self.class.name, self.unfinished.path(), error)
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of the open row group in memory.
    pub(super) fn open_bytes(&self) -> usize {
        self.group.bytes()
    }

    /// Bytes so far, the open row group as it stands in memory included.
    pub(super) fn bytes(&self) -> u64 {
        self.out.bytes_written() as u64 + self.group.bytes() as u64
    }

    /// The hour of its rows.
    pub(super) fn hour(&self) -> i64 {
        names::hour_of(self.first_time_us)
    }

    /// Writes the rest and the footer, and makes all of it durable.
    pub(super) fn finish(mut self, identity: &Identity, version: &str, codec: &mut Codec) -> Result<Whole, Failure> {
        self.finish_group(codec)?;
        for pair in self.spans.footer(identity, version) {
            self.out.append_key_value_metadata(pair);
        }
        self.out.finish().map_err(|error| Failure::encode(self.class.name, self.unfinished.path(), error))?;
        let sync = Failure::io("sync", self.unfinished.path());
        self.unfinished.file.sync_all().map_err(sync)?;
        Ok(Whole {
            class: self.class,
            unfinished: self.unfinished,
            partition: names::partition(self.class.name, self.first_time_us),
            first_ktime_ns: self.first_ktime_ns,
        })
    }
}

impl Whole {
    /// Directory of the file below the data directory.
    pub(super) fn partition(&self) -> &Path {
        &self.partition
    }

    /// The name that [`Whole::publish`] will give, below the data directory, and its number.
    pub(super) fn next_name(&self, target: &Target, identity: &Identity, n: u64) -> (PathBuf, u64) {
        target.free_name(&self.partition, n, |n| names::stem(identity, self.first_ktime_ns, n))
    }

    /// Makes the file visible as the `n`th of its class, or the next that is free; returns its path and number.
    pub(super) fn publish(&mut self, target: &Target, identity: &Identity, n: u64) -> Result<(PathBuf, u64), Failure> {
        let stem = |n| names::stem(identity, self.first_ktime_ns, n);
        target.publish(&mut self.unfinished, &self.partition, n, stem)
    }
}
