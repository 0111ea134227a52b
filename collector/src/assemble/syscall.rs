//! What the tables of system calls add to a row of class `syscall`: name, argument count, arguments as text.

use weir_schema::syscalls::{self, Abi, ArgKind, Syscall};
use weir_schema::wire::{HEADER_SIZE, offset_of};
use weir_schema::{CLASSES, ClassId};

use crate::texts::{Making, TextId, Texts, push_bytes};
use weir_schema::record::{Record, i64_at};

const FIELDS: &[weir_schema::Field] = CLASSES[ClassId::Syscall.index()].fields;
const NR: usize = HEADER_SIZE + offset_of(FIELDS, "nr");
const ABI: usize = HEADER_SIZE + offset_of(FIELDS, "abi");
const ARGS: usize = HEADER_SIZE + offset_of(FIELDS, "args");
const TEXT_MASK: usize = HEADER_SIZE + offset_of(FIELDS, "text_mask");

/// `abi` of a record as the probes write it: 0 native, 1 compat, 2 x32.
fn abi(number: u8) -> Option<Abi> {
    match number {
        0 => Some(syscalls::native()),
        1 => Abi::compat(),
        2 => Some(Abi::X32),
        _ => None,
    }
}

/// The call of a record's fixed part, if its table knows the number.
pub fn call_of(fixed: &[u8]) -> Option<&'static Syscall> {
    let nr = u32::from_le_bytes([fixed[NR], fixed[NR + 1], fixed[NR + 2], fixed[NR + 3]]);
    syscalls::by_nr(abi(fixed[ABI])?, nr)
}

/// Whether the caller used another table than the native one.
pub fn is_compat(fixed: &[u8]) -> bool {
    fixed[ABI] != 0
}

/// Texts of the record by argument.
fn texts_of(mask: u8, tail: &[u8]) -> [Option<&[u8]>; 6] {
    let mut texts = [None; 6];
    let mut rest = tail.strip_suffix(b"\0").unwrap_or(tail).split(|b| *b == 0);
    for (i, text) in texts.iter_mut().enumerate() {
        if mask & 1 << i != 0 {
            *text = rest.next();
        }
    }
    texts
}

fn make(call: &'static Syscall, args: &[u64; 6], mask: u8, tail: &[u8], out: &mut String) -> bool {
    let mut escaped = false;
    let owned = texts_of(mask, tail).map(|bytes| {
        bytes.map(|bytes| {
            let mut text = String::new();
            escaped |= push_bytes(bytes, &mut text);
            text
        })
    });
    let texts: [Option<&str>; 6] = std::array::from_fn(|i| owned[i].as_deref());
    syscalls::render_args(call, args, &texts, out);
    escaped
}

/// Column `args_text`: the same arguments give the same text, so it is made once for all calls that differ only in
/// pointers, which it does not show.
pub fn args_text(record: &Record<'_>, texts: &mut Texts) -> TextId {
    let Some(call) = call_of(record.fixed) else { return TextId::NONE };
    if call.args.is_empty() {
        return TextId::NONE;
    }
    let mask = record.fixed[TEXT_MASK];
    let mut args = [0u64; 6];
    let mut key = [0u8; 56];
    key[..4].copy_from_slice(&record.fixed[NR..NR + 4]);
    key[4] = record.fixed[ABI];
    key[5] = mask;
    for (i, arg) in call.args.iter().enumerate() {
        args[i] = i64_at(record.fixed, ARGS + 8 * i) as u64;
        let shown = match arg.kind {
            ArgKind::Pointer | ArgKind::Text => u64::from(args[i] != 0),
            ArgKind::Unused => 0,
            _ if arg.wide => args[i],
            _ => args[i] & 0xffff_ffff,
        };
        key[8 + 8 * i..16 + 8 * i].copy_from_slice(&shown.to_le_bytes());
    }
    let key = &key[..8 + 8 * call.args.len()];
    texts.intern(Making::Arguments, [key, record.tail(0)], |[_, tail], out| make(call, &args, mask, tail, out))
}
