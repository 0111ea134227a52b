//! What the order protocol promises, and what each of its steps is for.

use super::{Size, Variant, explore};

/// One ring with every interleaving: the last stamps, refusals and rounds of one writer.
const ONE_RING: Size = Size { attempts: [2, 0], slots: 1, rounds: 3, preemptions_max: None };
/// Two rings with every interleaving of one record each and one round.
const ONE_ROUND: Size = Size { attempts: [1, 1], slots: 1, rounds: 1, preemptions_max: None };
/// Two rings, each refusing its second record while the first is unread.
const FULL_RINGS: Size = Size { attempts: [2, 2], slots: 1, rounds: 2, preemptions_max: Some(4) };
/// Two rings with room for both records.
const ROOMY_RINGS: Size = Size { attempts: [2, 2], slots: 2, rounds: 2, preemptions_max: Some(3) };

#[test]
fn no_record_is_late_in_any_interleaving_of_one_ring() {
    let met = explore(Variant::Right, ONE_RING);
    met.require([&met.busy_heads, &met.refusals, &met.emitted_early, &met.held_back]);
}

#[test]
fn no_record_is_late_in_any_interleaving_of_two_rings_and_one_round() {
    let met = explore(Variant::Right, ONE_ROUND);
    met.require([&met.busy_heads, &met.emitted_early, &met.held_back]);
}

#[test]
fn no_record_is_late_when_full_rings_refuse() {
    let met = explore(Variant::Right, FULL_RINGS);
    met.require([&met.busy_heads, &met.refusals, &met.emitted_early, &met.held_back]);
}

#[test]
fn no_record_is_late_when_rings_hold_several() {
    let met = explore(Variant::Right, ROOMY_RINGS);
    met.require([&met.busy_heads, &met.emitted_early, &met.held_back]);
}

#[test]
#[should_panic(expected = "late record")]
fn without_the_writers_barrier_a_record_is_late() {
    explore(Variant::NoWriterBarrier, FULL_RINGS);
}

#[test]
#[should_panic(expected = "late record")]
fn without_the_readers_barrier_a_record_is_late() {
    explore(Variant::NoReaderBarrier, FULL_RINGS);
}

#[test]
#[should_panic(expected = "late record")]
fn with_the_stamp_before_the_reserve_a_record_is_late() {
    explore(Variant::StampFirst, FULL_RINGS);
}

#[test]
#[should_panic(expected = "late record")]
fn with_the_positions_before_the_clock_a_record_is_late() {
    explore(Variant::PositionsBeforeClock, FULL_RINGS);
}

#[test]
#[should_panic(expected = "late record")]
fn with_busy_heads_ignored_a_record_is_late() {
    explore(Variant::BusyHeadsIgnored, FULL_RINGS);
}
