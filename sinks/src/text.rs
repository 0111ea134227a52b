//! Characters that must not reach a terminal as they are: one list for the table and the JSON lines.

use crate::json::Page;

/// Whether a character could steer a terminal, or hide or turn around the text beside it.
///
/// Controls (C0, DEL, C1), line and paragraph separators, the controls of bidirectional text (Unicode UAX 9), and what is not
/// shown: Unicode's `Default_Ignorable_Code_Point` (variation selectors, fillers, tags), interlinear annotations and format
/// controls of hieroglyphs. The joiners and the two selectors of emoji and of Persian and Indic writing are kept.
pub fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether all bytes are printable ASCII, so that nothing needs a second look.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x20..=0x7e))
}

/// Appends text so that it stays one harmless piece of one line: `\n`, `\t`, `\x1b`, `\u{202e}`.
pub fn push_visible(out: &mut String, text: &str) {
    if is_plain(text) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if !is_unsafe(c) => out.push(c),
            c if u32::from(c) < 0x100 => push_hex(out, "\\x", u32::from(c), 2, ""),
            c => push_hex(out, "\\u{", u32::from(c), 1, "}"),
        }
    }
}

fn push_hex(out: &mut String, before: &str, value: u32, digits: usize, behind: &str) {
    use std::fmt::Write;
    // Writing into a String cannot fail.
    let _ = write!(out, "{before}{value:0digits$x}{behind}");
}

/// Whether a byte cannot stand in a JSON string as it is, or is a part of a character that needs a look.
const fn needs_look(byte: u8) -> bool {
    // No short circuits: the compiler looks at many bytes at once.
    (byte < 0x20) | (byte >= 0x7f) | (byte == b'"') | (byte == b'\\')
}

fn is_plain_json(text: &[u8]) -> bool {
    let (chunks, rest) = text.as_chunks::<16>();
    let any = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | needs_look(*byte));
    !chunks.iter().any(|chunk| any(chunk)) && !any(rest)
}

/// Bytes that cannot stand in a JSON string as they are, or begin a character that may be unsafe. All others are passed over:
/// most characters of more than one byte are none of those.
static STOPS: [bool; 256] = stops();

const fn stops() -> [bool; 256] {
    let mut stops = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let in_ascii = byte < 0x20 || byte == 0x7f || byte == b'"' as usize || byte == b'\\' as usize;
        stops[byte] = in_ascii || matches!(byte, 0xc2 | 0xcd | 0xd8 | 0xe1..=0xe3 | 0xef | 0xf0 | 0xf3);
        byte += 1;
    }
    stops
}

/// Appends text as the inside of a JSON string; unsafe characters become `\u00XX`, which every parser turns back.
pub(crate) fn push_json(out: &mut Page, text: &str) {
    let bytes = text.as_bytes();
    if is_plain_json(bytes) {
        return out.push_slice(bytes);
    }
    let (mut from, mut at) = (0, 0);
    while let Some(found) = bytes[at..].iter().position(|byte| STOPS[usize::from(*byte)]) {
        at += found;
        let short = match bytes[at] {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            _ => {
                let Some(c) = text[at..].chars().next() else { break };
                if is_unsafe(c) {
                    out.push_slice(&bytes[from..at]);
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push_unit(out, *unit));
                    from = at + c.len_utf8();
                }
                at += c.len_utf8();
                continue;
            }
        };
        if from < at {
            out.push_slice(&bytes[from..at]);
        }
        out.push_array(short, 2);
        at += 1;
        from = at;
    }
    out.push_slice(&bytes[from..]);
}

/// `\u202e`.
fn push_unit(out: &mut Page, unit: u16) {
    let digit = |shift: u32| b"0123456789abcdef"[usize::from(unit >> shift & 15)];
    out.push_array(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)], 6);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(text: &str) -> String {
        let mut out = String::new();
        push_visible(&mut out, text);
        out
    }

    #[test]
    fn what_could_steer_a_terminal_is_shown_and_the_rest_is_kept() {
        assert_eq!(visible("a\n\t\r\x1b[2J\x07\x7f\u{9b}"), "a\\n\\t\\r\\x1b[2J\\x07\\x7f\\x9b");
        assert_eq!(visible("ab\u{202e}cd\u{feff}\u{e0041}"), "ab\\u{202e}cd\\u{feff}\\u{e0041}");
        assert_eq!(visible("a\u{34f}b\u{3164}c\u{e0100}d\u{206a}"), "a\\u{34f}b\\u{3164}c\\u{e0100}d\\u{206a}");
        assert_eq!(visible("naïve 漢字 👩‍💻 \\ \""), "naïve 漢字 👩‍💻 \\ \"");
    }

    #[test]
    fn json_text_has_no_unsafe_character_and_parses_back() {
        for c in (0..=0x10ffff).filter_map(char::from_u32) {
            let text = format!("<{c}>");
            let mut out = Page::default();
            out.push(b'"');
            push_json(&mut out, &text);
            out.push(b'"');
            let json = String::from_utf8(out.as_bytes().to_vec()).expect("UTF-8");
            assert!(!json.chars().any(is_unsafe), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("a JSON string"), text);
        }
    }
}
