//! Numbers as text, without the formatting machinery: a flood of rows renders six of them each.

/// Longest text of a `u64`: 22 octal digits.
const DIGITS_MAX: usize = 22;

fn push_radix<const RADIX: u64>(value: u64, out: &mut String) {
    let mut digits = [0_u8; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    let mut left = value;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(left % RADIX) as usize];
        left /= RADIX;
        if left == 0 {
            break;
        }
    }
    // One digit at a time: they are ASCII, so that no check of the text is needed.
    digits[at..]
        .iter()
        .for_each(|&digit| out.push(char::from(digit)));
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
