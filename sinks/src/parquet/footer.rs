//! What the footer of a file says about its rows, beside the columns.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::file::metadata::KeyValue;
use weir_schema::{ClassId, SCHEMA_VERSION};

use crate::Identity;

/// Keys of the numbers that have a row here, before the CPU: first and last, and how many.
pub(super) const ROWS_KEYS: (&str, &str) = ("weir.seq.", "weir.rows.");
/// The same for the numbers inside the gaps that rows of class `loss` tell.
pub(super) const GAPS_KEYS: (&str, &str) = ("weir.gap_seq.", "weir.gap_count.");

/// Numbers of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    first: i64,
    last: i64,
    count: i64,
}

impl Default for Numbers {
    /// None.
    fn default() -> Numbers {
        Numbers { first: i64::MAX, last: i64::MIN, count: 0 }
    }
}

impl Numbers {
    fn add(&mut self, first: i64, last: i64, count: i64) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        self.count = self.count.saturating_add(count);
    }
}

/// Which numbers the rows account for, by CPU, and how many rows are gaps.
#[derive(Debug, Default)]
pub(super) struct Spans {
    rows: BTreeMap<i32, Numbers>,
    in_gaps: BTreeMap<i32, Numbers>,
    gaps: u64,
}

impl Spans {
    /// Takes the rows of a batch into account.
    pub(super) fn add(&mut self, class: ClassId, rows: &RecordBatch) {
        let cpu = rows.column_by_name("cpu").and_then(|c| c.as_primitive_opt::<Int32Type>());
        let seq = rows.column_by_name("seq").and_then(|c| c.as_primitive_opt::<Int64Type>());
        if let (Some(cpu), Some(seq)) = (cpu, seq) {
            self.add_numbers(cpu.values(), seq.values());
        }
        if class == ClassId::Loss {
            self.add_gaps(rows);
        }
    }

    /// Rows of one CPU often stand together: each such run costs one look-up.
    fn add_numbers(&mut self, cpus: &[i32], seqs: &[i64]) {
        let mut start = 0;
        for run in cpus.chunk_by(|a, b| a == b) {
            let numbers = &seqs[start..start + run.len()];
            start += run.len();
            let span = numbers.iter().fold((i64::MAX, i64::MIN), |(low, high), seq| (low.min(*seq), high.max(*seq)));
            self.rows.entry(run[0]).or_default().add(span.0, span.1, numbers.len() as i64);
        }
    }

    /// Gaps without a CPU are attempts that took no number: those are only counted.
    fn add_gaps(&mut self, rows: &RecordBatch) {
        let int64 = |name| rows.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let cpu = rows.column_by_name("gap_cpu").and_then(|c| c.as_primitive_opt::<Int32Type>());
        let columns = cpu.zip(int64("first_seq")).zip(int64("last_seq").zip(int64("count")));
        for row in gaps(rows) {
            self.gaps += 1;
            let Some(((cpu, first), (last, count))) = columns else { continue };
            if cpu.is_valid(row) && first.is_valid(row) && last.is_valid(row) && count.is_valid(row) {
                let known = self.in_gaps.entry(cpu.value(row)).or_default();
                known.add(first.value(row), last.value(row), count.value(row));
            }
        }
    }

    /// The key-value pairs of the footer.
    pub(super) fn footer(&self, identity: &Identity, collector_version: &str) -> Vec<KeyValue> {
        let pair = |key: &str, value: String| KeyValue::new(format!("weir.{key}"), value);
        let mut pairs = vec![
            pair("schema_version", SCHEMA_VERSION.to_string()),
            pair("collector_version", collector_version.to_owned()),
            pair("host", identity.host.to_string()),
            pair("boot_id", identity.boot_id.to_string()),
            pair("epoch", identity.epoch.to_string()),
            pair("gaps", self.gaps.to_string()),
        ];
        for ((span_key, count_key), by_cpu) in [(ROWS_KEYS, &self.rows), (GAPS_KEYS, &self.in_gaps)] {
            for (cpu, Numbers { first, last, count }) in by_cpu {
                pairs.push(KeyValue::new(format!("{span_key}{cpu}"), format!("{first}-{last}")));
                pairs.push(KeyValue::new(format!("{count_key}{cpu}"), count.to_string()));
            }
        }
        pairs
    }
}

/// The rows of action `gap`.
fn gaps(rows: &RecordBatch) -> impl Iterator<Item = usize> + '_ {
    let actions = rows.column_by_name("action").and_then(|c| c.as_dictionary_opt::<Int32Type>());
    let named = actions.and_then(|actions| Some((actions, actions.values().as_string_opt::<i32>()?)));
    named.into_iter().flat_map(|(actions, names)| {
        let is_gap = |key: i32| names.value(key as usize) == "gap";
        (0..actions.len()).filter(move |row| actions.is_valid(*row) && is_gap(actions.keys().value(*row)))
    })
}
