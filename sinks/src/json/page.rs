//! Fast copies of many short texts, without unsafe code: arrays of fixed sizes are copied where a few bytes more do no
//! harm, because the compiler makes a handful of moves of them, while each copy of a length that it does not know is a
//! call (about 5 ns, and a line of JSON has twenty).

use crate::digits::{EIGHT_DIGITS, digits, last_digits};

/// Bytes that are read and written behind the end of a text at most.
const SLACK: usize = 256;

/// Text that is being written. Behind its end there is always room for a copy that is too long.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Whatever was there before stands behind `len`.
    bytes: Vec<u8>,
    len: usize,
}

impl Page {
    /// Goes on behind what `bytes` hold.
    pub fn behind(bytes: Vec<u8>) -> Page {
        Page { len: bytes.len(), bytes }
    }

    /// What was written.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Bytes written.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes back what was written behind `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Starts anew; keeps at most this much memory.
    pub fn clear(&mut self, bytes_kept: usize) {
        self.len = 0;
        self.bytes.truncate(bytes_kept);
        self.bytes.shrink_to(bytes_kept);
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let least = self.len + more + SLACK;
        self.bytes.resize(least.max(self.bytes.len() * 2).next_power_of_two(), 0);
    }

    #[inline]
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < bytes {
            self.grow(bytes);
        }
        &mut self.bytes[self.len..self.len + bytes]
    }

    /// Appends the first `len` bytes of an array.
    #[inline]
    pub fn push_array<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        self.room(N).copy_from_slice(bytes);
        self.len += len;
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.push_array(&[byte], 1);
    }

    /// Appends any bytes, by a call.
    pub fn push_slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends a number, at most eight digits.
    #[inline]
    fn push_short(&mut self, value: u64) {
        let (digits, len) = digits(value as u32);
        self.push_array(&digits, len);
    }

    /// Appends a number.
    #[inline]
    pub fn push_int(&mut self, value: i64) {
        if value < 0 {
            self.push(b'-');
        }
        let magnitude = value.unsigned_abs();
        if magnitude < EIGHT_DIGITS {
            return self.push_short(magnitude);
        }
        let (high, low) = (magnitude / EIGHT_DIGITS, magnitude % EIGHT_DIGITS);
        if high < EIGHT_DIGITS {
            self.push_short(high);
        } else {
            self.push_short(high / EIGHT_DIGITS);
            self.push_array(&last_digits::<8>((high % EIGHT_DIGITS) as u32), 8);
        }
        self.push_array(&last_digits::<8>(low as u32), 8);
    }

    /// Appends a text of a store.
    #[inline]
    pub(super) fn push_piece(&mut self, store: &Store, piece: Piece) {
        let len = piece.len as usize;
        match len {
            0..=32 => self.push_array(store.array::<32>(piece.start, 0), len),
            33..=64 => self.push_array(store.array::<64>(piece.start, 0), len),
            65..=128 => self.push_array(store.array::<128>(piece.start, 0), len),
            129..=SLACK => {
                self.push_array(store.array::<128>(piece.start, 0), 128);
                self.push_array(store.array::<128>(piece.start, 128), len - 128);
            }
            _ => self.push_slice(store.get(piece)),
        }
    }
}

/// A text in a [`Store`]; an empty one stands for none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Piece {
    start: u32,
    len: u32,
}

impl Piece {
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Texts that are appended to pages again and again.
#[derive(Debug)]
pub(super) struct Store {
    /// The texts, and [`SLACK`] bytes behind the last one.
    bytes: Vec<u8>,
}

impl Default for Store {
    fn default() -> Store {
        Store { bytes: vec![0; SLACK] }
    }
}

impl Store {
    /// Forgets all texts; keeps at most this much memory.
    pub fn clear(&mut self, bytes_kept: usize) {
        self.bytes.truncate(SLACK);
        self.bytes.shrink_to(bytes_kept);
    }

    /// Bytes of all texts.
    pub fn len(&self) -> usize {
        self.bytes.len() - SLACK
    }

    /// Keeps a text. Texts of 4 GiB in all are the caller's to avoid.
    pub fn add(&mut self, text: &[u8]) -> Piece {
        let piece = Piece { start: self.len() as u32, len: text.len() as u32 };
        self.bytes.truncate(self.len());
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(&[0; SLACK]);
        piece
    }

    fn get(&self, piece: Piece) -> &[u8] {
        &self.bytes[piece.start as usize..][..piece.len as usize]
    }

    #[inline]
    fn array<const N: usize>(&self, start: u32, at: usize) -> &[u8; N] {
        const { assert!(N <= SLACK) };
        self.bytes[start as usize + at..].first_chunk().unwrap_or(&[0; N])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_come_out_as_they_went_in() {
        let text: Vec<u8> = (0..2 * SLACK).map(|n| b'a' + (n % 26) as u8).collect();
        let mut store = Store::default();
        let pieces: Vec<Piece> = (0..=text.len()).map(|len| store.add(&text[..len])).collect();
        let mut page = Page::default();
        page.push(b'<');
        pieces.iter().for_each(|piece| page.push_piece(&store, *piece));
        let expected = (0..=text.len()).fold(b"<".to_vec(), |all, len| [&all[..], &text[..len]].concat());
        assert_eq!(page.as_bytes(), expected);
        page.truncate(1);
        page.push_slice(b"ok>");
        assert_eq!(page.as_bytes(), b"<ok>");
    }

    #[test]
    fn numbers_around_every_power_of_ten_are_written_as_the_library_does() {
        let powers = (0..19).map(|n| 10i64.pow(n));
        let near = powers.flat_map(|p| (-12..=12).flat_map(move |d| (1..=9).map(move |k| p.wrapping_mul(k) + d)));
        for value in near.flat_map(|v| [v, v.wrapping_neg()]).chain([i64::MIN, i64::MIN + 1, i64::MAX]) {
            let mut page = Page::default();
            page.push_int(value);
            assert_eq!(page.as_bytes(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn memory_beyond_what_is_to_be_kept_is_given_back() {
        let mut page = Page::default();
        page.push_slice(&[b'x'; 100_000]);
        page.clear(1_000);
        assert!(page.as_bytes().is_empty() && page.bytes.capacity() < 2_000);
        let mut store = Store::default();
        store.add(&[b'x'; 100_000]);
        store.clear(1_000);
        assert!(store.len() == 0 && store.bytes.capacity() < 2_000);
    }
}
