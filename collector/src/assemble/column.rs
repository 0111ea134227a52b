//! What all columns have in common while their batch is open: they take one block after the other, then become an array.

use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use weir_schema::ColumnType;
use weir_schema::arrow::data_type;
use weir_sinks::Identity;

use super::block::{BLOCK_ROWS, Block, all};
use crate::texts::Texts;

/// What only the batch as a whole knows.
pub struct Closing<'a> {
    /// Rows of the batch.
    pub rows: usize,
    /// Who makes it.
    pub identity: &'a Identity,
    /// Wall clock minus CLOCK_BOOTTIME, ns.
    pub clock_offset_ns: i64,
}

/// A column of the open batch.
pub trait Filling: Send {
    /// Takes the values of a block; `before` rows have been taken. Every block but the last of a batch is full.
    fn take(&mut self, block: &Block, before: usize, texts: &Texts);

    /// The array of all rows; empty afterwards.
    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef;
}

/// One bit per row, of which nothing is kept while all are the same.
#[derive(Default)]
pub struct Bits {
    words: Vec<u64>,
    set: usize,
    rows: usize,
}

impl Bits {
    /// The bits of a block's rows.
    #[inline]
    pub fn push(&mut self, word: u64, rows: usize) {
        let set = word.count_ones() as usize;
        if self.words.is_empty() {
            let same = (set == rows && self.set == self.rows) || (set == 0 && self.set == 0);
            if !same {
                let before = if self.set == 0 { 0 } else { u64::MAX };
                self.words.resize(self.rows / BLOCK_ROWS, before);
                self.words.push(word);
            }
        } else {
            self.words.push(word);
        }
        self.set += set;
        self.rows += rows;
    }

    /// How many are set.
    pub fn set(&self) -> usize {
        self.set
    }

    /// The bits of all rows.
    pub fn finish(&mut self) -> BooleanBuffer {
        let Bits { mut words, set, rows } = std::mem::take(self);
        if words.is_empty() {
            words.resize(rows.div_ceil(BLOCK_ROWS), if set == 0 { 0 } else { u64::MAX });
        }
        BooleanBuffer::new(Buffer::from_vec(words), 0, rows)
    }

    /// The bits as validity; `None` when all rows are valid.
    pub fn nulls(&mut self) -> Option<NullBuffer> {
        if self.set == self.rows {
            *self = Bits::default();
            return None;
        }
        Some(NullBuffer::new(self.finish()))
    }
}

/// Which rows have a value.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// All.
    Always,
    /// Rows that were written in a task.
    InTask,
    /// The rows of these actions (bits).
    Actions(u32),
    /// Rows whose system call has this argument.
    Argument(usize),
}

impl Rule {
    /// The rows of a block that have a value.
    #[inline]
    pub fn rows(self, block: &Block) -> u64 {
        match self {
            Rule::Always => block.rows(),
            Rule::InTask => block.in_task(),
            Rule::Actions(actions) => block.of_actions(actions),
            Rule::Argument(i) => block.with_argument(i),
        }
    }
}

/// Arrays in which every row is the same, kept for the batches to come.
#[derive(Default)]
pub struct Repeated {
    kept: Option<ArrayRef>,
}

impl Repeated {
    /// Rows that are kept at least, so that batches of a few rows do not make new ones at every step.
    const ROWS_MIN: usize = 64;

    /// `rows` rows of what `make` makes. The values are shared, so their memory is not of the batch.
    pub fn rows(&mut self, rows: usize, make: impl FnOnce(usize) -> ArrayRef) -> ArrayRef {
        match &self.kept {
            Some(kept) if kept.len() == rows => Arc::clone(kept),
            Some(kept) if kept.len() > rows => kept.slice(0, rows),
            _ => {
                let kept = make(rows.next_power_of_two().max(Self::ROWS_MIN));
                self.kept.insert(kept).slice(0, rows)
            }
        }
    }

    /// `rows` nulls.
    pub fn nulls(&mut self, ty: ColumnType, rows: usize) -> ArrayRef {
        self.rows(rows, |rows| new_null_array(&data_type(ty), rows))
    }
}

/// Row numbers of a block as a word, where `holds`.
#[inline]
pub fn rows_where(block: &Block, holds: impl Fn(&[u8]) -> bool) -> u64 {
    let mut word = 0;
    for (row, record) in block.records().enumerate() {
        word |= u64::from(holds(record)) << (row % BLOCK_ROWS);
    }
    debug_assert_eq!(word & !all(block.len()), 0);
    word
}
