//! A record, checked against its definition once, so that everything behind reads it without further questions.

use crate::wire::{CONTEXT_INNER, CONTEXT_LEFT_OUT, CONTEXT_TASK, HEADER, HEADER_SIZE, offset_of};
use crate::{Action, Class, action_by_id};

/// Offsets in the header.
pub mod at {
    use super::{HEADER, offset_of};
    /// `size`
    pub const SIZE: usize = offset_of(HEADER, "size");
    /// `action`
    pub const ACTION: usize = offset_of(HEADER, "action");
    /// `context`
    pub const CONTEXT: usize = offset_of(HEADER, "context");
    /// `seq`
    pub const SEQ: usize = offset_of(HEADER, "seq");
    /// `ktime_ns`
    pub const KTIME_NS: usize = offset_of(HEADER, "ktime_ns");
    /// `process_key`
    pub const PROCESS_KEY: usize = offset_of(HEADER, "process_key");
    /// `parent_key`
    pub const PARENT_KEY: usize = offset_of(HEADER, "parent_key");
    /// `container_cgroup`
    pub const CONTAINER_CGROUP: usize = offset_of(HEADER, "container_cgroup");
    /// `pid`
    pub const PID: usize = offset_of(HEADER, "pid");
    /// `tid`
    pub const TID: usize = offset_of(HEADER, "tid");
    /// `uid`
    pub const UID: usize = offset_of(HEADER, "uid");
    /// `login_uid`
    pub const LOGIN_UID: usize = offset_of(HEADER, "login_uid");
    /// `session`
    pub const SESSION: usize = offset_of(HEADER, "session");
    /// `cpu`
    pub const CPU: usize = offset_of(HEADER, "cpu");
    /// `comm`
    pub const COMM: usize = offset_of(HEADER, "comm");
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Shorter than its fixed part, or than it says.
    #[error("too short")]
    Short,
    /// No action has this number.
    #[error("unknown action")]
    UnknownAction,
    /// The tails do not fill the record.
    #[error("tails and size disagree")]
    Tails,
}

/// A checked record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its class.
    pub class: &'static Class,
    /// Its action.
    pub action: &'static Action,
    /// Header, fields and tail lengths: exactly `layout.fixed` bytes.
    pub fixed: &'a [u8],
    /// All tails, one behind the other.
    rest: &'a [u8],
    tail_lengths: usize,
}

/// u16 at an offset that has been checked.
fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// Little-endian i64 at an offset of the fixed part; 0 beyond its end.
#[inline]
pub fn i64_at(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_le_bytes)
}

/// Little-endian u32 at an offset of the fixed part; 0 beyond its end.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Action number of a record, 0 for one that is too short.
pub fn action_number(bytes: &[u8]) -> u16 {
    if bytes.len() < HEADER_SIZE { 0 } else { u16_at(bytes, at::ACTION) as u16 }
}

impl<'a> Record<'a> {
    /// Checks `bytes` (which may be followed by unused room of the ring) against the definition.
    ///
    /// # Errors
    /// Any bytes that no probe writes; never a panic.
    pub fn parse(bytes: &'a [u8]) -> Result<Record<'a>, BadRecord> {
        if bytes.len() < HEADER_SIZE {
            return Err(BadRecord::Short);
        }
        let (class, action) = action_by_id(u16_at(bytes, at::ACTION) as u16).ok_or(BadRecord::UnknownAction)?;
        if !class.has_record() {
            return Err(BadRecord::UnknownAction);
        }
        let layout = class.layout();
        let size = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if size < layout.fixed || bytes.len() < size {
            return Err(BadRecord::Short);
        }
        let (fixed, rest) = bytes[..size].split_at(layout.fixed);
        let record = Record { class, action, fixed, rest, tail_lengths: layout.tail_lengths };
        if record.tail_start(class.tails.len()) == rest.len() { Ok(record) } else { Err(BadRecord::Tails) }
    }

    /// Where the `i`th tail starts in `rest`. Most rows are asked for few of their tails, so nothing is kept.
    fn tail_start(&self, i: usize) -> usize {
        self.fixed[self.tail_lengths..][..2 * i].chunks_exact(2).map(|len| u16_at(len, 0)).sum()
    }

    /// The bytes of the `i`th tail.
    #[inline]
    pub fn tail(&self, i: usize) -> &'a [u8] {
        let len = u16_at(self.fixed, self.tail_lengths + 2 * i);
        if len == 0 { &[] } else { &self.rest[self.tail_start(i)..][..len] }
    }

