//! Arguments of one call as text.

use std::iter::zip;

use super::{ARGS_MAX, ArgKind, Syscall};
use crate::symbols::number::{push_decimal, push_hex, push_octal, push_signed};

/// `AT_FDCWD`: the working directory in place of a directory's descriptor.
const AT_FDCWD: i32 = -100;

impl ArgKind {
    fn resolve(self, args: &[u64; ARGS_MAX]) -> ArgKind {
        let ArgKind::Depends { on, cases, other } = self else {
            return self;
        };
        let decides = u64::from(args[on] as u32);
        cases
            .iter()
            .find(|case| case.values.contains(&decides))
            .map_or(*other, |case| case.kind)
    }
}

/// Appends the arguments of one call: `dfd=AT_FDCWD filename="/etc/passwd" flags=O_RDONLY|O_CLOEXEC mode=0`.
///
/// `args` are the caller's registers (those of 32-bit callers zero-extended), `texts` the texts that were read.
/// Pointers to other things than texts are left out, but NULL is shown; a text that could not be read is `?`.
pub fn render_args(
    call: &Syscall,
    args: &[u64; ARGS_MAX],
    texts: &[Option<&str>; ARGS_MAX],
    out: &mut String,
) {
    let start = out.len();
    for (arg, (&register, text)) in zip(call.args, zip(args, texts)) {
        let kind = arg.kind.resolve(args);
        if matches!(kind, ArgKind::Unused) || matches!(kind, ArgKind::Pointer) && register != 0 {
            continue;
        }
        if out.len() > start {
            out.push(' ');
        }
        out.push_str(arg.name);
        out.push('=');
        let wide = arg.wide && call.abi.long_is_64_bits();
        render_value(
            kind,
            if wide {
                register
            } else {
                u64::from(register as u32)
            },
            wide,
            *text,
            out,
        );
    }
}

fn render_value(kind: ArgKind, value: u64, wide: bool, text: Option<&str>, out: &mut String) {
    let signed = if wide {
        value as i64
    } else {
        i64::from(value as u32 as i32)
    };
    match kind {
        ArgKind::Int | ArgKind::Pid => push_signed(signed, out),
        ArgKind::Uint => push_decimal(value, out),
        ArgKind::Id if value as u32 == u32::MAX => out.push_str("-1"),
        ArgKind::Id => push_decimal(value, out),
        ArgKind::Fd if value as u32 as i32 == AT_FDCWD => out.push_str("AT_FDCWD"),
        ArgKind::Fd => push_signed(signed, out),
        ArgKind::Octal => push_octal(value & 0xffff, out),
        ArgKind::Text if value == 0 => out.push_str("NULL"),
        ArgKind::Text => push_text(text, out),
        ArgKind::Pointer => out.push_str("NULL"),
        ArgKind::Symbols(set) => set.render(value, out),
        ArgKind::Hex | ArgKind::Depends { .. } | ArgKind::Unused => push_hex(value, out),
    }
}

/// Appends a text in quotes, `"` and `\` with a backslash before them.
fn push_text(text: Option<&str>, out: &mut String) {
    let Some(text) = text else {
        out.push('?');
        return;
    };
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        out.push_str(&rest[..at]);
        out.push('\\');
        out.push_str(&rest[at..=at]);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
