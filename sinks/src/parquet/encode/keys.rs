//! Dictionary keys of the open page, in as few bytes as the greatest needs.

use super::hybrid::{put_packed, put_run, put_varint};

/// Dictionary keys of the open page.
#[derive(Default)]
pub(super) struct Keys {
    /// The key of all rows, while there is only one.
    one: u32,
    /// Rows with a value, while `many` is empty.
    count: usize,
    many: Narrow,
}

/// A page holds a whole row group, so its keys are kept as narrow as they will be written.
enum Narrow {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
}

/// The same expression for the vector of every width.
macro_rules! each_width {
    ($narrow:expr, $keys:ident, $key:ident => $body:expr) => {
        match $narrow {
            Narrow::U8($keys) => {
                type $key = u8;
                $body
            }
            Narrow::U16($keys) => {
                type $key = u16;
                $body
            }
            Narrow::U32($keys) => {
                type $key = u32;
                $body
            }
        }
    };
}

impl Default for Narrow {
    fn default() -> Narrow {
        Narrow::U8(Vec::new())
    }
}

impl Narrow {
    fn len(&self) -> usize {
        each_width!(self, keys, _Key => keys.len())
    }

    fn fill(&mut self, key: u32, count: usize) {
        each_width!(self, keys, Key => keys.resize(keys.len() + count, key as Key));
    }

    /// Makes room for keys below `distinct`.
    fn widen(&mut self, distinct: usize) {
        *self = match self {
            Narrow::U8(keys) if distinct > 1 << 16 => Narrow::U32(keys.iter().map(|key| u32::from(*key)).collect()),
            Narrow::U8(keys) if distinct > 1 << 8 => Narrow::U16(keys.iter().map(|key| u16::from(*key)).collect()),
            Narrow::U16(keys) if distinct > 1 << 16 => Narrow::U32(keys.iter().map(|key| u32::from(*key)).collect()),
            _ => return,
        };
    }
}

/// Bits of a key below `distinct`, rounded up to parts or multiples of a byte: zstd finds what repeats only where it
/// stands at the same bit of a byte (3 % smaller at the same cost).
fn key_width(distinct: usize) -> u32 {
    match u32::BITS - (distinct as u32).saturating_sub(1).leading_zeros() {
        bits @ 0..=2 => bits.max(1),
        bits @ 3..=8 => bits.next_power_of_two(),
        bits => bits.next_multiple_of(8),
    }
}

impl Keys {
    /// Keys in the open page.
    pub(super) fn len(&self) -> usize {
        self.count + self.many.len()
    }

    /// Whether all keys are the same.
    pub(super) fn is_uniform(&self) -> bool {
        self.many.len() == 0
    }

    /// Adds `count` times the same key, which is below `distinct`.
    pub(super) fn push_run(&mut self, key: u32, count: usize, distinct: usize) {
        if self.is_uniform() && (self.count == 0 || self.one == key) {
            self.one = key;
            self.count += count;
        } else {
            self.many(distinct).fill(key, count);
        }
    }

    /// Adds keys below `distinct`.
    pub(super) fn extend(&mut self, more: &[u32], distinct: usize) {
        each_width!(self.many(distinct), keys, Key => keys.extend(more.iter().map(|key| *key as Key)));
    }

    fn many(&mut self, distinct: usize) -> &mut Narrow {
        self.many.widen(distinct);
        self.many.fill(self.one, std::mem::take(&mut self.count));
        &mut self.many
    }

    /// Puts `new[key]` in the place of every key.
    pub(super) fn rename(&mut self, new: &[u32]) {
        if self.count > 0 {
            self.one = new[self.one as usize];
        }
        each_width!(&mut self.many, keys, Key => keys.iter_mut().for_each(|key| *key = new[*key as usize] as Key));
    }

    /// The values that the keys stand for, `values` by key.
    pub(super) fn resolve(mut self, values: &[i64]) -> Vec<i64> {
        each_width!(self.many(0), keys, _Key => keys.iter().map(|key| values[*key as usize]).collect())
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        each_width!(&self.many, keys, Key => keys.capacity() * size_of::<Key>())
    }

