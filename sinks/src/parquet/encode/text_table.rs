//! Distinct texts of a row group, in the order of first use, laid out as the dictionary page wants them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Bytes of a dictionary page at which a column goes on with plain pages: enough for tens of thousands of paths.
const DICTIONARY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Length that stands before each text in plain encoding.
pub(super) const PREFIX: usize = size_of::<u32>();

/// A table from text to key.
pub(super) struct TextTable {
    keys: HashTable<u32>,
    /// Plain encoding: length, text, length, text, ...
    page: Vec<u8>,
    /// Where each text ends in `page`.
    ends: Vec<usize>,
    /// Seeded at random: programs choose these texts.
    hasher: RandomState,
}

impl TextTable {
    /// An empty table.
    pub(super) fn new() -> TextTable {
        TextTable { keys: HashTable::new(), page: Vec::new(), ends: Vec::new(), hasher: RandomState::default() }
    }

    /// Number of texts.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The dictionary page.
    pub(super) fn page(&self) -> &[u8] {
        &self.page
    }

    /// The texts by key.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|key| text(&self.page, &self.ends, key))
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.page.capacity() + self.ends.capacity() * size_of::<usize>() + self.keys.allocation_size()
    }

    /// The key of a text; `None` when the dictionary has no room for it.
    pub(super) fn key(&mut self, value: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(value);
        if let Some(key) = self.keys.find(hash, |key| text(&self.page, &self.ends, *key as usize) == value) {
            return Some(*key);
        }
        if self.page.len() + PREFIX + value.len() > DICTIONARY_BYTES_MAX {
            return None;
        }
        let key = self.ends.len() as u32;
        put_text(&mut self.page, value);
        self.ends.push(self.page.len());
        let (page, ends, hasher) = (&self.page, &self.ends, &self.hasher);
        self.keys.insert_unique(hash, key, |key| hasher.hash_one(text(page, ends, *key as usize)));
        Some(key)
    }
}

/// Appends a text in plain encoding.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn text<'a>(page: &'a [u8], ends: &[usize], key: usize) -> &'a [u8] {
    let start = if key == 0 { 0 } else { ends[key - 1] };
    &page[start + PREFIX..ends[key]]
}
