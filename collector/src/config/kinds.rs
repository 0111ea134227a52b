//! How a setting is read and written: one [`Kind`] per sort of value, the same for file, environment and flag.

use std::path::PathBuf;
use std::time::Duration;

use weir_sinks::Secret;
use weir_sinks::text::is_unsafe;

use super::raw::Raw;
use super::units;

/// What stands in the place of a secret.
pub const SECRET_SHOWN: &str = "***";

/// A sort of value.
pub trait Kind<T> {
    /// Placeholder in the help, such as `SIZE`.
    const PLACEHOLDER: &'static str;
    /// Several values, by comma or repetition.
    const LIST: bool = false;
    /// The values that can be chosen; empty if there is no fixed set.
    const CHOICES: &'static [&'static str] = &[];
    /// On or off: its flag takes no value.
    const SWITCH: bool = false;
    /// Never shown, and no flag: a command line is public.
    const SECRET: bool = false;

    /// Reads a value; the error says what was expected.
    ///
    /// # Errors
    /// The value is not of this kind.
    fn read(raw: &Raw) -> Result<T, String>;

    /// The value as TOML; `None` when it is not set.
    fn write(value: &T) -> Option<String>;
}

/// `true` or `false`.
#[derive(Debug)]
pub struct Switch;
/// A whole number, not negative.
#[derive(Debug)]
pub struct Count;
/// Bytes: `65536`, `64KiB`, `8MiB`, `1GiB`.
#[derive(Debug)]
pub struct Size;
/// A number of milliseconds, or a duration.
#[derive(Debug)]
pub struct Millis;
/// A number of microseconds, or a duration.
#[derive(Debug)]
pub struct Micros;
/// A number of nanoseconds, or a duration.
#[derive(Debug)]
pub struct Nanos;
/// A duration: `500ms`, `10s`, `5m`, `1h`, `7d`.
#[derive(Debug)]
pub struct Span;
/// Any text that is not empty.
#[derive(Debug)]
pub struct Text;
/// A path.
#[derive(Debug)]
pub struct File;
/// A text that is never shown.
#[derive(Debug)]
pub struct Hidden;
/// One of a fixed set of words.
#[derive(Debug)]
pub struct Choice;
/// May be absent; the empty text says so.
#[derive(Debug)]
pub struct Optional<K>(K);
/// Several values.
#[derive(Debug)]
pub struct List<K>(K);

/// A type whose values have words.
pub trait Named: Copy + PartialEq + 'static {
    /// The words, in the order of the help.
    const WORDS: &'static [&'static str];
    /// The values, in the same order.
    const VALUES: &'static [Self];
}

impl Kind<bool> for Switch {
    const PLACEHOLDER: &'static str = "BOOL";
    const SWITCH: bool = true;

    fn read(raw: &Raw) -> Result<bool, String> {
        match raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Text(text) if matches!(text.as_str(), "true" | "1" | "yes") => Ok(true),
            Raw::Text(text) if matches!(text.as_str(), "false" | "0" | "no") => Ok(false),
            _ => Err("expected true or false".into()),
        }
    }

    fn write(value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

impl<T: TryFrom<u64> + ToString> Kind<T> for Count {
    const PLACEHOLDER: &'static str = "N";

    fn read(raw: &Raw) -> Result<T, String> {
        raw.number()
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| "expected a whole number that is not negative and not too large".into())
    }

    fn write(value: &T) -> Option<String> {
        Some(value.to_string())
    }
}

impl Kind<u64> for Size {
    const PLACEHOLDER: &'static str = "SIZE";

    fn read(raw: &Raw) -> Result<u64, String> {
        raw.number()
            .or_else(|| raw.text().and_then(units::parse_size))
            .ok_or_else(|| "expected a size such as 65536, 64KiB, 8MiB or 1GiB".into())
    }

    fn write(value: &u64) -> Option<String> {
        Some(quote(&units::format_size(*value)))
    }
}

fn read_units(raw: &Raw, unit_ns: u128, unit: &str) -> Result<u64, String> {
    let problem = || format!("expected a number of {unit} or a duration such as 25ms");
    if let Some(number) = raw.number() {
        return Ok(number);
    }
    let ns = raw.text().and_then(units::parse_duration).ok_or_else(problem)?.as_nanos();
    u64::try_from(ns / unit_ns).map_err(|_| problem())
}

