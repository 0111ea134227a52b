//! The report for people: one fact per line, the verdict first, problems last.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use weir_schema::loss::{CPU_COLLECTOR, CPU_SINK};

use super::report::{
    Contradiction, CpuReport, Duplicate, GapReport, Inversion, Missing, Moment, Named, Place, Problems, Report,
    RunReport, SinkReport, Unbalanced, Unreadable, Verdict,
};
use super::spans::Span;
use crate::terminal::Foreign;

/// Characters in front of a fact.
const LABEL_WIDTH: usize = 15;
/// Actions of a gap that are named, the most frequent first.
const ACTIONS_MAX: usize = 8;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.sinks.iter().try_for_each(|sink| sink.fmt(f))
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Complete => "complete",
            Verdict::OpenEnd => "complete up to an open end",
            Verdict::Faulty => "NOT COMPLETE",
            Verdict::Unreadable => "NOT READABLE",
        })
    }
}

fn fact(f: &mut Formatter<'_>, label: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "  {label:<LABEL_WIDTH$}{text}")
}

fn facts<T: Display>(f: &mut Formatter<'_>, label: &str, list: &Named<T>) -> fmt::Result {
    list.named.iter().try_for_each(|entry| fact(f, label, entry))
}

/// The same, and how many numbers or rows there are in all when not everything is named.
fn problems<T: Display>(f: &mut Formatter<'_>, label: &str, list: &Named<T>, unit: &str, named: u64) -> fmt::Result {
    facts(f, label, list)?;
    if named < list.total { fact(f, label, format_args!("{} {unit} in all", list.total)) } else { Ok(()) }
}

impl Display for SinkReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} (exit code {})", Foreign(&self.input), self.verdict, self.verdict.exit_code())?;
        fact(f, "read", format_args!("{}, {}", Counted(self.files, "file"), Counted(self.rows, "row")))?;
        if let Some(removed) = &self.removed {
            let (files, rows) = (Counted(removed.files, "file"), Counted(removed.rows, "row"));
            fact(f, "removed", format_args!("{files} with {rows}, by the limits of the directory"))?;
        }
        for file in &self.ignored.named {
            fact(f, "ignored", format_args!("{}: not .parquet", Foreign(file)))?;
        }
        more(f, "ignored", self.ignored.total, self.ignored.named.len(), "files")?;
        if let Some(place) = &self.torn {
            fact(f, "torn", format_args!("{place}: cut in the middle, as a killed collector leaves it"))?;
        }
        self.runs.iter().try_for_each(|run| run.fmt(f))?;
        facts(f, "UNREADABLE", &self.unreadable)?;
        more(f, "UNREADABLE", self.unreadable.total, self.unreadable.named.len(), "files or lines")
    }
}

fn more(f: &mut Formatter<'_>, label: &str, total: u64, named: usize, unit: &str) -> fmt::Result {
    if total > named as u64 { fact(f, label, format_args!("{total} {unit} in all")) } else { Ok(()) }
}

impl Display for RunReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (host, boot_id) = (Foreign(&self.host), Foreign(&self.boot_id));
        fact(f, "run", format_args!("host {host}, boot {boot_id}, epoch {}: {}", self.epoch, self.verdict))?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            fact(f, "time", format_args!("{first} to {last}"))?;
        }
        fact(f, "rows", ByName(&self.rows))?;
        for (reason, gap) in &self.gaps {
            fact(f, "gaps", Gap { reason, gap })?;
        }
        let all = self.lost.saturating_add(self.delivered);
        fact(f, "lost", format_args!("{} of {all} ({:.3} %)", self.lost, self.lost_percent))?;
        for cpu in &self.cpus {
            fact(f, &format!("cpu {}", cpu.cpu), cpu)?;
        }
        self.problems.fmt(f)
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sum = |sum: u64, n: u64| sum.saturating_add(n);
        let numbers = |list: &Named<Missing>| list.named.iter().map(|m| m.numbers.numbers()).fold(0, sum);
        problems(f, "MISSING", &self.missing, "numbers", numbers(&self.missing))?;
        let differences = self.unbalanced.named.iter().map(Unbalanced::difference).fold(0, sum);
        problems(f, "UNBALANCED", &self.unbalanced, "numbers", differences)?;
        let rows = self.duplicates.named.iter().map(|d| d.rows).sum();
        problems(f, "DUPLICATE", &self.duplicates, "rows", rows)?;
        problems(f, "INVERTED", &self.inversions, "rows", self.inversions.named.len() as u64)?;
        problems(f, "BEYOND END", &self.beyond_end, "numbers", numbers(&self.beyond_end))?;
        let contradictions = self.contradictions.named.len() as u64;
        problems(f, "CONTRADICTION", &self.contradictions, "rows or spans", contradictions)
    }
}

