//! What a spool or a capture holds, for eyes and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use serde::Serialize;
use weir_sinks::{Batch, Cut, LossAction};

use super::cursor;
use super::log::{Recovered, Shared};
use super::segment::{Found, SegmentReader};
use crate::terminal::Foreign;

/// One stream: one load of the programs on one boot of one host.
#[derive(Debug, Clone, Serialize)]
pub struct Stream {
    /// Column `host`.
    pub host: String,
    /// Column `boot_id`.
    pub boot_id: String,
    /// Column `epoch`.
    pub epoch: i64,
    /// Numbers of its first and last cut.
    pub cuts: (u64, u64),
    /// Time of its first and last row, RFC 3339; `None` without rows.
    pub time: Option<(String, String)>,
    /// Rows by class.
    pub rows: BTreeMap<&'static str, u64>,
    /// Gaps that rows of class `loss` tell.
    pub gaps: u64,
    /// Rows that the full spool gave up.
    pub dropped: i64,
    /// Cuts that damage took.
    pub damaged: u64,
    /// It ends with an ordered stop.
    pub ended: bool,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Info {
    /// Names the log.
    pub log_id: String,
    /// Bytes of all segments.
    pub bytes: u64,
    /// How many segments.
    pub segments: usize,
    /// Bytes that are no whole frame.
    pub torn_bytes: u64,
    /// By stream, in their order.
    pub streams: Vec<Stream>,
    /// By sink: number of the first cut that it does not have yet.
    pub cursors: BTreeMap<String, u64>,
    /// Number behind the last cut.
    pub next: u64,
}

/// Times of the first and the last row of a cut.
fn times(cut: &Cut) -> Option<(String, String)> {
    let ktimes = cut.batches.iter().flat_map(Batch::ktimes);
    let (first, last) = (ktimes.clone().min()?, ktimes.max()?);
    let text = |ktime_ns: &i64| {
        let us = ktime_ns.saturating_add(cut.clock_offset_ns).div_euclid(1_000);
        DateTime::from_timestamp_micros(us).unwrap_or_default().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    };
    Some((text(first), text(last)))
}

impl Stream {
    fn begins(cut: &Cut) -> Stream {
        Stream {
            host: cut.identity.host.to_string(),
            boot_id: cut.identity.boot_id.to_string(),
            epoch: cut.identity.epoch,
            cuts: (cut.number, cut.number),
            time: None,
            rows: BTreeMap::new(),
            gaps: 0,
            dropped: 0,
            damaged: 0,
            ended: false,
        }
    }

    fn add(&mut self, cut: &Cut) {
        // One stands for all that were lost in its place.
        let lost = cut.number.saturating_sub(self.cuts.1).max(1);
        self.damaged += if cut.damaged { lost } else { 0 };
        self.cuts.1 = cut.number;
        if let Some((first, last)) = times(cut) {
            // Texts of this form sort as their times do.
            let known = self.time.get_or_insert_with(|| (first.clone(), last.clone()));
            known.0 = first.min(std::mem::take(&mut known.0));
            known.1 = last.max(std::mem::take(&mut known.1));
        }
        for batch in &cut.batches {
            *self.rows.entry(batch.class.name).or_default() += batch.rows.num_rows() as u64;
        }
        let gaps = cut.tallies.iter().filter(|t| t.action == LossAction::Gap.id());
        self.gaps = gaps.fold(self.gaps, |sum, t| sum.saturating_add(t.count.max(0) as u64));
        self.dropped = cut.dropped.iter().fold(self.dropped, |sum, t| sum.saturating_add(t.count));
        self.ended |= cut.last;
    }
}

/// Every cut of a log in order, as the files have them: numbers are not counted through, a file can skip any number of them.
///
/// # Errors
/// When it cannot be read, or `each` fails.
pub fn for_each(shared: &Arc<Shared>, mut each: impl FnMut(Arc<Cut>) -> io::Result<()>) -> io::Result<()> {
    let mut next = shared.first();
    for segment in shared.segments() {
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", segment.path.display()));
        let mut reader = SegmentReader::open(&shared.dir, segment.first).map_err(at)?;
        while let Found::Cut(number) = reader.advance().map_err(at)? {
            if number >= segment.next {
                break;
            }
            if number >= next {
                each(reader.cut().map_err(at)?)?;
                next = number + 1;
            }
        }
    }
    Ok(())
}

/// Reads all of a log.
///
/// # Errors
/// When it cannot be read.
pub fn info(dir: &Path) -> io::Result<(Info, Recovered)> {
    let (shared, recovered) = Shared::open_to_read(dir)?;
    let mut streams: Vec<Stream> = vec![];
    for_each(&shared, |cut| {
        let same = |s: &Stream| *s.host == *cut.identity.host && s.epoch == cut.identity.epoch;
        if !streams.last().is_some_and(same) {
            streams.push(Stream::begins(&cut));
        }
        if let Some(stream) = streams.last_mut() {
            stream.add(&cut);
        }
        Ok(())
    })?;
    let segments = shared.segments();
    let cursors = cursor::all(&shared.dir).unwrap_or_default().into_iter().map(|(sink, p)| (sink, p.next_cut));
    let info = Info {
        log_id: shared.log_id.clone(),
        bytes: segments.iter().map(|s| s.bytes).sum(),
        segments: segments.len(),
        torn_bytes: recovered.torn_bytes,
        streams,
        cursors: cursors.collect(),
        next: shared.readable(),
    };
    Ok((info, recovered))
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log            {}, {} bytes in {} segments", Foreign(&self.log_id), self.bytes, self.segments)?;
        if self.torn_bytes > 0 {
            writeln!(f, "torn           {} bytes behind the last whole frame", self.torn_bytes)?;
        }
        for s in &self.streams {
            let end = if s.ended { "ended" } else { "open end" };
            writeln!(
                f,
                "stream         host {}, boot {}, epoch {}: {end}",
                Foreign(&s.host),
                Foreign(&s.boot_id),
                s.epoch
            )?;
            writeln!(f, "  cuts         {} to {}", s.cuts.0, s.cuts.1)?;
            if let Some((first, last)) = &s.time {
                writeln!(f, "  time         {first} to {last}")?;
            }
            let rows: Vec<String> = s.rows.iter().map(|(class, rows)| format!("{class} {rows}")).collect();
            writeln!(f, "  rows         {}", rows.join(", "))?;
            writeln!(f, "  gaps         {}", s.gaps)?;
            if s.dropped > 0 {
                writeln!(f, "  given up     {} rows, because the spool was full", s.dropped)?;
            }
            if s.damaged > 0 {
                writeln!(f, "  damaged      {} cuts were lost to damage", s.damaged)?;
            }
        }
        for (sink, next) in &self.cursors {
            let behind = self.next.saturating_sub(*next);
            writeln!(f, "sink           {}: has everything below cut {next}, {behind} cuts behind", Foreign(sink))?;
        }
        Ok(())
    }
}
