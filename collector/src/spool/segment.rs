//! A file of the log: a header that says whose cuts these are, then frames.
//!
//! Every length in it is held against what is left of the file before memory is taken or a byte is read.

mod sweep;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_buffer::{Buffer, MutableBuffer};
use serde::{Deserialize, Serialize};
use weir_files::Dir;
use weir_schema::SCHEMA_VERSION;
use weir_sinks::{Cut, Identity};

use self::sweep::Sweep;
use super::frame::{self, Decoder, HEADER_BYTES, Header, Kind, NUMBER_MAX, Schemas};

/// First bytes of a segment; the last one is the version of the format.
const MAGIC: &[u8; 8] = b"WEIRLOG1";
/// Bytes before the header's text: magic, length, checksum.
const PREFIX_BYTES: usize = 16;
/// Longest header that is believed.
const HEADER_TEXT_BYTES_MAX: u32 = 64 << 10;
/// Ends the name of a segment.
pub const EXTENSION: &str = "weirlog";

/// Whose cuts a segment holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHeader {
    /// Names the log.
    pub log_id: String,
    /// Column `host`.
    pub host: String,
    /// Column `boot_id`.
    pub boot_id: String,
    /// Column `epoch`.
    pub epoch: i64,
    /// Number of the first cut.
    pub first_cut: u64,
    /// Of the columns.
    pub schema_version: u32,
    /// Of the collector that wrote it.
    pub collector_version: String,
}

impl SegmentHeader {
    /// Who made the cuts.
    pub fn identity(&self) -> Identity {
        Identity { host: self.host.as_str().into(), boot_id: self.boot_id.as_str().into(), epoch: self.epoch }
    }

    /// The bytes that a segment begins with.
    ///
    /// # Errors
    /// Never in practice: when the header cannot be written as JSON.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&text).to_le_bytes());
        bytes.extend_from_slice(&text);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        Ok(bytes)
    }

    /// The header of a file, and where its first frame stands.
    ///
    /// # Errors
    /// When the file is no segment, or one of another version.
    pub fn read(file: &File) -> io::Result<(SegmentHeader, u64)> {
        let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let mut prefix = [0; PREFIX_BYTES];
        file.read_exact_at(&mut prefix, 0).map_err(|_| bad("it is too short for a segment"))?;
        if prefix[..7] != MAGIC[..7] {
            return Err(bad("it is no segment of a log"));
        }
        if prefix[7] != MAGIC[7] {
            return Err(bad("it is of another version of the log: use the weir that wrote it"));
        }
        let word = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let len = word(8);
        if len > HEADER_TEXT_BYTES_MAX {
            return Err(bad("its header is damaged: `weir spool repair` gives its events up"));
        }
        let mut text = vec![0; len as usize];
        file.read_exact_at(&mut text, PREFIX_BYTES as u64).map_err(|_| bad("its header is cut off"))?;
        if crc32c::crc32c(&text) != word(12) {
            return Err(bad("its header is damaged: `weir spool repair` gives its events up"));
        }
        Ok((serde_json::from_slice(&text)?, (PREFIX_BYTES as u64 + u64::from(len)).next_multiple_of(8)))
    }
}

/// Whether a file ends inside the header of a segment: it was made and not filled before the power or the room went, and no
/// frame can be in it.
///
/// # Errors
/// When the file cannot be read.
pub fn ends_in_header(dir: &Dir, first: u64) -> io::Result<bool> {
    let file = dir.open(name(first))?;
    let mut prefix = [0; PREFIX_BYTES];
    let read = read_up_to(&file, &mut prefix, 0)?;
    let magic = read.min(MAGIC.len());
    if prefix[..magic] != MAGIC[..magic] {
        return Ok(false);
    }
    let text_bytes = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    Ok(read < PREFIX_BYTES || file.metadata()?.len() < PREFIX_BYTES as u64 + u64::from(text_bytes))
}

/// Whether a file begins like a segment of this version: then it is one, and what is wrong with it is damage.
///
/// # Errors
/// When the file cannot be read.
pub fn is_damaged(dir: &Dir, first: u64) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    let read = read_up_to(&dir.open(name(first))?, &mut magic, 0)?;
    Ok(read == MAGIC.len() && magic == *MAGIC)
}

/// The name of the segment that begins with a cut.
pub fn name(first_cut: u64) -> String {
    format!("{first_cut:020}.{EXTENSION}")
}

