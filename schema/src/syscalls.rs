//! The system calls of every ABI, with the kernel's own names of calls and arguments, and their arguments as text.
//!
//! Names are those of the ABI's header (`unistd_64.h`: `fstat`, `umount2`); argument names are those of the kernel's
//! definition, which tracefs shows (`events/syscalls/sys_enter_newfstat/format`). Numbers and arguments are those of
//! Linux 6.18 and do not change: new calls get new numbers. A table has a line per call, signatures stand once.
//!
//! Deliberately absent: 32-bit ARM programs on a 64-bit kernel. [`Abi::compat`] says so, and nothing is named then.

use crate::symbols::Symbols;

/// Arguments per call, by name of the call: constants, so that several tables can share a line.
macro_rules! signatures {
    ($($name:ident($($arg:ident: $kind:expr),*);)*) => {
        $(#[allow(non_upper_case_globals)]
        pub(in crate::syscalls) const $name: &[crate::syscalls::Arg] =
            &[$(crate::syscalls::Arg::new(
                stringify!($arg), concat!(" ", stringify!($arg), "="), $kind)),*];)*
    };
}

/// A table: number, name, and the signature where it is not the one of the same name.
macro_rules! calls {
    ($table:ident, $abi:ident; $($nr:literal $name:ident $(= $signature:path)?;)*) => {
        pub(super) const $table: &[super::Syscall] = &[$(super::Syscall {
            nr: $nr,
            name: stringify!($name),
            abi: super::Abi::$abi,
            args: calls!(@args $name $($signature)?),
        }),*];
    };
    (@args $name:ident) => { $name };
    (@args $name:ident $signature:path) => { $signature };
}

mod aarch64;
mod i386;
mod kinds;
mod render;
mod signatures;
mod x32;
mod x86_64;

pub use render::render_args;

/// Arguments that a call can have.
pub const ARGS_MAX: usize = 6;

/// x32 programs say who they are by this bit in the number (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

/// Whose numbers and arguments they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 32-bit pointers on 64-bit x86; the numbers in the table are without [`X32_BIT`].
    X32,
    /// 32-bit x86, also through `int 0x80` from a 64-bit program.
    I386,
    /// 64-bit ARM.
    Aarch64,
}

impl Abi {
    /// Width of a C `long` in the caller's registers. x32 programs hand over 64-bit offsets in one register.
    const fn long_is_64_bits(self) -> bool {
        !matches!(self, Abi::I386)
    }

    /// The ABI of 32-bit programs on this machine, if there is a table for it.
    pub const fn compat() -> Option<Abi> {
        match native() {
            Abi::X86_64 | Abi::X32 | Abi::I386 => Some(Abi::I386),
            Abi::Aarch64 => None,
        }
    }
}

/// The ABI of this machine's own programs.
pub const fn native() -> Abi {
    if cfg!(target_arch = "aarch64") { Abi::Aarch64 } else { Abi::X86_64 }
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// The kernel's name for it.
    pub name: &'static str,
    /// The name between a space and `=`, as rows show it.
    label: &'static str,
    /// What it holds.
    pub kind: ArgKind,
    /// Whether all bits of the register count (`long`, pointers). The upper half of others is the caller's leftovers.
    pub wide: bool,
}

impl Arg {
    const fn new(name: &'static str, label: &'static str, holds: kinds::Type) -> Self {
        Self { name, label, kind: holds.kind, wide: holds.wide }
    }
}

