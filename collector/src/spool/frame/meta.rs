//! What a cut says besides its rows. It comes from a file, so its numbers are held against what can be before they are used.

use std::io;

use serde::{Deserialize, Serialize};
use weir_schema::loss::CPU_SINK;
use weir_sinks::{Batch, Cut, Identity, Position, Tally};

use super::{HEADER_BYTES, Header, META_BYTES_MAX, bad, u32_at};

/// Numbers of events and times are below, so that sums of two of them cannot wrap.
const VALUE_MAX: i64 = 1 << 62;
/// Highest number of a CPU: the kernel's own limit (`NR_CPUS`, x86).
const CPU_MAX: i32 = 8191;

/// cpu, action, first, last, count
type Packed = (i32, u16, i64, i64, i64);

/// Lists instead of objects, because it is written 40 times a second.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    tallies: Vec<Packed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<Packed>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    damaged: bool,
    /// cpu, next number, kernel time
    positions: Vec<(i32, i64, i64)>,
    clock_offset_ns: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    resume: String,
}

fn packed(tallies: &[Tally]) -> Vec<Packed> {
    tallies.iter().map(|t| (t.cpu, t.action, t.first_seq, t.last_seq, t.count)).collect()
}

fn unpacked(tallies: Vec<Packed>) -> Vec<Tally> {
    let tally = |(cpu, action, first_seq, last_seq, count)| Tally { cpu, action, first_seq, last_seq, count };
    tallies.into_iter().map(tally).collect()
}

fn is_cpu(cpu: i32) -> bool {
    (CPU_SINK..=CPU_MAX).contains(&cpu)
}

fn is_tally(&(cpu, _, first, last, count): &Packed) -> bool {
    is_cpu(cpu) && 0 <= first && first <= last && last < VALUE_MAX && (0..=last - first + 1).contains(&count)
}

impl Meta {
    pub fn of(cut: &Cut) -> Meta {
        Meta {
            tallies: packed(&cut.tallies),
            dropped: packed(&cut.dropped),
            damaged: cut.damaged,
            positions: cut.positions.iter().map(|p| (p.cpu, p.next_seq, p.ktime_ns)).collect(),
            clock_offset_ns: cut.clock_offset_ns,
            last: cut.last,
            resume: cut.resume.clone(),
        }
    }

    /// As the frame of a cut has it, with its length in front.
    ///
    /// # Errors
    /// When it is longer than a reader believes.
    pub fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        if text.len() > META_BYTES_MAX {
            return Err(bad("a cut has more counts than a frame can have"));
        }
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(&text);
        Ok(())
    }

    /// What the frame of a cut says besides its rows, and where its batches begin.
    pub fn read(header: &Header, frame: &[u8]) -> io::Result<(Meta, usize)> {
        let torn = || bad(format!("frame {} ends too early", header.number));
        let from = HEADER_BYTES + 4;
        let len = u32_at(frame, HEADER_BYTES).map(|len| len as usize).filter(|len| *len <= META_BYTES_MAX);
        let to = from + len.ok_or_else(torn)?;
        let meta: Meta = serde_json::from_slice(frame.get(from..to).ok_or_else(torn)?)?;
        if !meta.is_possible() {
            return Err(bad(format!("frame {} has numbers that cannot be", header.number)));
        }
        Ok((meta, to.next_multiple_of(8)))
    }

    fn is_possible(&self) -> bool {
        let is_value = |value: i64| -VALUE_MAX < value && value < VALUE_MAX;
        let is_position = |&(cpu, next, ktime_ns): &(i32, i64, i64)| {
            is_cpu(cpu) && (0..VALUE_MAX).contains(&next) && is_value(ktime_ns)
        };
        self.tallies.iter().chain(&self.dropped).all(is_tally)
            && self.positions.iter().all(is_position)
            && is_value(self.clock_offset_ns)
    }

    pub fn into_cut(self, number: u64, identity: &Identity, batches: Vec<Batch>) -> Cut {
        let position = |(cpu, next_seq, ktime_ns)| Position { cpu, next_seq, ktime_ns };
        Cut {
            number,
            identity: identity.clone(),
            batches,
            tallies: unpacked(self.tallies),
            dropped: unpacked(self.dropped),
            damaged: self.damaged,
            positions: self.positions.into_iter().map(position).collect(),
            clock_offset_ns: self.clock_offset_ns,
            last: self.last,
            resume: self.resume,
        }
    }
}

/// A cut that stands for the one of this frame, whose rows cannot be read.
///
/// # Errors
/// When the body is not what was written.
pub fn stand_in(header: &Header, frame: &[u8], identity: &Identity) -> io::Result<Cut> {
    let (meta, _) = Meta::read(header, frame)?;
    let meta = Meta { tallies: vec![], dropped: vec![], damaged: true, ..meta };
    Ok(meta.into_cut(header.number, identity, vec![]))
}

/// Whether the cut of this frame stands for such as are lost.
pub fn is_stand_in(header: &Header, frame: &[u8]) -> bool {
    Meta::read(header, frame).is_ok_and(|(meta, _)| meta.damaged)
}
