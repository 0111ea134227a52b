//! Single cells of a batch by column name, for the table alone: it is read by people, so a look-up per cell is cheap
//! enough.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};

use crate::Batch;

/// The columns of a batch that have a value in any row.
pub(super) struct Columns<'a> {
    named: Vec<(&'a str, &'a ArrayRef)>,
}

impl<'a> Columns<'a> {
    pub fn new(batch: &'a Batch) -> Columns<'a> {
        let names = batch.rows.schema_ref().fields().iter().map(|f| f.name().as_str());
        let named = names.zip(batch.rows.columns()).filter(|(_, array)| array.null_count() < array.len()).collect();
        Columns { named }
    }

    fn cell(&self, name: &str, row: usize) -> Option<&'a ArrayRef> {
        self.named.iter().find(|(n, _)| *n == name).map(|(_, array)| *array).filter(|array| array.is_valid(row))
    }

    /// A text; `None` if it is null.
    pub fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        let array = self.cell(name, row)?.as_dictionary_opt::<Int32Type>()?;
        Some(array.values().as_string_opt::<i32>()?.value(array.key(row)?))
    }

    /// A number; `None` if it is null.
    pub fn int(&self, name: &str, row: usize) -> Option<i64> {
        let array = self.cell(name, row)?;
        let small = || array.as_primitive_opt::<Int32Type>().map(|a| i64::from(a.value(row)));
        array.as_primitive_opt::<Int64Type>().map(|a| a.value(row)).or_else(small)
    }

    /// A truth value; false if it is null.
    pub fn bool(&self, name: &str, row: usize) -> bool {
        self.cell(name, row).and_then(|array| array.as_boolean_opt()).is_some_and(|a| a.value(row))
    }

    /// The wall-clock time, µs.
    pub fn time_us(&self, row: usize) -> Option<i64> {
        Some(self.cell("time", row)?.as_primitive_opt::<TimestampMicrosecondType>()?.value(row))
    }

    /// A list of texts; `None` if it is null.
    pub fn list(&self, name: &str, row: usize) -> Option<impl Iterator<Item = &'a str>> {
        let list = self.cell(name, row)?.as_list_opt::<i32>()?;
        let texts = list.values().as_string_opt::<i32>()?;
        let offsets = list.value_offsets();
        Some((offsets[row] as usize..offsets[row + 1] as usize).map(|i| texts.value(i)))
    }
}
