//! Text from the kernel and from programs, made safe for terminals and logs.

use std::borrow::Cow;
use std::fmt::Write;

use weir_sinks::text::is_unsafe;

/// The text with everything that could steer a terminal, or forge a line, written as `\xNN` or `\u{NNNN}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match c {
            _ if !is_unsafe(c) => safe.write_char(c),
            _ if code < 0x80 => write!(safe, "\\x{code:02x}"),
            _ => write!(safe, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(safe)
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
            ("pay\u{200b}pal", "pay\\u{200b}pal"),
        ] {
            assert_eq!(escape(text), safe);
        }
    }
}
