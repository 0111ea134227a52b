//! One column of a batch, prepared for being written row by row.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use weir_schema::render::is_string_in_json;

use crate::text::push_json;
use crate::time::Clock;

/// The cells of a column and what stands around them.
pub(super) enum Cells<'a> {
    /// The same in every row, key included.
    Constant(Vec<u8>),
    /// `,"created":true` and `,"created":false`.
    Bool { texts: [Vec<u8>; 2], array: &'a BooleanArray },
    /// Numbers.
    Int32 { around: Around, values: &'a [i32], nulls: Option<&'a NullBuffer> },
    /// Numbers, as strings where they go beyond 2^53.
    Int64 { around: Around, values: &'a [i64], nulls: Option<&'a NullBuffer> },
    /// Microseconds since 1970.
    Time { around: Around, values: &'a [i64], nulls: Option<&'a NullBuffer> },
    /// Texts of a dictionary.
    Text { texts: Texts<'a>, keys: &'a [i32], nulls: Option<&'a NullBuffer> },
    /// Lists of texts.
    List { key: Vec<u8>, lists: &'a ListArray, values: &'a StringArray },
}

/// What stands before and behind a value.
pub(super) struct Around {
    before: Vec<u8>,
    quoted: bool,
}

/// `,"name":`
fn key(name: &str) -> Vec<u8> {
    format!(",\"{name}\":").into_bytes()
}

impl Around {
    fn new(name: &str, quoted: bool) -> Around {
        let mut before = key(name);
        if quoted {
            before.push(b'"');
        }
        Around { before, quoted }
    }

    #[inline]
    fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(value);
        if self.quoted {
            out.push(b'"');
        }
    }
}

/// The entries of a dictionary, escaped when first used: `,"comm":"sh"`.
pub(super) struct Texts<'a> {
    key: Vec<u8>,
    dictionary: &'a StringArray,
    escaped: Vec<u8>,
    /// Start and end in `escaped` by entry; an empty range is an entry not used so far. None at all where the
    /// dictionary is much larger than the batch, so that few rows do not pay for many entries.
    ranges: Vec<(usize, usize)>,
}

/// A dictionary with more entries per row of the batch is not worth keeping.
const ENTRIES_PER_ROW_MAX: usize = 4;

impl<'a> Texts<'a> {
    fn new(name: &str, dictionary: &'a StringArray, rows: usize) -> Texts<'a> {
        let keep = dictionary.len() <= rows * ENTRIES_PER_ROW_MAX;
        let ranges = if keep { vec![(0, 0); dictionary.len()] } else { Vec::new() };
        Texts { key: key(name), dictionary, escaped: Vec::new(), ranges }
    }

    #[inline]
    fn write(&mut self, entry: usize, out: &mut Vec<u8>) {
        match self.ranges.get(entry) {
            Some((start, end)) if start < end => out.extend_from_slice(&self.escaped[*start..*end]),
            _ => self.write_first(entry, out),
        }
    }

    #[cold]
    fn write_first(&mut self, entry: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.key);
        push_quoted(out, self.dictionary.value(entry));
        if let Some(range) = self.ranges.get_mut(entry) {
            *range = (self.escaped.len(), self.escaped.len() + out.len() - start);
            self.escaped.extend_from_slice(&out[start..]);
        }
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_json(out, text);
    out.push(b'"');
}

#[inline]
fn is_set(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|n| n.is_valid(row))
}

fn push_list(out: &mut Vec<u8>, values: &StringArray, range: std::ops::Range<usize>) {
    out.push(b'[');
    for (n, i) in range.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        push_quoted(out, values.value(i));
    }
    out.push(b']');
}

impl<'a> Cells<'a> {
    /// `None` if no row has a value. Types that the definition does not have are left out; a test loops over it.
    pub fn new(name: &str, array: &'a ArrayRef) -> Option<Cells<'a>> {
        if array.is_empty() || array.null_count() == array.len() {
            return None;
        }
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        let cells = match array.data_type() {
            DataType::Boolean => {
                let texts = ["false", "true"].map(|value| [&key(name), value.as_bytes()].concat());
                Cells::Bool { texts, array: array.as_boolean() }
            }
            DataType::Int32 => {
                let values = array.as_primitive::<Int32Type>().values().as_ref();
                Cells::Int32 { around: Around::new(name, is_string_in_json(name)), values, nulls }
            }
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>().values().as_ref();
                Cells::Int64 { around: Around::new(name, is_string_in_json(name)), values, nulls }
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values().as_ref();
                Cells::Time { around: Around::new(name, true), values, nulls }
            }
            DataType::Dictionary(_, _) => {
                let array = array.as_dictionary_opt::<Int32Type>()?;
                let dictionary = array.values().as_string_opt::<i32>()?;
                let texts = Texts::new(name, dictionary, array.len());
                Cells::Text { texts, keys: array.keys().values().as_ref(), nulls }
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                Cells::List { key: key(name), lists, values: lists.values().as_string_opt::<i32>()? }
            }
            _ => return None,
        };
        Some(cells.constant())
    }

    /// Joins what the definition says is the same in all rows (host, boot, epoch), and what happens to be.
    fn constant(mut self) -> Cells<'a> {
        let same = match &self {
            Cells::Text { keys, nulls: None, texts } => texts.dictionary.len() == 1 && !keys.is_empty(),
            Cells::Int64 { values, nulls: None, .. } => values.iter().all(|v| *v == values[0]),
            Cells::Bool { array, .. } => {
                array.null_count() == 0 && matches!(array.true_count(), n if n == 0 || n == array.len())
            }
            _ => false,
        };
        if !same {
            return self;
        }
        let mut text = Vec::new();
        self.write(0, &mut Clock::default(), &mut text);
        Cells::Constant(text)
    }

    /// Puts a text before the cells, if every row has one: one copy instead of two. Gives the text back if not.
    pub fn prepend(&mut self, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let before = match self {
            Cells::Constant(before) => before,
            Cells::Int32 { around, nulls: None, .. }
            | Cells::Int64 { around, nulls: None, .. }
            | Cells::Time { around, nulls: None, .. } => &mut around.before,
            Cells::Text { texts, nulls: None, .. } => &mut texts.key,
            _ => return Some(text),
        };
        text.append(before);
        *before = text;
        None
    }

    /// Appends the cell of a row; nothing if it is null.
    #[inline]
    pub fn write(&mut self, row: usize, clock: &mut Clock, out: &mut Vec<u8>) {
        match self {
            Cells::Constant(text) => out.extend_from_slice(text),
            Cells::Text { texts, keys, nulls } if is_set(*nulls, row) => {
                texts.write(keys[row] as usize, out);
            }
            Cells::Int64 { around, values, nulls } if is_set(*nulls, row) => {
                around.write(itoa::Buffer::new().format(values[row]).as_bytes(), out);
            }
            Cells::Int32 { around, values, nulls } if is_set(*nulls, row) => {
                around.write(itoa::Buffer::new().format(values[row]).as_bytes(), out);
            }
            Cells::Time { around, values, nulls } if is_set(*nulls, row) => {
                around.write(clock.date_time(values[row]), out);
            }
            Cells::Bool { texts, array } if array.is_valid(row) => {
                out.extend_from_slice(&texts[usize::from(array.value(row))]);
            }
            Cells::List { key, lists, values } if lists.is_valid(row) => {
                out.extend_from_slice(key);
                let offsets = lists.value_offsets();
                push_list(out, values, offsets[row] as usize..offsets[row + 1] as usize);
            }
            _ => {}
        }
    }
}
