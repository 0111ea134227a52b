//! Columns of integers, times and bits: each a loop over the rows of a block.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, TimestampMicrosecondArray};
use arrow_buffer::{ArrowNativeType, ScalarBuffer};
use weir_schema::ColumnType;
use weir_schema::arrow::TIME_ZONE;
use weir_schema::column::read_int;
use weir_schema::record::{at, i64_at};
use weir_schema::wire::Wire;

use super::block::{BLOCK_ROWS, Block};
use super::column::{Bits, Closing, Filling, Repeated, Rule, rows_where};
use crate::texts::Texts;

/// Nanoseconds in the unit of column `time`.
const NS_PER_US: i64 = 1000;

/// The integer at `at`; the definition's tests locate every field inside the fixed part, and arrays element by element.
#[inline]
pub fn value(record: &[u8], at: usize, wire: Wire) -> i64 {
    read_int(record, at, wire).unwrap_or_default()
}

/// A type of integer column.
pub trait Integer: ArrowPrimitiveType {
    /// The lower bits.
    fn of(value: i64) -> Self::Native;
}

impl Integer for Int32Type {
    fn of(value: i64) -> i32 {
        value as i32
    }
}

impl Integer for Int64Type {
    fn of(value: i64) -> i64 {
        value
    }
}

/// A column of integers.
pub struct IntColumn<T: Integer> {
    at: usize,
    wire: Wire,
    rule: Rule,
    /// The value that stands for none.
    null: Option<T::Native>,
    ty: ColumnType,
    values: Vec<T::Native>,
    valid: Bits,
    nulls: Repeated,
}

impl<T: Integer> IntColumn<T> {
    /// The integer at `at` in every row that `rule` names, null where it holds `null`.
    pub fn new(ty: ColumnType, (at, wire): (usize, Wire), rule: Rule, null: Option<i64>) -> IntColumn<T> {
        let null = null.map(T::of);
        IntColumn { at, wire, rule, null, ty, values: vec![], valid: Bits::default(), nulls: Repeated::default() }
    }

    fn gather(&mut self, block: &Block) {
        let (at, records) = (self.at, block.records());
        // A loop for each type, in which the type is a constant.
        match self.wire {
            Wire::U8 => self.values.extend(records.map(|r| T::of(value(r, at, Wire::U8)))),
            Wire::U16 => self.values.extend(records.map(|r| T::of(value(r, at, Wire::U16)))),
            Wire::U32 => self.values.extend(records.map(|r| T::of(value(r, at, Wire::U32)))),
            Wire::I32 => self.values.extend(records.map(|r| T::of(value(r, at, Wire::I32)))),
            _ => self.values.extend(records.map(|r| T::of(i64_at(r, at)))),
        }
    }
}

impl<T: Integer> Filling for IntColumn<T> {
    fn take(&mut self, block: &Block, before: usize, _: &Texts) {
        let mut rows = self.rule.rows(block);
        if rows != 0 {
            self.values.resize(before, T::Native::usize_as(0));
            self.gather(block);
            if let Some(null) = self.null {
                let mut with_value = 0;
                for (row, value) in self.values[before..].iter().enumerate() {
                    with_value |= u64::from(*value != null) << (row % BLOCK_ROWS);
                }
                rows &= with_value;
            }
        }
        self.valid.push(rows, block.len());
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        if self.valid.set() == 0 {
            self.valid = Bits::default();
            self.values.clear();
            return self.nulls.nulls(self.ty, closing.rows);
        }
        self.values.resize(closing.rows, T::Native::usize_as(0));
        let values = renewed(&mut self.values);
        Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), self.valid.nulls()))
    }
}

/// The values, and in their place room for as many again.
pub fn renewed<V>(values: &mut Vec<V>) -> Vec<V> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

/// Column `time`: kernel time as wall-clock time.
#[derive(Default)]
pub struct TimeColumn {
    values: Vec<i64>,
}

impl Filling for TimeColumn {
    fn take(&mut self, block: &Block, _: usize, _: &Texts) {
        self.values.extend(block.records().map(|r| i64_at(r, at::KTIME_NS)));
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        let mut values = renewed(&mut self.values);
        values.iter_mut().for_each(|v| *v = (*v + closing.clock_offset_ns).div_euclid(NS_PER_US));
        Arc::new(TimestampMicrosecondArray::new(ScalarBuffer::from(values), None).with_timezone(TIME_ZONE))
    }
}

/// What a bit of a boolean column says.
#[derive(Debug, Clone, Copy)]
pub enum Flag {
    /// A bit of the byte at an offset.
    Bit(usize, u32),
    /// The byte at an offset is not zero.
    NotZero(usize),
    /// Some text of the row was escaped.
    Escaped,
    /// A path of the row was folded by its text alone.
    Folded,
}

/// A column of booleans.
pub struct BoolColumn {
    flag: Flag,
    rule: Rule,
    values: Bits,
    valid: Bits,
    same: [Repeated; 2],
}

impl BoolColumn {
    /// The flag of every row that `rule` names.
    pub fn new(flag: Flag, rule: Rule) -> BoolColumn {
        let same = [Repeated::default(), Repeated::default()];
        BoolColumn { flag, rule, values: Bits::default(), valid: Bits::default(), same }
    }
}

impl Filling for BoolColumn {
    fn take(&mut self, block: &Block, _: usize, _: &Texts) {
        let rows = self.rule.rows(block);
        let set = match self.flag {
            _ if rows == 0 => 0,
            Flag::Bit(at, bit) => rows_where(block, |r| r[at] & 1 << bit != 0),
            Flag::NotZero(at) => rows_where(block, |r| r[at] != 0),
            Flag::Escaped => block.escaped(),
            Flag::Folded => block.folded(),
        };
        self.values.push(set & rows, block.len());
        self.valid.push(rows, block.len());
    }

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        let [nulls, falses] = &mut self.same;
        let (set, valid) = (self.values.set(), self.valid.set());
        if set == 0 && (valid == 0 || valid == closing.rows) {
            (self.values, self.valid) = (Bits::default(), Bits::default());
            return if valid == 0 {
                nulls.nulls(ColumnType::Bool, closing.rows)
            } else {
                falses.rows(closing.rows, |rows| Arc::new(BooleanArray::from(vec![false; rows])))
            };
        }
        Arc::new(BooleanArray::new(self.values.finish(), self.valid.nulls()))
    }
}

/// A column that has the same value in every row of a batch.
pub struct ConstantColumn {
    make: fn(&Closing<'_>, usize) -> ArrayRef,
    same: Repeated,
}

impl ConstantColumn {
    /// `make` makes the given number of rows.
    pub fn new(make: fn(&Closing<'_>, usize) -> ArrayRef) -> ConstantColumn {
        ConstantColumn { make, same: Repeated::default() }
    }
}

impl Filling for ConstantColumn {
    fn take(&mut self, _: &Block, _: usize, _: &Texts) {}

    fn close(&mut self, closing: &Closing<'_>) -> ArrayRef {
        self.same.rows(closing.rows, |rows| (self.make)(closing, rows))
    }
}