macro_rules! number_of {
    ($kind:ty, $placeholder:literal, $unit_ns:literal, $unit:literal) => {
        impl Kind<u64> for $kind {
            const PLACEHOLDER: &'static str = $placeholder;

            fn read(raw: &Raw) -> Result<u64, String> {
                read_units(raw, $unit_ns, $unit)
            }

            fn write(value: &u64) -> Option<String> {
                Some(value.to_string())
            }
        }
    };
}
number_of!(Millis, "MS", 1_000_000, "milliseconds");
number_of!(Micros, "US", 1_000, "microseconds");
number_of!(Nanos, "NS", 1, "nanoseconds");

impl Kind<Duration> for Span {
    const PLACEHOLDER: &'static str = "TIME";

    fn read(raw: &Raw) -> Result<Duration, String> {
        raw.text()
            .and_then(units::parse_duration)
            .or_else(|| raw.number().map(Duration::from_secs))
            .ok_or_else(|| "expected a duration such as 500ms, 10s, 5m, 1h or 7d (a bare number is seconds)".into())
    }

    fn write(value: &Duration) -> Option<String> {
        Some(quote(&units::format_duration(*value)))
    }
}

impl Kind<String> for Text {
    const PLACEHOLDER: &'static str = "TEXT";

    fn read(raw: &Raw) -> Result<String, String> {
        raw.as_text().filter(|text| !text.is_empty()).ok_or_else(|| "expected a text".into())
    }

    fn write(value: &String) -> Option<String> {
        Some(quote(value))
    }
}

impl Kind<PathBuf> for File {
    const PLACEHOLDER: &'static str = "PATH";

    fn read(raw: &Raw) -> Result<PathBuf, String> {
        raw.text().filter(|text| !text.is_empty()).map(PathBuf::from).ok_or_else(|| "expected a path".into())
    }

    fn write(value: &PathBuf) -> Option<String> {
        Some(quote(&value.to_string_lossy()))
    }
}

impl Kind<Secret> for Hidden {
    const PLACEHOLDER: &'static str = "SECRET";
    const SECRET: bool = true;

    fn read(raw: &Raw) -> Result<Secret, String> {
        Text::read(raw).map(Secret::new)
    }

    fn write(_: &Secret) -> Option<String> {
        Some(quote(SECRET_SHOWN))
    }
}

impl<T: Named> Kind<T> for Choice {
    const PLACEHOLDER: &'static str = "WORD";
    const CHOICES: &'static [&'static str] = T::WORDS;

    fn read(raw: &Raw) -> Result<T, String> {
        let index = raw.text().and_then(|text| T::WORDS.iter().position(|word| *word == text));
        index.map(|i| T::VALUES[i]).ok_or_else(|| format!("expected one of: {}", T::WORDS.join(", ")))
    }

    fn write(value: &T) -> Option<String> {
        let index = T::VALUES.iter().position(|v| v == value)?;
        Some(quote(T::WORDS[index]))
    }
}

impl<T, K: Kind<T>> Kind<Option<T>> for Optional<K> {
    const PLACEHOLDER: &'static str = K::PLACEHOLDER;
    const CHOICES: &'static [&'static str] = K::CHOICES;
    const SECRET: bool = K::SECRET;

    fn read(raw: &Raw) -> Result<Option<T>, String> {
        if raw.text() == Some("") { Ok(None) } else { K::read(raw).map(Some) }
    }

    fn write(value: &Option<T>) -> Option<String> {
        value.as_ref().and_then(K::write)
    }
}

impl<T, K: Kind<T>> Kind<Vec<T>> for List<K> {
    const PLACEHOLDER: &'static str = K::PLACEHOLDER;
    const LIST: bool = true;

    fn read(raw: &Raw) -> Result<Vec<T>, String> {
        raw.items().iter().map(K::read).collect()
    }

    fn write(value: &Vec<T>) -> Option<String> {
        let items: Vec<String> = value.iter().filter_map(K::write).collect();
        (!items.is_empty()).then(|| format!("[{}]", items.join(", ")))
    }
}

/// The text as a TOML string.
pub(super) fn quote(text: &str) -> String {
    // On one line, whatever is in it, and so that no terminal minds; the library would break it into lines.
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() || is_unsafe(c) => out.push_str(&format!("\\U{:08X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
