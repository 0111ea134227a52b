//! The open rows of one class.

use arrow_array::RecordBatch;
use weir_schema::arrow::schema;
use weir_schema::column::locate;
use weir_schema::record::Record;
use weir_schema::{Class, Source};
use weir_sinks::{Batch, Identity};

use super::block::{BLOCK_ROWS, Block};
use super::column::{Closing, Filling};
use super::columns::filling;
use super::lists::ListColumn;
use super::slots::Slots;
use crate::context::Known;
use crate::texts::Texts;

/// A record with what is known of its process.
pub struct Row<'a> {
    /// The record.
    pub record: &'a Record<'a>,
    /// Its process, user and container.
    pub known: &'a Known,
}

/// A column of lists: appended row by row, because few rows have one.
struct ListSlot {
    column: usize,
    tail: usize,
    lists: ListColumn,
}

/// The open rows of one class.
pub struct ClassRows {
    class: &'static Class,
    block: Block,
    slots: Slots,
    lists: Vec<ListSlot>,
    /// Byte and bit of the records that say that a list is not whole.
    lists_cut: Option<(usize, u32)>,
    /// All columns but lists, with their places.
    columns: Vec<(usize, Box<dyn Filling>)>,
    /// Rows that the columns have taken from full blocks.
    taken: usize,
}

/// Where column `args_truncated` is in the records.
fn lists_cut(class: &Class) -> Option<(usize, u32)> {
    let column = class.all_columns().find(|column| column.name == "args_truncated")?;
    let Source::Bit { bit, .. } = column.source else { return None };
    Some((locate(class.fields, &column.source)?.0, bit))
}

impl ClassRows {
    /// No rows of this class.
    pub fn new(class: &'static Class) -> ClassRows {
        let slots = Slots::new(class);
        let (mut lists, mut columns) = (vec![], vec![]);
        for (place, column) in class.all_columns().enumerate() {
            match column.source {
                Source::List { tail } => {
                    let tail = class.tail(tail).expect("the definition's tests look up every tail");
                    lists.push(ListSlot { column: place, tail, lists: ListColumn::default() });
                }
                _ => columns.push((place, filling(class, column, slots.of(column)))),
            }
        }
        let block = Block::new(class.layout().fixed, slots.len());
        ClassRows { class, block, slots, lists, lists_cut: lists_cut(class), columns, taken: 0 }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.taken + self.block.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the rows: of the records' fixed parts, and of the lists as text.
    pub fn bytes(&self) -> usize {
        self.len() * self.class.layout().fixed + self.lists.iter().map(|l| l.lists.bytes()).sum::<usize>()
    }

    /// Appends a row.
    pub fn append(&mut self, row: &Row<'_>, texts: &mut Texts) {
        self.block.begin_row(row.record, row.known);
        self.slots.take(row, &mut self.block, texts);
        for slot in &mut self.lists {
            let list = row.record.tail(slot.tail);
            let pushed = slot.lists.push((!list.is_empty()).then_some(list));
            if pushed.is_escaped {
                self.block.escape();
            }
            if pushed.is_cut
                && let Some((at, bit)) = self.lists_cut
            {
                self.block.set_bit(at, bit);
            }
        }
        self.block.end_row();
        if self.block.len() == BLOCK_ROWS {
            self.take_block(texts);
        }
    }

    fn take_block(&mut self, texts: &Texts) {
        for (_, column) in &mut self.columns {
            column.take(&self.block, self.taken, texts);
        }
        self.taken += self.block.len();
        self.block.clear();
    }

    /// The rows as columns; empty afterwards.
    pub fn close(&mut self, identity: &Identity, clock_offset_ns: i64, texts: &Texts) -> Batch {
        self.take_block(texts);
        let closing = Closing { rows: self.taken, identity, clock_offset_ns };
        let columns = self.columns.iter_mut().map(|(place, column)| (*place, column.close(&closing)));
        let lists = self.lists.iter_mut().map(|slot| (slot.column, slot.lists.close()));
        let mut arrays: Vec<_> = columns.chain(lists).collect();
        arrays.sort_by_key(|(place, _)| *place);
        self.taken = 0;
        let arrays = arrays.into_iter().map(|(_, array)| array).collect();
        let rows = RecordBatch::try_new(schema(self.class.id), arrays)
            .expect("every column was made from the definition and has one value per row");
        Batch { class: self.class, rows }
    }
}
