//! What the tables of system calls add to a row of class `syscall`: name, argument count, arguments as text.

use std::sync::LazyLock;

use weir_schema::syscalls::{self, ARGS_MAX, Abi, ArgKind, Syscall};
use weir_schema::wire::{HEADER_SIZE, offset_of};
use weir_schema::{CLASSES, ClassId};

use super::block::Block;
use super::column::{Filling, Rule};
use super::dictionary::{NO_NAME, NameColumn};
use crate::escape::push_bytes;
use crate::texts::{Making, TextId, Texts};
use weir_schema::record::{Record, i64_at};

const FIELDS: &[weir_schema::Field] = CLASSES[ClassId::Syscall.index()].fields;
const NR: usize = HEADER_SIZE + offset_of(FIELDS, "nr");
/// 0 native, 1 compat, 2 x32, as the probes write it.
pub const ABI: usize = HEADER_SIZE + offset_of(FIELDS, "abi");
const ARGS: usize = HEADER_SIZE + offset_of(FIELDS, "args");
const TEXT_MASK: usize = HEADER_SIZE + offset_of(FIELDS, "text_mask");

/// Numbers of one table, as the probes know them.
const NUMBERS: usize = 1024;
const TABLES: usize = 3;

fn abi(number: usize) -> Option<Abi> {
    match number {
        0 => Some(syscalls::native()),
        1 => Abi::compat(),
        _ => Some(Abi::X32),
    }
}

/// A call, and which bits of its arguments its text shows.
struct Known {
    call: &'static Syscall,
    shown: [u64; ARGS_MAX],
    /// All ones where only NULL or not is shown.
    pointer: [bool; ARGS_MAX],
}

impl Known {
    fn new(call: &'static Syscall) -> Known {
        let mut known = Known { call, shown: [0; ARGS_MAX], pointer: [false; ARGS_MAX] };
        for (i, arg) in call.args.iter().enumerate() {
            match arg.kind {
                ArgKind::Pointer | ArgKind::Text => known.pointer[i] = true,
                ArgKind::Unused => {}
                _ => known.shown[i] = if arg.wide { u64::MAX } else { u64::from(u32::MAX) },
            }
        }
        known
    }
}

/// By table and number.
static KNOWN: LazyLock<Vec<Option<Known>>> = LazyLock::new(|| {
    let places = (0..TABLES).flat_map(|table| (0..NUMBERS).map(move |nr| (table, nr)));
    places.map(|(table, nr)| syscalls::by_nr(abi(table)?, nr as u32).map(Known::new)).collect()
});

/// Place of the record's call among those known, or [`NO_NAME`].
#[inline]
fn place(fixed: &[u8]) -> u16 {
    let nr = u32::from_le_bytes([fixed[NR], fixed[NR + 1], fixed[NR + 2], fixed[NR + 3]]) as usize;
    let place = usize::from(fixed[ABI]) * NUMBERS + nr;
    if nr < NUMBERS && KNOWN.get(place).is_some_and(Option::is_some) { place as u16 } else { NO_NAME }
}

fn known(place: u16) -> Option<&'static Known> {
    KNOWN.get(usize::from(place))?.as_ref()
}

/// Column `syscall`.
pub fn names() -> impl Filling {
    let write = |at: u16, out: &mut String| out.push_str(known(at).map_or("", |known| known.call.name));
    NameColumn::new(Rule::Always, (TABLES * NUMBERS) as u16, place, write)
}

/// Texts of the record by argument.
fn texts_of(mask: u8, tail: &[u8]) -> [Option<&[u8]>; ARGS_MAX] {
    let mut texts = [None; ARGS_MAX];
    let mut rest = tail.strip_suffix(b"\0").unwrap_or(tail).split(|b| *b == 0);
    for (i, text) in texts.iter_mut().enumerate() {
        if mask & 1 << i != 0 {
            *text = rest.next();
        }
    }
    texts
}

fn make(call: &'static Syscall, args: &[u64; ARGS_MAX], mask: u8, tail: &[u8], out: &mut String) -> bool {
    let mut escaped = false;
    let owned = texts_of(mask, tail).map(|bytes| {
        bytes.map(|bytes| {
            let mut text = String::new();
            escaped |= push_bytes(bytes, &mut text);
            text
        })
    });
    let texts: [Option<&str>; ARGS_MAX] = std::array::from_fn(|i| owned[i].as_deref());
    syscalls::render_args(call, args, &texts, out);
    escaped
}

/// Column `args_text`, and to the block how many arguments there are. The same arguments give the same text, so it is made
/// once for all calls that differ only in pointers, which it does not show.
pub fn args_text(record: &Record<'_>, block: &mut Block, texts: &mut Texts) -> TextId {
    let place = place(record.fixed);
    let Some(known) = known(place) else {
        // How many arguments it has is not known: all registers are shown.
        block.arguments(ARGS_MAX);
        return TextId::NONE;
    };
    let count = known.call.args.len();
    block.arguments(count);
    if count == 0 {
        return TextId::NONE;
    }
    let mask = record.fixed[TEXT_MASK];
    let mut key = [0u8; 8 + 8 * ARGS_MAX];
    key[..8].copy_from_slice(&(u64::from(place) | u64::from(mask) << 16).to_le_bytes());
    for i in 0..count {
        let arg = i64_at(record.fixed, ARGS + 8 * i) as u64;
        let shown = arg & known.shown[i] | u64::from(known.pointer[i] && arg != 0);
        key[8 + 8 * i..][..8].copy_from_slice(&shown.to_le_bytes());
    }
    texts.intern(Making::Arguments, [&key[..8 + 8 * count], record.tail(0)], |[_, tail], out| {
        let args = std::array::from_fn(|i| if i < count { i64_at(record.fixed, ARGS + 8 * i) as u64 } else { 0 });
        make(known.call, &args, mask, tail, out)
    })
}
