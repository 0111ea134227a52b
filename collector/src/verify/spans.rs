//! Runs of sequence numbers: kept sorted, merged, walked.

use serde::Serialize;

/// Numbers `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// Lowest number.
    pub first: u64,
    /// Highest number.
    pub last: u64,
}

impl Span {
    /// How many numbers it has. Numbers come from non-negative `i64`, so this cannot overflow.
    pub fn numbers(&self) -> u64 {
        self.last - self.first + 1
    }

    /// The part inside `other`.
    pub fn within(&self, other: &Span) -> Option<Span> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Span { first, last })
    }
}

/// A span of which some numbers are accounted for without saying which.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Where they are.
    pub span: Span,
    /// At least so many.
    pub least: u64,
    /// At most so many.
    pub most: u64,
}

impl Counted {
    /// `count` numbers, no more and no less.
    pub fn exactly(span: Span, count: u64) -> Counted {
        Counted { span, least: count, most: count }
    }
}

/// Sorts spans and joins those that touch; hands every overlap to `twice`.
pub fn merge(spans: &mut Vec<Span>, mut twice: impl FnMut(Span)) {
    spans.sort_unstable();
    let mut kept: usize = 0;
    for i in 0..spans.len() {
        let span = spans[i];
        match kept.checked_sub(1).map(|k| &mut spans[k]) {
            Some(before) if span.first <= before.last.saturating_add(1) => {
                if let Some(overlap) = span.within(before) {
                    twice(overlap);
                }
                before.last = before.last.max(span.last);
            }
            _ => {
                spans[kept] = span;
                kept += 1;
            }
        }
    }
    spans.truncate(kept);
}

/// Joins counted spans that overlap, because only their sum can be checked. Spans that merely touch stay apart: each
/// has to balance on its own, which names the fault more closely.
pub fn unite(counted: &mut Vec<Counted>) {
    counted.sort_unstable_by_key(|c| c.span);
    let mut kept: usize = 0;
    for i in 0..counted.len() {
        let next = counted[i];
        match kept.checked_sub(1).map(|k| &mut counted[k]) {
            Some(before) if next.span.first <= before.span.last => {
                before.span.last = before.span.last.max(next.span.last);
                before.least = before.least.saturating_add(next.least);
                before.most = before.most.saturating_add(next.most);
            }
            _ => {
                counted[kept] = next;
                kept += 1;
            }
        }
    }
    counted.truncate(kept);
}

/// What [`walk`] meets, in ascending order.
#[derive(Debug, PartialEq, Eq)]
pub enum Met {
    /// Numbers in neither.
    Hole(Span),
    /// Numbers in both.
    Both(Span),
}

/// Walks two sorted lists of disjoint spans from number 0 to `end` (not included) or to the last span, if that is
/// behind it, and reports what is in neither and what is in both.
pub fn walk(a: impl Iterator<Item = Span>, b: impl Iterator<Item = Span>, end: u64, mut met: impl FnMut(Met)) {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut next = 0;
    loop {
        let from_a = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(a), Some(b)) => a.first <= b.first,
        };
        let Some(span) = (if from_a { a.next() } else { b.next() }) else {
            break;
        };
        if span.first > next {
            met(Met::Hole(Span { first: next, last: span.first - 1 }));
        } else if span.first < next {
            met(Met::Both(Span { first: span.first, last: span.last.min(next - 1) }));
        }
        next = next.max(span.last + 1);
    }
    if next < end {
        met(Met::Hole(Span { first: next, last: end - 1 }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first, last }
    }

    #[test]
    fn touching_spans_join_and_overlaps_are_told() {
        let mut spans = vec![span(5, 9), span(0, 4), span(8, 12), span(20, 21)];
        let mut twice = Vec::new();
        merge(&mut spans, |s| twice.push(s));
        assert_eq!(spans, [span(0, 12), span(20, 21)]);
        assert_eq!(twice, [span(8, 9)]);
    }

    #[test]
    fn counted_spans_join_only_where_they_overlap() {
        let counted = |first, last, count| Counted::exactly(span(first, last), count);
        let mut list = vec![counted(10, 19, 3), counted(0, 9, 2), counted(15, 30, 4)];
        unite(&mut list);
        let told: Vec<(Span, u64)> = list.iter().map(|c| (c.span, c.most)).collect();
        assert_eq!(told, [(span(0, 9), 2), (span(10, 30), 7)]);
    }

    #[test]
    fn walking_tells_holes_and_numbers_in_both() {
        let mut met = Vec::new();
        let a = [span(2, 5), span(9, 9)];
        let b = [span(5, 6), span(7, 7)];
        walk(a.into_iter(), b.into_iter(), 12, |m| met.push(m));
        let expected = [Met::Hole(span(0, 1)), Met::Both(span(5, 5)), Met::Hole(span(8, 8)), Met::Hole(span(10, 11))];
        assert_eq!(met, expected);
    }
}
