//! The kernel's names for flags and enumerations, and how a value is written with them.
//!
//! Values are those of Linux 6.18 (`include/uapi` and the architecture's own headers); names that older kernels do not
//! know do no harm. What has no name is written as a number, so that nothing is lost and nothing is made up.

/// `NAME = value` pairs as `(value, "NAME")`.
macro_rules! values {
    ($($symbol:ident = $value:expr),* $(,)?) => { &[$(($value, stringify!($symbol))),*] };
}

/// Named statics, and `SETS` with all of them.
macro_rules! symbols {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $kind:expr => { $($values:tt)* })*) => {
        $($(#[$doc])* pub static $id: Symbols = Symbols { name: $name, kind: $kind, values: values!($($values)*) };)*
        pub(super) static SETS: &[&Symbols] = &[$(&$id),*];
    };
}

mod file;
mod io;
mod joined;
mod memory;
mod mount;
pub(crate) mod number;
mod process;
mod security;
mod socket;

pub use file::*;
pub use io::*;
pub use joined::*;
pub use memory::*;
pub use mount::*;
pub use process::*;
pub use security::*;
pub use socket::*;

use number::{push_decimal, push_hex};

/// How the values of a set combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bits joined by `|`. The bits of `mask` are one number with a name of its own (`O_RDWR` under 3); 0 for none.
    Flags {
        /// The bits that are a number, not flags.
        mask: u64,
    },
    /// One name per value.
    Enum,
}

const ENUM: Kind = Kind::Enum;
const FLAGS: Kind = flags(0);

const fn flags(mask: u64) -> Kind {
    Kind::Flags { mask }
}

/// Unnamed values of an enumeration are decimal below this, hexadecimal from here on (addresses, magic numbers).
const DECIMAL_BELOW: u64 = 0x1_0000;

/// One set of names.
#[derive(Debug)]
pub struct Symbols {
    /// What the set is called, unique among all sets.
    pub name: &'static str,
    /// How the values combine.
    pub kind: Kind,
    /// Values and their names. Enumerations ascend; flags stand in the order in which they are written, a value of
    /// several bits before those that it contains. Negative C ints stand as their 32 bits.
    pub values: &'static [(u64, &'static str)],
}

impl Symbols {
    /// Appends `value` in words: `O_RDWR|O_CREAT|O_CLOEXEC`. Bits without a name end it as `0x..`; no bit at all is
    /// `0` where zero has no name.
    pub fn render(&self, value: u64, out: &mut String) {
        match self.kind {
            Kind::Flags { mask } => self.render_flags(value, mask, out),
            Kind::Enum => match self.name_of(value) {
                Some(name) => out.push_str(name),
                None if value < DECIMAL_BELOW => push_decimal(value, out),
                None => push_hex(value, out),
            },
        }
    }

    /// Name of exactly this value, if it has one.
    pub fn name_of(&self, value: u64) -> Option<&'static str> {
        match self.kind {
            Kind::Enum => {
                let at = self.values.binary_search_by_key(&value, |pair| pair.0).ok()?;
                Some(self.values[at].1)
            }
            Kind::Flags { .. } => self.values.iter().find(|pair| pair.0 == value).map(|pair| pair.1),
        }
    }

    fn render_flags(&self, value: u64, mask: u64, out: &mut String) {
        let start = out.len();
        let number_bits = if mask == 0 { u64::MAX } else { mask };
        let mut number_open = mask != 0 || value == 0;
        let mut left = value;
        for &(bits, name) in self.values {
            if left == 0 && !number_open {
                break;
            }
            let is_number = bits & !mask == 0;
            let found = if is_number { number_open && value & number_bits == bits } else { left & bits == bits };
            if found {
                separate(start, out);
                out.push_str(name);
                left &= !bits;
                number_open &= !is_number;
            }
        }
        if left != 0 {
            separate(start, out);
            push_hex(left, out);
        } else if out.len() == start {
            out.push('0');
        }
    }
}

fn separate(start: usize, out: &mut String) {
    if out.len() > start {
        out.push('|');
    }
}

/// All sets.
pub fn all() -> impl Iterator<Item = &'static Symbols> {
    [file::SETS, io::SETS, joined::SETS, memory::SETS, mount::SETS, process::SETS, security::SETS, socket::SETS]
        .into_iter()
        .flatten()
        .copied()
}

/// The set of this name, as this machine's own programs mean it: on 64-bit ARM `open_flags` is `open_flags_arm`.
/// A search through all of them: for start-up, not for rows.
pub fn by_name(name: &str) -> Option<&'static Symbols> {
    let arm = || all().find(|symbols| symbols.name.strip_suffix("_arm") == Some(name));
    let own = if cfg!(target_arch = "aarch64") { arm() } else { None };
    own.or_else(|| all().find(|symbols| symbols.name == name))
}

#[cfg(test)]
mod tests;
