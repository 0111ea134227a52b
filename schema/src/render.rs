//! Everything that is written from the table; rendered files are committed and a test refuses a stale one.

mod c;
mod json;
mod markdown;
mod sql;

pub use c::c_header;
pub use json::{is_string_in_json, json_schema};
pub use markdown::markdown;
pub use sql::sql;
