//! `removed.jsonl` at the top of a Parquet directory: what the directory limits removed.
//!
//! One JSON object per removed file: `file`, `class`, `rows`, and per CPU under `seq` the first and last number and how
//! many; a file of class `loss` may say the same of its gaps under `gaps`. Those numbers count as removed, not as missing.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use weir_schema::{CLASSES, ClassId};

use super::account::Account;
use super::report::{Named, RemovedReport, Unreadable};
use super::run::Run;
use super::spans::{Counted, Span};

/// Name of the list.
pub const FILE: &str = "removed.jsonl";
/// Digits of the boot id in a file's name.
const BOOT_DIGITS: usize = 8;

/// First number, last number, count; by CPU.
type Numbers = BTreeMap<i32, (u64, u64, u64)>;

#[derive(Debug, Deserialize)]
struct Removed {
    file: String,
    class: String,
    rows: u64,
    seq: Numbers,
    gaps: Option<Numbers>,
}

/// Adds what `top/removed.jsonl` says, if there is one. To be called when all files were read: the runs are known then.
///
/// # Errors
/// When the list cannot be read; a line that makes no sense is noted in `unreadable`.
pub fn read(
    top: &Path,
    account: &mut Account,
    unreadable: &mut Named<Unreadable>,
) -> io::Result<Option<RemovedReport>> {
    let file = match std::fs::File::open(top.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut report = RemovedReport::default();
    for (line, number) in BufReader::new(file).split(b'\n').zip(1..) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Removed>(&line)
            .map_err(|e| e.to_string())
            .and_then(Removed::checked)
        {
            // Noted first, removed then: a file that is still there counts as itself.
            Ok(removed) if top.join(&removed.file).exists() => {}
            Ok(removed) => add(&removed, account, &mut report),
            Err(reason) => {
                unreadable.push(1, || Unreadable {
                    file: FILE.to_owned(),
                    row: Some(number),
                    reason,
                });
            }
        }
    }
    Ok(Some(report))
}

impl Removed {
    fn checked(self) -> Result<Removed, String> {
        let sane = |(first, last, count): &(u64, u64, u64)| {
            first <= last && *last < i64::MAX as u64 && count > &0
        };
        if self
            .seq
            .values()
            .chain(self.gaps.iter().flat_map(BTreeMap::values))
            .all(sane)
        {
            Ok(self)
        } else {
            Err("numbers are not [first, last, count]".to_owned())
        }
    }
}

fn add(removed: &Removed, account: &mut Account, report: &mut RemovedReport) {
    report.files += 1;
    report.rows += removed.rows;
    let run =
        Name::of(&removed.file).and_then(|name| account.runs().iter_mut().find(|run| name.is(run)));
    let Some(run) = run else {
        report.rows_of_removed_runs += removed.rows;
        return;
    };
    if removed.class == CLASSES[ClassId::Loss.index()].name && removed.gaps.is_none() {
        run.gaps_removed = true;
    }
    for (cpu, (first, last, count)) in removed.seq.iter().chain(removed.gaps.iter().flatten()) {
        // A CPU that cannot be has no rows that could be missing.
        if let Ok(cpu) = run.cpu("seq", *cpu) {
            cpu.removed.push(Counted {
                span: Span {
                    first: *first,
                    last: *last,
                },
                count: *count,
            });
        }
    }
}

/// The identity in a file's name: `<host>-<boot_id, 8 digits>-<epoch>-<first ktime_ns>-<n>.parquet`.
struct Name<'a> {
    host: &'a str,
    boot_id: &'a str,
    epoch: i64,
}

impl Name<'_> {
    fn of(path: &str) -> Option<Name<'_>> {
        let stem = path.rsplit('/').next()?.strip_suffix(".parquet")?;
        let mut parts = stem.rsplitn(5, '-').skip(2);
        let epoch = parts.next()?.parse().ok()?;
        let boot_id = parts.next()?;
        Some(Name {
            host: parts.next()?,
            boot_id,
            epoch,
        })
    }

    /// The host's name may have been made fit for a file name; boot and epoch decide then.
    fn is(&self, run: &Run) -> bool {
        let fit = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let digits = run
            .boot_id
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(BOOT_DIGITS);
        run.epoch == self.epoch
            && digits.eq(self.boot_id.chars())
            && fit(&run.host) == fit(self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_read_from_the_name_whatever_the_host_is_called() {
        let name =
            Name::of("class=file/date=2026-11-20/hour=13/my-host.lan-0123abcd-77-990-4.parquet");
        let name = name.expect("a name of ours");
        assert_eq!(
            (name.host, name.boot_id, name.epoch),
            ("my-host.lan", "0123abcd", 77)
        );
        assert!(Name::of("class=file/other.parquet").is_none());
    }
}
