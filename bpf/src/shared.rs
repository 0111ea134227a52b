//! Memory that the programs and the collector share: counters per CPU, the sleep flag, the log of losses.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Error;
use crate::skel::types;

/// Losses per CPU whose action is remembered until the reader has seen the gap; `LOST_LOG_ENTRIES` in maps.h.
pub const LOST_LOG_ENTRIES: u64 = 1 << 16;

/// Words of 32 bits from one entry to the next: the kernel rounds the values of an array map up to 8 bytes.
const LOST_LOG_STRIDE: usize = 2;

/// A shared mapping of a map's memory; unmapped when dropped.
pub struct Mapping {
    pointer: *mut u8,
    len: usize,
}

// SAFETY: the mapping is plain shared memory, valid from any thread until it is dropped.
unsafe impl Send for Mapping {}
// SAFETY: all access goes through atomics or the ring protocol.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `fd` from `offset`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(fd: BorrowedFd<'_>, offset: u64, len: usize, writable: bool) -> io::Result<Mapping> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours.
        let pointer = unsafe { mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, fd, offset)? };
        Ok(Mapping { pointer: pointer.cast(), len })
    }

    /// First byte.
    pub fn pointer(&self) -> *mut u8 {
        self.pointer
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, made in `new` with this length, and nothing borrows from it any more.
        let _ = unsafe { rustix::mm::munmap(self.pointer.cast(), self.len) };
    }
}

fn whole_pages(len: usize) -> usize {
    len.next_multiple_of(rustix::param::page_size())
}

/// Counters of one CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuCounters {
    /// Next sequence number.
    pub seq: u64,
    /// Attempts that got a number and no room.
    pub lost: u64,
    /// Wake-ups that a program of this CPU had to force.
    pub forced_wakeups: u64,
    /// Children that could not be followed.
    pub filter_full: u32,
}

/// The shared memory.
pub struct Shared {
    cpus: Mapping,
    reader: Mapping,
    lost_log: Mapping,
    possible: usize,
}

impl Shared {
    /// Maps the three maps; `possible` is the number of CPUs that lost_log was sized for.
    ///
    /// # Errors
    /// When the kernel refuses a mapping.
    pub fn map(
        cpus: BorrowedFd<'_>,
        reader: BorrowedFd<'_>,
        lost_log: BorrowedFd<'_>,
        possible: usize,
    ) -> Result<Shared, Error> {
        let map = |fd, len: usize, what: &str| {
            Mapping::new(fd, 0, whole_pages(len), true).map_err(Error::io(format!("map {what}")))
        };
        Ok(Shared {
            cpus: map(cpus, size_of::<types::data_cpus>(), "the counters of the CPUs")?,
            reader: map(reader, size_of::<types::data_reader>(), "the reader's flag")?,
            lost_log: map(lost_log, possible * LOST_LOG_ENTRIES as usize * LOST_LOG_STRIDE * 4, "the log of losses")?,
            possible,
        })
    }

    fn cpu(&self, cpu: usize) -> *const types::cpu_state {
        assert!(cpu < self.possible, "CPU {cpu} of {}", self.possible);
        // SAFETY: checked to be inside the array that `cpus` maps.
        unsafe { self.cpus.pointer().cast::<types::cpu_state>().add(cpu) }
    }

    /// The counters of one CPU. Read them before the ring's producer position: all numbers below `seq` are then in the
    /// ring, or lost.
    pub fn counters(&self, cpu: usize) -> CpuCounters {
        let state = self.cpu(cpu);
        // SAFETY: `state` is valid and aligned; the fields are words that the kernel writes atomically.
        unsafe {
            let word = |p: *const u64| (*p.cast::<AtomicU64>()).load(Ordering::Acquire);
            CpuCounters {
                seq: word(&raw const (*state).seq),
                lost: word(&raw const (*state).lost),
                forced_wakeups: word(&raw const (*state).forced_wakeups),
                filter_full: (*(&raw const (*state).filter_full).cast::<AtomicU32>()).load(Ordering::Relaxed),
            }
        }
    }

    /// Action and reason of the `n`th loss of a CPU; only the last [`LOST_LOG_ENTRIES`] are still there.
    pub fn lost_entry(&self, cpu: usize, n: u64) -> (u16, u8) {
        assert!(cpu < self.possible, "CPU {cpu} of {}", self.possible);
        let at = cpu * LOST_LOG_ENTRIES as usize + (n & (LOST_LOG_ENTRIES - 1)) as usize;
        // SAFETY: inside the array that `lost_log` maps, by the two lines above.
        let entry =
            unsafe { (*self.lost_log.pointer().cast::<AtomicU32>().add(at * LOST_LOG_STRIDE)).load(Ordering::Relaxed) };
        (entry as u16, (entry >> 16) as u8)
    }

    fn reader(&self) -> *const types::reader_state {
        self.reader.pointer().cast()
    }

    /// Tells the programs that the reader is about to sleep (or is awake). Behind a `true` the caller must look at the
    /// positions once more before it waits.
    pub fn set_sleeping(&self, sleeping: bool) {
        // SAFETY: the flag is an aligned word inside the mapping.
        let flag = unsafe { &*(&raw const (*self.reader()).sleeping).cast::<AtomicU32>() };
        flag.store(u32::from(sleeping), Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}
