//! Which numbers of one CPU have come, and which are missing: the source of every gap.

use serde::{Deserialize, Serialize};
use weir_schema::Reason;

/// Numbers are below: a million a second for 100,000 years.
const NUMBERS_MAX: u64 = 1 << 62;

/// A run of missing numbers that may still fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Hole {
    first: u64,
    last: u64,
    before_ns: i64,
    after_ns: i64,
    /// Position of the ring that must have been emitted before the hole is certain.
    certain_at: u64,
}

/// A run of numbers that will never come, all for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// CPU of the numbers.
    pub cpu: usize,
    /// First missing number.
    pub first: u64,
    /// Last missing number.
    pub last: u64,
    /// Time of the neighbour before it, 0 if there is none.
    pub before_ns: i64,
    /// Time of the neighbour behind it, that of the watermark if there is none.
    pub after_ns: i64,
    /// Why.
    pub reason: Reason,
    /// Action ids and their counts; id 0 where the log of losses had been overwritten.
    pub by_action: Vec<(u16, u64)>,
}

/// What the kernel remembers of refused attempts.
pub trait LostLog {
    /// Attempts of this CPU that got a number and no room, so far.
    fn lost(&self) -> u64;
    /// Action and reason of the `n`th of them.
    fn entry(&self, n: u64) -> (u16, u8);
    /// How many of the last entries are still there.
    fn kept(&self) -> u64;
}

/// The numbers of one CPU, in the order in which its records are emitted; stored to go on after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    next: u64,
    last_ns: i64,
    holes: Vec<Hole>,
    lost_seen: u64,
    duplicates: u64,
}

impl Numbers {
    /// A record with this number and time was emitted; `producer` is the ring's position when it was read.
    pub fn see(&mut self, seq: u64, ktime_ns: i64, producer: u64) {
        if seq == self.next {
            self.next += 1;
        } else if seq > self.next {
            self.open_hole(seq - 1, ktime_ns, producer);
            self.next = seq + 1;
        } else {
            self.fill(seq);
        }
        self.last_ns = ktime_ns;
    }

    fn open_hole(&mut self, last: u64, after_ns: i64, certain_at: u64) {
        self.holes.push(Hole { first: self.next, last, before_ns: self.last_ns, after_ns, certain_at });
    }

    /// A number below the next one: an interrupt's record that was overtaken. It splits its hole.
    fn fill(&mut self, seq: u64) {
        let Some(i) = self.holes.iter().position(|h| h.first <= seq && seq <= h.last) else {
            self.duplicates += 1;
            return;
        };
        let hole = self.holes.remove(i);
        if seq < hole.last {
            self.holes.insert(i, Hole { first: seq + 1, ..hole });
        }
        if seq > hole.first {
            self.holes.insert(i, Hole { last: seq - 1, ..hole });
        }
    }

    /// Every number below is accounted for: as a row, or in a gap that has been taken.
    pub fn accounted(&self) -> u64 {
        self.holes.first().map_or(self.next, |h| h.first)
    }

    /// How many numbers were emitted or told as lost.
    pub fn seen(&self) -> u64 {
        self.next - self.holes.iter().map(|h| h.last - h.first + 1).sum::<u64>()
    }

    /// Every number from here on is new.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Time of the last record.
    pub fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// Whether a record with this number was emitted or told as lost before.
    pub fn has_seen(&self, seq: u64) -> bool {
        seq < self.next && !self.holes.iter().any(|h| h.first <= seq && seq <= h.last)
    }

    /// Numbers that came twice; with an intact kernel there are none.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Gaps that are certain: everything up to `emitted` of the ring has been emitted, and if `drained`, so has every
    /// record whose number is below `produced` (the kernel's counter, read before the ring's position).
    pub fn take_gaps(
        &mut self,
        cpu: usize,
        emitted: u64,
        drained: Option<(u64, i64)>,
        log: &dyn LostLog,
        out: &mut Vec<Gap>,
    ) {
        if let Some((produced, watermark_ns)) = drained
            && produced > self.next
        {
            self.open_hole(produced - 1, watermark_ns, 0);
            self.next = produced;
        }
        if self.holes.is_empty() {
            return;
        }
        let certain = self.holes.iter().take_while(|h| h.certain_at <= emitted).count();
        let holes: Vec<Hole> = self.holes.drain(..certain).collect();
        holes.iter().for_each(|hole| self.explain(cpu, hole, log, out));
    }

