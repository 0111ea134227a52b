//! What the collector hands to the lanes.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};
use weir_schema::Class;

use crate::lane::ClassSet;
use crate::lane::account::Split;

/// Names one load of the programs on one boot of one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Column `host`.
    pub host: Arc<str>,
    /// Column `boot_id`.
    pub boot_id: Arc<str>,
    /// Column `epoch`: CLOCK_BOOTTIME in ns at which the programs were loaded.
    pub epoch: i64,
}

/// Rows of one class in kernel-time order; closed and immutable.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The class of all rows; the schema of `rows` is `weir_schema::arrow::schema(class.id)`.
    pub class: &'static Class,
    /// The columns.
    pub rows: RecordBatch,
}

impl Batch {
    /// Times of the rows, µs from 1970.
    pub fn times(&self) -> &[i64] {
        let column = self.rows.column_by_name("time");
        let column = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        column.map_or(&[], |times| times.values())
    }

    /// Kernel times of the rows, ns, ascending.
    pub fn ktimes(&self) -> &[i64] {
        let column = self.rows.column_by_name("ktime_ns").and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.map_or(&[], |times| times.values())
    }
}

/// How many numbers of one action on one CPU a cut holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Column `cpu` of the rows.
    pub cpu: i32,
    /// `class << 8 | action`; 0 for numbers that become no row in any sink (void, context only).
    pub action: u16,
    /// Lowest number.
    pub first_seq: i64,
    /// Highest number.
    pub last_seq: i64,
    /// How many, at most the span.
    pub count: i64,
}

impl Tally {
    /// Adds these numbers to those of the same CPU and action.
    pub(crate) fn add_to(self, tallies: &mut Vec<Tally>) {
        match tallies.iter_mut().find(|t| t.cpu == self.cpu && t.action == self.action) {
            Some(t) => {
                t.first_seq = t.first_seq.min(self.first_seq);
                t.last_seq = t.last_seq.max(self.last_seq);
                t.count = t.count.saturating_add(self.count);
            }
            None => tallies.push(self),
        }
    }
}

/// How far the sequence of one CPU has come with a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// CPU, or -1 for the rows that the collector makes.
    pub cpu: i32,
    /// Every number below is in this cut or an earlier one: as a row, inside a gap row, or in a tally of action 0.
    pub next_seq: i64,
    /// Kernel time of the last record read, ns.
    pub ktime_ns: i64,
}

/// A consistent cut of the stream: all rows of all classes below one watermark, and what they leave accounted for.
#[derive(Debug)]
pub struct Cut {
    /// Counts the cuts: of this run from 0, or on from the spool's last one.
    pub number: u64,
    /// Who made it.
    pub identity: Identity,
    /// At most one batch per class, loss last.
    pub batches: Vec<Batch>,
    /// Rows by CPU and action, with what was withheld.
    pub tallies: Vec<Tally>,
    /// Rows that were in the cut until the spool gave them up for room: they are in no tally, and lost to every lane that
    /// reads the cut now.
    pub dropped: Vec<Tally>,
    /// It stands for one that the log has lost by damage: it has nothing but positions. All numbers from where a lane stood up
    /// to these are lost to it.
    pub damaged: bool,
    /// Where every CPU stands behind this cut.
    pub positions: Vec<Position>,
    /// Wall clock minus CLOCK_BOOTTIME at the cut, ns.
    pub clock_offset_ns: i64,
    /// The last cut of the run: the lane ends with rows of action `end`.
    pub last: bool,
    /// What the reader of the rings needs to go on behind this cut after a restart; nothing to lanes. Empty where no restart
    /// can go on.
    pub resume: String,
}

impl Cut {
    /// Bytes of Arrow memory that the cut holds.
    pub fn bytes(&self) -> usize {
        self.batches.iter().flat_map(|b| b.rows.columns()).map(bytes_of).sum()
    }

    /// Where every CPU stood in front of this cut: behind it, less the numbers that it accounts for. The times are those of
    /// its first row.
    pub fn begins_at(&self) -> Vec<Position> {
        let split = Split::of(self, ClassSet::all(), None);
        let first_ktime_ns = self.batches.iter().filter_map(|b| b.ktimes().first().copied()).min().unwrap_or(i64::MAX);
        // A cut that only stands for a lost one does not know what that had.
        let numbers = |cpu| if self.damaged { 0 } else { split.numbers_of(cpu) };
        let before = |p: &Position| Position {
            cpu: p.cpu,
            next_seq: p.next_seq.saturating_sub(numbers(p.cpu)).max(0),
            ktime_ns: p.ktime_ns.min(first_ktime_ns),
        };
        self.positions.iter().map(before).collect()
    }

    /// Rows of all classes.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|b| b.rows.num_rows()).sum()
    }
}

/// Bytes of an array's own rows. Arrays in which every row is the same are shared by many batches, as slices: the buffers
/// behind them are not the batch's.
fn bytes_of(column: &ArrayRef) -> usize {
    let rows = column.len();
    let validity = column.nulls().map_or(0, |_| rows.div_ceil(8));
    let values = match column.data_type() {
        _ if column.null_count() == rows => return 0,
        DataType::Boolean => rows.div_ceil(8),
        DataType::Dictionary(_, _) => {
            let values = column.as_any_dictionary().values();
            size_of::<i32>() * rows + values.get_array_memory_size()
        }
        other => other.primitive_width().map_or_else(|| column.get_array_memory_size(), |width| width * rows),
    };
    values + validity
}
