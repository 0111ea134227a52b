//! Dictionary columns: each text of a batch once, and a key per row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::ScalarBuffer;
use foldhash::fast::FixedState;
use weir_schema::ColumnType;
use weir_schema::errno::ERRNO_MAX;
use weir_schema::record::i64_at;
use weir_schema::symbols::Symbols;
use weir_schema::wire::Wire;

use super::block::{ACTIONS_MAX, BLOCK_ROWS, Block, bits_of};
use super::column::{Bits, Closing, Filling, Repeated, Rule, rows_where};
use super::integers::{renewed, value};
use crate::texts::{TextId, Texts};

/// The distinct texts of one column of the open batch, by key.
#[derive(Default)]
struct Values {
    /// What a builder has was text when it came: the array is made without another look at it.
    texts: StringBuilder,
}

impl Values {
    /// The key of a text that is not there yet.
    fn push(&mut self, text: &str) -> i32 {
        self.texts.append_value(text);
        self.texts.len() as i32 - 1
    }

    fn finish(&mut self) -> StringArray {
        let room = StringBuilder::with_capacity(self.texts.len(), self.texts.values_slice().len());
        std::mem::replace(&mut self.texts, room).finish()
    }
}

/// The keys of one column of the open batch, and what they stand for.
#[derive(Default)]
struct Keys {
    keys: Vec<i32>,
    valid: Bits,
    values: Values,
    nulls: Repeated,
}

impl Keys {
    /// The keys of a block: of the rows that are set, as `key` gives them.
    #[inline]
    fn take(&mut self, rows: u64, block: &Block, before: usize, mut key: impl FnMut(usize, &mut Values) -> i32) {
        if rows != 0 {
            self.keys.resize(before, 0);
            let values = &mut self.values;
            if rows == block.rows() {
                self.keys.extend((0..block.len()).map(|row| key(row, values)));
            } else {
                self.keys.resize(before + block.len(), 0);
                bits_of(rows).for_each(|row| self.keys[before + row] = key(row, values));
            }
        }
        self.valid.push(rows, block.len());
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        if self.valid.set() == 0 {
            self.valid = Bits::default();
            return self.nulls.nulls(ColumnType::Text, closing.rows);
        }
        self.keys.resize(closing.rows, 0);
        let keys = Int32Array::new(ScalarBuffer::from(renewed(&mut self.keys)), self.valid.nulls());
        let values = self.values.finish();
        Arc::new(
            DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))
                .expect("every key was given out by its values"),
        )
    }
}

/// Rows that all have the same text.
pub fn constant(text: &str, rows: usize) -> ArrayRef {
    let values = Arc::new(StringArray::from(vec![text]));
    let keys = Int32Array::from(vec![0; rows]);
    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).expect("key 0 is there"))
}

/// Keys of the texts that a batch has.
#[derive(Default)]
struct TextKeys {
    /// Key + 1 of each text, by its number.
    key_of: Vec<i32>,
    used: Vec<u32>,
}

impl TextKeys {
    #[inline]
    fn key(&mut self, id: TextId, texts: &Texts, values: &mut Values) -> i32 {
        debug_assert!(texts.is_current(id), "numbers are positions of one generation");
        let known = &mut self.key_of[id.index()];
        if *known == 0 {
            *known = values.push(texts.get(id)) + 1;
            self.used.push(id.index() as u32);
        }
        *known - 1
    }

    fn forget(&mut self) {
        self.used.drain(..).for_each(|i| self.key_of[i as usize] = 0);
    }
}

/// A column of texts from the table of texts.
pub struct TextColumn {
    slot: usize,
    text_keys: TextKeys,
    keys: Keys,
}

impl TextColumn {
    /// The texts of a slot of the blocks.
    pub fn new(slot: usize) -> TextColumn {
        TextColumn { slot, text_keys: TextKeys::default(), keys: Keys::default() }
    }
}

/// A column of what is known of the rows' processes: looked up once per process and block.
pub struct KnownColumn {
    place: usize,
    text_keys: TextKeys,
    keys: Keys,
}

impl KnownColumn {
    /// The texts at a place of [`crate::context::TEXTS`].
    pub fn new(place: usize) -> KnownColumn {
        KnownColumn { place, text_keys: TextKeys::default(), keys: Keys::default() }
    }
}

impl Filling for KnownColumn {
    fn take(&mut self, block: &Block, before: usize, texts: &Texts) {
        let (known, known_of) = block.known();
        let (mut key_of, mut with_text) = ([0; BLOCK_ROWS], 0u64);
        self.text_keys.key_of.resize(texts.len(), 0);
        for (at, known) in known.iter().enumerate() {
            let id = known.texts[self.place];
            if !id.is_none() {
                key_of[at] = self.text_keys.key(id, texts, &mut self.keys.values);
                with_text |= 1 << at;
            }
        }
        let rows = match with_text.count_ones() as usize {
            0 => 0,
            n if n == known.len() => block.rows(),
            _ => known_of.iter().enumerate().fold(0, |rows, (row, at)| rows | (with_text >> at & 1) << row),
        };
        self.keys.take(rows, block, before, |row, _| key_of[usize::from(known_of[row]) % BLOCK_ROWS]);
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.text_keys.forget();
        self.keys.close(closing)
    }
}

impl Filling for TextColumn {
    fn take(&mut self, block: &Block, before: usize, texts: &Texts) {
        let Some(ids) = block.texts(self.slot) else {
            return self.keys.take(0, block, before, |_, _| 0);
        };
        let rows = ids.iter().enumerate().fold(0, |rows, (row, id)| rows | u64::from(!id.is_none()) << row);
        self.text_keys.key_of.resize(texts.len(), 0);
        let text_keys = &mut self.text_keys;
        // Neighbours often have the same text.
        let mut last = (TextId::NONE, 0);
        self.keys.take(rows, block, before, |row, values| {
            let id = ids[row];
            if id != last.0 {
                last = (id, text_keys.key(id, texts, values));
            }
            last.1
        });
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.text_keys.forget();
        self.keys.close(closing)
    }
}

