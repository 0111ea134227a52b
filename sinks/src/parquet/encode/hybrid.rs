//! The RLE and bit-packing hybrid of the Parquet format, and the definition levels.

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
pub(super) fn put_run(out: &mut Vec<u8>, value: u32, count: usize, width: u32) {
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

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.mixed.as_ref().map_or(0, |levels| levels.capacity() / 8)
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
}
