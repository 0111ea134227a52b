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
    out.push_str(MACROS);
    for class in CLASSES {
        table(&mut out, class, directory);
    }
    for view in [PROCESS_TREE, CONTAINERS, QUESTIONS] {
        out.push_str(view);
    }
    out
}

/// A name that was split off has only `\\`, `\x3c` and `\x2e`; between doubled backslashes any other one begins an escape.
const MACROS: &str = r"-- The names in `ancestors`, nearest first and as the programs called themselves; a last `...` is the limit's, unless the
-- text ends with `\x2e..`: `... WHERE list_contains(ancestors_list(ancestors), 'sshd')`.
CREATE OR REPLACE MACRO ancestors_list(ancestors) AS
  [array_to_string([replace(replace(part, '\x3c', '<'), '\x2e', '.') FOR part IN string_split(name, '\\')], '\')
   FOR name IN string_split(ancestors, '<')];

";

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

-- Every pair of a process and one of its creators: `... WHERE process_key = K ORDER BY distance`.
CREATE OR REPLACE VIEW process_ancestors AS
WITH RECURSIVE up AS (
  SELECT host, boot_id, process_key, parent_key AS ancestor_key, 1 AS distance
  FROM processes WHERE parent_key IS NOT NULL AND parent_key <> process_key
  UNION
  SELECT u.host, u.boot_id, u.process_key, p.parent_key, u.distance + 1
  FROM up u JOIN processes p ON p.process_key = u.ancestor_key AND p.host = u.host AND p.boot_id = u.boot_id
  WHERE p.parent_key IS NOT NULL AND p.parent_key <> p.process_key AND u.distance < 64
)
SELECT u.host, u.boot_id, u.process_key, u.distance, u.ancestor_key, a.pid, a.comm, a.exe, a.cmdline
FROM up u LEFT JOIN processes a ON a.process_key = u.ancestor_key AND a.host = u.host AND a.boot_id = u.boot_id;
";

const CONTAINERS: &str = "
-- One row per container, with the names that its runtime gave at any time. What only claims to be one has a row of its own.
CREATE OR REPLACE VIEW containers AS
SELECT host, boot_id, container_id, coalesce(container_evidence, '') = 'claimed' AS is_claimed,
       any_value(container_name) AS container_name,
       any_value(container_image) AS container_image, any_value(container_image_digest) AS container_image_digest,
       coalesce(any_value(runtime) FILTER (action = 'metadata'), any_value(runtime)) AS runtime,
       any_value(labels) AS labels, any_value(pod_name) AS pod_name, any_value(pod_namespace) AS pod_namespace,
       min(time) FILTER (action = 'start') AS started, max(time) FILTER (action = 'die') AS died
FROM container WHERE container_id IS NOT NULL GROUP BY host, boot_id, container_id, is_claimed;

-- What a container did: `... WHERE container_name = 'web' ORDER BY time`. Names complete rows that came before them.
CREATE OR REPLACE VIEW container_activity AS
WITH activity AS (
  SELECT host, boot_id, container_id, coalesce(container_evidence, '') = 'claimed' AS is_claimed,
         time, 'process' AS class, action, pid, process_key, comm, exe, user_name, error,
         coalesce(array_to_string(args, ' '), path, cmdline) AS what
  FROM process WHERE action <> 'running'
  UNION ALL BY NAME
  SELECT host, boot_id, container_id, coalesce(container_evidence, '') = 'claimed' AS is_claimed,
         time, 'file' AS class, action, pid, process_key, comm, exe, user_name, error,
         coalesce(path || ' -> ' || new_path, path, new_path) AS what
  FROM file
  UNION ALL BY NAME
  SELECT host, boot_id, container_id, coalesce(container_evidence, '') = 'claimed' AS is_claimed,
         time, 'network' AS class, action, pid, process_key, comm, exe, user_name, error,
         coalesce(remote_ip || ':' || remote_port, unix_path, local_ip || ':' || local_port) AS what
  FROM network
)
SELECT a.time, c.container_name, c.container_image, a.class, a.action, a.comm, a.pid, a.what, a.error, a.user_name,
       a.exe, a.process_key, a.container_id, a.is_claimed, a.host, a.boot_id
FROM activity a JOIN containers c USING (host, boot_id, container_id, is_claimed);
";

const QUESTIONS: &str = "
-- Who deleted a file: `... WHERE path LIKE '/etc/%'`. Failed attempts have an error.
CREATE OR REPLACE VIEW deleted_files AS
SELECT f.time, f.path, f.action, f.error, f.comm, f.exe, f.cmdline, f.user_name, f.login_user, f.tty, f.ancestors,
       coalesce(f.container_name, c.container_name) AS container_name, f.container_id, f.pid, f.process_key,
       f.host, f.boot_id
FROM file f LEFT JOIN containers c USING (host, boot_id, container_id)
WHERE f.action IN ('unlink', 'rmdir') AND f.path IS NOT NULL;

-- Addresses outside of private networks that processes connected to, with everybody above them:
-- `... WHERE list_contains(above, 'sshd')`.
CREATE OR REPLACE VIEW outside_connections AS
SELECT n.time, n.remote_ip, n.remote_port, n.action, n.error, n.comm, n.exe, n.cmdline, n.user_name, n.login_user,
       list_prepend(n.comm, coalesce(ancestors_list(n.ancestors), [])) AS above, n.container_id, n.pid, n.process_key,
       n.host, n.boot_id
FROM network n
WHERE n.action IN ('connect', 'established', 'refused') AND n.remote_ip IS NOT NULL
  AND NOT regexp_matches(n.remote_ip,
    '^(0\\.|10\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|127\\.|169\\.254\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|::1$|::$|fe[89ab]|f[cd]|::ffff:(10|127|192\\.168)\\.)');
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_cannot_break_out_of_its_literal() {
        assert_eq!(literal("a'b*c"), "a''b[*]c");
    }
}
