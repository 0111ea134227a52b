//! The published JSON schema of the JSON lines.

use serde_json::{Map, Value, json};

use crate::column::{Column, ColumnType};
use crate::{CLASSES, Class, SCHEMA_VERSION};

/// Columns that JSON carries as strings, because their numbers go beyond 2^53.
pub fn is_string_in_json(column: &str) -> bool {
    matches!(column, "process_key" | "parent_key" | "child_key")
        || column.strip_prefix("arg").is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
}

fn property(column: &Column) -> Value {
    let mut value = match column.ty {
        ColumnType::Bool => json!({"type": "boolean"}),
        ColumnType::Int32 | ColumnType::Int64 if is_string_in_json(column.name) => {
            json!({"type": "string", "pattern": "^-?[0-9]+$"})
        }
        ColumnType::Int32 | ColumnType::Int64 => json!({"type": "integer"}),
        ColumnType::Time => json!({"type": "string", "format": "date-time"}),
        ColumnType::Text => json!({"type": "string"}),
        ColumnType::TextList => json!({"type": "array", "items": {"type": "string"}}),
    };
    value["description"] = json!(column.doc);
    value
}

fn schema_version() -> Value {
    json!({
        "type": "integer",
        "minimum": SCHEMA_VERSION,
        "description": "version of the columns: later ones append columns, and change none",
    })
}

fn class_schema(class: &Class) -> Value {
    let mut properties = Map::new();
    properties.insert("class".into(), json!({"const": class.name}));
    properties.insert("schema_version".into(), schema_version());
    for column in class.all_columns() {
        properties.insert(column.name.into(), property(column));
    }
    let actions: Vec<&str> = class.actions.iter().map(|a| a.name).collect();
    properties["action"]["enum"] = json!(actions);
    let mut required = vec!["class", "schema_version"];
    required.extend(crate::arrow::NEVER_NULL);
    json!({
        "title": class.name,
        "description": class.doc,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// JSON schema (draft 2020-12) of one line of `--stdout json`, and of one event in a JSON message.
pub fn json_schema() -> String {
    let classes: Vec<Value> = CLASSES.iter().map(|c| class_schema(c)).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "weir event",
        "description": format!("One event, schema version {SCHEMA_VERSION}; columns without a value are left out."),
        "oneOf": classes,
    });
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
