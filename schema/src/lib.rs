//! The one definition of weir's records, classes and columns.
//!
//! Everything that knows a field, a column or an action is a loop over [`CLASSES`]: the C header of the probes, the
//! decoder, the Arrow schemas, the tables in the README, the JSON schema, the SQL views and the tests.
//!
//! * [`wire`]: what a probe writes, byte by byte.
//! * [`record`]: the same bytes, checked: the decoder.
//! * [`column`]: what a consumer reads, and where each column comes from.
//! * [`classes`]: the table itself, one file per class.
//! * [`render`]: everything that is written from the table.
//! * [`syscalls`], [`symbols`], [`errno`]: the kernel's own names for numbers.

pub mod arrow;
pub mod class;
pub mod classes;
pub mod column;
pub mod errno;
pub mod loss;
pub mod record;
pub mod render;
pub mod symbols;
pub mod syscalls;
pub mod wire;

pub use class::{Action, Class, ClassId, Trigger};
pub use classes::{CLASSES, action_by_id, class_by_name};
pub use column::{Column, ColumnType, Source};
pub use loss::Reason;
pub use wire::{Field, Wire};

/// Version of the columns; in every Parquet footer, JSON object and Arrow schema. Columns are only ever appended: a changed meaning is a new column.
pub const SCHEMA_VERSION: u32 = 1;
