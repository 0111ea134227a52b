//! Messages that a destination refuses for ever, kept on disk with the reason.
//!
//! Two files a message: the payload as it was sent (`.json`, `.jsonl`, `.arrow`), and `.reason.json`. Their name is that
//! of the first row, so the same rows refused again are the same files. The reason is written first: a payload is never
//! without one.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use weir_files::{Dir, Kind, Owner};

use crate::file_names::{BOOT_DIGITS, HOST_BYTES_MAX, safe};
use crate::payload::{PayloadFormat, RowIdentity};

/// Ending of the files with reasons.
const REASON: &str = ".reason.json";

/// A message that was refused.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// Class of its rows.
    pub class: &'a str,
    /// Who its first row is.
    pub first: RowIdentity<'a>,
    /// How many rows it holds.
    pub rows: usize,
    /// Form of the payload.
    pub format: PayloadFormat,
    /// The payload.
    pub bytes: &'a [u8],
    /// Topic or subject that it was meant for.
    pub destination: &'a str,
    /// Why it was refused.
    pub reason: &'a str,
}

/// What became of the letters so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterCounts {
    /// Kept on disk.
    pub kept: u64,
    /// Refused and not kept: no room within the limit, or the disk failed.
    pub dropped: u64,
    /// Bytes in the directory, reasons included.
    pub bytes: u64,
}

/// Takes letters where this process may write no files: to one that may.
pub trait Carrier: Send + std::fmt::Debug {
    /// Takes one.
    fn carry(&mut self, letter: &Letter<'_>);
}

/// The dead letters of one sink.
#[derive(Debug)]
pub struct DeadLetters {
    /// Who takes them instead of the directory.
    carrier: Option<Box<dyn Carrier>>,
    /// As it was given.
    given: PathBuf,
    /// Below it, the sink's.
    name: String,
    bytes_max: u64,
    owner: Owner,
    /// Bytes are counted when the first letter comes: most sinks never have one.
    counted: bool,
    counts: DeadLetterCounts,
}

impl DeadLetters {
    /// Letters go to `<dir>/<sink>`, which is made with the first one; files and directory are given to `owner`.
    pub fn new(dir: &Path, sink: &str, bytes_max: u64, owner: Owner) -> DeadLetters {
        let (given, name) = (dir.to_owned(), safe(sink, HOST_BYTES_MAX));
        let counts = DeadLetterCounts::default();
        DeadLetters { carrier: None, given, name, bytes_max, owner, counted: false, counts }
    }

    /// Letters are handed to `carrier`, and not counted here.
    pub fn carried(carrier: Box<dyn Carrier>) -> DeadLetters {
        DeadLetters { carrier: Some(carrier), ..DeadLetters::new(Path::new(""), "", 0, None) }
    }

    /// What became of the letters so far.
    pub fn counts(&self) -> DeadLetterCounts {
        self.counts
    }

    /// Keeps a letter. One that cannot be kept is counted and logged, and holds nobody up: its rows are lost either way,
    /// and the data says so.
    pub fn put(&mut self, letter: &Letter<'_>) {
        if let Some(carrier) = &mut self.carrier {
            return carrier.carry(letter);
        }
        match self.try_put(letter) {
            Ok(Some(path)) => {
                self.counts.kept += 1;
                let rows = letter.rows;
                tracing::warn!(path = %path.display(), rows, "a message was refused for ever: {}", letter.reason);
            }
            Ok(None) => {
                self.counts.dropped += 1;
                tracing::warn!(
                    dir = %self.dir().display(),
                    "a message was refused for ever and not kept, since the dead letters have their {} bytes (remove \
                     some): {}",
                    self.bytes_max,
                    letter.reason
                );
            }
            Err(error) => {
                self.counts.dropped += 1;
                let dir = self.dir();
                let dir = dir.display();
                tracing::error!(%error, %dir, "a message was refused for ever and could not be kept: {}", letter.reason);
            }
        }
    }

    fn dir(&self) -> PathBuf {
        self.given.join(&self.name)
    }

    /// `None` if there is no room for it.
    fn try_put(&mut self, letter: &Letter<'_>) -> io::Result<Option<PathBuf>> {
        let dir = Dir::create_given(&self.given, self.owner)?.make_subdir(&self.name)?;
        if !self.counted {
            self.counts.bytes = bytes_in(&dir)?;
            self.counted = true;
        }
        let stem = stem(letter);
        let payload = format!("{stem}.{}", ending(letter.format));
        let reason = format!("{stem}{REASON}");
        let text = reason_text(letter);
        let before = bytes_of(&dir, &payload)? + bytes_of(&dir, &reason)?;
        let bytes = self.counts.bytes - before.min(self.counts.bytes) + (letter.bytes.len() + text.len()) as u64;
        if bytes > self.bytes_max {
            return Ok(None);
        }
        dir.put(&reason, text.as_bytes())?;
        dir.put(&payload, letter.bytes)?;
        dir.sync()?;
        self.counts.bytes = bytes;
        Ok(Some(dir.path_of(payload)))
    }
}

/// `<class>-<host>-<boot>-<epoch>-<cpu>-<seq>`; the format's ending keeps payloads of different forms apart.
fn stem(letter: &Letter<'_>) -> String {
    let RowIdentity { host, boot_id, epoch, cpu, seq } = letter.first;
    let (class, host) = (safe(letter.class, HOST_BYTES_MAX), safe(host, HOST_BYTES_MAX));
    format!("{class}-{host}-{}-{epoch}-{cpu}-{seq}", safe(boot_id, BOOT_DIGITS))
}

fn ending(format: PayloadFormat) -> &'static str {
    match format {
        PayloadFormat::Json => "json",
        PayloadFormat::JsonLines => "jsonl",
        PayloadFormat::Arrow => "arrow",
    }
}