/// Numbers of the first cuts of a directory's segments, in their order. Only a name that [`name`] gives counts: so a number
/// stands for one file, and no other text becomes a path.
///
/// # Errors
/// When the directory cannot be listed.
pub fn list(dir: &Dir) -> io::Result<Vec<u64>> {
    let number = |text: &str| -> Option<u64> {
        let first = text.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()?;
        (first < NUMBER_MAX && name(first) == text).then_some(first)
    };
    let mut found: Vec<u64> = dir.list()?.iter().filter_map(|entry| number(entry.text()?)).collect();
    found.sort_unstable();
    Ok(found)
}

/// Bytes of the segment that begins with a cut.
///
/// # Errors
/// When it is not there.
pub fn bytes(dir: &Dir, first: u64) -> io::Result<u64> {
    Ok(dir.open(name(first))?.metadata()?.len())
}

/// What a frame turned out to be.
pub enum Found {
    /// Number of a cut, its place in the file is [`SegmentReader::frame`].
    Cut(u64),
    /// No further frame, and nothing else either.
    End,
    /// Something that is no whole frame.
    Torn(&'static str),
}

/// Reads a segment from the beginning to the end.
pub struct SegmentReader {
    file: File,
    /// The header.
    pub header: SegmentHeader,
    identity: Identity,
    schemas: Schemas,
    decoder: Decoder,
    /// Where the next frame begins.
    at: u64,
    frame: Option<(Header, Buffer)>,
    /// Bytes of the file when it was asked last.
    file_bytes: u64,
    /// Where whole frames stand, once something was torn.
    sweep: Option<Sweep>,
}

impl SegmentReader {
    /// Opens the segment that begins with a cut.
    ///
    /// # Errors
    /// When it is no segment.
    pub fn open(dir: &Dir, first: u64) -> io::Result<SegmentReader> {
        SegmentReader::read(dir.open(name(first))?)
    }

    /// The same for a file that is open.
    ///
    /// # Errors
    /// When it is no segment.
    pub fn read(file: File) -> io::Result<SegmentReader> {
        let (header, at) = SegmentHeader::read(&file)?;
        Ok(SegmentReader::of(file, header, at))
    }

    /// Opens a file whose header is damaged, of which it is known whose it is: what stands behind the header can be whole.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open_headless(dir: &Dir, first: u64, identity: &Identity) -> io::Result<SegmentReader> {
        let header = SegmentHeader {
            log_id: String::new(),
            host: identity.host.to_string(),
            boot_id: identity.boot_id.to_string(),
            epoch: identity.epoch,
            first_cut: 0,
            schema_version: SCHEMA_VERSION,
            collector_version: String::new(),
        };
        Ok(SegmentReader::of(dir.open(name(first))?, header, PREFIX_BYTES as u64))
    }

    fn of(file: File, header: SegmentHeader, at: u64) -> SegmentReader {
        let identity = header.identity();
        let (schemas, decoder) = (Schemas::default(), Decoder::default());
        SegmentReader { file, header, identity, schemas, decoder, at, frame: None, file_bytes: 0, sweep: None }
    }

    /// Where the next frame begins: everything below is whole.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The bytes of the frame that was found last.
    pub fn frame(&self) -> Option<&[u8]> {
        self.frame.as_ref().map(|(_, bytes)| bytes.as_slice())
    }

    /// A buffer of this length: the one of the frame before, if its cut is gone. New memory costs more than reading into it.
    fn room(&mut self, len: usize) -> MutableBuffer {
        let before = self.frame.take().and_then(|(_, frame)| frame.into_mutable().ok());
        before.map_or_else(
            || MutableBuffer::from_len_zeroed(len),
            |mut before| {
                before.resize(len, 0);
                before
            },
        )
    }

    /// Whether the file has so many bytes from here on.
    fn has_bytes(&mut self, bytes: u64) -> io::Result<bool> {
        let end = self.at.saturating_add(bytes);
        if end > self.file_bytes {
            // It may have grown.
            self.file_bytes = self.file.metadata()?.len();
        }
        Ok(end <= self.file_bytes)
    }

