//! The tables of the documentation.

use std::fmt::Write;

use crate::column::{COMMON, CONTEXT, Column, ColumnType};
use crate::{CLASSES, Trigger};

fn type_name(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Bool => "bool",
        ColumnType::Int32 => "int32",
        ColumnType::Int64 => "int64",
        ColumnType::Time => "timestamp",
        ColumnType::Text => "text",
        ColumnType::TextList => "list of text",
    }
}

fn columns(out: &mut String, columns: &[Column]) {
    out.push_str("| column | type | meaning |\n|---|---|---|\n");
    for c in columns {
        let _ = writeln!(out, "| `{}` | {} | {} |", c.name, type_name(c.ty), c.doc.replace('|', "\\|"));
    }
}

/// Tables of all classes, actions and columns, in Markdown.
pub fn markdown() -> String {
    let mut out = String::from("### Columns of every table\n\n");
    columns(&mut out, COMMON);
    out.push_str("\n... and behind the columns of each class:\n\n");
    columns(&mut out, CONTEXT);
    for class in CLASSES {
        let _ = writeln!(out, "\n### Class `{}`\n\n{}\n", class.name, class.doc);
        out.push_str("| action | what happened | system calls |\n|---|---|---|\n");
        for a in class.actions {
            let mut calls = a.calls.join(", ");
            if calls.is_empty() {
                calls.push_str(if a.trigger == Trigger::Collector { "(made by weir)" } else { "(tracepoint)" });
            }
            let request = if a.on_request { " (on request)" } else { "" };
            let _ = writeln!(out, "| `{}`{request} | {} | {calls} |", a.name, a.doc.replace('|', "\\|"));
        }
        out.push('\n');
        columns(&mut out, class.columns);
    }
    out
}
