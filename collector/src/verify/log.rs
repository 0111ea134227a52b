//! A spool or a capture: its rows, and what a sink without a filter would say of its numbers, as the batches are. As text a row
//! can be any number of times as long as its file, because rows share texts.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_schema::ClassId;
use weir_schema::loss::CPU_SINK;
use weir_sinks::{
    Backlog, BacklogOptions, Batch, Cut, Identity, Lane, LaneOptions, LaneReport, Position, Progress, Receipt, Sink,
    SinkError, Tally,
};

use super::account::{Account, Stream};
use super::parquet::add_batch;
use crate::spool::log::Shared;
use crate::spool::segment::{Found, SegmentReader};

/// Longest time that reading a log may take.
const VERIFY_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is known so far; the lane's thread adds to it.
struct Rows {
    account: Account,
    stream: Stream,
    /// Of the next row, from 1.
    next: u64,
}

/// The sink of that lane.
struct Judge(Arc<Mutex<Rows>>);

impl Sink for Judge {
    fn name(&self) -> &str {
        "verify"
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Rows { account, stream, next } = &mut *rows;
        let added = account
            .class(batch.class.name)
            .map_err(Into::into)
            .and_then(|class| add_batch(&batch.rows, batch.class.id == ClassId::Loss, *next, class, stream, account));
        added.map_err(|error| SinkError::Fatal(format!("a row makes no sense: {error}")))?;
        *next += batch.rows.num_rows() as u64;
        Ok(())
    }

    fn flush(&mut self, _: &Progress) -> Result<Receipt, SinkError> {
        Ok(Receipt::default())
    }
}

/// Adds all of a log.
///
/// # Errors
/// When it cannot be read to its end; what was read until then is added.
pub fn read(dir: &Path, account: &mut Account) -> anyhow::Result<()> {
    let shared = Shared::open_whole(dir)?;
    let report = lane(&dir.display().to_string(), account, crate::replay::whole(&shared))?;
    if let Some(why) = report.fatal() {
        anyhow::bail!("{why}");
    }
    anyhow::ensure!(report.finished, "it could not be read to its end: see the messages above");
    Ok(())
}

/// Takes everything that a lane over this log delivers.
fn lane(name: &str, account: &mut Account, log: BacklogOptions) -> std::io::Result<LaneReport> {
    let empty = account.emptied();
    let rows = Rows { account: std::mem::replace(account, empty), stream: Stream::new(name.to_owned()), next: 1 };
    let rows = Arc::new(Mutex::new(rows));
    let judge = Judge(Arc::clone(&rows));
    let report =
        Lane::start_with(LaneOptions::default(), Box::new(judge), Some(log))?.stop(Instant::now() + VERIFY_MAX);
    std::mem::swap(account, &mut rows.lock().unwrap_or_else(PoisonError::into_inner).account);
    Ok(report)
}

/// The whole cuts of one segment, one behind the other; what cannot be read of them is passed over by stand-ins.
struct OneSegment(SegmentReader);

impl Backlog for OneSegment {
    fn read(&mut self, number: u64) -> std::io::Result<Option<Arc<Cut>>> {
        loop {
            match self.0.advance()? {
                Found::Cut(found) if found >= number => {}
                Found::Cut(_) => continue,
                Found::End => return Ok(None),
                Found::Torn(_) if self.0.skip()?.is_none() => return Ok(None),
                Found::Torn(_) => continue,
            }
            if let Ok(cut) = self.0.cut().or_else(|_| self.0.stand_in().map(Arc::new)) {
                return Ok(Some(cut));
            }
        }
    }

    fn passed(&mut self, _: &Progress) -> std::io::Result<()> {
        Ok(())
    }
}

/// Adds what one segment has, however damaged it is.
///
/// # Errors
/// When the system refuses a thread.
pub fn read_segment(reader: SegmentReader, account: &mut Account) -> std::io::Result<()> {
    let log = BacklogOptions {
        log: Box::new(OneSegment(reader)),
        log_id: String::new(),
        progress: None,
        first: 0,
        first_sent: u64::MAX,
        skipped: false,
        complete: true,
    };
    lane("segment", account, log).map(drop)
}

/// One cut.
struct OneCut(Arc<Cut>);

impl Backlog for OneCut {
    fn read(&mut self, number: u64) -> std::io::Result<Option<Arc<Cut>>> {
        Ok((number == self.0.number).then(|| Arc::clone(&self.0)))
    }

    fn passed(&mut self, _: &Progress) -> std::io::Result<()> {
        Ok(())
    }
}

/// Adds what a lane delivers that goes on from a stored position with one more cut.
///
/// # Errors
/// When the system refuses a thread.
pub fn read_from(progress: Progress, account: &mut Account) -> std::io::Result<()> {
    let (host, boot_id) = (progress.host.as_str().into(), progress.boot_id.as_str().into());
    let cut = Cut {
        number: progress.next_cut,
        identity: Identity { host, boot_id, epoch: progress.epoch },
        batches: vec![],
        tallies: vec![Tally { cpu: 0, action: 0, first_seq: 0, last_seq: 9, count: 10 }],
        dropped: vec![],
        damaged: progress.ended,
        positions: (CPU_SINK..2).map(|cpu| Position { cpu, next_seq: 10, ktime_ns: 10 }).collect(),
        clock_offset_ns: 0,
        last: true,
        resume: String::new(),
    };
    let log = BacklogOptions {
        log: Box::new(OneCut(Arc::new(cut))),
        log_id: progress.log_id.clone(),
        first: 0,
        progress: Some(progress),
        first_sent: u64::MAX,
        skipped: false,
        complete: true,
    };
    lane("cursor", account, log).map(drop)
}