fn reason_text(letter: &Letter<'_>) -> String {
    let RowIdentity { host, boot_id, epoch, cpu, seq } = letter.first;
    let text = json!({
        "reason": letter.reason,
        "destination": letter.destination,
        "class": letter.class,
        "rows": letter.rows,
        "bytes": letter.bytes.len(),
        "host": host,
        "boot_id": boot_id,
        "epoch": epoch,
        "cpu": cpu,
        "seq": seq,
        "schema_version": weir_schema::SCHEMA_VERSION,
    });
    format!("{text}\n")
}

fn bytes_of(dir: &Dir, name: impl AsRef<Path>) -> io::Result<u64> {
    Ok(dir.stat(name)?.map_or(0, |stat| stat.st_size as u64))
}

fn bytes_in(dir: &Dir) -> io::Result<u64> {
    dir.list()?.iter().filter(|entry| entry.kind == Kind::File).map(|entry| bytes_of(dir, &entry.name)).sum()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn letter(seq: i64, bytes: &[u8]) -> Letter<'_> {
        let first = RowIdentity { host: "../web 1", boot_id: "0123456789abcdef", epoch: 5, cpu: 1, seq };
        let format = PayloadFormat::Json;
        Letter { class: "file", first, rows: 1, format, bytes, destination: "weir.file", reason: "too large" }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_letter_and_its_reason_have_the_name_of_its_first_row() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), "kafka", 10_000, None);
        letters.put(&letter(7, b"{}"));
        let stem = "file-_../web 1-01234567-5-1-7".replace(['/', ' '], "_");
        assert_eq!(names(&dir.path().join("kafka")), [format!("{stem}.json"), format!("{stem}.reason.json")]);
        assert_eq!(fs::read(dir.path().join("kafka").join(format!("{stem}.json"))).unwrap(), b"{}");
        let reason = fs::read(dir.path().join("kafka").join(format!("{stem}.reason.json"))).unwrap();
        let reason: serde_json::Value = serde_json::from_slice(&reason).unwrap();
        assert_eq!((&reason["reason"], &reason["seq"], &reason["cpu"]), (&json!("too large"), &json!(7), &json!(1)));
    }

    #[test]
    fn the_same_rows_again_take_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), "kafka", 10_000, None);
        letters.put(&letter(7, b"first"));
        let bytes = letters.counts().bytes;
        letters.put(&letter(7, b"again"));
        assert_eq!(letters.counts(), DeadLetterCounts { kept: 2, dropped: 0, bytes });
        assert_eq!(names(&dir.path().join("kafka")).len(), 2);
    }

    #[test]
    fn letters_beyond_the_limit_are_counted_and_not_kept_and_a_new_start_counts_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), "kafka", 2_000, None);
        letters.put(&letter(1, &[b'x'; 1_000]));
        letters.put(&letter(2, &[b'x'; 1_000]));
        assert_eq!((letters.counts().kept, letters.counts().dropped), (1, 1));
        let mut letters = DeadLetters::new(dir.path(), "kafka", 2_000, None);
        letters.put(&letter(2, &[b'x'; 1_000]));
        assert_eq!((letters.counts().kept, letters.counts().dropped), (0, 1));
        assert_eq!(names(&dir.path().join("kafka")).len(), 2);
    }

    #[test]
    fn a_link_that_is_planted_at_a_name_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "outside").unwrap();
        let stem = "file-_../web 1-01234567-5-1-7".replace(['/', ' '], "_");
        let kafka = dir.path().join("kafka");
        fs::create_dir(&kafka).unwrap();
        for ending in ["json", "json.tmp", "reason.json", "reason.json.tmp", "json.unfinished"] {
            std::os::unix::fs::symlink(&outside, kafka.join(format!("{stem}.{ending}"))).unwrap();
        }
        let mut letters = DeadLetters::new(dir.path(), "kafka", 10_000, None);
        letters.put(&letter(7, b"{}"));
        assert_eq!(letters.counts().kept, 1);
        assert_eq!(fs::read(&outside).unwrap(), b"outside");
        assert_eq!(fs::read(kafka.join(format!("{stem}.json"))).unwrap(), b"{}");
        // In place of the directory it is not followed at all.
        std::os::unix::fs::symlink(&kafka, dir.path().join("nats")).unwrap();
        let mut letters = DeadLetters::new(dir.path(), "nats", 10_000, None);
        let before = names(&kafka);
        letters.put(&letter(8, b"{}"));
        assert_eq!((letters.counts().dropped, names(&kafka)), (1, before));
    }

    #[test]
    fn a_directory_that_cannot_be_made_costs_the_letter_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kafka"), "in the way").unwrap();
        let mut letters = DeadLetters::new(dir.path(), "kafka", 10_000, None);
        letters.put(&letter(1, b"{}"));
        assert_eq!((letters.counts().kept, letters.counts().dropped), (0, 1));
    }
}
