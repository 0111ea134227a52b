//! What stands for cuts that damage took, in a file that is mended at the start and for whoever reads one that is damaged while
//! the collector runs: one cut with the number of the last of them, which has nothing but positions ([`Cut::damaged`]).

use std::io;
use std::sync::Arc;

use weir_files::Dir;
use weir_sinks::{Cut, Identity, Position};

use super::segment::{Found, SegmentReader};

/// Where a stream stands behind cuts that are lost.
#[derive(Debug, Clone, Default)]
pub struct Behind {
    /// By CPU.
    pub positions: Vec<Position>,
    /// Wall clock minus CLOCK_BOOTTIME there, ns.
    pub clock_offset_ns: i64,
    /// What a restart needs.
    pub resume: String,
}

impl Behind {
    /// Of cuts in front of this one.
    pub fn before(cut: &Cut) -> Behind {
        Behind { positions: cut.begins_at(), clock_offset_ns: cut.clock_offset_ns, resume: String::new() }
    }

    /// Of cuts with nothing known behind them: how much is lost is not known then.
    pub fn after(cut: &Cut) -> Behind {
        let (positions, resume) = (cut.positions.clone(), cut.resume.clone());
        Behind { positions, clock_offset_ns: cut.clock_offset_ns, resume }
    }
}

/// The cut that stands for all lost ones up to `number`.
pub fn stand_in(number: u64, identity: Identity, behind: Behind) -> Cut {
    Cut {
        number,
        identity,
        batches: vec![],
        tallies: vec![],
        dropped: vec![],
        damaged: true,
        positions: behind.positions,
        clock_offset_ns: behind.clock_offset_ns,
        last: false,
        resume: behind.resume,
    }
}

/// The first whole cut of a segment.
///
/// # Errors
/// When the file cannot be read.
pub fn first_cut(dir: &Dir, first: u64) -> io::Result<Option<Arc<Cut>>> {
    let mut reader = SegmentReader::open(dir, first)?;
    match reader.advance()? {
        Found::Cut(_) => Ok(reader.cut().ok()),
        Found::End | Found::Torn(_) => Ok(None),
    }
}

/// Whether an error says that bytes are not there or not what was written, and not that they cannot be had just now.
pub fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
