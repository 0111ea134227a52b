//! The reader's loop: drain, nap, sleep, wake.
//!
//! While records come it drains about once a nap, so that a flood costs no wake-ups and few rounds. After a few naps on
//! empty rings it tells the programs that it sleeps and waits; the next record wakes it. An idle machine has no ticks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_bpf::ring::barrier;
use weir_bpf::{Loaded, ProgramCounters};
use weir_schema::Reason;
use weir_sinks::Position;

use super::hotplug::Hotplug;
use super::in_force::{InForce, tell_cgroups};
use super::orders::{Filtered, Inbox, Order};
use super::stop::Stop;
use crate::assemble::Limits;
use crate::host::clock::boottime_ns;
use crate::numbers::Gap;
use crate::operate::{Board, Published, RingFill};
use crate::order::{Round, Sequencer};
use crate::pipeline::{Marks, Pipeline};
use crate::rings::{CpuRing, Waiter};
use crate::spool::CommitWatch;

/// A backlog above this share of the ring is drained again at once, without a nap.
const BACKLOG_SHARE: u64 = 16;
/// How often the kernel's counters of skipped runs are read while records come.
const MISSES_EVERY: Duration = Duration::from_secs(1);
/// How often a sleeping reader looks for names that it waits for.
const NAMES_EVERY: Duration = Duration::from_millis(20);

/// Waits of the loop.
#[derive(Debug, Clone, Copy)]
pub struct Naps {
    /// One nap.
    pub nap: Duration,
    /// Naps on empty rings before sleep.
    pub before_sleep: u32,
}

/// Everything that the loop turns.
pub struct Driver {
    /// Programs and shared memory.
    pub loaded: Loaded,
    /// Order.
    pub sequencer: Sequencer<CpuRing>,
    /// Rows and lanes.
    pub pipeline: Pipeline,
    /// What to wait on.
    pub waiter: Waiter,
    /// CPUs that come online.
    pub hotplug: Option<Hotplug>,
    /// Waits.
    pub naps: Naps,
    /// Bytes of a ring.
    pub ring_bytes: u64,
    /// Told after every drain.
    pub watch: Arc<super::status::Watch>,
    /// Room that waits for the log.
    pub held: Option<Held>,
    /// Told about every round, and about once a second what was counted.
    pub board: Arc<Board>,
    /// Changes between two rounds.
    pub inbox: Inbox,
    /// What the programs were told.
    pub in_force: InForce,
    /// Of cuts.
    pub limits: Limits,
    /// What was counted of attempts without a number.
    pub counted: Counted,
    /// A runtime was asked for a container's names and has not answered.
    pub awaits_names: bool,
    /// When the rings were looked at last, or a sleep ended.
    pub looked: Instant,
}

/// What the kernel's counters said when they were read last.
pub struct Counted {
    programs: Arc<Vec<ProgramCounters>>,
    misses: u64,
    filter_full: u64,
    at: Instant,
}

impl Counted {
    /// At the start.
    pub fn new(loaded: &Loaded) -> Counted {
        Counted { programs: Arc::new(loaded.counters()), misses: 0, filter_full: 0, at: Instant::now() }
    }
}

/// What a round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    Nothing,
    /// All that was there.
    All,
    /// There is more.
    Part,
}

/// Where the rings stand, for a cut; with what a restart needs, if one can go on.
pub fn marks(sequencer: &Sequencer<CpuRing>, resumes: bool) -> Marks {
    let position = |(cpu, next, ktime_ns)| Position { cpu: cpu as i32, next_seq: next as i64, ktime_ns };
    let positions = sequencer.positions().map(|(cpu, next, time): (usize, u64, i64)| position((cpu, next, time)));
    // Only numbers and lists of them: writing them as JSON cannot fail.
    let resume = if resumes { serde_json::to_string(&sequencer.state()).unwrap_or_default() } else { String::new() };
    Marks { positions: positions.collect(), resume }
}

/// Ring room that is given back only when the records of it are in the log: written, so that nobody who kills the collector
/// takes them away. A power cut that takes what is not synced takes the rings as well.
pub struct Held {
    commits: Arc<CommitWatch>,
    /// Number of a cut, and up to where the rings had been read when it closed.
    cuts: VecDeque<(u64, Vec<u64>)>,
}

impl Held {
    /// Nothing is held yet.
    pub fn new(commits: Arc<CommitWatch>) -> Held {
        Held { commits, cuts: VecDeque::new() }
    }

