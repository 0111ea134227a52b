//! Texts seen in records, each kept once: bytes of the kernel in, a small number out.
//!
//! The same name, path or command line stands in thousands of records. One hash of its raw bytes finds the number of the
//! text that was made of it; turning walked names round, joining directories, checking UTF-8 happens once per text.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

use crate::escape::push_bytes;

/// New texts before the table is emptied of all that no known process uses.
pub const TEXTS_MAX: usize = 1 << 16;
/// Bytes of new texts before that, raw and made.
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

impl Making {
    const ALL: [Making; 7] = [
        Making::Plain,
        Making::Walk,
        Making::Joined,
        Making::CommandLine,
        Making::Address,
        Making::Arguments,
        Making::Target,
    ];
}

/// What is kept of a text beside its raw bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    hash: u64,
    /// Place of its raw bytes.
    raw: u32,
    text: (u32, u32),
    /// Of a joined path: the program's text and its directory.
    parts: [TextId; 2],
}

/// A text in the hash table. Its raw bytes stand behind a [`Raw`], so that a look-up touches nothing else.
#[derive(Debug, Clone, Copy)]
struct Slot {
    id: TextId,
    raw: u32,
}

/// What stands before raw bytes: how the text is made and the length of the first part, then that of both.
type Raw = [u8; RAW_BYTES];
const RAW_BYTES: usize = 16;

fn raw_header(making: Making, parts: [&[u8]; 2]) -> Raw {
    let (first, second) = (parts[0].len() as u64, parts[1].len() as u64);
    ((making as u128) << 120 | u128::from(first) << 64 | u128::from(first + second)).to_le_bytes()
}

/// The table.
#[derive(Default)]
pub struct Texts {
    table: HashTable<Slot>,
    /// By number; the first stands for none.
    entries: Vec<Entry>,
    raw: Vec<u8>,
    text: String,
    hasher: FixedState,
    /// Texts and bytes that the last emptying kept: what live processes use does not count against the limits.
    kept: (usize, usize),
}

