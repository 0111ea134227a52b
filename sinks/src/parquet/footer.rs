//! What the footer of a file says about its rows, beside the columns.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::file::metadata::KeyValue;
use weir_schema::{ClassId, SCHEMA_VERSION};

use crate::Identity;

/// Key of the per-CPU spans, before the CPU.
pub(super) const SEQ_KEY: &str = "weir.seq.";

/// First and last number of the rows by CPU, and how many rows are gaps.
#[derive(Debug, Default)]
pub(super) struct Spans {
    by_cpu: BTreeMap<i32, (i64, i64)>,
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
            self.gaps += gaps(rows);
        }
    }

    /// Rows of one CPU often stand together: each such run costs one look-up.
    fn add_numbers(&mut self, cpus: &[i32], seqs: &[i64]) {
        let mut start = 0;
        for run in cpus.chunk_by(|a, b| a == b) {
            let numbers = &seqs[start..start + run.len()];
            start += run.len();
            let span = self.by_cpu.entry(run[0]).or_insert((i64::MAX, i64::MIN));
            *span = numbers.iter().fold(*span, |(low, high), seq| (low.min(*seq), high.max(*seq)));
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
        let spans = self.by_cpu.iter();
        pairs.extend(
            spans.map(|(cpu, (first, last))| KeyValue::new(format!("{SEQ_KEY}{cpu}"), format!("{first}-{last}"))),
        );
        pairs
    }
}

fn gaps(rows: &RecordBatch) -> u64 {
    let Some(actions) = rows.column_by_name("action").and_then(|c| c.as_dictionary_opt::<Int32Type>()) else {
        return 0;
    };
    let Some(names) = actions.values().as_string_opt::<i32>() else { return 0 };
    let is_gap = |key: i32| names.value(key as usize) == "gap";
    (0..actions.len()).filter(|row| actions.is_valid(*row) && is_gap(actions.keys().value(*row))).count() as u64
}
