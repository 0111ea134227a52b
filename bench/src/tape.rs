//! Recorded records as a ring in memory, in the form of the kernel's ring.

use weir_collector::numbers::LostLog;
use weir_collector::order::{Next, Source};
use weir_schema::record::at;

/// Bytes that stand before each record.
const RECORD_HEADER: u64 = 8;

/// A ring that is filled from memory between rounds.
pub struct Tape {
    cpu: usize,
    bytes: Vec<u8>,
    base: u64,
    seq: u64,
}

impl Tape {
    /// An empty ring.
    pub fn new(cpu: usize) -> Tape {
        Tape { cpu, bytes: vec![], base: 0, seq: 0 }
    }

    /// Empties the ring and writes these records with new numbers and times.
    pub fn fill<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], i64)>) {
        self.base += self.bytes.len() as u64;
        self.bytes.clear();
        for (record, ktime_ns) in records {
            self.bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(&[0; 4]);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(record);
            self.bytes[start + at::SEQ..][..8].copy_from_slice(&self.seq.to_le_bytes());
            self.bytes[start + at::KTIME_NS..][..8].copy_from_slice(&ktime_ns.to_le_bytes());
            self.bytes[start + at::CPU..][..4].copy_from_slice(&(self.cpu as u32).to_le_bytes());
            self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
            self.seq += 1;
        }
    }
}

impl LostLog for Tape {
    fn lost(&self) -> u64 {
        0
    }
    fn entry(&self, _: u64) -> (u16, u8) {
        (0, 0)
    }
    fn kept(&self) -> u64 {
        0
    }
}

impl Source for Tape {
    fn cpu(&self) -> usize {
        self.cpu
    }
    fn produced(&self) -> u64 {
        self.seq
    }
    fn producer(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
    fn next(&self, position: u64, producer: u64) -> Next {
        if position >= producer {
            return Next::Empty;
        }
        let at = (position - self.base) as usize;
        let len = u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]]);
        let end = position + (RECORD_HEADER + u64::from(len)).next_multiple_of(8);
        Next::Record { start: position + RECORD_HEADER, len, end }
    }
    fn record(&self, start: u64, len: u32) -> &[u8] {
        &self.bytes[(start - self.base) as usize..][..len as usize]
    }
    fn release(&mut self, _: u64) {}
}
