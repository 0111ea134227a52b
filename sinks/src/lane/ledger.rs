//! What one lane did with every number it was handed, readable while it runs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use weir_schema::loss::{CPU_SINK, REASONS};
use weir_schema::{CLASSES, Reason};

use super::account::{Account, Frontier, Losses, Split};
use crate::loss_rows::Counted;
use crate::{Cut, Progress};

/// Rows of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCount {
    /// Rows that the sink took, durable or not; grows with every cut.
    pub rows_written: u64,
    /// Rows that a flush made durable.
    pub rows_delivered: u64,
    /// Arrow memory of the delivered rows, bytes.
    pub bytes_delivered: u64,
}

/// Numbers of one CPU: `produced = delivered + withheld + pending + lost` at any moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuCount {
    /// Numbers handed to the lane, by the positions of the cuts.
    pub produced: i64,
    /// Rows made durable.
    pub delivered: i64,
    /// Left out by the sink's selection, or void.
    pub withheld: i64,
    /// In the queue, or written and not flushed yet.
    pub pending: i64,
    /// Lost, in the order of [`REASONS`], as the sink's own loss rows say it.
    pub lost: [i64; REASONS.len()],
}

impl CpuCount {
    /// Lost for any reason.
    pub fn lost_total(&self) -> i64 {
        total(self.lost)
    }
}

/// How a lane is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LaneState {
    /// Nothing is wrong.
    #[default]
    Working,
    /// The last attempt failed with this message; the lane tries again.
    Failing(String),
    /// The sink cannot go on, for this reason.
    Fatal(String),
}

/// Every count of one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Cuts handed to the lane.
    pub cuts: u64,
    /// Cuts that found no room in the queue.
    pub cuts_refused: u64,
    /// Rows by class, in the order of [`CLASSES`].
    pub classes: [ClassCount; CLASSES.len()],
    /// Numbers by CPU.
    pub cpus: BTreeMap<i32, CpuCount>,
    /// Successful flushes.
    pub flushes: u64,
    /// Failed writes and flushes.
    pub errors: u64,
    /// Attempts after a failure.
    pub retries: u64,
    /// Times that a process of the sink's own died and another took its place.
    pub process_restarts: u64,
    /// Kernel time of the last cut that is durable at the sink, ns; 0 before the first.
    pub delivered_ktime_ns: i64,
    /// Kernel time of the first cut that was handed to the lane, ns; 0 before it.
    pub offered_ktime_ns: i64,
    /// How the lane is.
    pub state: LaneState,
}

/// An equation of the ledger that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imbalance {
    /// Of what: a CPU, or the rows of all classes.
    pub what: String,
    /// The one side.
    pub expected: i64,
    /// The other side.
    pub found: i64,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} expected, {} accounted for", self.what, self.expected, self.found)
    }
}

// Numbers can come from a file that says anything: sums stop at the ends of their range, and then the ledger does not balance.

fn add(sum: &mut i64, n: i64) {
    *sum = sum.saturating_add(n);
}

fn sub(sum: &mut i64, n: i64) {
    *sum = sum.saturating_sub(n);
}

fn total(numbers: impl IntoIterator<Item = i64>) -> i64 {
    numbers.into_iter().fold(0, i64::saturating_add)
}

impl Ledger {
    fn cpu(&mut self, cpu: i32) -> &mut CpuCount {
        self.cpus.entry(cpu).or_default()
    }

    /// A cut is handed to the lane, or comes from its log; `before` is where its stream stood. A lane that `joins` a stream
    /// with this cut does not know that, and takes the cut's own word for its numbers.
    pub(super) fn offered(&mut self, cut: &Cut, split: &Split, before: Option<&Frontier>, joins: bool) {
        self.cuts += 1;
        if self.offered_ktime_ns == 0 {
            self.offered_ktime_ns = cut.positions.iter().map(|p| p.ktime_ns).max().unwrap_or(0);
        }
        let before = before.filter(|f| f.identity == cut.identity);
        for p in &cut.positions {
            let numbers = match before {
                None if joins => split.numbers_of(p.cpu),
                _ => p.next_seq.saturating_sub(before.and_then(|f| f.position(p.cpu)).map_or(0, |p| p.next_seq)),
            };
            add(&mut self.cpu(p.cpu).produced, numbers);
        }
        let spool = split.spool.by_reason().into_iter().map(|(_, account)| account);
        for account in [&split.selected, &split.withheld].into_iter().chain(spool) {
            account.spans().for_each(|s| add(&mut self.cpu(s.cpu).pending, s.count));
        }
    }

