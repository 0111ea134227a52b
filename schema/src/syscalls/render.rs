//! Arguments of one call as text.

use std::iter::zip;

use super::{ARGS_MAX, ArgKind, Case, Syscall};
use crate::symbols::number::{push_decimal, push_hex, push_octal, push_signed};

/// `AT_FDCWD`: the working directory in place of a directory's descriptor.
const AT_FDCWD: i64 = -100;

/// `umode_t` has 16 bits.
const UMODE_BITS: u64 = 0xffff;

impl ArgKind {
    #[inline]
    fn resolve(&'static self, args: &[u64; ARGS_MAX]) -> &'static ArgKind {
        match self {
            ArgKind::Depends { on, cases, other } => chosen(u64::from(args[*on] as u32), cases, other),
            kind => kind,
        }
    }
}

fn chosen(decides: u64, cases: &'static [Case], other: &'static ArgKind) -> &'static ArgKind {
    cases.iter().find(|case| case.values.contains(&decides)).map_or(other, |case| &case.kind)
}

/// Appends the arguments of one call: `dfd=AT_FDCWD filename="/etc/passwd" flags=O_RDONLY|O_CLOEXEC mode=0`.
///
/// `args` are the caller's registers (those of 32-bit callers zero-extended), `texts` the texts that were read.
/// Pointers to other things than texts are left out, but NULL is shown; a text that could not be read is `?`.
pub fn render_args(call: &'static Syscall, args: &[u64; ARGS_MAX], texts: &[Option<&str>; ARGS_MAX], out: &mut String) {
    let start = out.len();
    let long_is_64_bits = call.abi.long_is_64_bits();
    for (arg, (&register, text)) in zip(call.args, zip(args, texts)) {
        let kind = arg.kind.resolve(args);
        if matches!(kind, ArgKind::Unused) || matches!(kind, ArgKind::Pointer) && register != 0 {
            continue;
        }
        out.push_str(if out.len() > start { arg.label } else { &arg.label[1..] });
        let number = if arg.wide && long_is_64_bits {
            Number { bits: register, signed: register as i64 }
        } else {
            Number { bits: u64::from(register as u32), signed: i64::from(register as u32 as i32) }
        };
        render_value(kind, number, *text, out);
    }
}

/// What a register holds, in the width of the argument.
struct Number {
    bits: u64,
    signed: i64,
}

fn render_value(kind: &ArgKind, number: Number, text: Option<&str>, out: &mut String) {
    let Number { bits, signed } = number;
    match kind {
        ArgKind::Int | ArgKind::Pid => push_signed(signed, out),
        ArgKind::Uint => push_decimal(bits, out),
        ArgKind::Id if bits as u32 == u32::MAX => out.push_str("-1"),
        ArgKind::Id => push_decimal(bits, out),
        ArgKind::Fd if signed == AT_FDCWD => out.push_str("AT_FDCWD"),
        ArgKind::Fd => push_signed(signed, out),
        ArgKind::Octal => push_octal(bits & UMODE_BITS, out),
        ArgKind::Text if bits == 0 => out.push_str("NULL"),
        ArgKind::Text => push_text(text, out),
        ArgKind::Pointer => out.push_str("NULL"),
        ArgKind::Symbols(set) => set.render(bits, out),
        ArgKind::Hex | ArgKind::Depends { .. } | ArgKind::Unused => push_hex(bits, out),
    }
}

/// Appends a text in quotes, `"` and `\` with a backslash before them.
fn push_text(text: Option<&str>, out: &mut String) {
    let Some(text) = text else {
        out.push('?');
        return;
    };
    out.push('"');
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    // Counting does not stop early, so that it runs over many bytes at once; texts with such bytes are rare.
    if text.as_bytes().iter().filter(|byte| is_special(byte)).count() == 0 {
        out.push_str(text);
    } else {
        push_escaped(text, out);
    }
    out.push('"');
}

fn push_escaped(text: &str, out: &mut String) {
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
}
