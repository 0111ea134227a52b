//! Texts seen in records, each kept once: bytes of the kernel in, a small number out.
//!
//! The same name, path or command line stands in thousands of records. One hash of its raw bytes finds the number of the
//! text that was made of it; turning walked names round, joining directories, checking UTF-8 happens once per text.
//!
//! Texts that came once and never again go by generations: a new one begins, those that are still needed are carried over one
//! after the other, and what is left of the generation before is dropped at once. Nothing is freed singly.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

use crate::escape::push_bytes;

/// New texts of a generation before the next one begins.
pub const TEXTS_MAX: usize = 1 << 16;
/// Bytes of new texts before that, unless the context says otherwise.
pub const NEW_BYTES_MAX: usize = 8 << 20;
/// Bytes that a text takes beside its raw bytes and itself: its entry and its share of the hash table.
pub const TEXT_OVERHEAD: usize = 48;

/// A text of the table; 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextId(u32);

const ESCAPED: u32 = 1 << 31;
/// Of every second generation.
const ODD: u32 = 1 << 30;
const FOLDED: u32 = 1 << 29;
/// Numbers are below.
const NUMBERS: u32 = FOLDED;

/// What a number says of its text: that bytes were escaped, that a path was folded by its text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u32);

impl Marks {
    /// Of a text that was made in this way.
    pub fn new(is_escaped: bool, is_folded: bool) -> Marks {
        Marks(if is_escaped { ESCAPED } else { 0 } | if is_folded { FOLDED } else { 0 })
    }
}

impl From<bool> for Marks {
    fn from(is_escaped: bool) -> Marks {
        Marks::new(is_escaped, false)
    }
}

impl TextId {
    /// No text: null.
    pub const NONE: TextId = TextId(0);

    /// Position in tables by text, which are those of one generation.
    pub fn index(self) -> usize {
        (self.0 & (NUMBERS - 1)) as usize
    }

    /// Whether there is no text.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether bytes that are not UTF-8 were escaped in it.
    pub fn is_escaped(self) -> bool {
        self.0 & ESCAPED != 0
    }

    /// Whether `name/..` was left out of it, though the name may have been a symbolic link.
    pub fn is_folded(self) -> bool {
        self.0 & FOLDED != 0
    }

