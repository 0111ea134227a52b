//! Damage that has whole frames behind it: a flipped bit, a block that cannot be read any more. Every whole cut stays, and those
//! between are replaced by a cut without rows that stands for them ([`Cut::damaged`]): so every sink counts and tells what it
//! misses. It is one cut for all that are missing in one place, however many their numbers say that those are.

use std::io;
use std::sync::Arc;

use weir_files::Dir;
use weir_sinks::Cut;

use super::bridge::{self, stand_in};
use super::frame::{Schemas, encode};
use super::log::Segment;
use super::segment::{self, Found, SegmentHeader, SegmentReader};

/// Room for what takes the place of lost cuts.
const STAND_INS_BYTES: u64 = 64 << 10;

/// What stands behind a segment.
#[derive(Default)]
pub struct Behind {
    /// Number of the first cut that is not in it: all below were.
    pub until: u64,
    /// That cut, if it can be read.
    pub cut: Option<Arc<Cut>>,
}

/// Writes a segment anew without what is damaged. Returns the spans of cuts that are replaced.
///
/// # Errors
/// When the file cannot be read, or the file system has no room for another.
pub fn mend(dir: &Dir, segment: &mut Segment, behind: &Behind) -> io::Result<Vec<(u64, u64)>> {
    let mut reader = SegmentReader::open(dir, segment.first)?;
    let mut out = Mended::begin(dir, &reader, segment)?;
    loop {
        match reader.advance()? {
            // A cut whose schema is damaged is lost like a damaged one.
            Found::Cut(number) if (out.next..behind.until).contains(&number) => match (reader.cut(), reader.stand_in())
            {
                (Ok(cut), _) => out.keep(&cut)?,
                // A cut whose schema is damaged is lost like a damaged one.
                (Err(error), Ok(lost)) => {
                    tracing::warn!(cut = number, "the rows of a cut cannot be read: {error}");
                    out.replace(&Arc::new(lost))?;
                }
                (Err(error), Err(_)) => tracing::warn!(cut = number, "a cut cannot be read: {error}"),
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
    let end = behind.cut.as_deref().filter(|cut| cut.identity == reader.header.identity());
    let ends = match (end, &out.last) {
        (Some(cut), _) => bridge::Behind::before(cut),
        // How much is lost is not known here; a restart finds out by the numbers in the rings.
        (None, Some(last)) => bridge::Behind::after(last),
        (None, None) => bridge::Behind::default(),
    };
    out.replace_to(behind.until, ends)?;
    dir.replace(segment::name(segment.first), &out.bytes)?;
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
    fn begin(dir: &Dir, reader: &SegmentReader, segment: &Segment) -> io::Result<Mended> {
        let (header, schemas) = (reader.header.clone(), Schemas::default());
        // As much as there is, at once: growing by doubling would take more than that.
        let file_bytes = segment::bytes(dir, segment.first)?.saturating_add(STAND_INS_BYTES);
        let mut bytes = Vec::with_capacity(usize::try_from(file_bytes).unwrap_or_default());
        bytes.extend_from_slice(&header.to_bytes()?);
        Ok(Mended { header, bytes, schemas, last: None, next: segment.first, lost: vec![] })
    }

    fn keep(&mut self, cut: &Arc<Cut>) -> io::Result<()> {
        // One that stands for lost ones stands for all in front of it.
        if cut.number > self.next && !cut.damaged {
            self.replace_to(cut.number, bridge::Behind::before(cut))?;
        }
        self.write(cut)
    }

    /// The same with a cut that only stands for a lost one.
    fn replace(&mut self, cut: &Arc<Cut>) -> io::Result<()> {
        self.lost.push((self.next, cut.number));
        self.write(cut)
    }

    fn write(&mut self, cut: &Arc<Cut>) -> io::Result<()> {
        encode(cut, &mut self.schemas, &mut self.bytes)?;
        self.next = cut.number + 1;
        self.last = Some(Arc::clone(cut));
        Ok(())
    }

    /// A cut that stands for the lost ones below this number.
    fn replace_to(&mut self, number: u64, behind: bridge::Behind) -> io::Result<()> {
        if self.next >= number {
            return Ok(());
        }
        self.lost.push((self.next, number - 1));
        let cut = stand_in(number - 1, self.header.identity(), behind);
        encode(&cut, &mut self.schemas, &mut self.bytes)?;
        self.next = number;
        Ok(())
    }
}
