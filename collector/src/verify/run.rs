//! What the rows say about one run: numbers seen, gaps, checkpoints and ends, CPU by CPU.

use std::collections::BTreeMap;

use weir_schema::loss::CPU_SINK;

use super::account::Stream;
use super::clock::Clock;
use super::numbers::Numbers;
use super::report::{Contradiction, Duplicate, GapReport, Place, Problems};
use super::row::{Loss, Row, RowError, by_action, cpu_index, number, required, shown};
use super::spans::{Counted, Span};

/// Spans of doubled numbers that are named per CPU and file.
const DUPLICATE_SPANS_MAX: usize = 8;

/// Reasons of gaps in one run, and actions of one of them: far more than any version of weir has.
const REASONS_MAX: usize = 256;
const ACTIONS_MAX: usize = 4_096;
/// Bytes of the name of one.
const NAME_BYTES_MAX: usize = 256;

/// What the rows say about one load of the programs.
#[derive(Debug)]
pub struct Run {
    /// Column `host`.
    pub host: String,
    /// Column `boot_id`.
    pub boot_id: String,
    /// Column `epoch`.
    pub epoch: i64,
    /// Both clocks.
    pub clock: Clock,
    /// Earliest and latest kernel time.
    pub ktimes: Option<(i64, i64)>,
    /// Rows by class.
    pub rows: BTreeMap<usize, u64>,
    /// Gaps by reason.
    pub gaps: BTreeMap<String, GapReport>,
    /// What was wrong with single rows.
    pub problems: Problems,
    /// Behind the sink's own last checkpoint or end row: its own rows are complete below this number.
    pub sink_marked_to: u64,
    /// A loss file with gaps was removed, and what they were is not known.
    pub gaps_removed: bool,
    /// Files were removed, and which is not known any more.
    pub notes_dropped: bool,
    /// By what [`cpu_index`] makes of them: the sink's and the collector's come first.
    cpus: BTreeMap<usize, Box<Cpu>>,
}

/// What the rows say about one CPU.
#[derive(Debug, Default)]
pub struct Cpu {
    /// Numbers that are rows, and when they were.
    pub rows: Numbers,
    /// Numbers inside gaps that the collector found: none of them is a row.
    pub exact: Vec<Span>,
    /// Spans of which the sink's lane left out a number of rows.
    pub counted: Vec<Counted>,
    /// The same for files that were removed.
    pub removed: Vec<Counted>,
    /// The highest checkpoint.
    pub checkpoint: Option<Mark>,
    /// The lowest checkpoint.
    pub first_checkpoint: Option<Mark>,
    /// The end.
    pub end: Option<Mark>,
}

/// A checkpoint or an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Every number below is accounted for.
    pub next: u64,
    /// Kernel time of the last record.
    pub ktime_ns: i64,
}

impl Run {
    /// Nothing read yet.
    pub fn new(host: &str, boot_id: &str, epoch: i64, named_max: usize) -> Run {
        Run {
            host: host.to_owned(),
            boot_id: boot_id.to_owned(),
            epoch,
            clock: Clock::default(),
            ktimes: None,
            rows: BTreeMap::new(),
            gaps: BTreeMap::new(),
            problems: Problems::new(named_max),
            sink_marked_to: 0,
            gaps_removed: false,
            notes_dropped: false,
            cpus: BTreeMap::new(),
        }
    }

    /// What is known of a CPU, created if nothing was.
    pub fn cpu(&mut self, column: &'static str, cpu: i32) -> Result<&mut Cpu, RowError> {
        Ok(self.cpus.entry(cpu_index(column, cpu)?).or_default())
    }

    /// All CPUs, the collector's and the sink's rows first.
    pub fn take_cpus(&mut self) -> impl Iterator<Item = (i32, Box<Cpu>)> + use<> {
        std::mem::take(&mut self.cpus).into_iter().map(|(index, cpu)| (index as i32 + CPU_SINK, cpu))
    }

    /// Adds a row; true if its number is new.
    pub fn row(&mut self, file: &str, at: u64, class: usize, row: Row, seq: u64) -> Result<bool, RowError> {
        let cpu = self.cpu("cpu", row.cpu)?;
        let new = cpu.rows.insert(seq, row.ktime_ns);
        if !new {
            self.duplicate(file, at, row.cpu, seq);
        }
        let (first, last) = self.ktimes.get_or_insert((row.ktime_ns, row.ktime_ns));
        *first = row.ktime_ns.min(*first);
        *last = row.ktime_ns.max(*last);
        *self.rows.entry(class).or_default() += 1;
        Ok(new)
    }

    #[cold]
    fn duplicate(&mut self, file: &str, at: u64, cpu: i32, seq: u64) {
        let one = Span { first: seq, last: seq };
        let duplicates = &mut self.problems.duplicates;
        let Some(known) = duplicates.named.iter_mut().find(|d| d.cpu == cpu && d.at.file == file) else {
            let at = Place { file: file.to_owned(), row: at };
            duplicates.push(1, || Duplicate { cpu, at, rows: 1, numbers: vec![one] });
            return;
        };
        duplicates.total += 1;
        known.rows += 1;
        if let Some(last) = known.numbers.last_mut().filter(|last| last.last + 1 == seq) {
            last.last = seq;
        } else if known.numbers.len() < DUPLICATE_SPANS_MAX {
            known.numbers.push(one);
        }
    }