    /// Where the rings stood at the last of the cuts that are in the log now.
    fn written(&mut self) -> Option<Vec<u64>> {
        let below = self.commits.written.load(Ordering::Acquire);
        let count = self.cuts.partition_point(|(number, _)| *number < below);
        self.cuts.drain(..count).next_back().map(|(_, emitted)| emitted)
    }
}

/// The clock of the order: read before the positions, with a full barrier between.
fn clock() -> i64 {
    let now = boottime_ns();
    barrier();
    now
}

/// One round of the sequencer into the pipeline.
fn rows_of_round(sequencer: &mut Sequencer<CpuRing>, pipeline: &mut Pipeline) -> Round {
    let mut gaps: Vec<Gap> = vec![];
    let emit = |cpu: usize, record: &[u8]| {
        pipeline.record(cpu, record);
        !pipeline.is_full()
    };
    let round = sequencer.round(clock, emit, &mut gaps);
    gaps.iter().for_each(|gap| pipeline.gap(gap));
    round
}

/// One round with its cuts, of rings that nobody writes to any more; false when they are empty.
pub fn read_round(sequencer: &mut Sequencer<CpuRing>, pipeline: &mut Pipeline) -> bool {
    let round = rows_of_round(sequencer, pipeline);
    let full = pipeline.is_full();
    pipeline.close_due(!full && !round.more, Instant::now(), || marks(sequencer, false));
    full || round.more || round.pending || round.emitted > 0
}

impl Driver {
    /// One round and the cuts that it makes due; returns what there was.
    fn drain(&mut self) -> Drained {
        let produced = self.board.produced();
        let round = rows_of_round(&mut self.sequencer, &mut self.pipeline);
        let full = self.pipeline.is_full();
        let sequencer = &self.sequencer;
        let drained = !full && !round.more;
        let resumes = self.held.is_some();
        let now = Instant::now();
        self.pipeline.close_due(drained, now, || marks(sequencer, resumes));
        self.release_held();
        self.board.round(now, produced);
        self.note_stall(round.emitted > 0);
        if round.emitted > 0 && self.counted.at.elapsed() >= MISSES_EVERY {
            self.count_unnumbered(round.watermark_ns);
        }
        match (drained, round.emitted) {
            (true, 0) => Drained::Nothing,
            (true, _) => Drained::All,
            (false, _) => Drained::Part,
        }
    }

    /// How long records waited for this round.
    fn note_stall(&mut self, has_found: bool) {
        let now = Instant::now();
        if has_found {
            self.board.came_round_after(now.duration_since(self.looked));
        }
        self.looked = now;
    }

    /// Waits until what was read has somewhere to go: a nap at a time, never for a thread that is in a call on a file.
    fn wait_for_room(&mut self) {
        let since = Instant::now();
        thread::sleep(self.naps.nap);
        self.release_held();
        self.board.held_up(since.elapsed());
    }

    /// Does what was asked for.
    fn obey(&mut self) {
        while let Some(order) = self.inbox.next() {
            match order {
                Order::Filters(to, answer) => {
                    let changed = self.in_force.change(&mut self.loaded, &mut self.pipeline, *to);
                    // Who asked may have given up.
                    let _ = answer.send(Filtered { settings: self.in_force.settings().clone(), changed });
                }
                Order::Lanes(pace, edit, answer) => {
                    let (sequencer, resumes) = (&self.sequencer, self.held.is_some());
                    self.pipeline.edit(pace, self.limits, edit, answer, || marks(sequencer, resumes));
                    self.release_held();
                }
            }
        }
    }

    /// What is not on the way of an event.
    fn tend(&mut self) {
        self.awaits_names = self.pipeline.tend(Instant::now());
        tell_cgroups(&self.loaded, &mut self.pipeline);
    }

    /// Gives ring room back as far as the log has it.
    fn release_held(&mut self) {
        let Some(held) = &mut self.held else { return };
        if let Some(number) = self.pipeline.take_closed() {
            held.cuts.push_back((number, self.sequencer.emitted()));
        }
        if let Some(emitted) = held.written() {
            self.sequencer.release(&emitted);
        }
    }

