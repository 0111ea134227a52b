//! One column of a batch, prepared for being written row by row.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use weir_schema::render::is_string_in_json;

use super::page::{Page, Piece};
use super::{STORE_BYTES_KEPT, Scratch};
use crate::text::push_json;

/// The cells of a column and what stands before them.
pub(super) enum Cells<'a> {
    /// The same in every row, keys included.
    Constant(Piece),
    /// `,"created":false` and `,"created":true`.
    Bool { texts: [Piece; 2], array: &'a BooleanArray },
    /// Numbers.
    Int32 { before: Piece, values: &'a [i32], nulls: Option<&'a NullBuffer> },
    /// Numbers, as strings where they go beyond 2^53.
    Int64 { before: Piece, quoted: bool, values: &'a [i64], nulls: Option<&'a NullBuffer> },
    /// Microseconds since 1970.
    Time { before: Piece, values: &'a [i64], nulls: Option<&'a NullBuffer> },
    /// Texts of a dictionary.
    Text { texts: Texts<'a>, keys: &'a [i32], nulls: Option<&'a NullBuffer> },
    /// Lists of texts.
    List { before: Piece, lists: &'a ListArray, values: &'a StringArray },
}

/// The entries of a dictionary, escaped when first used: `,"comm":"sh"`.
pub(super) struct Texts<'a> {
    before: Piece,
    dictionary: &'a StringArray,
    /// Place of the first entry in [`Scratch::entries`]; none where the dictionary is much larger than the batch, so that
    /// few rows do not pay for many entries.
    first: Option<usize>,
}

/// A dictionary with more entries per row of the batch is not worth keeping.
const ENTRIES_PER_ROW_MAX: usize = 4;

impl Texts<'_> {
    #[inline]
    fn write(&self, entry: usize, scratch: &mut Scratch, out: &mut Page) {
        match self.first.map(|first| scratch.entries[first + entry]) {
            Some(piece) if !piece.is_empty() => out.push_piece(&scratch.store, piece),
            _ => self.write_first(entry, scratch, out),
        }
    }

    #[cold]
    fn write_first(&self, entry: usize, scratch: &mut Scratch, out: &mut Page) {
        let start = out.len();
        out.push_piece(&scratch.store, self.before);
        push_quoted(out, self.dictionary.value(entry));
        if let Some(first) = self.first
            && scratch.store.len() < STORE_BYTES_KEPT
        {
            scratch.entries[first + entry] = scratch.store.add(&out.as_bytes()[start..]);
        }
    }
}

fn push_quoted(out: &mut Page, text: &str) {
    out.push(b'"');
    push_json(out, text);
    out.push(b'"');
}

fn push_list(out: &mut Page, values: &StringArray, range: Range<usize>) {
    out.push(b'[');
    for (n, i) in range.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        push_quoted(out, values.value(i));
    }
    out.push(b']');
}

#[inline]
fn is_set(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|n| n.is_valid(row))
}

impl Cells<'_> {
    /// Appends the cell of a row; nothing if it is null.
    #[inline]
    pub fn write(&self, row: usize, scratch: &mut Scratch, out: &mut Page) {
        match self {
            Cells::Constant(text) => out.push_piece(&scratch.store, *text),
            Cells::Text { texts, keys, nulls } if is_set(*nulls, row) => {
                texts.write(keys[row] as usize, scratch, out);
            }
            Cells::Int64 { before, quoted, values, nulls } if is_set(*nulls, row) => {
                out.push_piece(&scratch.store, *before);
                out.push_int(values[row]);
                if *quoted {
                    out.push(b'"');
                }
            }
            Cells::Int32 { before, values, nulls } if is_set(*nulls, row) => {
                out.push_piece(&scratch.store, *before);
                out.push_int(values[row].into());
            }
            Cells::Time { before, values, nulls } if is_set(*nulls, row) => {
                out.push_piece(&scratch.store, *before);
                let time = scratch.clock.date_time(values[row]);
                out.push_array(time, time.len());
                out.push(b'"');
            }
            Cells::Bool { texts, array } if array.is_valid(row) => {
                out.push_piece(&scratch.store, texts[usize::from(array.value(row))]);
            }
            Cells::List { before, lists, values } if lists.is_valid(row) => {
                out.push_piece(&scratch.store, *before);
                let offsets = lists.value_offsets();
                push_list(out, values, offsets[row] as usize..offsets[row + 1] as usize);
            }
            _ => {}
        }
    }
}

