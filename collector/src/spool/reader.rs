//! Reads the log by numbers of cuts, mostly one behind the other.

use std::io;
use std::sync::Arc;

use weir_sinks::{Backlog, Cut, Progress};

use super::bridge::{Behind, first_cut, is_damage, stand_in};
use super::cursor;
use super::log::{Segment, Shared};
use super::segment::{Found, SegmentReader};

/// What is said of damage while it is read.
const LOST: &str = "damage took cuts of the spool; the sinks that miss them say so";

/// One reader of a log.
pub struct LogReader {
    shared: Arc<Shared>,
    open: Option<(u64, SegmentReader)>,
    /// Number of the cut that the open segment gives next, if it was looked at.
    ahead: Option<u64>,
    /// Number of the cut that was read last from it.
    last: Option<u64>,
    /// Damage becomes cuts that stand for what it took; else it is an error.
    bridges: bool,
    /// Behind the cut that was read last.
    stands: Behind,
}

impl LogReader {
    /// A reader at the beginning, to which damage is an error.
    pub fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared, open: None, ahead: None, last: None, bridges: false, stands: Behind::default() }
    }

    /// The same for a log that is being written: where it is damaged, one cut stands for all that are lost in that place, with
    /// the number of the last of them. The files stay as they are; the next start mends them.
    pub fn bridging(shared: Arc<Shared>) -> LogReader {
        LogReader { bridges: true, ..LogReader::new(shared) }
    }

    /// The cut with this number, or a later one that stands for it; `None` if the log does not have it (yet).
    ///
    /// # Errors
    /// When the log cannot be read; of kind [`io::ErrorKind::InvalidData`] when it is damaged there.
    pub fn cut(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>> {
        if number >= self.shared.readable() {
            return Ok(None);
        }
        let Some(segment) = self.shared.segment_of(number) else { return Ok(None) };
        let cut = self.cut_of(&segment, number).map_err(|error| {
            self.open = None;
            let kind = if is_damage(&error) { io::ErrorKind::InvalidData } else { error.kind() };
            io::Error::new(kind, format!("{}: {error}", segment.path.display()))
        })?;
        if let Some(cut) = &cut {
            self.last = Some(cut.number);
            self.stands = Behind { resume: String::new(), ..Behind::after(cut) };
        }
        Ok(cut)
    }

    fn cut_of(&mut self, segment: &Segment, number: u64) -> io::Result<Option<Arc<Cut>>> {
        let is_behind = self.ahead.is_some_and(|ahead| ahead > number) || self.last.is_some_and(|last| last >= number);
        if self.open.as_ref().is_none_or(|(first, _)| *first != segment.first) || is_behind {
            (self.ahead, self.last) = (None, None);
            match self.open_segment(segment) {
                Ok(reader) => self.open = Some((segment.first, reader)),
                Err(error) if self.bridges && is_damage(&error) => return Ok(self.lost_to_end(segment, number, &error)),
                Err(error) => return Err(error),
            }
        }
        loop {
            let found = match self.ahead.take().map_or_else(|| self.next(), |ahead| Ok(Some(ahead))) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(self.lost_to_end(segment, number, &"whole frames end there")),
                Err(error) if self.bridges && is_damage(&error) => return Ok(self.lost_to_end(segment, number, &error)),
                Err(error) => return Err(error),
            };
            if found < number {
                continue;
            }
            let Some((_, reader)) = &mut self.open else { return Ok(None) };
            match reader.cut() {
                Ok(cut) if found == number || cut.damaged => return Ok(Some(cut)),
                Ok(cut) => return self.lost_before(number, &cut),
                Err(error) if !(self.bridges && is_damage(&error)) => return Err(error),
                Err(error) => {
                    tracing::error!(path = %segment.path.display(), cut = found, "a cut of the spool cannot be read: {error}");
                    // Where it ends is known, unless not even that can be read: then it is lost with what is in front of it.
                    if let Ok(lost) = reader.stand_in() {
                        return Ok(Some(Arc::new(lost)));
                    }
                }
            }
        }
    }

    fn open_segment(&self, segment: &Segment) -> io::Result<SegmentReader> {
        match (SegmentReader::open(&self.shared.dir, segment.first), &segment.identity) {
            (Err(error), Some(identity)) if self.bridges && is_damage(&error) => {
                SegmentReader::open_headless(&self.shared.dir, segment.first, identity)
            }
            (opened, _) => opened,
        }
    }

    /// Number of the next whole cut of the open segment; `None` behind the last one.
    fn next(&mut self) -> io::Result<Option<u64>> {
        let Some((_, reader)) = &mut self.open else { return Ok(None) };
        loop {
            match reader.advance()? {
                Found::Cut(found) => return Ok(Some(found)),
                Found::End => return Ok(None),
                Found::Torn(_) if self.bridges => {
                    if reader.skip()?.is_none() {
                        return Ok(None);
                    }
                }
                Found::Torn(why) => {
                    let text = format!("{why}; `weir spool check` says more");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
    }

    /// The next whole cut is a later one.
    fn lost_before(&mut self, number: u64, cut: &Cut) -> io::Result<Option<Arc<Cut>>> {
        self.ahead = Some(cut.number);
        // A log of what had no room has no other; and what is not published yet may come.
        if !self.shared.is_complete() || cut.number >= self.shared.readable() {
            return Ok(None);
        }
        if !self.bridges {
            let text = format!("cut {number} is missing in front of cut {}", cut.number);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        tracing::error!(cuts = %format_args!("{number}-{}", cut.number - 1), "{LOST}");
        Ok(Some(Arc::new(stand_in(cut.number - 1, cut.identity.clone(), Behind::before(cut)))))
    }

    /// Nothing of the segment can be read from this cut on. In the last segment, that can only be told when there is another.
    fn lost_to_end(&self, segment: &Segment, number: u64, why: &dyn std::fmt::Display) -> Option<Arc<Cut>> {
        let later = self.shared.segment_behind(segment.first).filter(|_| self.bridges && self.shared.is_complete())?;
        let path = segment.path.display();
        tracing::error!(%path, cuts = %format_args!("{number}-{}", segment.next - 1), "{LOST}: {why}");
        let cut = first_cut(&self.shared.dir, later.first).ok().flatten();
        let identity = segment.identity.clone().or_else(|| cut.as_ref().map(|cut| cut.identity.clone()))?;
        // Without a cut behind them how much is lost is not known yet; the next whole cut tells.
        let behind = cut.filter(|cut| cut.identity == identity).map(|cut| Behind::before(&cut));
        let behind = behind.unwrap_or_else(|| self.stands.clone());
        Some(Arc::new(stand_in(segment.next - 1, identity, behind)))
    }
}

/// A sink's part of the log: reads, and keeps the sink's position in a file.
pub struct SinkLog {
    reader: LogReader,
    shared: Arc<Shared>,
    sink: String,
    /// `None`: the position is not kept, because the log does not outlive this run.
    cursor: Option<cursor::Place>,
}

impl SinkLog {
    /// Begins at `next_cut`.
    pub fn new(shared: &Arc<Shared>, sink: &str, next_cut: u64, cursor: Option<cursor::Place>) -> SinkLog {
        shared.need(sink, next_cut);
        let reader = LogReader::bridging(Arc::clone(shared));
        SinkLog { reader, shared: Arc::clone(shared), sink: sink.to_owned(), cursor }
    }
}

impl Backlog for SinkLog {
    fn read(&mut self, number: u64) -> io::Result<Option<Arc<Cut>>> {
        self.reader.cut(number)
    }

    fn passed(&mut self, progress: &Progress) -> io::Result<()> {
        if let Some(place) = &self.cursor {
            place.store(progress)?;
        }
        self.shared.need(&self.sink, progress.next_cut);
        Ok(())
    }
}
