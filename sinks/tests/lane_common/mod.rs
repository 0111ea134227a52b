//! Batches from cells, for tests of everything that takes batches: a loop over the definition, so that a new column is
//! in every test.
#![allow(dead_code)] // every test program uses its own part

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field};
use weir_schema::arrow::{TIME_ZONE, schema};
use weir_schema::{CLASSES, Class, ClassId, Column, ColumnType};
use weir_sinks::{Batch, Identity};

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<String>),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Cell {
        Cell::Int(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Cell {
        Cell::Text(value.into())
    }
}

/// One row: column names and values; a column that is missing is null.
pub type Row = BTreeMap<&'static str, Cell>;

/// Who made the rows.
pub fn identity() -> Identity {
    Identity { host: "unit-host".into(), boot_id: "0d9c3c1e-7b1a-4a9e-9b53-8f5ad1c0ffee".into(), epoch: 77 }
}

/// The class with this id.
pub fn class(id: ClassId) -> &'static Class {
    CLASSES[id.index()]
}

/// A row with a value in every column that is never null.
pub fn row(ktime_ns: i64, cpu: i32, seq: i64, action: &'static str, more: &[(&'static str, Cell)]) -> Row {
    let who = identity();
    let mut row = Row::from([
        ("time", Cell::Int(ktime_ns / 1_000)),
        ("ktime_ns", Cell::Int(ktime_ns)),
        ("host", Cell::Text(who.host.to_string())),
        ("boot_id", Cell::Text(who.boot_id.to_string())),
        ("epoch", Cell::Int(who.epoch)),
        ("cpu", Cell::Int(cpu.into())),
        ("seq", Cell::Int(seq)),
        ("action", action.into()),
        ("text_escaped", Cell::Bool(false)),
    ]);
    row.extend(more.iter().cloned());
    row
}

fn int(cell: Option<&Cell>) -> Option<i64> {
    match cell {
        Some(Cell::Int(value)) => Some(*value),
        None => None,
        Some(other) => panic!("{other:?} is no number"),
    }
}

fn text(cell: Option<&Cell>) -> Option<&str> {
    match cell {
        Some(Cell::Text(value)) => Some(value),
        None => None,
        Some(other) => panic!("{other:?} is no text"),
    }
}

fn dictionary<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut entries: Vec<&str> = Vec::new();
    let mut entry = |text| {
        *known.entry(text).or_insert_with(|| {
            entries.push(text);
            entries.len() as i32 - 1
        })
    };
    let keys: Int32Array = values.map(|value| value.map(&mut entry)).collect();
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(entries))))
}

fn list(rows: &[Row], name: &str) -> ArrayRef {
    let field = Field::new("element", DataType::Utf8, false);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
    for row in rows {
        match row.get(name) {
            None => builder.append_null(),
            Some(Cell::List(texts)) => builder.append_value(texts.iter().map(|t| Some(t.as_str()))),
            Some(other) => panic!("{other:?} is no list"),
        }
    }
    Arc::new(builder.finish())
}

fn column(column: &Column, rows: &[Row]) -> ArrayRef {
    let cells = rows.iter().map(|row| row.get(column.name));
    match column.ty {
        ColumnType::Bool => Arc::new(
            cells
                .map(|cell| match cell {
                    Some(Cell::Bool(value)) => Some(*value),
                    None => None,
                    Some(other) => panic!("{other:?} is no truth value"),
                })
                .collect::<BooleanArray>(),
        ),
        ColumnType::Int32 => Arc::new(cells.map(|c| int(c).map(|v| v as i32)).collect::<Int32Array>()),
        ColumnType::Int64 => Arc::new(cells.map(int).collect::<Int64Array>()),
        ColumnType::Time => Arc::new(cells.map(int).collect::<TimestampMicrosecondArray>().with_timezone(TIME_ZONE)),
        ColumnType::Text => dictionary(cells.map(text)),
        ColumnType::TextList => list(rows, column.name),
    }
}

/// A batch of these rows.
pub fn batch(id: ClassId, rows: &[Row]) -> Batch {
    let class = class(id);
    let columns = class.all_columns().map(|c| column(c, rows)).collect();
    Batch { class, rows: RecordBatch::try_new(schema(id), columns).expect("cells that fit the schema") }
}
