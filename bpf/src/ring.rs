//! One BPF ring buffer, read in place.
//!
//! The kernel lays it out as: one page with the consumer's position (ours to write), one page with the producer's, then the
//! data twice in a row, so that a record that runs over the end can be read without a copy.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Error;
use crate::shared::Mapping;

/// Bytes of the header that the kernel puts before each record.
const RECORD_HEADER: u64 = 8;
/// Set in a record's length while its writer still fills it.
const BUSY: u32 = 1 << 31;
/// Set in a record's length when its writer gave it up.
const DISCARDED: u32 = 1 << 30;

/// What stands at a position of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A record of this many bytes; the next one starts at `end`.
    Record {
        /// Position of the first byte.
        start: u64,
        /// Bytes.
        len: u32,
        /// Position of the next record.
        end: u64,
    },
    /// A record that its writer has not finished.
    Busy,
    /// Nothing yet.
    Empty,
}

/// One ring, mapped.
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    mask: u64,
}

impl Ring {
    /// Maps the ring buffer map behind `fd`, of `bytes` bytes (a power of two).
    ///
    /// # Errors
    /// When the kernel refuses the mapping.
    pub fn map(fd: OwnedFd, bytes: usize) -> Result<Ring, Error> {
        let page = rustix::param::page_size();
        let consumer = Mapping::new(fd.as_fd(), 0, page, true).map_err(Error::io("map a ring's consumer page"))?;
        let producer = Mapping::new(fd.as_fd(), page as u64, page + 2 * bytes, false)
            .map_err(Error::io(format!("map {bytes} bytes of ring data")))?;
        Ok(Ring { fd, consumer, producer, page, mask: bytes as u64 - 1 })
    }

    /// The descriptor to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor's number.
    pub fn raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Bytes of data that the ring holds at the most.
    pub fn bytes(&self) -> u64 {
        self.mask + 1
    }

    /// How far writers have reserved room.
    pub fn producer_position(&self) -> u64 {
        // SAFETY: the first word of the producer page is the kernel's position, aligned, mapped as long as `self`.
        unsafe { &*self.producer.pointer().cast::<AtomicU64>() }.load(Ordering::Acquire)
    }

    /// Gives all room below `position` back to the writers.
    pub fn release(&mut self, position: u64) {
        // SAFETY: the first word of the consumer page is our position, aligned, writable, mapped as long as `self`;
        // only this reader writes it (`&mut self`).
        unsafe { &*self.consumer.pointer().cast::<AtomicU64>() }.store(position, Ordering::Release);
    }

    /// How far room has been given back.
    pub fn consumer_position(&self) -> u64 {
        // SAFETY: as in `release`.
        unsafe { &*self.consumer.pointer().cast::<AtomicU64>() }.load(Ordering::Relaxed)
    }

    fn data(&self, position: u64) -> *const u8 {
        // SAFETY: `position & mask` is below the ring's size, and the mapping holds a page and twice that size.
        unsafe { self.producer.pointer().add(self.page + (position & self.mask) as usize) }
    }

    /// What stands at `position`, given that writers have reserved up to `producer`.
    ///
    /// Discarded records are skipped. A length that runs beyond `producer` cannot happen with an intact kernel; it
    /// reads as busy, so that nothing is read out of bounds.
    pub fn next(&self, mut position: u64, producer: u64) -> Next {
        while position < producer {
            // SAFETY: `data` is inside the mapping and record headers are 8-aligned.
            let word = unsafe { &*self.data(position).cast::<AtomicU32>() }.load(Ordering::Acquire);
            let len = word & !(BUSY | DISCARDED);
            let end = position + (RECORD_HEADER + u64::from(len)).next_multiple_of(8);
            if word & BUSY != 0 || end > producer || u64::from(len) > self.mask {
                return Next::Busy;
            }
            if word & DISCARDED == 0 {
                return Next::Record { start: position + RECORD_HEADER, len, end };
            }
            position = end;
        }
        Next::Empty
    }

    /// The bytes of a finished record that has not been released.
    ///
    /// `start` and `len` are those of [`Next::Record`]; others give other bytes of the ring, never memory outside it.
    pub fn record(&self, start: u64, len: u32) -> &[u8] {
        let len = u64::from(len).min(self.mask + 1) as usize;
        // SAFETY: the data area is mapped twice in a row, so `start & mask + len` is inside it for any len up to the
        // ring's size. Writers do not touch a finished record until it is released, and `release` needs `&mut self`,
        // which this borrow excludes.
        unsafe { std::slice::from_raw_parts(self.data(start), len) }
    }
}

/// A full barrier between the reader's clock and the positions that it reads behind it.
pub fn barrier() {
    std::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: lfence has no operands and every x86_64 has it; it keeps the clock's rdtsc before the loads.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
}

/// Creates a ring buffer map of `bytes` bytes.
///
/// # Errors
/// When the kernel refuses (memory, capability).
pub fn create(name: &str, bytes: u32) -> Result<OwnedFd, Error> {
    let opts = libbpf_rs::libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as _,
        ..Default::default()
    };
    let map = libbpf_rs::MapHandle::create(libbpf_rs::MapType::RingBuf, Some(name), 0, 0, bytes, &opts)
        .map_err(Error::libbpf(format!("create a ring of {bytes} bytes")))?;
    map.as_fd().try_clone_to_owned().map_err(Error::io("keep a ring's descriptor"))
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("bytes", &self.bytes()).field("producer", &self.producer_position()).finish()
    }
}