    /// Splits a hole into runs of one reason by the kernel's log, which is in the order of the numbers.
    fn explain(&mut self, cpu: usize, hole: &Hole, log: &dyn LostLog, out: &mut Vec<Gap>) {
        let (first_gap, mut seq) = (out.len(), hole.first);
        while seq <= hole.last {
            let (count, action, reason) = self.next_losses(log, hole.last - seq + 1);
            let same = out.len() > first_gap && out.last().is_some_and(|g| g.reason == reason);
            if !same {
                out.push(Gap {
                    cpu,
                    first: seq,
                    last: seq,
                    before_ns: hole.before_ns,
                    after_ns: hole.after_ns,
                    reason,
                    by_action: vec![],
                });
            }
            if let Some(gap) = out.last_mut() {
                gap.last = seq + count - 1;
                match gap.by_action.iter_mut().find(|(a, _)| *a == action) {
                    Some((_, known)) => *known += count,
                    None => gap.by_action.push((action, count)),
                }
            }
            seq += count;
        }
    }

    /// Whether these can be the numbers of a ring: a file can say anything of them.
    pub fn are_possible(&self) -> bool {
        let are_holes = self.holes.iter().all(|hole| hole.first <= hole.last && hole.last < self.next);
        self.next < NUMBERS_MAX && are_holes && self.holes.is_sorted_by(|a, b| a.last < b.first)
    }

    /// What the log says of the next numbers, at most `left`: of how many it says the same. Numbers that it does not name are
    /// told all at once, however many they are.
    fn next_losses(&mut self, log: &dyn LostLog, left: u64) -> (u64, u16, Reason) {
        let lost = log.lost();
        let Some(unseen) = lost.checked_sub(self.lost_seen).filter(|unseen| *unseen > 0) else {
            // The kernel wrote the records, so their bytes were bad.
            return (left, 0, Reason::BadRecord);
        };
        let overwritten = unseen.saturating_sub(log.kept()).min(left);
        let count = overwritten.max(1);
        let n = self.lost_seen;
        self.lost_seen += count;
        if overwritten > 0 {
            return (count, 0, Reason::RingFull);
        }
        let (action, reason) = log.entry(n);
        (count, action, Reason::from_number(reason).unwrap_or(Reason::RingFull))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Log(Vec<(u16, u8)>);

    impl LostLog for Log {
        fn lost(&self) -> u64 {
            self.0.len() as u64
        }
        fn entry(&self, n: u64) -> (u16, u8) {
            self.0[n as usize]
        }
        fn kept(&self) -> u64 {
            1 << 16
        }
    }

    fn gaps(numbers: &mut Numbers, emitted: u64, drained: Option<(u64, i64)>, log: &Log) -> Vec<Gap> {
        let mut out = vec![];
        numbers.take_gaps(0, emitted, drained, log, &mut out);
        out
    }

    #[test]
    fn a_hole_is_a_gap_once_its_ring_is_read_past_it() {
        let mut numbers = Numbers::default();
        let log = Log(vec![(0x0201, 1), (0x0201, 1), (0x0202, 1)]);
        numbers.see(0, 10, 100);
        numbers.see(4, 20, 200);
        assert_eq!(numbers.accounted(), 1);
        assert_eq!(gaps(&mut numbers, 150, None, &log), vec![]);
        let found = gaps(&mut numbers, 200, None, &log);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].first, found[0].last), (1, 3));
        assert_eq!((found[0].before_ns, found[0].after_ns), (10, 20));
        assert_eq!(found[0].by_action, vec![(0x0201, 2), (0x0202, 1)]);
        assert_eq!(numbers.accounted(), 5);
    }

    #[test]
    fn an_overtaken_number_fills_its_hole() {
        let mut numbers = Numbers::default();
        numbers.see(0, 10, 100);
        numbers.see(3, 30, 100);
        numbers.see(2, 31, 100);
        numbers.see(1, 32, 100);
        assert_eq!(numbers.accounted(), 4);
        assert_eq!(numbers.duplicates(), 0);
    }

    #[test]
    fn losses_behind_the_last_record_show_in_the_counter() {
        let mut numbers = Numbers::default();
        numbers.see(0, 10, 100);
        let found = gaps(&mut numbers, 100, Some((3, 99)), &Log(vec![(0x0201, 1), (0x0201, 11)]));
        let spans: Vec<_> = found.iter().map(|g| (g.first, g.last, g.reason)).collect();
        assert_eq!(spans, vec![(1, 1, Reason::RingFull), (2, 2, Reason::NoRing)]);
        assert_eq!(found[1].after_ns, 99);
    }

    #[test]
    fn a_hole_that_the_kernel_did_not_refuse_is_a_bad_record() {
        let mut numbers = Numbers::default();
        numbers.see(1, 10, 100);
        assert_eq!(gaps(&mut numbers, 100, None, &Log(vec![]))[0].reason, Reason::BadRecord);
    }

    #[test]
    fn a_number_that_comes_twice_is_counted() {
        let mut numbers = Numbers::default();
        numbers.see(0, 10, 100);
        numbers.see(0, 11, 100);
        assert_eq!(numbers.duplicates(), 1);
    }
}
