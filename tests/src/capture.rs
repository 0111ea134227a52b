//! One run of `weir run --stdout json`: the rows, and what the command under it wrote down.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

/// One row, or one fact.
pub type Row = serde_json::Map<String, Value>;

/// Name of the variable that tells the trigger where its facts go.
pub const FACTS: &str = "TRIGGER_FACTS";

/// The program under test: `WEIR_BIN`, else what cargo built beside the tests.
pub fn weir() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return PathBuf::from(path);
    }
    let own = std::env::current_exe().expect("a test program has a path");
    let built = own.parent().and_then(|deps| deps.parent()).expect("tests lie in target/<profile>/deps").join("weir");
    assert!(built.exists(), "{} is missing: cargo build -p weir-collector, or set WEIR_BIN", built.display());
    built
}

/// What a run gave.
#[derive(Debug)]
pub struct Capture {
    /// Rows in the order they came.
    pub rows: Vec<Row>,
    /// Facts in the order they were written.
    pub facts: Vec<Row>,
    /// How `weir` ended: the command's own status.
    pub status: ExitStatus,
    /// Everything on stderr.
    pub stderr: String,
    /// The run's directory; the command's working directory, gone with the capture.
    pub directory: tempfile::TempDir,
}

fn lines(text: &[u8]) -> Vec<Row> {
    text.split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| match serde_json::from_slice(line) {
            Ok(Value::Object(row)) => row,
            other => panic!("not a JSON object: {other:?}: {}", String::from_utf8_lossy(line)),
        })
        .collect()
}

impl Capture {
    /// Runs `weir run --stdout json FLAGS -- COMMAND` as root and waits for its end.
    pub fn of(flags: &[&str], command: &[&str]) -> Capture {
        let directory = tempfile::Builder::new().prefix("weir-kernel-").tempdir().expect("a directory");
        let facts = directory.path().join("facts");
        let output = Command::new(weir())
            .args(["run", "--stdout", "json", "--user", "root", "--status", "never"])
            .args(flags)
            .arg("--")
            .args(command)
            .env(FACTS, &facts)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("weir starts");
        Capture {
            rows: lines(&output.stdout),
            facts: lines(&std::fs::read(&facts).unwrap_or_default()),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            directory,
        }
    }

    /// The same, of a command that must succeed.
    pub fn of_success(flags: &[&str], command: &[&str]) -> Capture {
        let capture = Capture::of(flags, command);
        assert!(capture.status.success(), "{:?}: {}\n{}", command, capture.status, capture.stderr);
        capture
    }

    /// Rows of this `class.action`.
    pub fn of_action<'a>(&'a self, action: &str) -> impl Iterator<Item = &'a Row> {
        let (class, action) = action.split_once('.').expect("class.action");
        let (class, action) = (class.to_owned(), action.to_owned());
        self.rows.iter().filter(move |r| text(r, "class") == class && text(r, "action") == action)
    }

    /// The one fact of this step.
    pub fn fact(&self, step: &str) -> &Row {
        let found: Vec<_> = self.facts.iter().filter(|f| text(f, "step") == step).collect();
        assert_eq!(found.len(), 1, "facts of step {step}; stderr: {}", self.stderr);
        found[0]
    }

    /// Rows of the fact's action, thread and time, alike in the columns that the fact names.
    pub fn rows_of(&self, fact: &Row) -> Vec<&Row> {
        let (from, to) = (number(fact, "from"), number(fact, "to"));
        let same: Vec<&str> =
            fact.get("same").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        self.of_action(&text(fact, "action"))
            .filter(|r| r.get("tid") == fact["who"].get("tid"))
            .filter(|r| (from..=to).contains(&number(r, "ktime_ns")))
            .filter(|r| same.iter().all(|column| r.get(*column) == fact["expect"].get(*column)))
            .collect()
    }
}

/// A text column; empty when null.
pub fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number column; 64-bit ones stand as texts.
pub fn number(row: &Row, column: &str) -> i64 {
    match row.get(column) {
        Some(Value::String(text)) => text.parse().expect("a number"),
        Some(value) => value.as_i64().expect("a number"),
        None => panic!("{column} is null in {row:?}"),
    }
}