    /// Pending numbers that the sink's selection leaves out.
    pub(super) fn withheld(&mut self, account: &Account) {
        for s in account.spans() {
            let cpu = self.cpu(s.cpu);
            sub(&mut cpu.pending, s.count);
            add(&mut cpu.withheld, s.count);
        }
    }

    /// Pending numbers that this sink will never have.
    pub(super) fn lost(&mut self, account: &Account, reason: Reason) {
        for s in account.spans() {
            let cpu = self.cpu(s.cpu);
            sub(&mut cpu.pending, s.count);
            add(&mut cpu.lost[reason.index()], s.count);
        }
    }

    /// The same, each for its own reason.
    pub(super) fn lost_by_reason(&mut self, losses: &Losses) {
        losses.by_reason().into_iter().for_each(|(reason, account)| self.lost(account, reason));
    }

    /// Pending numbers that are durable now, as rows or inside exact gaps.
    pub(super) fn delivered(&mut self, account: &Account) {
        for (cpu, what, n) in account.counts() {
            let cpu = self.cpu(cpu);
            sub(&mut cpu.pending, n);
            match what {
                Counted::Action(_) => add(&mut cpu.delivered, n),
                Counted::Gap(reason) => add(&mut cpu.lost[reason.index()], n),
                // Such numbers are told, and never delivered.
                Counted::Unknown => {}
            }
        }
    }

    /// Of the numbers that were just delivered, those that the destination refused after all.
    pub(super) fn refused(&mut self, account: &Account) {
        for (cpu, what, n) in account.counts() {
            let numbers = self.cpu(cpu);
            sub(&mut numbers.delivered, n);
            add(&mut numbers.lost[Reason::SinkRefused.index()], n);
            let class = match what {
                Counted::Action(id) => usize::from(id >> 8).checked_sub(1),
                Counted::Gap(_) | Counted::Unknown => None,
            };
            if let Some(class) = class.and_then(|at| self.classes.get_mut(at)) {
                class.rows_delivered = class.rows_delivered.saturating_sub(n as u64);
            }
        }
    }

    /// Rows that the lane made itself are durable now.
    pub(super) fn own_rows(&mut self, rows: i64) {
        let own = self.cpu(CPU_SINK);
        add(&mut own.produced, rows);
        add(&mut own.delivered, rows);
    }

    /// Numbers of all CPUs lost for a reason.
    pub fn lost_for(&self, reason: Reason) -> i64 {
        total(self.cpus.values().map(|c| c.lost[reason.index()]))
    }

    /// Numbers of all CPUs lost for any reason.
    pub fn lost_total(&self) -> i64 {
        total(self.cpus.values().map(CpuCount::lost_total))
    }

    /// Numbers of all CPUs that are not durable yet.
    pub fn pending_total(&self) -> i64 {
        total(self.cpus.values().map(|c| c.pending))
    }

    /// Age of the last event that is durable at the sink (of the first event, before one is) while others are on their way,
    /// in seconds; `now_ns` is kernel time.
    pub fn lag_seconds(&self, now_ns: i64) -> f64 {
        let last_ns = self.delivered_ktime_ns.max(self.offered_ktime_ns);
        let waits = self.pending_total() > 0 && last_ns > 0;
        if waits { (now_ns - last_ns).max(0) as f64 / 1e9 } else { 0.0 }
    }

    /// Numbers of all CPUs that the selection left out.
    pub fn withheld_total(&self) -> i64 {
        total(self.cpus.values().map(|c| c.withheld))
    }

