//! Names in a directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::walk::readable;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A link, FIFO, socket or device: nothing that weir makes.
    Other,
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One part, never a path.
    pub name: OsString,
    /// What it stands for; a link is not followed.
    pub kind: Kind,
}

impl Entry {
    /// The name, if it is text: all of weir's are.
    pub fn text(&self) -> Option<&str> {
        self.name.to_str()
    }
}

impl Dir {
    /// All names, in no order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let _guard = self.assume();
        let mut found = vec![];
        for entry in rustix::fs::Dir::new(readable(self.fd.as_fd())?)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            // Not every file system says it with the name.
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue,
                    stat => FileType::from_raw_mode(stat?.st_mode),
                },
                kind => kind,
            };
            let kind = match kind {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Dir,
                _ => Kind::Other,
            };
            found.push(Entry { name: name.to_owned(), kind });
        }
        Ok(found)
    }
}
