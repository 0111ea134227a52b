//! Sums of sequence numbers by CPU and by what became of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_schema::loss::CPU_SINK;
use weir_schema::{ClassId, Reason};

use super::select::ClassSet;
use crate::loss_rows::{Counted, exact_gaps};
use crate::{Cut, Identity, Position, Tally};

/// Numbers of one CPU that share a fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub cpu: i32,
    pub first_seq: i64,
    pub last_seq: i64,
    pub count: i64,
    /// Kernel time before the first of them, if known.
    pub since_ktime_ns: Option<i64>,
}

/// Numbers of all CPUs that share a fate; as large as there are CPUs and actions. Sums stop at the ends of their range: what a
/// file says of them can be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(crate) struct Account {
    /// By CPU.
    spans: BTreeMap<i32, Span>,
    /// By CPU and thing counted.
    counts: BTreeMap<(i32, u32), (Counted, i64)>,
}

/// An account as it stands in files.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    spans: Vec<Span>,
    counts: Vec<(i32, Counted, i64)>,
}

impl From<Stored> for Account {
    fn from(stored: Stored) -> Account {
        let mut account = Account::default();
        stored.spans.into_iter().for_each(|s| account.span(s));
        stored.counts.into_iter().for_each(|(cpu, what, n)| account.count(cpu, what, n));
        account
    }
}

impl From<Account> for Stored {
    fn from(account: Account) -> Stored {
        Stored { counts: account.counts().collect(), spans: account.spans.into_values().collect() }
    }
}

impl Account {
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The numbers of these tallies.
    pub fn of_tallies(tallies: &[Tally]) -> Account {
        let mut account = Account::default();
        for t in tallies {
            let (cpu, first_seq, last_seq, count) = (t.cpu, t.first_seq, t.last_seq, t.count);
            account.add(Span { cpu, first_seq, last_seq, count, since_ktime_ns: None }, Counted::Action(t.action));
        }
        account
    }

    /// Without the rows that the lane made itself.
    pub fn without_own(mut self) -> Account {
        self.spans.retain(|cpu, _| *cpu != CPU_SINK);
        self.counts.retain(|(cpu, _), _| *cpu != CPU_SINK);
        self
    }

    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.values()
    }

    pub fn counts(&self) -> impl Iterator<Item = (i32, Counted, i64)> {
        self.counts.iter().map(|((cpu, _), (what, n))| (*cpu, *what, *n))
    }

    /// The counts of one CPU, as `by_action` shows them.
    pub fn by_action(&self, cpu: i32) -> impl Iterator<Item = (Counted, i64)> {
        self.counts.range((cpu, u32::MIN)..=(cpu, u32::MAX)).map(|(_, counted)| *counted)
    }

    fn span(&mut self, span: Span) {
        let Some(known) = self.spans.get_mut(&span.cpu) else {
            self.spans.insert(span.cpu, span);
            return;
        };
        if span.first_seq < known.first_seq {
            known.since_ktime_ns = span.since_ktime_ns;
        }
        known.first_seq = known.first_seq.min(span.first_seq);
        known.last_seq = known.last_seq.max(span.last_seq);
        known.count = known.count.saturating_add(span.count);
    }

    fn count(&mut self, cpu: i32, what: Counted, n: i64) {
        let known = &mut self.counts.entry((cpu, what.key())).or_insert((what, 0)).1;
        *known = known.saturating_add(n);
    }

    fn add(&mut self, span: Span, what: Counted) {
        if span.count > 0 {
            self.count(span.cpu, what, span.count);
            self.span(span);
        }
    }

    pub fn merge(&mut self, other: &Account) {
        other.spans.values().for_each(|s| self.span(*s));
        other.counts().for_each(|(cpu, what, n)| self.count(cpu, what, n));
    }
}

/// The numbers of a cut, as one lane sees them.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// Rows for the sink, and numbers inside the exact gaps that its loss rows name.
    pub selected: Account,
    /// Numbers that the sink's selection leaves out, void ones included.
    pub withheld: Account,
    /// What the spool does not have any more.
    pub spool: Losses,
    /// Numbers before the cut that the lane never had, because it joined the stream behind them.
    pub before: Account,
}

impl Split {
    /// Numbers of a CPU.
    pub fn numbers_of(&self, cpu: i32) -> i64 {
        let spool = self.spool.by_reason().into_iter().map(|(_, account)| account);
        let accounts = [&self.selected, &self.withheld].into_iter().chain(spool);
        accounts.filter_map(|a| a.spans.get(&cpu)).fold(0, |sum, s| sum.saturating_add(s.count))
    }

    /// What is between `frontier` and where the stream was when the lane joined it. Without `joined` the cut's own numbers
    /// say where it begins, which is right unless rings were full just then; a damaged cut tells all below it as damage.
    pub fn find_before(&mut self, cut: &Cut, frontier: Option<&Frontier>, joined: &[Position]) {
        let begins = match joined {
            [] if cut.damaged => vec![],
            [] => cut.begins_at(),
            joined => joined.to_vec(),
        };
        for p in begins {
            let known = frontier.and_then(|f| f.position(p.cpu)).map_or((0, None), |k| (k.next_seq, Some(k.ktime_ns)));
            let count = p.next_seq.saturating_sub(known.0);
            if count > 0 {
                let (cpu, first_seq, since_ktime_ns) = (p.cpu, known.0, known.1);
                let span = Span { cpu, first_seq, last_seq: p.next_seq - 1, count, since_ktime_ns };
                self.before.add(span, Counted::Unknown);
            }
        }
    }

