//! `removed.jsonl` at the top of a Parquet directory: what the directory limits removed.
//!
//! One JSON object per removed file: `file`, `class`, `rows`, the identity, and per CPU under `seq` the first and the last
//! number and how many there were, under `gap_seq` the same of the numbers inside gaps that a file of class `loss` told.
//! Those numbers count as removed, not as missing; one more that is absent among them is missing. Where a note says less,
//! less can be proven, and the report says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path};

use serde::Deserialize;
use weir_files::Dir;
use weir_schema::{CLASSES, ClassId};

use super::account::Account;
use super::json::skip_line;
use super::report::{Named, RemovedReport, Unreadable};
use super::run::Run;
use super::spans::{Counted, Span};

/// Name of the list.
pub const FILE: &str = "removed.jsonl";
/// Bytes of the longest line: a note has two entries a CPU.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Runs that began in the same nanosecond after their boot.
const SAME_EPOCH_MAX: usize = 64;
/// Digits of the boot id in a file's name.
const BOOT_DIGITS: usize = 8;

/// First number, last number, and how many, if known; by CPU.
type Numbers = BTreeMap<i32, Vec<u64>>;

#[derive(Debug, Deserialize)]
struct Note {
    file: Option<String>,
    class: Option<String>,
    host: Option<String>,
    boot_id: Option<String>,
    epoch: Option<i64>,
    rows: Option<u64>,
    #[serde(default)]
    seq: Numbers,
    /// Rows of action `gap` in it.
    gaps: Option<u64>,
    /// The numbers that those rows told.
    gap_seq: Option<Numbers>,
    /// Stands alone: that many older notes were dropped.
    dropped_notes: Option<u64>,
}

/// Adds what `top/removed.jsonl` says, if there is one. To be called when all files were read: the runs are known then.
///
/// # Errors
/// When the list cannot be read; a line that makes no sense is noted in `unreadable`.
pub fn read(top: &Dir, account: &mut Account, unreadable: &mut Named<Unreadable>) -> io::Result<Option<RemovedReport>> {
    let file = match top.open(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    read_from(BufReader::new(file), Some(top), account, unreadable).map(Some)
}

/// The same of an open list; `top`: where the files were that it names.
pub(super) fn read_from(
    mut input: impl BufRead,
    top: Option<&Dir>,
    account: &mut Account,
    unreadable: &mut Named<Unreadable>,
) -> io::Result<RemovedReport> {
    let mut report = RemovedReport::default();
    // A file that could not be removed at once was noted again when it was. A digest with a key of this process is enough.
    let (digests, mut noted) = (RandomState::new(), HashSet::new());
    let runs = Runs::of(account);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let whole = input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        if whole == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let note = if line.len() as u64 > LINE_BYTES_MAX {
            skip_line(&mut input, line.ends_with(b"\n"))?;
            Err(format!("longer than {LINE_BYTES_MAX} bytes"))
        } else {
            serde_json::from_slice::<Note>(&line).map_err(|e| e.to_string())
        };
        let mut is_new = |note: &Note| note.file.as_ref().is_none_or(|file| noted.insert(digests.hash_one(file)));
        let added =
            note.and_then(|note| if is_new(&note) { add(top, &note, &runs, account, &mut report) } else { Ok(()) });
        if let Err(reason) = added {
            unreadable.push(1, || Unreadable { file: FILE.to_owned(), row: Some(number), reason });
        }
    }
    Ok(report)
}

