//! Whether what the rows say adds up: `rows + exact gaps + counts of aggregates = numbers`, CPU by CPU.

use weir_schema::ClassId;
use weir_schema::loss::{CPU_SINK, Reason};

use super::clock::Clock;
use super::numbers::Numbers;
use super::report::{Contradiction, CpuReport, Missing, Problems, RunReport, Unbalanced, Verdict};
use super::run::{Cpu, Mark, Run};
use super::spans::{self, Counted, Met, Span, walk};

/// Judges one run; `classes` are the names of its row counts.
pub fn judge(mut run: Run, classes: &[String]) -> RunReport {
    let mut cpus: Vec<(i32, Box<Cpu>)> = run.take_cpus().collect();
    let sink_ended = cpus.iter().any(|(number, cpu)| *number == CPU_SINK && cpu.end.is_some());
    let reports: Vec<CpuReport> =
        cpus.iter_mut().map(|(number, cpu)| judge_cpu(&mut run, *number, cpu, sink_ended)).collect();
    let ended = sink_ended && reports.iter().all(|r| r.ended);
    let verdict = match (run.problems.is_empty(), ended) {
        (false, _) => Verdict::Faulty,
        (true, true) => Verdict::Complete,
        (true, false) => Verdict::OpenEnd,
    };
    summarize(run, classes, verdict, reports)
}

fn summarize(run: Run, classes: &[String], verdict: Verdict, cpus: Vec<CpuReport>) -> RunReport {
    let loss = weir_schema::CLASSES[ClassId::Loss.index()].name;
    let named = |(class, rows): (usize, u64)| Some((classes.get(class)?.clone(), rows));
    let rows = run.rows.into_iter().filter_map(named).collect();
    let delivered = std::collections::BTreeMap::iter(&rows).filter(|(class, _)| *class != loss).map(|(_, n)| *n).sum();
    let not_lost = Reason::NotSelected.name();
    let lost = run.gaps.iter().filter(|(reason, _)| *reason != not_lost);
    let lost = lost.fold(0u64, |sum, (_, gap)| sum.saturating_add(gap.count));
    RunReport {
        first: run.ktimes.map(|(first, _)| run.clock.moment(first)),
        last: run.ktimes.map(|(_, last)| run.clock.moment(last)),
        host: run.host,
        boot_id: run.boot_id,
        epoch: run.epoch,
        verdict,
        rows,
        gaps: run.gaps,
        delivered,
        lost,
        lost_percent: percent(lost, delivered),
        cpus,
        problems: run.problems,
    }
}

/// Share of `part` in `part + rest`; 0 of nothing.
fn percent(part: u64, rest: u64) -> f64 {
    let whole = part as f64 + rest as f64;
    if whole == 0.0 { 0.0 } else { 100.0 * part as f64 / whole }
}

/// How far a CPU is judged.
struct Limit {
    /// Numbers below must be accounted for.
    below: u64,
    /// It is the end: nothing may be above.
    ended: bool,
    /// Kernel time of the last number below.
    ktime_ns: Option<i64>,
    /// Below this number rows and gaps may have been removed with their file, and nothing says which.
    lenient_below: u64,
}