impl Texts {
    /// The text of these raw bytes, made by `make` when it is new. Empty bytes are no text.
    ///
    /// `make` appends the text and returns whether it escaped anything.
    #[inline]
    pub fn intern(
        &mut self,
        making: Making,
        parts: [&[u8]; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> bool,
    ) -> TextId {
        if parts[0].is_empty() && parts[1].is_empty() {
            return TextId::NONE;
        }
        let hash = self.hash(making, parts);
        match self.find(making, hash, parts) {
            Some(id) => id,
            None => self.add(making, hash, parts, make),
        }
    }

    /// The path of a program's text and the directory it was relative to, made by `make` when it is new, with the texts of
    /// its two parts: one look-up finds all three.
    pub fn intern_joined(
        &mut self,
        dir: &[u8],
        raw: &[u8],
        parts: impl FnOnce(&mut Texts) -> [TextId; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> bool,
    ) -> (TextId, [TextId; 2]) {
        let hash = self.hash(Making::Joined, [dir, raw]);
        if let Some(id) = self.find(Making::Joined, hash, [dir, raw]) {
            return (id, self.entries[id.index()].parts);
        }
        let parts = parts(self);
        let id = self.add(Making::Joined, hash, [dir, raw], make);
        self.entries[id.index()].parts = parts;
        (id, parts)
    }

    /// The border between the parts belongs to the identity.
    #[inline]
    fn hash(&self, making: Making, parts: [&[u8]; 2]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64((making as u64) << 32 | parts[0].len() as u64);
        hasher.write(parts[0]);
        if !parts[1].is_empty() {
            hasher.write(parts[1]);
        }
        hasher.finish()
    }

    #[inline]
    fn find(&self, making: Making, hash: u64, parts: [&[u8]; 2]) -> Option<TextId> {
        let (header, first, len) = (raw_header(making, parts), parts[0].len(), parts[0].len() + parts[1].len());
        let same = |slot: &Slot| {
            let raw = &self.raw[slot.raw as usize..];
            raw[..RAW_BYTES] == header
                && raw[RAW_BYTES..][..first] == *parts[0]
                && (first == len || raw[RAW_BYTES + first..][..len - first] == *parts[1])
        };
        self.table.find(hash, same).map(|slot| slot.id)
    }

    fn add(
        &mut self,
        making: Making,
        hash: u64,
        parts: [&[u8]; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> bool,
    ) -> TextId {
        if self.entries.is_empty() {
            self.entries.push(Entry::default());
        }
        let id = self.entries.len() as u32;
        let (raw, text) = (self.raw.len() as u32, self.text.len());
        self.raw.extend_from_slice(&raw_header(making, parts));
        self.raw.extend_from_slice(parts[0]);
        self.raw.extend_from_slice(parts[1]);
        let escaped = make(parts, &mut self.text);
        let text = (text as u32, (self.text.len() - text) as u32);
        self.entries.push(Entry { hash, raw, text, parts: [TextId::NONE; 2] });
        let id = TextId(id | if escaped { ESCAPED } else { 0 });
        let entries = &self.entries;
        self.table.insert_unique(hash, Slot { id, raw }, |slot| entries[slot.id.index()].hash);
        id
    }

    /// The bytes as they are, up to a NUL.
    pub fn plain(&mut self, bytes: &[u8]) -> TextId {
        self.intern(Making::Plain, [bytes, &[]], |[bytes, _], out| push_bytes(bytes, out))
    }

    /// The text.
    #[inline]
    pub fn get(&self, id: TextId) -> &str {
        let Some(Entry { text: (start, len), .. }) = self.entries.get(id.index()) else { return "" };
        &self.text[*start as usize..][..*len as usize]
    }

    /// Numbers that texts have so far: all are below.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it is time to empty the table.
    pub fn is_full(&self) -> bool {
        let (texts, bytes) = self.kept;
        self.entries.len() - texts >= TEXTS_MAX || self.bytes() - bytes >= TEXT_BYTES_MAX
    }

    fn bytes(&self) -> usize {
        self.raw.len() + self.text.len()
    }

    /// A table with only the texts that `keep` visits; each visited number is replaced by its new one.
    ///
    /// Texts of processes have one raw part. A joined path would lose its parts, and is made anew when it comes again.
    pub fn compact<'a>(&mut self, keep: impl Iterator<Item = &'a mut TextId>) {
        let old = std::mem::take(self);
        let mut moved = vec![TextId::NONE; old.entries.len()];
        for id in keep.filter(|id| !id.is_none()) {
            if moved[id.index()].is_none() {
                moved[id.index()] = self.move_here(&old, *id);
            }
            *id = moved[id.index()];
        }
        self.kept = (self.entries.len(), self.bytes());
    }

    fn move_here(&mut self, old: &Texts, id: TextId) -> TextId {
        let entry = old.entries[id.index()];
        let (header, raw) = old.raw[entry.raw as usize..].split_at(RAW_BYTES);
        let (len, making) = (u64::from_le_bytes(*header.first_chunk().unwrap_or(&[0; 8])), header[RAW_BYTES - 1]);
        let making = Making::ALL[usize::from(making)];
        self.add(making, entry.hash, [&raw[..len as usize], &[]], |_, out| {
            out.push_str(old.get(id));
            id.is_escaped()
        })
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

    #[test]
    fn what_is_kept_does_not_make_the_table_full() {
        let mut texts = Texts::default();
        let mut kept: Vec<TextId> = (0..TEXTS_MAX).map(|i| texts.plain(i.to_string().as_bytes())).collect();
        assert!(texts.is_full());
        texts.compact(kept.iter_mut());
        assert!(!texts.is_full());
        for i in 0..TEXTS_MAX {
            texts.plain(format!("new {i}").as_bytes());
        }
        assert!(texts.is_full());
    }
}