/// A column of the rows' actions.
pub struct ActionColumn {
    names: Vec<&'static str>,
    /// Key + 1 by action.
    key_of: [i32; ACTIONS_MAX],
    keys: Keys,
}

impl ActionColumn {
    /// Names by action.
    pub fn new(names: Vec<&'static str>) -> ActionColumn {
        ActionColumn { names, key_of: [0; ACTIONS_MAX], keys: Keys::default() }
    }
}

impl Filling for ActionColumn {
    fn take(&mut self, block: &Block, before: usize, _: &Texts) {
        let mut key_by_row = [0; BLOCK_ROWS];
        for (action, rows) in block.by_action() {
            let known = &mut self.key_of[action];
            if *known == 0 {
                *known = self.keys.values.push(self.names[action]) + 1;
            }
            bits_of(rows).for_each(|row| key_by_row[row] = *known - 1);
        }
        self.keys.take(block.rows(), block, before, |row, _| key_by_row[row]);
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.key_of = [0; ACTIONS_MAX];
        self.keys.close(closing)
    }
}

/// A row has no name in a [`NameColumn`].
pub const NO_NAME: u16 = u16::MAX;

/// A column of names of small numbers: errors, system calls, families.
pub struct NameColumn<N, W> {
    rule: Rule,
    number: N,
    write: W,
    /// Key + 1 by number.
    key_of: Vec<i32>,
    keys: Keys,
}

impl<N: Fn(&[u8]) -> u16, W: Fn(u16, &mut String)> NameColumn<N, W> {
    /// `number` gives the number of a row, below `bound`, or [`NO_NAME`]; `write` writes its name.
    pub fn new(rule: Rule, bound: u16, number: N, write: W) -> NameColumn<N, W> {
        NameColumn { rule, number, write, key_of: vec![0; usize::from(bound)], keys: Keys::default() }
    }
}

impl<N: Fn(&[u8]) -> u16 + Send, W: Fn(u16, &mut String) + Send> Filling for NameColumn<N, W> {
    fn take(&mut self, block: &Block, before: usize, _: &Texts) {
        let mut rows = self.rule.rows(block);
        let mut numbers = [NO_NAME; BLOCK_ROWS];
        if rows != 0 {
            let mut named = 0;
            for (row, record) in block.records().enumerate() {
                numbers[row % BLOCK_ROWS] = (self.number)(record);
                named |= u64::from(numbers[row % BLOCK_ROWS] != NO_NAME) << (row % BLOCK_ROWS);
            }
            rows &= named;
        }
        let (key_of, write) = (&mut self.key_of, &self.write);
        self.keys.take(rows, block, before, |row, values| {
            let known = &mut key_of[usize::from(numbers[row])];
            if *known == 0 {
                let mut text = String::new();
                write(numbers[row], &mut text);
                *known = values.push(&text) + 1;
            }
            *known - 1
        });
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.key_of.fill(0);
        self.keys.close(closing)
    }
}

/// How a value of an action is written; `None` when the action has no names for it.
pub type Symbolic = Option<&'static Symbols>;

/// A column of values in words (flags, signals), by action and value.
pub struct SymbolColumn {
    at: usize,
    wire: Wire,
    /// By action.
    sets: Vec<Symbolic>,
    rule: Rule,
    key_of: HashMap<(usize, i64), i32, FixedState>,
    keys: Keys,
}

/// A field that holds this has no value, and no symbols.
const NO_SYMBOLS: i64 = -1;

impl SymbolColumn {
    /// The integer at a place, by the symbols of each action.
    pub fn new((at, wire): (usize, Wire), sets: Vec<Symbolic>) -> SymbolColumn {
        let actions = sets.iter().enumerate().fold(0, |bits, (i, set)| bits | u32::from(set.is_some()) << i);
        let rule = Rule::Actions(actions);
        SymbolColumn { at, wire, sets, rule, key_of: HashMap::default(), keys: Keys::default() }
    }
}

impl Filling for SymbolColumn {
    fn take(&mut self, block: &Block, before: usize, _: &Texts) {
        let (at, wire) = (self.at, self.wire);
        let mut rows = self.rule.rows(block);
        if rows == 0 {
            return self.keys.take(0, block, before, |_, _| 0);
        }
        rows &= rows_where(block, |r| value(r, at, wire) != NO_SYMBOLS);
        let mut actions = [0; BLOCK_ROWS];
        block.by_action().for_each(|(action, rows)| bits_of(rows).for_each(|row| actions[row] = action));
        let (sets, key_of) = (&self.sets, &mut self.key_of);
        let mut last = ((usize::MAX, 0), 0);
        self.keys.take(rows, block, before, |row, values| {
            let label = (actions[row], value(block.record(row), at, wire));
            if label != last.0 {
                let key = key_of.entry(label).or_insert_with(|| {
                    let mut text = String::new();
                    if let Some(set) = sets[label.0] {
                        set.render(label.1 as u64, &mut text);
                    }
                    values.push(&text)
                });
                last = (label, *key);
            }
            last.1
        });
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.key_of.clear();
        self.keys.close(closing)
    }
}

/// The errno of a failed call's result at an offset, or [`NO_NAME`].
#[inline]
pub fn errno_at(record: &[u8], at: usize) -> u16 {
    let errno = (i64_at(record, at) as u64).wrapping_neg();
    if errno.wrapping_sub(1) < ERRNO_MAX as u64 { errno as u16 } else { NO_NAME }
}