fn limit(run: &mut Run, number: i32, cpu: &Cpu, sink_ended: bool) -> Limit {
    let contradict = |problems: &mut Problems, what| {
        problems.contradictions.push(1, || Contradiction { cpu: number, numbers: None, what, at: None });
    };
    // What is removed is older than what is left: it lies below the lowest mark, or the sink's lowest row.
    let lowest = match cpu.first_checkpoint.or(cpu.end) {
        _ if number == CPU_SINK => cpu.rows.first().filter(|_| run.notes_dropped),
        mark => mark.map(|mark| mark.next).filter(|_| run.gaps_removed || run.notes_dropped),
    };
    let lenient_below = lowest.unwrap_or(0);
    let from = |mark: Mark, ended| Limit { below: mark.next, ended, ktime_ns: Some(mark.ktime_ns), lenient_below };
    if let Some(end) = cpu.end {
        if let Some(checkpoint) = cpu.checkpoint.filter(|c| c.next > end.next) {
            contradict(
                &mut run.problems,
                format!("checkpoint at {} is beyond the end at {}", checkpoint.next, end.next),
            );
        }
        return from(end, true);
    }
    if sink_ended {
        contradict(&mut run.problems, "has no end, though the run ended".to_owned());
    }
    match cpu.checkpoint {
        Some(checkpoint) => from(checkpoint, false),
        // The sink's own rows have no checkpoint: they are written in order, its checkpoints last.
        None if number == CPU_SINK => Limit { below: run.sink_marked_to, ended: false, ktime_ns: None, lenient_below },
        None => Limit { below: 0, ended: false, ktime_ns: None, lenient_below },
    }
}

fn judge_cpu(run: &mut Run, number: i32, cpu: &mut Cpu, sink_ended: bool) -> CpuReport {
    cpu.rows.close();
    let limit = limit(run, number, cpu, sink_ended);
    let mut namer = Namer { cpu: number, clock: run.clock, times: &cpu.rows, problems: &mut run.problems };
    spans::merge(&mut cpu.exact, |twice| namer.contradict(twice, "in two exact gaps"));
    let sum = |list: &[Counted]| list.iter().fold(0u64, |sum, c| sum.saturating_add(c.least));
    let (counted, removed) = (sum(&cpu.counted), sum(&cpu.removed));
    let mut aggregates = std::mem::take(&mut cpu.counted);
    aggregates.append(&mut cpu.removed);
    spans::unite(&mut aggregates);
    let mut balance = Balance::new(&aggregates, &limit);
    let exact = cpu.exact.iter().copied();
    walk(cpu.rows.runs(), exact, balance.end(), |met| match met {
        Met::Both(span) => namer.contradict(span, "both a row and inside an exact gap"),
        Met::Hole(span) => balance.hole(span, &mut namer),
    });
    balance.close(&mut namer);
    let (unexplained, removed) = (balance.unexplained, removed.saturating_add(balance.uncounted));
    if limit.ended {
        let gaps = cpu.exact.iter().copied().chain(aggregates.iter().map(|c| c.span));
        beyond_end(&limit, cpu.rows.runs().chain(gaps), &mut namer);
    }
    let rows = limit.below.checked_sub(1).map_or(0, |last| cpu.rows.rank(last));
    let last_ktime = limit.ktime_ns.or_else(|| cpu.rows.below(limit.below)).filter(|_| limit.below > 0);
    CpuReport {
        cpu: number,
        judged_below: limit.below,
        ended: limit.ended,
        last: last_ktime.map(|ktime| run.clock.moment(ktime)),
        rows,
        in_gaps: cpu.exact.iter().map(Span::numbers).sum(),
        counted,
        removed,
        unexplained,
        rows_beyond: cpu.rows.len() - rows,
    }
}

fn beyond_end(limit: &Limit, spans: impl Iterator<Item = Span>, namer: &mut Namer<'_>) {
    for span in spans.filter(|span| span.last >= limit.below) {
        let beyond = Span { first: span.first.max(limit.below), ..span };
        let named = namer.around(beyond);
        namer.problems.beyond_end.push(beyond.numbers(), || named);
    }
}

/// Names problems of one CPU.
struct Namer<'a> {
    cpu: i32,
    clock: Clock,
    times: &'a Numbers,
    problems: &'a mut Problems,
}

impl Namer<'_> {
    fn around(&mut self, numbers: Span) -> Missing {
        let after = self.times.below(numbers.first).map(|ktime| self.clock.moment(ktime));
        let before = self.times.above(numbers.last).map(|ktime| self.clock.moment(ktime));
        Missing { cpu: self.cpu, numbers, after, before }
    }

    fn contradict(&mut self, numbers: Span, what: &str) {
        let (cpu, what) = (self.cpu, what.to_owned());
        let entry = || Contradiction { cpu, numbers: Some(numbers), what, at: None };
        self.problems.contradictions.push(1, entry);
    }
}

