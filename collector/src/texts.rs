//! Texts seen in records, each kept once: bytes of the kernel in, a small number out.
//!
//! The same name, path or command line stands in thousands of records. One hash of its raw bytes finds the number of the
//! text that was made of it; turning walked names round, joining directories, checking UTF-8 happens once per text.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Texts that are kept before the table is emptied of all that no live process uses.
pub const TEXTS_MAX: usize = 1 << 16;
/// Bytes of texts that are kept, raw and made.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// A text of the table; 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextId(u32);

const ESCAPED: u32 = 1 << 31;

impl TextId {
    /// No text: null.
    pub const NONE: TextId = TextId(0);

    /// Position in tables by text.
    pub fn index(self) -> usize {
        (self.0 & !ESCAPED) as usize
    }

    /// Whether there is no text.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether bytes that are not UTF-8 were escaped in it.
    pub fn is_escaped(self) -> bool {
        self.0 & ESCAPED != 0
    }
}

/// How a text is made of its raw bytes; part of its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Making {
    /// The bytes themselves.
    Plain,
    /// Names leaf first, each ended by NUL.
    Walk,
    /// A directory walk, then the program's text.
    Joined,
    /// Arguments separated by NUL.
    CommandLine,
    /// An IP address.
    Address,
    /// Number, arguments and texts of a system call.
    Arguments,
    /// The target of a symbolic link, then the link.
    Target,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    raw: (u32, u32),
    text: (u32, u32),
    making: Making,
    escaped: bool,
}

/// The table.
pub struct Texts {
    table: HashTable<u32>,
    entries: Vec<Entry>,
    raw: Vec<u8>,
    text: String,
    hasher: FixedState,
}

impl Default for Texts {
    fn default() -> Texts {
        let none = Entry { hash: 0, raw: (0, 0), text: (0, 0), making: Making::Plain, escaped: false };
        Texts {
            table: HashTable::new(),
            entries: vec![none],
            raw: vec![],
            text: String::new(),
            hasher: FixedState::default(),
        }
    }
}

/// Appends bytes as text: valid UTF-8 as it is; else invalid bytes as `\xNN` and every backslash doubled.
///
/// Returns whether anything was escaped.
pub fn push_bytes(bytes: &[u8], out: &mut String) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes) {
        out.push_str(text);
        return false;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
        for byte in chunk.invalid() {
            let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
            out.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    true
}

impl Texts {
    /// The text of these raw bytes, made by `make` when it is new. Empty bytes are no text.
    ///
    /// `make` appends the text and returns whether it escaped anything.
    pub fn intern(
        &mut self,
        making: Making,
        parts: [&[u8]; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> bool,
    ) -> TextId {
        let len = parts[0].len() + parts[1].len();
        if len == 0 {
            return TextId::NONE;
        }
        let seed = (making as u64) << 32 | parts[0].len() as u64;
        let hash = self.hasher.hash_one((seed, parts[0], parts[1]));
        let (entries, raw) = (&self.entries, &self.raw);
        let same = |i: &u32| {
            let e = &entries[*i as usize];
            e.hash == hash && e.making == making && e.raw.1 as usize == len && {
                let bytes = &raw[e.raw.0 as usize..][..len];
                bytes[..parts[0].len()] == *parts[0] && bytes[parts[0].len()..] == *parts[1]
            }
        };
        if let Some(found) = self.table.find(hash, same) {
            let escaped = if self.entries[*found as usize].escaped { ESCAPED } else { 0 };
            return TextId(*found | escaped);
        }
        self.add(making, hash, parts, make)
    }

    fn add(
        &mut self,
        making: Making,
        hash: u64,
        parts: [&[u8]; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> bool,
    ) -> TextId {
        let id = self.entries.len() as u32;
        let (raw_start, text_start) = (self.raw.len(), self.text.len());
        self.raw.extend_from_slice(parts[0]);
        self.raw.extend_from_slice(parts[1]);
        let escaped = make(parts, &mut self.text);
        self.entries.push(Entry {
            hash,
            raw: (raw_start as u32, (self.raw.len() - raw_start) as u32),
            text: (text_start as u32, (self.text.len() - text_start) as u32),
            making,
            escaped,
        });
        let entries = &self.entries;
        self.table.insert_unique(hash, id, |i| entries[*i as usize].hash);
        TextId(id | if escaped { ESCAPED } else { 0 })
    }

    /// The bytes as they are, up to a NUL.
    pub fn plain(&mut self, bytes: &[u8]) -> TextId {
        self.intern(Making::Plain, [bytes, &[]], |[bytes, _], out| push_bytes(bytes, out))
    }

    /// The text.
    pub fn get(&self, id: TextId) -> &str {
        let (start, len) = self.entries[id.index()].text;
        &self.text[start as usize..][..len as usize]
    }

    /// How many texts there are, the one that stands for none included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 1
    }

    /// Whether it is time to empty the table.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= TEXTS_MAX || self.raw.len() + self.text.len() >= TEXT_BYTES_MAX
    }

    /// A table with only the texts that `keep` visits; each visited number is replaced by its new one.
    pub fn compact<'a>(&mut self, keep: impl Iterator<Item = &'a mut TextId>) {
        let old = std::mem::take(self);
        let mut moved = vec![TextId::NONE; old.entries.len()];
        for id in keep.filter(|id| !id.is_none()) {
            if moved[id.index()].is_none() {
                let e = old.entries[id.index()];
                let raw = &old.raw[e.raw.0 as usize..][..e.raw.1 as usize];
                let text = old.get(*id);
                // One raw part is enough to be found again only if it was one; a joined text is simply made anew.
                moved[id.index()] = self.add(e.making, e.hash, [raw, &[]], |_, out| {
                    out.push_str(text);
                    e.escaped
                });
            }
            *id = moved[id.index()];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_give_the_same_number_and_other_makings_another() {
        let mut texts = Texts::default();
        let a = texts.plain(b"bash");
        assert_eq!(texts.plain(b"bash"), a);
        let walked = texts.intern(Making::Walk, [b"bash", b""], |_, out| {
            out.push_str("/bash");
            false
        });
        assert_ne!(walked, a);
        assert_eq!(texts.get(walked), "/bash");
        assert_eq!(texts.get(a), "bash");
    }

    #[test]
    fn the_border_between_the_parts_belongs_to_the_identity() {
        let mut texts = Texts::default();
        let join = |[a, b]: [&[u8]; 2], out: &mut String| push_bytes(&[a, b"|", b].concat(), out);
        let one = texts.intern(Making::Joined, [b"ab", b"c"], join);
        let other = texts.intern(Making::Joined, [b"a", b"bc"], join);
        assert_eq!((texts.get(one), texts.get(other)), ("ab|c", "a|bc"));
    }

    #[test]
    fn invalid_bytes_stay_readable_and_are_marked() {
        let mut texts = Texts::default();
        let id = texts.plain(b"a\\\xff");
        assert_eq!(texts.get(id), "a\\\\\\xff");
        assert!(id.is_escaped());
        let valid = texts.plain("a\\ü".as_bytes());
        assert_eq!(texts.get(valid), "a\\ü");
        assert!(!valid.is_escaped());
    }

    #[test]
    fn compacting_keeps_what_is_visited_and_nothing_else() {
        let mut texts = Texts::default();
        let mut kept = texts.plain(b"kept");
        texts.plain(b"gone");
        texts.compact([&mut kept].into_iter());
        assert_eq!(texts.get(kept), "kept");
        assert_eq!(texts.len(), 2);
        assert_eq!(texts.plain(b"kept"), kept);
    }
}
