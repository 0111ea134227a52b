//! Which numbers of one CPU were seen, and about when: one entry for 64 numbers, whether one of them was seen or all.

use std::collections::BTreeMap;

use super::spans::Span;

/// Numbers that share one entry: a neighbour is named at most this many numbers too far away.
const BLOCK_BITS: u32 = 6;

/// One row's number and kernel time.
#[derive(Debug, Clone, Copy)]
struct At {
    seq: u64,
    ktime_ns: i64,
}

/// The numbers of one block, by their last bits, and the times of its lowest and its highest.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    bits: u64,
    low_ns: i64,
    high_ns: i64,
}

impl Block {
    /// Adds a number by its last bits; true if it is new.
    fn insert(&mut self, bit: u32, ktime_ns: i64) -> bool {
        let mask = 1 << bit;
        if self.bits & mask != 0 {
            return false;
        }
        if self.bits == 0 || bit < self.bits.trailing_zeros() {
            self.low_ns = ktime_ns;
        }
        if self.bits == 0 || bit > self.bits.ilog2() {
            self.high_ns = ktime_ns;
        }
        self.bits |= mask;
        true
    }

    fn ends(&self, block: u64) -> Option<(At, At)> {
        let base = block << BLOCK_BITS;
        let low = At { seq: base + u64::from(self.bits.trailing_zeros()), ktime_ns: self.low_ns };
        let high = At { seq: base + u64::from(self.bits.checked_ilog2()?), ktime_ns: self.high_ns };
        Some((low, high))
    }
}

/// The numbers of one CPU.
#[derive(Debug, Default)]
pub struct Numbers {
    blocks: BTreeMap<u64, Block>,
    /// The block written last, kept out of the map because the next row is mostly in it too.
    open: Option<(u64, Block)>,
    len: u64,
}

impl Numbers {
    /// Adds a row; true if its number is new.
    pub fn insert(&mut self, seq: u64, ktime_ns: i64) -> bool {
        let at = seq >> BLOCK_BITS;
        if self.open.as_ref().is_none_or(|(open, _)| *open != at) {
            self.close();
        }
        let blocks = &self.blocks;
        let (_, block) = self.open.get_or_insert_with(|| (at, blocks.get(&at).copied().unwrap_or_default()));
        let is_new = block.insert((seq & ((1 << BLOCK_BITS) - 1)) as u32, ktime_ns);
        self.len += u64::from(is_new);
        is_new
    }

    /// To be called when all rows are added: what is asked for from here on is what the map has.
    pub fn close(&mut self) {
        self.blocks.extend(self.open.take());
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The lowest one.
    pub fn first(&self) -> Option<u64> {
        self.blocks.first_key_value().and_then(|(at, block)| block.ends(*at)).map(|(low, _)| low.seq)
    }

    /// How many there are up to this one, itself included.
    pub fn rank(&self, last: u64) -> u64 {
        let (at, bit) = (last >> BLOCK_BITS, last & ((1 << BLOCK_BITS) - 1));
        let whole: u64 = self.blocks.range(..at).map(|(_, block)| u64::from(block.bits.count_ones())).sum();
        let part = self.blocks.get(&at).map_or(0, |block| block.bits & (u64::MAX >> (63 - bit)));
        whole + u64::from(part.count_ones())
    }

    /// The numbers as maximal runs, ascending.
    pub fn runs(&self) -> impl Iterator<Item = Span> + '_ {
        let mut pieces = self.blocks.iter().flat_map(|(at, block)| runs_of(at << BLOCK_BITS, block.bits)).peekable();
        std::iter::from_fn(move || {
            let mut run = pieces.next()?;
            while let Some(next) = pieces.next_if(|next| next.first == run.last + 1) {
                run.last = next.last;
            }
            Some(run)
        })
    }

    /// Kernel time of the nearest known row below a number.
    pub fn below(&self, seq: u64) -> Option<i64> {
        let ends = self.blocks.range(..=seq >> BLOCK_BITS).rev().filter_map(|(at, block)| block.ends(*at));
        ends.flat_map(|(low, high)| [high, low]).find(|at| at.seq < seq).map(|at| at.ktime_ns)
    }

    /// Kernel time of the nearest known row above a number.
    pub fn above(&self, seq: u64) -> Option<i64> {
        let ends = self.blocks.range(seq >> BLOCK_BITS..).filter_map(|(at, block)| block.ends(*at));
        ends.flat_map(|(low, high)| [low, high]).find(|at| at.seq > seq).map(|at| at.ktime_ns)
    }
}

/// The runs of one block that begins with `base`.
fn runs_of(base: u64, mut bits: u64) -> impl Iterator<Item = Span> {
    std::iter::from_fn(move || {
        let from = (bits != 0).then(|| bits.trailing_zeros())?;
        let ones = (!(bits >> from)).trailing_zeros().min(u64::BITS - from);
        bits &= !(u64::MAX >> (u64::BITS - ones) << from);
        Some(Span { first: base + u64::from(from), last: base + u64::from(from + ones) - 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seqs: impl IntoIterator<Item = u64>) -> Numbers {
        let mut numbers = Numbers::default();
        for seq in seqs {
            numbers.insert(seq, seq as i64 * 100);
        }
        numbers.close();
        numbers
    }

    #[test]
    fn numbers_are_walked_as_runs_across_blocks() {
        let span = |first, last| Span { first, last };
        let edge = u64::from(u32::MAX);
        let numbers = of([3, 4, 5, 9, edge, edge + 1].into_iter().chain(62..200).chain(256..320));
        let runs: Vec<Span> = numbers.runs().collect();
        assert_eq!(runs, [span(3, 5), span(9, 9), span(62, 199), span(256, 319), span(edge, edge + 1)]);
        assert_eq!((numbers.first(), numbers.len()), (Some(3), 208));
        assert_eq!([2, 3, 9, 63, 199, 319].map(|last| numbers.rank(last)), [0, 1, 4, 6, 142, 206]);
        assert_eq!(of([]).first(), None);
    }

    #[test]
    fn a_number_is_new_once_in_whatever_order() {
        let mut numbers = Numbers::default();
        let order = [900, 10, 300, 10, 12, 900, 5_000, 300];
        assert_eq!(order.map(|seq| numbers.insert(seq, 0)), [true, true, true, false, true, false, true, false]);
        assert_eq!(numbers.len(), 5);
    }

    #[test]
    fn neighbours_are_found_across_blocks_in_any_order_of_reading() {
        let times = of([900, 10, 300, 12, 5_000]);
        assert_eq!(times.below(11), Some(1_000));
        assert_eq!(times.above(11), Some(1_200));
        assert_eq!(times.below(299), Some(1_200));
        assert_eq!(times.above(901), Some(500_000));
        assert_eq!(times.below(10), None);
        assert_eq!(times.above(5_000), None);
    }
}
