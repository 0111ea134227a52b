//! What a consumer reads: columns, their types, and where each value comes from.

use crate::errno::SECCOMP;
use crate::wire::{Field, Wire};

/// Type of a column: the ones that DuckDB, Spark, Trino, pandas and Iceberg all read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Arrow boolean
    Bool,
    /// Arrow int32: the kernel's signed 32-bit numbers and smaller ones
    Int32,
    /// Arrow int64: u32 widened, u64 with the same bits
    Int64,
    /// Arrow timestamp, microseconds, UTC
    Time,
    /// Arrow dictionary(int32, utf8)
    Text,
    /// Arrow list of utf8
    TextList,
}

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// A field of the header.
    Header(&'static str),
    /// A fixed field of the class; null where it holds `null`.
    Field {
        /// Name of the field.
        field: &'static str,
        /// The value (sign-extended bits) that stands for "no value".
        null: Option<i64>,
    },
    /// Element `index` of a fixed array field.
    Element {
        /// Name of the field.
        field: &'static str,
        /// Index in it.
        index: usize,
    },
    /// One bit of a fixed field.
    Bit {
        /// Name of the field.
        field: &'static str,
        /// Number of the bit, 0 the lowest.
        bit: u32,
    },
    /// A small closed list of names for a fixed field; other values are null.
    Names {
        /// Name of the field.
        field: &'static str,
        /// Value and name.
        names: &'static [(u64, &'static str)],
    },
    /// Symbolic text of a fixed field by the symbol set that the action names for this column.
    Symbols {
        /// Name of the field.
        field: &'static str,
    },
    /// errno name of a negative return value, else null.
    Errno {
        /// Name of the field.
        field: &'static str,
    },
    /// Bytes of a tail as text; null when empty.
    Text {
        /// Name of the tail.
        tail: &'static str,
    },
    /// NUL-separated texts of a tail.
    List {
        /// Name of the tail.
        tail: &'static str,
    },
    /// A path that the kernel walked, leaf first in the tail; null when empty.
    Walk {
        /// Name of the tail.
        tail: &'static str,
    },
    /// The best absolute path: walked, or the program's text made absolute with the directory it was relative to.
    Path {
        /// Tail with the walked path.
        walk: Option<&'static str>,
        /// Tail with the program's text.
        raw: &'static str,
        /// Tail with the walked directory.
        dir: &'static str,
    },
    /// An IP address of 16 bytes by the record's `family`.
    Address {
        /// Name of the field.
        field: &'static str,
    },
    /// What the collector knows: host, boot, epoch, process table, containers, system-call tables, losses.
    Collector,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Name in every output.
    pub name: &'static str,
    /// Type in every output.
    pub ty: ColumnType,
    /// Where the value comes from.
    pub source: Source,
    /// One line for the docs: meaning, unit, when null.
    pub doc: &'static str,
}

/// Shorthand for the tables.
pub const fn column(name: &'static str, ty: ColumnType, source: Source, doc: &'static str) -> Column {
    Column { name, ty, source, doc }
}

/// A column that is the fixed field of the same name.
pub const fn same(name: &'static str, ty: ColumnType, doc: &'static str) -> Column {
    column(name, ty, Source::Field { field: name, null: None }, doc)
}

/// A column that is the fixed field of the same name, null where the field holds `null`.
pub const fn optional(name: &'static str, ty: ColumnType, null: i64, doc: &'static str) -> Column {
    column(name, ty, Source::Field { field: name, null: Some(null) }, doc)
}

/// The return value, part of every class that has one.
pub const RET: Column = optional(
    "ret",
    ColumnType::Int64,
    -SECCOMP as i64,
    "the kernel's return value; null where no call returned, or where it never ran",
);
/// The errno name, part of every class that has `ret`.
pub const ERROR: Column = column(
    "error",
    ColumnType::Text,
    Source::Errno { field: "ret" },
    "errno name of a failed attempt, null on success; `SECCOMP` where the program's own filter did not let the call run",
);
/// Whether any text of the row had bytes that are not UTF-8.
pub const TEXT_ESCAPED: Column = column(
    "text_escaped",
    ColumnType::Bool,
    Source::Collector,
    "true if a text of the row had invalid UTF-8: in that text such bytes stand as `\\xNN`, and a backslash is doubled",
);

use ColumnType::{Int32, Int64, Text, Time};