    /// Appends the body of a page of keys below `distinct` and starts the next page.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, distinct: usize) {
        let width = key_width(distinct);
        out.push(width as u8);
        if self.is_uniform() {
            put_run(out, self.one, self.count, width);
        } else {
            let groups = self.many.len().div_ceil(8);
            put_varint(out, (groups as u64) << 1 | 1);
            let end = out.len() + groups * width as usize;
            put_keys(out, &self.many, width);
            out.resize(end, 0);
        }
        self.count = 0;
        each_width!(&mut self.many, keys, _Key => keys.clear());
    }
}

fn put_keys(out: &mut Vec<u8>, keys: &Narrow, width: u32) {
    match (keys, width) {
        (Narrow::U8(keys), 1) => put_parts::<8>(out, keys),
        (Narrow::U8(keys), 2) => put_parts::<4>(out, keys),
        (Narrow::U8(keys), 4) => put_parts::<2>(out, keys),
        (Narrow::U8(keys), 8) => out.extend_from_slice(keys),
        (Narrow::U16(keys), 16) => out.extend(keys.iter().flat_map(|key| key.to_le_bytes())),
        _ => each_width!(keys, keys, _Key => put_packed(out, keys.iter().map(|key| u64::from(*key)), width)),
    }
}

/// Packs `PER_BYTE` keys into each byte.
fn put_parts<const PER_BYTE: usize>(out: &mut Vec<u8>, keys: &[u8]) {
    let pack = |keys: &[u8]| {
        let parts = keys.iter().enumerate();
        parts.fold(0, |byte, (i, key)| byte | key << (i * 8 / PER_BYTE))
    };
    let whole = keys.chunks_exact(PER_BYTE);
    let rest = whole.remainder();
    out.extend(whole.map(pack));
    if !rest.is_empty() {
        out.push(pack(rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a packed page.
    fn unpacked(page: &[u8], count: usize) -> Vec<u32> {
        let width = usize::from(page[0]);
        let header = 1 + page[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let bit = |i: usize| u32::from(page[header + i / 8] >> (i % 8) & 1);
        (0..count).map(|i| (0..width).fold(0, |key, b| key | bit(i * width + b) << b)).collect()
    }

    #[test]
    fn one_key_stays_a_run() {
        let mut keys = Keys::default();
        let mut out = Vec::new();
        keys.push_run(0, 5, 1);
        keys.push_run(0, 4, 1);
        assert!(keys.is_uniform());
        keys.put(&mut out, 1);
        assert_eq!(out, [1, 18, 0]);
        out.clear();
        keys.push_run(1, 2, 3);
        keys.push_run(2, 1, 3);
        assert_eq!(keys.len(), 3);
        keys.put(&mut out, 3);
        assert_eq!(out, [2, 3, 0b10_01_01, 0]);
    }

    #[test]
    fn keys_come_back_whatever_their_number_and_however_it_grew() {
        for distinct in [1, 2, 3, 4, 5, 16, 17, 256, 257, 65_536, 65_537, 70_000] {
            let (mut keys, mut out, mut expected) = (Keys::default(), Vec::new(), Vec::new());
            keys.push_run(0, 3, 1);
            expected.extend([0; 3]);
            for known in [1, distinct / 3 + 1, distinct] {
                let more: Vec<u32> = (0..known as u32).chain([0, known as u32 - 1]).collect();
                keys.extend(&more, known);
                keys.push_run(known as u32 - 1, 5, known);
                expected.extend(more);
                expected.extend([known as u32 - 1; 5]);
            }
            let reversed: Vec<u32> = (0..distinct as u32).rev().collect();
            keys.rename(&reversed);
            expected.iter_mut().for_each(|key| *key = reversed[*key as usize]);
            assert_eq!(keys.len(), expected.len());
            keys.put(&mut out, distinct);
            assert_eq!(unpacked(&out, expected.len()), expected, "{distinct} keys");
            assert_eq!(keys.len(), 0);
        }
    }

    #[test]
    fn a_width_holds_every_key() {
        for distinct in 1..100_000usize {
            let width = key_width(distinct);
            assert!((distinct as u64 - 1) >> width == 0, "{distinct} keys in {width} bits");
        }
        assert_eq!([1, 2, 3, 4, 5, 17, 256, 257, 65_537].map(key_width), [1, 1, 2, 2, 4, 8, 8, 16, 24]);
    }
}
