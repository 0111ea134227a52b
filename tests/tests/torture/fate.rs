//! What happens to one collector in its life: chosen by the seed before it begins, so that a seed gives the same choices again.

use std::time::Duration;

use crate::support::seed::Random;

/// Longest life, ms; several commits, flushes and generations of files.
const LIFE_MS_MAX: u64 = 1_200;
/// One in so many dies in its start.
const EARLY_ONE_IN: u64 = 4;
/// Longest life of such a one, ms.
const EARLY_MS_MAX: u64 = 300;
/// Longest time that something is broken, ms: it can go on in the lives that follow.
const BROKEN_MS_MAX: u64 = 2_500;

/// What can go wrong while a collector lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// SIGSTOP, later SIGCONT; if the end is nearer, SIGKILL in its sleep.
    CollectorFrozen,
    /// SIGKILL, later a new start on the same data.
    KafkaKilled,
    /// SIGSTOP, later SIGCONT.
    KafkaFrozen,
    /// SIGKILL, later a new start on the same data.
    NatsKilled,
    /// SIGSTOP, later SIGCONT.
    NatsFrozen,
    /// The spool's file system is filled to the last byte, later emptied.
    DiskFull,
}

/// Each harm, and that it comes once in so many lives.
const HARMS: &[(Harm, u64)] = &[
    (Harm::CollectorFrozen, 4),
    (Harm::KafkaKilled, 10),
    (Harm::KafkaFrozen, 6),
    (Harm::NatsKilled, 6),
    (Harm::NatsFrozen, 6),
    (Harm::DiskFull, 4),
];

impl Harm {
    /// As the closing line names it.
    pub fn name(self) -> &'static str {
        match self {
            Harm::CollectorFrozen => "collector frozen",
            Harm::KafkaKilled => "kafka killed",
            Harm::KafkaFrozen => "kafka frozen",
            Harm::NatsKilled => "nats killed",
            Harm::NatsFrozen => "nats frozen",
            Harm::DiskFull => "disk full",
        }
    }
}

/// What is found behind the last whole frame when a machine went down while a frame was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// Anything.
    Garbage,
    /// The first bytes of a frame.
    HalfFrame,
    /// A new segment that has not even all of its header.
    HalfHeader,
}

impl Torn {
    /// As the closing line names it.
    pub fn name(self) -> &'static str {
        match self {
            Torn::Garbage => "torn end: garbage",
            Torn::HalfFrame => "torn end: half a frame",
            Torn::HalfHeader => "torn end: half a header",
        }
    }
}

/// One life.
#[derive(Debug)]
pub struct Fate {
    /// Until the SIGKILL.
    pub life: Duration,
    /// When it comes, what, and how long it lasts; in the order of time.
    pub harms: Vec<(Duration, Harm, Duration)>,
    /// What is done to the spool behind the death.
    pub torn: Option<Torn>,
}

impl Fate {
    /// The next life. Draws as many numbers as any other, whatever they are.
    pub fn draw(random: &mut Random) -> Fate {
        let early = random.below(EARLY_ONE_IN) == 0;
        let life_ms = random.below(if early { EARLY_MS_MAX } else { LIFE_MS_MAX });
        let mut harms: Vec<(Duration, Harm, Duration)> = vec![];
        for (harm, one_in) in HARMS {
            let comes = random.below(*one_in) == 0;
            let at = Duration::from_millis(random.below(life_ms.max(1)));
            // A collector wakes up in the same life, or never.
            let longest_ms = if *harm == Harm::CollectorFrozen { life_ms.max(1) } else { BROKEN_MS_MAX };
            let lasts = Duration::from_millis(random.below(longest_ms));
            harms.extend(comes.then_some((at, *harm, lasts)));
        }
        harms.sort_by_key(|(at, _, _)| *at);
        let torn = match random.below(9) {
            0 => Some(Torn::Garbage),
            1 => Some(Torn::HalfFrame),
            2 => Some(Torn::HalfHeader),
            _ => None,
        };
        Fate { life: Duration::from_millis(life_ms), harms, torn }
    }
}
