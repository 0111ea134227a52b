//! The whole frames of a file that has damage, found in one pass: every byte is read and checksummed once, however many headers
//! claim it.
//!
//! The checksum of any stretch follows from those of the file up to its begin and up to its end. So the pass keeps one running
//! checksum, notes it where a claimed body begins, and compares where that ends.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io;

use super::read_up_to;
use crate::spool::frame::{HEADER_BYTES, Header, SUMMED_BYTES};

/// Bytes that are read at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// Frames begin at multiples of this.
const STEP: usize = 8;

/// What one pass found.
pub(super) struct Sweep {
    /// Where whole frames begin, ascending.
    starts: Vec<u64>,
    /// Bytes of the file then: nothing is known of what came since.
    file_bytes: u64,
}

/// A header whose body is not read to its end yet. Ordered by that end.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    end: u64,
    start: u64,
    /// Of the file up to the body, and of the header.
    before: u32,
    expected: u32,
}

impl Sweep {
    /// Looks through everything from here on, which is a multiple of 8.
    pub fn of(file: &File, from: u64) -> io::Result<Sweep> {
        let file_bytes = file.metadata()?.len();
        let mut pass = Pass::at(from);
        let mut window = vec![0; WINDOW_BYTES];
        loop {
            let read = read_up_to(file, &mut window, pass.at)?;
            let bytes = &window[..read];
            if read < HEADER_BYTES {
                pass.run_to(from_start(pass.at, read), bytes, pass.at);
                break;
            }
            let begin = pass.at;
            let places = (read - HEADER_BYTES) / STEP * STEP + STEP;
            for place in (0..places).step_by(STEP) {
                let start = begin + place as u64;
                if let Some(header) = Header::read(&bytes[place..]) {
                    pass.claim(start, &header, &bytes[place..place + SUMMED_BYTES], file_bytes);
                }
            }
            pass.run_to(from_start(begin, places.min(read)), bytes, begin);
        }
        pass.starts.sort_unstable();
        Ok(Sweep { starts: pass.starts, file_bytes })
    }

    /// The first whole frame from here on.
    pub fn next(&self, at: u64) -> Option<u64> {
        self.starts.get(self.starts.partition_point(|start| *start < at)).copied()
    }

    /// Whether something else than a whole frame stands there for sure: all that a header claims was looked at.
    pub fn refutes(&self, at: u64, whole_bytes: u64) -> bool {
        at.saturating_add(whole_bytes) <= self.file_bytes && self.starts.binary_search(&at).is_err()
    }

    /// Whether the file has grown since.
    pub fn is_old(&self, file_bytes: u64) -> bool {
        file_bytes > self.file_bytes
    }
}

fn from_start(at: u64, bytes: usize) -> u64 {
    at.saturating_add(bytes as u64)
}

/// The state of a pass.
struct Pass {
    /// Up to here everything is in `sum`.
    at: u64,
    sum: u32,
    shifts: Shifts,
    /// Bodies that begin from here on: where, the claim, the checksum of its header. Ascending.
    opening: VecDeque<(u64, Claim)>,
    open: BinaryHeap<Reverse<Claim>>,
    starts: Vec<u64>,
}

impl Pass {
    fn at(at: u64) -> Pass {
        let (opening, open) = (VecDeque::new(), BinaryHeap::new());
        Pass { at, sum: 0, shifts: Shifts::new(), opening, open, starts: Vec::new() }
    }

    fn claim(&mut self, start: u64, header: &Header, summed: &[u8], file_bytes: u64) {
        let body = start + HEADER_BYTES as u64;
        let end = body + u64::from(header.len);
        if end <= file_bytes {
            let claim = Claim { end, start, before: crc32c::crc32c(summed), expected: header.checksum() };
            self.opening.push_back((body, claim));
        }
    }

    /// Goes on to `to`, with the bytes of the file from `begin` on at hand.
    fn run_to(&mut self, to: u64, bytes: &[u8], begin: u64) {
        loop {
            let opens = self.opening.front().map(|(body, _)| *body);
            let closes = self.open.peek().map(|Reverse(claim)| claim.end);
            let next = opens.into_iter().chain(closes).min().filter(|next| *next <= to);
            let stop = next.unwrap_or(to);
            let stretch = bytes.get((self.at - begin) as usize..(stop - begin) as usize).unwrap_or_default();
            self.sum = crc32c::crc32c_append(self.sum, stretch);
            self.at = stop;
            if next.is_none() {
                return;
            }
            self.take_up(stop);
        }
    }

    /// Bodies that begin here, then those that end here: one without a byte does both.
    fn take_up(&mut self, at: u64) {
        while self.opening.front().is_some_and(|(body, _)| *body == at) {
            let Some((_, mut claim)) = self.opening.pop_front() else { return };
            claim.before ^= self.sum;
            self.open.push(Reverse(claim));
        }
        while self.open.peek().is_some_and(|Reverse(claim)| claim.end == at) {
            let Some(Reverse(claim)) = self.open.pop() else { return };
            let body_bytes = claim.end - claim.start - HEADER_BYTES as u64;
            // Checksum of header and body: that of the file up to its end, without what the file in front of it adds to that.
            if self.sum ^ self.shifts.shift(claim.before, body_bytes as u32) == claim.expected {
                self.starts.push(claim.start);
            }
        }
    }
}

/// CRC32C (Castagnoli), lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1 in that order of bits.
const ONE: u32 = 1 << 31;

/// The product of two polynomials modulo the one of the checksum.
fn product(a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    for bit in (0..u32::BITS).rev() {
        if a >> bit & 1 == 1 {
            sum ^= b;
        }
        b = if b & 1 == 1 { b >> 1 ^ POLYNOMIAL } else { b >> 1 };
    }
    sum
}

/// What so many bytes behind them make of a checksum: powers of x^8, by each byte of the number.
struct Shifts([[u32; 256]; 4]);

impl Shifts {
    fn new() -> Shifts {
        let mut tables = [[ONE; 256]; 4];
        let mut unit = ONE >> 8; // x^8
        for table in &mut tables {
            for at in 1..table.len() {
                table[at] = product(table[at - 1], unit);
            }
            unit = product(table[table.len() - 1], unit);
        }
        Shifts(tables)
    }

    fn shift(&self, sum: u32, bytes: u32) -> u32 {
        let parts = self.0.iter().zip(bytes.to_le_bytes()).filter(|(_, part)| *part > 0);
        parts.fold(sum, |sum, (table, part)| product(table[usize::from(part)], sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_shifted_by_as_many_bytes_as_follow_it() {
        let shifts = Shifts::new();
        let bytes: Vec<u8> = (0..70_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        for split in [0, 1, 7, 255, 256, 257, 4_096, 65_535, 65_536, 69_999] {
            let (a, b) = bytes.split_at(split);
            let joined = shifts.shift(crc32c::crc32c(a), b.len() as u32) ^ crc32c::crc32c(b);
            assert_eq!(joined, crc32c::crc32c(&bytes), "split at {split}");
        }
    }
}
