//! JSON: one event a message, or lines.

use std::ops::Range;

use super::Message;
use crate::Batch;
use crate::json::JsonRows;

/// One message per row: its line without the line end. Returns the row to go on with.
pub(super) fn events(
    batch: &Batch,
    rows: Range<usize>,
    buffer_bytes: usize,
    (buffer, messages): (&mut Vec<u8>, &mut Vec<Message>),
) -> usize {
    let mut json = JsonRows::new(batch);
    for row in rows.clone() {
        let start = buffer.len();
        json.row(row, buffer);
        messages.push(Message { start, end: buffer.len() - 1, first_row: row, rows: 1 });
        if buffer.len() >= buffer_bytes {
            return row + 1;
        }
    }
    rows.end
}

/// Messages of as many lines as fit. Returns the row to go on with.
pub(super) fn lines(
    batch: &Batch,
    rows: Range<usize>,
    (bytes_max, lines_max): (usize, usize),
    buffer_bytes: usize,
    (buffer, messages): (&mut Vec<u8>, &mut Vec<Message>),
) -> usize {
    let mut json = JsonRows::new(batch);
    let mut open = Message { start: 0, end: 0, first_row: rows.start, rows: 0 };
    for row in rows {
        json.row(row, buffer);
        let full = open.rows >= lines_max || buffer.len() - open.start > bytes_max;
        if full && open.rows > 0 {
            messages.push(open);
            open = Message { start: open.end, end: open.end, first_row: row, rows: 0 };
        }
        open.rows += 1;
        open.end = buffer.len();
        if buffer.len() >= buffer_bytes {
            break;
        }
    }
    if open.rows > 0 {
        messages.push(open);
    }
    open.first_row + open.rows
}
