//! `DELTA_BINARY_PACKED`: whole numbers as packed differences, for columns that only grow or hardly repeat.

use super::hybrid::{put_packed, put_varint};

/// Values in one block.
const BLOCK: usize = 128;
/// Packed runs in one block, each with its own width.
const MINIBLOCKS: usize = 4;
/// Values in one packed run.
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Bits of a difference, on average over a page, up to which packed runs take whole bytes: such differences are far
/// from evenly distributed, and zstd finds that only in bytes (9 % off `time`). Nothing is found in longer ones.
const BYTEWISE_BITS_MAX: usize = 10;

/// Width of a column's numbers: differences wrap at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// INT32
    W32,
    /// INT64
    W64,
}

impl Width {
    fn difference(self, a: i64, b: i64) -> i64 {
        match self {
            Width::W32 => i64::from((a as i32).wrapping_sub(b as i32)),
            Width::W64 => a.wrapping_sub(b),
        }
    }

    fn above(self, difference: i64, least: i64) -> u64 {
        match self {
            Width::W32 => u64::from((difference as i32).wrapping_sub(least as i32) as u32),
            Width::W64 => difference.wrapping_sub(least) as u64,
        }
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Whether the packed runs of a page should take whole bytes.
fn is_bytewise(values: &[i64], width: Width) -> bool {
    let bits = |pair: &[i64]| (u64::BITS - zigzag(width.difference(pair[1], pair[0])).leading_zeros()) as usize;
    values.windows(2).map(bits).sum::<usize>() <= BYTEWISE_BITS_MAX * values.len()
}

/// Appends the body of a page.
pub(super) fn put_delta(out: &mut Vec<u8>, values: &[i64], width: Width) {
    put_varint(out, BLOCK as u64);
    put_varint(out, MINIBLOCKS as u64);
    put_varint(out, values.len() as u64);
    put_varint(out, zigzag(values.first().copied().unwrap_or(0)));
    let bytewise = is_bytewise(values, width);
    let mut differences = [0i64; BLOCK];
    let mut at = 1;
    while at < values.len() {
        let count = BLOCK.min(values.len() - at);
        for (i, difference) in differences[..count].iter_mut().enumerate() {
            *difference = width.difference(values[at + i], values[at + i - 1]);
        }
        put_block(out, &differences[..count], width, bytewise);
        at += count;
    }
}

fn put_block(out: &mut Vec<u8>, differences: &[i64], width: Width, bytewise: bool) {
    let least = differences.iter().copied().min().unwrap_or(0);
    put_varint(out, zigzag(least));
    let widths_at = out.len();
    out.extend_from_slice(&[0; MINIBLOCKS]);
    for (i, run) in differences.chunks(MINIBLOCK).enumerate() {
        let mut above = [0u64; MINIBLOCK];
        for (above, difference) in above.iter_mut().zip(run) {
            *above = width.above(*difference, least);
        }
        let needed = u64::BITS - above.iter().fold(0, |all, v| all | v).leading_zeros();
        let bits = if bytewise { needed.next_multiple_of(8) } else { needed };
        out[widths_at + i] = bits as u8;
        if bits > 0 {
            put_packed(out, above.into_iter(), bits);
        }
    }
}
