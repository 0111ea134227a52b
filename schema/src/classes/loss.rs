//! Class `loss`: what was not seen, as data.

use crate::class::{Action, Class, ClassId, Trigger};
use crate::column::{ColumnType::*, Source, TEXT_ESCAPED, column};

const ALL: &[&str] =
    &["gap_cpu", "first_seq", "last_seq", "first_ktime_ns", "last_ktime_ns", "count", "by_action", "reason"];

pub(super) static LOSS: Class = Class {
    id: ClassId::Loss,
    name: "loss",
    doc: "Numbers that have no row, with the reason; always written.",
    default: true,
    fields: &[],
    tails: &[],
    columns: &[
        column(
            "gap_cpu",
            Int32,
            Source::Collector,
            "CPU whose numbers are missing; null where attempts took no number",
        ),
        column(
            "first_seq",
            Int64,
            Source::Collector,
            "first missing number; checkpoint and end: the first number that is not accounted for yet",
        ),
        column("last_seq", Int64, Source::Collector, "last missing number"),
        column("first_ktime_ns", Int64, Source::Collector, "time of the neighbour before the gap"),
        column("last_ktime_ns", Int64, Source::Collector, "time of the neighbour behind the gap"),
        column(
            "count",
            Int64,
            Source::Collector,
            "missing numbers; smaller than the span where rows of the span were delivered (reasons made by a sink)",
        ),
        column("by_action", Text, Source::Collector, "`open=120,unlink=3`"),
        column("reason", Text, Source::Collector, "why"),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0701, "gap", "numbers that have no row").sets(ALL).trigger(Trigger::Collector),
        Action::new(
            0x0702,
            "checkpoint",
            "everything below `first_seq` of this CPU is in the outputs, as a row or a gap",
        )
        .sets(ALL)
        .trigger(Trigger::Collector),
        Action::new(0x0703, "end", "the sequence of a CPU is complete up to here: the collector stopped")
            .sets(ALL)
            .trigger(Trigger::Collector),
    ],
};
