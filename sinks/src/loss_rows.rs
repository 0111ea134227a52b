//! Rows of class `loss` as plain structs, and the batches made from them.
//!
//! The sequencer writes its gaps with this, and every lane its own gaps, checkpoints and ends.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use serde::{Deserialize, Serialize};
use weir_schema::arrow::{TIME_ZONE, data_type, schema};
use weir_schema::{CLASSES, ClassId, Column, ColumnType, Reason, action_by_id};

use crate::{Batch, Identity};

/// Nanoseconds of one microsecond, the unit of column `time`.
const NS_PER_US: i64 = 1_000;

/// What a row of class `loss` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossAction {
    /// Numbers that have no row.
    Gap,
    /// Everything below `first_seq` is accounted for.
    Checkpoint,
    /// The same, and the run stopped there.
    End,
}

impl LossAction {
    /// Name in column `action`.
    pub fn name(self) -> &'static str {
        CLASSES[ClassId::Loss.index()].actions[self as usize].name
    }

    /// Number in a tally.
    pub fn id(self) -> u16 {
        CLASSES[ClassId::Loss.index()].actions[self as usize].id
    }
}

/// One row of class `loss`; the columns have the same names and units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossRow {
    /// Kernel time of the row, ns.
    pub ktime_ns: i64,
    /// [`weir_schema::loss::CPU_COLLECTOR`] or [`weir_schema::loss::CPU_SINK`].
    pub cpu: i32,
    /// Number of the row in the sequence of `cpu`.
    pub seq: i64,
    /// What the row says.
    pub action: LossAction,
    /// CPU whose numbers are meant.
    pub gap_cpu: Option<i32>,
    /// First missing number, or the first that is not accounted for yet.
    pub first_seq: Option<i64>,
    /// Last missing number.
    pub last_seq: Option<i64>,
    /// Kernel time of the neighbour before, ns.
    pub first_ktime_ns: Option<i64>,
    /// Kernel time of the neighbour behind, ns.
    pub last_ktime_ns: Option<i64>,
    /// How many numbers (or attempts without a number).
    pub count: i64,
    /// `open=120,unlink=3`; null when empty.
    pub by_action: String,
    /// Why.
    pub reason: Option<Reason>,
}

/// The rows as a batch of class `loss`, in the order given.
pub fn loss_batch(identity: &Identity, clock_offset_ns: i64, rows: &[LossRow]) -> Batch {
    let class = CLASSES[ClassId::Loss.index()];
    let columns: Vec<ArrayRef> = class.all_columns().map(|c| cells(c, identity, clock_offset_ns, rows)).collect();
    let rows = RecordBatch::try_new(schema(ClassId::Loss), columns)
        .expect("every column was made from the definition and has one cell per row");
    Batch { class, rows }
}

/// The cells of one column; null where a loss row has no such value.
fn cells(column: &Column, identity: &Identity, clock_offset_ns: i64, rows: &[LossRow]) -> ArrayRef {
    match column.name {
        "time" => {
            let times = rows.iter().map(|r| r.ktime_ns.saturating_add(clock_offset_ns).div_euclid(NS_PER_US));
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone(TIME_ZONE))
        }
        "ktime_ns" => int64(rows.iter().map(|r| Some(r.ktime_ns))),
        "host" => texts(rows.iter().map(|_| Some(&*identity.host))),
        "boot_id" => texts(rows.iter().map(|_| Some(&*identity.boot_id))),
        "epoch" => int64(rows.iter().map(|_| Some(identity.epoch))),
        "cpu" => int32(rows.iter().map(|r| Some(r.cpu))),
        "seq" => int64(rows.iter().map(|r| Some(r.seq))),
        "action" => texts(rows.iter().map(|r| Some(r.action.name()))),
        "gap_cpu" => int32(rows.iter().map(|r| r.gap_cpu)),
        "first_seq" => int64(rows.iter().map(|r| r.first_seq)),
        "last_seq" => int64(rows.iter().map(|r| r.last_seq)),
        "first_ktime_ns" => int64(rows.iter().map(|r| r.first_ktime_ns)),
        "last_ktime_ns" => int64(rows.iter().map(|r| r.last_ktime_ns)),
        "count" => int64(rows.iter().map(|r| Some(r.count))),
        "by_action" => texts(rows.iter().map(|r| (!r.by_action.is_empty()).then_some(&*r.by_action))),
        "reason" => texts(rows.iter().map(|r| r.reason.map(Reason::name))),
        _ if column.ty == ColumnType::Bool => Arc::new(BooleanArray::from(vec![false; rows.len()])),
        _ => new_null_array(&data_type(column.ty), rows.len()),
    }
}

