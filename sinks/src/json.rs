//! JSON lines, written from columns: one flat object per row, `class` first, then the columns, nulls left out.
//!
//! Escaped texts are kept per batch and dictionary entry, key included, so that a cell costs one copy. No character that
//! could steer a terminal stands in a line as it is ([`crate::text`]).

mod cells;

use crate::Batch;
use crate::order::merged;
use crate::time::Clock;
use cells::Cells;

/// Room that a row usually needs, bytes.
const ROW_BYTES: usize = 768;

/// Writes the rows of one batch.
pub struct JsonRows<'a> {
    /// What stands in a line, in this order, `{"class":"file"` and the line's end included.
    columns: Vec<Cells<'a>>,
    clock: Clock,
}

impl<'a> JsonRows<'a> {
    /// Prepares the columns of the batch; those without any value are gone from here.
    pub fn new(batch: &'a Batch) -> JsonRows<'a> {
        let schema = batch.rows.schema_ref();
        let open = format!("{{\"class\":\"{}\"", batch.class.name).into_bytes();
        let mut columns: Vec<Cells<'a>> = Vec::with_capacity(schema.fields().len() + 2);
        columns.push(Cells::Constant(open));
        for (field, array) in schema.fields().iter().zip(batch.rows.columns()) {
            if let Some(cells) = Cells::new(field.name(), array) {
                push_joined(&mut columns, cells);
            }
        }
        push_joined(&mut columns, Cells::Constant(b"}\n".to_vec()));
        JsonRows { columns, clock: Clock::default() }
    }

    /// Appends one row and a line end.
    pub fn row(&mut self, row: usize, out: &mut Vec<u8>) {
        out.reserve(ROW_BYTES);
        for column in &mut self.columns {
            column.write(row, &mut self.clock, out);
        }
    }
}

/// Appends cells; a constant before them becomes a part of them where it can.
fn push_joined<'a>(columns: &mut Vec<Cells<'a>>, mut cells: Cells<'a>) {
    if let Some(Cells::Constant(before)) = columns.last_mut() {
        match cells.prepend(std::mem::take(before)) {
            Some(text) => *before = text,
            None => drop(columns.pop()),
        }
    }
    columns.push(cells);
}

/// Appends the rows of a batch, one line each.
pub fn write_rows(batch: &Batch, out: &mut Vec<u8>) {
    let mut rows = JsonRows::new(batch);
    (0..batch.rows.num_rows()).for_each(|row| rows.row(row, out));
}

/// Appends the rows of several batches in kernel-time order, one line each.
pub fn write_merged(batches: &[&Batch], out: &mut Vec<u8>) {
    let mut writers: Vec<JsonRows<'_>> = batches.iter().map(|b| JsonRows::new(b)).collect();
    merged(batches, |batch, row| writers[batch].row(row, out));
}
