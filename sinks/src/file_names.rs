//! Texts as parts of file names.

/// A text as part of a file name: letters, digits, `.`, `_` and `-` stay, others become `_`; never empty, never with a
/// dot in front.
pub(crate) fn safe(text: &str, bytes_max: usize) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let mut safe: String = text.chars().map(keep).take(bytes_max).collect();
    if safe.is_empty() || safe.starts_with('.') {
        safe.insert(0, '_');
    }
    safe
}

/// Digits of the boot id in a name.
pub(crate) const BOOT_DIGITS: usize = 8;
/// Bytes of the host in a name: a file name holds 255.
pub(crate) const HOST_BYTES_MAX: usize = 100;
