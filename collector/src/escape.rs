//! Bytes of a program as text: UTF-8 as it is, anything else as `\xNN`.
//!
//! What a program passes is copied in pieces, never byte by byte, and a limit says how much text may come of it: who passes
//! bytes that are four times as long in words must not make the reader, the batches and the sinks pay for four times as much.

use std::fmt::Write;

/// Bytes of `\xNN`.
const ESCAPE_BYTES: usize = 4;
/// Bytes that are written at once.
const PIECE_BYTES: usize = 64;
/// Bytes in which the end of a valid text is looked for byte by byte.
const WINDOW_BYTES: usize = 256;
/// UTF-8 has no longer characters.
const CHARACTER_BYTES_MAX: usize = 4;
/// Shorter runs are written one escape at a time.
const RUN_MIN: usize = 8;

const fn escapes() -> [u8; 256 * ESCAPE_BYTES] {
    let digits = b"0123456789abcdef";
    let mut all = [b'\\'; 256 * ESCAPE_BYTES];
    let mut byte = 0;
    while byte < 256 {
        all[byte * ESCAPE_BYTES + 1] = b'x';
        all[byte * ESCAPE_BYTES + 2] = digits[byte >> 4];
        all[byte * ESCAPE_BYTES + 3] = digits[byte & 15];
        byte += 1;
    }
    all
}

/// `\x00\x01...\xff`
static ESCAPES: [u8; 256 * ESCAPE_BYTES] = escapes();

/// What became of bytes that were written as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Something was not UTF-8, so it is escaped and every backslash is doubled.
    pub is_escaped: bool,
    /// The limit left some of it out.
    pub is_cut: bool,
}

/// Appends bytes as text: valid UTF-8 as it is; else invalid bytes as `\xNN` and every backslash doubled.
///
/// Returns whether anything was escaped.
pub fn push_bytes(bytes: &[u8], out: &mut String) -> bool {
    push_at_most(bytes, usize::MAX, out).is_escaped
}

/// The same with at most `max` bytes of text; no character and no escape is cut in two.
pub fn push_at_most(bytes: &[u8], max: usize, out: &mut impl Write) -> Pushed {
    let Ok(text) = simdutf8::basic::from_utf8(bytes) else {
        let mut writer = Writer { out, room: max };
        return Pushed { is_escaped: true, is_cut: writer.escaped(bytes).is_none() };
    };
    let kept = whole_characters(text, max);
    write(out, kept);
    Pushed { is_escaped: false, is_cut: kept.len() < text.len() }
}

/// Writing into memory cannot fail.
fn write(out: &mut impl Write, text: &str) {
    let _ = out.write_str(text);
}

/// The whole characters among the first `max` bytes.
pub fn whole_characters(text: &str, max: usize) -> &str {
    // `str::floor_char_boundary` does this from Rust 1.91 on.
    let max = max.min(text.len());
    &text[..(0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)]
}

/// The first `max` bytes, without a character at their end that the cut leaves incomplete.
pub fn cut_at(bytes: &[u8], max: usize) -> &[u8] {
    let Some(kept) = bytes.get(..max).filter(|kept| kept.len() < bytes.len()) else { return bytes };
    let is_begun = |at: &usize| {
        let begun = |error: std::str::Utf8Error| (error.valid_up_to(), error.error_len()) == (0, None);
        std::str::from_utf8(&kept[*at..]).is_err_and(begun)
    };
    let last = kept.len().saturating_sub(CHARACTER_BYTES_MAX - 1)..kept.len();
    last.into_iter().find(is_begun).map_or(kept, |at| &kept[..at])
}

/// Bytes that no character begins with.
fn begins_nothing(byte: u8) -> bool {
    matches!(byte, 0x80..=0xc1 | 0xf5..)
}

/// The valid text that the bytes begin with, and the invalid bytes after it. A short text is found best byte by byte, a long
/// one by a vector at a time.
fn next_chunk(bytes: &[u8]) -> (&str, &[u8]) {
    let window = &bytes[..bytes.len().min(WINDOW_BYTES)];
    let Some(chunk) = window.utf8_chunks().next() else { return ("", &[]) };
    // A character that the window cuts in two begins in its last bytes.
    if window.len() == bytes.len() || chunk.valid().len() < WINDOW_BYTES - CHARACTER_BYTES_MAX {
        return (chunk.valid(), chunk.invalid());
    }
    match simdutf8::compat::from_utf8(bytes) {
        Ok(text) => (text, &[]),
        Err(error) => {
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            let invalid = &rest[..error.error_len().unwrap_or(rest.len())];
            (simdutf8::basic::from_utf8(valid).unwrap_or_default(), invalid)
        }
    }
}

/// Escapes until there is no room.
struct Writer<'a, W> {
    out: &'a mut W,
    room: usize,
}