/// Prepares columns one by one. What is the same in every row is held back and becomes a part of the next cell that every
/// row has: one copy instead of two.
pub(super) struct Columns<'a, 's> {
    scratch: &'s mut Scratch,
    cells: Vec<Cells<'a>>,
    held: Vec<u8>,
}

impl<'a, 's> Columns<'a, 's> {
    pub fn new(scratch: &'s mut Scratch, columns: usize) -> Columns<'a, 's> {
        Columns { scratch, cells: Vec::with_capacity(columns + 2), held: Vec::new() }
    }

    /// A text that stands in every row.
    pub fn text(&mut self, text: &str) {
        self.held.extend_from_slice(text.as_bytes());
    }

    /// What stands before a value: what is held back, if every row has the value, and its key.
    fn before(&mut self, name: &str, end: &str, nulls: Option<&NullBuffer>) -> Piece {
        if nulls.is_some() {
            self.hold_nothing();
        }
        for text in [",\"", name, "\":", end] {
            self.text(text);
        }
        let piece = self.scratch.store.add(&self.held);
        self.held.clear();
        piece
    }

    fn hold_nothing(&mut self) {
        if !self.held.is_empty() {
            self.cells.push(Cells::Constant(self.scratch.store.add(&self.held)));
            self.held.clear();
        }
    }

    /// The next column. Types that the definition does not have are left out; a test loops over it.
    pub fn column(&mut self, name: &str, array: &'a ArrayRef) {
        if array.is_empty() || array.null_count() == array.len() {
            return;
        }
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        let cells = match array.data_type() {
            DataType::Boolean => {
                let values = array.as_boolean();
                if let Some(value) = constant(values) {
                    return [",\"", name, "\":", value].into_iter().for_each(|text| self.text(text));
                }
                self.hold_nothing();
                let texts = ["false", "true"].map(|value| self.before(name, value, None));
                Cells::Bool { texts, array: values }
            }
            DataType::Int32 => {
                let values = array.as_primitive::<Int32Type>().values().as_ref();
                Cells::Int32 { before: self.before(name, "", nulls), values, nulls }
            }
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>().values().as_ref();
                let quoted = is_string_in_json(name);
                Cells::Int64 { before: self.before(name, if quoted { "\"" } else { "" }, nulls), quoted, values, nulls }
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values().as_ref();
                Cells::Time { before: self.before(name, "\"", nulls), values, nulls }
            }
            DataType::Dictionary(_, _) => {
                let Some(array) = array.as_dictionary_opt::<Int32Type>() else { return };
                let Some(dictionary) = array.values().as_string_opt::<i32>() else { return };
                let texts = self.texts(name, dictionary, array.len(), nulls);
                Cells::Text { texts, keys: array.keys().values().as_ref(), nulls }
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let Some(values) = lists.values().as_string_opt::<i32>() else { return };
                Cells::List { before: self.before(name, "", lists.nulls()), lists, values }
            }
            _ => return,
        };
        if !is_constant(&cells) {
            return self.cells.push(cells);
        }
        let mut text = Page::default();
        cells.write(0, self.scratch, &mut text);
        self.held = text.into_bytes();
    }

    fn texts(&mut self, name: &str, dictionary: &'a StringArray, rows: usize, nulls: Option<&NullBuffer>) -> Texts<'a> {
        let keep = dictionary.len() <= rows * ENTRIES_PER_ROW_MAX;
        let first = keep.then_some(self.scratch.entries.len());
        if keep {
            self.scratch.entries.resize(self.scratch.entries.len() + dictionary.len(), Piece::default());
        }
        Texts { before: self.before(name, "", nulls), dictionary, first }
    }

    /// The columns, in the order in which they are written.
    pub fn finish(mut self) -> Vec<Cells<'a>> {
        self.hold_nothing();
        self.cells
    }
}

/// Whether all rows have the same: what the definition says (host, boot, epoch), and what happens to be.
fn is_constant(cells: &Cells<'_>) -> bool {
    match cells {
        Cells::Text { keys, nulls: None, texts } => texts.dictionary.len() == 1 && !keys.is_empty(),
        Cells::Int64 { values, nulls: None, .. } => values.iter().all(|v| *v == values[0]),
        _ => false,
    }
}

/// The value that all rows have.
fn constant(values: &BooleanArray) -> Option<&'static str> {
    match values.true_count() {
        _ if values.null_count() > 0 => None,
        0 => Some("false"),
        n => (n == values.len()).then_some("true"),
    }
}
