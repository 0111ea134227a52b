//! The `[[sink]]` tables of a file, before their types are known.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::config::layers::Origin;
use crate::config::lines::Lines;
use crate::config::problem::Problem;
use crate::config::raw::Raw;

/// The key of a table that says what the others mean.
pub(in crate::config) const TYPE: &str = "type";

/// One value of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) value: Raw,
}

/// One table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Of its head.
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

impl Table {
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// All tables of a file.
#[derive(Debug, Default)]
pub(in crate::config) struct SinkTables {
    file: PathBuf,
    pub(super) tables: Vec<Table>,
}

impl SinkTables {
    /// From the value of `sink`, which stands on that line.
    pub(in crate::config) fn read(
        file: &Path,
        lines: &Lines,
        line: usize,
        value: &DeValue<'_>,
    ) -> Result<Self, Problem> {
        let mut all = SinkTables { file: file.to_owned(), tables: Vec::new() };
        let not_tables = || {
            let text = "sinks are written as `[[sink]]` tables, one for each, with two brackets";
            Problem::new(all.origin(line).to_string(), text)
        };
        let items = value.as_array().ok_or_else(not_tables)?;
        let mut tables = Vec::new();
        for item in items.iter() {
            let table = item.get_ref().as_table().ok_or_else(not_tables)?;
            let entries = table.iter().map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                line: lines.at(key.span().start),
                value: Raw::from_toml(value.get_ref()),
            });
            let mut entries: Vec<Entry> = entries.collect();
            entries.sort_by_key(|entry| entry.line);
            tables.push(Table { line: lines.at(item.span().start), entries });
        }
        all.tables = tables;
        Ok(all)
    }

    /// A line of the file.
    pub(super) fn origin(&self, line: usize) -> Origin {
        Origin::File(self.file.clone(), line)
    }

    /// Whether there are none.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}