impl<W: Write> Writer<'_, W> {
    /// `None` at the end of the room.
    fn escaped(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            // Runs of such bytes are found faster than one by one; the pieces keep a limit from being found late.
            let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
            let run = piece.iter().position(|byte| !begins_nothing(*byte)).unwrap_or(piece.len());
            self.invalid(&bytes[..run])?;
            bytes = &bytes[run..];
            if run < PIECE_BYTES {
                let (valid, invalid) = next_chunk(bytes);
                self.valid(valid)?;
                self.invalid(invalid)?;
                bytes = &bytes[valid.len() + invalid.len()..];
            }
        }
        Some(())
    }

    fn invalid(&mut self, bytes: &[u8]) -> Option<()> {
        let kept = &bytes[..bytes.len().min(self.room / ESCAPE_BYTES)];
        self.room -= kept.len() * ESCAPE_BYTES;
        let (escapes, _) = ESCAPES.as_chunks::<ESCAPE_BYTES>();
        let of = |byte: u8| escapes[usize::from(byte)];
        if kept.len() < RUN_MIN {
            kept.iter().for_each(|byte| self.write(&of(*byte)));
        } else {
            for piece in kept.chunks(PIECE_BYTES) {
                let mut text = [[0; ESCAPE_BYTES]; PIECE_BYTES];
                text.iter_mut().zip(piece).for_each(|(escape, byte)| *escape = of(*byte));
                self.write(text[..piece.len()].as_flattened());
            }
        }
        (kept.len() == bytes.len()).then_some(())
    }

    fn valid(&mut self, mut text: &str) -> Option<()> {
        while !text.is_empty() {
            let (piece, rest) = text.split_at(whole_characters(text, PIECE_BYTES).len());
            text = rest;
            if memchr::memchr(b'\\', piece.as_bytes()).is_some() {
                self.doubled(piece)?;
                continue;
            }
            let kept = whole_characters(piece, self.room);
            self.room -= kept.len();
            write(self.out, kept);
            if kept.len() < piece.len() {
                return None;
            }
        }
        Some(())
    }

    /// A piece with backslashes.
    fn doubled(&mut self, piece: &str) -> Option<()> {
        let mut text = [0; 2 * PIECE_BYTES];
        let mut len = 0;
        if self.room >= text.len() {
            for byte in piece.bytes() {
                text[len] = byte;
                len += 1;
                if byte == b'\\' {
                    text[len] = byte;
                    len += 1;
                }
            }
            self.room -= len;
            self.write(&text[..len]);
            return Some(());
        }
        let mut kept = true;
        for c in piece.chars() {
            let times = 1 + usize::from(c == '\\');
            kept = len + times * c.len_utf8() <= self.room;
            if !kept {
                break;
            }
            for _ in 0..times {
                len += c.encode_utf8(&mut text[len..]).len();
            }
        }
        self.room -= len;
        self.write(&text[..len]);
        kept.then_some(())
    }

    /// Whole characters.
    fn write(&mut self, text: &[u8]) {
        write(self.out, simdutf8::basic::from_utf8(text).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, character by character.
    fn plainly(bytes: &[u8], max: usize) -> (String, Pushed) {
        let is_escaped = std::str::from_utf8(bytes).is_err();
        let mut parts: Vec<String> = vec![];
        for chunk in bytes.utf8_chunks() {
            let doubled = |c| if is_escaped && c == '\\' { "\\\\".to_owned() } else { String::from(c) };
            parts.extend(chunk.valid().chars().map(doubled));
            parts.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        let mut text = String::new();
        for part in parts {
            if text.len() + part.len() > max {
                return (text, Pushed { is_escaped, is_cut: true });
            }
            text.push_str(&part);
        }
        (text, Pushed { is_escaped, is_cut: false })
    }

    fn pushed(bytes: &[u8], max: usize) -> (String, Pushed) {
        let mut text = String::from("before");
        let pushed = push_at_most(bytes, max, &mut text);
        (text.strip_prefix("before").expect("nothing before is touched").to_owned(), pushed)
    }

    #[test]
    fn a_cut_leaves_no_part_of_a_character() {
        for (bytes, max, kept) in [
            ("a漢字".as_bytes(), 7, "a漢字".as_bytes()),
            ("a漢字".as_bytes(), 6, "a漢".as_bytes()),
            ("a漢字".as_bytes(), 5, "a漢".as_bytes()),
            ("a漢字".as_bytes(), 4, "a漢".as_bytes()),
            ("a漢字".as_bytes(), 2, b"a"),
            ("a😀".as_bytes(), 4, b"a"),
            (b"ab", 1, b"a"),
            (b"ab", 0, b""),
            // What no character begins with is not the part of one.
            (b"a\xbc\xbcb", 3, b"a\xbc\xbc"),
            (b"a\xff\xe6\xbc\xa2", 4, b"a\xff"),
        ] {
            assert_eq!(cut_at(bytes, max), kept, "{bytes:?} {max}");
        }
    }

    /// Runs and mixtures of what is escaped, doubled and kept.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[a-z\\\\\n]{0,80}".prop_map(String::into_bytes),
            "[é漢👩]{0,40}".prop_map(String::into_bytes),
            (prop::sample::select(vec![0xffu8, 0x80, 0xc3, 0xe6, 0xf0, b'\\']), 0..150usize)
                .prop_map(|(byte, n)| vec![byte; n]),
            // Longer than the window.
            "[a-zé漢]{200,400}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_give_what_going_character_by_character_gives(bytes in bytes(), max in 0usize..1500) {
            prop_assert_eq!(pushed(&bytes, usize::MAX), plainly(&bytes, usize::MAX));
            prop_assert_eq!(pushed(&bytes, max), plainly(&bytes, max));
        }
    }
}
