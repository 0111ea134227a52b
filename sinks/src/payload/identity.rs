//! Who a row is, and which numbers rows hold: for message ids and for rows that a destination refused.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{DictionaryArray, Int32Array, Int64Array, StringArray};

use crate::{Batch, Tally};

/// The identity of an event, the same in every sink and at every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowIdentity<'a> {
    /// Column `host`.
    pub host: &'a str,
    /// Column `boot_id`.
    pub boot_id: &'a str,
    /// Column `epoch`.
    pub epoch: i64,
    /// Column `cpu`.
    pub cpu: i32,
    /// Column `seq`.
    pub seq: i64,
}

fn int64<'a>(batch: &'a Batch, name: &str) -> Option<&'a Int64Array> {
    batch.rows.column_by_name(name)?.as_primitive_opt::<Int64Type>()
}

fn int32<'a>(batch: &'a Batch, name: &str) -> Option<&'a Int32Array> {
    batch.rows.column_by_name(name)?.as_primitive_opt::<Int32Type>()
}

fn texts<'a>(batch: &'a Batch, name: &str) -> Option<(&'a DictionaryArray<Int32Type>, &'a StringArray)> {
    let array = batch.rows.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
    Some((array, array.values().as_string_opt::<i32>()?))
}

fn text<'a>(batch: &'a Batch, name: &str, row: usize) -> Option<&'a str> {
    let (array, values) = texts(batch, name)?;
    Some(values.value(array.key(row)?))
}

/// The identity of a row. Its columns are in every class and never null; empty and -1 stand for what the schema rules out.
pub fn identity_of(batch: &Batch, row: usize) -> RowIdentity<'_> {
    RowIdentity {
        host: text(batch, "host", row).unwrap_or_default(),
        boot_id: text(batch, "boot_id", row).unwrap_or_default(),
        epoch: int64(batch, "epoch").map_or(-1, |a| a.value(row)),
        cpu: int32(batch, "cpu").map_or(-1, |a| a.value(row)),
        seq: int64(batch, "seq").map_or(-1, |a| a.value(row)),
    }
}

/// The numbers of some rows by CPU and action, in the order in which they come first.
pub fn tallies(batch: &Batch, first_row: usize, rows: usize) -> Vec<Tally> {
    let columns = int32(batch, "cpu").zip(int64(batch, "seq")).zip(texts(batch, "action"));
    let Some(((cpus, seqs), (actions, names))) = columns else { return Vec::new() };
    let id = |name: &str| batch.class.actions.iter().find(|a| a.name == name).map_or(0, |a| a.id);
    let ids: Vec<u16> = names.iter().map(|name| name.map_or(0, id)).collect();
    let mut found: Vec<Tally> = Vec::new();
    for row in first_row..first_row + rows {
        let (cpu, seq) = (cpus.value(row), seqs.value(row));
        let action = actions.key(row).map_or(0, |key| ids[key]);
        Tally { cpu, action, first_seq: seq, last_seq: seq, count: 1 }.add_to(&mut found);
    }
    found
}
