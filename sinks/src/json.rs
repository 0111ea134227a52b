//! JSON, written from columns: one flat object per row, `class` and `schema_version` first, then the columns, nulls left
//! out.
//!
//! What is the same in all rows stands ready as one text, and so does every entry of a dictionary that was used once,
//! escaped and with its key before it: a cell costs one copy. No character that could steer a terminal stands in a line
//! as it is ([`crate::text`]).

mod cells;
mod page;

use std::convert::Infallible;

use weir_schema::SCHEMA_VERSION;

use crate::Batch;
use crate::order::merged;
use crate::time::Clock;
use cells::{Cells, Columns};
pub(crate) use page::Page;
use page::{Piece, Store};

/// Lines that are written at once, bytes.
pub(crate) const PART_BYTES: usize = 1 << 20;
/// Memory for texts that is kept from batch to batch, bytes.
const STORE_BYTES_KEPT: usize = 8 << 20;

/// What is used again from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Texts that are the same in many rows of this batch.
    store: Store,
    /// The entries of all dictionaries of this batch; empty where an entry was not used so far.
    entries: Vec<Piece>,
    clock: Clock,
}

impl Scratch {
    fn clear(&mut self) {
        self.store.clear(STORE_BYTES_KEPT);
        self.entries.clear();
        self.entries.shrink_to(STORE_BYTES_KEPT / size_of::<Piece>());
    }
}

/// Writes the rows of one batch.
pub(crate) struct JsonRows<'a> {
    cells: Vec<Cells<'a>>,
    scratch: Scratch,
}

impl<'a> JsonRows<'a> {
    /// Prepares the columns of the batch; those without any value are gone from here.
    pub fn new(batch: &'a Batch, mut scratch: Scratch) -> JsonRows<'a> {
        scratch.clear();
        let schema = batch.rows.schema_ref();
        let mut columns = Columns::new(&mut scratch, schema.fields().len());
        columns.text(&format!("{{\"class\":\"{}\",\"schema_version\":{SCHEMA_VERSION}", batch.class.name));
        for (field, array) in schema.fields().iter().zip(batch.rows.columns()) {
            columns.column(field.name(), array);
        }
        columns.text("}\n");
        let cells = columns.finish();
        JsonRows { cells, scratch }
    }

    /// Appends one row and a line end.
    #[inline]
    pub fn row(&mut self, row: usize, out: &mut Page) {
        self.cells.iter().for_each(|cells| cells.write(row, &mut self.scratch, out));
    }

    /// For the next batch.
    pub fn into_scratch(self) -> Scratch {
        self.scratch
    }
}

/// Appends the rows of a batch, one line each.
pub fn write_rows(batch: &Batch, out: &mut Vec<u8>) {
    write_merged(&[batch], out);
}

/// Appends the rows of several batches in kernel-time order, one line each.
pub fn write_merged(batches: &[&Batch], out: &mut Vec<u8>) {
    let mut page = Page::behind(std::mem::take(out));
    let Ok(()) = write_rows_to(batches, &mut page, |_| Ok::<(), Infallible>(()));
    *out = page.into_bytes();
}

/// Writes to a page, which `behind` gets behind each row.
fn write_rows_to<E>(
    batches: &[&Batch],
    page: &mut Page,
    mut behind: impl FnMut(&mut Page) -> Result<(), E>,
) -> Result<(), E> {
    let mut writers: Vec<JsonRows<'_>> = batches.iter().map(|b| JsonRows::new(b, Scratch::default())).collect();
    merged(batches, |batch, row| {
        writers[batch].row(row, page);
        behind(page)
    })
}

/// The same in parts of [`PART_BYTES`] and one row more at most: a text that stands once in a batch can be in each of its rows.
/// `page` is empty before and behind; its memory is used again from call to call.
///
/// # Errors
/// The first that `put` gives; what follows is not written.
pub(crate) fn write_parts<E>(
    batches: &[&Batch],
    page: &mut Page,
    mut put: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let written = write_rows_to(batches, page, |page| {
        if page.len() < PART_BYTES {
            return Ok(());
        }
        let result = put(page.as_bytes());
        page.clear(2 * PART_BYTES);
        result
    });
    let written = written.and_then(|()| if page.len() > 0 { put(page.as_bytes()) } else { Ok(()) });
    page.clear(2 * PART_BYTES);
    written
}
