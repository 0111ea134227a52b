//! The kernel's release.

use std::fmt;

/// Release of a kernel; ordered by its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// First and second number.
    pub version: (u32, u32),
    /// The whole text, as `uname -r` shows it.
    pub text: String,
}

impl Release {
    /// From `uname -r`.
    pub fn parse(text: &str) -> Option<Release> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let version = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Release { version, text: text.to_owned() })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::terminal::escape(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_read() {
        for (text, version) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.15.0-1-amd64", Some((5, 15))),
            ("6.1-rc3+", Some((6, 1))),
            ("5.14.0-570.el9.x86_64", Some((5, 14))),
            ("next", None),
            ("", None),
        ] {
            assert_eq!(Release::parse(text).map(|release| release.version), version, "{text}");
        }
    }
}