fn add(
    top: Option<&Dir>,
    note: &Note,
    runs: &Runs,
    account: &mut Account,
    report: &mut RemovedReport,
) -> Result<(), String> {
    if let Some(dropped) = note.dropped_notes {
        report.files = report.files.saturating_add(dropped);
        report.files_without_note = report.files_without_note.saturating_add(dropped);
        account.runs().iter_mut().for_each(|run| run.notes_dropped = true);
        return Ok(());
    }
    let file = note.file.as_deref().ok_or("no file is named")?;
    if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err("the file that is named is not below the directory".to_owned());
    }
    // Noted first, removed then: a file that is still there speaks for itself.
    if top.is_some_and(|top| top.stat(file).is_ok_and(|found| found.is_some())) {
        return Ok(());
    }
    let numbers: Vec<(i32, Counted)> = note
        .seq
        .iter()
        .chain(note.gap_seq.iter().flatten())
        .map(|(cpu, n)| Ok((*cpu, counted(n)?)))
        .collect::<Result<_, String>>()?;
    let rows = note.rows.unwrap_or(0);
    report.files = report.files.saturating_add(1);
    report.rows = report.rows.saturating_add(rows);
    let Some(run) = runs.find(note, file, account) else {
        report.rows_of_removed_runs = report.rows_of_removed_runs.saturating_add(rows);
        return Ok(());
    };
    let is_loss = note.class.as_deref().is_none_or(|class| class == CLASSES[ClassId::Loss.index()].name);
    run.gaps_removed |= is_loss && note.gaps != Some(0) && note.gap_seq.is_none();
    for (cpu, counted) in numbers {
        let removed = &mut run.cpu("seq", cpu).map_err(|e| e.to_string())?.removed;
        if removed.len() == removed.capacity() {
            // By a part and not to the double: there is one entry for a few bytes of the list.
            removed.reserve_exact(removed.len() / 4 + 4);
        }
        removed.push(counted);
    }
    Ok(())
}

fn counted(numbers: &[u64]) -> Result<Counted, String> {
    let (first, last, count) = match *numbers {
        [first, last] => (first, last, None),
        [first, last, count] => (first, last, Some(count)),
        _ => return Err("numbers are not [first, last, count]".to_owned()),
    };
    if first > last || last >= i64::MAX as u64 {
        return Err(format!("numbers {first} to {last} are no span"));
    }
    let span = Span { first, last };
    Ok(count.map_or(Counted { span, least: 0, most: span.numbers() }, |count| Counted::exactly(span, count)))
}

/// Runs by the number that is most their own.
struct Runs(HashMap<i64, Vec<usize>>);

impl Runs {
    fn of(account: &mut Account) -> Runs {
        let mut runs: HashMap<i64, Vec<usize>> = HashMap::new();
        for (at, run) in account.runs().iter().enumerate() {
            runs.entry(run.epoch).or_default().push(at);
        }
        Runs(runs)
    }

    /// The run that a removed file was of. Many of one epoch are no runs of weir, and not looked through for every note.
    fn find<'a>(&self, note: &Note, file: &str, account: &'a mut Account) -> Option<&'a mut Run> {
        let epoch = note.epoch.or_else(|| Name::of(file).map(|name| name.epoch))?;
        let runs = account.runs();
        let at = self.0.get(&epoch)?.iter().take(SAME_EPOCH_MAX).find(|at| note.is_of(&runs[**at], file))?;
        runs.get_mut(*at)
    }
}

impl Note {
    fn is_of(&self, run: &Run, file: &str) -> bool {
        match (&self.host, &self.boot_id, self.epoch) {
            (Some(host), Some(boot_id), Some(epoch)) => {
                (&*run.host, &*run.boot_id, run.epoch) == (&**host, &**boot_id, epoch)
            }
            _ => Name::of(file).is_some_and(|name| name.is(run)),
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
        Some(Name { host: parts.next()?, boot_id, epoch })
    }

    /// Characters of the host that no file name should have are not compared.
    fn is(&self, run: &Run) -> bool {
        let fit = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let boot_id: String = run.boot_id.chars().take(BOOT_DIGITS).collect();
        run.epoch == self.epoch && boot_id == self.boot_id && fit(&run.host) == fit(self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_read_from_the_name_whatever_the_host_is_called() {
        let name = Name::of("class=file/date=2026-11-20/hour=13/my-host.lan-0123abcd-77-990-4.parquet");
        let name = name.expect("a name of ours");
        assert_eq!((name.host, name.boot_id, name.epoch), ("my-host.lan", "0123abcd", 77));
        assert!(name.is(&Run::new("my-host.lan", "0123abcd-ef", 77, 1)));
        assert!(!name.is(&Run::new("my-host.lan", "0123abcd-ef", 78, 1)));
        assert!(Name::of("class=file/other.parquet").is_none());
    }

    #[test]
    fn a_span_without_a_count_may_hold_any_number_of_rows() {
        let of = |numbers: &[u64]| counted(numbers).map(|c| (c.span.first, c.span.last, c.least, c.most));
        assert_eq!(of(&[3, 9]), Ok((3, 9, 0, 7)));
        assert_eq!(of(&[3, 9, 2]), Ok((3, 9, 2, 2)));
        assert!(of(&[9, 3]).is_err() && of(&[1]).is_err() && of(&[0, u64::MAX]).is_err());
    }
}