    /// Sequence number.
    pub fn seq(&self) -> i64 {
        i64_at(self.fixed, at::SEQ)
    }

    /// CLOCK_BOOTTIME, ns.
    pub fn ktime_ns(&self) -> i64 {
        i64_at(self.fixed, at::KTIME_NS)
    }

    /// Key of the process.
    pub fn process_key(&self) -> i64 {
        i64_at(self.fixed, at::PROCESS_KEY)
    }

    /// Key of the parent as the kernel had it.
    pub fn parent_key(&self) -> i64 {
        i64_at(self.fixed, at::PARENT_KEY)
    }

    /// Whether the process fields are valid.
    pub fn in_task(&self) -> bool {
        u16_at(self.fixed, at::CONTEXT) as u16 & CONTEXT_TASK != 0
    }

    /// Whether the task was in a pid namespace below the collector's; told only where a filter asks.
    pub fn in_inner_namespace(&self) -> bool {
        u16_at(self.fixed, at::CONTEXT) as u16 & CONTEXT_INNER != 0
    }

    /// Whether the kernel's filters leave the event out.
    pub fn is_left_out(&self) -> bool {
        u16_at(self.fixed, at::CONTEXT) as u16 & CONTEXT_LEFT_OUT != 0
    }

    /// Whether it was written by the first thread of the process.
    pub fn by_leader(&self) -> bool {
        u32_at(self.fixed, at::PID) == u32_at(self.fixed, at::TID)
    }

    /// Real user id.
    pub fn uid(&self) -> u32 {
        u32_at(self.fixed, at::UID)
    }

    /// Cgroup that tells the container.
    pub fn container_cgroup(&self) -> u64 {
        i64_at(self.fixed, at::CONTAINER_CGROUP) as u64
    }

    /// Name of the thread.
    pub fn comm(&self) -> &'a [u8; 16] {
        self.fixed[at::COMM..].first_chunk().unwrap_or(&[0; 16])
    }
}

#[cfg(test)]
mod tests {
    use crate::CLASSES;
    use proptest::prelude::*;

    use super::*;

    fn record(class: &Class, action: &Action, tail: u8) -> Vec<u8> {
        let layout = class.layout();
        let mut bytes = vec![7; layout.fixed + class.tails.len() * usize::from(tail)];
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes[at::ACTION..at::ACTION + 2].copy_from_slice(&action.id.to_le_bytes());
        for i in 0..class.tails.len() {
            bytes[layout.tail_lengths + 2 * i..][..2].copy_from_slice(&u16::from(tail).to_le_bytes());
        }
        bytes
    }

    #[test]
    fn every_prefix_of_every_record_is_an_error_and_the_whole_is_not() {
        for class in CLASSES.iter().filter(|c| c.has_record()) {
            for action in class.actions {
                let bytes = record(class, action, 5);
                for len in 0..bytes.len() {
                    assert_eq!(Record::parse(&bytes[..len]).err(), Some(BadRecord::Short), "{}", action.name);
                }
                let whole = Record::parse(&bytes).expect("whole");
                assert_eq!(whole.action.id, action.id);
                assert_eq!(whole.tail(class.tails.len() - 1).len(), 5);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..600), action in 0u16..0x800) {
            if bytes.len() >= HEADER_SIZE {
                let size = bytes.len() as u32;
                bytes[..4].copy_from_slice(&size.to_le_bytes());
                bytes[at::ACTION..at::ACTION + 2].copy_from_slice(&action.to_le_bytes());
            }
            if let Ok(record) = Record::parse(&bytes) {
                prop_assert_eq!(record.fixed.len(), record.class.layout().fixed);
            }
        }
    }
}
