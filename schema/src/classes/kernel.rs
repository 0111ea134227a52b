//! Class `kernel`: changes to the kernel itself.

use super::file::{PATH_SOURCES, PATH_STATES, SOURCE_DOC, STATE_DOC, TRUNCATED_DOC, WALKED};
use crate::class::{Action, Class, ClassId, Trigger};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional, same};
use crate::wire::{Wire, field};

pub(super) static KERNEL: Class = Class {
    id: ClassId::Kernel,
    name: "kernel",
    doc: "Modules, BPF programs, perf events, kexec, io_uring.",
    default: true,
    fields: &[
        field("ret", Wire::I64, "return value of the call"),
        field("flags", Wire::U64, "flags argument"),
        field("config", Wire::U64, "perf: attr.config"),
        field("ino", Wire::U64, "inode of the file, or 0"),
        field("dev", Wire::U32, "device of the file, or 0"),
        field("fd", Wire::I32, "file descriptor, or -1"),
        field("type", Wire::I32, "number of the kind, or -1"),
        field("target_pid", Wire::I32, "perf: process, -1 all"),
        field("target_cpu", Wire::I32, "perf: CPU, -1 any"),
        field("instructions", Wire::U32, "bpf: instructions of the program"),
        field("path_source", Wire::U8, "1 kernel, 3 descriptor, 0 no path"),
        field("path_state", Wire::U8, "bits: 0 truncated, 1 deleted, 2 unreachable"),
        field("path_odd", Wire::U8, "bits 1 and 2 of `path_state`"),
    ],
    tails: &["path", "name", "params"],
    columns: &[
        RET,
        ERROR,
        column("name", Text, Source::Text { tail: "name" }, "module or BPF program"),
        column(
            "params",
            Text,
            Source::Text { tail: "params" },
            "module_load: parameters; kexec_file_load: command line of the new kernel",
        ),
        column(
            "path",
            Text,
            Source::Walk { tail: "path" },
            "file that was loaded, the kernel's own; null when from memory",
        ),
        column("path_source", Text, Source::Names { field: "path_source", names: PATH_SOURCES }, SOURCE_DOC),
        column("path_truncated", Bool, Source::Bit { field: "path_state", bit: 0 }, TRUNCATED_DOC),
        column("path_state", Text, Source::Names { field: "path_odd", names: PATH_STATES }, STATE_DOC),
        optional("dev", Int64, 0, "device of the file as stat(2) shows it"),
        optional("ino", Int64, 0, "inode number"),
        same("flags", Int64, "flags argument"),
        column("flags_text", Text, Source::Symbols { field: "flags" }, "`flags` in words"),
        column(
            "kind",
            Int64,
            Source::Field { field: "type", null: Some(-1) },
            "bpf: program type; perf: event type; io_uring: operation",
        ),
        column("kind_text", Text, Source::Symbols { field: "type" }, "`kind` in words"),
        same("config", Int64, "perf: attr.config"),
        same("target_pid", Int32, "perf: process that is watched, -1 all"),
        same("target_cpu", Int32, "perf: CPU that is watched, -1 any"),
        same("instructions", Int64, "bpf: instructions of the program"),
        optional("fd", Int32, -1, "file descriptor; null when the call failed or had none"),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0501, "module_load", "a module was loaded")
            .calls(&["init_module", "finit_module"])
            .also(WALKED)
            .sets(&["ret", "error", "params", "flags", "flags_text", "fd"])
            .symbols(&[("flags_text", "module_init_flags")])
            .trigger(Trigger::Machine("success needs a module of the running kernel")),
        Action::new(0x0502, "module_unload", "a module was unloaded")
            .calls(&["delete_module"])
            .sets(&["ret", "error", "name", "flags", "flags_text"])
            .symbols(&[("flags_text", "module_delete_flags")])
            .trigger(Trigger::Machine("success needs a loaded module")),
        Action::new(0x0503, "bpf_load", "a BPF program was loaded")
            .calls(&["bpf"])
            .sets(&["ret", "error", "name", "kind", "kind_text", "instructions", "fd"])
            .symbols(&[("kind_text", "bpf_prog_types")]),
        Action::new(0x0504, "perf_event_open", "a perf event was opened")
            .calls(&["perf_event_open"])
            .sets(&[
                "ret",
                "error",
                "kind",
                "kind_text",
                "config",
                "target_pid",
                "target_cpu",
                "flags",
                "flags_text",
                "fd",
            ])
            .symbols(&[("kind_text", "perf_types"), ("flags_text", "perf_open_flags")]),
        Action::new(0x0505, "kexec_load", "another kernel was loaded from memory")
            .calls(&["kexec_load"])
            .sets(&["ret", "error", "flags", "flags_text"])
            .symbols(&[("flags_text", "kexec_flags")])
            .trigger(Trigger::Machine("success replaces the kernel to boot")),
        Action::new(0x0506, "io_uring_submit", "an operation was handed to io_uring")
            .sets(&["kind", "kind_text"])
            .symbols(&[("kind_text", "io_uring_ops")]),
        Action::new(0x0507, "kexec_file_load", "another kernel was loaded from a file")
            .calls(&["kexec_file_load"])
            .also(WALKED)
            .sets(&["ret", "error", "params", "flags", "flags_text", "fd"])
            .symbols(&[("flags_text", "kexec_file_flags")])
            .trigger(Trigger::Machine("success replaces the kernel to boot")),
    ],
};
