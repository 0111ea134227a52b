//! What a probe writes: a fixed header, the fixed fields of the class, then the variable tails, all little-endian.
//!
//! A record is `header | fields | tail lengths (u16 each) | padding to 8 | tails in order`. Fields are declared in
//! such an order that C needs no padding between them; [`Layout::of`] and a test hold that.

/// The C type of a fixed field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `__u8`
    U8,
    /// `__u16`
    U16,
    /// `__u32`
    U32,
    /// `__u64`
    U64,
    /// `__s32`
    I32,
    /// `__s64`
    I64,
    /// `__u8 name[n]`
    Bytes(usize),
    /// `__u64 name[n]`
    U64s(usize),
}

impl Wire {
    /// Size in bytes.
    pub const fn size(self) -> usize {
        match self {
            Wire::U8 => 1,
            Wire::U16 => 2,
            Wire::U32 | Wire::I32 => 4,
            Wire::U64 | Wire::I64 => 8,
            Wire::Bytes(n) => n,
            Wire::U64s(n) => 8 * n,
        }
    }

    /// Alignment in bytes, that of C.
    pub const fn align(self) -> usize {
        match self {
            Wire::Bytes(_) => 1,
            Wire::U64s(_) => 8,
            other => other.size(),
        }
    }
}

/// One fixed field of a record.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The C member's name.
    pub name: &'static str,
    /// Its type.
    pub wire: Wire,
    /// One line: meaning and unit.
    pub doc: &'static str,
}

/// Shorthand for the tables.
pub const fn field(name: &'static str, wire: Wire, doc: &'static str) -> Field {
    Field { name, wire, doc }
}

/// Alignment of every record, that of the kernel's ring buffer.
pub const RECORD_ALIGN: usize = 8;

/// Largest record in bytes; a larger one is cut by its probe and marked, or counted as too large.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The fixed header that every record starts with (`struct weir_header`).
pub static HEADER: &[Field] = &[
    field("size", Wire::U32, "bytes of the record, this header included"),
    field("action", Wire::U16, "what happened: `class << 8 | action`; 0 is a void record"),
    field(
        "context",
        Wire::U16,
        "bit 0: written in a task, so the process fields are valid; bit 1: in a container by its pid namespace; \
         bit 2: left out by the filters",
    ),
    field("seq", Wire::U64, "attempt number on this CPU, from 0 at load"),
    field("ktime_ns", Wire::U64, "CLOCK_BOOTTIME in ns, taken after the sequence number"),
    field("process_key", Wire::I64, "`(start_boottime_ns >> 17) << 22 | tgid` of the group leader"),
    field("parent_key", Wire::I64, "the same for the parent at the event"),
    field("cgroup_id", Wire::U64, "inode number of the cgroup v2 directory"),
    field(
        "container_cgroup",
        Wire::U64,
        "the same in the hierarchy that has the containers: v2, or a controller of v1",
    ),
    field("cpu", Wire::U32, "CPU that wrote the record"),
    field("pid", Wire::U32, "tgid"),
    field("tid", Wire::U32, "kernel pid"),
    field("ppid", Wire::U32, "tgid of the parent at the event"),
    field("uid", Wire::U32, "real user id in the initial user namespace"),
    field("gid", Wire::U32, "real group id in the initial user namespace"),
    field("login_uid", Wire::U32, "0 in the ring; the collector puts the login user of the process here"),
    field("session", Wire::U32, "0 in the ring; the collector puts the session of the process here"),
    field("comm", Wire::Bytes(16), "name of the thread, NUL-padded"),
];

/// Bit of the header's `context`: the process fields are those of the current task.
pub const CONTEXT_TASK: u16 = 1;

/// Bit of the header's `context`: the task's pid namespace alone puts it into a container, as far as the
/// filter believes it.
pub const CONTEXT_INNER: u16 = 2;

/// Bit of the header's `context`: the filters leave the event out; it is there for what it tells of others.
pub const CONTEXT_LEFT_OUT: u16 = 4;

/// No login user: what the kernel has for processes that no login started.
pub const NO_LOGIN_UID: u32 = u32::MAX;

/// Bytes of the header.
pub const HEADER_SIZE: usize = end_of(HEADER);

/// Offset of a field inside a list of fields; fails to compile for a name that is not there.
pub const fn offset_of(fields: &[Field], name: &str) -> usize {
    let mut at = 0;
    let mut i = 0;
    while i < fields.len() {
        at = align_up(at, fields[i].wire.align());
        if same(fields[i].name, name) {
            return at;
        }
        at += fields[i].wire.size();
        i += 1;
    }
    panic!("no such field")
}

/// First byte behind the last field.
pub const fn end_of(fields: &[Field]) -> usize {
    let mut at = 0;
    let mut i = 0;
    while i < fields.len() {
        at = align_up(at, fields[i].wire.align()) + fields[i].wire.size();
        i += 1;
    }
    at
}

/// `at` rounded up to a multiple of `align`.
pub const fn align_up(at: usize, align: usize) -> usize {
    at.div_ceil(align) * align
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Where the parts of one class's record are.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Offset of the first `u16` tail length.
    pub tail_lengths: usize,
    /// Bytes of the fixed part: header, fields, tail lengths, padding. The tails start here.
    pub fixed: usize,
}

impl Layout {
    /// Layout of a record with these class fields and this number of tails.
    pub const fn of(fields: &[Field], tails: usize) -> Layout {
        let tail_lengths = HEADER_SIZE + align_up(end_of(fields), 2);
        Layout { tail_lengths, fixed: align_up(tail_lengths + 2 * tails, RECORD_ALIGN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_no_hidden_padding_and_keeps_the_alignment_of_the_ring() {
        let bytes: usize = HEADER.iter().map(|f| f.wire.size()).sum();
        assert_eq!(bytes, HEADER_SIZE);
        assert_eq!(HEADER_SIZE % RECORD_ALIGN, 0);
    }
}
