//! Rows of several batches in one order: kernel time, then CPU, then number.

use arrow_array::{Array, Int32Array, Int64Array};

use crate::Batch;

/// Where a row stands in the order of all rows.
type Key = (i64, i32, i64);

/// The columns that order the rows of one batch.
struct Keys<'a> {
    ktime_ns: &'a [i64],
    cpu: &'a [i32],
    seq: &'a [i64],
}

impl<'a> Keys<'a> {
    fn of(batch: &'a Batch) -> Option<Keys<'a>> {
        let column = |name| batch.rows.column_by_name(name);
        let int64 = |name| Some(column(name)?.as_any().downcast_ref::<Int64Array>()?.values().as_ref());
        let cpu = column("cpu")?.as_any().downcast_ref::<Int32Array>()?;
        Some(Keys { ktime_ns: int64("ktime_ns")?, cpu: cpu.values().as_ref(), seq: int64("seq")? })
    }

    fn get(&self, row: usize) -> Option<Key> {
        Some((*self.ktime_ns.get(row)?, *self.cpu.get(row)?, *self.seq.get(row)?))
    }
}

/// Calls `row(batch, row)` for every row of the batches, each of which is in order, in the order of all, until one fails.
///
/// A batch without the common columns, which the schema rules out, comes first in its own order.
pub(crate) fn merged<E>(batches: &[&Batch], mut row: impl FnMut(usize, usize) -> Result<(), E>) -> Result<(), E> {
    if let [only] = batches {
        return (0..only.rows.num_rows()).try_for_each(|i| row(0, i));
    }
    let mut heads: Vec<(usize, Keys<'_>, usize)> = Vec::with_capacity(batches.len());
    for (b, batch) in batches.iter().enumerate() {
        match Keys::of(batch) {
            Some(keys) => heads.push((b, keys, 0)),
            None => (0..batch.rows.num_rows()).try_for_each(|i| row(b, i))?,
        }
    }
    // At most one batch per class, so a scan beats a heap; a run of one class costs one comparison per row.
    loop {
        let keys = |h: &(usize, Keys<'_>, usize)| h.1.get(h.2);
        let Some((first, _)) = heads.iter().enumerate().filter_map(|(i, h)| Some((i, keys(h)?))).min_by_key(|h| h.1)
        else {
            return Ok(());
        };
        let bound = heads.iter().enumerate().filter(|(i, _)| *i != first).filter_map(|(_, h)| keys(h)).min();
        let (b, keys, next) = &mut heads[first];
        row(*b, *next)?;
        *next += 1;
        while let Some(key) = keys.get(*next)
            && bound.is_none_or(|bound| key <= bound)
        {
            row(*b, *next)?;
            *next += 1;
        }
    }
}