    /// `before` is where the stream stood before the cut.
    pub fn of(cut: &Cut, classes: ClassSet, before: Option<&Frontier>) -> Split {
        let since = |cpu| before.and_then(|f| f.position(cpu)).map(|p| p.ktime_ns);
        let mut split = Split::default();
        for (tallies, is_there) in [(&cut.tallies, true), (&cut.dropped, false)] {
            for t in tallies {
                let account = match (classes.has_action(t.action), is_there) {
                    (false, _) => &mut split.withheld,
                    (true, true) => &mut split.selected,
                    (true, false) => &mut split.spool.spool_full,
                };
                let (cpu, first_seq, last_seq, count) = (t.cpu, t.first_seq, t.last_seq, t.count);
                let span = Span { cpu, first_seq, last_seq, count, since_ktime_ns: since(cpu) };
                account.add(span, Counted::Action(t.action));
            }
        }
        if cut.damaged {
            split.spool.spool_damaged = passed_over(cut, before);
        }
        for batch in cut.batches.iter().filter(|b| b.class.id == ClassId::Loss) {
            for gap in exact_gaps(&batch.rows) {
                let span = Span {
                    cpu: gap.cpu,
                    first_seq: gap.first_seq,
                    last_seq: gap.last_seq,
                    count: gap.count,
                    since_ktime_ns: since(gap.cpu),
                };
                split.selected.add(span, Counted::Gap(gap.reason));
            }
        }
        split
    }
}

/// The numbers between where the stream stood and a cut that nobody can read.
fn passed_over(cut: &Cut, before: Option<&Frontier>) -> Account {
    let mut account = Account::default();
    for p in &cut.positions {
        let known = before.and_then(|f| f.position(p.cpu));
        let (first_seq, last_seq) = (known.map_or(0, |known| known.next_seq), p.next_seq.saturating_sub(1));
        let count = p.next_seq.saturating_sub(first_seq);
        let span = Span { cpu: p.cpu, first_seq, last_seq, count, since_ktime_ns: known.map(|known| known.ktime_ns) };
        account.add(span, Counted::Gap(Reason::SpoolDamaged));
    }
    account
}

/// Where the stream stands.
#[derive(Debug, Clone)]
pub(crate) struct Frontier {
    pub identity: Identity,
    pub clock_offset_ns: i64,
    /// No row so far is later: kernel time of the rows that the lane makes here, ns.
    pub ktime_ns: i64,
    /// One per CPU, ascending.
    positions: Vec<Position>,
}

impl Frontier {
    /// A frontier as it was stored.
    pub fn at(identity: Identity, clock_offset_ns: i64, ktime_ns: i64, positions: Vec<Position>) -> Frontier {
        let mut positions = positions;
        positions.sort_by_key(|p| p.cpu);
        positions.dedup_by_key(|p| p.cpu);
        Frontier { identity, clock_offset_ns, ktime_ns, positions }
    }

    /// The frontier behind `cut`, which follows `before`.
    pub fn behind(cut: &Cut, before: Option<Frontier>) -> Frontier {
        let mut frontier = before.unwrap_or_else(|| Frontier {
            identity: cut.identity.clone(),
            clock_offset_ns: cut.clock_offset_ns,
            ktime_ns: 0,
            positions: Vec::new(),
        });
        frontier.clock_offset_ns = cut.clock_offset_ns;
        frontier.identity = cut.identity.clone();
        for p in &cut.positions {
            frontier.ktime_ns = frontier.ktime_ns.max(p.ktime_ns);
            match frontier.positions.binary_search_by_key(&p.cpu, |known| known.cpu) {
                Ok(at) => frontier.positions[at] = *p,
                Err(at) => frontier.positions.insert(at, *p),
            }
        }
        for batch in &cut.batches {
            frontier.ktime_ns = frontier.ktime_ns.max(batch.ktimes().last().copied().unwrap_or(0));
        }
        frontier
    }

    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    pub fn position(&self, cpu: i32) -> Option<&Position> {
        self.positions.binary_search_by_key(&cpu, |p| p.cpu).ok().map(|at| &self.positions[at])
    }

    pub fn ktime_of(&self, cpu: i32) -> i64 {
        self.position(cpu).map_or(self.ktime_ns, |p| p.ktime_ns)
    }
}

/// Losses of one sink that its data does not show yet, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Losses {
    pub lane_full: Account,
    pub sink_refused: Account,
    #[serde(default)]
    pub spool_full: Account,
    #[serde(default)]
    pub spool_damaged: Account,
}

impl Losses {
    pub fn is_empty(&self) -> bool {
        self.by_reason().iter().all(|(_, account)| account.is_empty())
    }

    pub fn by_reason(&self) -> [(Reason, &Account); 4] {
        [
            (Reason::LaneFull, &self.lane_full),
            (Reason::SinkRefused, &self.sink_refused),
            (Reason::SpoolFull, &self.spool_full),
            (Reason::SpoolDamaged, &self.spool_damaged),
        ]
    }

    pub fn merge(&mut self, other: &Losses) {
        self.lane_full.merge(&other.lane_full);
        self.sink_refused.merge(&other.sink_refused);
        self.spool_full.merge(&other.spool_full);
        self.spool_damaged.merge(&other.spool_damaged);
    }

    /// Moves everything to `to`.
    pub fn drain_into(&mut self, to: &mut Losses) {
        to.merge(self);
        self.clear();
    }

    pub fn clear(&mut self) {
        *self = Losses::default();
    }
}
