//! Characters that must not reach a terminal as they are: one list for the table and the JSON lines.

use std::io::Write;

/// Whether a character could steer a terminal, or hide or turn around the text beside it.
///
/// Controls (C0, DEL, C1), line and paragraph separators, the controls of bidirectional text (Unicode UAX 9), the byte
/// order mark, interlinear annotations and tags.
pub fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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

/// For each byte: 0 if it may stand in a JSON string as it is, 1 if it needs a look.
static JSON_LOOK: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte < 0x20 || byte >= 0x7f || byte == b'"' as usize || byte == b'\\' as usize {
            table[byte] = 1;
        }
        byte += 1;
    }
    table
};

/// Appends text as the inside of a JSON string; unsafe characters become `\u00XX`, which every parser turns back.
pub fn push_json(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|b| JSON_LOOK[usize::from(b)] == 0) {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut from = 0;
    for (at, c) in text.char_indices() {
        let short: &[u8] = match c {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            c if is_unsafe(c) => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        out.extend_from_slice(short);
        if short.is_empty() {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into a Vec cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        from = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
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
        assert_eq!(visible("naïve 漢字 👩‍💻 \\ \""), "naïve 漢字 👩‍💻 \\ \"");
    }

    #[test]
    fn json_text_has_no_unsafe_character_and_parses_back() {
        for c in (0..=0x10ffff).filter_map(char::from_u32) {
            let text = format!("<{c}>");
            let mut out = vec![b'"'];
            push_json(&mut out, &text);
            out.push(b'"');
            let json = String::from_utf8(out).expect("UTF-8");
            assert!(!json.chars().any(is_unsafe), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("a JSON string"), text);
        }
    }
}
