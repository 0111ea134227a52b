//! One stream in kernel-time order out of all rings, without waiting for stragglers.
//!
//! The clock is read before the producer positions. Every record that is not visible by then is stamped later, so the
//! clock, less the slack between two clock sources, is a watermark that nothing can undercut; a ring whose next record is
//! still being written lowers it to that ring's last stamp. What is below the watermark is merged and emitted.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use weir_schema::wire::{HEADER, HEADER_SIZE, offset_of};

use crate::numbers::{Gap, LostLog, Numbers};

const SEQ: usize = offset_of(HEADER, "seq");
const KTIME: usize = offset_of(HEADER, "ktime_ns");

/// Bytes of a ring that are emitted before their room is given back.
const RELEASE_BYTES: u64 = 128 << 10;
/// Records of a ring that one round takes where they are in exact order: what was indexed is still near when it is emitted.
const ROUND_RECORDS: usize = 512;
/// Bytes that the kernel puts before each record.
const RECORD_HEADER: u64 = 8;

/// What stands at a position of a ring; see [`weir_bpf::ring::Next`].
pub use weir_bpf::ring::Next;

/// One ring, or a stand-in for one in tests.
pub trait Source: LostLog {
    /// CPU whose records it holds.
    fn cpu(&self) -> usize;
    /// The CPU's next number; read before [`Source::producer`].
    fn produced(&self) -> u64;
    /// How far room has been reserved.
    fn producer(&self) -> u64;
    /// What stands at `position`.
    fn next(&self, position: u64, producer: u64) -> Next;
    /// The bytes of a record.
    fn record(&self, start: u64, len: u32) -> &[u8];
    /// Gives the room below `position` back.
    fn release(&mut self, position: u64);
    /// Up to where room had been given back when the source was taken in.
    fn consumer(&self) -> u64 {
        0
    }
}

#[derive(Debug, Clone, Copy)]
struct Head {
    ktime_ns: i64,
    seq: u64,
    start: u64,
    len: u32,
}

struct Ring<S> {
    source: S,
    pending: VecDeque<Head>,
    /// Position up to which records have been indexed.
    read: u64,
    released: u64,
    produced: u64,
    producer: u64,
    /// A record is still being written, so nothing behind it has been indexed.
    busy: bool,
    /// Records behind the last indexed one wait for the next round.
    more: bool,
    last_stamp: i64,
    /// Some pending record stands before one of a lower position, so the front is not the lowest.
    disordered: bool,
    numbers: Numbers,
    /// Records with numbers below have been read by a run before, unless they were in a hole.
    known_below: u64,
    /// How many those are.
    known: u64,
}

/// What a round found besides records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Records emitted.
    pub emitted: u64,
    /// Everything below has been emitted, ns.
    pub watermark_ns: i64,
    /// Some ring holds records that are not emitted yet, or a record that is still being written.
    pub pending: bool,
    /// Finished records wait for the next round.
    pub more: bool,
}

/// Counters of the order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderCounters {
    /// Records below an earlier watermark: emitted, and counted here. There are none on a kernel with exact order.
    pub late: u64,
    /// Records that stood behind a later one in their own ring and were sorted.
    pub sorted: u64,
    /// Records too short for a header.
    pub bad: u64,
}

/// Merges the rings.
pub struct Sequencer<S> {
    rings: Vec<Ring<S>>,
    slack_ns: i64,
    records_max: usize,
    watermark_ns: i64,
    counters: OrderCounters,
    /// Room is given back only by [`Sequencer::release`].
    holds: bool,
}

/// What a restart has to know of one ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingState {
    /// CPU.
    pub cpu: usize,
    /// Its numbers.
    pub numbers: Numbers,
}

