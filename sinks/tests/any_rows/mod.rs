//! Any rows of any class, for tests of everything that writes rows, and what their JSON must parse to.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use weir_schema::render::is_string_in_json;
use weir_schema::{CLASSES, Class, ClassId, ColumnType};

use super::lane_common::{Cell, Row};

/// Texts that try to break a line, a parser or a terminal.
const HOSTILE: &[&str] = &[
    "",
    "\"",
    "\\",
    "\\\"",
    "\n",
    "\r\n",
    "\0",
    "\x1b[2J\x1b]0;title\x07",
    "\x7f",
    "\u{9b}31m",
    "\u{85}",
    "\u{2028}",
    "\u{202e}gnp.exe",
    "\u{2066}x\u{2069}",
    "\u{feff}",
    "\u{e0041}",
    "\\x1b",
    "\\u0041",
    "}\n{\"class\":\"file\"",
    "漢字 naïve 👩‍💻",
    "a b",
    "'; rm -rf /",
];

fn any_text() -> impl Strategy<Value = String> {
    let hostile = || prop::sample::select(HOSTILE);
    prop_oneof![
        9 => hostile().prop_map(str::to_owned),
        9 => "[a-z/.]{0,12}",
        9 => "[ -~]{0,300}",
        9 => any::<String>(),
        9 => (hostile(), any::<String>(), hostile()).prop_map(|(a, b, c)| a.to_owned() + &b + c),
        1 => (hostile(), "[ -~]{1,4}", 1..10_000usize).prop_map(|(a, b, n)| b.repeat(n) + a),
    ]
}

fn any_cell(ty: ColumnType) -> BoxedStrategy<Cell> {
    match ty {
        ColumnType::Bool => any::<bool>().prop_map(Cell::Bool).boxed(),
        ColumnType::Int32 => any::<i32>().prop_map(|v| Cell::Int(v.into())).boxed(),
        ColumnType::Int64 => any::<i64>().prop_map(Cell::Int).boxed(),
        // The years 0 to 9999, which RFC 3339 can write.
        ColumnType::Time => (-62_167_219_200_000_000..=253_402_300_799_999_999i64).prop_map(Cell::Int).boxed(),
        ColumnType::Text => any_text().prop_map(Cell::Text).boxed(),
        ColumnType::TextList => prop::collection::vec(any_text(), 0..4).prop_map(Cell::List).boxed(),
    }
}

fn any_row(class: &'static Class) -> impl Strategy<Value = Row> {
    let actions: Vec<&str> = class.actions.iter().map(|a| a.name).collect();
    let columns: Vec<_> = class
        .all_columns()
        .filter(|c| c.name != "action")
        .map(|c| {
            let cell = any_cell(c.ty);
            let cell = if weir_schema::arrow::NEVER_NULL.contains(&c.name) {
                cell.prop_map(Some).boxed()
            } else {
                prop::option::of(cell).boxed()
            };
            cell.prop_map(move |cell| cell.map(|cell| (c.name, cell)))
        })
        .collect();
    (prop::sample::select(actions), columns).prop_map(|(action, cells)| {
        let mut row: Row = cells.into_iter().flatten().collect();
        row.insert("action", action.into());
        row
    })
}

/// A class and some of its rows.
pub fn any_rows() -> impl Strategy<Value = (ClassId, Vec<Row>)> {
    prop::sample::select(CLASSES.to_vec())
        .prop_flat_map(|class| (Just(class.id), prop::collection::vec(any_row(class), 0..6)))
}

/// RFC 3339 by chrono, which the writer uses for the date alone.
fn rfc3339(time_us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(time_us).expect("a year of four digits");
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// What the JSON of a row must parse to, made from the cells.
pub fn expected(class: &'static Class, row: &Row) -> Map<String, Value> {
    let mut object = Map::from_iter([
        ("class".to_owned(), json!(class.name)),
        ("schema_version".to_owned(), json!(weir_schema::SCHEMA_VERSION)),
    ]);
    for column in class.all_columns() {
        let value = match row.get(column.name) {
            None => continue,
            Some(Cell::Bool(value)) => json!(value),
            Some(Cell::Int(value)) if column.ty == ColumnType::Time => json!(rfc3339(*value)),
            Some(Cell::Int(value)) if is_string_in_json(column.name) => json!(value.to_string()),
            Some(Cell::Int(value)) => json!(value),
            Some(Cell::Text(value)) => json!(value),
            Some(Cell::List(values)) => json!(values),
        };
        object.insert(column.name.to_owned(), value);
    }
    object
}
