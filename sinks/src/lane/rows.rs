//! The rows that a lane writes itself: what its sink does not have, and how far it is complete.

use weir_schema::Reason;
use weir_schema::loss::CPU_SINK;

use super::account::{Account, Frontier, Losses};
use crate::Batch;
use crate::loss_rows::{LossAction, LossRow, by_action, loss_batch};

/// Numbers the lane's own rows and dates them at the frontier.
pub(super) struct OwnRows<'a> {
    frontier: &'a Frontier,
    first: i64,
    rows: Vec<LossRow>,
}

impl<'a> OwnRows<'a> {
    pub fn new(frontier: &'a Frontier, first: i64) -> OwnRows<'a> {
        OwnRows { frontier, first, rows: Vec::new() }
    }

    /// Number of the next row.
    pub fn next_seq(&self) -> i64 {
        self.first + self.rows.len() as i64
    }

    fn row(&self, action: LossAction, gap_cpu: i32, first_seq: i64) -> LossRow {
        LossRow {
            ktime_ns: self.frontier.ktime_ns,
            cpu: CPU_SINK,
            seq: self.next_seq(),
            action,
            gap_cpu: Some(gap_cpu),
            first_seq: Some(first_seq),
            last_seq: None,
            first_ktime_ns: None,
            last_ktime_ns: Some(self.frontier.ktime_of(gap_cpu)),
            count: 0,
            by_action: String::new(),
            reason: (action == LossAction::End).then_some(Reason::Shutdown),
        }
    }

    /// One aggregate per CPU.
    pub fn gaps(&mut self, reason: Reason, account: &Account) {
        for span in account.spans() {
            let row = LossRow {
                last_seq: Some(span.last_seq),
                first_ktime_ns: span.since_ktime_ns,
                count: span.count,
                by_action: by_action(account.by_action(span.cpu)),
                reason: Some(reason),
                ..self.row(LossAction::Gap, span.cpu, span.first_seq)
            };
            self.rows.push(row);
        }
    }

    /// The lane's own losses.
    pub fn losses(&mut self, losses: &Losses) {
        losses.by_reason().into_iter().for_each(|(reason, account)| self.gaps(reason, account));
    }

    /// One checkpoint or end per CPU; an end is followed by that of the lane's own sequence.
    pub fn positions(&mut self, action: LossAction) {
        for p in self.frontier.positions() {
            self.rows.push(self.row(action, p.cpu, p.next_seq));
        }
        if action == LossAction::End {
            self.rows.push(self.row(action, CPU_SINK, self.next_seq() + 1));
        }
    }

    /// The rows, if there are any.
    pub fn batch(&self) -> Option<Batch> {
        let rows = (!self.rows.is_empty()).then_some(&self.rows)?;
        Some(loss_batch(&self.frontier.identity, self.frontier.clock_offset_ns, rows))
    }
}
