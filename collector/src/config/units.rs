//! Sizes and durations as people write them.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Nanoseconds of each unit, longest first.
const SPANS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// `8MiB`, `64 KiB`, `4096B`; units are powers of 1024 only, so that nobody has to guess.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    number.checked_mul(factor)
}

/// The shortest exact text of a size.
pub fn format_size(bytes: u64) -> String {
    let fits = |factor: u64| bytes != 0 && bytes.is_multiple_of(factor);
    let (name, factor) = SIZES.iter().find(|(_, factor)| fits(*factor)).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / factor)
}

/// `10s`, `500ms`, `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total_ns = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |i| digits + i);
        let (number, unit) = split(&rest[..letters])?;
        let factor = SPANS.iter().find(|(name, _)| *name == unit)?.1;
        total_ns = total_ns.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[letters..];
    }
    (!text.trim().is_empty()).then(|| Duration::from_nanos(total_ns))
}

/// The exact text of a duration.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, factor) in SPANS {
        if rest >= *factor {
            text.push_str(&format!("{}{name}", rest / factor));
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_exact() {
        for (text, bytes) in [
            ("8MiB", 8 << 20),
            ("64 KiB", 64 << 10),
            ("1gib", 1 << 30),
            ("100B", 100),
            ("0B", 0),
            ("1536KiB", 1536 << 10),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(parse_size(&format_size(bytes)), Some(bytes), "{text}");
        }
        for text in ["", "8", "MiB", "8MB", "8 M", "-1KiB", "1.5MiB", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_add_up_and_are_exact() {
        for (text, ns) in [
            ("10s", 10_000_000_000),
            ("500ms", 500_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("7d", 604_800_000_000_000),
            ("0s", 0),
            ("1s5ns", 1_000_000_005),
        ] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse_duration(text), Some(duration), "{text}");
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration), "{text}");
        }
        for text in ["", " ", "10", "s", "10x", "10s5", "-1s", "1.5s", "999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
