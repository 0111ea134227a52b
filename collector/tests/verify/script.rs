//! A scripted run of a collector and one sink: what happens on each CPU, and the rows that come of it.

use std::collections::BTreeMap;

use weir_schema::ClassId;
use weir_schema::loss::{CPU_COLLECTOR, CPU_SINK};

pub const HOST: &str = "web-1.lan";
pub const BOOT_ID: &str = "0123abcd-1111-2222-3333-444455556666";
pub const EPOCH: i64 = 77_000_000_000;
/// Wall clock minus kernel time, ns: a day in 2026.
pub const OFFSET_NS: i64 = 1_790_000_000_000_000_000;

/// What becomes of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A row of this class.
    Row(ClassId),
    /// No room in the ring: part of an exact gap.
    Lost,
    /// Part of an aggregate with reason `not_selected`.
    NotSelected,
    /// Part of an aggregate with reason `lane_full`.
    LaneFull,
}

/// One row, with the columns that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub class: ClassId,
    /// Flush that made it visible.
    pub generation: usize,
    pub epoch: i64,
    pub cpu: i32,
    pub seq: i64,
    pub ktime_ns: i64,
    pub action: &'static str,
    pub loss: Option<Loss>,
}

/// Columns of class `loss`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    pub gap_cpu: i32,
    pub first_seq: i64,
    pub last_seq: Option<i64>,
    pub last_ktime_ns: Option<i64>,
    pub count: i64,
    pub by_action: Option<String>,
    pub reason: &'static str,
}

impl Row {
    pub fn is(&self, action: &str, gap_cpu: i32) -> bool {
        self.action == action && self.loss.as_ref().is_some_and(|l| l.gap_cpu == gap_cpu)
    }
}

/// Plays a run.
pub struct Script {
    pub rows: Vec<Row>,
    epoch: i64,
    ktime_ns: i64,
    generation: usize,
    next: BTreeMap<i32, i64>,
    /// First and last number of the exact gap that is open on a CPU.
    lost: BTreeMap<i32, (i64, i64)>,
    /// First, last, count by CPU and reason since the last flush.
    aggregates: BTreeMap<(i32, &'static str), (i64, i64, i64)>,
}

impl Script {
    pub fn new(epoch: i64) -> Script {
        let mut script = Script {
            rows: Vec::new(),
            epoch,
            ktime_ns: epoch,
            generation: 0,
            next: BTreeMap::new(),
            lost: BTreeMap::new(),
            aggregates: BTreeMap::new(),
        };
        for _ in 0..3 {
            script.row(ClassId::Process, CPU_COLLECTOR, "running", None);
        }
        script
    }

    fn number(&mut self, cpu: i32) -> i64 {
        let next = self.next.entry(cpu).or_default();
        *next += 1;
        *next - 1
    }

    fn row(&mut self, class: ClassId, cpu: i32, action: &'static str, loss: Option<Loss>) {
        let seq = self.number(cpu);
        self.ktime_ns += 1_000;
        let (generation, epoch, ktime_ns) = (self.generation, self.epoch, self.ktime_ns);
        self.rows.push(Row { class, generation, epoch, cpu, seq, ktime_ns, action, loss });
    }

    /// One attempt on a CPU.
    pub fn attempt(&mut self, cpu: i32, fate: Fate) {
        if fate == Fate::Lost {
            let seq = self.number(cpu);
            self.lost.entry(cpu).or_insert((seq, seq)).1 = seq;
            return;
        }
        self.close_gap(cpu);
        let reason = match fate {
            Fate::NotSelected => "not_selected",
            Fate::LaneFull => "lane_full",
            Fate::Row(class) => {
                return self.row(class, cpu, weir_schema::CLASSES[class.index()].actions[0].name, None);
            }
            Fate::Lost => return,
        };
        let seq = self.number(cpu);
        let aggregate = self.aggregates.entry((cpu, reason)).or_insert((seq, seq, 0));
        *aggregate = (aggregate.0, seq, aggregate.2 + 1);
    }