    /// The next cut's frame. A schema that is none is left out: the cuts that have it cannot be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn advance(&mut self) -> io::Result<Found> {
        loop {
            let mut bytes = [0; HEADER_BYTES];
            match read_up_to(&self.file, &mut bytes, self.at)? {
                0 => return Ok(Found::End),
                HEADER_BYTES => {}
                _ => return Ok(Found::Torn("the file ends inside a frame's header")),
            }
            let Some(header) = Header::read(&bytes) else {
                return Ok(Found::Torn("what stands there is no frame"));
            };
            let whole = HEADER_BYTES + header.len as usize;
            if !self.has_bytes(whole as u64)? {
                return Ok(Found::Torn("the file ends inside a frame"));
            }
            // What a pass has refuted is not read again, or many headers could claim the same bytes.
            if self.sweep.as_ref().is_some_and(|sweep| sweep.refutes(self.at, whole as u64)) {
                return Ok(Found::Torn("the checksum of a frame is wrong"));
            }
            let mut frame = self.room(whole);
            if read_up_to(&self.file, frame.as_slice_mut(), self.at)? < whole {
                return Ok(Found::Torn("the file ends inside a frame"));
            }
            if !header.is_whole(frame.as_slice()) {
                return Ok(Found::Torn("the checksum of a frame is wrong"));
            }
            self.at += header.frame_bytes();
            match header.kind {
                Kind::Schema => {
                    if let Err(error) = self.schemas.read(header.number, &frame.as_slice()[HEADER_BYTES..]) {
                        tracing::debug!(schema = header.number, "{error}");
                    }
                }
                Kind::Cut => {
                    self.frame = Some((header, frame.into()));
                    return Ok(Found::Cut(header.number));
                }
            }
        }
    }

    /// Goes on at the next whole frame behind what is torn. Returns how many bytes that are; `None` if there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn skip(&mut self) -> io::Result<Option<u64>> {
        let from = self.at;
        let mut next = self.sweep.as_ref().and_then(|sweep| sweep.next(from));
        let file_bytes = self.file.metadata()?.len();
        if next.is_none() && self.sweep.as_ref().is_none_or(|sweep| sweep.is_old(file_bytes)) {
            next = self.sweep.insert(Sweep::of(&self.file, from)?).next(from);
        }
        Ok(next.map(|next| {
            self.at = next;
            next - from
        }))
    }

    /// Whether the cut that was found last stands for such as are lost.
    pub fn is_stand_in(&self) -> bool {
        self.frame.as_ref().is_some_and(|(header, frame)| frame::is_stand_in(header, frame.as_slice()))
    }

    /// What stands for the cut that was found last, if its rows cannot be read: where it ends is known.
    ///
    /// # Errors
    /// When not even that can be read.
    pub fn stand_in(&self) -> io::Result<Cut> {
        let (header, frame) =
            self.frame.as_ref().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no frame was read"))?;
        frame::stand_in(header, frame.as_slice(), &self.identity)
    }

    /// The cut that was found last.
    ///
    /// # Errors
    /// When the frame is whole and still not what a frame is: another version wrote it.
    pub fn cut(&mut self) -> io::Result<Arc<Cut>> {
        let (header, frame) =
            self.frame.as_ref().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no frame was read"))?;
        self.decoder.cut(header, frame, &self.identity, &self.schemas).map(Arc::new)
    }
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The segment that is being written.
pub struct SegmentWriter {
    /// Open for writing; whoever syncs has it too.
    pub file: Arc<File>,
    /// Its file, for messages.
    pub path: PathBuf,
    /// Its header.
    pub header: SegmentHeader,
    /// Schemas that it has.
    pub schemas: Schemas,
    /// Bytes that are whole.
    pub bytes: u64,
}

impl SegmentWriter {
    /// Makes the file; its name is durable once the directory is synced.
    ///
    /// # Errors
    /// When the file exists, or the file system has no room.
    pub fn create(dir: &Dir, header: SegmentHeader) -> io::Result<SegmentWriter> {
        let name = name(header.first_cut);
        let path = dir.path_of(&name);
        let bytes = header.to_bytes()?;
        let at = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let text = format!("{} is there and no segment of weir's: remove it", dir.path_of(&name).display());
                io::Error::new(error.kind(), text)
            }
            _ => error,
        };
        let mut file = dir.create_new(&name).map_err(at)?;
        if let Err(error) = file.write_all(&bytes) {
            // Nothing may stay that looks like a segment and is none.
            let _ = dir.remove(&name);
            return Err(error);
        }
        let (file, bytes) = (Arc::new(file), bytes.len() as u64);
        Ok(SegmentWriter { file, path, header, schemas: Schemas::default(), bytes })
    }

    /// Appends whole frames. What a failure leaves behind them is cut off again, so that the file stays whole.
    ///
    /// # Errors
    /// When the file system has no room, or fails.
    pub fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        match self.file.write_all_at(frames, self.bytes) {
            Ok(()) => {
                self.bytes += frames.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.file.set_len(self.bytes)?;
                Err(error)
            }
        }
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// When the disk fails; nothing is known then of what was appended since the last call.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
