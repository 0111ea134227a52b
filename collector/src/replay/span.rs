//! A span of time: what is outside of it becomes numbers that were not asked for.

use std::sync::Arc;

use weir_schema::ClassId;
use weir_sinks::payload::tallies;
use weir_sinks::{Batch, Cut, Tally};

/// From and until, µs since 1970; both ends may be open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First time that is in.
    pub since_us: Option<i64>,
    /// First time that is not.
    pub until_us: Option<i64>,
}

impl Span {
    /// Whether everything is in.
    pub fn is_open(&self) -> bool {
        *self == Span::default()
    }

    /// The cut without the rows outside. Rows of class `loss` stay: they account for numbers.
    pub fn of(&self, cut: Arc<Cut>) -> Arc<Cut> {
        if self.is_open() {
            return cut;
        }
        let (mut batches, mut kept) = (vec![], vec![]);
        for batch in &cut.batches {
            let (from, to) =
                if batch.class.id == ClassId::Loss { (0, batch.rows.num_rows()) } else { self.rows(batch) };
            if to > from {
                kept.extend(tallies(batch, from, to - from));
                batches.push(Batch { class: batch.class, rows: batch.rows.slice(from, to - from) });
            }
        }
        let mut all = kept;
        all.extend(left_out(&cut.tallies, &all));
        Arc::new(Cut {
            number: cut.number,
            identity: cut.identity.clone(),
            batches,
            tallies: all,
            dropped: cut.dropped.clone(),
            damaged: cut.damaged,
            positions: cut.positions.clone(),
            clock_offset_ns: cut.clock_offset_ns,
            last: cut.last,
            resume: String::new(),
        })
    }

    /// The rows of a batch, which are in the order of their times.
    fn rows(&self, batch: &Batch) -> (usize, usize) {
        let times = batch.times();
        if times.is_empty() {
            return (0, batch.rows.num_rows());
        }
        let from = self.since_us.map_or(0, |since| times.partition_point(|time| *time < since));
        let to = self.until_us.map_or(times.len(), |until| times.partition_point(|time| *time < until));
        (from, to.max(from))
    }
}

/// The numbers of a cut that have no row any more, by CPU.
fn left_out(all: &[Tally], kept: &[Tally]) -> Vec<Tally> {
    let count = |tallies: &[Tally], cpu| {
        tallies.iter().filter(|t| t.cpu == cpu).fold(0i64, |sum, t| sum.saturating_add(t.count))
    };
    let mut cpus: Vec<i32> = all.iter().map(|t| t.cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let of_cpu = |cpu| {
        let own = || all.iter().filter(move |t| t.cpu == cpu);
        let first_seq = own().map(|t| t.first_seq).min()?;
        let last_seq = own().map(|t| t.last_seq).max()?;
        let count = count(all, cpu).saturating_sub(count(kept, cpu));
        (count > 0).then_some(Tally { cpu, action: 0, first_seq, last_seq, count })
    };
    cpus.into_iter().filter_map(of_cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_row_any_more_is_counted_by_cpu() {
        let tally = |cpu, action, first_seq, last_seq, count| Tally { cpu, action, first_seq, last_seq, count };
        let all = [tally(0, 0x0201, 5, 9, 5), tally(0, 0, 10, 10, 1), tally(1, 0x0102, 3, 3, 1)];
        let kept = [tally(0, 0x0201, 7, 9, 3)];
        assert_eq!(left_out(&all, &kept), [tally(0, 0, 5, 10, 3), tally(1, 0, 3, 3, 1)]);
        assert_eq!(left_out(&all, &all), []);
    }
}
