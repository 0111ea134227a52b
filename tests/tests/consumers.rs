//! The real DuckDB and pyarrow read what weir wrote, as the README says.

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::build::write_sources;
use support::program::{Ended, command, files, run, weir};
use support::skip::{has, is_root, note};
use weir_schema::CLASSES;
use weir_tests::python;

/// Parts of the program that is built while weir records.
const SOURCES: u32 = 16;
/// Depth of the process tree: weir's command, make, the compiler, its parts.
const DEPTH_MIN: u32 = 3;

/// The blocks of the README that are marked `sql`.
fn queries_of_readme() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(&path).expect("the README");
    let blocks = text.split("\n```sql\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

fn columns() -> Value {
    let of = |class: &weir_schema::Class| -> Vec<Value> {
        class.all_columns().map(|column| json!([column.name, format!("{:?}", column.ty)])).collect()
    };
    CLASSES.iter().map(|class| (class.name.to_owned(), json!(of(class)))).collect::<serde_json::Map<_, _>>().into()
}

/// Has the consumers read `dir/weir-data`.
fn consume(python: &Path, dir: &Path, queries: Vec<String>, empty: &[&str]) -> Ended {
    let views = run(weir(&["schema", "--format", "sql", "--dir", "weir-data"]).current_dir(dir)).expect_code(0);
    let views = String::from_utf8(views.stdout).expect("the views are text");
    let task = json!({
        "views": views, "queries": queries, "columns": columns(), "empty": empty, "depth": DEPTH_MIN,
    });
    let input = dir.join("task.json");
    fs::write(&input, task.to_string()).expect("the task");
    let script = dir.join("consumers.py");
    fs::write(&script, include_str!("support/consumers.py")).expect("the script");
    let mut python = command(python);
    python.arg(script).arg("weir-data").current_dir(dir).stdin(fs::File::open(input).expect("the task"));
    let ended = run(&mut python).expect_code(0);
    String::from_utf8_lossy(&ended.stdout).lines().for_each(note);
    ended
}

/// A build, and a connection over loopback that sends and answers.
const WORK: &str = r#"make -s -C source && "$0" -c '
import socket
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.sendall(b"question"); server.recv(8); server.sendall(b"answer"); client.recv(6)
'"#;

/// Records a build into `weir-data` of a new directory.
fn record_a_build(python: &Path, arguments: &[&str]) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    write_sources(&scratch.path().join("source"), SOURCES);
    let mut weir = weir(&["run", "--status", "never", "--parquet", "weir-data"]);
    weir.args(arguments).args(["--", "sh", "-c", WORK]).arg(python).current_dir(scratch.path());
    run(&mut weir).expect_code(0);
    scratch
}

#[test]
fn duckdb_and_pyarrow_read_what_a_build_left() {
    let what = "consumers of a build";
    if !is_root(what) || !has(what, "make", "-v") || !has(what, "cc", "--version") {
        return;
    }
    let Some(python) = python::with("duckdb, pyarrow") else { return };
    let queries = queries_of_readme();
    assert!(!queries.is_empty(), "the README has blocks marked sql");
    let scratch = record_a_build(&python, &[]);
    assert!(!files(&scratch.path().join("weir-data"), ".parquet").is_empty());
    consume(&python, scratch.path(), queries, &["syscall"]);
}

#[test]
fn duckdb_and_pyarrow_read_all_system_calls_of_a_build() {
    let what = "consumers of system calls";
    if !is_root(what) || !has(what, "make", "-v") || !has(what, "cc", "--version") {
        return;
    }
    let Some(python) = python::with("duckdb, pyarrow") else { return };
    let scratch = record_a_build(&python, &["--class", "default", "--syscall", "all"]);
    let query = "SELECT syscall, count(*) FROM syscall GROUP BY ALL ORDER BY 2 DESC";
    consume(&python, scratch.path(), vec![query.to_owned()], &[]);
}

#[test]
fn views_of_classes_without_files_are_typed_and_empty() {
    if !is_root("views without files") {
        return;
    }
    let Some(python) = python::with("duckdb, pyarrow") else { return };
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let data = scratch.path().join("weir-data");
    // Nobody loads a module meanwhile: only class loss, which has the ends, gets a file.
    let mut weir = weir(&["run", "--status", "never", "--class", "kernel.module_load", "--duration", "100ms"]);
    run(weir.arg("--parquet").arg(data)).expect_code(0);
    let empty: Vec<&str> = CLASSES.iter().map(|class| class.name).filter(|name| *name != "loss").collect();
    consume(&python, scratch.path(), vec![], &empty);
}

/// Names of programs that start each other, the last of which opens a file.
const CHAIN: &[&str] = &["a<sshd<systemd", r"b\x3c", "...", "last"];

/// Starts the first of its arguments, with the rest.
const NEXT: &str = r#"if [ $# -eq 0 ]; then : > opened; else name=$1; shift; "./$name" ./next "$@"; :; fi"#;

/// What the views say of that file.
const SPLIT: &str = r#"
import duckdb, json, sys
connection = duckdb.connect()
connection.execute(sys.stdin.read())
query = "SELECT ancestors, ancestors_list(ancestors) FROM file WHERE comm = 'last' AND path LIKE '%/opened'"
json.dump(connection.execute(query).fetchone(), sys.stdout)
"#;

#[test]
fn names_that_look_like_several_creators_are_split_as_one() {
    if !is_root("names of creators") {
        return;
    }
    let Some(python) = python::with("duckdb") else { return };
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let dir = scratch.path();
    for name in CHAIN {
        fs::copy("/bin/sh", dir.join(name)).expect("a shell of this name");
    }
    fs::write(dir.join("next"), NEXT).expect("the script");
    let mut recorded = weir(&["run", "--status", "never", "--class", "file.open", "--parquet", "weir-data"]);
    run(recorded.args(["--", "sh", "./next"]).args(CHAIN).current_dir(dir)).expect_code(0);

    let views = run(weir(&["schema", "--format", "sql", "--dir", "weir-data"]).current_dir(dir)).expect_code(0);
    fs::write(dir.join("views.sql"), views.stdout).expect("the views");
    let mut split = command(&python);
    split.args(["-c", SPLIT]).current_dir(dir).stdin(fs::File::open(dir.join("views.sql")).expect("the views"));
    let found: Value = serde_json::from_slice(&run(&mut split).expect_code(0).stdout).expect("a row");
    let text = found[0].as_str().expect("a text");
    assert!(text.starts_with(r"\x2e..<b\\x3c<a\x3csshd\x3csystemd<sh<weir"), "{text}");
    let names: Vec<&str> = found[1].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!(names[..5], ["...", r"b\x3c", "a<sshd<systemd", "sh", "weir"]);
}
