//! Arrow schemas of the classes.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::column::ColumnType;
use crate::{CLASSES, ClassId};

/// Time zone of `time`.
pub const TIME_ZONE: &str = "UTC";

/// Arrow type of a column type.
pub fn data_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(TIME_ZONE.into())),
        ColumnType::Text => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        ColumnType::TextList => DataType::List(Arc::new(Field::new("element", DataType::Utf8, false))),
    }
}

/// Columns that have a value in every row; all others are nullable.
pub const NEVER_NULL: &[&str] =
    &["time", "ktime_ns", "host", "boot_id", "epoch", "cpu", "seq", "action", "text_escaped"];

static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| {
    let schema = |class: &crate::Class| {
        let fields: Vec<Field> =
            class.all_columns().map(|c| Field::new(c.name, data_type(c.ty), !NEVER_NULL.contains(&c.name))).collect();
        Arc::new(Schema::new(fields))
    };
    CLASSES.iter().map(|class| schema(class)).collect()
});

/// The Arrow schema of a class: the common columns, then its own.
pub fn schema(class: ClassId) -> SchemaRef {
    Arc::clone(&SCHEMAS[class.index()])
}