/// The columns that every table starts with, in this order.
pub static COMMON: &[Column] = &[
    column("time", Time, Source::Collector, "wall-clock time, UTC: `ktime_ns` plus the offset of its batch"),
    column("ktime_ns", Int64, Source::Header("ktime_ns"), "CLOCK_BOOTTIME in ns at the event"),
    column("host", Text, Source::Collector, "configured name, else the node name of the host"),
    column("boot_id", Text, Source::Collector, "the kernel's boot id"),
    column("epoch", Int64, Source::Collector, "CLOCK_BOOTTIME in ns at which the programs were loaded"),
    column(
        "cpu",
        Int32,
        Source::Header("cpu"),
        "CPU of the event; -1 for rows made by the collector, -2 for those made by the sink that wrote them",
    ),
    column("seq", Int64, Source::Header("seq"), "number of the attempt on this CPU, from 0 at load"),
    column("action", Text, Source::Collector, "what happened"),
    column("pid", Int32, Source::Header("pid"), "process id (kernel tgid); null outside a task"),
    column("tid", Int32, Source::Header("tid"), "thread id (kernel pid)"),
    column("ppid", Int32, Source::Header("ppid"), "process id of the parent at the event"),
    column(
        "process_key",
        Int64,
        Source::Header("process_key"),
        "names one process of one boot for ever: `(start_boottime_ns >> 17) << 22 | pid`",
    ),
    column("parent_key", Int64, Source::Header("parent_key"), "the same for the process that created this one"),
    column("uid", Int64, Source::Header("uid"), "real user id"),
    column("gid", Int64, Source::Header("gid"), "real group id"),
    column("comm", Text, Source::Header("comm"), "name of the thread"),
    column("exe", Text, Source::Collector, "path of the executable at the exec, the kernel's own"),
    column("cmdline", Text, Source::Collector, "arguments of the last exec, joined by spaces"),
    column("cgroup_id", Int64, Source::Header("cgroup_id"), "id of the cgroup v2 directory"),
    column("container_id", Text, Source::Collector, "container of the process, from its cgroup; null on the host"),
    column(
        "container_name",
        Text,
        Source::Collector,
        "its name; null until its runtime has told it: rows of action `container.metadata` complete earlier ones",
    ),
    column("container_image", Text, Source::Collector, "its image as the runtime names it; null until then"),
    column(
        "container_evidence",
        Text,
        Source::Collector,
        "what says so: `confirmed`, its runtime; `cgroup`, root made the cgroup where that runtime has its own; `claimed`, \
         only the cgroup's name, which anybody can choose who may make cgroups",
    ),
];

/// The columns that every table ends with: who, and started how.
pub static CONTEXT: &[Column] = &[
    column(
        "user_name",
        Text,
        Source::Collector,
        "name of `uid` in the host's user database; in a container, which has its own, only root",
    ),
    column(
        "login_uid",
        Int64,
        Source::Header("login_uid"),
        "user who logged in, whatever the process became since; null if no login started it",
    ),
    column("login_user", Text, Source::Collector, "name of `login_uid` in the host's user database"),
    column("session_id", Int32, Source::Header("session"), "session: process id of its leader on the host"),
    column("tty", Text, Source::Collector, "terminal of the session when the program was started, as ps shows it"),
    column(
        "cwd",
        Text,
        Source::Collector,
        "working directory by its path at the last exec or chdir; a directory that was renamed since keeps the old one, and so does one that another process changes for both (CLONE_FS)",
    ),
    column("parent_comm", Text, Source::Collector, "name of the process that created this one, now or when it ended"),
    column("parent_exe", Text, Source::Collector, "its executable"),
    column("parent_cmdline", Text, Source::Collector, "its arguments, joined by spaces"),
    column(
        "ancestors",
        Text,
        Source::Collector,
        "names of the creators, nearest first, joined by `<`; `...` where the limit cut it; in a name `<` is `\\x3c` and a \
         backslash is doubled, and a name `...` is `\\x2e..`",
    ),
];

impl Column {
    /// The fixed field that this column reads from, if it reads one.
    pub fn reads(&self) -> Option<&'static str> {
        match self.source {
            Source::Header(field)
            | Source::Field { field, .. }
            | Source::Element { field, .. }
            | Source::Bit { field, .. }
            | Source::Names { field, .. }
            | Source::Symbols { field }
            | Source::Errno { field }
            | Source::Address { field } => Some(field),
            _ => None,
        }
    }
}

/// The integer at `at` in a record, sign- or zero-extended as its C type says.
///
/// Returns `None` when the record is too short or the field is an array.
#[inline]
pub fn read_int(record: &[u8], at: usize, wire: Wire) -> Option<i64> {
    let bytes = record.get(at..at + wire.size())?;
    Some(match wire {
        Wire::U8 => i64::from(bytes[0]),
        Wire::U16 => i64::from(u16::from_le_bytes(bytes.try_into().ok()?)),
        Wire::U32 => i64::from(u32::from_le_bytes(bytes.try_into().ok()?)),
        Wire::I32 => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        Wire::U64 | Wire::I64 => i64::from_le_bytes(bytes.try_into().ok()?),
        Wire::Bytes(_) | Wire::U64s(_) => return None,
    })
}

/// Offset and type of the named field, in a record of the class with these fields.
pub fn locate(fields: &'static [Field], source: &Source) -> Option<(usize, Wire)> {
    let (list, base, name, index) = match *source {
        Source::Header(name) => (crate::wire::HEADER, 0, name, 0),
        Source::Element { field, index } => (fields, crate::wire::HEADER_SIZE, field, index),
        Source::Field { field, .. }
        | Source::Bit { field, .. }
        | Source::Names { field, .. }
        | Source::Symbols { field }
        | Source::Errno { field }
        | Source::Address { field } => (fields, crate::wire::HEADER_SIZE, field, 0),
        _ => return None,
    };
    let found = list.iter().find(|f| f.name == name)?;
    let at = base + crate::wire::offset_of(list, name);
    match found.wire {
        Wire::U64s(n) if index < n => Some((at + 8 * index, Wire::U64)),
        wire => Some((at, wire)),
    }
}
