//! Order and conservation with a fake ring and a passed-in clock.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// What a fake CPU has written: in ring order, with finished or busy records.
#[derive(Default)]
struct Fake {
    cpu: usize,
    bytes: Vec<u8>,
    /// Position behind each record, and whether it is finished.
    records: Vec<(u64, u64, bool)>,
    seq: u64,
    lost: Vec<(u16, u8)>,
    released: u64,
}

#[derive(Clone, Default)]
struct FakeRing(Rc<RefCell<Fake>>, usize);

impl FakeRing {
    fn write(&self, ktime_ns: i64, finished: bool) {
        let mut fake = self.0.borrow_mut();
        let start = fake.bytes.len() as u64 + RECORD_HEADER;
        let mut record = vec![0u8; 8 + HEADER_SIZE];
        let seq = fake.seq;
        record[8 + SEQ..8 + SEQ + 8].copy_from_slice(&seq.to_le_bytes());
        record[8 + KTIME..8 + KTIME + 8].copy_from_slice(&ktime_ns.to_le_bytes());
        fake.seq += 1;
        fake.bytes.extend(record);
        let end = fake.bytes.len() as u64;
        fake.records.push((start, end, finished));
    }

    fn lose(&self) {
        let mut fake = self.0.borrow_mut();
        fake.lost.push((0x0201, 1));
        fake.seq += 1;
    }

    fn finish_all(&self) {
        self.0.borrow_mut().records.iter_mut().for_each(|r| r.2 = true);
    }
}

impl LostLog for FakeRing {
    fn lost(&self) -> u64 {
        self.0.borrow().lost.len() as u64
    }
    fn entry(&self, n: u64) -> (u16, u8) {
        self.0.borrow().lost[n as usize]
    }
    fn kept(&self) -> u64 {
        1 << 16
    }
}

impl Source for FakeRing {
    fn cpu(&self) -> usize {
        self.1
    }
    fn produced(&self) -> u64 {
        self.0.borrow().seq
    }
    fn producer(&self) -> u64 {
        self.0.borrow().bytes.len() as u64
    }
    fn next(&self, position: u64, producer: u64) -> Next {
        let fake = self.0.borrow();
        let Some((start, end, finished)) = fake.records.iter().find(|r| r.0 > position && r.1 <= producer) else {
            return Next::Empty;
        };
        if *finished { Next::Record { start: *start, len: HEADER_SIZE as u32, end: *end } } else { Next::Busy }
    }
    fn record(&self, start: u64, len: u32) -> &[u8] {
        assert!(start >= self.0.borrow().released, "a released record is read");
        // The sequencer copies nothing, so the fake leaks: tests are short.
        self.0.borrow().bytes[start as usize..][..len as usize].to_vec().leak()
    }
    fn release(&mut self, position: u64) {
        let mut fake = self.0.borrow_mut();
        assert!(position >= fake.released, "the released position goes back");
        fake.released = position;
    }
}

fn two() -> (FakeRing, FakeRing, Sequencer<FakeRing>) {
    let a = FakeRing(Rc::default(), 0);
    let b = FakeRing(Rc::default(), 1);
    b.0.borrow_mut().cpu = 1;
    let mut sequencer = Sequencer::new(0, false);
    sequencer.add(a.clone());
    sequencer.add(b.clone());
    (a, b, sequencer)
}

/// (cpu, seq, ktime) in the order of emission.
type Emitted = Vec<(usize, u64, i64)>;

fn round(sequencer: &mut Sequencer<FakeRing>, now: i64, out: &mut Emitted, gaps: &mut Vec<Gap>) -> Round {
    let emit = |cpu, record: &[u8]| {
        out.push((cpu, word(record, SEQ), word(record, KTIME) as i64));
        true
    };
    sequencer.round(|| now, emit, gaps)
}

#[test]
fn records_of_two_cpus_come_in_time_order_strictly_below_the_clock() {
    let (a, b, mut sequencer) = two();
    a.write(10, true);
    a.write(30, true);
    b.write(20, true);
    b.write(50, true);
    let (mut out, mut gaps) = (vec![], vec![]);
    round(&mut sequencer, 50, &mut out, &mut gaps);
    assert_eq!(out, [(0, 0, 10), (1, 0, 20), (0, 1, 30)]);
    round(&mut sequencer, 51, &mut out, &mut gaps);
    assert_eq!(out.last(), Some(&(1, 1, 50)));
    assert_eq!(gaps, []);
}