    fn close_gap(&mut self, cpu: i32) {
        let Some((first, last)) = self.lost.remove(&cpu) else {
            return;
        };
        let gap = Loss {
            gap_cpu: cpu,
            first_seq: first,
            last_seq: Some(last),
            count: last - first + 1,
            reason: "ring_full",
            ..Loss::default()
        };
        self.row(ClassId::Loss, CPU_COLLECTOR, "gap", Some(gap));
    }

    /// Makes everything so far visible: aggregates, then checkpoints, or the ends.
    pub fn flush(&mut self, end: bool) {
        for cpu in self.lost.keys().copied().collect::<Vec<_>>() {
            self.close_gap(cpu);
        }
        for ((cpu, reason), (first, last, count)) in std::mem::take(&mut self.aggregates) {
            let gap = Loss {
                gap_cpu: cpu,
                first_seq: first,
                last_seq: Some(last),
                count,
                by_action: Some(format!("open={count}")),
                reason,
                ..Loss::default()
            };
            self.row(ClassId::Loss, CPU_SINK, "gap", Some(gap));
        }
        let action = if end { "end" } else { "checkpoint" };
        let positions: Vec<(i32, i64)> =
            self.next.iter().filter(|(c, _)| **c != CPU_SINK).map(|(c, n)| (*c, *n)).collect();
        let last_ktime_ns = Some(self.ktime_ns);
        let mark = |gap_cpu, first_seq| {
            Some(Loss { gap_cpu, first_seq, last_ktime_ns, reason: "shutdown", ..Loss::default() })
        };
        for (cpu, next) in positions {
            self.row(ClassId::Loss, CPU_SINK, action, mark(cpu, next));
        }
        if end {
            let own = self.next.get(&CPU_SINK).copied().unwrap_or_default();
            self.row(ClassId::Loss, CPU_SINK, "end", mark(CPU_SINK, own + 1));
        }
        self.generation += 1;
    }
}

/// Rows of a run of these attempts with a flush after every `flush_every`; the last flush is the end, if there is one.
pub fn play(attempts: &[(i32, Fate)], flush_every: usize, ended: bool) -> Vec<Row> {
    play_epoch(EPOCH, attempts, flush_every, ended)
}

/// The same for another load of the programs.
pub fn play_epoch(epoch: i64, attempts: &[(i32, Fate)], flush_every: usize, ended: bool) -> Vec<Row> {
    let mut script = Script::new(epoch);
    let mut flushes = attempts.chunks(flush_every.max(1)).peekable();
    while let Some(chunk) = flushes.next() {
        for (cpu, fate) in chunk {
            script.attempt(*cpu, *fate);
        }
        script.flush(ended && flushes.peek().is_none());
    }
    script.rows
}

/// 40 attempts each on three CPUs, three flushes, every kind of fate; the numbers that the tests name are fixed here.
///
/// CPU 0: every 5th number lost, nothing left out. CPU 1: every 4th not selected, every 7th lane full. CPU 2: rows only.
pub fn attempts() -> Vec<(i32, Fate)> {
    let class = |n: i64| [ClassId::Process, ClassId::File, ClassId::Network][(n % 3) as usize];
    let fate = |cpu: i32, n: i64| match (cpu, n) {
        (0, n) if n % 5 == 4 => Fate::Lost,
        (1, n) if n % 4 == 3 => Fate::NotSelected,
        (1, n) if n % 7 == 6 => Fate::LaneFull,
        (_, n) => Fate::Row(class(n)),
    };
    (0..40).flat_map(|n| (0..3).map(move |cpu| (cpu, fate(cpu, n)))).collect()
}

/// [`attempts`] played to the end.
pub fn complete() -> Vec<Row> {
    play(&attempts(), 40, true)
}
