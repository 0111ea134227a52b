//! JSON lines: one flat object per row.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use thiserror::Error;
use weir_schema::ClassId;

use super::account::{Account, Stream};
use super::clock::parse_us;
use super::report::{Named, Place, Unreadable};
use super::row::{Loss, Row, RowError};

/// Bytes of the longest line: arguments and paths have limits far below.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Lines between two looks at the wall clock.
const CLOCK_LINES: u64 = 1_024;

/// The columns that are read; all others are skipped unparsed.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    class: Cow<'a, str>,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    boot_id: Cow<'a, str>,
    epoch: i64,
    cpu: i32,
    seq: i64,
    ktime_ns: i64,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    gap_cpu: Option<i32>,
    first_seq: Option<i64>,
    last_seq: Option<i64>,
    last_ktime_ns: Option<i64>,
    count: Option<i64>,
    #[serde(borrow, default)]
    by_action: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Error)]
enum LineError {
    #[error("no weir row: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
}

/// Identity and class of the line before: lines mostly share them.
#[derive(Default)]
struct Before {
    key: (String, String, i64, String),
    /// Run and class; `None` before the first line.
    found: Option<(usize, usize)>,
}

/// Reads all lines; returns where the last one was cut, if it was.
///
/// # Errors
/// Only when reading itself fails; a line that is no row is noted in `unreadable`, and the next one is read.
pub fn read(
    mut input: impl BufRead,
    name: &str,
    account: &mut Account,
    unreadable: &mut Named<Unreadable>,
) -> io::Result<Option<Place>> {
    let mut stream = Stream::new(name.to_owned());
    let mut before = Before::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let whole = line.ends_with(b"\n");
        if line.trim_ascii().is_empty() {
            continue;
        }
        let result = if line.len() as u64 > LINE_BYTES_MAX {
            skip_line(&mut input, whole)?;
            Err(LineError::TooLong)
        } else {
            add(&line, number, &mut stream, &mut before, account)
        };
        let Err(error) = result else { continue };
        if !whole && matches!(&error, LineError::Json(e) if e.is_eof()) {
            return Ok(Some(Place { file: name.to_owned(), row: number }));
        }
        let reason = error.to_string();
        unreadable.push(1, || Unreadable { file: name.to_owned(), row: Some(number), reason });
    }
    Ok(None)
}

/// Skips what is left of a line that is too long.
pub(super) fn skip_line(input: &mut impl BufRead, whole: bool) -> io::Result<()> {
    let mut done = whole;
    while !done {
        let bytes = input.fill_buf()?;
        let end = bytes.iter().position(|b| *b == b'\n');
        done = end.is_some() || bytes.is_empty();
        let used = end.map_or(bytes.len(), |at| at + 1);
        input.consume(used);
    }
    Ok(())
}

fn add(
    bytes: &[u8],
    number: u64,
    stream: &mut Stream,
    before: &mut Before,
    account: &mut Account,
) -> Result<(), LineError> {
    let line: Line<'_> = serde_json::from_slice(bytes)?;
    let (run, class) = before.find(&line, account)?;
    let row = Row { cpu: line.cpu, seq: line.seq, ktime_ns: line.ktime_ns };
    let new = account.row(stream, number, run, class, row)?;
    let run = &mut account.runs()[run];
    let look = number.is_multiple_of(CLOCK_LINES) || !run.clock.is_set();
    if let Some(us) = line.time.as_deref().filter(|_| look).and_then(parse_us) {
        run.clock.sample(us, line.ktime_ns);
    }
    if new && line.class == weir_schema::CLASSES[ClassId::Loss.index()].name {
        run.loss(stream, number, row, line.loss())?;
    }
    Ok(())
}

impl Line<'_> {
    fn loss(&self) -> Loss<'_> {
        Loss {
            action: &self.action,
            gap_cpu: self.gap_cpu,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            last_ktime_ns: self.last_ktime_ns,
            count: self.count,
            by_action: self.by_action.as_deref(),
            reason: self.reason.as_deref(),
        }
    }
}

impl Before {
    fn find(&mut self, line: &Line<'_>, account: &mut Account) -> Result<(usize, usize), RowError> {
        let (host, boot_id, epoch, class) = &self.key;
        let same = *host == line.host && *boot_id == line.boot_id && *epoch == line.epoch && *class == line.class;
        if let Some(found) = self.found.filter(|_| same) {
            return Ok(found);
        }
        let found = (account.run(&line.host, &line.boot_id, line.epoch)?, account.class(&line.class)?);
        self.key = (
            line.host.clone().into_owned(),
            line.boot_id.clone().into_owned(),
            line.epoch,
            line.class.clone().into_owned(),
        );
        self.found = Some(found);
        Ok(found)
    }
}
