//! CPUs by number: which are online, and which there can ever be.

use std::path::Path;

use super::{HostError, form, read_line};

const DIRECTORY: &str = "/sys/devices/system/cpu";

/// More than Linux can have (`NR_CPUS` is at most 8,192 on x86_64); a list that names more is refused.
const CPUS_MAX: usize = 65_536;

/// CPUs of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// Online now.
    pub online: Vec<usize>,
    /// May come online while this kernel runs.
    pub possible: Vec<usize>,
}

impl Cpus {
    /// Reads both lists.
    ///
    /// # Errors
    /// When sysfs has none.
    pub fn read() -> Result<Cpus, HostError> {
        let list = |name: &str| {
            let path = Path::new(DIRECTORY).join(name);
            let text = read_line(&path)?;
            parse_cpu_list(&text).ok_or_else(|| form(&path, &text))
        };
        Ok(Cpus { online: list("online")?, possible: list("possible")? })
    }

    /// Places that a table by CPU number needs.
    pub fn places(&self) -> usize {
        self.possible.iter().chain(&self.online).max().map_or(0, |last| last + 1)
    }
}

/// Parses the kernel's list form, `0-3,8,10-11`.
pub fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        for (text, cpus) in [
            ("0", Some(vec![0])),
            ("0-1\n", Some(vec![0, 1])),
            ("0-2,8,10-11", Some(vec![0, 1, 2, 8, 10, 11])),
            ("", Some(vec![])),
            ("3-1", None),
            ("a", None),
            ("0-", None),
            ("0-99999999", None),
        ] {
            assert_eq!(parse_cpu_list(text), cpus, "{text}");
        }
    }

    #[test]
    fn a_table_has_places_for_cpus_that_are_not_online() {
        assert_eq!(Cpus { online: vec![0], possible: vec![0, 5] }.places(), 6);
    }
}
