//! The last rows of a class, as the bytes that they came in: few enough to stay in the nearest cache while every column
//! takes its values from them.

use weir_schema::record::Record;

use crate::context::Known;
use crate::texts::TextId;
use weir_schema::record::at;

/// Rows of a block: the bits of one word of a validity bitmap.
pub const BLOCK_ROWS: usize = 64;

/// Actions of one class, at most.
pub const ACTIONS_MAX: usize = 32;

/// At most [`BLOCK_ROWS`] rows of one class.
pub struct Block {
    fixed: Vec<u8>,
    stride: usize,
    len: usize,
    /// Texts by slot and row.
    texts: Vec<[TextId; BLOCK_ROWS]>,
    /// Bit per slot in which any row has a text.
    with_text: u32,
    /// Bit per row, by action.
    by_action: [u64; ACTIONS_MAX],
    /// Bit per action that has come.
    actions: u32,
    in_task: u64,
    escaped: u64,
    folded: u64,
    /// Bit per row whose system call has the argument.
    arguments: [u64; 6],
    /// What is known of the rows' processes, each once as far as neighbours go, and the place of each row's.
    known: Vec<Known>,
    known_of: [u8; BLOCK_ROWS],
}

/// How many of the last ones a row's process is looked for in.
const KNOWN_SEARCHED: usize = 4;

/// A word with the lowest `rows` bits set.
pub fn all(rows: usize) -> u64 {
    if rows >= BLOCK_ROWS { u64::MAX } else { (1 << rows) - 1 }
}

impl Block {
    /// A block of rows with `stride` fixed bytes and this many texts.
    pub fn new(stride: usize, slots: usize) -> Block {
        Block {
            fixed: Vec::with_capacity(BLOCK_ROWS * stride),
            stride,
            len: 0,
            texts: vec![[TextId::NONE; BLOCK_ROWS]; slots],
            with_text: 0,
            by_action: [0; ACTIONS_MAX],
            actions: 0,
            in_task: 0,
            escaped: 0,
            folded: 0,
            arguments: [0; 6],
            known: Vec::with_capacity(BLOCK_ROWS),
            known_of: [0; BLOCK_ROWS],
        }
    }

    /// Rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Begins a row; its texts follow, then [`Block::end_row`].
    #[inline]
    pub fn begin_row(&mut self, record: &Record<'_>, known: &Known) {
        let start = self.fixed.len();
        self.fixed.extend_from_slice(record.fixed);
        let fixed = &mut self.fixed[start..];
        if known.parent_key != 0 {
            // The creator, where the record has whoever is the parent now.
            fixed[at::PARENT_KEY..][..8].copy_from_slice(&known.parent_key.to_le_bytes());
        }
        self.know(known);
        let fixed = &mut self.fixed[start..];
        fixed[at::LOGIN_UID..][..4].copy_from_slice(&known.login_uid.to_le_bytes());
        fixed[at::SESSION..][..4].copy_from_slice(&known.session.to_le_bytes());
        let action = record.action.index() % ACTIONS_MAX;
        self.by_action[action] |= 1 << self.len;
        self.actions |= 1 << action;
        self.in_task |= u64::from(record.in_task()) << self.len;
    }

    #[inline]
    fn know(&mut self, known: &Known) {
        let searched = self.known.len().saturating_sub(KNOWN_SEARCHED);
        let found = self.known[searched..].iter().rposition(|k| k.number == known.number);
        let at = found.map_or(self.known.len(), |i| searched + i);
        if found.is_none() {
            self.known.push(*known);
        }
        self.known_of[self.len] = at as u8;
        self.escaped |= u64::from(self.known[at].is_escaped) << self.len;
    }

    /// What is known of processes, and the place of each row's in it.
    #[inline]
    pub fn known(&self) -> (&[Known], &[u8]) {
        (&self.known, &self.known_of[..self.len])
    }

    /// A text of the row that was begun.
    #[inline]
    pub fn text(&mut self, slot: usize, id: TextId) {
        if !id.is_none() {
            self.texts[slot][self.len] = id;
            self.with_text |= 1 << slot;
            self.escaped |= u64::from(id.is_escaped()) << self.len;
            self.folded |= u64::from(id.is_folded()) << self.len;
        }
    }

    /// Marks that some text of the row that was begun had bytes that are not UTF-8.
    pub fn escape(&mut self) {
        self.escaped |= 1 << self.len;
    }

    /// Sets a bit of a byte of the row that was begun.
    pub fn set_bit(&mut self, at: usize, bit: u32) {
        let start = self.fixed.len() - self.stride;
        self.fixed[start + at] |= 1 << bit;
    }

    /// How many arguments the system call of the row that was begun has.
    #[inline]
    pub fn arguments(&mut self, count: usize) {
        for bits in &mut self.arguments[..count] {
            *bits |= 1 << self.len;
        }
    }

    /// Ends the row.
    #[inline]
    pub fn end_row(&mut self) {
        self.len += 1;
    }

    /// Forgets the rows.
    pub fn clear(&mut self) {
        self.fixed.clear();
        for slot in bits_of(u64::from(self.with_text)) {
            self.texts[slot] = [TextId::NONE; BLOCK_ROWS];
        }
        self.by_action = [0; ACTIONS_MAX];
        self.arguments = [0; 6];
        self.known.clear();
        (self.len, self.with_text, self.actions) = (0, 0, 0);
        (self.in_task, self.escaped, self.folded) = (0, 0, 0);
    }

    /// The fixed parts, one per row.
    #[inline]
    pub fn records(&self) -> std::slice::ChunksExact<'_, u8> {
        self.fixed.chunks_exact(self.stride)
    }

    /// The fixed part of a row.
    #[inline]
    pub fn record(&self, row: usize) -> &[u8] {
        &self.fixed[row * self.stride..][..self.stride]
    }

    /// Bits of all rows.
    pub fn rows(&self) -> u64 {
        all(self.len)
    }

    /// Rows of these actions.
    #[inline]
    pub fn of_actions(&self, actions: u32) -> u64 {
        if self.actions & !actions == 0 {
            return self.rows();
        }
        bits_of(u64::from(self.actions & actions)).fold(0, |rows, action| rows | self.by_action[action])
    }

    /// Rows and their actions, one action after the other.
    pub fn by_action(&self) -> impl Iterator<Item = (usize, u64)> {
        bits_of(u64::from(self.actions)).map(|action| (action, self.by_action[action]))
    }

    /// Rows whose process fields are valid.
    pub fn in_task(&self) -> u64 {
        self.in_task
    }

    /// Rows with a path that was folded by its text alone.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Rows with an escaped text.
    pub fn escaped(&self) -> u64 {
        self.escaped
    }

    /// Rows whose system call has argument `i`.
    pub fn with_argument(&self, i: usize) -> u64 {
        self.arguments[i]
    }

    /// The texts of a slot by row; `None` when no row has one.
    pub fn texts(&self, slot: usize) -> Option<&[TextId]> {
        (self.with_text & 1 << slot != 0).then(|| &self.texts[slot][..self.len])
    }
}

/// Positions of the bits that are set, lowest first.
pub fn bits_of(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (at < BLOCK_ROWS).then_some(at)
    })
}