    /// Attempts that took no number show only in counters of the kernel.
    fn count_unnumbered(&mut self, ktime_ns: i64) {
        self.counted.at = Instant::now();
        let programs = self.loaded.counters();
        let misses: u64 = programs.iter().map(|p| p.recursion_misses).sum();
        if misses > self.counted.misses {
            let worst = programs.iter().max_by_key(|p| p.recursion_misses).map_or("", |p| p.program.as_str());
            self.pipeline.unnumbered(misses - self.counted.misses, worst, Reason::ProbeReentered, ktime_ns);
            self.counted.misses = misses;
        }
        self.counted.programs = Arc::new(programs);
        let cpus = self.sequencer.sources().map(|s| u64::from(s.counters().filter_full));
        let full: u64 = cpus.sum();
        if full > self.counted.filter_full {
            self.pipeline.unnumbered(full - self.counted.filter_full, "fork", Reason::FilterFull, ktime_ns);
            self.counted.filter_full = full;
        }
    }

    fn tell(&self) {
        let now = Instant::now();
        if self.board.is_due(now) {
            self.publish(now);
        }
        self.watch.set(self.pipeline.counts(), self.sequencer.counters(), self.sequencer.backlog_bytes());
    }

    fn publish(&self, now: Instant) {
        let rings = self.sequencer.backlogs().map(|(cpu, bytes)| RingFill { cpu, bytes });
        let published = Published {
            counts: self.pipeline.counts(),
            tallies: self.pipeline.tallies().clone(),
            order: self.sequencer.counters(),
            context: self.pipeline.context(),
            names: self.pipeline.names(),
            rings: rings.collect(),
            programs: Arc::clone(&self.counted.programs),
        };
        self.board.publish(now, published);
    }

    /// Reads until `stop` or until `until`.
    pub fn run(&mut self, stop: &Stop, until: Option<Instant>) -> Result<()> {
        let mut naps = 0;
        while !stop.is_asked() && until.is_none_or(|t| Instant::now() < t) {
            if !self.pipeline.has_room() {
                self.wait_for_room();
                continue;
            }
            self.obey();
            self.tend();
            let drained = self.drain();
            if drained != Drained::Nothing {
                naps = 0;
                self.tell();
                if drained == Drained::All && self.sequencer.backlog_bytes() <= self.ring_bytes / BACKLOG_SHARE {
                    thread::sleep(self.naps.nap);
                }
            } else if naps < self.naps.before_sleep {
                naps += 1;
                thread::sleep(self.naps.nap);
            } else {
                naps = 0;
                self.sleep(stop, until)?;
            }
        }
        Ok(())
    }

    /// Sleeps until a record, an event or a cut's age; with the flag set and the positions seen unchanged behind it.
    fn sleep(&mut self, stop: &Stop, until: Option<Instant>) -> Result<()> {
        self.loaded.shared.set_sleeping(true);
        if !self.sequencer.has_more() && !stop.is_asked() && self.inbox.is_empty() {
            let now = Instant::now();
            let due = self.pipeline.due_in(now);
            let end = until.map(|t| t.saturating_duration_since(now));
            let names = self.awaits_names.then_some(NAMES_EVERY);
            self.publish(now);
            self.board.set_asleep(true);
            self.waiter.wait(due.into_iter().chain(end).chain(names).min());
            self.board.set_asleep(false);
        }
        self.loaded.shared.set_sleeping(false);
        self.looked = Instant::now();
        if let Some(hotplug) = &mut self.hotplug {
            hotplug.look(&self.loaded, &mut self.sequencer, &self.waiter).context("follow a CPU that came online")?;
        }
        Ok(())
    }

    /// Detaches, then drains until every number that the kernel gave out is accounted for.
    pub fn finish(mut self) -> (Vec<weir_sinks::Lane>, super::report::Totals) {
        self.loaded.detach();
        let mut empty_rounds = 0;
        while empty_rounds < 3 {
            if !self.pipeline.has_room() {
                self.wait_for_room();
                continue;
            }
            if self.drain() != Drained::Nothing {
                empty_rounds = 0;
            } else {
                empty_rounds += 1;
                thread::sleep(self.naps.nap);
            }
        }
        self.count_unnumbered(boottime_ns());
        self.tell();
        let produced = self.sequencer.produced();
        let order = self.sequencer.counters();
        let duplicates = self.sequencer.duplicates();
        let context = self.pipeline.context();
        let sequencer = &self.sequencer;
        let (lanes, counts) = self.pipeline.finish(|| marks(sequencer, false));
        (lanes, super::report::Totals { counts, order, produced, duplicates, context })
    }
}