/// What an argument holds, and with it how it is written.
#[derive(Debug, Clone, Copy)]
pub enum ArgKind {
    /// Signed number.
    Int,
    /// Unsigned number.
    Uint,
    /// Descriptor; `AT_FDCWD` by name.
    Fd,
    /// Process, thread, process group, also negative.
    Pid,
    /// User or group; -1 leaves it as it is.
    Id,
    /// Bits or an address.
    Hex,
    /// Permissions, 16 bits (`umode_t`).
    Octal,
    /// Pointer to something that is no text: left out, but for NULL.
    Pointer,
    /// Pointer to a NUL-terminated text.
    Text,
    /// Number with names.
    Symbols(&'static Symbols),
    /// What it holds hangs on the low 32 bits of argument `on`.
    Depends {
        /// Index of the argument that decides.
        on: usize,
        /// Values of it, and what this argument holds then.
        cases: &'static [Case],
        /// What it holds for all other values.
        other: &'static ArgKind,
    },
    /// Not looked at by the kernel: left out.
    Unused,
}

/// What an argument holds for some values of another one.
#[derive(Debug)]
pub struct Case {
    /// Values of the argument that decides.
    pub values: &'static [u64],
    /// What this argument holds then.
    pub kind: ArgKind,
}

/// One system call.
#[derive(Debug, Clone, Copy)]
pub struct Syscall {
    /// Its number in the table of `abi`.
    pub nr: u32,
    /// Its name there.
    pub name: &'static str,
    /// The table it stands in.
    pub abi: Abi,
    /// Its arguments, [`ARGS_MAX`] at most; none for calls that no kernel has any more.
    pub args: &'static [Arg],
}

impl Syscall {
    /// Bit i: argument i points to a text.
    pub fn text_mask(&self) -> u8 {
        let texts = self.args.iter().enumerate().filter(|(_, arg)| matches!(arg.kind, ArgKind::Text));
        texts.fold(0, |mask, (at, _)| mask | 1 << at)
    }
}

/// A number that no call of the table has.
const NONE: u16 = u16::MAX;

const fn index<const N: usize>(calls: &[Syscall]) -> [u16; N] {
    let mut index = [NONE; N];
    let mut at = 0;
    while at < calls.len() {
        index[calls[at].nr as usize] = at as u16;
        at += 1;
    }
    index
}

/// Calls, and their position by number: rows name their call in one step.
struct Table {
    calls: &'static [Syscall],
    index: &'static [u16],
}

macro_rules! table {
    ($calls:path) => {
        Table {
            calls: $calls,
            index: {
                const INDEX: [u16; $calls[$calls.len() - 1].nr as usize + 1] = index($calls);
                &INDEX
            },
        }
    };
}

static X86_64: Table = table!(x86_64::CALLS);
static X32: Table = table!(x32::CALLS);
static I386: Table = table!(i386::CALLS);
static AARCH64: Table = table!(aarch64::CALLS);

const fn of(abi: Abi) -> &'static Table {
    match abi {
        Abi::X86_64 => &X86_64,
        Abi::X32 => &X32,
        Abi::I386 => &I386,
        Abi::Aarch64 => &AARCH64,
    }
}

/// All calls of an ABI, by ascending number.
pub fn table(abi: Abi) -> &'static [Syscall] {
    of(abi).calls
}

/// The call of this number. x32 numbers are taken with and without [`X32_BIT`].
pub fn by_nr(abi: Abi, nr: u32) -> Option<&'static Syscall> {
    let nr = if abi == Abi::X32 { nr & !X32_BIT } else { nr };
    let table = of(abi);
    let at = *table.index.get(nr as usize)?;
    table.calls.get(usize::from(at))
}

/// The call of this name. A search through the table: for start-up, not for rows.
pub fn by_name(abi: Abi, name: &str) -> Option<&'static Syscall> {
    table(abi).iter().find(|call| call.name == name)
}

/// Calls that the kernel's definition, and so tracefs, names differently than the header.
const TRACEFS_NAMES: &[(&str, &str)] = &[
    ("newstat", "stat"),
    ("newlstat", "lstat"),
    ("newfstat", "fstat"),
    ("newuname", "uname"),
    ("sendfile64", "sendfile"),
    ("umount", "umount2"),
    ("fadvise64_64", "fadvise64"),
    ("arm64_personality", "personality"),
];

/// The native call that tracefs shows as `sys_enter_<name>`.
pub fn from_tracefs_name(name: &str) -> Option<&'static Syscall> {
    let alias = TRACEFS_NAMES.iter().find(|pair| pair.0 == name).and_then(|pair| by_name(native(), pair.1));
    alias.or_else(|| by_name(native(), name))
}

#[cfg(test)]
mod tests;