    fn marks(self) -> Marks {
        Marks(self.0 & (ESCAPED | FOLDED))
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
    /// The same where the directory is the root of the text.
    JoinedToRoot,
    /// The same of a process that has changed its root.
    JoinedInJail,
    /// Arguments separated by NUL.
    CommandLine,
    /// An IP address.
    Address,
    /// Number, arguments and texts of a system call.
    Arguments,
    /// The target of a symbolic link, and the directory and name of the link.
    Target,
}

impl Making {
    const ALL: [Making; 9] = [
        Making::Plain,
        Making::Walk,
        Making::Joined,
        Making::JoinedToRoot,
        Making::JoinedInJail,
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
    /// Its number in the next generation, when it was carried over.
    moved: TextId,
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

/// The texts of one generation.
#[derive(Default)]
struct Generation {
    table: HashTable<Slot>,
    /// By number; the first stands for none.
    entries: Vec<Entry>,
    raw: Vec<u8>,
    text: String,
}

impl Generation {
    fn bytes(&self) -> usize {
        self.raw.len() + self.text.len() + self.entries.len() * TEXT_OVERHEAD
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

    /// `parity` is a bit of the number. A text whose place does not fit its number is none: a generation is over long before.
    fn add<M: Into<Marks>>(
        &mut self,
        parity: u32,
        making: Making,
        hash: u64,
        parts: [&[u8]; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> M,
    ) -> TextId {
        if self.entries.is_empty() {
            self.entries.push(Entry::default());
        }
        let start = self.text.len();
        let places = (u32::try_from(self.raw.len()), u32::try_from(start), u32::try_from(self.entries.len()));
        let (Ok(raw), Ok(text), Ok(number @ 1..NUMBERS)) = places else { return TextId::NONE };
        self.raw.extend_from_slice(&raw_header(making, parts));
        self.raw.extend_from_slice(parts[0]);
        self.raw.extend_from_slice(parts[1]);
        let Marks(marks) = make(parts, &mut self.text).into();
        let text = (text, (self.text.len() - start) as u32);
        self.entries.push(Entry { hash, raw, text, ..Entry::default() });
        let id = TextId(number | parity | marks);
        let entries = &self.entries;
        self.table.insert_unique(hash, Slot { id, raw }, |slot| entries[slot.id.index()].hash);
        id
    }

    #[inline]
    fn get(&self, id: TextId) -> &str {
        let Some(Entry { text: (start, len), .. }) = self.entries.get(id.index()) else { return "" };
        &self.text[*start as usize..][..*len as usize]
    }

    /// Of what a text was made, and how.
    fn raw(&self, id: TextId) -> (Making, [&[u8]; 2]) {
        let (header, raw) = self.raw[self.entries[id.index()].raw as usize..].split_at(RAW_BYTES);
        let word = u128::from_le_bytes(*header.first_chunk().unwrap_or(&[0; RAW_BYTES]));
        let (len, first) = (word as u64 as usize, (word >> 64) as u32 as usize);
        let (first, second) = raw[..len].split_at(first);
        (Making::ALL[usize::from(header[RAW_BYTES - 1])], [first, second])
    }
}

/// The table.
pub struct Texts {
    now: Generation,
    /// The generation before, while there is something to carry over.
    before: Generation,
    /// [`ODD`] in every second generation.
    parity: u32,
    hasher: FixedState,
    /// Texts and bytes that were carried over: they do not count against the limits.
    kept: (usize, usize),
    new_bytes_max: usize,
}

impl Default for Texts {
    fn default() -> Texts {
        Texts::new(NEW_BYTES_MAX)
    }
}

impl Texts {
    /// No texts; a generation ends when it has so many bytes of new ones.
    pub fn new(new_bytes_max: usize) -> Texts {
        Texts {
            now: Generation::default(),
            before: Generation::default(),
            parity: 0,
            hasher: FixedState::default(),
            kept: (0, 0),
            new_bytes_max,
        }
    }

    /// The text of these raw bytes, made by `make` when it is new. Empty bytes are no text.
    ///
    /// `make` appends the text and returns its marks, or just whether it escaped anything.
    #[inline]
    pub fn intern<M: Into<Marks>>(
        &mut self,
        making: Making,
        parts: [&[u8]; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> M,
    ) -> TextId {
        if parts[0].is_empty() && parts[1].is_empty() {
            return TextId::NONE;
        }
        let hash = self.hash(making, parts);
        match self.now.find(making, hash, parts) {
            Some(id) => id,
            None => self.now.add(self.parity, making, hash, parts, make),
        }
    }

    /// The path of a program's text and the directory it was relative to, made by `make` when it is new, with the texts of
    /// its two parts: one look-up finds all three.
    pub fn intern_joined<M: Into<Marks>>(
        &mut self,
        making: Making,
        [dir, raw]: [&[u8]; 2],
        parts: impl FnOnce(&mut Texts) -> [TextId; 2],
        make: impl FnOnce([&[u8]; 2], &mut String) -> M,
    ) -> (TextId, [TextId; 2]) {
        let hash = self.hash(making, [dir, raw]);
        if let Some(id) = self.now.find(making, hash, [dir, raw]) {
            return (id, self.now.entries[id.index()].parts);
        }
        let parts = parts(self);
        let id = self.now.add(self.parity, making, hash, [dir, raw], make);
        self.now.entries[id.index()].parts = parts;
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

    /// The bytes as they are, up to a NUL.
    pub fn plain(&mut self, bytes: &[u8]) -> TextId {
        self.intern(Making::Plain, [bytes, &[]], |[bytes, _], out| push_bytes(bytes, out))
    }

    /// The text.
    #[inline]
    pub fn get(&self, id: TextId) -> &str {
        if self.is_current(id) { self.now.get(id) } else { self.before.get(id) }
    }

    /// Numbers that texts of this generation have so far: all are below.
    pub fn len(&self) -> usize {
        self.now.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.now.entries.is_empty()
    }

    /// Bytes that are held, both generations together.
    pub fn bytes(&self) -> usize {
        self.now.bytes() + self.before.bytes()
    }

    /// Whether it is time for the next generation.
    #[inline]
    pub fn is_full(&self) -> bool {
        let (texts, bytes) = self.kept;
        self.len() - texts >= TEXTS_MAX || self.now.bytes() - bytes >= self.new_bytes_max
    }

    /// How much of this generation's room for new texts is used, in thousandths.
    pub fn used_per_mille(&self) -> usize {
        let (texts, bytes) = self.kept;
        let bytes = (self.now.bytes() - bytes) * 1000 / self.new_bytes_max.max(1);
        bytes.max((self.len() - texts) * 1000 / TEXTS_MAX)
    }

    /// Whether a number is of this generation. That of no text is.
    #[inline]
    pub fn is_current(&self, id: TextId) -> bool {
        id.0 & ODD == self.parity || id.is_none()
    }

    /// Begins a generation. Whoever holds numbers has them renewed until [`Texts::end_turn`]; open rows must not hold any.
    pub fn begin_turn(&mut self) {
        debug_assert!(!self.is_turning(), "the turn before has ended");
        self.before = std::mem::take(&mut self.now);
        self.parity ^= ODD;
        self.kept = (0, 0);
    }

    /// Drops what nobody had renewed.
    pub fn end_turn(&mut self) {
        self.before = Generation::default();
    }

    /// Whether the generation before is still there.
    #[inline]
    pub fn is_turning(&self) -> bool {
        !self.before.entries.is_empty()
    }

    /// Bytes that are added when a number is renewed.
    pub fn cost(&self, id: TextId) -> usize {
        if self.is_current(id) {
            return 0;
        }
        let entry = &self.before.entries[id.index()];
        if !entry.moved.is_none() {
            return 0;
        }
        let (_, [first, second]) = self.before.raw(id);
        RAW_BYTES + first.len() + second.len() + entry.text.1 as usize + TEXT_OVERHEAD
    }

    /// The number of the same text in this generation.
    pub fn renewed(&mut self, id: TextId) -> TextId {
        if self.is_current(id) {
            return id;
        }
        let Entry { hash, parts, moved, .. } = self.before.entries[id.index()];
        if !moved.is_none() {
            return moved;
        }
        let parts = parts.map(|part| self.renewed(part));
        let (making, raw) = self.before.raw(id);
        let moved = self.now.find(making, hash, raw).unwrap_or_else(|| {
            let before = (self.now.entries.len(), self.now.bytes());
            let moved = self.now.add(self.parity, making, hash, raw, |_, out| {
                out.push_str(self.before.get(id));
                id.marks()
            });
            self.now.entries[moved.index()].parts = parts;
            self.kept.0 += self.now.entries.len() - before.0;
            self.kept.1 += self.now.bytes() - before.1;
            moved
        });
        self.before.entries[id.index()].moved = moved;
        moved
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
    fn a_turn_keeps_what_is_renewed_and_nothing_else() {
        let mut texts = Texts::default();
        let kept = texts.plain(b"kept\\\xff");
        let other = texts.plain(b"comes again");
        texts.plain(b"gone");
        texts.begin_turn();
        assert!(!texts.is_current(kept) && texts.is_turning());
        assert_eq!(texts.get(kept), "kept\\\\\\xff", "until the end of the turn");
        let again = texts.plain(b"comes again");
        let (cost, before) = (texts.cost(kept), texts.now.bytes());
        let new = texts.renewed(kept);
        assert_eq!(texts.now.bytes() - before, cost);
        assert_eq!((texts.renewed(kept), texts.renewed(new), texts.cost(kept)), (new, new, 0));
        assert_eq!(texts.renewed(other), again, "what is there already is not carried over");
        texts.end_turn();
        assert!(new.is_escaped() && !texts.is_turning());
        assert_eq!((texts.get(new), texts.get(again)), ("kept\\\\\\xff", "comes again"));
        assert_eq!(texts.len(), 3);
        assert_eq!(texts.plain(b"kept\\\xff"), new);
        assert!(texts.renewed(TextId::NONE).is_none());
    }

    #[test]
    fn a_joined_path_keeps_its_parts_through_a_turn() {
        let mut texts = Texts::default();
        let parts = |texts: &mut Texts| [texts.plain(b"raw"), texts.plain(b"dir")];
        let make = |_: [&[u8]; 2], out: &mut String| {
            out.push_str("dir/raw");
            Marks::new(false, true)
        };
        let (id, _) = texts.intern_joined(Making::Joined, [b"dir", b"raw"], parts, make);
        texts.begin_turn();
        let new = texts.renewed(id);
        texts.end_turn();
        let (found, [raw, dir]) = texts.intern_joined(Making::Joined, [b"dir", b"raw"], parts, make);
        assert_eq!((found, texts.get(raw), texts.get(dir)), (new, "raw", "dir"));
        assert!(found.is_folded() && !found.is_escaped());
    }

    #[test]
    fn what_is_kept_does_not_make_the_table_full() {
        let mut texts = Texts::default();
        let kept: Vec<TextId> = (0..TEXTS_MAX).map(|i| texts.plain(i.to_string().as_bytes())).collect();
        assert!(texts.is_full());
        texts.begin_turn();
        for id in kept {
            let new = texts.renewed(id);
            assert!(texts.is_current(new));
        }
        texts.end_turn();
        assert!(!texts.is_full());
        for i in 0..TEXTS_MAX {
            texts.plain(format!("new {i}").as_bytes());
        }
        assert!(texts.is_full());
    }

    #[test]
    fn bytes_make_the_table_full_as_numbers_do() {
        let mut texts = Texts::new(100_000);
        for i in 0..9 {
            texts.plain(&[b'0' + i; 5_000]);
            assert!(!texts.is_full(), "{i}");
        }
        texts.plain(&[b'x'; 5_000]);
        assert!(texts.is_full());
    }
}
