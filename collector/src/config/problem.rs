//! What is wrong with a configuration, and where.

use std::fmt;

/// One problem: `weir.toml:3: unknown key ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File and line, environment variable or flag.
    pub place: String,
    /// What is wrong and what to do.
    pub text: String,
}

impl Problem {
    pub(super) fn new(place: impl Into<String>, text: impl Into<String>) -> Problem {
        Problem { place: place.into(), text: text.into() }
    }
}

/// Every problem of a configuration, in the order of the layers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", problem.place, problem.text)?;
        }
        Ok(())
    }
}