#[test]
fn a_record_that_is_being_written_holds_back_what_is_later() {
    let (a, b, mut sequencer) = two();
    a.write(10, true);
    a.write(20, false);
    b.write(15, true);
    let (mut out, mut gaps) = (vec![], vec![]);
    round(&mut sequencer, 100, &mut out, &mut gaps);
    assert_eq!(out, [], "ring 0 was last stamped at 10: nothing below that has come");
    a.finish_all();
    round(&mut sequencer, 101, &mut out, &mut gaps);
    assert_eq!(out, [(0, 0, 10), (1, 0, 15), (0, 1, 20)]);
    assert_eq!(sequencer.counters().late, 0);
}

#[test]
fn records_that_an_interrupt_overtook_are_sorted_and_no_gap() {
    let (a, _, mut sequencer) = two();
    a.write(10, true);
    a.write(30, true);
    a.write(20, true);
    let (mut out, mut gaps) = (vec![], vec![]);
    round(&mut sequencer, 100, &mut out, &mut gaps);
    assert_eq!(out, [(0, 0, 10), (0, 2, 20), (0, 1, 30)]);
    assert_eq!((sequencer.counters().sorted, sequencer.counters().late), (1, 0));
    assert_eq!(gaps, []);
}

#[test]
fn a_pause_ends_the_round_and_the_next_one_goes_on_without_late_records() {
    let (a, b, mut sequencer) = two();
    (0..10).for_each(|i| if i % 2 == 0 { a.write(i, true) } else { b.write(i, true) });
    let mut seen = vec![];
    let mut gaps = vec![];
    for _ in 0..20 {
        let emit = |_: usize, record: &[u8]| {
            seen.push(word(record, KTIME));
            seen.len() % 3 != 0
        };
        sequencer.round(|| 100, emit, &mut gaps);
    }
    assert_eq!(seen, (0..10).collect::<Vec<u64>>());
    assert_eq!(sequencer.counters().late, 0);
}

#[test]
fn a_round_takes_a_bounded_number_of_records_and_the_next_ones_the_rest() {
    let (a, b, mut sequencer) = two();
    sequencer.records_max = 2;
    (0..10).for_each(|i| a.write(2 * i, true));
    b.write(5, true);
    let (mut out, mut gaps) = (vec![], vec![]);
    assert!(round(&mut sequencer, 100, &mut out, &mut gaps).more);
    assert_eq!(out, [(0, 0, 0)], "the ring has been read up to 2, so only what is below is certain");
    while round(&mut sequencer, 100, &mut out, &mut gaps).more {}
    assert_eq!(out.len(), 11);
    assert!(out.windows(2).all(|w| w[0].2 < w[1].2));
    assert_eq!((sequencer.counters().late, gaps), (0, vec![]));
}

proptest! {
    /// Any interleaving of writes, losses, slow writers and rounds: order, no late record, and every number once.
    #[test]
    fn everything_comes_once_in_order_or_is_in_a_gap(
        steps in prop::collection::vec((0u8..6, any::<bool>()), 1..200),
        records_max in prop::sample::select(vec![1, 2, 7, usize::MAX]),
    ) {
        let (a, b, mut sequencer) = two();
        sequencer.records_max = records_max;
        let (mut out, mut gaps) = (vec![], vec![]);
        let mut now = 1;
        for (what, first) in steps {
            let ring = if first { &a } else { &b };
            now += 1;
            match what {
                0..=2 if ring.0.borrow().records.last().is_none_or(|r| r.2) => ring.write(now, what < 2),
                3 => ring.lose(),
                4 => ring.finish_all(),
                _ => { round(&mut sequencer, now, &mut out, &mut gaps); }
            }
        }
        a.finish_all();
        b.finish_all();
        for _ in 0..3 {
            now += 1;
            while round(&mut sequencer, now, &mut out, &mut gaps).more {}
        }
        prop_assert!(out.windows(2).all(|w| w[0].2 <= w[1].2), "out of order: {out:?}");
        prop_assert_eq!(sequencer.counters().late, 0);
        for (cpu, ring) in [(0, &a), (1, &b)] {
            let mut numbers: Vec<u64> = out.iter().filter(|r| r.0 == cpu).map(|r| r.1).collect();
            numbers.extend(gaps.iter().filter(|g| g.cpu == cpu).flat_map(|g| g.first..=g.last));
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..ring.0.borrow().seq).collect::<Vec<_>>());
            prop_assert_eq!(ring.0.borrow().released, ring.0.borrow().bytes.len() as u64, "room is kept");
        }
    }
}
