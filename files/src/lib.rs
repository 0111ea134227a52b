//! Everything below a directory that weir was given, opened so that nobody can lead weir elsewhere.
//!
//! weir runs as root and writes into directories of others: those of the user who called sudo, and some below `/tmp`. Whoever
//! can write there can put a link, a FIFO, a device or another's file in place of any name. So there is one way to a file:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use weir_files::{Dir, Owner};
//! let caller: Owner = Some((1000, 1000)); // who called sudo; `None`: the effective user
//! let spool = Dir::create_given("weir-spool".as_ref(), caller)?; // made if it is absent; else `Dir::open_given`
//! let cursors = spool.make_subdir("cursors")?;
//! cursors.replace("parquet.json", b"{}")?; // whole or not at all, durable
//! let bytes = cursors.read("parquet.json", 1 << 20)?;
//! for entry in cursors.list()? { /* names, never paths */ }
//! # Ok(()) }
//! ```
//!
//! What holds for every call:
//!
//! * A directory is held by its descriptor ([`Dir`]) and a name is looked up below it, by `openat2` that follows no link and
//!   stays beneath, or step by step without it. Names may have several parts (`class=file/date=..`) and no `..`.
//! * The directory as given is walked one component at a time ([`Dir::open_given`]): each must belong to root or to the
//!   caller, and nobody else may be able to write it, except in root's sticky directories such as `/tmp`.
//! * A file that is opened is regular, belongs to root, the caller or the effective user, and one that is written has no
//!   second name (hard link). Anything else is a [`Refusal`]: its path, its owner, what to do.
//! * What is made is made with `O_EXCL`; mode and owner are set by descriptor.
//! * In a directory of the caller, a call runs with the caller's file-system identity (`setfsuid`, of this thread only): what
//!   is made is theirs, and the kernel allows nothing that they could not do themselves. This needs no capability where the
//!   thread's real or saved ids are the caller's; after it, `prctl(PR_SET_PDEATHSIG)` must be set anew.
//!
//! [`Dir::open_to_read`] is for those who look at what others recorded and write nothing: any directory, but below it no links
//! and only regular files.

mod beneath;
mod dir;
mod identity;
mod list;
mod refusal;
mod trust;
mod walk;
mod write;

pub use dir::{Dir, open_to_read, refuse_everybodys};
pub use list::{Entry, Kind};
pub use refusal::Refusal;
pub use trust::Owner;

/// Mode of a new directory.
pub const DIR_MODE: u32 = 0o750;
/// Mode of a new file: its owner writes it, its group reads it, and nobody else sees it, for it holds what all users do.
pub const FILE_MODE: u32 = 0o640;

#[cfg(test)]
mod tests;
