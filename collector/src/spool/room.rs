//! Keeps the log below its limit: what every sink has passed goes anyway; beyond that rows are given up by policy, and stay
//! as numbers in the cuts they came from, so that every sink that misses them says so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_files::Dir;
use weir_schema::ClassId;
use weir_sinks::{Cut, Tally};

use super::bridge::{first_cut, is_damage};
use super::committer::CommitWatch;
use super::frame::{Schemas, encode};
use super::log::{Log, Segment};
use super::mend::{Behind, mend};
use super::segment::{self, Found, SegmentReader};

/// What happens when the log is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Nothing is given up: the rings fill, and the kernel counts what finds no room.
    Block,
    /// The oldest rows go.
    #[default]
    DropOldest,
    /// Rows of classes that matter less go first, whatever their age.
    DropByClass,
}

/// From what is missed least to what is missed most. Class `loss` is never given up.
const CLASSES_BY_WORTH: &[&[ClassId]] = &[
    &[ClassId::Syscall],
    &[ClassId::File],
    &[ClassId::Memory, ClassId::Network],
    &[ClassId::Kernel, ClassId::Process],
];

/// The limit of a log.
pub struct Room {
    bytes_max: u64,
    when_full: WhenFull,
    /// Cuts below have given up everything, so there is no use in looking at them again; by step of worth.
    stripped_to: Vec<u64>,
}

impl Room {
    /// A limit and what to do at it.
    pub fn new(bytes_max: u64, when_full: WhenFull) -> Room {
        Room { bytes_max, when_full, stripped_to: vec![0; CLASSES_BY_WORTH.len()] }
    }

    /// Makes room for another cut.
    ///
    /// # Errors
    /// [`io::ErrorKind::QuotaExceeded`] when nothing may be given up.
    pub fn make(&mut self, log: &mut Log, watch: &CommitWatch) -> io::Result<()> {
        while log.shared().bytes() >= self.bytes_max {
            if log.trim() > 0 {
                continue;
            }
            if log.is_passed() {
                // A cut that is larger than the limit passes alone.
                return log.roll();
            }
            let steps: Vec<Vec<ClassId>> = match self.when_full {
                WhenFull::Block => vec![],
                WhenFull::DropOldest => vec![CLASSES_BY_WORTH.concat()],
                WhenFull::DropByClass => CLASSES_BY_WORTH.iter().map(|step| step.to_vec()).collect(),
            };
            if !self.give_up(log, &steps, watch)? {
                let text = "its limit `spool.bytes_max` is reached and the sinks take nothing";
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
            }
        }
        Ok(())
    }

    /// Makes one segment smaller; false if none can be.
    fn give_up(&mut self, log: &mut Log, steps: &[Vec<ClassId>], watch: &CommitWatch) -> io::Result<bool> {
        for (step, classes) in steps.iter().enumerate() {
            log.roll()?;
            let from = self.stripped_to[step];
            let Some(mut segment) = log.shared().segments().into_iter().find(|s| s.first >= from) else { continue };
            self.stripped_to[step] = segment.next;
            let dir = log.dir().clone();
            let rows = match strip(&dir, &segment, classes) {
                // Damage would be met again at each attempt, and nothing could be written any more.
                Err(error) if is_damage(&error) => {
                    let mended = mend_now(log, &mut segment, &error).and_then(|()| strip(&dir, &segment, classes));
                    mended.unwrap_or_else(|error| {
                        tracing::error!(path = %segment.path.display(), "nothing of a segment can be given up: {error}");
                        0
                    })
                }
                stripped => stripped?,
            };
            if rows > 0 {
                watch.dropped.fetch_add(rows, Ordering::Relaxed);
                tracing::warn!(rows, cuts = %format_args!("{}-{}", segment.first, segment.next - 1),
                    "the spool is full: rows are given up, and the sinks that miss them say so");
            }
            log.replaced(segment.first, segment::bytes(&dir, segment.first)?);
            return Ok(true);
        }
        Ok(false)
    }
}

/// Makes a segment whole in which damage was met, as the next start would.
fn mend_now(log: &Log, segment: &mut Segment, error: &io::Error) -> io::Result<()> {
    tracing::error!(path = %segment.path.display(), "a segment of the spool is damaged, and mended: {error}");
    let cut = log.shared().segment_behind(segment.first).and_then(|behind| first_cut(log.dir(), behind.first).ok()?);
    mend(log.dir(), segment, &Behind { until: segment.next, cut }).map(drop)
}

/// Rewrites a segment without the rows of these classes. Returns how many went.
fn strip(dir: &Dir, segment: &Segment, classes: &[ClassId]) -> io::Result<u64> {
    let mut reader = SegmentReader::open(dir, segment.first)?;
    let mut bytes = Vec::with_capacity(usize::try_from(segment.bytes).unwrap_or_default());
    bytes.extend_from_slice(&reader.header.to_bytes()?);
    let mut schemas = Schemas::default();
    let mut rows = 0;
    loop {
        match reader.advance()? {
            Found::Cut(_) => {}
            Found::End => break,
            Found::Torn(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
        let cut = without(reader.cut()?, classes, &mut rows);
        encode(&cut, &mut schemas, &mut bytes)?;
    }
    // The old file makes room for the new one only behind it; a log has more than one segment's worth of its limit to spare.
    dir.replace(segment::name(segment.first), &bytes)?;
    Ok(rows)
}

fn without(cut: Arc<Cut>, classes: &[ClassId], rows: &mut u64) -> Cut {
    let goes = |action: u16| classes.iter().any(|class| *class as u16 == action >> 8);
    let (gone, tallies): (Vec<Tally>, Vec<Tally>) = cut.tallies.iter().partition(|t| goes(t.action));
    *rows = gone.iter().fold(*rows, |sum, t| sum.saturating_add(t.count.max(0) as u64));
    let batches = cut.batches.iter().filter(|b| !classes.contains(&b.class.id)).cloned().collect();
    let dropped = cut.dropped.iter().copied().chain(gone).collect();
    Cut {
        number: cut.number,
        identity: cut.identity.clone(),
        batches,
        tallies,
        dropped,
        damaged: cut.damaged,
        positions: cut.positions.clone(),
        clock_offset_ns: cut.clock_offset_ns,
        last: cut.last,
        resume: cut.resume.clone(),
    }
}
