//! The order protocol: reserve, number, stamp against clock, fence, positions.

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
use loom::thread;
use std::sync::Arc as PlainArc;
use std::sync::atomic::AtomicUsize as Tally;

#[path = "order_tests.rs"]
mod tests;

/// The protocol, or the one step of it that is broken.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Right,
    /// The number by a plain increment: nothing keeps the position's store before the stamp.
    NoWriterBarrier,
    /// No fence between the reader's clock and its look at the positions.
    NoReaderBarrier,
    StampFirst,
    PositionsBeforeClock,
    /// A busy head does not lower the watermark.
    BusyHeadsIgnored,
}

/// How much is explored: attempts of each writer, records that fit into each ring, reader rounds beside them.
#[derive(Clone, Copy)]
struct Size {
    attempts: [u64; 2],
    slots: usize,
    rounds: usize,
    /// Thread switches away from a thread that could go on; None explores all.
    preemptions_max: Option<usize>,
}

/// What the explored executions met, so that a pass is known not to be an empty one.
#[derive(Debug, Default)]
struct Met {
    busy_heads: Tally,
    refusals: Tally,
    emitted_early: Tally,
    held_back: Tally,
}

impl Met {
    fn require<const N: usize>(&self, tallies: [&Tally; N]) {
        let met = tallies.iter().all(|tally| tally.load(Relaxed) > 0);
        assert!(met, "the explored executions miss a case: {self:?}");
    }
}

struct Slot {
    busy: AtomicBool,
    number: AtomicU64,
    stamp: AtomicU64,
}

struct Ring {
    producer: AtomicUsize,
    consumer: AtomicUsize,
    slots: Vec<Slot>,
}

impl Ring {
    fn new(slots: usize) -> Self {
        let slot = || Slot { busy: AtomicBool::new(false), number: AtomicU64::new(0), stamp: AtomicU64::new(0) };
        Ring {
            producer: AtomicUsize::new(0),
            consumer: AtomicUsize::new(0),
            slots: (0..slots).map(|_| slot()).collect(),
        }
    }

    fn slot(&self, position: usize) -> &Slot {
        &self.slots[position % self.slots.len()]
    }

    fn reserve(&self, position: usize) -> Option<&Slot> {
        if position - self.consumer.load(Acquire) == self.slots.len() {
            return None;
        }
        let slot = self.slot(position);
        slot.busy.store(true, Relaxed);
        self.producer.store(position + 1, Release);
        Some(slot)
    }
}

struct Shared {
    clock: AtomicU64,
    rings: [Ring; 2],
}

impl Shared {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Relaxed)
    }
}

/// One CPU's probes. Returns how many attempts the full ring refused.
fn write(shared: &Shared, cpu: usize, attempts: u64, variant: Variant) -> u64 {
    let mut position = 0;
    for number in 1..=attempts {
        let early = (variant == Variant::StampFirst).then(|| shared.now());
        let slot = shared.rings[cpu].reserve(position);
        // The number is this CPU's alone; what counts of its atomic add is the full barrier.
        if variant != Variant::NoWriterBarrier {
            fence(SeqCst);
        }
        let Some(slot) = slot else { continue };
        let stamp = early.unwrap_or_else(|| shared.now());
        position += 1;
        slot.number.store(number, Relaxed);
        slot.stamp.store(stamp, Relaxed);
        slot.busy.store(false, Release);
    }
    attempts - position as u64
}

/// A record as the reader keeps it; the derived order is that of emission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    stamp: u64,
    cpu: usize,
    number: u64,
}

#[derive(Default)]
struct Reader {
    positions: [usize; 2],
    last_stamps: [u64; 2],
    watermark: u64,
    held: Vec<Record>,
    emitted: Vec<Record>,
    busy_heads: usize,
}

impl Reader {
    fn round(&mut self, shared: &Shared, variant: Variant) {
        let look = || [0, 1].map(|cpu| shared.rings[cpu].producer.load(Acquire));
        let barrier = || {
            if variant != Variant::NoReaderBarrier {
                fence(SeqCst)
            }
        };
        let (now, ends) = if variant == Variant::PositionsBeforeClock {
            let ends = look();
            barrier();
            (shared.now(), ends)
        } else {
            let now = shared.now();
            barrier();
            (now, look())
        };
        let mut safe = now;
        for cpu in [0, 1] {
            if self.take(&shared.rings[cpu], cpu, ends[cpu]) {
                self.busy_heads += 1;
                if variant != Variant::BusyHeadsIgnored {
                    safe = safe.min(self.last_stamps[cpu]);
                }
            }
        }
        self.watermark = self.watermark.max(safe);
        self.emit();
    }

    /// Takes what is submitted before `end` and gives its room back; true if a busy head stopped it.
    fn take(&mut self, ring: &Ring, cpu: usize, end: usize) -> bool {
        while self.positions[cpu] < end {
            let slot = ring.slot(self.positions[cpu]);
            if slot.busy.load(Acquire) {
                return true;
            }
            let record = Record { stamp: slot.stamp.load(Relaxed), cpu, number: slot.number.load(Relaxed) };
            assert!(record.stamp >= self.watermark, "late record");
            self.last_stamps[cpu] = record.stamp;
            self.held.push(record);
            self.positions[cpu] += 1;
            ring.consumer.store(self.positions[cpu], Release);
        }
        false
    }

    fn emit(&mut self) {
        self.held.sort();
        let below = self.held.partition_point(|record| record.stamp < self.watermark);
        self.emitted.extend(self.held.drain(..below));
    }
}

/// Everything that was submitted came out once, in the order of time and, per CPU, of numbers.
fn check_emitted(emitted: &[Record], size: Size, refused: [u64; 2]) {
    assert!(emitted.is_sorted(), "emitted out of order");
    for cpu in [0, 1] {
        let numbers: Vec<u64> = emitted.iter().filter(|record| record.cpu == cpu).map(|record| record.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "numbers of one ring out of order");
        assert_eq!(
            numbers.len() as u64 + refused[cpu],
            size.attempts[cpu],
            "a submitted record is missing or came twice"
        );
    }
}

fn execution(variant: Variant, size: Size, met: &Met) {
    // The clock starts above 0, which stands for "no stamp yet".
    let shared = Arc::new(Shared { clock: AtomicU64::new(1), rings: [Ring::new(size.slots), Ring::new(size.slots)] });
    let writers = [0, 1].map(|cpu| {
        let shared = shared.clone();
        thread::spawn(move || write(&shared, cpu, size.attempts[cpu], variant))
    });
    let mut reader = Reader::default();
    for _ in 0..size.rounds {
        reader.round(&shared, variant);
    }
    let (early, held) = (reader.emitted.len(), reader.held.len());
    let refused = writers.map(|writer| writer.join().expect("the writer ends"));
    reader.round(&shared, variant);
    check_emitted(&reader.emitted, size, refused);

    for (tally, hit) in [
        (&met.busy_heads, reader.busy_heads > 0),
        (&met.refusals, refused != [0, 0]),
        (&met.emitted_early, early > 0),
        (&met.held_back, held > 0),
    ] {
        tally.fetch_add(usize::from(hit), Relaxed);
    }
}

fn explore(variant: Variant, size: Size) -> PlainArc<Met> {
    let met = PlainArc::new(Met::default());
    let seen = met.clone();
    crate::explore(size.preemptions_max, move || execution(variant, size, &seen));
    met
}