fn word(record: &[u8], at: usize) -> u64 {
    record.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl<S: Source> Ring<S> {
    /// Indexes finished records up to the producer position read at the start of the round.
    fn index(&mut self, records_max: usize, counters: &mut OrderCounters) {
        (self.busy, self.more) = (false, false);
        self.disordered &= !self.pending.is_empty();
        for _ in 0..records_max {
            match self.source.next(self.read, self.producer) {
                Next::Empty => {
                    self.read = self.producer;
                    return;
                }
                Next::Busy => {
                    self.busy = true;
                    return;
                }
                Next::Record { start, len, end } => {
                    self.read = end;
                    let record = self.source.record(start, len);
                    if record.len() < HEADER_SIZE {
                        counters.bad += 1;
                        continue;
                    }
                    if word(record, SEQ) < self.known_below && self.numbers.has_seen(word(record, SEQ)) {
                        continue;
                    }
                    let head = Head { ktime_ns: word(record, KTIME) as i64, seq: word(record, SEQ), start, len };
                    self.last_stamp = self.last_stamp.max(head.ktime_ns);
                    if insert(&mut self.pending, head) {
                        self.disordered = true;
                        counters.sorted += 1;
                    }
                }
            }
        }
        self.more = true;
    }

    /// First position whose record has not been emitted.
    fn emitted(&self) -> u64 {
        let lowest = if self.disordered {
            self.pending.iter().map(|h| h.start).min()
        } else {
            self.pending.front().map(|h| h.start)
        };
        lowest.map_or(self.read, |start| start - RECORD_HEADER)
    }

    fn release(&mut self, position: u64) {
        if position > self.released {
            self.released = position;
            self.source.release(position);
        }
    }

    fn first(&self) -> i64 {
        self.pending.front().map_or(i64::MAX, |h| h.ktime_ns)
    }
}

/// Records of one ring come in order; the few that an interrupt overtook walk back to their place. Returns whether.
fn insert(pending: &mut VecDeque<Head>, head: Head) -> bool {
    let mut at = pending.len();
    while at > 0 && (pending[at - 1].ktime_ns, pending[at - 1].seq) > (head.ktime_ns, head.seq) {
        at -= 1;
    }
    if at == pending.len() {
        pending.push_back(head);
        return false;
    }
    pending.insert(at, head);
    true
}

impl<S: Source> Sequencer<S> {
    /// A sequencer without rings. `slack_ns`: how far the writers' clock and the reader's may differ for a moment.
    /// `exact`: the records of a ring stand in the order of their times, so what is behind a record is later.
    pub fn new(slack_ns: i64, exact: bool) -> Sequencer<S> {
        let records_max = if exact { ROUND_RECORDS } else { usize::MAX };
        Sequencer {
            rings: vec![],
            slack_ns,
            records_max,
            watermark_ns: 0,
            counters: OrderCounters::default(),
            holds: false,
        }
    }

    /// From here on room is given back only by [`Sequencer::release`].
    pub fn hold(&mut self) {
        self.holds = true;
    }

    /// Up to where the records of each ring have been emitted, in the order of the rings.
    pub fn emitted(&self) -> Vec<u64> {
        self.rings.iter().map(Ring::emitted).collect()
    }

    /// Gives back what [`Sequencer::emitted`] said.
    pub fn release(&mut self, emitted: &[u64]) {
        self.rings.iter_mut().zip(emitted).for_each(|(ring, position)| ring.release(*position));
    }

    /// CPU and how many numbers it gave out since this sequencer began or went on.
    pub fn produced(&self) -> Vec<(usize, u64)> {
        self.rings.iter().map(|r| (r.source.cpu(), r.source.produced() - r.known)).collect()
    }

    /// What a restart has to know.
    pub fn state(&self) -> Vec<RingState> {
        let state = |r: &Ring<S>| RingState { cpu: r.source.cpu(), numbers: r.numbers.clone() };
        self.rings.iter().map(state).collect()
    }

    /// Goes on where a run before stopped; before the first round.
    pub fn go_on(&mut self, states: Vec<RingState>) {
        for state in states {
            if let Some(ring) = self.rings.iter_mut().find(|r| r.source.cpu() == state.cpu) {
                ring.known_below = state.numbers.next();
                ring.known = state.numbers.seen();
                ring.numbers = state.numbers;
            }
        }
    }

    /// Takes a ring in, before the programs can write to it.
    pub fn add(&mut self, source: S) {
        let consumer = source.consumer();
        self.rings.push(Ring {
            source,
            pending: VecDeque::new(),
            read: consumer,
            released: consumer,
            produced: 0,
            producer: 0,
            busy: false,
            more: false,
            last_stamp: 0,
            disordered: false,
            numbers: Numbers::default(),
            known_below: 0,
            known: 0,
        });
    }

    /// Counters so far.
    pub fn counters(&self) -> OrderCounters {
        self.counters
    }

    /// The rings' sources, to wait on.
    pub fn sources(&self) -> impl Iterator<Item = &S> {
        self.rings.iter().map(|r| &r.source)
    }

    /// The rings' sources, to give a CPU its ring.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.rings.iter_mut().map(|r| &mut r.source)
    }

    /// CPU, accounted numbers and last time of each ring.
    pub fn positions(&self) -> impl Iterator<Item = (usize, u64, i64)> {
        self.rings.iter().map(|r| (r.source.cpu(), r.numbers.accounted(), r.numbers.last_ns()))
    }

    /// Numbers that came twice, over all CPUs.
    pub fn duplicates(&self) -> u64 {
        self.rings.iter().map(|r| r.numbers.duplicates()).sum()
    }

    /// Whether any ring holds something that has not been read.
    pub fn has_more(&self) -> bool {
        self.rings.iter().any(|r| r.source.producer() != r.read)
    }

    /// CPU and bytes of every ring that wait to be read.
    pub fn backlogs(&self) -> impl Iterator<Item = (usize, u64)> {
        self.rings.iter().map(|r| (r.source.cpu(), r.source.producer() - r.released))
    }

    /// Bytes of the fullest ring that wait to be read.
    pub fn backlog_bytes(&self) -> u64 {
        self.backlogs().map(|(_, bytes)| bytes).max().unwrap_or(0)
    }

    /// Reads everything that was visible when the round began and emits, in time order, what is below the watermark.
    ///
    /// `clock` is read first; it must include the barrier behind it. `emit` gets CPU and record, and returns whether to
    /// go on: if not, the round ends there and the next one continues. Gaps that became certain are appended to `gaps`.
    pub fn round(
        &mut self,
        clock: impl FnOnce() -> i64,
        mut emit: impl FnMut(usize, &[u8]) -> bool,
        gaps: &mut Vec<Gap>,
    ) -> Round {
        let now = clock();
        for ring in &mut self.rings {
            ring.produced = ring.source.produced();
            ring.producer = ring.source.producer();
        }
        let mut watermark = now - self.slack_ns;
        for ring in &mut self.rings {
            ring.index(self.records_max, &mut self.counters);
            if ring.busy || ring.more {
                watermark = watermark.min(ring.last_stamp);
            }
        }
        let floor = self.watermark_ns;
        self.watermark_ns = floor.max(watermark);
        let (emitted, stopped_at) = self.merge(floor, &mut emit);
        if let Some(ktime_ns) = stopped_at {
            self.watermark_ns = floor.max(ktime_ns);
        }
        self.finish(gaps);
        let pending = self.rings.iter().any(|r| !r.pending.is_empty() || r.busy);
        let more = self.rings.iter().any(|r| r.more);
        Round { emitted, watermark_ns: self.watermark_ns, pending, more }
    }

    /// Emits what is below the watermark; returns how many, and the last time if `emit` stopped it.
    fn merge(&mut self, floor: i64, emit: &mut impl FnMut(usize, &[u8]) -> bool) -> (u64, Option<i64>) {
        let mut emitted = 0;
        loop {
            // The ring with the least time, and the time up to which it may go on alone.
            let (mut least, mut at, mut limit) = (self.watermark_ns, usize::MAX, self.watermark_ns);
            for (i, ring) in self.rings.iter().enumerate() {
                let first = ring.first();
                if first < least {
                    limit = least;
                    least = first;
                    at = i;
                } else if first < limit {
                    limit = first;
                }
            }
            if at == usize::MAX {
                return (emitted, None);
            }
            let (count, stopped_at) = self.emit_run(at, limit, floor, emit);
            emitted += count;
            if stopped_at.is_some() {
                return (emitted, stopped_at);
            }
        }
    }

    /// Emits the ring's records up to `limit`: strictly below it, and the first one in any case.
    fn emit_run(
        &mut self,
        at: usize,
        limit: i64,
        floor: i64,
        emit: &mut impl FnMut(usize, &[u8]) -> bool,
    ) -> (u64, Option<i64>) {
        let ring = &mut self.rings[at];
        let mut emitted = 0;
        while let Some(head) = ring.pending.front().copied() {
            if head.ktime_ns >= limit && emitted > 0 {
                break;
            }
            ring.pending.pop_front();
            if head.ktime_ns < floor {
                self.counters.late += 1;
            }
            ring.numbers.see(head.seq, head.ktime_ns, ring.producer);
            let go_on = emit(ring.source.cpu(), ring.source.record(head.start, head.len));
            emitted += 1;
            if !self.holds && head.start > ring.released + RELEASE_BYTES {
                let position = ring.emitted();
                ring.release(position);
            }
            if !go_on {
                return (emitted, Some(head.ktime_ns));
            }
        }
        (emitted, None)
    }

    fn finish(&mut self, gaps: &mut Vec<Gap>) {
        for ring in &mut self.rings {
            let emitted = ring.emitted();
            if !self.holds {
                ring.release(emitted);
            }
            let drained =
                (ring.pending.is_empty() && !ring.busy && !ring.more).then_some((ring.produced, self.watermark_ns));
            ring.numbers.take_gaps(ring.source.cpu(), emitted, drained, &ring.source, gaps);
        }
    }
}

#[cfg(test)]
mod tests;
