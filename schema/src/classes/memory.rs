//! Class `memory`: executable memory and memory of other processes.

use super::file::{PATH_SOURCES, PATH_STATES, SOURCE_DOC, STATE_DOC, TRUNCATED_DOC, WALKED};
use crate::class::{Action, Class, ClassId};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional, same};
use crate::wire::{Wire, field};

pub(super) static MEMORY: Class = Class {
    id: ClassId::Memory,
    name: "memory",
    doc: "Executable mappings, anonymous files, writes into other processes.",
    default: true,
    fields: &[
        field("ret", Wire::I64, "return value of the call"),
        field("address", Wire::U64, "start of the range"),
        field("length", Wire::I64, "bytes of the range"),
        field("flags", Wire::U64, "flags argument"),
        field("ino", Wire::U64, "inode of the mapped file, or 0"),
        field("dev", Wire::U32, "device of the mapped file, or 0"),
        field("prot", Wire::U32, "PROT_*"),
        field("fd", Wire::I32, "file descriptor, or -1"),
        field("target_pid", Wire::I32, "process that is written to"),
        field("path_source", Wire::U8, "1 kernel, 3 descriptor, 0 no path"),
        field("path_state", Wire::U8, "bits: 0 truncated, 1 deleted, 2 unreachable"),
        field("path_odd", Wire::U8, "bits 1 and 2 of `path_state`"),
    ],
    tails: &["path", "name"],
    columns: &[
        RET,
        ERROR,
        same("address", Int64, "start of the range; mmap: where it was mapped, or the address asked for on failure"),
        optional("length", Int64, -1, "bytes of the range"),
        same("prot", Int64, "protection asked for"),
        column("prot_text", Text, Source::Symbols { field: "prot" }, "`prot` in words"),
        same("flags", Int64, "flags argument"),
        column("flags_text", Text, Source::Symbols { field: "flags" }, "`flags` in words"),
        optional("fd", Int32, -1, "file descriptor; null when the call failed or had none"),
        column("path", Text, Source::Walk { tail: "path" }, "mmap: path of the mapped file, the kernel's own"),
        column("path_source", Text, Source::Names { field: "path_source", names: PATH_SOURCES }, SOURCE_DOC),
        column("path_truncated", Bool, Source::Bit { field: "path_state", bit: 0 }, TRUNCATED_DOC),
        column("path_state", Text, Source::Names { field: "path_odd", names: PATH_STATES }, STATE_DOC),
        optional("dev", Int64, 0, "device of the file as stat(2) shows it"),
        optional("ino", Int64, 0, "inode number"),
        column("name", Text, Source::Text { tail: "name" }, "memfd_create: name given"),
        same("target_pid", Int32, "process_vm_writev: process that is written to"),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0401, "mmap", "memory was mapped with PROT_EXEC")
            .calls(&["mmap"])
            .sets(&["ret", "error", "address", "length", "prot", "prot_text", "flags", "flags_text", "fd"])
            .also(WALKED)
            .symbols(&[("prot_text", "prot"), ("flags_text", "mmap_flags")]),
        Action::new(0x0402, "mprotect", "memory was given PROT_EXEC")
            .calls(&["mprotect", "pkey_mprotect"])
            .sets(&["ret", "error", "address", "length", "prot", "prot_text"])
            .symbols(&[("prot_text", "prot")]),
        Action::new(0x0403, "memfd_create", "an anonymous file was made")
            .calls(&["memfd_create"])
            .sets(&["ret", "error", "fd", "name", "flags", "flags_text"])
            .symbols(&[("flags_text", "memfd_flags")]),
        Action::new(0x0404, "process_vm_writev", "memory of another process was written")
            .calls(&["process_vm_writev"])
            .sets(&["ret", "error", "target_pid", "flags"]),
    ],
};
