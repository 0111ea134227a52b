//! A capture as one lane sees it: its cuts at the chosen pace, cut to the chosen span, under the chosen identity.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use weir_sinks::{Backlog, Batch, Cut, Identity, Progress};

use super::progress::Counters;
use super::{Options, Span, anew};
use crate::host::clock::boottime_ns;
use crate::spool::LogReader;
use crate::spool::cursor::Place;
use crate::spool::log::Shared;

/// How fast a capture is played.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Pace {
    /// As fast as the sinks take it.
    #[default]
    Fastest,
    /// This many times as fast as it happened.
    Times(f64),
}

/// The log of one lane.
pub struct Played {
    reader: LogReader,
    end: u64,
    pace: Pace,
    span: Span,
    epoch: Option<i64>,
    /// `None`: nobody goes on where this replay stops.
    cursor: Option<Place>,
    cursor_failed: bool,
    /// When the first cut was played, and its kernel time, of the stream with this identity.
    began: Option<(Identity, Instant, i64)>,
    counters: Arc<Counters>,
}

impl Played {
    /// Begins at the beginning.
    pub fn new(shared: &Arc<Shared>, options: &Options, cursor: Option<Place>, counters: Arc<Counters>) -> Played {
        Played {
            reader: LogReader::new(Arc::clone(shared)),
            end: shared.readable(),
            pace: options.pace,
            span: options.span,
            epoch: options.new_epoch.then(boottime_ns),
            cursor,
            cursor_failed: false,
            began: None,
            counters,
        }
    }

    /// Waits until the cut is due.
    fn wait(&mut self, cut: &Cut) {
        let Pace::Times(times) = self.pace else { return };
        let ktime_ns = cut.positions.iter().map(|p| p.ktime_ns).max().unwrap_or(0);
        let known = self.began.as_ref().filter(|(identity, _, _)| *identity == cut.identity);
        let (began, first_ns) = match known {
            Some((_, began, first_ns)) => (*began, *first_ns),
            None => {
                self.began = Some((cut.identity.clone(), Instant::now(), ktime_ns));
                return;
            }
        };
        let after = Duration::from_nanos(ktime_ns.saturating_sub(first_ns).max(0) as u64).as_secs_f64() / times;
        let after = Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX);
        std::thread::sleep(after.saturating_sub(began.elapsed()));
    }
}

impl Backlog for Played {
    fn read(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>> {
        if number >= self.end {
            return Ok(None);
        }
        let Some(cut) = self.reader.cut(number)? else { return Ok(None) };
        let cut = self.span.of(cut);
        if cut.rows() > 0 {
            self.wait(&cut);
        }
        self.counters.cuts.fetch_add(1, Ordering::Relaxed);
        self.counters.rows.fetch_add(cut.rows() as u64, Ordering::Relaxed);
        Ok(Some(match self.epoch {
            Some(epoch) => Arc::new(renamed(&cut, epoch)),
            None => cut,
        }))
    }

    fn passed(&mut self, progress: &Progress) -> io::Result<()> {
        let Some(cursor) = &self.cursor else { return Ok(()) };
        if let Err(error) = cursor.store(progress)
            && !std::mem::replace(&mut self.cursor_failed, true)
        {
            tracing::warn!("an interrupted replay cannot be resumed: {error}");
        }
        Ok(())
    }
}

/// The same rows under another identity.
fn renamed(cut: &Cut, epoch: i64) -> Cut {
    let identity = anew(&cut.identity, epoch);
    let batch = |batch: &Batch| Batch { class: batch.class, rows: with_identity(&batch.rows, &identity) };
    Cut {
        number: cut.number,
        batches: cut.batches.iter().map(batch).collect(),
        identity,
        tallies: cut.tallies.clone(),
        dropped: cut.dropped.clone(),
        damaged: cut.damaged,
        positions: cut.positions.clone(),
        clock_offset_ns: cut.clock_offset_ns,
        last: cut.last,
        resume: String::new(),
    }
}

fn with_identity(rows: &RecordBatch, identity: &Identity) -> RecordBatch {
    let n = rows.num_rows();
    let text = |value: &str| -> ArrayRef {
        let values = Arc::new(StringArray::from(vec![value]));
        Arc::new(DictionaryArray::new(Int32Array::from_value(0, n), values))
    };
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match field.name().as_str() {
        "epoch" => Arc::new(Int64Array::from_value(identity.epoch, n)) as ArrayRef,
        "boot_id" => text(&identity.boot_id),
        "host" => text(&identity.host),
        _ => Arc::clone(column),
    });
    // The same types and lengths as before.
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap_or_else(|_| rows.clone())
}
