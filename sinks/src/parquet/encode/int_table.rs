//! Distinct whole numbers of a row group, in the order of first use.

use super::int::Number;

/// Slots of an empty table; a power of two.
const SLOTS_FIRST: usize = 64;
/// Multiplier of Fibonacci hashing: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Marks an empty slot.
const EMPTY: u32 = u32::MAX;

/// Steps of one look-up before the table counts as attacked.
const STEPS_MAX: usize = 64;

/// An open-addressing table from number to key, at most a quarter full: most look-ups end at the first slot, and the
/// processor foresees it.
///
/// Numbers that a program chooses (system-call arguments) can be made to collide: the cost of a look-up is bounded by
/// giving up the dictionary, see [`IntTable::key`].
pub(super) struct IntTable {
    slots: Vec<(i64, u32)>,
    values: Vec<i64>,
    /// 64 minus the number of bits of a slot's index.
    shift: u32,
}

impl IntTable {
    /// An empty table.
    pub(super) fn new() -> IntTable {
        IntTable { slots: Vec::new(), values: Vec::new(), shift: 0 }
    }

    /// The numbers by key.
    pub(super) fn values(&self) -> &[i64] {
        &self.values
    }

    /// Forgets all numbers.
    pub(super) fn clear(&mut self) {
        *self = IntTable::new();
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<(i64, u32)>() + self.values.capacity() * size_of::<i64>()
    }

    /// The key of a number; `None` when its neighbourhood is crowded beyond chance.
    #[inline]
    pub(super) fn key(&mut self, value: i64) -> Option<u32> {
        if self.slots.is_empty() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let home = self.slot(value);
        for at in home..home + STEPS_MAX {
            let (known, key) = self.slots[at & mask];
            if key == EMPTY {
                return Some(self.insert(at & mask, value));
            }
            if known == value {
                return Some(key);
            }
        }
        None
    }

    /// The keys of many numbers; `false` when one has none.
    pub(super) fn keys<T: Number>(&mut self, values: &[T], keys: &mut Vec<u32>) -> bool {
        keys.clear();
        keys.resize(values.len(), 0);
        let mut done = 0;
        while done < values.len() {
            done += self.known_keys(&values[done..], &mut keys[done..]);
            if let Some(value) = values.get(done) {
                let Some(key) = self.key((*value).into()) else { return false };
                keys[done] = key;
                done += 1;
            }
        }
        true
    }

    /// Finds keys up to the first number that is new; returns how many. Nothing changes here, so that the table stays
    /// in registers.
    fn known_keys<T: Number>(&self, values: &[T], keys: &mut [u32]) -> usize {
        let slots = self.slots.as_slice();
        let mask = slots.len().wrapping_sub(1);
        let find = |value: i64| {
            let home = self.slot(value);
            for at in home..home + STEPS_MAX {
                let (known, key) = *slots.get(at & mask)?;
                if known == value || key == EMPTY {
                    return (key != EMPTY).then_some(key);
                }
            }
            None
        };
        for (row, (key, value)) in keys.iter_mut().zip(values).enumerate() {
            match find((*value).into()) {
                Some(known) => *key = known,
                None => return row,
            }
        }
        values.len()
    }

    /// The same for numbers that mostly stand in runs of equal ones.
    pub(super) fn keys_of_runs<T: Number>(&mut self, values: &[T], keys: &mut Vec<u32>) -> bool {
        keys.clear();
        keys.reserve(values.len());
        values.chunk_by(|a, b| a == b).all(|run| match self.key(run[0].into()) {
            Some(known) => {
                keys.extend(std::iter::repeat_n(known, run.len()));
                true
            }
            None => false,
        })
    }

    /// Sorts the numbers; returns the new key by the old one. What was taken in before cannot be looked up any more.
    pub(super) fn sort(&mut self) -> Vec<u32> {
        let mut order: Vec<(i64, u32)> = self.values.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut new = vec![0; order.len()];
        for (key, (value, old)) in order.into_iter().enumerate() {
            self.values[key] = value;
            new[old as usize] = key as u32;
        }
        self.slots.clear();
        new
    }

    #[inline]
    fn slot(&self, value: i64) -> usize {
        // Fold the high half in: process keys and addresses differ there.
        let mixed = (value as u64 ^ (value as u64 >> 32)).wrapping_mul(GOLDEN);
        (mixed >> self.shift) as usize
    }

    #[cold]
    fn insert(&mut self, at: usize, value: i64) -> u32 {
        let key = self.values.len() as u32;
        self.slots[at] = (value, key);
        self.values.push(value);
        if self.values.len() * 4 > self.slots.len() {
            self.grow();
        }
        key
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_FIRST);
        self.shift = u64::BITS - slots.trailing_zeros();
        self.slots = vec![(0, EMPTY); slots];
        for (key, value) in self.values.iter().enumerate() {
            let mut at = self.slot(*value);
            while self.slots[at & (slots - 1)].1 != EMPTY {
                at += 1;
            }
            self.slots[at & (slots - 1)] = (*value, key as u32);
        }
    }
}
