//! The RLE and bit-packing hybrid of the Parquet format: definition levels and dictionary keys.

use arrow_buffer::{BooleanBufferBuilder, NullBuffer};

/// Appends `value` as an unsigned LEB128 number.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a run of `count` times `value`, which has `width` bits.
fn put_run(out: &mut Vec<u8>, value: u32, count: usize, width: u32) {
    put_varint(out, (count as u64) << 1);
    let bytes = width.div_ceil(8) as usize;
    out.extend_from_slice(&value.to_le_bytes()[..bytes]);
}

/// Appends values of `width` bits, lowest bit first; the last byte is filled up with zero bits.
pub(super) fn put_packed(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    let mut word = 0u64;
    let mut used = 0u32;
    for value in values {
        word |= value << used;
        used += width;
        if used >= u64::BITS {
            out.extend_from_slice(&word.to_le_bytes());
            used -= u64::BITS;
            // What did not fit; a shift by all 64 bits would be no shift.
            word = if used == 0 { 0 } else { value >> (width - used) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
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

/// Which rows of the open page have a value.
#[derive(Default)]
pub(super) struct Levels {
    rows: usize,
    nulls: usize,
    /// Only once there are both kinds.
    mixed: Option<BooleanBufferBuilder>,
}

impl Levels {
    /// Rows in the open page.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows without a value.
    pub(super) fn nulls(&self) -> usize {
        self.nulls
    }

    /// Adds `rows` rows, of which `nulls` knows the ones without a value.
    pub(super) fn append(&mut self, rows: usize, nulls: Option<&NullBuffer>) {
        let count = nulls.map_or(0, NullBuffer::null_count);
        let all = self.rows + rows;
        let uniform = self.nulls + count == 0 || self.nulls + count == all;
        if self.mixed.is_none() && !uniform {
            let mut builder = BooleanBufferBuilder::new(all);
            builder.append_n(self.rows, self.nulls == 0);
            self.mixed = Some(builder);
        }
        if let Some(builder) = &mut self.mixed {
            match nulls {
                Some(nulls) => builder.append_buffer(nulls.inner()),
                None => builder.append_n(rows, true),
            }
        }
        self.rows = all;
        self.nulls += count;
    }

    /// Appends the levels with their length in front, and starts the next page.
    pub(super) fn put(&mut self, out: &mut Vec<u8>) {
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        match self.mixed.take() {
            None => put_run(out, u32::from(self.nulls == 0), self.rows, 1),
            Some(mut builder) => {
                put_varint(out, (self.rows.div_ceil(8) as u64) << 1 | 1);
                out.extend_from_slice(&builder.as_slice()[..self.rows.div_ceil(8)]);
                builder.truncate(0);
            }
        }
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        *self = Levels::default();
    }
}

/// Dictionary keys of the open page.
#[derive(Default)]
pub(super) struct Keys {
    /// The key of all rows, while there is only one.
    one: u32,
    /// Rows with a value, while `many` is empty.
    count: usize,
    many: Vec<u32>,
}

impl Keys {
    /// Keys in the open page.
    pub(super) fn len(&self) -> usize {
        if self.many.is_empty() { self.count } else { self.many.len() }
    }

    /// Whether all keys are the same.
    pub(super) fn is_uniform(&self) -> bool {
        self.many.is_empty()
    }

    /// Adds `count` times the same key.
    pub(super) fn push_run(&mut self, key: u32, count: usize) {
        if self.many.is_empty() && (self.count == 0 || self.one == key) {
            self.one = key;
            self.count += count;
        } else {
            self.many(count).extend(std::iter::repeat_n(key, count));
        }
    }

    /// The keys one by one, with room for `more`.
    pub(super) fn many(&mut self, more: usize) -> &mut Vec<u32> {
        self.many.reserve(self.count + more);
        if self.count > 0 {
            self.many.extend(std::iter::repeat_n(self.one, self.count));
            self.count = 0;
        }
        &mut self.many
    }

    /// All keys.
    pub(super) fn into_vec(mut self) -> Vec<u32> {
        std::mem::take(self.many(0))
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.many.capacity() * size_of::<u32>()
    }

    /// Appends the body of a page of keys below `distinct` and starts the next page.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, distinct: usize) {
        let width = key_width(distinct);
        out.push(width as u8);
        if self.many.is_empty() {
            put_run(out, self.one, self.count, width);
        } else {
            let groups = self.many.len().div_ceil(8);
            put_varint(out, (groups as u64) << 1 | 1);
            let end = out.len() + groups * width as usize;
            put_packed(out, self.many.iter().map(|key| u64::from(*key)), width);
            out.resize(end, 0);
        }
        self.count = 0;
        self.many.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_come_back_at_every_width() {
        for width in 1..=64u32 {
            let mask = u64::MAX >> (64 - width);
            let values: Vec<u64> = (0..131u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask).collect();
            let mut bytes = Vec::new();
            put_packed(&mut bytes, values.iter().copied(), width);
            assert_eq!(bytes.len(), (131 * width as usize).div_ceil(8));
            let bit = |i: usize| u64::from(bytes[i / 8] >> (i % 8) & 1);
            for (i, value) in values.iter().enumerate() {
                let at = i * width as usize;
                let got = (0..width as usize).fold(0, |sum, b| sum | bit(at + b) << b);
                assert_eq!(got, *value, "width {width}, value {i}");
            }
        }
    }

    #[test]
    fn levels_are_a_run_until_both_kinds_are_there() {
        let mut levels = Levels::default();
        let mut out = Vec::new();
        levels.append(3, None);
        levels.append(2, Some(&NullBuffer::new_valid(2)));
        levels.put(&mut out);
        assert_eq!(out, [2, 0, 0, 0, 10, 1]);
        out.clear();
        levels.append(3, None);
        levels.append(2, Some(&NullBuffer::new_null(2)));
        levels.put(&mut out);
        assert_eq!(out, [2, 0, 0, 0, 3, 0b00111]);
    }

    #[test]
    fn one_key_stays_a_run() {
        let mut keys = Keys::default();
        let mut out = Vec::new();
        keys.push_run(0, 5);
        keys.push_run(0, 4);
        assert!(keys.is_uniform());
        keys.put(&mut out, 1);
        assert_eq!(out, [1, 18, 0]);
        out.clear();
        keys.push_run(1, 2);
        keys.push_run(2, 1);
        assert_eq!(keys.len(), 3);
        keys.put(&mut out, 3);
        assert_eq!(out, [2, 3, 0b10_01_01, 0]);
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
