//! DuckDB views over a data directory.

use std::fmt::Write;

use crate::column::ColumnType;
use crate::{CLASSES, Class};

fn sql_type(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Int32 => "INTEGER",
        ColumnType::Int64 => "BIGINT",
        ColumnType::Time => "TIMESTAMP WITH TIME ZONE",
        ColumnType::Text => "VARCHAR",
        ColumnType::TextList => "VARCHAR[]",
    }
}

/// A path as a DuckDB string literal, with the characters of glob patterns made plain.
fn literal(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' => plain.push_str("''"),
            '*' | '?' | '[' => plain.extend(['[', c, ']']),
            c => plain.push(c),
        }
    }
    plain
}

fn table(out: &mut String, class: &Class, directory: &str) {
    let columns: Vec<_> = class.all_columns().collect();
    let typed: Vec<String> =
        columns.iter().map(|c| format!("CAST(NULL AS {}) AS \"{}\"", sql_type(c.ty), c.name)).collect();
    let names: Vec<String> = columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
    let _ = writeln!(out, "-- {}", class.doc);
    let _ = writeln!(out, "CREATE OR REPLACE VIEW {} AS", class.name);
    let _ = writeln!(out, "SELECT {} FROM (", names.join(", "));
    let _ = writeln!(out, "  SELECT {} WHERE false", typed.join(", "));
    let _ = writeln!(out, "  UNION ALL BY NAME");
    let _ = writeln!(
        out,
        "  SELECT * EXCLUDE (class, date, hour) FROM read_parquet('{}/class=*/**/*.parquet', \
         union_by_name = true, hive_partitioning = true, hive_types_autocast = false)\n  WHERE class = '{}'\n);\n",
        literal(directory),
        class.name
    );
}

/// Views `process`, `file`, ... over a data directory, and the process tree.
///
/// A class that has no file yet is an empty view with the right types, as long as the directory holds any file.
pub fn sql(directory: &str) -> String {
    let mut out = String::from("-- DuckDB views over a weir data directory: run with `duckdb -init FILE`.\n\n");
    for class in CLASSES {
        table(&mut out, class, directory);
    }
    out.push_str(PROCESS_TREE);
    out
}

const PROCESS_TREE: &str = "\
-- One row per process: its key, its creator, its last program.
CREATE OR REPLACE VIEW processes AS
SELECT host, boot_id, process_key, any_value(pid) AS pid, any_value(parent_key) AS parent_key,
       max_by(comm, ktime_ns) AS comm, max_by(exe, ktime_ns) AS exe, max_by(cmdline, ktime_ns) AS cmdline,
       min(time) AS first_seen, max(time) AS last_seen,
       max(exit_code) FILTER (action = 'exit') AS exit_code,
       max(exit_signal) FILTER (action = 'exit') AS exit_signal
FROM process WHERE process_key IS NOT NULL GROUP BY host, boot_id, process_key;

-- Every process under its creators: `SELECT repeat('  ', depth) || comm FROM process_tree ORDER BY lineage`.
CREATE OR REPLACE VIEW process_tree AS
WITH RECURSIVE tree AS (
  SELECT p.*, 0 AS depth, [p.process_key] AS lineage
  FROM processes p
  WHERE NOT EXISTS (SELECT 1 FROM processes c WHERE c.host = p.host AND c.boot_id = p.boot_id
                    AND c.process_key = p.parent_key AND c.process_key <> p.process_key)
  UNION ALL
  SELECT p.*, t.depth + 1, list_append(t.lineage, p.process_key)
  FROM processes p JOIN tree t ON p.parent_key = t.process_key AND p.host = t.host AND p.boot_id = t.boot_id
  WHERE NOT list_contains(t.lineage, p.process_key)
)
SELECT * FROM tree;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_cannot_break_out_of_its_literal() {
        assert_eq!(literal("a'b*c"), "a''b[*]c");
    }
}
