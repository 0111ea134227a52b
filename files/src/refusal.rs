//! What is not touched, in words: which path, whose it is, and what to do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use thiserror::Error;

/// A path that weir does not touch.
#[derive(Debug, Clone, Error)]
#[error("{} {what} and belongs to {owner}: {advice}", path.display())]
pub struct Refusal {
    /// The path, as far as it was given or made.
    pub path: PathBuf,
    /// What it is.
    pub what: String,
    /// Name and number of its owner.
    pub owner: String,
    /// What the user can do.
    pub advice: &'static str,
}

impl Refusal {
    /// About a path with these facts.
    pub(crate) fn of(path: &Path, stat: &Stat, what: impl Into<String>, advice: &'static str) -> io::Error {
        let refusal = Refusal { path: path.to_owned(), what: what.into(), owner: user(stat.st_uid), advice };
        io::Error::new(io::ErrorKind::PermissionDenied, refusal)
    }

    /// The refusal that an error carries.
    pub fn in_error(error: &io::Error) -> Option<&Refusal> {
        error.get_ref()?.downcast_ref()
    }
}

/// What a file is, with its article.
pub(crate) fn kind(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "no file",
    }
}

/// `alice (uid 1000)`; only the local table is asked, which loads no module and waits for no network.
fn user(uid: u32) -> String {
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}