    /// Durable rows of all classes.
    pub fn rows_delivered(&self) -> u64 {
        self.classes.iter().map(|c| c.rows_delivered).sum()
    }

    /// Rows of all classes that the sink took.
    pub fn rows_written(&self) -> u64 {
        self.classes.iter().map(|c| c.rows_written).sum()
    }

    /// The equations that do not hold: per CPU `produced = delivered + withheld + pending + lost`, and as many rows
    /// of all classes as numbers of all CPUs delivered. Empty when all is well, which is at any moment.
    pub fn balance(&self) -> Vec<Imbalance> {
        let rows = self.rows_delivered() as i64;
        let numbers = total(self.cpus.values().map(|c| c.delivered));
        let all = ("rows delivered".to_owned(), rows, numbers);
        let per_cpu = self.cpus.iter().map(|(cpu, c)| {
            (format!("cpu {cpu}"), c.produced, total([c.delivered, c.withheld, c.pending, c.lost_total()]))
        });
        per_cpu
            .chain([all])
            .filter(|(_, expected, found)| expected != found)
            .map(|(what, expected, found)| Imbalance { what, expected, found })
            .collect()
    }

    /// For reports: counts as numbers, classes, CPUs and reasons by name, zeros left out.
    pub fn to_json(&self) -> Value {
        let mut classes = Map::new();
        for (class, c) in CLASSES.iter().zip(&self.classes).filter(|(_, c)| **c != ClassCount::default()) {
            let value = json!({"rows_written": c.rows_written, "rows_delivered": c.rows_delivered,
                               "bytes_delivered": c.bytes_delivered});
            classes.insert(class.name.into(), value);
        }
        let mut cpus = Map::new();
        for (cpu, c) in &self.cpus {
            let lost: Map<String, Value> = (REASONS.iter().zip(c.lost).filter(|(_, n)| *n != 0))
                .map(|((_, name), n)| ((*name).into(), json!(n)))
                .collect();
            let value = json!({"produced": c.produced, "delivered": c.delivered, "withheld": c.withheld,
                               "pending": c.pending, "lost": lost});
            cpus.insert(cpu.to_string(), value);
        }
        let (state, message) = match &self.state {
            LaneState::Working => ("working", None),
            LaneState::Failing(message) => ("failing", Some(message)),
            LaneState::Fatal(message) => ("fatal", Some(message)),
        };
        json!({
            "state": state, "error": message,
            "cuts": self.cuts, "cuts_refused": self.cuts_refused,
            "flushes": self.flushes, "errors": self.errors, "retries": self.retries,
            "process_restarts": self.process_restarts,
            "classes": classes, "cpus": cpus,
            "imbalances": self.balance().iter().map(Imbalance::to_string).collect::<Vec<_>>(),
        })
    }
}

/// What a lane did until it stopped.
#[derive(Debug, Clone)]
pub struct LaneReport {
    /// Name of the sink.
    pub name: String,
    /// The counts.
    pub ledger: Ledger,
    /// The worker came to its end within the time given; else the sink hangs, and what is pending is not delivered.
    pub finished: bool,
    /// The sink's data ends with rows of action `end`: every number is accounted for in it.
    pub ended: bool,
    /// What is pending is in the lane's log, from where the next start delivers it.
    pub kept: bool,
    /// What is durable at the destination; `None` if the worker did not come to its end in time.
    pub stands: Option<Box<Progress>>,
}

impl LaneReport {
    /// Why the sink could not go on, if so.
    pub fn fatal(&self) -> Option<&str> {
        match &self.ledger.state {
            LaneState::Fatal(message) => Some(message),
            _ => None,
        }
    }

    /// For reports: the ledger with name, `finished` and `ended`.
    pub fn to_json(&self) -> Value {
        let mut value = self.ledger.to_json();
        value["name"] = json!(self.name);
        value["finished"] = json!(self.finished);
        value["ended"] = json!(self.ended);
        value["kept"] = json!(self.kept);
        value
    }
}
