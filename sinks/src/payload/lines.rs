//! JSON: one event a message, or lines.

use std::ops::Range;

use super::{Limits, Message, Messages};
use crate::json::JsonRows;

/// One message per row: its line without the line end. Returns the row to go on with.
pub(super) fn events(json: &mut JsonRows<'_>, rows: Range<usize>, limits: Limits, out: &mut Messages) -> usize {
    for row in rows.clone() {
        let start = out.page.len();
        json.row(row, &mut out.page);
        out.list.push(Message { start, end: out.page.len() - 1, first_row: row, rows: 1 });
        if out.page.len() >= limits.buffer_bytes {
            return row + 1;
        }
    }
    rows.end
}

/// Messages of as many lines as fit. Returns the row to go on with.
pub(super) fn lines(json: &mut JsonRows<'_>, rows: Range<usize>, limits: Limits, out: &mut Messages) -> usize {
    let mut open = Message { start: 0, end: 0, first_row: rows.start, rows: 0 };
    for row in rows {
        json.row(row, &mut out.page);
        let full = open.rows >= limits.lines_max || out.page.len() - open.start > limits.bytes_max;
        if full && open.rows > 0 {
            out.list.push(open);
            open = Message { start: open.end, end: open.end, first_row: row, rows: 0 };
        }
        open.rows += 1;
        open.end = out.page.len();
        if out.page.len() >= limits.buffer_bytes {
            break;
        }
    }
    let next = open.first_row + open.rows;
    if open.rows > 0 {
        out.list.push(open);
    }
    next
}
