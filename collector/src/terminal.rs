//! Text from the kernel and from programs, made safe for terminals and logs.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with everything that could steer a terminal, or forge a line, written as `\xNN` or `\u{NNNN}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match c {
            _ if !steers(c) => safe.write_char(c),
            _ if code < 0x80 => write!(safe, "\\x{code:02x}"),
            _ => write!(safe, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(safe)
}

/// Control characters (C0, DEL, C1), and those that reorder or hide text: Unicode's directional formatting characters
/// and line separators (UAX #9).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        for (text, safe) in [
            ("plain, ünïcode, 日本", "plain, ünïcode, 日本"),
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("a\nERROR forged\r", "a\\x0aERROR forged\\x0d"),
            ("bell\x07 del\x7f", "bell\\x07 del\\x7f"),
            ("c1 \u{9b}31m", "c1 \\u{9b}31m"),
            ("txt.\u{202e}exe", "txt.\\u{202e}exe"),
        ] {
            assert_eq!(escape(text), safe);
        }
    }
}