fn int32(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn int64(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

/// A dictionary column that holds each text once.
fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut dictionary: Vec<&str> = Vec::new();
    let keys: Int32Array = values
        .map(|value| {
            let text = value?;
            Some(*known.entry(text).or_insert_with(|| {
                dictionary.push(text);
                dictionary.len() as i32 - 1
            }))
        })
        .collect();
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(dictionary))))
}

/// Names that actions of several classes share; `by_action` tells them apart as `file.close`.
static AMBIGUOUS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<&str> = CLASSES.iter().flat_map(|c| c.actions).map(|a| a.name).collect();
    names.sort_unstable();
    let mut twice: Vec<&str> = names.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
    twice.dedup();
    twice
});

/// What `by_action` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub enum Counted {
    /// Attempts of this action (`class << 8 | action`); 0 is written as `void`.
    Action(u16),
    /// Numbers of exact gaps whose own rows are gone as well, by their reason.
    Gap(Reason),
    /// Numbers that nobody looked at.
    Unknown,
}

/// [`Counted::Unknown`] as a number.
const UNKNOWN: u32 = 1 << 17;

impl Counted {
    /// Orders by number, actions first.
    pub(crate) fn key(self) -> u32 {
        match self {
            Counted::Action(id) => u32::from(id),
            Counted::Gap(reason) => 1 << 16 | reason as u32,
            Counted::Unknown => UNKNOWN,
        }
    }
}

impl From<Counted> for u32 {
    fn from(counted: Counted) -> u32 {
        counted.key()
    }
}

impl TryFrom<u32> for Counted {
    type Error = String;

    fn try_from(key: u32) -> Result<Counted, String> {
        match u16::try_from(key) {
            Ok(action) => Ok(Counted::Action(action)),
            Err(_) if key == UNKNOWN => Ok(Counted::Unknown),
            Err(_) => u8::try_from(key & 0xffff)
                .ok()
                .and_then(Reason::from_number)
                .map(Counted::Gap)
                .ok_or_else(|| format!("{key} stands for nothing that is counted")),
        }
    }
}

/// Text of column `by_action`: `open=120,unlink=3`.
pub fn by_action(counts: impl IntoIterator<Item = (Counted, i64)>) -> String {
    let mut text = String::new();
    for (what, count) in counts {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing into a String cannot fail.
        let _ = match what {
            Counted::Action(0) => write!(text, "void={count}"),
            Counted::Gap(reason) => write!(text, "{}={count}", reason.name()),
            Counted::Unknown => write!(text, "unknown={count}"),
            Counted::Action(id) => match action_by_id(id) {
                Some((class, action)) if AMBIGUOUS.contains(&action.name) => {
                    write!(text, "{}.{}={count}", class.name, action.name)
                }
                Some((_, action)) => write!(text, "{}={count}", action.name),
                None => write!(text, "{id:#06x}={count}"),
            },
        };
    }
    text
}

/// Numbers inside an exact gap, read back from a loss row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExactGap {
    pub cpu: i32,
    pub first_seq: i64,
    pub last_seq: i64,
    pub count: i64,
    pub reason: Reason,
}

