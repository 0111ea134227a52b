//! What the start of a log finds in its files, and what it makes of it: whole cuts stay, what is torn behind the last one is
//! cut off, and what damage took in the middle is replaced ([`mend`]).

use std::io;
use std::path::Path;

use weir_files::Dir;

use super::bridge::first_cut;
use super::cursor;
use super::log::{Recovered, Segment};
use super::mend::{Behind, mend};
use super::segment::{self, Found, SegmentHeader, SegmentReader};

/// A segment as it was found.
struct Scanned {
    segment: Segment,
    /// Number behind the last whole cut in front of any damage.
    whole_to: u64,
    /// Where it is torn, if so: nothing whole stands behind.
    torn_at: Option<u64>,
    is_damaged: bool,
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Looks through all segments and changes nothing. A segment is known up to its first damage. Of a log that has only what some
/// queue had no room for, numbers that are not there are none.
///
/// # Errors
/// When a file cannot be read, or is no segment.
pub fn recover(dir: &Dir, has_all: bool) -> io::Result<(Vec<Segment>, Recovered)> {
    let mut recovered = Recovered::default();
    let scanned = scan_all(dir, has_all, &mut recovered)?;
    let holes = scanned.windows(2).map(|pair| (pair[0].segment.next, pair[1].segment.first));
    recovered.lost = holes.filter(|(next, first)| next < first).map(|(next, first)| (next, first - 1)).collect();
    let known = |scanned: Scanned| Segment { next: scanned.whole_to, ..scanned.segment };
    let segments = scanned.into_iter().map(known).filter(|s| s.next > s.first).collect();
    Ok((segments, recovered))
}

/// The same for who writes the log from here on. No sink may be further than the log that it reads, so cuts that some sink
/// has and the log has lost are replaced, too.
///
/// # Errors
/// The same, or when a file cannot be written.
pub fn recover_and_mend(dir: &Dir, log_id: &str) -> io::Result<(Vec<Segment>, Recovered)> {
    for first in segment::list(dir)? {
        if segment::bytes(dir, first)? == 0 {
            dir.remove(segment::name(first))?;
        }
    }
    let mut recovered = Recovered::default();
    let scanned = scan_all(dir, true, &mut recovered)?;
    for (path, _, why) in recovered.torn.iter().chain(&recovered.damaged) {
        tracing::warn!(path = %path.display(), "what is no whole frame is cut off: {why}");
    }
    let mut behind = Behind { until: cursor::furthest(dir, log_id)?, cut: None };
    let mut segments = vec![];
    for mut scanned in scanned.into_iter().rev() {
        let path = scanned.segment.path.clone();
        settle(dir, &mut scanned, &behind, &mut recovered).map_err(at(&path))?;
        if scanned.segment.next > scanned.segment.first {
            behind = Behind { until: scanned.segment.first, cut: first_cut(dir, scanned.segment.first)? };
            segments.push(scanned.segment);
        }
    }
    segments.reverse();
    recovered.lost.reverse();
    recovered.last = segments.last().map(|last: &Segment| last.next - 1);
    Ok((segments, recovered))
}

/// Makes a segment whole, as far as the next one.
fn settle(dir: &Dir, scanned: &mut Scanned, behind: &Behind, recovered: &mut Recovered) -> io::Result<()> {
    let segment = &mut scanned.segment;
    if scanned.is_damaged || behind.until > segment.next {
        let until = behind.until.max(segment.next);
        let lost = mend(dir, segment, &Behind { until, cut: behind.cut.clone() })?;
        tracing::error!(path = %segment.path.display(), cuts = lost.iter().map(|(a, b)| b - a + 1).sum::<u64>(),
            "damage took cuts of the spool; the sinks that miss them say so");
        recovered.lost.extend(lost.into_iter().rev());
    } else if segment.next == segment.first {
        dir.remove(segment::name(segment.first))?;
    } else if let Some(torn_at) = scanned.torn_at {
        dir.open_to_write(segment::name(segment.first))?.set_len(torn_at)?;
    }
    Ok(())
}

fn scan_all(dir: &Dir, has_all: bool, recovered: &mut Recovered) -> io::Result<Vec<Scanned>> {
    let scan = |first: u64| {
        let path = dir.path_of(segment::name(first));
        scan(dir, first, &path, has_all, recovered).map_err(at(&path)).transpose()
    };
    segment::list(dir)?.into_iter().filter_map(scan).collect()
}

fn misplaced(number: u64, expected: u64) -> &'static str {
    if number < expected { "a cut stands behind a later one" } else { "cuts are missing in front of a whole one" }
}

