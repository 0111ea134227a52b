//! Rows for people: one line per event, in the manner of execsnoop, with one header per kind of line.
//!
//! Process events show `TIME COMM PID PPID RET ARGS`, all others `TIME COMM PID ACTION RET` and what their class is about.
//! `RET` is the errno name of a failure. Times are UTC. Nothing of the text can steer the terminal ([`crate::text`]).

mod detail;
mod read;

use std::convert::Infallible;

use weir_schema::ClassId;
use weir_schema::errno::ERRNO_MAX;

use crate::Batch;
use crate::json::PART_BYTES;
use crate::order::merged;
use crate::text::push_visible;
use crate::time::Clock;
use read::Columns;

/// Widths of the fixed columns, characters; a longer value pushes the rest of its line.
const TIME_CHARS: usize = 15;
const COMM_CHARS: usize = 16;
const PID_CHARS: usize = 8;
const FOURTH_CHARS: usize = 12;
const RET_CHARS: usize = 9;

/// Bold red and back, for gaps.
const LOUD: &str = "\x1b[1;31m";
const QUIET: &str = "\x1b[0m";

/// How the table looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStyle {
    /// Longer lines are cut at this many characters, and end in `…`.
    pub width: Option<usize>,
    /// Gaps are highlighted by colour; only for a terminal.
    pub colour: bool,
}

/// Writes tables; keeps which headers it has written.
#[derive(Debug, Default)]
pub struct Table {
    style: TableStyle,
    clock: Clock,
    line: String,
    headers: [bool; weir_schema::CLASSES.len()],
}

impl Table {
    /// A table without headers so far.
    pub fn new(style: TableStyle) -> Table {
        Table { style, ..Table::default() }
    }

    /// Appends the rows of several batches in kernel-time order, one line each; checkpoints, ends and what the user
    /// chose not to see (`not_selected`) are left out.
    pub fn write(&mut self, batches: &[&Batch], out: &mut Vec<u8>) {
        let Ok(()) = self.write_rows_to(batches, out, |_| Ok::<(), Infallible>(()));
    }

    /// Appends to lines, which `behind` gets behind each row.
    fn write_rows_to<E>(
        &mut self,
        batches: &[&Batch],
        lines: &mut Vec<u8>,
        mut behind: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let columns: Vec<Columns<'_>> = batches.iter().map(|b| Columns::new(b)).collect();
        merged(batches, |batch, row| {
            self.row(batches[batch].class.id, &columns[batch], row, lines);
            behind(lines)
        })
    }

    /// The same in parts, as [`crate::json::write_parts`]. `lines` is empty before and behind.
    pub(crate) fn write_parts<E>(
        &mut self,
        batches: &[&Batch],
        lines: &mut Vec<u8>,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut put = |lines: &mut Vec<u8>, least: usize| {
            let result = if lines.len() > least { put(lines) } else { return Ok(()) };
            lines.clear();
            lines.shrink_to(2 * PART_BYTES);
            result
        };
        let written = self.write_rows_to(batches, lines, |lines| put(lines, PART_BYTES));
        written.and_then(|()| put(lines, 0))
    }

    fn row(&mut self, class: ClassId, columns: &Columns<'_>, row: usize, out: &mut Vec<u8>) {
        self.line.clear();
        if class == ClassId::Loss {
            let start = self.line.len();
            let time = self.clock.time_of_day(columns.time_us(row).unwrap_or_default());
            push_column(&mut self.line, &String::from_utf8_lossy(time), TIME_CHARS);
            if !detail::gap(columns, row, &mut self.line) {
                self.line.truncate(start);
                return;
            }
            return self.end_line(self.style.colour, out);
        }
        if !std::mem::replace(&mut self.headers[class.index()], true) {
            header(class, &mut self.line);
            self.end_line(false, out);
        }
        self.event(class, columns, row);
        self.end_line(false, out);
    }

    fn event(&mut self, class: ClassId, columns: &Columns<'_>, row: usize) {
        let time = self.clock.time_of_day(columns.time_us(row).unwrap_or_default());
        let line = &mut self.line;
        push_column(line, &String::from_utf8_lossy(time), TIME_CHARS);
        push_column(line, columns.text("comm", row).unwrap_or("-"), COMM_CHARS);
        push_column(line, &number(columns.int("pid", row)), PID_CHARS);
        if class == ClassId::Process {
            push_column(line, &number(columns.int("ppid", row)), FOURTH_CHARS);
        } else {
            push_column(line, columns.text("action", row).unwrap_or("-"), FOURTH_CHARS);
        }
        match (columns.text("error", row), columns.int("ret", row)) {
            (Some(error), _) => push_column(line, error, RET_CHARS),
            // A result that has no errno name but is in its range: the number says more than nothing.
            (None, Some(ret)) if ret < i64::from(-ERRNO_MAX) || ret > i64::from(u32::MAX) => {
                push_column(line, &format!("{ret:#x}"), RET_CHARS);
            }
            (None, ret) => push_column(line, &number(ret), RET_CHARS),
        }
        detail::event(class, columns, row, line);
        if class != ClassId::Container {
            detail::container(columns, row, line);
        }
    }

    /// Ends the line: without trailing spaces, cut to the width, coloured.
    fn end_line(&mut self, loud: bool, out: &mut Vec<u8>) {
        self.line.truncate(self.line.trim_end().len());
        if let Some(width) = self.style.width
            && let Some((last, _)) = self.line.char_indices().nth(width.saturating_sub(1))
            && self.line[last..].chars().nth(1).is_some()
        {
            self.line.truncate(last);
            self.line.push('…');
        }
        let (before, behind) = if loud { (LOUD, QUIET) } else { ("", "") };
        for part in [before, &self.line, behind, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        self.line.clear();
    }
}

fn header(class: ClassId, line: &mut String) {
    let (fourth, detail) = match class {
        ClassId::Process => ("PPID", "ARGS"),
        ClassId::File => ("ACTION", "PATH"),
        ClassId::Network => ("ACTION", "LOCAL -> REMOTE"),
        ClassId::Syscall => ("ACTION", "CALL"),
        ClassId::Memory | ClassId::Kernel | ClassId::Loss | ClassId::Container => ("ACTION", "DETAIL"),
    };
    push_column(line, "TIME", TIME_CHARS);
    push_column(line, "COMM", COMM_CHARS);
    push_column(line, "PID", PID_CHARS);
    push_column(line, fourth, FOURTH_CHARS);
    push_column(line, "RET", RET_CHARS);
    line.push_str(detail);
}

fn number(value: Option<i64>) -> String {
    value.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

/// Appends a value, at least this wide, and one space.
fn push_column(line: &mut String, value: &str, chars: usize) {
    let start = line.len();
    push_visible(line, value);
    let used = line[start..].chars().count();
    line.extend(std::iter::repeat_n(' ', chars.saturating_sub(used) + 1));
}
