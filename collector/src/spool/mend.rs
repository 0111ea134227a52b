//! Damage that has whole frames behind it: a flipped bit, a block that cannot be read any more. Every whole cut stays, and each
//! one between is replaced by a cut without rows that stands for it ([`Cut::damaged`]): so numbers of cuts have no hole, and
//! every sink counts and tells what it misses.

use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_sinks::{Cut, Position};

use super::frame::{Schemas, encode};
use super::log::{Segment, write_whole};
use super::segment::{Found, SegmentHeader, SegmentReader};

/// What stands behind a segment.
#[derive(Default)]
pub struct Behind {
    /// Number of the first cut that is not in it: all below were.
    pub until: u64,
    /// That cut, if it can be read.
    pub cut: Option<Arc<Cut>>,
}

/// The first whole cut of a segment.
///
/// # Errors
/// When the file cannot be read.
pub fn first_cut(path: &Path) -> io::Result<Option<Arc<Cut>>> {
    let mut reader = SegmentReader::open(path)?;
    match reader.advance()? {
        Found::Cut(_) => Ok(reader.cut().ok()),
        Found::End | Found::Torn(_) => Ok(None),
    }
}

/// Writes a segment anew without what is damaged. Returns the spans of cuts that are replaced.
///
/// # Errors
/// When the file cannot be read, or the file system has no room for another.
pub fn mend(segment: &mut Segment, behind: &Behind) -> io::Result<Vec<(u64, u64)>> {
    let mut reader = SegmentReader::open(&segment.path)?;
    let mut out = Mended::begin(&reader, segment.first)?;
    loop {
        match reader.advance()? {
            // A cut whose schema is damaged is lost like a damaged one.
            Found::Cut(number) if (out.next..behind.until).contains(&number) => match reader.cut() {
                Ok(cut) => out.keep(&cut)?,
                Err(error) => {
                    tracing::warn!(cut = number, "the rows of a cut cannot be read: {error}");
                    out.replace(&Arc::new(reader.stand_in()?))?;
                }
            },
            Found::Cut(_) => {}
            Found::End => break,
            Found::Torn(_) => {
                if reader.skip()?.is_none() {
                    break;
                }
            }
        }
    }
    let end = behind.cut.as_ref().filter(|cut| cut.identity == reader.header.identity());
    let (positions, resume) = match (end, &out.last) {
        (Some(cut), _) => (cut.begins_at(), String::new()),
        // How much is lost is not known here; a restart finds out by the numbers in the rings.
        (None, Some(last)) => (last.positions.clone(), last.resume.clone()),
        (None, None) => (vec![], String::new()),
    };
    out.replace_to(behind.until, &positions, &resume)?;
    write_whole(&segment.path, &out.bytes)?;
    (segment.next, segment.bytes) = (out.next, out.bytes.len() as u64);
    Ok(out.lost)
}

/// The segment as it is written anew.
struct Mended {
    header: SegmentHeader,
    bytes: Vec<u8>,
    schemas: Schemas,
    last: Option<Arc<Cut>>,
    /// Number of the next cut.
    next: u64,
    lost: Vec<(u64, u64)>,
}

impl Mended {
    fn begin(reader: &SegmentReader, first: u64) -> io::Result<Mended> {
        let (header, bytes) = (reader.header.clone(), reader.header.to_bytes()?);
        let schemas = Schemas::default();
        Ok(Mended { header, bytes, schemas, last: None, next: first, lost: vec![] })
    }

    fn keep(&mut self, cut: &Arc<Cut>) -> io::Result<()> {
        if cut.number > self.next {
            self.replace_to(cut.number, &cut.begins_at(), "")?;
        }
        self.write(cut)
    }

    /// The same with a cut that only stands for a lost one.
    fn replace(&mut self, cut: &Arc<Cut>) -> io::Result<()> {
        self.replace_to(cut.number, &cut.positions, "")?;
        self.lost.push((cut.number, cut.number));
        self.write(cut)
    }

    fn write(&mut self, cut: &Arc<Cut>) -> io::Result<()> {
        encode(cut, &mut self.schemas, &mut self.bytes)?;
        self.next = cut.number + 1;
        self.last = Some(Arc::clone(cut));
        Ok(())
    }

    /// Cuts that stand for the lost ones below this number.
    fn replace_to(&mut self, number: u64, positions: &[Position], resume: &str) -> io::Result<()> {
        if self.next < number {
            self.lost.push((self.next, number - 1));
        }
        while self.next < number {
            let cut = Cut {
                number: self.next,
                identity: self.header.identity(),
                batches: vec![],
                tallies: vec![],
                dropped: vec![],
                damaged: true,
                positions: positions.to_vec(),
                clock_offset_ns: self.last.as_ref().map_or(0, |last| last.clock_offset_ns),
                last: false,
                resume: resume.to_owned(),
            };
            encode(&cut, &mut self.schemas, &mut self.bytes)?;
            self.next += 1;
        }
        Ok(())
    }
}