/// `None` for a file that has not even all of a header: it was made and not filled.
fn scan(dir: &Dir, first: u64, path: &Path, has_all: bool, recovered: &mut Recovered) -> io::Result<Option<Scanned>> {
    let len = segment::bytes(dir, first)?;
    let mut reader = match SegmentReader::open(dir, first) {
        Ok(reader) => reader,
        Err(_) if segment::ends_in_header(dir, first)? => {
            if len > 0 {
                recovered.torn_bytes += len;
                recovered.torn.push((path.to_owned(), 0, "the file ends inside its header"));
            }
            let segment = Segment { first, next: first, bytes: 0, path: path.to_owned(), identity: None };
            return Ok((len > 0).then_some(Scanned { segment, whole_to: first, torn_at: Some(0), is_damaged: false }));
        }
        Err(error) => return Err(error),
    };
    let mut scanned = Scanned {
        segment: Segment {
            first,
            next: first,
            bytes: 0,
            path: path.to_owned(),
            identity: Some(reader.header.identity()),
        },
        whole_to: first,
        torn_at: None,
        is_damaged: false,
    };
    // What is missing behind damage is that damage.
    let mut skipped = false;
    loop {
        match reader.advance()? {
            Found::Cut(number) => {
                let expected = scanned.segment.next;
                let is_hole = has_all && number > expected && !std::mem::take(&mut skipped);
                if number < expected || is_hole && !reader.is_stand_in() {
                    scanned.is_damaged = true;
                    recovered.damaged.push((path.to_owned(), reader.at(), misplaced(number, expected)));
                }
                if number < expected {
                    continue;
                }
                recovered.cuts += 1;
                recovered.last = Some(number);
                scanned.segment.next = number + 1;
                if !scanned.is_damaged {
                    scanned.whole_to = number + 1;
                }
            }
            Found::End => break,
            Found::Torn(why) => {
                let from = reader.at();
                match reader.skip()? {
                    // It was just being written.
                    Some(0) => {}
                    Some(bytes) => {
                        recovered.damaged_bytes += bytes;
                        recovered.damaged.push((path.to_owned(), from, why));
                        (scanned.is_damaged, skipped) = (true, true);
                    }
                    None => {
                        recovered.torn_bytes += len.saturating_sub(from);
                        recovered.torn.push((path.to_owned(), from, why));
                        scanned.torn_at = Some(from);
                        break;
                    }
                }
            }
        }
    }
    scanned.segment.bytes = reader.at();
    Ok(Some(scanned))
}

/// Gives up the cuts of segments whose header is damaged: nobody knows whose they are. The file is kept under another name,
/// and an empty segment of its neighbour's stream takes its place, to be mended like any other.
///
/// # Errors
/// When a file cannot be read or written.
pub fn give_up_headless(dir: &Dir) -> io::Result<()> {
    let all = segment::list(dir)?;
    let header = |first: u64| SegmentHeader::read(&dir.open(segment::name(first))?).map(|(header, _)| header);
    for (at, first) in all.iter().enumerate() {
        if header(*first).is_ok() || segment::ends_in_header(dir, *first)? || !segment::is_damaged(dir, *first)? {
            continue;
        }
        let neighbours = all[at + 1..].iter().chain(all[..at].iter().rev());
        let neighbour = neighbours.filter_map(|first| header(*first).ok()).next();
        let name = segment::name(*first);
        let path = dir.path_of(&name);
        tracing::error!(path = %path.display(), "the header of a segment is damaged: its cuts are given up");
        dir.rename(&name, dir, Path::new(&name).with_extension("damaged"))?;
        if let Some(neighbour) = neighbour {
            dir.replace(&name, &SegmentHeader { first_cut: *first, ..neighbour }.to_bytes()?)?;
        }
    }
    Ok(())
}
