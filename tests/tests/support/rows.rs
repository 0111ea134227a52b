//! Rows of `--stdout json`.

use serde_json::Value;

/// One row.
#[derive(Debug, Clone)]
pub struct Row(pub Value);

impl Row {
    /// A text, empty when null.
    pub fn text(&self, column: &str) -> &str {
        self.0[column].as_str().unwrap_or("")
    }

    /// A number, if it is one.
    pub fn number(&self, column: &str) -> Option<i64> {
        self.0[column].as_i64()
    }

    /// Whether the row is of this class and action.
    pub fn is(&self, class: &str, action: &str) -> bool {
        self.text("class") == class && self.text("action") == action
    }
}

/// Every line as a row; a line that is not one JSON object is a failure.
pub fn rows(output: &[u8]) -> Vec<Row> {
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(row).collect()
}

fn row(line: &[u8]) -> Row {
    let parsed: Value = serde_json::from_slice(line)
        .unwrap_or_else(|e| panic!("not a JSON line: {e}: {}", String::from_utf8_lossy(line)));
    assert!(parsed.is_object(), "not an object: {parsed}");
    Row(parsed)
}