/// A number and what it counts.
struct Counted(u64, &'static str);

impl Display for Counted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

struct ByName<'a>(&'a BTreeMap<String, u64>);

impl Display for ByName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, (name, count)) in self.0.iter().enumerate() {
            write!(f, "{}{} {count}", if i > 0 { ", " } else { "" }, Foreign(name))?;
        }
        Ok(())
    }
}

struct Gap<'a> {
    reason: &'a str,
    gap: &'a GapReport,
}

impl Display for Gap<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Foreign(self.reason), self.gap.count)?;
        let mut actions: Vec<_> = self.gap.by_action.iter().collect();
        actions.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        for (i, (name, count)) in actions.iter().take(ACTIONS_MAX).enumerate() {
            write!(f, "{}{} {count}", if i > 0 { ", " } else { ": " }, Foreign(name))?;
        }
        if actions.len() > ACTIONS_MAX { write!(f, ", {} more", actions.len() - ACTIONS_MAX) } else { Ok(()) }
    }
}

impl Display for CpuReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.judged_below.checked_sub(1) {
            Some(last) => write!(f, "{}", Span { first: 0, last })?,
            None if self.ended => write!(f, "no number")?,
            None => write!(f, "no checkpoint")?,
        }
        match (&self.last, self.ended) {
            (Some(last), true) => write!(f, ", end at {last}: ")?,
            (Some(last), false) => write!(f, ", OPEN END after {last}: ")?,
            (None, true) => write!(f, ", end: ")?,
            (None, false) => write!(f, ", OPEN END: ")?,
        }
        write!(f, "{}", Counted(self.rows, "row"))?;
        let besides = [
            (self.in_gaps, "in gaps"),
            (self.counted, "counted as left out"),
            (self.removed, "removed"),
            (self.unexplained, "removed or in gaps that were"),
        ];
        for (count, what) in besides.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        if self.rows_beyond > 0 {
            write!(f, "; {} beyond", Counted(self.rows_beyond, "row"))?;
        }
        match self.cpu {
            CPU_COLLECTOR => write!(f, " (the collector's own)"),
            CPU_SINK => write!(f, " (the sink's own)"),
            _ => Ok(()),
        }
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.time {
            Some(time) => f.write_str(time),
            None => write!(f, "ktime {} ns", self.ktime_ns),
        }
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}..{}", self.first, self.last) }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} row {}", Foreign(&self.file), self.row)
    }
}

impl Display for Unreadable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Foreign(&self.file))?;
        if let Some(row) = self.row {
            write!(f, " row {row}")?;
        }
        write!(f, ": {}", Foreign(&self.reason))
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {}: {} ({})", self.cpu, self.numbers, Counted(self.numbers.numbers(), "number"))?;
        if let Some(after) = &self.after {
            write!(f, ", after {after}")?;
        }
        if let Some(before) = &self.before {
            write!(f, ", before {before}")?;
        }
        Ok(())
    }
}

impl Unbalanced {
    fn difference(&self) -> u64 {
        self.counted.abs_diff(self.absent)
    }
}

impl Display for Unbalanced {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let difference = Counted(self.difference(), "number");
        let what = if self.counted < self.absent { "missing" } else { "too many counted" };
        let Unbalanced { at, counted, absent } = self;
        write!(f, "{at}: {difference} {what}, {absent} without row or exact gap, {counted} counted as left out")
    }
}

impl Display for Duplicate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {}: ", self.cpu)?;
        for (i, span) in self.numbers.iter().enumerate() {
            write!(f, "{}{span}", if i > 0 { ", " } else { "" })?;
        }
        let named: u64 = self.numbers.iter().map(Span::numbers).sum();
        let cut = if named < self.rows { ", ..." } else { "" };
        write!(f, "{cut} again, {} from {}", Counted(self.rows, "row"), self.at)
    }
}

impl Display for Inversion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Inversion { cpu, seq, class, ktime_ns, previous_ktime_ns, at } = self;
        write!(f, "cpu {cpu}: {seq} ({}) has ktime {ktime_ns} behind {previous_ktime_ns}, {at}", Foreign(class))
    }
}

impl Display for Contradiction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {}: ", self.cpu)?;
        if let Some(numbers) = &self.numbers {
            write!(f, "{numbers} ")?;
        }
        write!(f, "{}", Foreign(&self.what))?;
        self.at.as_ref().map_or(Ok(()), |at| write!(f, ", {at}"))
    }
}
