//! From the open rows of a class to its record batch: one loop per column.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use weir_schema::arrow::{TIME_ZONE, data_type, schema};
use weir_schema::column::locate;
use weir_schema::errno::errno_name;
use weir_schema::symbols::{self, Symbols};
use weir_schema::syscalls::Syscall;
use weir_schema::wire::{CONTEXT_TASK, Wire};
use weir_schema::{Column, ColumnType, Source};
use weir_sinks::{Batch, Identity};

use super::dictionary::{LabelColumn, constant};
use super::rows::{ClassRows, is_syscall};
use super::syscall;
use crate::texts::Texts;
use weir_schema::record::at;

/// Nanoseconds in the unit of column `time`.
const NS_PER_US: i64 = 1000;

/// A field that holds this has no value, and no symbols.
const NO_SYMBOLS: i64 = -1;

/// Common columns that are null in rows written outside a task.
const OF_THE_TASK: &[&str] = &["pid", "tid", "ppid", "process_key", "parent_key", "uid", "gid", "cgroup_id"];

/// Rows of a class while they become columns.
struct Closing<'a> {
    rows: &'a ClassRows,
    stride: usize,
    calls: Vec<Option<&'static Syscall>>,
}

impl Closing<'_> {
    fn records(&self) -> std::slice::ChunksExact<'_, u8> {
        self.rows.fixed.chunks_exact(self.stride)
    }

    fn action_index(record: &[u8]) -> u32 {
        u32::from(record[at::ACTION]) - 1
    }

    /// Bit per action of the class that can set the column.
    fn setters(&self, column: &Column) -> u32 {
        let actions = self.rows.class.actions.iter().enumerate();
        actions.filter(|(_, a)| a.has(column.name)).fold(0, |bits, (i, _)| bits | 1 << i)
    }

    /// Null wherever `valid` says no; `None` when it never does.
    fn nulls(&self, valid: impl Fn(usize, &[u8]) -> bool) -> Option<NullBuffer> {
        let buffer = BooleanBuffer::collect_bool(self.rows.len(), |i| {
            valid(i, &self.rows.fixed[i * self.stride..(i + 1) * self.stride])
        });
        let nulls = NullBuffer::new(buffer);
        (nulls.null_count() > 0).then_some(nulls)
    }

    /// Null where the action does not set the column.
    fn nulls_by_action(&self, setters: u32) -> Option<NullBuffer> {
        if self.rows.actions & !setters == 0 {
            return None;
        }
        self.nulls(|_, r| setters & 1 << Self::action_index(r) != 0)
    }

    fn integers<T: ArrowPrimitiveType>(
        &self,
        at: usize,
        wire: Wire,
        from: impl Fn(i64) -> T::Native,
    ) -> Vec<T::Native> {
        let records = self.records();
        match wire {
            Wire::U8 => records.map(|r| from(i64::from(r[at]))).collect(),
            Wire::U16 => records.map(|r| from(i64::from(u16::from_le_bytes([r[at], r[at + 1]])))).collect(),
            Wire::U32 => records.map(|r| from(i64::from(word(r, at)))).collect(),
            Wire::I32 => records.map(|r| from(i64::from(word(r, at) as i32))).collect(),
            _ => records.map(|r| from(long(r, at))).collect(),
        }
    }

    fn integer_column(&self, column: &Column, at: usize, wire: Wire, nulls: Option<NullBuffer>) -> ArrayRef {
        fn array<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
        }
        match column.ty {
            ColumnType::Int32 => array::<Int32Type>(self.integers::<Int32Type>(at, wire, |v| v as i32), nulls),
            _ => array::<Int64Type>(self.integers::<Int64Type>(at, wire, |v| v), nulls),
        }
    }

    fn value(record: &[u8], at: usize, wire: Wire) -> i64 {
        match wire {
            Wire::U8 => i64::from(record[at]),
            Wire::U16 => i64::from(u16::from_le_bytes([record[at], record[at + 1]])),
            Wire::U32 => i64::from(word(record, at)),
            Wire::I32 => i64::from(word(record, at) as i32),
            _ => long(record, at),
        }
    }

    fn header_column(&self, column: &Column, at: usize, wire: Wire) -> ArrayRef {
        let task_only = OF_THE_TASK.contains(&column.name);
        let nulls = match column.name {
            "parent_key" => self.nulls(|_, r| in_task(r) && long(r, at) != 0),
            _ if task_only && !self.rows.all_in_task => self.nulls(|_, r| in_task(r)),
            _ => None,
        };
        self.integer_column(column, at, wire, nulls)
    }

    fn field_column(&self, column: &Column, at: usize, wire: Wire, null: Option<i64>) -> ArrayRef {
        let setters = self.setters(column);
        let nulls = match null {
            None => self.nulls_by_action(setters),
            Some(null) => {
                self.nulls(|_, r| setters & 1 << Self::action_index(r) != 0 && Self::value(r, at, wire) != null)
            }
        };
        self.integer_column(column, at, wire, nulls)
    }

    fn bit_column(&self, column: &Column, at: usize, bit: u32) -> ArrayRef {
        let setters = self.setters(column);
        let values =
            BooleanBuffer::collect_bool(self.rows.len(), |i| self.rows.fixed[i * self.stride + at] & 1 << bit != 0);
        Arc::new(BooleanArray::new(values, self.nulls_by_action(setters)))
    }

    /// A column of labels: `label` gives the value and how to write it, or nothing.
    fn label_column<K: Copy + Eq + std::hash::Hash>(
        &self,
        label: impl Fn(&[u8]) -> Option<K>,
        write: impl Fn(K, &mut String),
    ) -> ArrayRef {
        let mut column = LabelColumn::new(self.rows.len());
        for record in self.records() {
            match label(record) {
                Some(label) => column.push(label, |out| write(label, out)),
                None => column.push_null(),
            }
        }
        column.finish()
    }

    fn symbol_column(&self, column: &Column, at: usize, wire: Wire) -> ArrayRef {
        let sets: Vec<Option<&'static Symbols>> = self
            .rows
            .class
            .actions
            .iter()
            .map(|action| {
                let set = action.symbols.iter().find(|(name, _)| *name == column.name);
                set.and_then(|(_, set)| symbols::by_name(set))
            })
            .collect();
        self.label_column(
            |r| {
                let action = Self::action_index(r) as usize;
                let value = Self::value(r, at, wire);
                sets[action].filter(|_| value != NO_SYMBOLS).map(|_| (action, value))
            },
            |(action, value), out| {
                if let Some(set) = sets[action] {
                    set.render(value as u64, out);
                }
            },
        )
    }

    fn named_column(&self, column: &Column, at: usize, wire: Wire, names: &[(u64, &'static str)]) -> ArrayRef {
        let setters = self.setters(column);
        self.label_column(
            |r| {
                let value = Self::value(r, at, wire) as u64;
                let name = names.iter().position(|(v, _)| *v == value)?;
                (setters & 1 << Self::action_index(r) != 0).then_some(name)
            },
            |name, out| out.push_str(names[name].1),
        )
    }

    fn error_column(&self, column: &Column, at: usize) -> ArrayRef {
        let setters = self.setters(column);
        self.label_column(
            |r| {
                let ret = long(r, at);
                let failed = ret < 0 && ret >= -i64::from(weir_schema::errno::ERRNO_MAX);
                (failed && setters & 1 << Self::action_index(r) != 0).then_some(ret)
            },
            |ret, out| match errno_name(-ret as i32) {
                Some(name) => out.push_str(name),
                None => out.push_str(&format!("errno {}", -ret)),
            },
        )
    }

    fn argument_column(&self, column: &Column, at: usize, index: usize) -> ArrayRef {
        let nulls = self.nulls(|i, _| self.calls[i].is_none_or(|call| index < call.args.len()));
        self.integer_column(column, at, Wire::U64, nulls)
    }

    fn column(&self, column: &Column) -> ArrayRef {
        if !matches!(column.source, Source::Header(_)) && self.rows.actions & self.setters(column) == 0 {
            return new_null_array(&data_type(column.ty), self.rows.len());
        }
        let place =
            || locate(self.rows.class.fields, &column.source).expect("the definition's tests locate every field");
        match column.source {
            Source::Header(_) => {
                let (at, wire) = place();
                self.header_column(column, at, wire)
            }
            Source::Field { null, .. } => {
                let (at, wire) = place();
                self.field_column(column, at, wire, null)
            }
            Source::Element { index, .. } => self.argument_column(column, place().0, index),
            Source::Bit { bit, .. } => self.bit_column(column, place().0, bit),
            Source::Names { names, .. } => {
                let (at, wire) = place();
                self.named_column(column, at, wire, names)
            }
            Source::Symbols { .. } => {
                let (at, wire) = place();
                self.symbol_column(column, at, wire)
            }
            Source::Errno { .. } => self.error_column(column, place().0),
            _ => new_null_array(&data_type(column.ty), self.rows.len()),
        }
    }

    /// Columns that only the collector knows.
    fn own_column(&self, column: &Column, identity: &Identity, clock_offset_ns: i64) -> Option<ArrayRef> {
        let len = self.rows.len();
        Some(match column.name {
            "time" => {
                let times = self.records().map(|r| (long(r, at::KTIME_NS) + clock_offset_ns).div_euclid(NS_PER_US));
                let times = TimestampMicrosecondArray::from_iter_values(times);
                Arc::new(times.with_timezone(TIME_ZONE))
            }
            "host" => constant(&identity.host, len),
            "boot_id" => constant(&identity.boot_id, len),
            "epoch" => Arc::new(PrimitiveArray::<Int64Type>::from_value(identity.epoch, len)),
            "action" => {
                let actions = self.rows.class.actions;
                self.label_column(|r| Some(Self::action_index(r)), |i, out| out.push_str(actions[i as usize].name))
            }
            "text_escaped" => {
                Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(len, |i| self.rows.escaped[i]), None))
            }
            "syscall" => {
                let mut names = LabelColumn::new(len);
                for call in &self.calls {
                    match call {
                        Some(call) => names.push(std::ptr::from_ref(*call), |out| out.push_str(call.name)),
                        None => names.push_null(),
                    }
                }
                names.finish()
            }
            "compat" => {
                let stride = self.stride;
                let fixed = &self.rows.fixed;
                let values = BooleanBuffer::collect_bool(len, |i| syscall::is_compat(&fixed[i * stride..][..stride]));
                Arc::new(BooleanArray::new(values, None))
            }
            _ => return None,
        })
    }
}

