//! The readers of verification over bytes in memory, for those who try any bytes on them.

use std::fs::File;
use std::io;
use std::path::Path;

use weir_sinks::Progress;

use super::account::Account;
use super::report::Named;
use super::{NAMED_MAX, check, json, log, parquet, removed};
use crate::spool::segment::SegmentReader;

/// Judges all that was read, in both forms of the report.
fn judge(account: Account) {
    let (runs, classes) = account.into_parts();
    for run in runs {
        let report = check::judge(run, &classes);
        let _ = (report.to_string(), serde_json::to_string(&report));
    }
}

/// JSON lines.
pub(crate) fn lines(bytes: &[u8]) {
    let (mut account, mut unreadable) = (Account::new(NAMED_MAX), Named::new(NAMED_MAX));
    // What comes from memory can be read.
    let _ = json::read(bytes, "lines", &mut account, &mut unreadable);
    judge(account);
}

/// A list of removed files, behind lines of a run that it can name: both, with an empty line between.
pub(crate) fn notes(bytes: &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n").map_or(0, |at| at + 2);
    let (lines, notes) = bytes.split_at(at);
    let (mut account, mut unreadable) = (Account::new(NAMED_MAX), Named::new(NAMED_MAX));
    let _ = json::read(lines, "lines", &mut account, &mut unreadable);
    let _ = removed::read_from(notes, None, &mut account, &mut unreadable);
    judge(account);
}

/// A Parquet file. The decoder is a library's and can give up by a panic, which the reader of files takes as an error.
pub(crate) fn parquet_file(file: File) {
    let mut account = Account::new(NAMED_MAX);
    let decode = std::panic::AssertUnwindSafe(|| parquet::read_all(file, Path::new("x"), "x", &mut account));
    let _ = std::panic::catch_unwind(decode);
    judge(account);
}

/// All cuts of a segment, through a lane.
pub(crate) fn segment(reader: SegmentReader) -> io::Result<()> {
    let mut account = Account::new(NAMED_MAX);
    log::read_segment(reader, &mut account)?;
    judge(account);
    Ok(())
}

/// A position of a sink, from which a lane goes on with a cut of the same stream.
pub(crate) fn cursor(progress: Progress) -> io::Result<()> {
    let mut account = Account::new(NAMED_MAX);
    log::read_from(progress, &mut account)?;
    judge(account);
    Ok(())
}