/// The exact gaps of a loss batch; rows about attempts that took no number are left out.
pub(crate) fn exact_gaps(rows: &RecordBatch) -> Vec<ExactGap> {
    let ints = |name| rows.column_by_name(name)?.as_any().downcast_ref::<Int64Array>();
    let dictionary = |name| rows.column_by_name(name)?.as_any().downcast_ref::<DictionaryArray<Int32Type>>();
    let cpus = rows.column_by_name("gap_cpu").and_then(|c| c.as_any().downcast_ref::<Int32Array>());
    let (Some(cpus), Some(first), Some(last), Some(count), Some(action), Some(reason)) =
        (cpus, ints("first_seq"), ints("last_seq"), ints("count"), dictionary("action"), dictionary("reason"))
    else {
        return Vec::new();
    };
    let gap = |i: usize| {
        if text_at(action, i)? != LossAction::Gap.name() || cpus.is_null(i) || first.is_null(i) || last.is_null(i) {
            return None;
        }
        let reason = Reason::from_name(text_at(reason, i)?)?;
        let (first_seq, last_seq) = (first.value(i), last.value(i));
        Some(ExactGap { cpu: cpus.value(i), first_seq, last_seq, count: count.value(i), reason })
    };
    (0..rows.num_rows()).filter_map(gap).collect()
}

fn text_at(column: &DictionaryArray<Int32Type>, row: usize) -> Option<&str> {
    let values = column.values().as_any().downcast_ref::<StringArray>()?;
    Some(values.value(column.key(row)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { host: "h".into(), boot_id: "b".into(), epoch: 7 }
    }

    fn gap() -> LossRow {
        LossRow {
            ktime_ns: 2_500,
            cpu: -1,
            seq: 4,
            action: LossAction::Gap,
            gap_cpu: Some(3),
            first_seq: Some(10),
            last_seq: Some(19),
            first_ktime_ns: None,
            last_ktime_ns: Some(2_400),
            count: 10,
            by_action: String::new(),
            reason: Some(Reason::RingFull),
        }
    }

    #[test]
    fn a_batch_has_the_schema_of_the_class_also_when_empty() {
        for rows in [vec![], vec![gap()]] {
            let batch = loss_batch(&identity(), 1_000, &rows);
            assert_eq!(batch.rows.schema(), schema(ClassId::Loss));
            assert_eq!(batch.rows.num_rows(), rows.len());
        }
    }

    #[test]
    fn exact_gaps_are_read_back_and_rows_without_numbers_are_not() {
        let reentered = LossRow { first_seq: None, last_seq: None, reason: Some(Reason::ProbeReentered), ..gap() };
        let end = LossRow { action: LossAction::End, reason: Some(Reason::Shutdown), ..gap() };
        let batch = loss_batch(&identity(), 0, &[reentered, gap(), end]);
        let expected = ExactGap { cpu: 3, first_seq: 10, last_seq: 19, count: 10, reason: Reason::RingFull };
        assert_eq!(exact_gaps(&batch.rows), [expected]);
    }

    #[test]
    fn time_is_kernel_time_plus_the_offset_in_whole_microseconds() {
        let batch = loss_batch(&identity(), -3_501, &[gap()]);
        let time = batch.rows.column(0).as_any().downcast_ref::<TimestampMicrosecondArray>();
        assert_eq!(time.map(|t| t.value(0)), Some(-2));
    }

    #[test]
    fn by_action_names_the_class_only_where_two_classes_share_a_name() {
        let counts = [
            (Counted::Action(0), 1),
            (Counted::Action(0x0201), 120),
            (Counted::Action(0x020d), 2),
            (Counted::Action(0x0307), 3),
            (Counted::Gap(Reason::RingFull), 9),
        ];
        assert_eq!(by_action(counts), "void=1,open=120,file.close=2,network.close=3,ring_full=9");
    }
}