/// Holes against the spans that aggregates count.
struct Balance<'a> {
    aggregates: &'a [Counted],
    /// Of each aggregate: numbers without row or exact gap, all of them and those that are judged.
    absent: Vec<(u64, u64)>,
    /// First aggregate that the next hole can touch: holes come in ascending order.
    next: usize,
    limit: &'a Limit,
    /// Absent numbers below [`Limit::lenient_below`].
    unexplained: u64,
    /// Absent numbers inside removed files whose count is not known.
    uncounted: u64,
}

impl<'a> Balance<'a> {
    fn new(aggregates: &'a [Counted], limit: &'a Limit) -> Balance<'a> {
        Balance { aggregates, absent: vec![(0, 0); aggregates.len()], next: 0, limit, unexplained: 0, uncounted: 0 }
    }

    /// Number behind the last one of interest.
    fn end(&self) -> u64 {
        self.aggregates.last().map_or(0, |c| c.span.last + 1).max(self.limit.below)
    }

    fn hole(&mut self, hole: Span, namer: &mut Namer<'_>) {
        let mut from = hole.first;
        while let Some(aggregate) = self.aggregates.get(self.next).filter(|a| a.span.first <= hole.last) {
            if let Some(inside) = aggregate.span.within(&Span { first: from, last: hole.last }) {
                if inside.first > from {
                    self.missing(Span { first: from, last: inside.first - 1 }, namer);
                }
                let absent = &mut self.absent[self.next];
                absent.0 = absent.0.saturating_add(inside.numbers());
                absent.1 = absent.1.saturating_add(self.limit.judged(inside).map_or(0, |part| part.numbers()));
                from = inside.last + 1;
            }
            if aggregate.span.last > hole.last {
                break;
            }
            self.next += 1;
        }
        if from <= hole.last {
            self.missing(Span { first: from, last: hole.last }, namer);
        }
    }

    fn missing(&mut self, span: Span, namer: &mut Namer<'_>) {
        let Some(mut span) = self.limit.judged(span) else {
            return;
        };
        if span.first < self.limit.lenient_below {
            let lenient = Span { first: span.first, last: span.last.min(self.limit.lenient_below - 1) };
            self.unexplained = self.unexplained.saturating_add(lenient.numbers());
            if lenient.last == span.last {
                return;
            }
            span.first = lenient.last + 1;
        }
        let named = namer.around(span);
        namer.problems.missing.push(span.numbers(), || named);
    }

    /// Compares every aggregate with the numbers that are absent from its span.
    fn close(&mut self, namer: &mut Namer<'_>) {
        for (aggregate, (absent, judged)) in self.aggregates.iter().zip(std::mem::take(&mut self.absent)) {
            // Above an open end more may be absent than was counted so far.
            let expected = if self.limit.ended { absent } else { judged };
            let (least, most) = (aggregate.least, aggregate.most);
            if least <= absent && expected <= most {
                self.uncounted = self.uncounted.saturating_add((most - least).min(absent - least));
                continue;
            }
            let counted = if most < expected { most } else { least };
            if counted < expected && aggregate.span.first < self.limit.lenient_below {
                self.unexplained = self.unexplained.saturating_add(expected - counted);
                continue;
            }
            let at = namer.around(aggregate.span);
            let absent = if counted < expected { expected } else { absent };
            namer.problems.unbalanced.push(counted.abs_diff(absent), || Unbalanced { at, counted, absent });
        }
    }
}

impl Limit {
    /// The part of a span below the limit.
    fn judged(&self, span: Span) -> Option<Span> {
        let last = span.last.min(self.below.checked_sub(1)?);
        (span.first <= last).then_some(Span { first: span.first, last })
    }
}
