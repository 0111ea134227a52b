//! The kernel's rings as the sequencer reads them, and the wait until there is something to read.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use weir_bpf::ring::{Next, Ring};
use weir_bpf::shared::{LOST_LOG_ENTRIES, Shared};

use crate::numbers::LostLog;
use crate::order::Source;

/// One CPU's ring with its counters.
pub struct CpuRing {
    cpu: usize,
    ring: Option<Ring>,
    shared: Arc<Shared>,
}

impl CpuRing {
    /// The ring of a CPU; `None` for a CPU that has none, whose attempts still take numbers.
    pub fn new(cpu: usize, ring: Option<Ring>, shared: Arc<Shared>) -> CpuRing {
        CpuRing { cpu, ring, shared }
    }

    /// Number of the CPU.
    pub fn number(&self) -> usize {
        self.cpu
    }

    /// What its programs counted.
    pub fn counters(&self) -> weir_bpf::shared::CpuCounters {
        self.shared.counters(self.cpu)
    }

    /// The ring itself.
    pub fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// Gives a CPU that had none its ring.
    pub fn set_ring(&mut self, ring: Ring) {
        self.ring = Some(ring);
    }
}

impl LostLog for CpuRing {
    fn lost(&self) -> u64 {
        self.shared.counters(self.cpu).lost
    }
    fn entry(&self, n: u64) -> (u16, u8) {
        self.shared.lost_entry(self.cpu, n)
    }
    fn kept(&self) -> u64 {
        LOST_LOG_ENTRIES
    }
}

impl Source for CpuRing {
    fn cpu(&self) -> usize {
        self.cpu
    }
    fn produced(&self) -> u64 {
        self.shared.counters(self.cpu).seq
    }
    fn producer(&self) -> u64 {
        self.ring.as_ref().map_or(0, Ring::producer_position)
    }
    fn next(&self, position: u64, producer: u64) -> Next {
        self.ring.as_ref().map_or(Next::Empty, |ring| ring.next(position, producer))
    }
    fn record(&self, start: u64, len: u32) -> &[u8] {
        self.ring.as_ref().map_or(&[], |ring| ring.record(start, len))
    }
    fn consumer(&self) -> u64 {
        self.ring.as_ref().map_or(0, Ring::consumer_position)
    }
    fn release(&mut self, position: u64) {
        if let Some(ring) = &mut self.ring {
            ring.release(position);
        }
    }
}

/// Waits on rings and on the collector's own events.
pub struct Waiter {
    epoll: OwnedFd,
}

impl Waiter {
    /// Waits on nothing yet.
    ///
    /// # Errors
    /// When the kernel has no room for another epoll.
    pub fn new() -> rustix::io::Result<Waiter> {
        Ok(Waiter { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Wakes when `fd` becomes readable. Edge-triggered: a ring that is not empty does not keep the reader awake.
    ///
    /// # Errors
    /// When the descriptor cannot be waited on.
    pub fn add(&self, fd: impl AsFd) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)
    }

    /// Waits until something becomes readable, or for this long; for ever without a limit.
    pub fn wait(&self, limit: Option<Duration>) {
        let limit = limit.map(|d| Timespec { tv_sec: d.as_secs() as i64, tv_nsec: i64::from(d.subsec_nanos()) });
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 4];
        // A signal or a limit ends the wait early; the caller looks at everything again in any case.
        let _ = epoll::wait(&self.epoll, &mut events, limit.as_ref());
    }
}
