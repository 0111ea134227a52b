//! Class `syscall`: any system call of the machine, chosen by name.

use crate::class::{Action, Class, ClassId};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional, same};
use crate::wire::{Wire, field};

const fn arg(name: &'static str, index: usize) -> crate::Column {
    column(
        name,
        Int64,
        Source::Element { field: "args", index },
        "argument as the register held it; null beyond the call's own",
    )
}

pub(super) static SYSCALL: Class = Class {
    id: ClassId::Syscall,
    name: "syscall",
    doc: "Any system call of the machine, chosen by name with `--syscall`.",
    default: false,
    fields: &[
        field("ret", Wire::I64, "return value of the call"),
        field("args", Wire::U64s(6), "arguments as the registers held them at the exit"),
        field("duration_ns", Wire::I64, "time between enter and exit, or -1"),
        field("nr", Wire::I32, "number of the call in the caller's own table"),
        field("abi", Wire::U8, "0 native, 1 compat (32-bit), 2 x32"),
        field("text_mask", Wire::U8, "bit i: the text of argument i follows in the tail"),
    ],
    tails: &["texts"],
    columns: &[
        same("nr", Int32, "number of the call in the caller's own table"),
        column("syscall", Text, Source::Collector, "its name in that table; null when unknown"),
        column(
            "compat",
            Bool,
            Source::Collector,
            "true for 32-bit and x32 callers, whose numbers are of another table",
        ),
        arg("arg0", 0),
        arg("arg1", 1),
        arg("arg2", 2),
        arg("arg3", 3),
        arg("arg4", 4),
        arg("arg5", 5),
        column(
            "args_text",
            Text,
            Source::Collector,
            "arguments by their kernel names, texts read and flags in words; plain pointers stand in `argN` only",
        ),
        RET,
        ERROR,
        optional(
            "duration_ns",
            Int64,
            -1,
            "ns; exit: run time of the process; syscall: time in the kernel, if asked for",
        ),
        TEXT_ESCAPED,
    ],
    actions: &[Action::new(0x0601, "call", "a system call returned").sets(&[
        "nr",
        "syscall",
        "compat",
        "arg0",
        "arg1",
        "arg2",
        "arg3",
        "arg4",
        "arg5",
        "args_text",
        "ret",
        "error",
        "duration_ns",
    ])],
};
