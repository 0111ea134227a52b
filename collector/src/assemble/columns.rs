//! From the definition to the columns of a batch: what fills each one.

use std::sync::Arc;

use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, Int64Array};
use weir_schema::column::locate;
use weir_schema::errno::{ERRNO_MAX, errno_name};
use weir_schema::symbols::by_name;
use weir_schema::wire::{NO_LOGIN_UID, Wire};
use weir_schema::{Class, Column, ColumnType, Source};

use super::block::Block;
use super::column::{Closing, Filling, Repeated, Rule};
use super::dictionary::{ActionColumn, KnownColumn, NO_NAME, NameColumn, SymbolColumn, TextColumn, constant, errno_at};
use super::integers::{BoolColumn, ConstantColumn, Flag, IntColumn, TimeColumn, value};
use super::syscall;
use crate::context;
use crate::texts::Texts;

/// Common columns that are null in rows written outside a task.
const OF_THE_TASK: &[&str] =
    &["pid", "tid", "ppid", "process_key", "parent_key", "uid", "gid", "cgroup_id", "login_uid", "session_id"];

/// A column that nothing fills yet.
struct NullColumn {
    ty: ColumnType,
    nulls: Repeated,
}

impl Filling for NullColumn {
    fn take(&mut self, _: &Block, _: usize, _: &Texts) {}

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.nulls.nulls(self.ty, closing.rows)
    }
}

fn nulls(ty: ColumnType) -> Box<dyn Filling> {
    Box::new(NullColumn { ty, nulls: Repeated::default() })
}

/// Bit per action of the class that can set the column.
fn setters(class: &Class, column: &Column) -> u32 {
    let actions = class.actions.iter().enumerate();
    actions.filter(|(_, a)| a.has(column.name)).fold(0, |bits, (i, _)| bits | 1 << i)
}

fn integers(ty: ColumnType, place: (usize, Wire), rule: Rule, null: Option<i64>) -> Box<dyn Filling> {
    match ty {
        ColumnType::Int32 => Box::new(IntColumn::<Int32Type>::new(ty, place, rule, null)),
        _ => Box::new(IntColumn::<Int64Type>::new(ty, place, rule, null)),
    }
}

fn header(column: &Column, place: (usize, Wire)) -> Box<dyn Filling> {
    let rule = if OF_THE_TASK.contains(&column.name) { Rule::InTask } else { Rule::Always };
    let null = match column.name {
        "parent_key" | "session_id" => Some(0),
        "login_uid" => Some(NO_LOGIN_UID.into()),
        _ => None,
    };
    integers(column.ty, place, rule, null)
}

fn errors(rule: Rule, at: usize) -> Box<dyn Filling> {
    let write = |errno: u16, out: &mut String| match errno_name(i32::from(errno)) {
        Some(name) => out.push_str(name),
        None => out.push_str(&format!("errno {errno}")),
    };
    Box::new(NameColumn::new(rule, ERRNO_MAX as u16 + 1, move |r| errno_at(r, at), write))
}

fn names(rule: Rule, (at, wire): (usize, Wire), names: &'static [(u64, &'static str)]) -> Box<dyn Filling> {
    let number = move |r: &[u8]| {
        let value = value(r, at, wire) as u64;
        names.iter().position(|(v, _)| *v == value).map_or(NO_NAME, |i| i as u16)
    };
    let write = |i: u16, out: &mut String| out.push_str(names[usize::from(i)].1);
    Box::new(NameColumn::new(rule, names.len() as u16, number, write))
}

fn symbols(class: &Class, column: &Column, place: (usize, Wire)) -> Box<dyn Filling> {
    let set_of = |action: &weir_schema::Action| {
        let set = action.symbols.iter().find(|(name, _)| *name == column.name);
        set.and_then(|(_, set)| by_name(set))
    };
    Box::new(SymbolColumn::new(place, class.actions.iter().map(set_of).collect()))
}

/// Columns that only the collector knows.
fn own(class: &Class, column: &Column) -> Option<Box<dyn Filling>> {
    Some(match column.name {
        "time" => Box::new(TimeColumn::default()),
        "host" => Box::new(ConstantColumn::new(|closing, rows| constant(&closing.identity.host, rows))),
        "boot_id" => Box::new(ConstantColumn::new(|closing, rows| constant(&closing.identity.boot_id, rows))),
        "epoch" => Box::new(ConstantColumn::new(|closing, rows| {
            Arc::new(Int64Array::from_value(closing.identity.epoch, rows))
        })),
        "action" => Box::new(ActionColumn::new(class.actions.iter().map(|a| a.name).collect())),
        "text_escaped" => Box::new(BoolColumn::new(Flag::Escaped, Rule::Always)),
        "path_folded" => Box::new(BoolColumn::new(Flag::Folded, Rule::Actions(setters(class, column)))),
        "syscall" => Box::new(syscall::names()),
        "compat" => Box::new(BoolColumn::new(Flag::NotZero(syscall::ABI), Rule::Always)),
        _ => return None,
    })
}

/// What fills a column; `slot` is the place of its texts in the blocks, if it is filled from those.
pub fn filling(class: &'static Class, column: &'static Column, slot: Option<usize>) -> Box<dyn Filling> {
    if let Some(slot) = slot {
        return Box::new(TextColumn::new(slot));
    }
    if let Some(place) = context::TEXTS.iter().position(|name| *name == column.name) {
        return Box::new(KnownColumn::new(place));
    }
    if let Some(own) = own(class, column) {
        return own;
    }
    let Some(place) = locate(class.fields, &column.source) else { return nulls(column.ty) };
    let rule = Rule::Actions(setters(class, column));
    match column.source {
        Source::Header(_) => header(column, place),
        Source::Field { null, .. } => integers(column.ty, place, rule, null),
        Source::Element { index, .. } => integers(column.ty, place, Rule::Argument(index), None),
        Source::Bit { bit, .. } => Box::new(BoolColumn::new(Flag::Bit(place.0, bit), rule)),
        Source::Names { names: list, .. } => names(rule, place, list),
        Source::Symbols { .. } => symbols(class, column, place),
        Source::Errno { .. } => errors(rule, place.0),
        _ => nulls(column.ty),
    }
}
