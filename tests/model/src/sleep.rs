//! The sleep protocol: flag, fence, positions against reserve, fence, flag.
//!
//! All writes to what the writers exchange are exchanges here, also where a store does on a machine: loom
//! forgets that an exchange comes directly after the value that it read, and then reports a stale flag.

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
use loom::thread;
use std::sync::Arc as PlainArc;
use std::sync::atomic::AtomicUsize as Tally;

/// Writers, each with a ring of its own.
const WRITERS: usize = 2;
/// Records of each writer.
const RECORDS: usize = 2;
/// Thread switches away from a thread that could go on.
const PREEMPTIONS_MAX: usize = 3;

/// The protocol, or the one step of it that is broken.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Right,
    /// The probe looks at the flag before it reserves.
    FlagBeforeReserve,
    NoWriterBarrier,
    NoReaderBarrier,
    /// Both barriers order no store against a later load.
    HalfBarriers,
    /// The reader looks at the positions for the last time before it sets the flag.
    PositionsBeforeFlag,
    /// The reader takes a ring with a busy head for an empty one.
    BusyCountsAsEmpty,
}

#[derive(Default)]
struct Ring {
    reserved: AtomicUsize,
    submitted: AtomicUsize,
}

struct Shared {
    rings: [Ring; WRITERS],
    reader_sleeps: AtomicBool,
    /// What epoll keeps until the reader comes for it.
    wake_up: AtomicBool,
}

fn write(shared: &Shared, ring: &Ring, variant: Variant) {
    let asked = || shared.reader_sleeps.load(Relaxed);
    for position in 1..=RECORDS {
        let early = (variant == Variant::FlagBeforeReserve).then(asked);
        ring.reserved.store(position, Release);
        match variant {
            Variant::NoWriterBarrier => {}
            Variant::HalfBarriers => fence(AcqRel),
            _ => fence(SeqCst),
        }
        let wake = early.unwrap_or_else(asked) && shared.reader_sleeps.swap(false, Relaxed);
        ring.submitted.store(position, Release);
        if wake {
            shared.wake_up.swap(true, Release);
        }
    }
}

/// Reads until it falls asleep. Returns the positions that it has read up to and how often it was woken.
fn read(shared: &Shared, variant: Variant) -> ([usize; WRITERS], usize) {
    let look = || {
        [0, 1].map(|cpu| match variant {
            Variant::BusyCountsAsEmpty => shared.rings[cpu].submitted.load(Acquire),
            _ => shared.rings[cpu].reserved.load(Acquire),
        })
    };
    let mut woken = 0;
    loop {
        // All that is reserved counts as read: the real reader waits for busy heads, awake.
        let read = look();
        let early = (variant == Variant::PositionsBeforeFlag).then(look);
        shared.reader_sleeps.swap(true, Relaxed);
        match variant {
            Variant::NoReaderBarrier => {}
            Variant::HalfBarriers => fence(AcqRel),
            _ => fence(SeqCst),
        }
        if early.unwrap_or_else(look) != read {
            shared.reader_sleeps.swap(false, Relaxed);
        } else if shared.wake_up.swap(false, Acquire) {
            woken += 1;
        } else {
            return (read, woken);
        }
    }
}

/// How many executions met a reader that was woken and one that slept for good.
#[derive(Default)]
struct Met {
    woken: Tally,
    asleep_at_the_end: Tally,
}

fn execution(variant: Variant, met: &Met) {
    let shared = Arc::new(Shared {
        rings: [Ring::default(), Ring::default()],
        reader_sleeps: AtomicBool::new(false),
        wake_up: AtomicBool::new(false),
    });
    let writers = [0, 1].map(|cpu| {
        let shared = shared.clone();
        thread::spawn(move || write(&shared, &shared.rings[cpu], variant))
    });
    let (read, woken) = read(&shared, variant);
    for writer in writers {
        writer.join().expect("the writer ends");
    }
    // A reader that finds its wake-up only now stands for one that slept for a while.
    let wakes = shared.wake_up.load(Acquire);
    assert!(wakes || read == [RECORDS; WRITERS], "lost wake-up");
    met.woken.fetch_add(usize::from(woken > 0), Relaxed);
    met.asleep_at_the_end.fetch_add(usize::from(!wakes), Relaxed);
}

fn explore(variant: Variant) -> PlainArc<Met> {
    let met = PlainArc::new(Met::default());
    let seen = met.clone();
    crate::explore(Some(PREEMPTIONS_MAX), move || execution(variant, &seen));
    met
}

#[test]
fn no_wake_up_is_lost() {
    let met = explore(Variant::Right);
    assert!(met.woken.load(Relaxed) > 0, "no explored reader was woken");
    assert!(met.asleep_at_the_end.load(Relaxed) > 0, "no explored reader slept with nothing unread");
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn with_the_flag_read_before_the_reserve_a_wake_up_is_lost() {
    explore(Variant::FlagBeforeReserve);
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn without_the_writers_barrier_a_wake_up_is_lost() {
    explore(Variant::NoWriterBarrier);
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn without_the_readers_barrier_a_wake_up_is_lost() {
    explore(Variant::NoReaderBarrier);
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn with_barriers_of_release_and_acquire_a_wake_up_is_lost() {
    explore(Variant::HalfBarriers);
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn with_the_positions_read_before_the_flag_is_set_a_wake_up_is_lost() {
    explore(Variant::PositionsBeforeFlag);
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn with_a_busy_head_taken_for_an_empty_ring_a_wake_up_is_lost() {
    explore(Variant::BusyCountsAsEmpty);
}