    /// Adds what a row of class `loss` says. To be called once per number: a doubled row says nothing new.
    pub fn loss(&mut self, stream: &Stream, at: u64, row: Row, loss: Loss<'_>) -> Result<(), RowError> {
        let place = || Place { file: stream.file.clone(), row: at };
        match loss.action {
            "gap" => self.gap(place, row, loss),
            "checkpoint" => self.mark(place, row, loss, false),
            "end" => self.mark(place, row, loss, true),
            other => Err(RowError::Action(shown(other))),
        }
    }

    fn gap(&mut self, place: impl Fn() -> Place, row: Row, loss: Loss<'_>) -> Result<(), RowError> {
        let count = required("count", loss.count)?;
        let reason = loss.reason.ok_or(RowError::Null("reason"))?;
        let by_action_sum = self.count_gap(reason, count, loss.by_action)?;
        let Some(first) = loss.first_seq else {
            return Ok(());
        }; // attempts that took no number
        let first = number("first_seq", first)?;
        let last = required("last_seq", loss.last_seq)?;
        if last < first {
            return Err(RowError::Backwards(first, last));
        }
        let gap_cpu = loss.gap_cpu.ok_or(RowError::Null("gap_cpu"))?;
        let span = Span { first, last };
        // Who made the row says how to read it: the lane's gaps are sums, the collector's are exact.
        let aggregate = row.cpu == CPU_SINK;
        let cpu = self.cpu("gap_cpu", gap_cpu)?;
        let wrong = if aggregate {
            cpu.counted.push(Counted::exactly(span, count));
            by_action_sum.filter(|sum| *sum != count).map(|sum| format!("gap counts {count}, its actions {sum}"))
        } else {
            cpu.exact.push(span);
            let numbers = span.numbers();
            (numbers != count).then(|| format!("gap counts {count}, its span has {numbers} numbers"))
        };
        if let Some(what) = wrong {
            self.contradict(gap_cpu, Some(span), what, place());
        }
        Ok(())
    }

    /// Adds to the totals of a reason; the sum of `by_action`, if there is one.
    fn count_gap(&mut self, reason: &str, count: u64, actions: Option<&str>) -> Result<Option<u64>, RowError> {
        let is_new = !self.gaps.contains_key(reason);
        if is_new && self.gaps.len() == REASONS_MAX {
            return Err(RowError::Names("reason", REASONS_MAX));
        }
        if reason.len() > NAME_BYTES_MAX {
            return Err(RowError::TooLong("reason", NAME_BYTES_MAX));
        }
        let total = self.gaps.entry(reason.to_owned()).or_default();
        total.count = total.count.saturating_add(count);
        let Some(text) = actions else { return Ok(None) };
        let mut sum: u64 = 0;
        for part in by_action(text) {
            let (action, count) = part?;
            sum = sum.saturating_add(count);
            let names = total.by_action.len();
            match total.by_action.get_mut(action) {
                Some(known) => *known = known.saturating_add(count),
                None if action.len() > NAME_BYTES_MAX => return Err(RowError::TooLong("by_action", NAME_BYTES_MAX)),
                None if names == ACTIONS_MAX => return Err(RowError::Names("by_action", ACTIONS_MAX)),
                None => drop(total.by_action.insert(action.to_owned(), count)),
            }
        }
        Ok(Some(sum))
    }

    fn mark(&mut self, place: impl Fn() -> Place, row: Row, loss: Loss<'_>, end: bool) -> Result<(), RowError> {
        let next = required("first_seq", loss.first_seq)?;
        let gap_cpu = loss.gap_cpu.ok_or(RowError::Null("gap_cpu"))?;
        let seq = number("seq", row.seq)?;
        if row.cpu == CPU_SINK {
            self.sink_marked_to = self.sink_marked_to.max(seq + 1);
        }
        let mark = Mark { next, ktime_ns: loss.last_ktime_ns.unwrap_or(row.ktime_ns) };
        let cpu = self.cpu("gap_cpu", gap_cpu)?;
        if !end {
            cpu.checkpoint = cpu.checkpoint.filter(|known| known.next >= next).or(Some(mark));
            cpu.first_checkpoint = cpu.first_checkpoint.filter(|known| known.next <= next).or(Some(mark));
            return Ok(());
        }
        let known = *cpu.end.get_or_insert(mark);
        if known.next != next {
            self.contradict(gap_cpu, None, format!("ends at {} and at {next}", known.next), place());
        }
        if gap_cpu == CPU_SINK && (row.cpu, next) != (CPU_SINK, seq + 1) {
            let what = format!("the sink's own end says {next}, its number is {seq}");
            self.contradict(gap_cpu, None, what, place());
        }
        Ok(())
    }

    fn contradict(&mut self, cpu: i32, numbers: Option<Span>, what: String, at: Place) {
        self.problems.contradictions.push(1, || Contradiction { cpu, numbers, what, at: Some(at) });
    }
}
