//! Decimal numbers, eight digits at once: all digits of a number below 10^8 are made in the lanes of one word.

/// Numbers below have at most eight digits.
pub(crate) const EIGHT_DIGITS: u64 = 100_000_000;

/// The eight digits of a number below 10^8, as values 0 to 9, the highest in the lowest byte.
#[inline]
const fn lanes(value: u32) -> u64 {
    // Two lanes of four digits, then four of two, then eight of one. x * 10486 >> 20 is x / 100 for x below 10,000, and
    // x * 103 >> 10 is x / 10 for x below 100; no product reaches the next lane.
    let fours = (value / 10_000) as u64 | ((value % 10_000) as u64) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// Zeros of ASCII in all bytes.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The last `N` of eight digits, leading zeros included.
#[inline]
pub(crate) fn last_digits<const N: usize>(value: u32) -> [u8; N] {
    let all = (lanes(value) + ZEROS).to_le_bytes();
    *all.last_chunk().unwrap_or(&[b'0'; N])
}

/// The digits of a number below 10^8 without leading zeros, and how many there are; what stands behind them is of no
/// meaning.
#[inline]
pub(crate) fn digits(value: u32) -> ([u8; 8], usize) {
    let lanes = lanes(value);
    // The last digit is there even if it is zero.
    let zeros = (lanes | 1 << 63).trailing_zeros() / 8;
    (((lanes + ZEROS) >> (8 * zeros)).to_le_bytes(), 8 - zeros as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lanes_are_right_for_every_four_digits() {
        for four in 0..10_000u32 {
            for value in [four, four * 10_000, four * 10_000 + (9_999 - four)] {
                assert_eq!(last_digits::<8>(value), *format!("{value:08}").as_bytes());
                assert_eq!(last_digits::<6>(value), *format!("{:06}", value % 1_000_000).as_bytes());
                let (bytes, len) = digits(value);
                assert_eq!(bytes[..len], *value.to_string().as_bytes());
            }
        }
    }
}
