//! The C header of the probes.

use std::fmt::Write;

use crate::CLASSES;
use crate::errno::SECCOMP;
use crate::loss::REASONS;
use crate::wire::{CONTEXT_INNER, CONTEXT_LEFT_OUT, CONTEXT_TASK, Field, HEADER, RECORD_BYTES_MAX, Wire};

fn member(out: &mut String, field: &Field) {
    let (ty, suffix) = match field.wire {
        Wire::U8 => ("__u8", String::new()),
        Wire::U16 => ("__u16", String::new()),
        Wire::U32 => ("__u32", String::new()),
        Wire::U64 => ("__u64", String::new()),
        Wire::I32 => ("__s32", String::new()),
        Wire::I64 => ("__s64", String::new()),
        Wire::Bytes(n) => ("__u8", format!("[{n}]")),
        Wire::U64s(n) => ("__u64", format!("[{n}]")),
    };
    let _ = writeln!(out, "\t{ty} {}{suffix}; /* {} */", field.name, field.doc);
}

/// `bpf/include/records.h`: constants, the header and one struct per class.
pub fn c_header() -> String {
    let mut out = String::from(
        "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n\
         /* Rendered from the definition in schema/ by `weir schema --format c`. */\n\
         #ifndef WEIR_RECORDS_H\n#define WEIR_RECORDS_H\n\n\
         #ifndef __bpf__ /* the probes have the types of kernel.h */\n#include <linux/types.h>\n#endif\n\n",
    );
    let _ = writeln!(out, "#define WEIR_RECORD_BYTES_MAX {RECORD_BYTES_MAX}");
    let _ = writeln!(out, "#define WEIR_RET_SECCOMP (-{SECCOMP})");
    let _ = writeln!(out, "#define WEIR_CONTEXT_TASK {CONTEXT_TASK}");
    let _ = writeln!(out, "#define WEIR_CONTEXT_INNER {CONTEXT_INNER}");
    let _ = writeln!(out, "#define WEIR_CONTEXT_LEFT_OUT {CONTEXT_LEFT_OUT}\n");
    for class in CLASSES {
        let _ = writeln!(out, "#define WEIR_CLASS_{} {}", class.name.to_uppercase(), class.id as u8);
    }
    out.push_str("\nenum weir_action {\n\tWEIR_VOID = 0,\n");
    for class in CLASSES.iter().filter(|c| c.has_record()) {
        for action in class.actions {
            let name = format!("{}_{}", class.name, action.name).to_uppercase();
            let _ = writeln!(out, "\tWEIR_{name} = {:#06x}, /* {} */", action.id, action.doc);
        }
    }
    out.push_str("};\n\nenum weir_reason {\n");
    for (reason, name) in REASONS {
        let _ = writeln!(out, "\tWEIR_LOST_{} = {},", name.to_uppercase(), *reason as u8);
    }
    out.push_str("};\n\nstruct weir_header {\n");
    HEADER.iter().for_each(|f| member(&mut out, f));
    out.push_str("};\n");
    for class in CLASSES.iter().filter(|c| c.has_record()) {
        let _ = writeln!(out, "\n/* {} */\nstruct weir_{} {{\n\tstruct weir_header header;", class.doc, class.name);
        class.fields.iter().for_each(|f| member(&mut out, f));
        for tail in class.tails {
            let _ = writeln!(out, "\t__u16 {tail}_len; /* bytes of tail `{tail}` */");
        }
        out.push_str("} __attribute__((aligned(8)));\n");
    }
    out.push_str("\n#endif\n");
    out
}
