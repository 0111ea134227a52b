//! From records to columns: 64 rows at a time are kept as the bytes they came in, then every column takes its values.
//!
//! A row costs one copy of its fixed part and one look-up per text; a column is a loop over a block of rows that is still
//! in the nearest cache, so that what it is (its offset, its type, its null) is decided once per block and not once per
//! value, and null and validity are a word.

mod block;
mod column;
mod columns;
mod dictionary;
mod integers;
mod lists;
mod rows;
mod slots;
mod syscall;

use std::sync::Arc;

use weir_schema::CLASSES;
use weir_sinks::loss_rows::{LossRow, loss_batch};
use weir_sinks::{Batch, Cut, Identity, Tally};

pub use rows::{ClassRows, Row};

use block::ACTIONS_MAX;

use crate::pipeline::Marks;
use crate::texts::Texts;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    first: i64,
    last: i64,
    count: i64,
}

/// Numbers of one CPU by action; index 0 are those that become no row.
#[derive(Debug, Clone)]
struct CpuTally {
    cpu: i32,
    cells: Vec<Cell>,
}

/// When a cut closes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of any class.
    pub rows_max: usize,
    /// Bytes of raw rows of any class.
    pub bytes_max: usize,
}

impl Limits {
    /// Those of the configuration.
    pub fn of(config: &crate::config::Config) -> Limits {
        let bytes_max = usize::try_from(config.batch_bytes_max).unwrap_or(usize::MAX);
        Limits { rows_max: config.batch_rows_max, bytes_max }
    }
}

/// The open cut of one group of lanes.
pub struct Assembly {
    classes: Vec<ClassRows>,
    losses: Vec<LossRow>,
    tallies: Vec<CpuTally>,
    limits: Limits,
    full: bool,
    rows: usize,
    cuts: u64,
}

fn cell_index(action: u16) -> usize {
    if action == 0 { 0 } else { usize::from(action >> 8) * ACTIONS_MAX + usize::from(action & 0x1f) }
}

fn action_of_cell(index: usize) -> u16 {
    if index == 0 { 0 } else { (((index / ACTIONS_MAX) << 8) | (index % ACTIONS_MAX)) as u16 }
}

impl Assembly {
    /// An empty cut with these limits; cuts are counted from `first_cut`.
    pub fn new(limits: Limits, first_cut: u64) -> Assembly {
        let classes = CLASSES.iter().map(|c| ClassRows::new(c)).collect();
        Assembly { classes, losses: vec![], tallies: vec![], limits, full: false, rows: 0, cuts: first_cut }
    }

    fn tally(&mut self, cpu: i32, action: u16, seq: i64) {
        let at = match self.tallies.iter().position(|t| t.cpu == cpu) {
            Some(at) => at,
            None => {
                self.tallies.push(CpuTally { cpu, cells: vec![Cell::default(); (CLASSES.len() + 1) * ACTIONS_MAX] });
                self.tallies.len() - 1
            }
        };
        let cell = &mut self.tallies[at].cells[cell_index(action)];
        if cell.count == 0 {
            cell.first = seq;
        }
        cell.first = cell.first.min(seq);
        cell.last = cell.last.max(seq);
        cell.count += 1;
    }

    /// Appends a row.
    pub fn append(&mut self, cpu: i32, row: &Row<'_>, texts: &mut Texts) {
        let rows = &mut self.classes[row.record.class.id.index()];
        rows.append(row, texts);
        self.full |= rows.len() >= self.limits.rows_max || rows.bytes() >= self.limits.bytes_max;
        self.rows += 1;
        self.tally(cpu, row.record.action.id, row.record.seq());
    }

    /// Number that the open cut will have.
    pub fn next_cut(&self) -> u64 {
        self.cuts
    }

    /// Counts a number that becomes no row.
    pub fn withhold(&mut self, cpu: i32, seq: i64) {
        self.tally(cpu, 0, seq);
    }

    /// Appends a row of class loss.
    pub fn append_loss(&mut self, row: LossRow) {
        self.tally(row.cpu, row.action.id(), row.seq);
        self.losses.push(row);
        self.rows += 1;
    }

    /// Whether the cut should close for its size.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether nothing at all has come since the last cut.
    pub fn is_empty(&self) -> bool {
        self.tallies.iter().all(|t| t.cells.iter().all(|c| c.count == 0))
    }

    /// Rows in the open cut.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Closes the cut: everything appended so far, as columns.
    pub fn close(
        &mut self,
        identity: &Identity,
        clock_offset_ns: i64,
        marks: Marks,
        texts: &Texts,
        last: bool,
    ) -> Arc<Cut> {
        let mut batches: Vec<Batch> = vec![];
        for rows in self.classes.iter_mut().filter(|r| !r.is_empty()) {
            batches.push(rows.close(identity, clock_offset_ns, texts));
        }
        if !self.losses.is_empty() {
            batches.push(loss_batch(identity, clock_offset_ns, &self.losses));
            self.losses.clear();
        }
        let tallies = self.take_tallies();
        self.full = false;
        self.rows = 0;
        self.cuts += 1;
        Arc::new(Cut {
            number: self.cuts - 1,
            identity: identity.clone(),
            batches,
            tallies,
            positions: marks.positions,
            clock_offset_ns,
            last,
            dropped: vec![],
            damaged: false,
            resume: marks.resume,
        })
    }

    fn take_tallies(&mut self) -> Vec<Tally> {
        let mut out = vec![];
        for tally in &mut self.tallies {
            for (i, cell) in tally.cells.iter_mut().enumerate().filter(|(_, c)| c.count > 0) {
                let Cell { first, last, count } = std::mem::take(cell);
                out.push(Tally { cpu: tally.cpu, action: action_of_cell(i), first_seq: first, last_seq: last, count });
            }
        }
        out
    }
}
