//! Sums of sequence numbers by CPU and by what became of them.

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

/// Numbers of all CPUs that share a fate; as large as there are CPUs and actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// One per CPU, ascending.
    spans: Vec<Span>,
    /// One per CPU and thing counted, ascending.
    counts: Vec<(i32, Counted, i64)>,
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
        self.spans.retain(|s| s.cpu != CPU_SINK);
        self.counts.retain(|(cpu, _, _)| *cpu != CPU_SINK);
        self
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    pub fn counts(&self) -> &[(i32, Counted, i64)] {
        &self.counts
    }

    /// The counts of one CPU, as `by_action` shows them.
    pub fn by_action(&self, cpu: i32) -> impl Iterator<Item = (Counted, i64)> {
        self.counts.iter().filter(move |(c, _, _)| *c == cpu).map(|(_, what, n)| (*what, *n))
    }

    fn span(&mut self, span: Span) {
        match self.spans.binary_search_by_key(&span.cpu, |s| s.cpu) {
            Err(at) => self.spans.insert(at, span),
            Ok(at) => {
                let known = &mut self.spans[at];
                if span.first_seq < known.first_seq {
                    known.since_ktime_ns = span.since_ktime_ns;
                }
                known.first_seq = known.first_seq.min(span.first_seq);
                known.last_seq = known.last_seq.max(span.last_seq);
                known.count += span.count;
            }
        }
    }

    fn count(&mut self, cpu: i32, what: Counted, n: i64) {
        match self.counts.binary_search_by_key(&(cpu, what.key()), |(c, w, _)| (*c, w.key())) {
            Err(at) => self.counts.insert(at, (cpu, what, n)),
            Ok(at) => self.counts[at].2 += n,
        }
    }

    fn add(&mut self, span: Span, what: Counted) {
        if span.count > 0 {
            self.count(span.cpu, what, span.count);
            self.span(span);
        }
    }

    pub fn merge(&mut self, other: &Account) {
        other.spans.iter().for_each(|s| self.span(*s));
        other.counts.iter().for_each(|(cpu, what, n)| self.count(*cpu, *what, *n));
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
        accounts.flat_map(|a| a.spans()).filter(|s| s.cpu == cpu).map(|s| s.count).sum()
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
            let count = p.next_seq - known.0;
            if count > 0 {
                let (cpu, first_seq, since_ktime_ns) = (p.cpu, known.0, known.1);
                let span = Span { cpu, first_seq, last_seq: first_seq + count - 1, count, since_ktime_ns };
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
        let (first_seq, last_seq) = (known.map_or(0, |known| known.next_seq), p.next_seq - 1);
        let count = p.next_seq - first_seq;
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
        self.positions.iter().find(|p| p.cpu == cpu)
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