fn in_task(record: &[u8]) -> bool {
    record[at::CONTEXT] as u16 & CONTEXT_TASK != 0
}

fn word(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

fn long(record: &[u8], at: usize) -> i64 {
    record[at..at + 8].try_into().map_or(0, i64::from_le_bytes)
}

/// The batch of the open rows.
pub(super) fn close(rows: &mut ClassRows, identity: &Identity, clock_offset_ns: i64, texts: &Texts) -> Batch {
    let class = rows.class;
    let mut arrays: Vec<Option<ArrayRef>> = class.all_columns().map(|_| None).collect();
    let width = rows.texts.len();
    let mut slots = std::mem::take(&mut rows.texts);
    for (i, slot) in slots.iter_mut().enumerate() {
        arrays[slot.column] = Some(if rows.with_text & 1 << i == 0 {
            new_null_array(&data_type(ColumnType::Text), rows.len())
        } else {
            slot.texts.close(rows.ids.chunks_exact(width).map(|ids| ids[i]), texts)
        });
    }
    rows.texts = slots;
    for slot in &mut rows.lists {
        arrays[slot.column] = Some(slot.lists.close());
    }
    let mut closing = Closing { rows, stride: rows.stride(), calls: vec![] };
    if is_syscall(class) {
        closing.calls = closing.records().map(syscall::call_of).collect();
    }
    let columns = class.all_columns().zip(arrays).map(|(column, made)| {
        made.or_else(|| closing.own_column(column, identity, clock_offset_ns)).unwrap_or_else(|| closing.column(column))
    });
    let rows = RecordBatch::try_new(schema(class.id), columns.collect())
        .expect("every column was made from the definition and has one value per row");
    Batch { class, rows }
}
