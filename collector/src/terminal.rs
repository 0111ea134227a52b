//! The one place that writes to standard output and standard error: whatever comes from the kernel, from programs, files and
//! peers is made safe for terminals and logs here. `clippy.toml` forbids the streams elsewhere.
//!
//! Two layers. Who puts a foreign text into a line wraps it in [`Foreign`], so that it cannot end the line and forge another.
//! What is printed goes through [`print`], [`say`] or [`json`], which let nothing through that steers a terminal, whoever forgot
//! to wrap it.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write as _};
use std::io::{self, IsTerminal, Write};
use std::process::Stdio;

use serde::Serialize;
use weir_sinks::text::is_unsafe;

/// The text with everything that could steer a terminal, or forge a line, written as `\xNN` or `\u{NNNN}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_with(text, is_unsafe, push_escaped)
}

/// A text from elsewhere, as one harmless piece of a line.
#[derive(Debug, Clone, Copy)]
pub struct Foreign<T>(pub T);

impl<T: Display> Display for Foreign<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0.to_string()))
    }
}

/// The same for text that has lines, and tabs, of its own: only these stay.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_with(text, |c| is_unsafe(c) && !matches!(c, '\n' | '\t'), push_escaped)
}

/// JSON, whose texts every parser turns back: unsafe characters, which only texts can have, as `\u001b`.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    escape_with(
        json,
        |c| is_unsafe(c) && c != '\n',
        |safe, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        },
    )
}

fn escape_with(text: &str, is_foreign: impl Fn(char) -> bool, push: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(&is_foreign) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_foreign(c) { push(&mut safe, c) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

fn push_escaped(safe: &mut String, c: char) {
    let code = u32::from(c);
    // Writing into a String cannot fail.
    let _ = if code < 0x80 { write!(safe, "\\x{code:02x}") } else { write!(safe, "\\u{{{code:x}}}") };
}

/// Writes lines to standard output.
///
/// # Errors
/// It takes no more.
pub fn print(text: &str) -> io::Result<()> {
    write_all(&mut stdout().lock(), &escape_lines(text))
}

/// Writes a value to standard output as JSON.
///
/// # Errors
/// It takes no more.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    write_all(&mut stdout().lock(), &json(value)?)
}

/// A value as indented JSON with a line end.
///
/// # Errors
/// The value has no JSON.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(escape_json(&text).into_owned() + "\n")
}

/// Writes lines to standard error. Nobody can be told that it does not work.
pub fn say(text: &str) {
    let _ = write_all(&mut stderr(), &format!("{}\n", escape_lines(text)));
}

/// Writes a value to standard error as one line of JSON.
pub fn say_json(value: &serde_json::Value) {
    let _ = write_all(&mut stderr(), &format!("{}\n", escape_json(&value.to_string())));
}

/// Writes a line to standard error in place of the one before.
pub fn say_again(line: &str) {
    let _ = write_all(&mut stderr(), &format!("\r\x1b[K{}", escape(line)));
}

fn write_all(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// Standard output, for what is safe already: rows of the sink, whose texts it escapes itself.
#[expect(clippy::disallowed_methods, reason = "this module is where the streams are")]
pub fn stdout() -> io::Stdout {
    io::stdout()
}

#[expect(clippy::disallowed_methods, reason = "this module is where the streams are")]
pub(crate) fn stderr() -> io::Stderr {
    io::stderr()
}

/// Whether somebody looks at standard error.
pub fn is_watched() -> bool {
    stderr().is_terminal()
}

/// Standard error, for a child that shall not write to standard output.
pub fn stderr_for_child() -> Stdio {
    Stdio::from(stderr())
}

/// Stands in front of the further lines of a message (a verifier's log), so that none can pass for a message.
const CONTINUED: &str = "    | ";

/// A message of the log, which comes whole, with what is foreign in it escaped, and its further lines marked.
pub(crate) fn message(text: &str, is_json: bool) -> String {
    let message = text.strip_suffix('\n').unwrap_or(text);
    let mut lines = String::with_capacity(text.len() + CONTINUED.len());
    for (i, line) in message.split('\n').enumerate() {
        lines.push_str(if i == 0 { "" } else { CONTINUED });
        lines.push_str(&if is_json { escape_json(line) } else { escape(line) });
        lines.push('\n');
    }
    lines
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
            assert_eq!(Foreign(text).to_string(), safe);
        }
        assert_eq!(escape_lines("a\n\tb\x1b\r\u{2028}"), "a\n\tb\\x1b\\x0d\\u{2028}");
    }

    #[test]
    fn every_unsafe_character_is_escaped_in_json_and_parses_back() {
        for c in (0..=0x10ffff).filter_map(char::from_u32).filter(|c| is_unsafe(*c)) {
            let value = serde_json::json!({ format!("k{c}"): format!("<{c}>") });
            let text = json(&value).expect("JSON");
            assert!(!text.chars().any(|c| is_unsafe(c) && c != '\n'), "{text}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
        }
    }

    #[test]
    fn a_message_has_no_control_characters_and_its_further_lines_are_marked() {
        let text = "opened \x1b[31mred\nERROR forged\n";
        assert_eq!(message(text, false), "opened \\x1b[31mred\n    | ERROR forged\n");
        assert_eq!(message("{\"a\":\"\u{202e}\u{e0041}\"}\n", true), "{\"a\":\"\\u202e\\udb40\\udc41\"}\n");
    }
}
