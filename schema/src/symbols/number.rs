//! Numbers as text, without the formatting machinery: a flood of rows renders six of them each.

/// Longest text of a `u64`: 22 octal digits.
const DIGITS_MAX: usize = 22;

fn push_radix<const RADIX: u64>(value: u64, out: &mut String) {
    if value < RADIX {
        out.push(digit(value));
        return;
    }
    let mut digits = [0_u8; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    let mut left = value;
    while left != 0 {
        at -= 1;
        digits[at] = digit(left % RADIX) as u8;
        left /= RADIX;
    }
    match std::str::from_utf8(&digits[at..]) {
        Ok(text) => out.push_str(text),
        Err(_) => unreachable!("digits are ASCII"),
    }
}

fn digit(value: u64) -> char {
    char::from(b"0123456789abcdef"[value as usize])
}

/// `1234`
pub(crate) fn push_decimal(value: u64, out: &mut String) {
    push_radix::<10>(value, out);
}

/// `-100`
pub(crate) fn push_signed(value: i64, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    push_decimal(value.unsigned_abs(), out);
}

/// `0x1f`
pub(crate) fn push_hex(value: u64, out: &mut String) {
    out.push_str("0x");
    push_radix::<16>(value, out);
}

/// `0644`, as modes are written; zero is `0`.
pub(crate) fn push_octal(value: u64, out: &mut String) {
    out.push('0');
    if value != 0 {
        push_radix::<8>(value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn numbers_are_written_like_the_standard_library_writes_them() {
        for value in [0, 1, 9, 10, 100, 0o644, 0xdead_beef, u64::MAX / 3, u64::MAX] {
            assert_eq!(text(|out| push_decimal(value, out)), value.to_string());
            assert_eq!(text(|out| push_hex(value, out)), format!("{value:#x}"));
            assert_eq!(
                text(|out| push_octal(value, out)).trim_start_matches('0'),
                format!("{value:o}").trim_start_matches('0')
            );
        }
        for value in [0, -1, 5, -100, i64::MIN, i64::MAX] {
            assert_eq!(text(|out| push_signed(value, out)), value.to_string());
        }
        assert_eq!(text(|out| push_octal(0, out)), "0");
        assert_eq!(text(|out| push_octal(0o644, out)), "0644");
    }
}
