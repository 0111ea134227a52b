//! What is wrong with a configuration, and where.

use std::fmt;

use crate::terminal::Foreign;

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

/// Problems of one kind that are named: who has more has another file than he thinks.
pub(super) const NAMED_MAX: usize = 100;

/// Problems as they are found: the first ones are named, all are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    named: Vec<Problem>,
    more: usize,
}

impl Found {
    /// Another one, which is only made while it is named: looking for what was meant takes time.
    pub(super) fn push(&mut self, problem: impl FnOnce() -> Problem) {
        if self.named.len() < NAMED_MAX {
            self.named.push(problem());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(|| problem));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn into_error(self) -> ConfigError {
        ConfigError { problems: self.named, more: self.more }
    }
}

/// The problems of a configuration, in the order of the layers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
    /// How many there are besides.
    pub more: usize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", Foreign(&problem.place), Foreign(&problem.text))?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more problems", self.more)?;
        }
        Ok(())
    }
}
